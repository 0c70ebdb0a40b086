//! Every PromQL function: its name and signature. Source: `promql/parser/functions.go` of Prometheus 3.14.

use super::ast::ValueType::{self, Matrix, Scalar, String, Vector};

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
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
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
) -> Function {
    Function { name, args, variadic, returns, experimental }
}

/// Sorted by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    row("abs", &[Vector], 0, Vector, false),
    row("absent", &[Vector], 0, Vector, false),
    row("absent_over_time", &[Matrix], 0, Vector, false),
    row("acos", &[Vector], 0, Vector, false),
    row("acosh", &[Vector], 0, Vector, false),
    row("asin", &[Vector], 0, Vector, false),
    row("asinh", &[Vector], 0, Vector, false),
    row("atan", &[Vector], 0, Vector, false),
    row("atanh", &[Vector], 0, Vector, false),
    row("avg_over_time", &[Matrix], 0, Vector, false),
    row("ceil", &[Vector], 0, Vector, false),
    row("changes", &[Matrix], 0, Vector, false),
    row("clamp", &[Vector, Scalar, Scalar], 0, Vector, false),
    row("clamp_max", &[Vector, Scalar], 0, Vector, false),
    row("clamp_min", &[Vector, Scalar], 0, Vector, false),
    row("cos", &[Vector], 0, Vector, false),
    row("cosh", &[Vector], 0, Vector, false),
    row("count_over_time", &[Matrix], 0, Vector, false),
    row("day_of_month", &[Vector], 1, Vector, false),
    row("day_of_week", &[Vector], 1, Vector, false),
    row("day_of_year", &[Vector], 1, Vector, false),
    row("days_in_month", &[Vector], 1, Vector, false),
    row("deg", &[Vector], 0, Vector, false),
    row("delta", &[Matrix], 0, Vector, false),
    row("deriv", &[Matrix], 0, Vector, false),
    row("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector, true),
    row("end", &[], 0, Scalar, true),
    row("exp", &[Vector], 0, Vector, false),
    row("first_over_time", &[Matrix], 0, Vector, false),
    row("floor", &[Vector], 0, Vector, false),
    row("histogram_avg", &[Vector], 0, Vector, false),
    row("histogram_count", &[Vector], 0, Vector, false),
    row("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector, false),
    row("histogram_quantile", &[Scalar, Vector], 0, Vector, false),
    row("histogram_quantiles", &[Vector, String, Scalar, Scalar], 9, Vector, true),
    row("histogram_stddev", &[Vector], 0, Vector, false),
    row("histogram_stdvar", &[Vector], 0, Vector, false),
    row("histogram_sum", &[Vector], 0, Vector, false),
    row("hour", &[Vector], 1, Vector, false),
    row("idelta", &[Matrix], 0, Vector, false),
    row("increase", &[Matrix], 0, Vector, false),
    row("info", &[Vector, Vector], 1, Vector, true),
    row("irate", &[Matrix], 0, Vector, false),
    row("label_join", &[Vector, String, String, String], -1, Vector, false),
    row("label_replace", &[Vector, String, String, String, String], 0, Vector, false),
    row("last_over_time", &[Matrix], 0, Vector, false),
    row("ln", &[Vector], 0, Vector, false),
    row("log10", &[Vector], 0, Vector, false),
    row("log2", &[Vector], 0, Vector, false),
    row("mad_over_time", &[Matrix], 0, Vector, true),
    row("max_of", &[Scalar, Scalar], 0, Scalar, true),
    row("max_over_time", &[Matrix], 0, Vector, false),
    row("min_of", &[Scalar, Scalar], 0, Scalar, true),
    row("min_over_time", &[Matrix], 0, Vector, false),
    row("minute", &[Vector], 1, Vector, false),
    row("month", &[Vector], 1, Vector, false),
    row("pi", &[], 0, Scalar, false),
    row("predict_linear", &[Matrix, Scalar], 0, Vector, false),
    row("present_over_time", &[Matrix], 0, Vector, false),
    row("quantile_over_time", &[Scalar, Matrix], 0, Vector, false),
    row("rad", &[Vector], 0, Vector, false),
    row("range", &[], 0, Scalar, true),
    row("rate", &[Matrix], 0, Vector, false),
    row("resets", &[Matrix], 0, Vector, false),
    row("round", &[Vector, Scalar], 1, Vector, false),
    row("scalar", &[Vector], 0, Scalar, false),
    row("sgn", &[Vector], 0, Vector, false),
    row("sin", &[Vector], 0, Vector, false),
    row("sinh", &[Vector], 0, Vector, false),
    row("sort", &[Vector], 0, Vector, false),
    row("sort_by_label", &[Vector, String], -1, Vector, true),
    row("sort_by_label_desc", &[Vector, String], -1, Vector, true),
    row("sort_desc", &[Vector], 0, Vector, false),
    row("sqrt", &[Vector], 0, Vector, false),
    row("start", &[], 0, Scalar, true),
    row("start_timestamp", &[Vector], 0, Vector, true),
    row("stddev_over_time", &[Matrix], 0, Vector, false),
    row("stdvar_over_time", &[Matrix], 0, Vector, false),
    row("step", &[], 0, Scalar, true),
    row("sum_over_time", &[Matrix], 0, Vector, false),
    row("tan", &[Vector], 0, Vector, false),
    row("tanh", &[Vector], 0, Vector, false),
    row("time", &[], 0, Scalar, false),
    row("timestamp", &[Vector], 0, Vector, false),
    row("ts_of_first_over_time", &[Matrix], 0, Vector, true),
    row("ts_of_last_over_time", &[Matrix], 0, Vector, true),
    row("ts_of_max_over_time", &[Matrix], 0, Vector, true),
    row("ts_of_min_over_time", &[Matrix], 0, Vector, true),
    row("vector", &[Scalar], 0, Vector, false),
    row("year", &[Vector], 1, Vector, false),
];
