//! The times of buckets. Which bucket a time is in is known to `time_bucket()` alone, to months and zones that set their
//! clocks: times at half the shortest width of a bucket are in all of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema, TimeUnit, TimestampNanosecondType};
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use super::bounds::Bounds;
use super::names::GAPFILL;
use crate::engine::sql::arguments::fold;
use crate::engine::sql::functions::{bucket_width, time_bucket};
use crate::engine::sql::state::raised;

/// Buckets of a group.
pub const MAX_BUCKETS: i64 = 1_000_000;
/// Times that are looked at together.
const TOGETHER: usize = 8192;
const HOUR_NS: i64 = 3_600_000_000_000;
/// A month has as many at least.
const SHORT_MONTH_NS: i64 = 28 * 24 * HOUR_NS;
/// Clocks are set by as much at most, within a day.
const SET_NS: i64 = 3 * HOUR_NS;

/// From the first bucket to the last.
#[derive(Debug)]
pub struct Times {
    start: i64,
    /// Not in a bucket any more.
    finish: i64,
    step: i64,
    zone: Option<Arc<str>>,
    bucket: Arc<dyn PhysicalExpr>,
}

impl Times {
    /// # Errors
    /// 22023 where the width or a bound is no constant, or the end comes before the start; 54000 for too many buckets.
    pub fn planned(width: &Expr, bounds: &Bounds, zone: Option<Arc<str>>, session: &dyn Session) -> Result<Self> {
        let width = bucket_width(&fold("the width of a bucket", width, session)?)?;
        let step = step(width)?;
        let of = |name: &str, bounds: &[Expr]| -> Result<Vec<i64>> {
            let bounds = bounds.iter().map(|bound| match fold(name, bound, session)? {
                ScalarValue::TimestampNanosecond(Some(time), _) => Ok(time),
                other => Err(raised("22023", format!("{name} must be a time, not {other}"))),
            });
            bounds.collect()
        };
        let start = of("start", &bounds.starts)?.into_iter().max().unwrap_or(i64::MAX);
        let finish = of("finish", &bounds.finishes)?.into_iter().min().unwrap_or(i64::MIN);
        if start >= finish {
            return Err(raised("22023", format!("the start of {GAPFILL}() must be before its finish")));
        }
        if (i128::from(finish) - i128::from(start)) / i128::from(step) > 2 * i128::from(MAX_BUCKETS) {
            let message =
                format!("{GAPFILL}() makes at most {MAX_BUCKETS} buckets for a group: ask for wider ones");
            return Err(raised("54000", message));
        }
        let schema =
            Schema::new(vec![Field::new("t", DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()), true)]);
        let schema = DFSchema::try_from(schema)?;
        let width = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(width)), None);
        let bucket = time_bucket().call(vec![width, Expr::Column(Column::from_name("t"))]);
        let bucket = session.create_physical_expr(bucket, &schema)?;
        Ok(Self { start, finish, step, zone, bucket })
    }

    /// The times of all buckets, in nanoseconds, in order.
    ///
    /// # Errors
    /// Of `time_bucket()`.
    pub fn buckets(&self) -> Result<Vec<i64>> {
        let mut buckets: Vec<i64> = vec![];
        let mut next = Some(self.start);
        while let Some(from) = next {
            let mut times = Vec::with_capacity(TOGETHER);
            next = Some(from);
            while let Some(time) = next.filter(|_| times.len() < TOGETHER) {
                times.push(time);
                // The last one is the last time before the end, wherever the steps go.
                next = match time.saturating_add(self.step) {
                    _ if time == self.finish - 1 => None,
                    further => Some(further.min(self.finish - 1)),
                };
            }
            for bucket in self.of(times)? {
                if buckets.last().is_none_or(|last| bucket > *last) {
                    buckets.push(bucket);
                }
            }
        }
        Ok(buckets)
    }

    fn of(&self, times: Vec<i64>) -> Result<Vec<i64>> {
        let rows = times.len();
        let times: ArrayRef =
            Arc::new(TimestampNanosecondArray::from(times).with_timezone_opt::<Arc<str>>(self.zone.clone()));
        let field = Field::new("t", times.data_type().clone(), true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![times])?;
        let buckets = self.bucket.evaluate(&batch)?.into_array(rows)?;
        Ok(buckets.as_primitive::<TimestampNanosecondType>().iter().flatten().collect())
    }
}

/// Half of the shortest bucket of a width.
fn step(width: IntervalMonthDayNano) -> Result<i64> {
    let IntervalMonthDayNano { months, days, nanoseconds } = width;
    let months = i64::from(months).checked_mul(SHORT_MONTH_NS);
    let days = i64::from(days).checked_mul(24 * HOUR_NS);
    let whole = months.zip(days).and_then(|(months, days)| months.checked_add(days)?.checked_add(nanoseconds));
    match whole {
        Some(whole) if whole > 0 => {
            let shortest = if whole >= 24 * HOUR_NS { whole - SET_NS } else { whole };
            Ok((shortest / 2).max(1))
        }
        Some(_) => Err(raised("22023", format!("the width of a bucket of {GAPFILL}() must be greater than 0"))),
        None => Err(raised("22008", format!("the width of a bucket of {GAPFILL}() is too long"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_every_bucket() {
        let of = |months, days, nanoseconds| step(IntervalMonthDayNano::new(months, days, nanoseconds)).ok();
        assert_eq!(of(0, 0, HOUR_NS), Some(HOUR_NS / 2));
        assert_eq!(of(0, 1, 0), Some((24 * HOUR_NS - SET_NS) / 2));
        assert_eq!(of(1, 0, 0), Some((SHORT_MONTH_NS - SET_NS) / 2));
        assert_eq!(of(0, 0, 1), Some(1));
        for wrong in [of(0, 0, 0), of(0, -1, 0), of(-1, 31, 0), of(i32::MAX, 0, 0)] {
            assert_eq!(wrong.filter(|step| *step < 0), None);
        }
        assert_eq!((of(0, 0, 0), of(0, -1, 0), of(i32::MAX, 0, 0)), (None, None, None));
    }
}
