//! Ids of the `reg…` types print as names: where they are cast to text, and where they are the result. The type of a column
//! tells, so this is done on the plan.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};

use super::spec::{REG_TYPES, TYPE_KEY};

/// The plan with names for ids, wherever they are shown.
pub fn names_for_ids(plan: LogicalPlan, functions: &dyn FunctionRegistry) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| in_casts(node, functions))?.data;
    in_result(plan, functions)
}

fn reg_type(field: &Field) -> Option<&str> {
    let name = field.metadata().get(TYPE_KEY)?;
    (*field.data_type() == DataType::UInt32 && REG_TYPES.contains(&name.as_str())).then_some(name)
}

fn printed(expr: Expr, reg_type: &str, functions: &dyn FunctionRegistry) -> Result<Expr> {
    Ok(functions.udf(&format!("{reg_type}out"))?.call(vec![expr]))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn in_casts(node: LogicalPlan, functions: &dyn FunctionRegistry) -> Result<Transformed<LogicalPlan>> {
    let mut any = false;
    for expr in node.expressions() {
        any |= expr.exists(|e| Ok(matches!(e, Expr::Cast(cast) if is_text(cast.field.data_type()))))?;
    }
    if !any {
        return Ok(Transformed::no(node));
    }
    let schema: DFSchema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|e| match e {
            Expr::Cast(cast) if is_text(cast.field.data_type()) => {
                // A column from outside a subquery is not in the schema, and stays as it is.
                let found = cast.expr.to_field(&schema).ok().and_then(|(_, f)| reg_type(&f).map(String::from));
                match found {
                    Some(reg_type) => Ok(Transformed::yes(printed(*cast.expr, &reg_type, functions)?)),
                    None => Ok(Transformed::no(Expr::Cast(cast))),
                }
            }
            e => Ok(Transformed::no(e)),
        })?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}

fn in_result(plan: LogicalPlan, functions: &dyn FunctionRegistry) -> Result<LogicalPlan> {
    if !plan.schema().fields().iter().any(|field| reg_type(field).is_some()) {
        return Ok(plan);
    }
    let mut columns = vec![];
    for (relation, field) in plan.schema().iter() {
        let column = Expr::Column(Column::new(relation.cloned(), field.name()));
        columns.push(match reg_type(field) {
            Some(reg_type) => {
                printed(column, reg_type, functions)?.alias_qualified(relation.cloned(), field.name())
            }
            None => column,
        });
    }
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
