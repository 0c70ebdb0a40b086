//! Functions of range vectors: what a kernel is, and its evaluation for one series and a grid of windows.

use super::samples::{Floats, Samples, Window, for_each_window};
use super::types::{Extension, Notes, Param, RangeOptions, SeriesIn, Value, VectorOut, Windows};
use crate::engine::promql::annotations::text;
use crate::error::Result;

/// One window, which has samples.
pub type WindowKernel = fn(&Window<'_>, &mut Scope<'_>) -> Option<Value>;
/// All windows of a series of floats; `false` if it is not one this can do.
pub type SlideKernel = fn(Floats<'_>, &Windows, &Notes<'_>, &mut VectorOut<'_>) -> bool;

/// How a function of a range vector is computed, and what is to be known of it.
#[derive(Clone, Copy, Debug)]
pub struct RangeKernel {
    window: WindowKernel,
    slide: Option<SlideKernel>,
    check: Option<fn(&Scope<'_>) -> Result<()>>,
    /// The result carries the metric name on.
    pub keeps_name: bool,
    /// Histograms can result where histograms go in.
    pub may_return_histograms: bool,
    /// The evaluation time matters beside the window.
    pub uses_eval_time: bool,
    uses_start_timestamps: bool,
    takes_anchored: bool,
    takes_smoothed: bool,
    is_of_counters: bool,
}

/// A function that is computed one window at a time.
pub const fn per_window(window: WindowKernel) -> RangeKernel {
    RangeKernel {
        window,
        slide: None,
        check: None,
        keeps_name: false,
        may_return_histograms: false,
        uses_eval_time: false,
        uses_start_timestamps: false,
        takes_anchored: false,
        takes_smoothed: false,
        is_of_counters: false,
    }
}

impl RangeKernel {
    /// A faster way for series of floats, without an extension.
    pub const fn sliding(self, slide: SlideKernel) -> Self {
        Self { slide: Some(slide), ..self }
    }

    /// A check of the parameters, before every window. Its error is that of the query.
    pub const fn checking(self, check: fn(&Scope<'_>) -> Result<()>) -> Self {
        Self { check: Some(check), ..self }
    }

    pub const fn keeping_name(self) -> Self {
        Self { keeps_name: true, ..self }
    }

    pub const fn with_histograms(self) -> Self {
        Self { may_return_histograms: true, ..self }
    }

    pub const fn with_start_timestamps(self) -> Self {
        Self { uses_start_timestamps: true, ..self }
    }

    pub const fn at_eval_time(self) -> Self {
        Self { uses_eval_time: true, ..self }
    }

    pub const fn taking_anchored(self) -> Self {
        Self { takes_anchored: true, ..self }
    }

    pub const fn taking_smoothed(self) -> Self {
        Self { takes_smoothed: true, ..self }
    }

    /// Other metrics than counters are remarked on.
    pub const fn of_counters(self) -> Self {
        Self { is_of_counters: true, ..self }
    }

    /// Whether it goes over a series of floats once, not once for each window.
    pub fn slides(&self) -> bool {
        self.slide.is_some()
    }

    pub fn takes(&self, extension: Extension) -> bool {
        match extension {
            Extension::None => true,
            Extension::Anchored => self.takes_anchored,
            Extension::Smoothed => self.takes_smoothed,
        }
    }
}

/// What a window is evaluated with, beside its samples.
pub struct Scope<'a> {
    params: &'a [Param<'a>],
    step: usize,
    pub extension: Extension,
    pub notes: &'a Notes<'a>,
    /// Memory reused from window to window.
    pub scratch: Vec<f64>,
}

impl Scope<'_> {
    /// The scalar argument of this number, at the step of the window; the parser has counted them.
    pub fn param(&self, i: usize) -> f64 {
        self.params[i].at(self.step)
    }
}

/// Evaluates a function over all windows of one series. `params` are the scalar arguments in order
/// (`quantile_over_time`: quantile; `predict_linear`: seconds; `double_exponential_smoothing`: both factors). The
/// extension is one the kernel [takes](RangeKernel::takes).
///
/// The error is Prometheus' own, for arguments that make the whole query fail.
pub fn evaluate(
    kernel: &RangeKernel,
    params: &[Param<'_>],
    series: &SeriesIn<'_>,
    windows: &Windows,
    options: &RangeOptions,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) -> Result<()> {
    out.clear();
    let samples = Samples::new(series, options.use_start_timestamps && kernel.uses_start_timestamps);
    // With `@` all windows are one; compute it once.
    let fixed =
        windows.step == 0 && windows.steps > 1 && !kernel.uses_eval_time && params.iter().all(Param::is_constant);
    let one = Windows { steps: 1, ..*windows };
    let computed = if fixed { &one } else { windows };
    let slide = kernel.slide.filter(|_| options.extension == Extension::None && !samples.has_histograms());
    if !slide.is_some_and(|slide| slide(samples.floats(), computed, notes, out)) {
        evaluate_windows(kernel, params, &samples, computed, options, notes, out)?;
    }
    if fixed {
        repeat_first(out);
    }
    if kernel.is_of_counters && out.has_floats() {
        note_non_counter(notes);
    }
    Ok(())
}

/// One window at a time.
fn evaluate_windows(
    kernel: &RangeKernel,
    params: &[Param<'_>],
    samples: &Samples<'_>,
    windows: &Windows,
    options: &RangeOptions,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) -> Result<()> {
    let mut scope = Scope { params, step: 0, extension: options.extension, notes, scratch: Vec::new() };
    let mut checked = Ok(());
    for_each_window(samples, windows, options, |k, window| {
        scope.step = k;
        if checked.is_ok()
            && let Some(check) = kernel.check
        {
            checked = check(&scope);
        }
        if checked.is_ok()
            && let Some(value) = (kernel.window)(&window, &mut scope)
        {
            out.set_value(k, value);
        }
    });
    checked
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
