//! Scalar functions in FROM, which make a table of one row and one column, and those that make rows of an array. The column is
//! called as the table, or as the function. What they are given are constants: nothing beside them in FROM.

use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, ObjectName, ObjectNamePart, TableFactor};

use super::ast::{call, folded};
use super::spelled;
use super::state::raised;

/// Functions of both kinds, which others plan as tables.
const TABLES: &[&str] = &["generate_series", "range"];

#[derive(Debug)]
pub struct FunctionPlanner;

/// Of no schema, or of PostgreSQL's.
fn name_of(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(folded(name)),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)]
            if schema.value.eq_ignore_ascii_case("pg_catalog") =>
        {
            Some(folded(name))
        }
        _ => None,
    }
}

/// The same function by the name that it is looked up by: DataFusion takes names of functions in FROM as they are written.
fn with_folded_name(mut relation: TableFactor) -> TableFactor {
    if let TableFactor::Table { name, .. } | TableFactor::Function { name, .. } = &mut relation
        && let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
    {
        ident.value = folded(ident);
    }
    relation
}

impl RelationPlanner for FunctionPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (name, args, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
                (name_of(name), &args.args, alias)
            }
            TableFactor::Function { name, args, alias, with_ordinality: false, .. } => (name_of(name), args, alias),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let known = |name: &String| {
            let function = spelled::array_of(name).unwrap_or(name);
            !TABLES.contains(&name.as_str()) && context.context_provider().get_function_meta(function).is_some()
        };
        let Some(name) = name.filter(known) else {
            return Ok(RelationPlanning::Original(Box::new(with_folded_name(relation))));
        };
        let mut values = vec![];
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
                return Err(raised("42883", format!("{name}() takes values, not {arg}")));
            };
            values.push(expr.clone());
        }
        let array = spelled::array_of(&name);
        let value = context.sql_to_expr(call(array.unwrap_or(&name), values), &DFSchema::empty())?;
        let column = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
        let mut plan = LogicalPlanBuilder::empty(true).project(vec![value.alias(&column)])?;
        if array.is_some() {
            plan = plan.unnest_column(Column::from_name(&column))?.project(vec![ident(&column)])?;
        }
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan.build()?, alias.clone()))))
    }
}
