//! Functions of SQL sessions, one family per file.

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

/// Limits of functions that make much of little.
mod bounded;
/// `||`
mod concat;
/// `date_part(field, time)`
mod date_part;
/// `date_trunc(unit, time [, zone])`
mod date_trunc;
/// `increase`, `rate`, `delta` over `(timestamp, value)`
mod counter;
/// `first(value, timestamp)`, `last(value, timestamp)`
mod first_last;
/// Histograms of PromQL results as JSON.
mod histogram;
/// Arithmetic with intervals.
pub mod intervals;
/// Numbers, as PostgreSQL checks, rounds and compares them.
pub mod numbers;
/// `log(x)`
mod logarithm;
/// `array_length` and `array_remove`
mod lengths;
/// The time at which a statement began.
mod now;
/// `to_char`, `to_timestamp` and `to_date` with patterns
mod patterned;
/// `EXTRACT`
mod planner;
/// The evaluation times of a query, in plans of `promql()`.
mod steps;
/// `time_bucket(interval, timestamp [, origin])`
mod time_bucket;

/// Casts between texts and times.
pub mod time_text;
/// `timezone(zone, time)`
pub mod zoned;

pub use concat::ConcatPlanner;
pub use planner::TimePlanner;
pub use time_bucket::{bucket_width, time_bucket};

/// Whether it is `increase`, `rate` or `delta`.
pub fn is_counter(function: &AggregateUDF) -> bool {
    counter::is_counter(function)
}

/// Registers all of them, and limits DataFusion's own.
pub fn register(context: &SessionContext) {
    bounded::register(context);
    patterned::register(context);
    static SCALARS: LazyLock<Vec<ScalarUDF>> = LazyLock::new(|| {
        let mut functions = vec![
            date_part::date_part().clone(),
            date_trunc::date_trunc(),
            histogram_json().as_ref().clone(),
            logarithm::log(),
            time_bucket(),
            zoned::timezone(),
        ];
        functions.extend(now::functions());
        functions.extend(lengths::functions());
        functions
    });
    for function in SCALARS.iter() {
        context.register_udf(function.clone());
    }
    for function in first_last::functions().into_iter().chain(counter::functions()) {
        context.register_udaf(function);
    }
}

/// `histogram_json(bytes)`, see [`histogram`].
pub fn histogram_json() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(histogram::histogram_json()));
    FUNCTION.clone()
}

/// `prom_steps(start, end, step)`, see [`steps`].
pub fn prom_steps() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(steps::prom_steps()));
    FUNCTION.clone()
}
