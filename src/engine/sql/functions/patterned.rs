//! `to_char(time, pattern)`, `to_timestamp(text, pattern)` and `to_date(text, pattern)` with PostgreSQL's patterns. Of other
//! arguments `to_timestamp` and `to_date` are DataFusion's.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Date32Array, StringBuilder, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use chrono::{DateTime, TimeZone};
use chrono_tz::OffsetName;
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

use super::plain::is_text;
use super::zoned::{units_per_second, utc};
use crate::engine::sql::datetime::pattern::{Pattern, Shown};
use crate::engine::sql::datetime::read::DAY_US;
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

/// Registers them in the place of DataFusion's.
pub fn register(context: &SessionContext) {
    let of_state = |name: &str| context.state_ref().read().scalar_functions().get(name).cloned();
    context.register_udf(udf("to_char", Function::Char, None));
    for (name, function) in [("to_timestamp", Function::Timestamp), ("to_date", Function::Date)] {
        context.register_udf(udf(name, function, of_state(name)));
    }
}

fn udf(name: &'static str, function: Function, other: Option<Arc<ScalarUDF>>) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Stable);
    ScalarUDF::new_from_impl(Patterned { name, function, other, signature })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Function {
    Char,
    Timestamp,
    Date,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Patterned {
    name: &'static str,
    function: Function,
    /// For other arguments than a text and a pattern.
    other: Option<Arc<ScalarUDF>>,
    signature: Signature,
}

impl Patterned {
    /// DataFusion's, where these are no arguments of ours.
    fn other(&self, types: &[DataType]) -> Option<&Arc<ScalarUDF>> {
        match types {
            [_, pattern] if is_text(pattern) => None,
            _ => self.other.as_ref(),
        }
    }
}

impl ScalarUDFImpl for Patterned {
    fn name(&self) -> &str {
        self.name
    }

    /// DataFusion's has that as well, and would take the name back when a session is made of another.
    fn aliases(&self) -> &[String] {
        static ALIASES: LazyLock<[String; 1]> = LazyLock::new(|| ["date_format".to_string()]);
        if self.function == Function::Char { &*ALIASES } else { &[] }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(other) = self.other(types) {
            let fields: Vec<_> =
                types.iter().map(|of| arrow::datatypes::Field::new("", of.clone(), true).into()).collect();
            let fields =
                datafusion::logical_expr::type_coercion::functions::fields_with_udf(&fields, other.as_ref())?;
            return Ok(fields.iter().map(|field| field.data_type().clone()).collect());
        }
        let [of, pattern] = types else { return plan_err!("{}() takes a value and a pattern", self.name) };
        if !is_text(pattern) {
            return plan_err!("{}() takes a pattern, not {pattern}", self.name);
        }
        let of = match (self.function, of) {
            (Function::Char, DataType::Timestamp(unit, None)) => DataType::Timestamp(*unit, None),
            (Function::Char, DataType::Timestamp(unit, Some(_))) => DataType::Timestamp(*unit, utc()),
            (Function::Char, DataType::Date32 | DataType::Date64) => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            (Function::Char, DataType::Interval(_) | DataType::Duration(_)) => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            (Function::Char, other) if other.is_numeric() => {
                return Err(raised("0A000", "to_char() of a number is not supported"));
            }
            (Function::Char, DataType::Null) => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            (Function::Char, other) => return plan_err!("to_char() takes a time, not {other}"),
            (_, of) if is_text(of) => DataType::Utf8,
            (_, other) => return plan_err!("{}() takes a text, not {other}", self.name),
        };
        Ok(vec![of, DataType::Utf8])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if let Some(other) = self.other(types) {
            return other.return_type(types);
        }
        Ok(match self.function {
            Function::Char => DataType::Utf8,
            Function::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            Function::Date => DataType::Date32,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        if let Some(other) = self.other(&types) {
            return other.invoke_with_args(args);
        }
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [of, pattern] = args.args.as_slice() else {
            return internal_err!("{}() takes a value and a pattern", self.name);
        };
        let zone = zone::of(&args.config_options);
        let values = of.to_array(rows)?;
        let made = match pattern {
            ColumnarValue::Scalar(pattern) => match pattern.try_as_str().flatten() {
                Some(pattern) => self.of(&values, &Pattern::parse(pattern)?, zone)?,
                None => arrow::array::new_null_array(&self.return_type(&types)?, rows),
            },
            ColumnarValue::Array(_) => {
                return Err(raised("0A000", format!("the pattern of {}() must be a constant", self.name)));
            }
        };
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)),
            false => Ok(ColumnarValue::Array(made)),
        }
    }
}

impl Patterned {
    fn of(&self, values: &ArrayRef, pattern: &Pattern, zone: Zone) -> Result<ArrayRef> {
        match self.function {
            Function::Char => write(values, pattern, zone),
            Function::Timestamp => {
                let read = |text: Option<&str>| -> Result<Option<i64>> {
                    let Some(text) = text else { return Ok(None) };
                    let found = pattern.read(text)?;
                    let local = found.days * DAY_US + found.micros;
                    let offset = found.offset.unwrap_or_else(|| zone.offset_of_local(local.div_euclid(1_000_000)));
                    let nanoseconds = (local - i64::from(offset) * 1_000_000).checked_mul(1_000);
                    nanoseconds
                        .map(Some)
                        .ok_or_else(|| raised("22008", format!("timestamp out of range: \"{text}\"")))
                };
                let read =
                    values.as_string::<i32>().iter().map(read).collect::<Result<TimestampNanosecondArray>>()?;
                Ok(Arc::new(read.with_timezone_opt(utc())))
            }
            Function::Date => {
                let read = |text: Option<&str>| -> Result<Option<i32>> {
                    let found = text.map(|text| pattern.read(text)).transpose()?;
                    Ok(found.and_then(|found| i32::try_from(found.days).ok()))
                };
                Ok(Arc::new(values.as_string::<i32>().iter().map(read).collect::<Result<Date32Array>>()?))
            }
        }
    }
}

fn write(values: &ArrayRef, pattern: &Pattern, zone: Zone) -> Result<ArrayRef> {
    let (mut out, mut text) = (StringBuilder::new(), String::new());
    let out_of_range = || raised("22008", "timestamp out of range");
    match values.data_type() {
        DataType::Interval(_) => {
            for of in values.as_primitive::<IntervalMonthDayNanoType>() {
                text.clear();
                if let Some(of) = of {
                    let counted = (i64::from(of.months / 12), i64::from(of.months % 12), i64::from(of.days));
                    let shown = Shown { counted, micros: of.nanoseconds / 1_000, ..Shown::default() };
                    pattern.write(&shown, &mut text);
                }
                out.append_option(of.map(|_| &text));
            }
        }
        DataType::Timestamp(unit, has_zone) => {
            let per = units_per_second(*unit);
            let numbers = cast(values, &DataType::Int64)?;
            for time in numbers.as_primitive::<Int64Type>() {
                text.clear();
                if let Some(time) = time {
                    let seconds = time.div_euclid(per);
                    let micros = (i128::from(time) * 1_000_000).div_euclid(i128::from(per)) as i64;
                    let offset = if has_zone.is_some() { i64::from(zone.offset_at(seconds)) } else { 0 };
                    let name = if has_zone.is_some() { abbreviation(zone, seconds) } else { String::new() };
                    let of_zone = has_zone.as_ref().map(|_| (offset, name.as_str()));
                    let shown = Shown::of_local(micros.saturating_add(offset * 1_000_000), of_zone);
                    pattern.write(&shown.ok_or_else(out_of_range)?, &mut text);
                }
                out.append_option(time.map(|_| &text));
            }
        }
        other => return internal_err!("to_char() of {other}"),
    }
    Ok(Arc::new(out.finish()))
}

fn abbreviation(zone: Zone, seconds: i64) -> String {
    let Zone::Named(tz) = zone else { return String::new() };
    let Some(time) = DateTime::from_timestamp(seconds, 0) else { return String::new() };
    let offset = tz.offset_from_utc_datetime(&time.naive_utc());
    offset.abbreviation().map_or_else(String::new, str::to_string)
}
