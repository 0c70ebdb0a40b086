//! Every PromQL function in one row: its name and its signature. Nothing else knows a function by its name; what is
//! peculiar to one is asked of its row. How it is computed stands in the row beside its kernel, in
//! `engine/promql/kernel/functions`, which the compiler asks for.
//!
//! Source of names and signatures: `promql/parser/functions.go` of Prometheus 3.16.

use super::value_type::ValueType;

/// One function. `variadic`: how many of the last arguments are optional (`n > 0`: the last argument may be
/// left out or repeated up to `n` times in all; `-1`: any number of the last one, also none).
#[derive(Debug)]
pub struct Function {
    pub id: Id,
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub variadic: i32,
    pub returns: ValueType,
    /// Needs `--enable-feature=promql-experimental-functions`.
    pub experimental: bool,
    /// The second argument, where there is one, is a selector of labels and has no name.
    pub selects_labels: bool,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Function {
    const fn new(
        id: Id,
        name: &'static str,
        args: &'static [ValueType],
        variadic: i32,
        returns: ValueType,
    ) -> Self {
        Self { id, name, args, variadic, returns, experimental: false, selects_labels: false }
    }

    const fn experimental(self) -> Self {
        Self { experimental: true, ..self }
    }

    const fn selecting_labels(self) -> Self {
        Self { selects_labels: true, ..self }
    }
}

/// The function of a name; names are case-sensitive.
pub fn get(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

/// The function of an id.
pub(crate) fn of(id: Id) -> &'static Function {
    &FUNCTIONS[id as usize]
}

macro_rules! functions {
    ($($id:ident $name:literal [$($arg:ident),*] $variadic:literal -> $returns:ident $(, $flag:ident)*;)*) => {
        /// Which function; as a number it is its place among [`FUNCTIONS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Id {
            $($id,)*
        }

        impl Id {
            pub(crate) const ALL: &[Id] = &[$(Id::$id,)*];
        }

        /// Sorted by name.
        pub static FUNCTIONS: &[Function] = &[$(
            Function::new(Id::$id, $name, &[$(ValueType::$arg),*], $variadic, ValueType::$returns)$(.$flag())*,
        )*];
    };
}

functions! {
    Abs "abs" [Vector] 0 -> Vector;
    Absent "absent" [Vector] 0 -> Vector;
    AbsentOverTime "absent_over_time" [Matrix] 0 -> Vector;
    Acos "acos" [Vector] 0 -> Vector;
    Acosh "acosh" [Vector] 0 -> Vector;
    Asin "asin" [Vector] 0 -> Vector;
    Asinh "asinh" [Vector] 0 -> Vector;
    Atan "atan" [Vector] 0 -> Vector;
    Atanh "atanh" [Vector] 0 -> Vector;
    AvgOverTime "avg_over_time" [Matrix] 0 -> Vector;
    Ceil "ceil" [Vector] 0 -> Vector;
    Changes "changes" [Matrix] 0 -> Vector;
    Clamp "clamp" [Vector, Scalar, Scalar] 0 -> Vector;
    ClampMax "clamp_max" [Vector, Scalar] 0 -> Vector;
    ClampMin "clamp_min" [Vector, Scalar] 0 -> Vector;
    Cos "cos" [Vector] 0 -> Vector;
    Cosh "cosh" [Vector] 0 -> Vector;
    CountOverTime "count_over_time" [Matrix] 0 -> Vector;
    DayOfMonth "day_of_month" [Vector] 1 -> Vector;
    DayOfWeek "day_of_week" [Vector] 1 -> Vector;
    DayOfYear "day_of_year" [Vector] 1 -> Vector;
    DaysInMonth "days_in_month" [Vector] 1 -> Vector;
    Deg "deg" [Vector] 0 -> Vector;
    Delta "delta" [Matrix] 0 -> Vector;
    Deriv "deriv" [Matrix] 0 -> Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" [Matrix, Scalar, Scalar] 0 -> Vector, experimental;
    End "end" [] 0 -> Scalar, experimental;
    Exp "exp" [Vector] 0 -> Vector;
    FirstOverTime "first_over_time" [Matrix] 0 -> Vector;
    Floor "floor" [Vector] 0 -> Vector;
    HistogramAvg "histogram_avg" [Vector] 0 -> Vector;
    HistogramCount "histogram_count" [Vector] 0 -> Vector;
    HistogramFraction "histogram_fraction" [Scalar, Scalar, Vector] 0 -> Vector;
    HistogramQuantile "histogram_quantile" [Scalar, Vector] 0 -> Vector;
    HistogramQuantiles "histogram_quantiles" [Vector, String, Scalar, Scalar] 9 -> Vector, experimental;
    HistogramStddev "histogram_stddev" [Vector] 0 -> Vector;
    HistogramStdvar "histogram_stdvar" [Vector] 0 -> Vector;
    HistogramSum "histogram_sum" [Vector] 0 -> Vector;
    Hour "hour" [Vector] 1 -> Vector;
    Idelta "idelta" [Matrix] 0 -> Vector;
    Increase "increase" [Matrix] 0 -> Vector;
    Info "info" [Vector, Vector] 1 -> Vector, experimental, selecting_labels;
    Irate "irate" [Matrix] 0 -> Vector;
    LabelJoin "label_join" [Vector, String, String, String] -1 -> Vector;
    LabelReplace "label_replace" [Vector, String, String, String, String] 0 -> Vector;
    LastOverTime "last_over_time" [Matrix] 0 -> Vector;
    Ln "ln" [Vector] 0 -> Vector;
    Log10 "log10" [Vector] 0 -> Vector;
    Log2 "log2" [Vector] 0 -> Vector;
    MadOverTime "mad_over_time" [Matrix] 0 -> Vector, experimental;
    MaxOf "max_of" [Scalar, Scalar] 0 -> Scalar, experimental;
    MaxOverTime "max_over_time" [Matrix] 0 -> Vector;
    MinOf "min_of" [Scalar, Scalar] 0 -> Scalar, experimental;
    MinOverTime "min_over_time" [Matrix] 0 -> Vector;
    Minute "minute" [Vector] 1 -> Vector;
    Month "month" [Vector] 1 -> Vector;
    Pi "pi" [] 0 -> Scalar;
    PredictLinear "predict_linear" [Matrix, Scalar] 0 -> Vector;
    PresentOverTime "present_over_time" [Matrix] 0 -> Vector;
    QuantileOverTime "quantile_over_time" [Scalar, Matrix] 0 -> Vector;
    Rad "rad" [Vector] 0 -> Vector;
    Range "range" [] 0 -> Scalar, experimental;
    Rate "rate" [Matrix] 0 -> Vector;
    Resets "resets" [Matrix] 0 -> Vector;
    Round "round" [Vector, Scalar] 1 -> Vector;
    Scalar "scalar" [Vector] 0 -> Scalar;
    Sgn "sgn" [Vector] 0 -> Vector;
    Sin "sin" [Vector] 0 -> Vector;
    Sinh "sinh" [Vector] 0 -> Vector;
    Sort "sort" [Vector] 0 -> Vector;
    SortByLabel "sort_by_label" [Vector, String] -1 -> Vector, experimental;
    SortByLabelDesc "sort_by_label_desc" [Vector, String] -1 -> Vector, experimental;
    SortDesc "sort_desc" [Vector] 0 -> Vector;
    Sqrt "sqrt" [Vector] 0 -> Vector;
    Start "start" [] 0 -> Scalar, experimental;
    StartTimestamp "start_timestamp" [Vector] 0 -> Vector, experimental;
    StddevOverTime "stddev_over_time" [Matrix] 0 -> Vector;
    StdvarOverTime "stdvar_over_time" [Matrix] 0 -> Vector;
    Step "step" [] 0 -> Scalar, experimental;
    SumOverTime "sum_over_time" [Matrix] 0 -> Vector;
    Tan "tan" [Vector] 0 -> Vector;
    Tanh "tanh" [Vector] 0 -> Vector;
    Time "time" [] 0 -> Scalar;
    Timestamp "timestamp" [Vector] 0 -> Vector;
    TsOfFirstOverTime "ts_of_first_over_time" [Matrix] 0 -> Vector, experimental;
    TsOfLastOverTime "ts_of_last_over_time" [Matrix] 0 -> Vector, experimental;
    TsOfMaxOverTime "ts_of_max_over_time" [Matrix] 0 -> Vector, experimental;
    TsOfMinOverTime "ts_of_min_over_time" [Matrix] 0 -> Vector, experimental;
    Vector "vector" [Scalar] 0 -> Vector;
    Year "year" [Vector] 1 -> Vector;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_name_and_by_id() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name), "names are found by bisection");
        for function in FUNCTIONS {
            assert_eq!(get(function.name), Some(function));
            assert_eq!(of(function.id).name, function.name);
        }
        assert!(get("RATE").is_none() && get("").is_none());
    }

    /// An id is the name in the words of Rust, so that who knows the one finds the other.
    #[test]
    fn ids_are_spelled_like_names() {
        for function in FUNCTIONS {
            let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
            let spelled: String = function.name.split('_').map(capital).collect();
            assert_eq!(format!("{:?}", function.id), spelled);
        }
    }
}
