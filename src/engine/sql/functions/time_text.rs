//! Casts between text and times, under the names that PostgreSQL's have. Sessions do not know them: plans are given them.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, StringArray, StringBuilder, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{internal_err, utils::take_function_args};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::zoned::{units_per_second, utc};
use crate::engine::sql::datetime::read::{self, Now};
use crate::engine::sql::datetime::write;
use crate::engine::sql::state::raised;
use crate::engine::sql::zone::{self, Zone};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Timestamp,
    Timestamptz,
    Date,
}

impl Kind {
    /// Of a type that texts are read as.
    pub fn of(of: &DataType) -> Option<Self> {
        match of {
            DataType::Timestamp(_, None) => Some(Kind::Timestamp),
            DataType::Timestamp(_, Some(_)) => Some(Kind::Timestamptz),
            DataType::Date32 | DataType::Date64 => Some(Kind::Date),
            _ => None,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Kind::Timestamptz => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            Kind::Date => DataType::Date32,
        }
    }

    /// What a text says, as a constant.
    ///
    /// # Errors
    /// See [`read::timestamptz`].
    pub fn read(self, text: &str, now: Now) -> Result<ScalarValue> {
        let nanoseconds = |micros: i64| match micros.checked_mul(1000) {
            Some(nanoseconds) => Ok(Some(nanoseconds)),
            None => Err(raised("22008", format!("timestamp out of range: \"{text}\""))),
        };
        Ok(match self {
            Kind::Timestamp => ScalarValue::TimestampNanosecond(nanoseconds(read::timestamp(text, now)?)?, None),
            Kind::Timestamptz => {
                ScalarValue::TimestampNanosecond(nanoseconds(read::timestamptz(text, now)?)?, utc())
            }
            Kind::Date => ScalarValue::Date32(Some(read::date(text, now)?)),
        })
    }
}

/// `timestamp_in(text)` and the like, where `now` and `today` are those of a statement.
pub fn reading(kind: Kind, now: Now) -> ScalarUDF {
    let name = match kind {
        Kind::Timestamp => "timestamp_in",
        Kind::Timestamptz => "timestamptz_in",
        Kind::Date => "date_in",
    };
    udf(name, kind, Some(now.micros))
}

/// `timestamp_out(time)` and the like.
pub fn writing(kind: Kind) -> &'static ScalarUDF {
    static FUNCTIONS: LazyLock<[ScalarUDF; 3]> = LazyLock::new(|| {
        [("timestamp_out", Kind::Timestamp), ("timestamptz_out", Kind::Timestamptz), ("date_out", Kind::Date)]
            .map(|(name, kind)| udf(name, kind, None))
    });
    &FUNCTIONS[kind as usize]
}

fn udf(name: &'static str, kind: Kind, reads: Option<i64>) -> ScalarUDF {
    let signature = Signature::any(1, Volatility::Stable);
    ScalarUDF::new_from_impl(TimeText { name, kind, reads, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeText {
    name: &'static str,
    kind: Kind,
    /// When the statement began, in microseconds, where texts are read.
    reads: Option<i64>,
    signature: Signature,
}

impl ScalarUDFImpl for TimeText {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.reads.is_some() { self.kind.data_type() } else { DataType::Utf8 })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&[])?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [arg] = take_function_args(self.name, &args.args)?;
        let constant = matches!(arg, ColumnarValue::Scalar(_));
        let array = arg.to_array(if constant { 1 } else { args.number_rows })?;
        let zone = zone::of(&args.config_options);
        let made = match self.reads {
            Some(micros) => self.read(&array, Now { zone, micros })?,
            None => self.write(&array, zone)?,
        };
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)),
            false => Ok(ColumnarValue::Array(made)),
        }
    }
}

impl TimeText {
    fn read(&self, texts: &ArrayRef, now: Now) -> Result<ArrayRef> {
        let texts = cast(texts, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let values = texts.iter().map(|text| text.map(|text| self.kind.read(text, now)).transpose());
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(match self.kind {
            Kind::Date => Arc::new(Date32Array::from_iter(values.into_iter().map(|value| match value {
                Some(ScalarValue::Date32(days)) => days,
                _ => None,
            }))),
            kind => {
                let nanoseconds = values.into_iter().map(|value| match value {
                    Some(ScalarValue::TimestampNanosecond(nanoseconds, _)) => nanoseconds,
                    _ => None,
                });
                let zone = if kind == Kind::Timestamptz { utc() } else { None };
                Arc::new(TimestampNanosecondArray::from_iter(nanoseconds).with_timezone_opt(zone))
            }
        })
    }

    fn write(&self, times: &ArrayRef, zone: Zone) -> Result<ArrayRef> {
        let mut text = String::new();
        let mut out = StringBuilder::with_capacity(times.len(), times.len() * 24);
        let per = match times.data_type() {
            DataType::Timestamp(unit, _) => units_per_second(*unit),
            DataType::Date32 | DataType::Date64 => {
                let days = cast(times, &DataType::Date32)?;
                let days = days.as_primitive::<arrow::datatypes::Date32Type>();
                for day in days {
                    text.clear();
                    day.iter().for_each(|day| write::date(&mut text, *day));
                    out.append_option(day.map(|_| &text));
                }
                return Ok(Arc::new(out.finish()));
            }
            other => return internal_err!("{}() of {other}", self.name),
        };
        let numbers = cast(times, &DataType::Int64)?;
        for time in numbers.as_primitive::<Int64Type>() {
            text.clear();
            if let Some(time) = time {
                // Rounded down, as nothing of PostgreSQL's is finer.
                let micros = (i128::from(time) * 1_000_000).div_euclid(i128::from(per)) as i64;
                match self.kind {
                    Kind::Timestamptz => write::timestamptz(&mut text, micros, zone),
                    _ => write::timestamp(&mut text, micros),
                }
            }
            out.append_option(time.map(|_| &text));
        }
        let out: StringArray = out.finish();
        Ok(Arc::new(out))
    }
}
