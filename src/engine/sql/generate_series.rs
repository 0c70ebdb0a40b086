//! `generate_series` in FROM: what it is given is read as anything else in a statement is, in the zone of the session, and
//! days and months of a step are those of its clocks. Numbers are DataFusion's, and so is what makes the rows, a batch
//! at a time. What is no constant, as a subquery, is made as an array, whose size is limited.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use chrono::DateTime;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, col};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, ObjectName, ObjectNamePart, TableFactor};

use super::coerce;
use super::datetime::interval;
use super::datetime::read::Now;
use super::functions::time_text::Kind;
use super::functions::zoned::utc;
use super::state::raised;
use super::widths;

const NAME: &str = "generate_series";
const SECOND_NS: i64 = 1_000_000_000;

/// Whether a function in FROM is this one.
pub fn is_series(name: &ObjectName) -> bool {
    matches!(name.0.last(), Some(ObjectNamePart::Identifier(name)) if name.value.eq_ignore_ascii_case(NAME))
}

#[derive(Debug)]
pub struct SeriesPlanner;

impl RelationPlanner for SeriesPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (args, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } if is_series(name) => (&args.args, alias),
            TableFactor::Function { name, args, alias, .. } if is_series(name) => (args, alias),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let (empty, now) = (DFSchema::empty(), Now::of_options(context.context_provider().options()));
        let mut planned = vec![];
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
                return Err(raised("42883", format!("{NAME}() takes values, not {arg}")));
            };
            let expr = context.sql_to_expr(expr.clone(), &empty)?;
            planned.push(coerce::expression(widths::expression(expr)?, &empty, now)?);
        }
        let plan = plan(planned, context, now)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

fn plan(args: Vec<Expr>, context: &dyn RelationPlannerContext, now: Now) -> Result<LogicalPlan> {
    let provider = context.context_provider();
    let simplifier = ExprSimplifier::new(
        SimplifyContext::builder()
            .with_config_options(provider.options().clone().into())
            .with_query_execution_start_time(DateTime::from_timestamp_micros(now.micros))
            .build(),
    );
    let empty = DFSchema::empty();
    // PostgreSQL's numbers are as wide as what they are between.
    let is_narrow = |arg: &Expr| matches!(arg.get_type(&empty), Ok(DataType::Int16 | DataType::Int32));
    let narrow = args.iter().all(is_narrow);
    let folded = args.into_iter().map(|arg| simplifier.simplify(simplifier.coerce(arg, &empty)?));
    let folded = folded.collect::<Result<Vec<_>>>()?;
    let values: Option<Vec<ScalarValue>> = folded.iter().map(|arg| arg.as_literal().cloned()).collect();
    match values {
        Some(values) => {
            let literals = arguments(values, now)?.into_iter().map(|value| Expr::Literal(value, None)).collect();
            let source = provider.get_table_function_source(NAME, literals)?;
            let rows = LogicalPlanBuilder::scan(NAME, source, None)?;
            let value = match rows.schema().field(0).data_type() {
                // Steps were taken in the zone of the session.
                DataType::Timestamp(unit, Some(_)) => cast(col("value"), DataType::Timestamp(*unit, utc())),
                DataType::Int64 if narrow => cast(col("value"), DataType::Int32),
                _ => col("value"),
            };
            rows.project(vec![value.alias(NAME)])?.build()
        }
        None => {
            let array = provider.get_function_meta(NAME);
            let array = array.ok_or_else(|| raised("0A000", format!("{NAME}() of what is no constant")))?;
            let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
            let array = if narrow { cast(array.call(folded), list) } else { array.call(folded) };
            LogicalPlanBuilder::empty(true)
                .project(vec![array.alias(NAME)])?
                .unnest_column(Column::from_name(NAME))?
                .build()
        }
    }
}

/// Integers of eight bytes, as DataFusion takes them.
fn numbers(values: Vec<ScalarValue>) -> Result<Vec<ScalarValue>> {
    let wide = values.into_iter().map(|value| match value.data_type().is_integer() {
        true => value.cast_to(&DataType::Int64),
        false => Ok(value),
    });
    let wide = wide.collect::<Result<Vec<_>>>()?;
    match wide.get(2) {
        Some(ScalarValue::Int64(Some(0))) => Err(raised("22023", "step size cannot equal zero")),
        _ => Ok(wide),
    }
}

/// Times of one type in nanoseconds, and a step: that of a `timestamptz` is taken where a session's clocks are. A date is
/// midnight there, as to PostgreSQL.
fn arguments(values: Vec<ScalarValue>, now: Now) -> Result<Vec<ScalarValue>> {
    let of_time = |value: &&ScalarValue| matches!(value.data_type(), DataType::Timestamp(..) | DataType::Date32);
    let ends = &values[..values.len().min(2)];
    let Some(first) = ends.iter().find(of_time) else { return numbers(values) };
    let [start, stop, step] = values.as_slice() else {
        return Err(raised("42883", format!("{NAME}() of times takes a start, a stop and a step")));
    };
    let lacks_zone = ends.iter().any(|end| matches!(end.data_type(), DataType::Timestamp(_, None)));
    let has_zone = ends.iter().any(|end| matches!(end.data_type(), DataType::Timestamp(_, Some(_))));
    let kind = if lacks_zone && !has_zone { Kind::Timestamp } else { Kind::Timestamptz };
    let zone = match kind {
        Kind::Timestamp => None,
        _ => Some(now.zone.arrow_name().ok_or_else(|| {
            raised("0A000", format!("{NAME}() with a time zone of seconds, or of more than a day"))
        })?),
    };
    let end = |value: &ScalarValue| -> Result<ScalarValue> {
        let value = match value.try_as_str() {
            Some(Some(text)) => kind.read(text, now)?,
            _ => value.clone(),
        };
        let is_local = !matches!(value.data_type(), DataType::Timestamp(_, Some(_)));
        let time = match value.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None))? {
            ScalarValue::TimestampNanosecond(time, _) => time,
            _ => None,
        };
        let away = |time: i64| match kind {
            Kind::Timestamptz if is_local => {
                i64::from(now.zone.offset_of_local(time.div_euclid(SECOND_NS))) * SECOND_NS
            }
            _ => 0,
        };
        let time = time.map(|time| time.saturating_sub(away(time)));
        Ok(ScalarValue::TimestampNanosecond(time, zone.as_deref().map(Into::into)))
    };
    let step = match step.try_as_str() {
        Some(Some(text)) => ScalarValue::IntervalMonthDayNano(Some(interval::read(text, "")?)),
        _ => match step {
            ScalarValue::Null => ScalarValue::Null,
            ScalarValue::IntervalMonthDayNano(_) => step.clone(),
            other if matches!(other.data_type(), DataType::Interval(_) | DataType::Duration(_)) => {
                other.cast_to(&super::functions::intervals::INTERVAL)?
            }
            other => {
                let (first, other) = (first.data_type(), other.data_type());
                return Err(raised(
                    "42883",
                    format!("{NAME}() of {first} takes an interval as its step, not {other}"),
                ));
            }
        },
    };
    if let ScalarValue::IntervalMonthDayNano(Some(by)) = &step
        && interval::length(*by) == 0
    {
        return Err(raised("22023", "step size cannot equal zero"));
    }
    Ok(vec![end(start)?, end(stop)?, step])
}
