//! Numbers, times and durations for people, after Prometheus' `template/template.go` and `common/helpers/templates`.

use std::rc::Rc;

use crate::model::{duration, float};

use super::super::characters::to_text;
use super::super::host::{Fault, Host, Outcome, text};
use super::super::number::{parse_float, to_int64};
use super::super::quote::quote;
use super::super::time::Time;
use super::super::value::{IntType, Value};

const NANOSECONDS: f64 = 1e9;
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Numbers may be texts, too.
fn to_float(arguments: &[Value]) -> Result<f64, Fault> {
    match arguments.first() {
        Some(Value::Any(Some(value))) => to_float(&[Value::clone(value)]),
        Some(Value::Float(number)) => Ok(*number),
        Some(Value::Int(IntType::Int | IntType::Int64, number)) => Ok(*number as f64),
        Some(Value::Int(IntType::Duration, nanoseconds)) => Ok(seconds(*nanoseconds)),
        Some(Value::String(text)) => Ok(parse_float(text)?),
        Some(Value::Any(None)) | None => Err("can't convert <nil> to float".into()),
        Some(other) => Err(format!("can't convert {} to float", other.type_name()).into()),
    }
}

/// Go's division of a duration into seconds.
fn seconds(nanoseconds: i64) -> f64 {
    (nanoseconds / 1_000_000_000) as f64 + (nanoseconds % 1_000_000_000) as f64 / NANOSECONDS
}

/// `%.4g`
fn short(number: f64) -> String {
    float::format_general_digits(number, 4)
}

pub(super) fn humanize(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let number = to_float(arguments)?;
    if number == 0.0 || !number.is_finite() {
        return Ok(Value::text(short(number)));
    }
    if number.abs() >= 1.0 {
        return Ok(Value::text(scaled_down(number, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"])));
    }
    Ok(Value::text(scaled_up(number)))
}

pub(super) fn humanize_1024(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let number = to_float(arguments)?;
    if number.abs() <= 1.0 || !number.is_finite() {
        return Ok(Value::text(short(number)));
    }
    Ok(Value::text(scaled_down(number, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])))
}

fn scaled_down(mut number: f64, by: f64, prefixes: &[&str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if number.abs() < by {
            break;
        }
        prefix = next;
        number /= by;
    }
    format!("{}{prefix}", short(number))
}

fn scaled_up(mut number: f64) -> String {
    let mut prefix = "";
    for next in SMALL {
        if number.abs() >= 1.0 {
            break;
        }
        prefix = next;
        number *= 1000.0;
    }
    format!("{}{prefix}", short(number))
}

pub(super) fn humanize_duration(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let number = to_float(arguments)?;
    if !number.is_finite() {
        return Ok(Value::text(short(number)));
    }
    if number == 0.0 || number.abs() < 1.0 {
        let scaled = if number == 0.0 { short(number) } else { scaled_up(number) };
        return Ok(Value::text(format!("{scaled}s")));
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let whole = to_int64(number.abs());
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    let seconds = whole % 60;
    Ok(Value::text(match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", short(number.abs())),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }))
}

pub(super) fn humanize_percentage(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(Value::text(format!("{}%", short(to_float(arguments)? * 100.0))))
}

pub(super) fn humanize_timestamp(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let number = to_float(arguments)?;
    match number.is_finite() {
        true => Ok(Value::text(time_of(number)?.to_text())),
        false => Ok(Value::text(short(number))),
    }
}

pub(super) fn to_time(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(Value::TimePointer(Rc::new(time_of(to_float(arguments)?)?)))
}

/// Of seconds since 1970, to the millisecond.
fn time_of(seconds: f64) -> Result<Time, Fault> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    let nanoseconds = seconds * NANOSECONDS;
    // The bounds are those of int64 as floats, so that the upper one is in.
    if nanoseconds.abs() > i64::MAX as f64 {
        let number = float::format_general(seconds);
        return Err(
            format!("{number} cannot be represented as a nanoseconds timestamp since it overflows int64").into()
        );
    }
    let milliseconds = to_int64(nanoseconds) / 1_000_000;
    Ok(Time(i128::from(milliseconds) * 1_000_000))
}

pub(super) fn to_duration(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(Value::DurationPointer(Rc::new(to_int64(to_float(arguments)? * NANOSECONDS))))
}

pub(super) fn now(host: &mut Host<'_>, _: &[Value]) -> Outcome {
    Ok(Value::Float(host.subject.timestamp_ms as f64 / 1000.0))
}

/// `1h30m` in seconds.
pub(super) fn parse_duration(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let text = to_text(text(arguments, 0));
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (-1, magnitude),
        None => (1, text.as_str()),
    };
    let milliseconds = duration::parse(magnitude).map_err(|_| duration_problem(magnitude))? * sign;
    Ok(Value::Float((milliseconds * 1_000_000) as f64 / NANOSECONDS))
}

/// What Prometheus says to a text that is no duration.
fn duration_problem(text: &str) -> String {
    if text.is_empty() {
        return "empty duration string".to_string();
    }
    let quoted = quote(text.as_bytes());
    let invalid = format!("not a valid duration string: {quoted}");
    let is_digit = |c: char| c.is_ascii_digit();
    let (mut rest, mut last) = (text, 0);
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c| !is_digit(c)).unwrap_or(rest.len()));
        let (unit, behind) = behind.split_at(behind.find(is_digit).unwrap_or(behind.len()));
        if digits.parse::<u64>().is_err() || unit.is_empty() {
            return invalid;
        }
        match ["y", "w", "d", "h", "m", "s", "ms"].iter().position(|known| *known == unit) {
            None => return format!("unknown unit {} in duration {quoted}", quote(unit.as_bytes())),
            Some(at) if at < last => return invalid,
            Some(at) => last = at + 1,
        }
        rest = behind;
    }
    "duration out of range".to_string()
}
