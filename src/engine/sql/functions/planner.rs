//! Plans syntax of times as calls of our functions. To be asked before DataFusion's own planners.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, GetFieldAccess, Operator, lit, when};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::date_part::date_part;
use super::intervals::{INTERVAL, Operation};
use super::zoned::utc;
use crate::engine::sql::datetime::interval;

#[derive(Debug)]
pub struct TimePlanner;

impl ExprPlanner for TimePlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(date_part().call(args)))
    }

    /// An array has no elements before the first; DataFusion counts from its end there.
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access: GetFieldAccess::ListIndex { key }, expr } = access else {
            return Ok(PlannerResult::Original(access));
        };
        let is_array =
            expr.get_type(schema).is_ok_and(|of| matches!(of, DataType::List(_) | DataType::LargeList(_)));
        let is_written = matches!(key.as_ref(), Expr::Literal(ScalarValue::Int64(Some(1..)), _));
        let key = match is_array && !is_written {
            true => Box::new(when(key.as_ref().clone().gt(lit(0_i64)), key.as_ref().clone()).end()?),
            false => key,
        };
        Ok(PlannerResult::Original(RawFieldAccessExpr { field_access: GetFieldAccess::ListIndex { key }, expr }))
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Divide, Minus, Multiply, Plus};
        if !matches!(expr.op, Plus | Minus | Multiply | Divide) {
            return Ok(PlannerResult::Original(expr));
        }
        let of = (Operand::of(&expr.left, schema), Operand::of(&expr.right, schema));
        if !matches!(
            of,
            (Operand::Time(_) | Operand::Date | Operand::Interval, _)
                | (_, Operand::Time(_) | Operand::Date | Operand::Interval)
        ) {
            return Ok(PlannerResult::Original(expr));
        }
        match planned(&expr, of)? {
            Some(planned) => Ok(PlannerResult::Planned(planned)),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// What an operator sees of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    /// Whether it has a zone.
    Time(bool),
    Date,
    Interval,
    Whole,
    Number,
    /// A text that is written in the statement, which may become what it is to be.
    Written,
    Other,
}

impl Operand {
    fn of(expr: &Expr, schema: &DFSchema) -> Self {
        if let Expr::Literal(value, _) = expr
            && value.try_as_str().flatten().is_some()
        {
            return Operand::Written;
        }
        match expr.get_type(schema) {
            Ok(DataType::Timestamp(_, zone)) => Operand::Time(zone.is_some()),
            Ok(DataType::Date32 | DataType::Date64) => Operand::Date,
            Ok(DataType::Interval(_) | DataType::Duration(_)) => Operand::Interval,
            Ok(of) if of.is_integer() => Operand::Whole,
            Ok(of) if of.is_numeric() => Operand::Number,
            _ => Operand::Other,
        }
    }
}

fn cast(expr: &Expr, to: DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr.clone()), to))
}

fn planned(expr: &RawBinaryExpr, of: (Operand, Operand)) -> Result<Option<Expr>> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    use Operand::{Date, Interval, Number, Time, Whole, Written};
    let (left, right) = (&expr.left, &expr.right);
    let call = |operation: Operation, first: &Expr, second: &Expr| {
        operation.function().call(vec![first.clone(), second.clone()])
    };
    let native = |left: Expr, op: Operator, right: Expr| {
        Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
    };
    // A date is so many days, and an integer days as well.
    let days = |date: &Expr| cast(date, DataType::Int32);
    let moved = |op, date: &Expr, by: &Expr| {
        cast(&cast(&native(days(date), op, by.clone()), DataType::Int32), DataType::Date32)
    };
    let interval_of = |expr: &Expr| match expr {
        Expr::Literal(value, _) => match value.try_as_str().flatten() {
            Some(text) => {
                let of = interval::read(text, "")?;
                Ok::<_, datafusion::error::DataFusionError>(Expr::Literal(
                    ScalarValue::IntervalMonthDayNano(Some(of)),
                    None,
                ))
            }
            None => Ok(expr.clone()),
        },
        other => Ok(other.clone()),
    };
    let zoned = DataType::Timestamp(TimeUnit::Nanosecond, utc());
    Ok(Some(match (&expr.op, of) {
        (Plus, (Time(_) | Date, Interval)) => call(Operation::Plus, left, right),
        (Plus, (Interval, Time(_) | Date)) => call(Operation::Plus, right, left),
        (Minus, (Time(_) | Date, Interval)) => call(Operation::Minus, left, right),
        // Of a time and a text PostgreSQL takes the text for an interval, or where it is taken away, a time.
        (Plus, (Time(_), Written)) => call(Operation::Plus, left, &interval_of(right)?),
        (Plus, (Written, Time(_))) => call(Operation::Plus, right, &interval_of(left)?),
        (Minus, (Time(true), Time(true)) | (Time(false) | Date, Time(false)) | (Time(false), Date)) => {
            call(Operation::Between, left, right)
        }
        (Minus, (Time(true), Time(false) | Date)) => call(Operation::Between, left, &cast(right, zoned)),
        (Minus, (Time(false) | Date, Time(true))) => call(Operation::Between, &cast(left, zoned), right),
        (Minus, (Time(true), Written)) => call(Operation::Between, left, &cast(right, zoned)),
        (Minus, (Written, Time(true))) => call(Operation::Between, &cast(left, zoned), right),
        (Minus, (Date, Date)) => native(days(left), Operator::Minus, days(right)),
        (Plus, (Date, Whole)) => moved(Operator::Plus, left, right),
        (Plus, (Whole, Date)) => moved(Operator::Plus, right, left),
        (Minus, (Date, Whole)) => moved(Operator::Minus, left, right),
        (Plus, (Interval, Written)) => native(cast(left, INTERVAL), Operator::Plus, interval_of(right)?),
        (Minus, (Interval, Written)) => native(cast(left, INTERVAL), Operator::Minus, interval_of(right)?),
        (Multiply, (Interval, Whole | Number)) => call(Operation::Times, left, right),
        (Multiply, (Whole | Number, Interval)) => call(Operation::Times, right, left),
        (Divide, (Interval, Whole | Number)) => call(Operation::Divided, left, right),
        _ => return Ok(None),
    }))
}
