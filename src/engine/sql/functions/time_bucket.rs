//! `time_bucket(interval, timestamp [, origin])`, TimescaleDB's name for `date_bin`. Buckets start at its origin,
//! Monday 2000-01-03, or 2000-01-01 where the interval counts months. A text such as `5m` is an interval too, as
//! Grafana writes it.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::engine::sql::arguments::short_duration_ms;

const MONDAY_NS: i64 = 946_857_600_000_000_000;
const NEW_YEAR_NS: i64 = 946_684_800_000_000_000;

pub fn time_bucket() -> ScalarUDF {
    ScalarUDF::new_from_impl(TimeBucket { signature: Signature::user_defined(Volatility::Immutable) })
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
            DataType::Interval(_) | DataType::Duration(_) => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
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
        if args.args.len() == 2 {
            let origin = if width.months == 0 { MONDAY_NS } else { NEW_YEAR_NS };
            let origin = ScalarValue::TimestampNanosecond(Some(origin), Some("+00:00".into()));
            args.args.push(ColumnarValue::Scalar(origin));
            args.arg_fields.push(args.arg_fields[1].clone());
        }
        args.args[0] = ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(width)));
        date_bin().invoke_with_args(args)
    }
}

/// The width of a bucket that a constant says.
///
/// # Errors
/// For what is no interval.
pub fn bucket_width(width: &ScalarValue) -> Result<IntervalMonthDayNano> {
    interval(&ColumnarValue::Scalar(width.clone()))
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
