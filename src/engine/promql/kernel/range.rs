//! Functions of range vectors, for one series and a grid of windows.

use super::samples::{Samples, Window, for_each_window};
use super::types::{Extension, Notes, Param, RangeOptions, SeriesIn, Value, VectorOut, Windows};
use super::{extended, extremes, last_two, over_time, rate, transitions, trend};
use crate::engine::promql::annotations::text;
use crate::error::{Error, Result};

/// A function of a range vector. `absent_over_time` is not among them: it is `present_over_time` of all series
/// turned around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    SumOverTime,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    CountOverTime,
    LastOverTime,
    FirstOverTime,
    PresentOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime,
    MadOverTime,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
    TsOfMinOverTime,
    TsOfMaxOverTime,
    TsOfFirstOverTime,
    TsOfLastOverTime,
}

impl RangeFunction {
    /// The function of a PromQL name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, f)| *f)
    }

    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, f)| *f == self).map(|(n, _)| *n).expect("every function has a name")
    }

    /// Whether the result carries the metric name on.
    pub fn keeps_name(self) -> bool {
        matches!(self, RangeFunction::LastOverTime | RangeFunction::FirstOverTime)
    }

    /// Whether histograms can result where histograms go in.
    pub fn may_return_histograms(self) -> bool {
        use RangeFunction::*;
        matches!(
            self,
            Rate | Increase | Delta | Irate | Idelta | SumOverTime | AvgOverTime | LastOverTime | FirstOverTime
        )
    }

    /// Prometheus' error for a modifier on a function that cannot take it.
    pub fn check_extension(self, extension: Extension) -> Result<()> {
        self.check_extension_as(extension, self.name())
    }

    /// The same for a function of another name that is computed by this one.
    pub fn check_extension_as(self, extension: Extension, name: &str) -> Result<()> {
        use RangeFunction::*;
        let (word, allowed) = match extension {
            Extension::None => return Ok(()),
            Extension::Anchored => ("anchored", "changes, delta, increase, rate, resets"),
            Extension::Smoothed => ("smoothed", "delta, increase, rate"),
        };
        let fits = match self {
            Rate | Increase | Delta => true,
            Changes | Resets => extension == Extension::Anchored,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(Error::execution(format!("{word} modifier can only be used with: {allowed} - not with {name}")))
    }

    fn uses_start_timestamps(self) -> bool {
        use RangeFunction::*;
        matches!(self, Rate | Irate | Increase | Resets)
    }
}

#[rustfmt::skip]
static NAMES: &[(&str, RangeFunction)] = &[
    ("rate", RangeFunction::Rate),
    ("increase", RangeFunction::Increase),
    ("delta", RangeFunction::Delta),
    ("irate", RangeFunction::Irate),
    ("idelta", RangeFunction::Idelta),
    ("sum_over_time", RangeFunction::SumOverTime),
    ("avg_over_time", RangeFunction::AvgOverTime),
    ("min_over_time", RangeFunction::MinOverTime),
    ("max_over_time", RangeFunction::MaxOverTime),
    ("count_over_time", RangeFunction::CountOverTime),
    ("last_over_time", RangeFunction::LastOverTime),
    ("first_over_time", RangeFunction::FirstOverTime),
    ("present_over_time", RangeFunction::PresentOverTime),
    ("stddev_over_time", RangeFunction::StddevOverTime),
    ("stdvar_over_time", RangeFunction::StdvarOverTime),
    ("quantile_over_time", RangeFunction::QuantileOverTime),
    ("mad_over_time", RangeFunction::MadOverTime),
    ("changes", RangeFunction::Changes),
    ("resets", RangeFunction::Resets),
    ("deriv", RangeFunction::Deriv),
    ("predict_linear", RangeFunction::PredictLinear),
    ("double_exponential_smoothing", RangeFunction::DoubleExponentialSmoothing),
    ("ts_of_min_over_time", RangeFunction::TsOfMinOverTime),
    ("ts_of_max_over_time", RangeFunction::TsOfMaxOverTime),
    ("ts_of_first_over_time", RangeFunction::TsOfFirstOverTime),
    ("ts_of_last_over_time", RangeFunction::TsOfLastOverTime),
];

/// Evaluates a function over all windows of one series. `params` are the scalar arguments in order
/// (`quantile_over_time`: quantile; `predict_linear`: seconds; `double_exponential_smoothing`: both factors).
///
/// The error is Prometheus' own, for arguments that make the whole query fail.
pub fn evaluate(
    function: RangeFunction,
    params: &[Param<'_>],
    series: &SeriesIn<'_>,
    windows: &Windows,
    options: &RangeOptions,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) -> Result<()> {
    out.clear();
    function.check_extension(options.extension)?;
    let samples = Samples::new(series, options.use_start_timestamps && function.uses_start_timestamps());
    // With `@` all windows are one; compute it once.
    let fixed = windows.step == 0
        && windows.steps > 1
        && function != RangeFunction::PredictLinear
        && params.iter().all(Param::is_constant);
    let one = Windows { steps: 1, ..*windows };
    let computed = if fixed { &one } else { windows };
    if samples.has_histograms() || !evaluate_floats(function, &samples, computed, options, notes, out) {
        evaluate_windows(function, params, &samples, computed, options, notes, out)?;
    }
    if fixed {
        repeat_first(out);
    }
    if matches!(function, RangeFunction::Rate | RangeFunction::Increase) && out.has_floats() {
        note_non_counter(notes);
    }
    Ok(())
}

/// The sliding implementations for series of floats; `false` if the function has none.
fn evaluate_floats(
    function: RangeFunction,
    samples: &Samples<'_>,
    windows: &Windows,
    options: &RangeOptions,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) -> bool {
    if options.extension != Extension::None {
        return false;
    }
    use RangeFunction::*;
    let floats = samples.floats();
    match function {
        Rate | Increase | Delta => rate::slide(rate::Kind::of(function), floats, windows, notes, out),
        MinOverTime | MaxOverTime | TsOfMinOverTime | TsOfMaxOverTime => {
            extremes::slide(extremes::Extreme::of(function), floats, windows, out);
        }
        SumOverTime | AvgOverTime => {
            return over_time::slide_exact_sums(function == AvgOverTime, floats, windows, out);
        }
        Changes | Resets => transitions::slide(function == Resets, floats, windows, out),
        _ => return false,
    }
    true
}

/// One window at a time.
fn evaluate_windows(
    function: RangeFunction,
    params: &[Param<'_>],
    samples: &Samples<'_>,
    windows: &Windows,
    options: &RangeOptions,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) -> Result<()> {
    let mut scratch = Vec::new();
    let mut failure = None;
    for_each_window(samples, windows, options, |k, window| {
        if failure.is_some() {
            return;
        }
        match evaluate_window(function, params, k, &window, options, notes, &mut scratch) {
            Ok(Some(value)) => out.set_value(k, value),
            Ok(None) => {}
            Err(error) => failure = Some(error),
        }
    });
    failure.map_or(Ok(()), Err)
}

fn evaluate_window(
    function: RangeFunction,
    params: &[Param<'_>],
    k: usize,
    window: &Window<'_>,
    options: &RangeOptions,
    notes: &Notes<'_>,
    scratch: &mut Vec<f64>,
) -> Result<Option<Value>> {
    use RangeFunction::*;
    let param = |i: usize| {
        let param = params.get(i).map(|p| p.at(k));
        param.ok_or_else(|| Error::internal(format!("{} needs {} parameters", function.name(), i + 1)))
    };
    Ok(match function {
        Rate | Increase | Delta => match options.extension {
            Extension::None => rate::window(rate::Kind::of(function), window, notes),
            extension => extended::window(rate::Kind::of(function), window, extension, notes),
        },
        Irate | Idelta => last_two::window(function == Irate, window, notes),
        SumOverTime => over_time::sum(window, notes),
        AvgOverTime => over_time::avg(window, notes),
        CountOverTime => Some(Value::Float((window.floats.len() + window.histograms.len()) as f64)),
        LastOverTime => over_time::last(window),
        FirstOverTime => over_time::first(window),
        PresentOverTime => Some(Value::Float(1.0)),
        TsOfFirstOverTime => over_time::time_of_first(window),
        TsOfLastOverTime => over_time::time_of_last(window),
        Changes | Resets => transitions::window(function == Resets, window, options.extension),
        DoubleExponentialSmoothing => trend::smoothing(window, param(0)?, param(1)?, notes)?,
        Deriv => trend::deriv(window, notes),
        PredictLinear => trend::predict(window, param(0)?, notes),
        MinOverTime | MaxOverTime | TsOfMinOverTime | TsOfMaxOverTime => {
            extremes::window(extremes::Extreme::of(function), window, notes)
        }
        StddevOverTime => over_time::variance(window, notes).map(|v| Value::Float(v.sqrt())),
        StdvarOverTime => over_time::variance(window, notes).map(Value::Float),
        QuantileOverTime => over_time::quantile_of_window(window, param(0)?, notes, scratch),
        MadOverTime => over_time::mad(window, notes, scratch),
    })
}

fn repeat_first(out: &mut VectorOut<'_>) {
    let (value, present) = (out.values[0], out.present[0]);
    out.values.fill(value);
    out.present.fill(present);
    if let Some(histograms) = &mut out.histograms {
        let first = histograms[0].clone();
        histograms.fill(first);
    }
}

/// Prometheus' hint that `rate` was applied to something whose name is not that of a counter.
fn note_non_counter(notes: &Notes<'_>) {
    if notes.metric.is_empty() {
        return;
    }
    match notes.type_label {
        Some("counter" | "histogram") => {}
        Some(other) => notes.info(text::possible_non_counter_label(notes.metric, other)),
        None => {
            let counter_suffixes = ["_total", "_sum", "_count", "_bucket"];
            if !counter_suffixes.iter().any(|suffix| notes.metric.ends_with(suffix)) {
                notes.info(text::possible_non_counter(notes.metric));
            }
        }
    }
}
