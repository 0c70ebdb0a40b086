//! Rows that are compared, `(a, b) > (c, d)` and `(a, b) IN ((c, d), …)`, by their columns from the left.

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::growth::Growth;
use super::state::raised;

/// Columns of rows that are compared by `<` and the like: each is another level.
const MAX_ORDERED: usize = 32;

/// A comparison of two rows.
///
/// # Errors
/// 42601 where one has more columns, 54001 where they are too many.
pub fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr], growth: &mut Growth) -> Result<Option<Expr>> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    if left.len() != right.len() {
        return Err(raised("42601", "unequal number of entries in row expressions"));
    }
    let pairs = || left.iter().zip(right);
    let each = |op: &BinaryOperator| {
        pairs().map(|(left, right)| binary(left.clone(), op.clone(), right.clone())).collect::<Vec<_>>()
    };
    Ok(match op {
        Eq => joined(each(op), And),
        NotEq => joined(each(op), Or),
        Lt | LtEq | Gt | GtEq => {
            if left.len() > MAX_ORDERED {
                return Err(raised("54001", format!("rows of more than {MAX_ORDERED} columns have no order")));
            }
            left.iter().chain(right).try_for_each(|column| growth.add(column, 1))?;
            // Whichever columns differ first decide.
            let strict = if matches!(op, Lt | LtEq) { Lt } else { Gt };
            pairs().rev().fold(None, |rest: Option<Expr>, (left, right)| {
                let Some(rest) = rest else { return Some(binary(left.clone(), op.clone(), right.clone())) };
                let equal = binary(binary(left.clone(), Eq, right.clone()), And, rest);
                Some(nested(binary(binary(left.clone(), strict.clone(), right.clone()), Or, equal)))
            })
        }
        _ => None,
    })
}

/// Whether a row is one of a list of rows.
///
/// # Errors
/// As [`compared`].
pub fn in_list(of: &[Expr], list: &[Expr], negated: bool, growth: &mut Growth) -> Result<Option<Expr>> {
    of.iter().try_for_each(|column| growth.add(column, list.len().saturating_sub(1)))?;
    let mut equal = vec![];
    for row in list {
        let Expr::Tuple(row) = row else { return Ok(None) };
        let Some(one) = compared(of, &BinaryOperator::Eq, row, growth)? else { return Ok(None) };
        equal.push(one);
    }
    let any = joined(equal, BinaryOperator::Or);
    Ok(any.map(|any| match negated {
        true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) },
        false => any,
    }))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

/// As a shallow tree, since planners go down it.
fn joined(mut exprs: Vec<Expr>, op: BinaryOperator) -> Option<Expr> {
    while exprs.len() > 1 {
        let mut pairs = exprs.into_iter();
        exprs = std::iter::from_fn(|| {
            let left = pairs.next()?;
            Some(match pairs.next() {
                Some(right) => binary(left, op.clone(), right),
                None => left,
            })
        })
        .collect();
    }
    exprs.pop().map(nested)
}
