//! Functions of SQL sessions, one family per file.

use std::sync::{Arc, LazyLock};

use datafusion::functions::math::ceil;
use datafusion::functions::string::uuid;
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::functions_aggregate::variance::var_samp_udaf;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

/// `sign`, `mod`, `div`, `width_bucket`
mod arithmetic;
/// Limits of functions that make much of little.
mod bounded;
/// `age`, `justify_hours` and the like, `make_timestamp` and the like
mod clocks;
/// `||`
mod concat;
/// `varchar(text, n)`, `bpchar(text, n)`
mod cut;
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
/// `histogram_quantile(q, le, count)`
mod histogram_quantile;
/// `sum` and `avg` of intervals
mod interval_aggregates;
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
/// Calls that are computed of arrays.
mod on_arrays;
/// `mode` and `percentile_disc`
mod ordered;
/// `to_char`, `to_timestamp` and `to_date` with patterns
mod patterned;
/// Functions as rows of tables.
mod plain;
/// `EXTRACT`
mod planner;
/// `format`, `quote_ident` and the like
mod quoting;
/// `regexp_matches` and the like
mod regexes;
/// The evaluation times of a query, in plans of `promql()`.
mod steps;
/// `generate_series`
mod series;
/// `string_agg`
mod string_agg;
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
        functions.extend(cut::functions());
        let rows = arithmetic::ROWS.iter().chain(&clocks::ROWS).chain(&quoting::ROWS).chain(&regexes::ROWS);
        let rows = rows.chain(&series::ROWS);
        functions.extend(rows.map(plain::Row::function));
        functions.push(uuid().as_ref().clone().with_aliases(["gen_random_uuid"]));
        functions.push(ceil().as_ref().clone().with_aliases(["ceiling"]));
        functions
    });
    for function in SCALARS.iter() {
        context.register_udf(function.clone());
    }
    static AGGREGATES: LazyLock<Vec<AggregateUDF>> = LazyLock::new(|| {
        let mut functions = first_last::functions();
        functions.extend(counter::functions());
        functions.extend(interval_aggregates::functions());
        functions.extend(ordered::functions());
        functions.push(histogram_quantile::histogram_quantile());
        functions.push(string_agg::string_agg());
        functions.push(bool_and_udaf().as_ref().clone().with_aliases(["every"]));
        functions.push(var_samp_udaf().as_ref().clone().with_aliases(["variance"]));
        functions
    });
    for function in AGGREGATES.iter() {
        context.register_udaf(function.clone());
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
