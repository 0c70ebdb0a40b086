//! `EXCEPT ALL` and `INTERSECT ALL`: DataFusion keeps all rows of the left side that are, or are not, on the right one,
//! however often. Equal rows are numbered on both sides, so that each stands for itself.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};

const NUMBER: &str = "?number of the row among equal ones?";

/// The join that a set operation of all rows was planned as, with numbered rows. Nothing else that SQL has is planned as
/// such a join before the optimizer comes; the left side of one of distinct rows is distinct.
///
/// # Errors
/// Of building a plan.
pub fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(join) = &plan else { return Ok(plan) };
    let is_all = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !is_distinct(&join.left);
    if !is_all {
        return Ok(plan);
    }
    let columns = join.left.schema().columns();
    let (left, right) = (number(&join.left)?, number(&join.right)?);
    let mut keys: (Vec<Column>, Vec<Column>) = (vec![], vec![]);
    for (one, other) in &join.on {
        let (Expr::Column(one), Expr::Column(other)) = (one, other) else { return Ok(plan) };
        keys.0.push(one.clone());
        keys.1.push(other.clone());
    }
    keys.0.push(Column::from_name(NUMBER));
    keys.1.push(Column::from_name(NUMBER));
    LogicalPlanBuilder::from(left)
        .join_detailed(right, join.join_type, keys, None, NullEquality::NullEqualsNull)?
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

/// Whether a side is, below what makes its doubles canonical.
fn is_distinct(side: &LogicalPlan) -> bool {
    match side {
        LogicalPlan::Projection(projection) => is_distinct(&projection.input),
        LogicalPlan::Distinct(_) => true,
        _ => false,
    }
}

fn number(side: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let columns = side.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns).build()?.alias(NUMBER);
    LogicalPlanBuilder::from(Arc::clone(side)).window(vec![number])?.build()
}
