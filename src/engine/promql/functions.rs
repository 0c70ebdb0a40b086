//! Every PromQL function in one row: its name, its signature, and how it is computed. Nothing else knows a function by
//! its name; what is peculiar to one is asked of its row or of the family it belongs to.
//!
//! Source of names and signatures: `promql/parser/functions.go` of Prometheus 3.14.

use std::f64::consts::PI;
use std::hash::{Hash, Hasher};

use Compute::*;

use super::ast::ValueType::{self, Matrix, Scalar, String, Vector};
use super::kernel::range::{RangeKernel, per_window};
use super::kernel::types::Extension;
use super::kernel::{date, extremes, last_two, math, over_time, rate, transitions, trend};
use crate::error::{Error, Result};
use crate::model::histogram::FloatHistogram;

/// One function. `variadic`: how many of the last arguments are optional (`n > 0`: the last argument may be
/// left out or repeated up to `n` times in all; `-1`: any number of the last one, also none).
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub variadic: i32,
    pub returns: ValueType,
    /// Needs `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
    pub compute: Compute,
}

/// `None` is no value.
pub type FloatWithScalars = fn(f64, &[f64]) -> Option<f64>;

/// How a function is computed: a kernel of one of a few families, or a piece of plan that `lower` makes.
#[derive(Clone, Copy, Debug)]
pub enum Compute {
    /// Of each float.
    Math(fn(f64) -> f64),
    /// Of each float and the scalars behind the vector.
    MathWith(FloatWithScalars),
    /// Of each float, a Unix time in seconds; without an argument of the evaluation times.
    Date(fn(f64) -> f64),
    /// Of each native histogram.
    Histogram(fn(&FloatHistogram) -> f64),
    /// Of the count and the sum of each native histogram, so that its buckets need not be read.
    Statistic(fn(&FloatHistogram) -> f64),
    /// Of the windows of each series.
    Range(RangeKernel),
    /// 1 where the range function of this name has a value for no series.
    AbsentOf(&'static str),
    /// A number.
    Constant(f64),
    /// Seconds, of milliseconds made of the times of the whole query.
    QueryTime(fn(QueryTimes) -> i64),
    /// Of two scalars.
    Scalars(fn(f64, f64) -> f64),
    /// The evaluation times.
    Time,
    /// The value of the only series.
    ToScalar,
    ToVector,
    /// The times of the samples.
    Timestamp,
    /// The start timestamps of the samples.
    StartTimestamp,
    Absent,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    Sort {
        descending: bool,
    },
    SortByLabel {
        descending: bool,
    },
    LabelReplace,
    LabelJoin,
    Info,
}

/// When a query is evaluated, in milliseconds. The step is 0 where one time is asked for.
#[derive(Clone, Copy, Debug)]
pub struct QueryTimes {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Function {
    /// What is evaluated over the windows of a range vector, if the function takes one.
    pub fn over_windows(&'static self) -> Option<Named<&'static RangeKernel>> {
        match &self.compute {
            Range(kernel) => Some(Named { name: self.name, kernel }),
            AbsentOf(name) => get(name)?.over_windows(),
            _ => None,
        }
    }

    /// Whether the result depends on the evaluation time itself, and so varies with it although every selector has a
    /// fixed time; after `AtModifierUnsafeFunctions`.
    pub fn depends_on_time(&self) -> bool {
        match &self.compute {
            Date(_) | Time | QueryTime(_) | Timestamp => true,
            Range(kernel) => kernel.uses_eval_time,
            _ => false,
        }
    }

    /// Whether annotations say how often something was seen, or series are joined by rules of their own; such a call
    /// is not the same as another that is spelled alike.
    pub fn counts_occurrences(&self) -> bool {
        matches!(
            self.compute,
            Histogram(_) | Statistic(_) | HistogramQuantile | HistogramQuantiles | HistogramFraction | Info
        )
    }

    fn takes(&self, extension: Extension) -> bool {
        matches!(&self.compute, Range(kernel) if kernel.takes(extension))
    }

    /// Prometheus' error for a modifier on a function that cannot take it.
    pub fn check_extension(&self, extension: Extension) -> Result<()> {
        let word = match extension {
            Extension::None => return Ok(()),
            Extension::Anchored => "anchored",
            Extension::Smoothed => "smoothed",
        };
        if self.takes(extension) {
            return Ok(());
        }
        let allowed: Vec<&str> = FUNCTIONS.iter().filter(|f| f.takes(extension)).map(|f| f.name).collect();
        let (allowed, name) = (allowed.join(", "), self.name);
        Err(Error::execution(format!("{word} modifier can only be used with: {allowed} - not with {name}")))
    }
}

/// A kernel and the name of its function. Plans are compared and hashed by the name: where a function lies in memory
/// tells nothing.
#[derive(Clone, Copy, Debug)]
pub struct Named<K> {
    pub name: &'static str,
    pub kernel: K,
}

impl<K> PartialEq for Named<K> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<K> Eq for Named<K> {}

impl<K> Hash for Named<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The function of a name; names are case-sensitive.
pub fn get(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

const fn row(
    name: &'static str,
    args: &'static [ValueType],
    variadic: i32,
    returns: ValueType,
    experimental: bool,
    compute: Compute,
) -> Function {
    Function { name, args, variadic, returns, experimental, compute }
}

/// Sorted by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    row("abs", &[Vector], 0, Vector, false, Math(f64::abs)),
    row("absent", &[Vector], 0, Vector, false, Absent),
    row("absent_over_time", &[Matrix], 0, Vector, false, AbsentOf("present_over_time")),
    row("acos", &[Vector], 0, Vector, false, Math(f64::acos)),
    row("acosh", &[Vector], 0, Vector, false, Math(f64::acosh)),
    row("asin", &[Vector], 0, Vector, false, Math(f64::asin)),
    row("asinh", &[Vector], 0, Vector, false, Math(f64::asinh)),
    row("atan", &[Vector], 0, Vector, false, Math(f64::atan)),
    row("atanh", &[Vector], 0, Vector, false, Math(f64::atanh)),
    row("avg_over_time", &[Matrix], 0, Vector, false, Range(over_time::AVG)),
    row("ceil", &[Vector], 0, Vector, false, Math(f64::ceil)),
    row("changes", &[Matrix], 0, Vector, false, Range(transitions::CHANGES)),
    row("clamp", &[Vector, Scalar, Scalar], 0, Vector, false, MathWith(math::clamp)),
    row("clamp_max", &[Vector, Scalar], 0, Vector, false, MathWith(math::clamp_max)),
    row("clamp_min", &[Vector, Scalar], 0, Vector, false, MathWith(math::clamp_min)),
    row("cos", &[Vector], 0, Vector, false, Math(f64::cos)),
    row("cosh", &[Vector], 0, Vector, false, Math(f64::cosh)),
    row("count_over_time", &[Matrix], 0, Vector, false, Range(per_window(over_time::count))),
    row("day_of_month", &[Vector], 1, Vector, false, Date(date::day_of_month)),
    row("day_of_week", &[Vector], 1, Vector, false, Date(date::day_of_week)),
    row("day_of_year", &[Vector], 1, Vector, false, Date(date::day_of_year)),
    row("days_in_month", &[Vector], 1, Vector, false, Date(date::days_in_month)),
    row("deg", &[Vector], 0, Vector, false, Math(math::deg)),
    row("delta", &[Matrix], 0, Vector, false, Range(rate::DELTA)),
    row("deriv", &[Matrix], 0, Vector, false, Range(trend::DERIV)),
    row("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector, true, Range(per_window(trend::smoothing).checking(trend::check_factors))),
    row("end", &[], 0, Scalar, true, QueryTime(|query| query.end)),
    row("exp", &[Vector], 0, Vector, false, Math(f64::exp)),
    row("first_over_time", &[Matrix], 0, Vector, false, Range(per_window(over_time::first).with_histograms().keeping_name())),
    row("floor", &[Vector], 0, Vector, false, Math(f64::floor)),
    row("histogram_avg", &[Vector], 0, Vector, false, Statistic(FloatHistogram::mean)),
    row("histogram_count", &[Vector], 0, Vector, false, Statistic(|h| h.count)),
    row("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector, false, HistogramFraction),
    row("histogram_quantile", &[Scalar, Vector], 0, Vector, false, HistogramQuantile),
    row("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9, Vector, true, HistogramQuantiles),
    row("histogram_stddev", &[Vector], 0, Vector, false, Histogram(|h| h.variance().sqrt())),
    row("histogram_stdvar", &[Vector], 0, Vector, false, Histogram(FloatHistogram::variance)),
    row("histogram_sum", &[Vector], 0, Vector, false, Statistic(|h| h.sum)),
    row("hour", &[Vector], 1, Vector, false, Date(date::hour)),
    row("idelta", &[Matrix], 0, Vector, false, Range(per_window(last_two::idelta).with_histograms())),
    row("increase", &[Matrix], 0, Vector, false, Range(rate::INCREASE)),
    row("info", &[Vector, Vector], 1, Vector, true, Info),
    row("irate", &[Matrix], 0, Vector, false, Range(per_window(last_two::irate).with_histograms().with_start_timestamps())),
    row("label_join", &[Vector, String, String, String], -1, Vector, false, LabelJoin),
    row("label_replace", &[Vector, String, String, String, String], 0, Vector, false, LabelReplace),
    row("last_over_time", &[Matrix], 0, Vector, false, Range(per_window(over_time::last).with_histograms().keeping_name())),
    row("ln", &[Vector], 0, Vector, false, Math(f64::ln)),
    row("log10", &[Vector], 0, Vector, false, Math(f64::log10)),
    row("log2", &[Vector], 0, Vector, false, Math(f64::log2)),
    row("mad_over_time", &[Matrix], 0, Vector, true, Range(per_window(over_time::mad))),
    row("max_of", &[Scalar, Scalar], 0, Scalar, true, Scalars(math::larger)),
    row("max_over_time", &[Matrix], 0, Vector, false, Range(extremes::MAX)),
    row("min_of", &[Scalar, Scalar], 0, Scalar, true, Scalars(math::smaller)),
    row("min_over_time", &[Matrix], 0, Vector, false, Range(extremes::MIN)),
    row("minute", &[Vector], 1, Vector, false, Date(date::minute)),
    row("month", &[Vector], 1, Vector, false, Date(date::month)),
    row("pi", &[], 0, Scalar, false, Constant(PI)),
    row("predict_linear", &[Matrix, Scalar], 0, Vector, false, Range(per_window(trend::predict).at_eval_time())),
    row("present_over_time", &[Matrix], 0, Vector, false, Range(per_window(over_time::present))),
    row("quantile_over_time", &[Scalar, Matrix], 0, Vector, false, Range(per_window(over_time::quantile))),
    row("rad", &[Vector], 0, Vector, false, Math(math::rad)),
    row("range", &[], 0, Scalar, true, QueryTime(|query| query.end - query.start)),
    row("rate", &[Matrix], 0, Vector, false, Range(rate::RATE)),
    row("resets", &[Matrix], 0, Vector, false, Range(transitions::RESETS)),
    row("round", &[Vector, Scalar], 1, Vector, false, MathWith(math::round)),
    row("scalar", &[Vector], 0, Scalar, false, ToScalar),
    row("sgn", &[Vector], 0, Vector, false, Math(math::sgn)),
    row("sin", &[Vector], 0, Vector, false, Math(f64::sin)),
    row("sinh", &[Vector], 0, Vector, false, Math(f64::sinh)),
    row("sort", &[Vector], 0, Vector, false, Sort { descending: false }),
    row("sort_by_label", &[Vector, String], -1, Vector, true, SortByLabel { descending: false }),
    row("sort_by_label_desc", &[Vector, String], -1, Vector, true, SortByLabel { descending: true }),
    row("sort_desc", &[Vector], 0, Vector, false, Sort { descending: true }),
    row("sqrt", &[Vector], 0, Vector, false, Math(f64::sqrt)),
    row("start", &[], 0, Scalar, true, QueryTime(|query| query.start)),
    row("start_timestamp", &[Vector], 0, Vector, true, StartTimestamp),
    row("stddev_over_time", &[Matrix], 0, Vector, false, Range(over_time::STDDEV)),
    row("stdvar_over_time", &[Matrix], 0, Vector, false, Range(over_time::STDVAR)),
    row("step", &[], 0, Scalar, true, QueryTime(|query| query.step)),
    row("sum_over_time", &[Matrix], 0, Vector, false, Range(over_time::SUM)),
    row("tan", &[Vector], 0, Vector, false, Math(f64::tan)),
    row("tanh", &[Vector], 0, Vector, false, Math(f64::tanh)),
    row("time", &[], 0, Scalar, false, Time),
    row("timestamp", &[Vector], 0, Vector, false, Timestamp),
    row("ts_of_first_over_time", &[Matrix], 0, Vector, true, Range(per_window(over_time::time_of_first))),
    row("ts_of_last_over_time", &[Matrix], 0, Vector, true, Range(per_window(over_time::time_of_last))),
    row("ts_of_max_over_time", &[Matrix], 0, Vector, true, Range(extremes::TIME_OF_MAX)),
    row("ts_of_min_over_time", &[Matrix], 0, Vector, true, Range(extremes::TIME_OF_MIN)),
    row("vector", &[Scalar], 0, Vector, false, ToVector),
    row("year", &[Vector], 1, Vector, false, Date(date::year)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_agree_with_their_kernels() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name), "names are found by bisection");
        for function in FUNCTIONS {
            let scalar = matches!(function.compute, Constant(_) | QueryTime(_) | Scalars(_) | Time | ToScalar);
            assert_eq!(function.returns == Scalar, scalar, "{}", function.name);
            assert_eq!(function.args.contains(&Matrix), function.over_windows().is_some(), "{}", function.name);
        }
    }

    #[test]
    fn modifiers_of_ranges() {
        let check = |name: &str, extension, expected: Option<&str>| {
            let error = get(name).unwrap().check_extension(extension).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), expected, "{name} {extension:?}");
        };
        check("rate", Extension::Smoothed, None);
        check("resets", Extension::Anchored, None);
        check("sum_over_time", Extension::None, None);
        check(
            "resets",
            Extension::Smoothed,
            Some("smoothed modifier can only be used with: delta, increase, rate - not with resets"),
        );
        check(
            "absent_over_time",
            Extension::Anchored,
            Some(
                "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with absent_over_time",
            ),
        );
    }
}
