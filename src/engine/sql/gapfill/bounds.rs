//! The first and the last bucket: what a call says of them, else what WHERE says of the time.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast, lit};
use datafusion::scalar::ScalarValue;

use super::names::GAPFILL;
use crate::engine::sql::state::raised;

/// The least time above one: that of the lake is in milliseconds, but other tables may have finer ones.
const LEAST: IntervalMonthDayNano = IntervalMonthDayNano::new(0, 0, 1);

/// The time from which there are buckets, and that before which they end; of several the tightest. None refers to a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Hash)]
pub struct Bounds {
    pub starts: Vec<Expr>,
    pub finishes: Vec<Expr>,
}

/// Those of a call, over the rows that it groups.
///
/// # Errors
/// 22023 where one of them is not known.
pub fn of(gap: &ScalarFunction, input: &LogicalPlan) -> Result<Bounds> {
    let time = &gap.args[1];
    let zone = match time.get_type(input.schema())? {
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => None,
        _ => Some("+00:00".into()),
    };
    let mut said = Said { time, of: DataType::Timestamp(TimeUnit::Nanosecond, zone), found: Bounds::default() };
    said.by_conditions(input)?;
    let Said { of, mut found, .. } = said;
    for (at, bounds, name) in [(2, &mut found.starts, "start"), (3, &mut found.finishes, "finish")] {
        match gap.args.get(at) {
            None | Some(Expr::Literal(ScalarValue::Null, _)) => {}
            Some(said) => *bounds = vec![said.clone()],
        }
        if bounds.is_empty() {
            let sign = if name == "start" { ">=" } else { "<" };
            let message = format!(
                "{GAPFILL}() does not know its {name}: say so in WHERE, as timestamp {sign} …, or by {name} => …"
            );
            return Err(raised("22023", message));
        }
        if let Some(of_rows) = bounds.iter().find(|bound| !is_constant(bound)) {
            return Err(raised("22023", format!("the {name} of {GAPFILL}() must be constant, not {of_rows}")));
        }
        for bound in bounds.iter_mut() {
            *bound = cast(bound.clone(), of.clone());
        }
    }
    Ok(found)
}

fn is_constant(expr: &Expr) -> bool {
    let refers = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
        ))
    });
    !refers.unwrap_or(true)
}

/// What conditions say of a time.
struct Said<'a> {
    time: &'a Expr,
    /// The type of bounds.
    of: DataType,
    found: Bounds,
}

impl Said<'_> {
    /// Of a query.
    fn by_conditions(&mut self, input: &LogicalPlan) -> Result<()> {
        input.apply(|plan| {
            match plan {
                LogicalPlan::Filter(filter) => self.by(&filter.predicate),
                LogicalPlan::SubqueryAlias(_) | LogicalPlan::Join(_) => {}
                // What is below is another query's.
                _ => return Ok(TreeNodeRecursion::Jump),
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    fn by(&mut self, condition: &Expr) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.by(left);
                self.by(right);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if **left == *self.time {
                    self.bound(*op, right);
                } else if **right == *self.time
                    && let Some(op) = op.swap()
                {
                    self.bound(op, left);
                }
            }
            Expr::Between(between) if !between.negated && *between.expr == *self.time => {
                self.bound(Operator::GtEq, &between.low);
                self.bound(Operator::LtEq, &between.high);
            }
            _ => {}
        }
    }

    fn bound(&mut self, op: Operator, value: &Expr) {
        if !is_constant(value) {
            return;
        }
        let next = || cast(value.clone(), self.of.clone()) + lit(ScalarValue::IntervalMonthDayNano(Some(LEAST)));
        match op {
            Operator::GtEq => self.found.starts.push(value.clone()),
            Operator::Gt => self.found.starts.push(next()),
            Operator::Lt => self.found.finishes.push(value.clone()),
            Operator::LtEq => self.found.finishes.push(next()),
            Operator::Eq => {
                self.found.starts.push(value.clone());
                self.found.finishes.push(next());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::col;

    #[test]
    fn conditions_bound_a_time() {
        let time = col("t");
        let said = |condition: Expr| {
            let of = DataType::Timestamp(TimeUnit::Nanosecond, None);
            let mut said = Said { time: &time, of, found: Bounds::default() };
            said.by(&condition);
            (said.found.starts.len(), said.found.finishes.len())
        };
        assert_eq!(said(col("t").gt_eq(lit(1)).and(col("t").lt(lit(2)))), (1, 1));
        assert_eq!(said(lit(1).lt(col("t"))), (1, 0));
        assert_eq!(said(col("t").between(lit(1), lit(2))), (1, 1));
        assert_eq!(said(col("t").not_between(lit(1), lit(2))), (0, 0));
        assert_eq!(said(col("t").eq(lit(1))), (1, 1));
        assert_eq!(said(col("t").gt(col("u"))), (0, 0), "not of a row");
        assert_eq!(said(col("t").gt(lit(1)).or(col("t").lt(lit(2)))), (0, 0), "not of either");
        assert_eq!(said(col("u").gt(lit(1))), (0, 0));
    }
}
