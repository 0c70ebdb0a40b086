//! `rate`, `increase` and `delta` of a group that has several series: the labels that tell them apart become further
//! arguments, so that each series has a state of its own. They are those of the relation whose samples are read, as far
//! as a subquery lets them through; what it leaves out cannot be told apart.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};
use datafusion::optimizer::AnalyzerRule;

use super::functions::is_counter;
use crate::engine::scan::table::HISTOGRAM;

#[derive(Debug, Default)]
pub struct TellSeriesApart;

impl AnalyzerRule for TellSeriesApart {
    fn name(&self) -> &str {
        "tell_series_apart"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (input, groups) = match &plan {
        LogicalPlan::Aggregate(aggregate) => (&aggregate.input, aggregate.group_expr.as_slice()),
        LogicalPlan::Window(window) => (&window.input, &[][..]),
        _ => return Ok(Transformed::no(plan)),
    };
    if !plan.expressions().iter().any(|expr| expr.exists(|e| Ok(samples(e).is_some())).unwrap_or(false)) {
        return Ok(Transformed::no(plan));
    }
    // Of one value in a group, so that they tell nothing apart.
    let known: Vec<Column> = groups.iter().filter_map(|group| group.try_as_col().cloned()).collect();
    let schema = input.schema().clone();
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let told = expr.transform_up(|expr| tell(expr, &schema, &known))?;
        Ok(told.update_data(|expr| name.restore(expr)))
    })
}

/// The arguments of a function of ours that has no more than it needs.
fn samples(expr: &Expr) -> Option<&[Expr]> {
    let args = match expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) if is_counter(func) => &params.args,
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(func) if is_counter(func) => &call.params.args,
            _ => return None,
        },
        _ => return None,
    };
    (args.len() == 2).then_some(args.as_slice())
}

fn tell(mut expr: Expr, schema: &DFSchema, known: &[Column]) -> Result<Transformed<Expr>> {
    let Some(arguments) = samples(&expr) else { return Ok(Transformed::no(expr)) };
    let of = |column: &&Column| column.relation.clone();
    let read = arguments.iter().flat_map(Expr::column_refs).collect::<Vec<_>>();
    let relations: Vec<_> = read.iter().map(of).collect();
    let label = |(relation, field): (Option<&_>, &std::sync::Arc<arrow::datatypes::Field>)| {
        let column = Column::new(relation.cloned(), field.name());
        let is_label = is_text(field.data_type()) && field.name() != HISTOGRAM;
        let told = relations.contains(&column.relation) && !known.contains(&column) && !read.contains(&&column);
        (is_label && told).then_some(Expr::Column(column))
    };
    let labels: Vec<Expr> = schema.iter().filter_map(label).collect();
    match &mut expr {
        Expr::AggregateFunction(call) => call.params.args.extend(labels),
        Expr::WindowFunction(call) => add(call, labels),
        _ => {}
    }
    Ok(Transformed::yes(expr))
}

fn add(call: &mut WindowFunction, labels: Vec<Expr>) {
    call.params.args.extend(labels);
}

fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Map(..) => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
