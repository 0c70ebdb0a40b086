//! The arguments of table functions: constant expressions, folded while the statement is planned.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;

use crate::engine::sql::pushdown::nanoseconds;

const DAY_MS: i64 = crate::model::sample::DAY_MS;

/// The value of an expression that refers to nothing: literals, casts, `now() - interval '1 hour'`.
pub fn fold(name: &str, expr: &Expr, session: &dyn Session) -> Result<ScalarValue> {
    let context = SimplifyContext::builder()
        .with_config_options(session.config().options().clone())
        .with_query_execution_start_time(session.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let coerced = simplifier.coerce(expr.clone(), &DFSchema::empty())?;
    match simplifier.simplify(coerced)? {
        Expr::Literal(value, _) if value.is_null() => plan_err!("{name} must not be NULL"),
        Expr::Literal(value, _) => Ok(value),
        Expr::Placeholder(_) => plan_err!("{name} must be known when the statement is planned, not a parameter"),
        other => plan_err!("{name} must be a constant expression, not {other}"),
    }
}

pub fn text(name: &str, value: &ScalarValue) -> Result<String> {
    match value.try_as_str() {
        Some(Some(text)) => Ok(text.to_string()),
        _ => plan_err!("{name} must be a text, not {}", value.data_type()),
    }
}

/// A point in time in milliseconds: a timestamp, a date, a text of either, or a number of seconds.
pub fn time_ms(name: &str, value: &ScalarValue) -> Result<i64> {
    if let Some(seconds) = seconds(value) {
        return whole_ms(name, seconds);
    }
    let target = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let timestamp = match value {
        value if nanoseconds(value).is_some() => Some(value.clone()),
        ScalarValue::Date32(_) | ScalarValue::Date64(_) => value.cast_to(&target).ok(),
        value if value.try_as_str().is_some() => value.cast_to(&target).ok(),
        _ => None,
    };
    match timestamp.as_ref().and_then(nanoseconds) {
        Some(nanoseconds) => Ok(nanoseconds.div_euclid(1_000_000) as i64),
        None => plan_err!("{name} must be a timestamp or a number of seconds, not {value}"),
    }
}

/// A duration in milliseconds: an interval, a number of seconds, or a text such as `5m` or `5 minutes`.
pub fn duration_ms(name: &str, value: &ScalarValue) -> Result<i64> {
    if let Some(seconds) = seconds(value) {
        return whole_ms(name, seconds);
    }
    if let Some(Some(text)) = value.try_as_str() {
        return match short_duration_ms(text).or_else(|| interval_text_ms(text)) {
            Some(milliseconds) => Ok(milliseconds),
            None => plan_err!("{name} must be a duration such as '5m' or '5 minutes', not '{text}'"),
        };
    }
    match interval_ms(value) {
        Some(milliseconds) => Ok(milliseconds),
        None => plan_err!("{name} must be an interval without months, or a number of seconds, not {value}"),
    }
}

fn seconds(value: &ScalarValue) -> Option<f64> {
    let number = value.data_type().is_numeric();
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(seconds)) if number => seconds,
        _ => None,
    }
}

fn whole_ms(name: &str, seconds: f64) -> Result<i64> {
    let milliseconds = (seconds * 1000.0).round();
    if milliseconds.abs() < 9e18 { Ok(milliseconds as i64) } else { plan_err!("{name} is out of range: {seconds}") }
}

/// Months have no fixed length, so an interval with months is none.
fn interval_ms(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano)).ok()? {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months: 0, days, nanoseconds })) => {
            i64::from(days).checked_mul(DAY_MS)?.checked_add(nanoseconds / 1_000_000)
        }
        _ => None,
    }
}

fn interval_text_ms(text: &str) -> Option<i64> {
    interval_ms(&ScalarValue::Utf8(Some(text.to_string())))
}

/// Prometheus' durations, `1h30m`, and Grafana's, `300.000s`.
pub fn short_duration_ms(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number * unit_ms(&rest[..unit])?;
        rest = &rest[unit..];
    }
    Some(total.round() as i64)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        "d" => DAY_MS as f64,
        "w" => 7.0 * DAY_MS as f64,
        "y" => 365.0 * DAY_MS as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let text = |t: &str| ScalarValue::Utf8(Some(t.to_string()));
        let month_day_nano = |months, days, nanoseconds| {
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
        };
        let cases = [
            (text("5m"), Some(300_000)),
            (text("1h30m"), Some(5_400_000)),
            (text("300.000s"), Some(300_000)),
            (text("5 minutes"), Some(300_000)),
            (text("five"), None),
            (text(""), None),
            (ScalarValue::Int64(Some(15)), Some(15_000)),
            (ScalarValue::Float64(Some(0.5)), Some(500)),
            (month_day_nano(0, 1, 1_000_000), Some(DAY_MS + 1)),
            (month_day_nano(1, 0, 0), None),
        ];
        for (value, expected) in cases {
            assert_eq!(duration_ms("step", &value).ok(), expected, "{value}");
        }
    }

    #[test]
    fn times() {
        let text = |t: &str| ScalarValue::Utf8(Some(t.to_string()));
        let cases = [
            (text("2026-11-21T00:00:01Z"), Some(1_795_219_201_000)),
            (text("2026-11-21 00:00:01"), Some(1_795_219_201_000)),
            (text("yesterday"), None),
            (ScalarValue::Int64(Some(10)), Some(10_000)),
            (ScalarValue::TimestampSecond(Some(10), None), Some(10_000)),
            (ScalarValue::TimestampNanosecond(Some(-1), Some("UTC".into())), Some(-1)),
            (ScalarValue::Boolean(Some(true)), None),
        ];
        for (value, expected) in cases {
            assert_eq!(time_ms("at", &value).ok(), expected, "{value}");
        }
    }
}
