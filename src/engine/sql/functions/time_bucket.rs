//! `time_bucket(interval, timestamp [, origin])`, TimescaleDB's name for `date_bin`. Buckets start at its origin,
//! Monday 2000-01-03, or 2000-01-01 where the interval counts months, when clocks in the zone of the session showed it; a
//! `timestamptz` is in the bucket that those clocks show, so that a day is theirs. A text such as `5m` is an interval
//! too, as Grafana writes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType};
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::zoned::{turn, utc};
use crate::engine::sql::arguments::short_duration_ms;
use crate::engine::sql::zone::{self, Zone};

const SECOND_NS: i64 = 1_000_000_000;
const MONDAY_NS: i64 = 946_857_600_000_000_000;
const NEW_YEAR_NS: i64 = 946_684_800_000_000_000;

pub fn time_bucket() -> ScalarUDF {
    ScalarUDF::new_from_impl(TimeBucket { signature: Signature::user_defined(Volatility::Stable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The interval stays a text here and is read when invoked, as `5m` is no interval to DataFusion's parser.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let nanoseconds = |zone| DataType::Timestamp(TimeUnit::Nanosecond, zone);
        let time = |argument: &DataType| match argument {
            DataType::Timestamp(_, zone) => Ok(nanoseconds(zone.clone())),
            DataType::Date32 | DataType::Date64 => Ok(nanoseconds(None)),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                Ok(nanoseconds(Some("+00:00".into())))
            }
            other => plan_err!("time_bucket() takes a timestamp, not {other}"),
        };
        let stride = |argument: &DataType| match argument {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Ok(DataType::Utf8),
            DataType::Interval(_) | DataType::Duration(_) | DataType::Null => {
                Ok(DataType::Interval(IntervalUnit::MonthDayNano))
            }
            other => plan_err!("time_bucket() takes an interval first, not {other}"),
        };
        match arguments {
            [width, at] => Ok(vec![stride(width)?, time(at)?]),
            [width, at, origin] => Ok(vec![stride(width)?, time(at)?, time(origin)?]),
            _ => plan_err!("time_bucket() takes (interval, timestamp) or (interval, timestamp, origin)"),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[1].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let width = interval(&args.args[0])?;
        let zone = zone::of(&args.config_options);
        let turns = matches!(args.args[1].data_type(), DataType::Timestamp(_, Some(_))) && !zone.is_utc();
        if args.args.len() == 2 {
            let origin = if width.months == 0 { MONDAY_NS } else { NEW_YEAR_NS };
            let of_time = if turns { None } else { Some("+00:00".into()) };
            args.args.push(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(origin), of_time)));
            args.arg_fields.push(args.arg_fields[1].clone());
        } else if turns {
            args.args[2] = shown(&args.args[2], args.number_rows, zone)?;
        }
        args.args[0] = ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(width)));
        if !turns {
            return date_bin().invoke_with_args(args);
        }
        let to = args.return_field.data_type().clone();
        let (times, rows) = (args.args[1].clone(), args.number_rows);
        let local = shown(&times, rows, zone)?;
        args.args[1] = local.clone();
        let buckets = date_bin().invoke_with_args(args)?;
        let constant = matches!((&buckets, &times), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { rows };
        let (times, local, buckets) = (times.to_array(rows)?, local.to_array(rows)?, buckets.to_array(rows)?);
        let begun = cast(&begun(&times, &local, &buckets, zone), &to)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&begun, 0)?)),
            false => Ok(ColumnarValue::Array(begun)),
        }
    }
}

/// The width of a bucket that a constant says.
///
/// # Errors
/// For what is no interval.
pub fn bucket_width(width: &ScalarValue) -> Result<IntervalMonthDayNano> {
    interval(&ColumnarValue::Scalar(width.clone()))
}

/// What clocks show.
fn shown(times: &ColumnarValue, rows: usize, zone: Zone) -> Result<ColumnarValue> {
    let of_zone = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
    Ok(match times {
        _ if !of_zone => times.clone(),
        ColumnarValue::Scalar(time) => {
            let turned = turn(&time.to_array()?, |_| zone)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&turned, 0)?)
        }
        times => ColumnarValue::Array(turn(&times.to_array(rows)?, |_| zone)?),
    })
}

/// When clocks showed that a bucket began, with the clocks as they were set at the time itself: an hour that they show
/// twice is two hours. Where they were set otherwise at the beginning, they were set in between.
fn begun(times: &ArrayRef, local: &ArrayRef, buckets: &ArrayRef, zone: Zone) -> ArrayRef {
    let nanoseconds = |array: &ArrayRef| array.as_primitive::<TimestampNanosecondType>().clone();
    let (times, local, buckets) = (nanoseconds(times), nanoseconds(local), nanoseconds(buckets));
    let rows = times.iter().zip(local.iter()).zip(buckets.iter());
    let begun = rows.map(|((time, local), bucket)| {
        let (time, local, bucket) = (time?, local?, bucket?);
        let away = local.saturating_sub(time);
        let then = bucket.saturating_sub(away);
        match i64::from(zone.offset_at(then.div_euclid(SECOND_NS))) * SECOND_NS == away {
            true => Some(then),
            false => Some(
                bucket.saturating_sub(i64::from(zone.offset_of_local(bucket.div_euclid(SECOND_NS))) * SECOND_NS),
            ),
        }
    });
    Arc::new(begun.collect::<TimestampNanosecondArray>().with_timezone_opt(utc()))
}

fn interval(width: &ColumnarValue) -> Result<IntervalMonthDayNano> {
    let ColumnarValue::Scalar(value) = width else {
        return plan_err!("the interval of time_bucket() must be a constant");
    };
    if let Some(Some(milliseconds)) = value.try_as_str().map(|text| text.and_then(short_duration_ms)) {
        let nanoseconds = milliseconds.checked_mul(1_000_000);
        let nanoseconds = nanoseconds.ok_or_else(|| plan_datafusion_err!("the interval is too long: {value}"))?;
        return Ok(IntervalMonthDayNano::new(0, 0, nanoseconds));
    }
    match value.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))? {
        ScalarValue::IntervalMonthDayNano(Some(width)) => Ok(width),
        other => plan_err!("the interval of time_bucket() must not be {other}"),
    }
}
