//! Long chains of `AND` and `OR`, as clients write them for lists of alternatives, become shallow trees of the same
//! operands in the same order. `+` and `||` stay as they are: floating-point sums depend on their order, and `||`
//! takes arrays as well as text.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Statement, VisitorMut};

use super::walk::walk_mut;

/// Makes the chains of a statement shallow.
pub fn balance(statement: &mut Statement) {
    let _ = walk_mut(statement, &mut Balance);
}

struct Balance;

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op, left, .. } = expr
            && let Some(op) = associative(op)
            && is_chain(left, &op)
        {
            let operands = operands(take(expr), &op);
            *expr = joined(operands, &op);
        }
        ControlFlow::Continue(())
    }
}

fn associative(op: &BinaryOperator) -> Option<BinaryOperator> {
    matches!(op, BinaryOperator::And | BinaryOperator::Or).then(|| op.clone())
}

/// Three links or more, of which two are no reason to do anything.
fn is_chain(left: &Expr, op: &BinaryOperator) -> bool {
    let inner = |expr: &Expr| matches!(expr, Expr::BinaryOp { op: other, .. } if other == op);
    matches!(left, Expr::BinaryOp { op: other, left, .. } if other == op && inner(left))
}

/// The operands of a chain that grew to the left, in order.
fn operands(mut chain: Expr, op: &BinaryOperator) -> Vec<Expr> {
    let mut backwards = vec![];
    loop {
        match chain {
            Expr::BinaryOp { left, op: other, right } if other == *op => {
                backwards.push(*right);
                chain = *left;
            }
            first => {
                backwards.push(first);
                break;
            }
        }
    }
    backwards.reverse();
    backwards
}

/// Joins neighbours, then pairs of them, until there is one.
fn joined(mut operands: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop().unwrap_or_else(nothing)
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, nothing())
}

fn nothing() -> Expr {
    Expr::Identifier(Ident::new(""))
}
