//! `timezone(zone, time)`, which `AT TIME ZONE` is: what clocks of a zone show at a time, or when they show it. What casts
//! between `timestamp` and `timestamptz` do is the same in the zone of the session.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalUnit, TimeUnit};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

/// `timezone(zone, time)`, for sessions.
pub fn timezone() -> ScalarUDF {
    udf("timezone", false)
}

/// `timestamp` of a `timestamptz` and the other way around, in the zone of the session. Sessions do not know it.
pub fn in_session() -> &'static ScalarUDF {
    static FUNCTION: LazyLock<ScalarUDF> = LazyLock::new(|| udf("session_time", true));
    &FUNCTION
}

fn udf(name: &'static str, of_session: bool) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Stable);
    ScalarUDF::new_from_impl(Timezone { name, of_session, signature })
}

/// The zone of every `timestamptz`, whatever zone it is shown in.
pub fn utc() -> Option<Arc<str>> {
    static UTC: LazyLock<Arc<str>> = LazyLock::new(|| "UTC".into());
    Some(Arc::clone(&UTC))
}

pub fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// What clocks show of times of a column, or the times they show it at, in the same unit.
pub fn turn(times: &ArrayRef, zone: impl Fn(usize) -> Zone) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, from) = times.data_type() else {
        return internal_err!("a time that is {}", times.data_type());
    };
    let (per, has_zone) = (units_per_second(*unit), from.is_some());
    let numbers = cast(times, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    let turned = numbers.values().iter().enumerate().map(|(row, time)| {
        let (zone, seconds) = (zone(row), time.div_euclid(per));
        let offset = match has_zone {
            true => i64::from(zone.offset_at(seconds)),
            false => -i64::from(zone.offset_of_local(seconds)),
        };
        time.saturating_add(offset * per)
    });
    let turned = Int64Array::new(turned.collect(), numbers.nulls().cloned());
    let to = if has_zone { None } else { utc() };
    Ok(cast(&turned, &DataType::Timestamp(*unit, to))?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Timezone {
    name: &'static str,
    of_session: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Timezone {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = |time: &DataType| match time {
            DataType::Timestamp(unit, from) => Ok(DataType::Timestamp(*unit, from.as_ref().and_then(|_| utc()))),
            DataType::Date32 | DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Nanosecond, None)),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                Ok(DataType::Timestamp(TimeUnit::Nanosecond, utc()))
            }
            other => plan_err!("timezone() takes a time, not {other}"),
        };
        let zone = |zone: &DataType| match zone {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Ok(DataType::Utf8),
            DataType::Interval(_) => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
            other => plan_err!("timezone() takes a zone first, not {other}"),
        };
        match (self.of_session, types) {
            (true, [of]) => Ok(vec![time(of)?]),
            (false, [in_zone, of]) => Ok(vec![zone(in_zone)?, time(of)?]),
            _ => plan_err!("timezone() takes a zone and a time"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.last() {
            Some(DataType::Timestamp(unit, Some(_))) => Ok(DataType::Timestamp(*unit, None)),
            Some(DataType::Timestamp(unit, None)) => Ok(DataType::Timestamp(*unit, utc())),
            other => internal_err!("timezone() of {other:?}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (zones, times) = match args.args.as_slice() {
            [times] => (None, times),
            [zones, times] => (Some(zones), times),
            _ => return internal_err!("timezone() takes a zone and a time"),
        };
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let times = times.to_array(rows)?;
        let turned = match zones {
            None => {
                let zone = zone::of(&args.config_options);
                turn(&times, |_| zone)?
            }
            Some(ColumnarValue::Scalar(value)) => match of_value(value)? {
                Some(zone) => turn(&times, |_| zone)?,
                None => return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&args.return_type().clone())?)),
            },
            Some(ColumnarValue::Array(zones)) => {
                let zones = (0..rows).map(|row| of_value(&ScalarValue::try_from_array(zones, row)?));
                let zones = zones.collect::<Result<Vec<_>>>()?;
                let turned = turn(&times, |row| zones[row].unwrap_or(Zone::UTC))?;
                let unknown = arrow::array::BooleanArray::from_iter(zones.iter().map(|zone| Some(zone.is_none())));
                arrow::compute::nullif(&turned, &unknown)?
            }
        };
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&turned, 0)?)),
            false => Ok(ColumnarValue::Array(turned)),
        }
    }
}

/// By its name, or by how far it is east of UTC.
fn of_value(value: &ScalarValue) -> Result<Option<Zone>> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(away)) if away.months == 0 && away.days == 0 => {
            Ok(Some(Zone::Fixed((away.nanoseconds / 1_000_000_000) as i32)))
        }
        ScalarValue::IntervalMonthDayNano(Some(_)) => {
            Err(raised("22023", "interval time zone must not include months or days"))
        }
        value => match value.try_as_str().flatten() {
            Some(text) => Zone::of_text(text).map(Some),
            None => Ok(None),
        },
    }
}
