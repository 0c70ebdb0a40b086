//! How each function is computed: one row for each signature of the language, beside the kernels. A signature without
//! a row, or a row without a signature, does not compile.

use std::f64::consts::PI;
use std::hash::{Hash, Hasher};

use Compute::*;

use super::range::{RangeKernel, per_window};
use super::types::Extension;
use super::{date, extremes, last_two, math, over_time, rate, transitions, trend};
use crate::error::{Error, Result};
use crate::model::histogram::FloatHistogram;
use crate::promql::functions::{self, FUNCTIONS, Function, Id};

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
    /// 1 where this range function has a value for no series.
    AbsentOf(Id),
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

impl Compute {
    /// Whether the result depends on the evaluation time itself, and so varies with it although every selector has a
    /// fixed time; after `AtModifierUnsafeFunctions`.
    pub fn depends_on_time(&self) -> bool {
        match self {
            Date(_) | Time | QueryTime(_) | Timestamp => true,
            Range(kernel) => kernel.uses_eval_time,
            _ => false,
        }
    }

    /// Whether annotations say how often something was seen, or series are joined by rules of their own; such a call
    /// is not the same as another that is spelled alike.
    pub fn counts_occurrences(&self) -> bool {
        matches!(
            self,
            Histogram(_) | Statistic(_) | HistogramQuantile | HistogramQuantiles | HistogramFraction | Info
        )
    }

    fn takes(&self, extension: Extension) -> bool {
        matches!(self, Range(kernel) if kernel.takes(extension))
    }
}

/// When a query is evaluated, in milliseconds. The step is 0 where one time is asked for.
#[derive(Clone, Copy, Debug)]
pub struct QueryTimes {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

/// How a function is computed.
pub fn compute(function: &Function) -> &'static Compute {
    &TABLE[function.id as usize]
}

/// What is evaluated over the windows of a range vector, if the function takes one.
pub fn over_windows(function: &Function) -> Option<Named<&'static RangeKernel>> {
    match compute(function) {
        Range(kernel) => Some(Named { name: function.name, kernel }),
        AbsentOf(id) => over_windows(functions::of(*id)),
        _ => None,
    }
}

/// Prometheus' error for a modifier on a function that cannot take it.
pub fn check_extension(function: &Function, extension: Extension) -> Result<()> {
    let word = match extension {
        Extension::None => return Ok(()),
        Extension::Anchored => "anchored",
        Extension::Smoothed => "smoothed",
    };
    if compute(function).takes(extension) {
        return Ok(());
    }
    let allowed: Vec<&str> = FUNCTIONS.iter().filter(|f| compute(f).takes(extension)).map(|f| f.name).collect();
    let (allowed, name) = (allowed.join(", "), function.name);
    Err(Error::execution(format!("{word} modifier can only be used with: {allowed} - not with {name}")))
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

/// By id.
static TABLE: [Compute; Id::ALL.len()] = {
    let mut table = [Time; Id::ALL.len()];
    let mut i = 0;
    while i < table.len() {
        table[i] = row(Id::ALL[i]);
        i += 1;
    }
    table
};

#[rustfmt::skip]
const fn row(id: Id) -> Compute {
    match id {
        Id::Abs => Math(f64::abs),
        Id::Absent => Absent,
        Id::AbsentOverTime => AbsentOf(Id::PresentOverTime),
        Id::Acos => Math(f64::acos),
        Id::Acosh => Math(f64::acosh),
        Id::Asin => Math(f64::asin),
        Id::Asinh => Math(f64::asinh),
        Id::Atan => Math(f64::atan),
        Id::Atanh => Math(f64::atanh),
        Id::AvgOverTime => Range(over_time::AVG),
        Id::Ceil => Math(f64::ceil),
        Id::Changes => Range(transitions::CHANGES),
        Id::Clamp => MathWith(math::clamp),
        Id::ClampMax => MathWith(math::clamp_max),
        Id::ClampMin => MathWith(math::clamp_min),
        Id::Cos => Math(f64::cos),
        Id::Cosh => Math(f64::cosh),
        Id::CountOverTime => Range(per_window(over_time::count)),
        Id::DayOfMonth => Date(date::day_of_month),
        Id::DayOfWeek => Date(date::day_of_week),
        Id::DayOfYear => Date(date::day_of_year),
        Id::DaysInMonth => Date(date::days_in_month),
        Id::Deg => Math(math::deg),
        Id::Delta => Range(rate::DELTA),
        Id::Deriv => Range(trend::DERIV),
        Id::DoubleExponentialSmoothing => Range(per_window(trend::smoothing).checking(trend::check_factors)),
        Id::End => QueryTime(|query| query.end),
        Id::Exp => Math(f64::exp),
        Id::FirstOverTime => Range(per_window(over_time::first).with_histograms().keeping_name()),
        Id::Floor => Math(f64::floor),
        Id::HistogramAvg => Statistic(FloatHistogram::mean),
        Id::HistogramCount => Statistic(|h| h.count),
        Id::HistogramFraction => HistogramFraction,
        Id::HistogramQuantile => HistogramQuantile,
        Id::HistogramQuantiles => HistogramQuantiles,
        Id::HistogramStddev => Histogram(|h| h.variance().sqrt()),
        Id::HistogramStdvar => Histogram(FloatHistogram::variance),
        Id::HistogramSum => Statistic(|h| h.sum),
        Id::Hour => Date(date::hour),
        Id::Idelta => Range(per_window(last_two::idelta).with_histograms()),
        Id::Increase => Range(rate::INCREASE),
        Id::Info => Info,
        Id::Irate => Range(per_window(last_two::irate).with_histograms().with_start_timestamps()),
        Id::LabelJoin => LabelJoin,
        Id::LabelReplace => LabelReplace,
        Id::LastOverTime => Range(per_window(over_time::last).with_histograms().keeping_name()),
        Id::Ln => Math(f64::ln),
        Id::Log10 => Math(f64::log10),
        Id::Log2 => Math(f64::log2),
        Id::MadOverTime => Range(per_window(over_time::mad)),
        Id::MaxOf => Scalars(math::larger),
        Id::MaxOverTime => Range(extremes::MAX),
        Id::MinOf => Scalars(math::smaller),
        Id::MinOverTime => Range(extremes::MIN),
        Id::Minute => Date(date::minute),
        Id::Month => Date(date::month),
        Id::Pi => Constant(PI),
        Id::PredictLinear => Range(per_window(trend::predict).at_eval_time()),
        Id::PresentOverTime => Range(per_window(over_time::present)),
        Id::QuantileOverTime => Range(per_window(over_time::quantile)),
        Id::Rad => Math(math::rad),
        Id::Range => QueryTime(|query| query.end - query.start),
        Id::Rate => Range(rate::RATE),
        Id::Resets => Range(transitions::RESETS),
        Id::Round => MathWith(math::round),
        Id::Scalar => ToScalar,
        Id::Sgn => Math(math::sgn),
        Id::Sin => Math(f64::sin),
        Id::Sinh => Math(f64::sinh),
        Id::Sort => Sort { descending: false },
        Id::SortByLabel => SortByLabel { descending: false },
        Id::SortByLabelDesc => SortByLabel { descending: true },
        Id::SortDesc => Sort { descending: true },
        Id::Sqrt => Math(f64::sqrt),
        Id::Start => QueryTime(|query| query.start),
        Id::StartTimestamp => StartTimestamp,
        Id::StddevOverTime => Range(over_time::STDDEV),
        Id::StdvarOverTime => Range(over_time::STDVAR),
        Id::Step => QueryTime(|query| query.step),
        Id::SumOverTime => Range(over_time::SUM),
        Id::Tan => Math(f64::tan),
        Id::Tanh => Math(f64::tanh),
        Id::Time => Time,
        Id::Timestamp => Timestamp,
        Id::TsOfFirstOverTime => Range(per_window(over_time::time_of_first)),
        Id::TsOfLastOverTime => Range(per_window(over_time::time_of_last)),
        Id::TsOfMaxOverTime => Range(extremes::TIME_OF_MAX),
        Id::TsOfMinOverTime => Range(extremes::TIME_OF_MIN),
        Id::Vector => ToVector,
        Id::Year => Date(date::year),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::value_type::ValueType::{Matrix, Scalar};

    #[test]
    fn rows_agree_with_their_signatures() {
        for function in FUNCTIONS {
            let scalar = matches!(compute(function), Constant(_) | QueryTime(_) | Scalars(_) | Time | ToScalar);
            assert_eq!(function.returns == Scalar, scalar, "{}", function.name);
            assert_eq!(function.args.contains(&Matrix), over_windows(function).is_some(), "{}", function.name);
            assert_eq!(function.selects_labels, matches!(compute(function), Info), "{}", function.name);
        }
    }

    #[test]
    fn modifiers_of_ranges() {
        let check = |name: &str, extension, expected: Option<&str>| {
            let function = functions::get(name).unwrap();
            let error = check_extension(function, extension).err().map(|e| e.to_string());
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
