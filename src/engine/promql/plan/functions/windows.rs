//! Selectors and range functions: raw sample lists, or the grid of a subquery, become step vectors.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, StringViewArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::args::{Args, ScalarReader, StepScalar, any_signature, call};
use crate::engine::promql::kernel::functions::Named;
use crate::engine::promql::kernel::instant::{self, Take};
use crate::engine::promql::kernel::native::statistics;
use crate::engine::promql::kernel::range::{self, RangeKernel};
use crate::engine::promql::kernel::types::{Extension, Notes, Param, RangeOptions, SeriesIn, VectorOut, Windows};
use crate::engine::promql::plan::layout::{Grid, Points, PointsBuilder, Sample, label, points_type, strings};
use crate::engine::promql::plan::samples::{Sink, decode, decode_stored, encode};
use crate::engine::promql::tally::Counted;
use crate::model::histogram::{CounterResetHint, FloatHistogram};

/// What is evaluated over the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// An instant selector, or the times of its samples; `Smoothed` interpolates.
    Instant,
    Timestamp,
    StartTimestamp,
    /// The times of floats; histograms stay, for `info` to refuse.
    InfoTimestamp,
    Smoothed,
    Range(Named<&'static RangeKernel>),
}

/// Which columns hold the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// `__timestamps__`, `__values__`, then these where present.
    Lists { histograms: bool, start_timestamps: bool },
    /// Values, histograms where present, of a subquery evaluated on this grid.
    Steps { grid: Grid, histograms: bool },
}

impl Input {
    pub fn has_histograms(self) -> bool {
        match self {
            Input::Lists { histograms, .. } | Input::Steps { histograms, .. } => histograms,
        }
    }
}

/// [`Windows`] and [`RangeOptions`], comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub start: i64,
    pub step: i64,
    pub steps: usize,
    pub range_ms: i64,
    pub eval: Grid,
    pub anchored: bool,
    pub smoothed: bool,
    pub lookback_ms: i64,
    pub use_start_timestamps: bool,
}

impl Shape {
    fn windows(&self) -> Windows {
        Windows {
            start: self.start,
            step: self.step,
            steps: self.steps,
            range: self.range_ms,
            eval_start: self.eval.start,
            eval_step: self.eval.step,
        }
    }

    pub fn extension(&self) -> Extension {
        match (self.anchored, self.smoothed) {
            (true, _) => Extension::Anchored,
            (_, true) => Extension::Smoothed,
            _ => Extension::None,
        }
    }

    fn options(&self) -> RangeOptions {
        let extension = self.extension();
        RangeOptions { extension, lookback_ms: self.lookback_ms, use_start_timestamps: self.use_start_timestamps }
    }
}

/// Everything about one evaluation over windows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Evaluation {
    pub over: Over,
    pub input: Input,
    pub shape: Shape,
    /// The result has a histogram column.
    pub histograms: bool,
    /// Counts and sums are all that is needed of stored histograms.
    pub statistics: bool,
    /// Annotations name the type of a metric, by its `__type__` label.
    pub typed: bool,
    pub counted: Counted,
    pub sink: Sink,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EvaluateWindows {
    evaluation: Evaluation,
    name: String,
    signature: Signature,
}

/// `samples` are the columns of the input; `metric` and `kind` the labels `__name__` and `__type__`; then the
/// scalar parameters.
pub fn evaluate(
    evaluation: Evaluation,
    samples: Vec<Expr>,
    metric: Expr,
    kind: Expr,
    parameters: Vec<Expr>,
) -> Expr {
    let range = print_duration(evaluation.shape.range_ms);
    let name = match evaluation.over {
        Over::Instant => "prom_instant".to_string(),
        Over::Timestamp => "prom_timestamp".to_string(),
        Over::StartTimestamp => "prom_start_timestamp".to_string(),
        Over::InfoTimestamp => "prom_info_timestamp".to_string(),
        Over::Smoothed => "prom_smoothed".to_string(),
        Over::Range(function) => format!("prom_{}({range})", function.name),
    };
    let mut args = samples;
    args.extend([metric, kind]);
    args.extend(parameters);
    call(EvaluateWindows { evaluation, name, signature: any_signature() }, args)
}

/// A duration for EXPLAIN, in its largest whole unit.
fn print_duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms != 0 && ms % unit == 0) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

impl ScalarUDFImpl for EvaluateWindows {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(points_type(self.evaluation.shape.steps, self.evaluation.histograms))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let total = args.args.len();
        let args = Args::new(args);
        let input = self.evaluation.input;
        let columns = match input {
            Input::Lists { histograms, start_timestamps } => {
                2 + usize::from(histograms) + usize::from(start_timestamps)
            }
            Input::Steps { histograms, .. } => 1 + usize::from(histograms),
        };
        let arrays: Vec<ArrayRef> = (0..columns).map(|i| args.array(i)).collect::<Result<_>>()?;
        let (metric, kind) = (args.array(columns)?, args.array(columns + 1)?);
        let scalars: Vec<StepScalar> = (columns + 2..total).map(|i| args.scalar(i)).collect::<Result<_>>()?;
        let scalars: Vec<ScalarReader<'_>> = scalars.iter().map(StepScalar::reader).collect::<Result<_>>()?;
        let runs: Box<dyn Runs + '_> = match input {
            Input::Lists { histograms, start_timestamps } => {
                let statistics = self.evaluation.statistics;
                Box::new(ListRuns { statistics, ..ListRuns::new(&arrays, histograms, start_timestamps)? })
            }
            Input::Steps { grid, histograms } => Box::new(GridRuns::new(&arrays, grid, histograms)?),
        };
        let names = (strings(&metric)?, strings(&kind)?);
        let rows = arrays[0].len();
        self.evaluation.run(runs, rows, names, &scalars).map(ColumnarValue::Array)
    }
}

/// The samples of a row, wherever they come from.
trait Runs {
    fn read<'a>(&'a self, row: usize, scratch: &'a mut Scratch) -> Result<SeriesIn<'a>>;
}

/// Memory reused from row to row.
#[derive(Default)]
struct Scratch {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl Evaluation {
    fn run(
        &self,
        runs: Box<dyn Runs + '_>,
        rows: usize,
        names: (&StringViewArray, &StringViewArray),
        scalars: &[ScalarReader<'_>],
    ) -> Result<ArrayRef> {
        let steps = self.shape.steps;
        let (windows, options) = (self.windows(), self.shape.options());
        let mut out = PointsBuilder::new(rows, steps, self.histograms);
        let mut values = vec![0.0; steps];
        let mut present = vec![false; steps];
        let mut histograms = vec![None; if self.histograms { steps } else { 0 }];
        let mut scratch = Scratch::default();
        let mut parameters: Vec<Vec<f64>> = vec![vec![]; scalars.len()];
        let counted_windows = self.counted_windows();
        let mut counter = self.counted.rows();
        for row in 0..rows {
            self.sink.cancel.check()?;
            for (values, scalar) in parameters.iter_mut().zip(scalars) {
                values.clear();
                if matches!(scalar, ScalarReader::Steps(..)) {
                    values.extend((0..steps).map(|step| scalar.at(row, step)));
                }
            }
            let parameters: Vec<Param<'_>> = parameters
                .iter()
                .zip(scalars)
                .map(|(values, scalar)| match scalar {
                    ScalarReader::Constant(value) => Param::Constant(*value),
                    ScalarReader::Steps(..) => Param::Steps(values),
                })
                .collect();
            let notes = Notes {
                annotations: &self.sink.annotations,
                metric: label(names.0, row),
                span: self.sink.span,
                arg_span: self.sink.arg_span,
                type_label: self.typed.then(|| label(names.1, row)),
            };
            let series = runs.read(row, &mut scratch)?;
            let mut target = VectorOut {
                values: &mut values,
                present: &mut present,
                histograms: self.histograms.then_some(&mut histograms[..]),
            };
            match self.over {
                Over::Instant => instant::select(Take::Value, &series, &windows, &mut target),
                Over::Timestamp => instant::select(Take::Timestamp, &series, &windows, &mut target),
                Over::StartTimestamp => instant::select(Take::StartTimestamp, &series, &windows, &mut target),
                Over::InfoTimestamp => instant::select(Take::FloatTimestamp, &series, &windows, &mut target),
                Over::Smoothed => {
                    instant::select_smoothed(&series, &windows, options.lookback_ms, &notes, &mut target);
                }
                Over::Range(function) => {
                    let call =
                        RangeCall { kernel: function.kernel, windows: &windows, options: &options, notes: &notes };
                    self.evaluate_range(&call, &parameters, &series, &mut target)?;
                }
            }
            match self.over {
                Over::Range(_) => counter.windows(&series, &counted_windows, &present, &histograms),
                _ => counter.instant(&present, &histograms),
            }
            push_row(&mut out, &values, &present, &histograms);
        }
        counter.finish()?;
        out.finish_points()
    }

    /// Those of the run.
    fn windows(&self) -> Windows {
        let windows = self.shape.windows();
        let at = |time_ms| self.sink.moment.at(time_ms);
        Windows { start: at(windows.start), eval_start: at(windows.eval_start), ..windows }
    }

    /// The windows with the samples around them that `anchored` and `smoothed` look at.
    fn counted_windows(&self) -> Windows {
        let (before, after) = match self.shape.extension() {
            Extension::None => (0, 0),
            Extension::Anchored => (self.shape.lookback_ms, 0),
            Extension::Smoothed => (self.shape.lookback_ms, self.shape.lookback_ms),
        };
        let windows = self.windows();
        let range = windows.range.saturating_add(before).saturating_add(after);
        Windows { start: windows.start.saturating_add(after), range, ..windows }
    }

    /// One row of a range function. Where it may take long it is done in parts, so that a query that is canceled
    /// ends soon; a part begins anew, which costs little beside what it computes.
    fn evaluate_range(
        &self,
        call: &RangeCall<'_>,
        parameters: &[Param<'_>],
        series: &SeriesIn<'_>,
        target: &mut VectorOut<'_>,
    ) -> Result<()> {
        let RangeCall { kernel, windows, options, notes } = *call;
        let steps = windows.steps;
        let weight = match series.histograms.is_empty() {
            false => HISTOGRAM_WEIGHT,
            true if kernel.slides() => 1,
            true => WINDOW_WEIGHT,
        };
        let samples = series.timestamps.len().saturating_mul(weight).max(1);
        let part = (SAMPLES_PER_CHECK / samples).clamp(1, steps.max(1));
        let mut from = 0;
        while from < steps {
            let to = steps.min(from + part);
            self.sink.cancel.check()?;
            let windows = Windows {
                start: windows.end(from),
                steps: to - from,
                eval_start: windows.eval_time(from),
                ..*windows
            };
            let parameters: Vec<Param<'_>> = parameters
                .iter()
                .map(|parameter| match parameter {
                    Param::Constant(value) => Param::Constant(*value),
                    Param::Steps(values) => Param::Steps(&values[from..to]),
                })
                .collect();
            let mut target = VectorOut {
                values: &mut target.values[from..to],
                present: &mut target.present[from..to],
                histograms: target.histograms.as_deref_mut().map(|h| &mut h[from..to]),
            };
            range::evaluate(kernel, &parameters, series, &windows, options, notes, &mut target)
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            from = to;
        }
        Ok(())
    }
}

/// Samples times steps that are computed between two looks at whether anybody still waits.
const SAMPLES_PER_CHECK: usize = 32 << 20;

/// What a sample costs functions that go through every window, some of which sort it, and what a histogram does; in
/// samples of functions that slide.
const WINDOW_WEIGHT: usize = 8;
const HISTOGRAM_WEIGHT: usize = 128;

/// What is the same for all rows of a range function.
#[derive(Clone, Copy)]
struct RangeCall<'a> {
    kernel: &'a RangeKernel,
    windows: &'a Windows,
    options: &'a RangeOptions,
    notes: &'a Notes<'a>,
}

/// Appends what a kernel wrote.
pub fn push_row(
    out: &mut PointsBuilder,
    values: &[f64],
    present: &[bool],
    histograms: &[Option<Arc<FloatHistogram>>],
) {
    if histograms.iter().all(Option::is_none) {
        out.push_floats(values, present);
        return;
    }
    for (step, histogram) in histograms.iter().enumerate() {
        match histogram {
            Some(histogram) => out.push_histogram(&encode(histogram)),
            None if present[step] => out.push_float(values[step]),
            None => out.push_none(),
        }
    }
}

/// Rows of the leaf.
struct ListRuns<'a> {
    lists: &'a ListArray,
    timestamps: &'a [i64],
    values: &'a [f64],
    histograms: Option<(&'a BinaryArray, usize)>,
    start_timestamps: Option<(&'a [i64], usize)>,
    value_base: usize,
    statistics: bool,
}

fn list(array: &ArrayRef) -> Result<&ListArray> {
    array
        .as_any()
        .downcast_ref()
        .ok_or_else(|| DataFusionError::Internal(format!("expected sample lists, found {}", array.data_type())))
}

fn items<T: 'static>(list: &ListArray) -> Result<&T> {
    list.values()
        .as_any()
        .downcast_ref()
        .ok_or_else(|| DataFusionError::Internal(format!("sample lists hold {}", list.values().data_type())))
}

impl<'a> ListRuns<'a> {
    fn new(arrays: &'a [ArrayRef], histograms: bool, start_timestamps: bool) -> Result<Self> {
        let (timestamps, values) = (list(&arrays[0])?, list(&arrays[1])?);
        let base = |l: &ListArray| l.value_offsets()[0] as usize;
        let histograms = match histograms {
            true => Some((items::<BinaryArray>(list(&arrays[2])?)?, base(list(&arrays[2])?))),
            false => None,
        };
        let start_timestamps = match (start_timestamps, arrays.last()) {
            (true, Some(last)) => Some((items::<Int64Array>(list(last)?)?.values().as_ref(), base(list(last)?))),
            _ => None,
        };
        Ok(Self {
            lists: timestamps,
            timestamps: items::<Int64Array>(timestamps)?.values(),
            values: items::<Float64Array>(values)?.values(),
            histograms,
            start_timestamps,
            value_base: base(values),
            statistics: false,
        })
    }
}

impl Runs for ListRuns<'_> {
    fn read<'a>(&'a self, row: usize, scratch: &'a mut Scratch) -> Result<SeriesIn<'a>> {
        let offsets = self.lists.value_offsets();
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        // The lists of a row are of equal length; where a batch is a slice, their bases may differ.
        let first = from - offsets[0] as usize;
        let count = to - from;
        scratch.histograms.clear();
        if let Some((items, base)) = self.histograms {
            let at = base + first;
            if (at..at + count).any(|i| items.is_valid(i)) {
                let encoded = (at..at + count).map(|i| items.is_valid(i).then(|| items.value(i)));
                decode_stored(encoded, &mut scratch.histograms)?;
                if self.statistics {
                    scratch.histograms = statistics(&scratch.histograms);
                }
            }
        }
        let start_timestamps = match self.start_timestamps {
            Some((items, base)) => &items[base + first..base + first + count],
            None => &[],
        };
        Ok(SeriesIn {
            timestamps: &self.timestamps[from..to],
            values: &self.values[self.value_base + first..self.value_base + first + count],
            histograms: &scratch.histograms,
            start_timestamps,
        })
    }
}

/// Rows of a subquery: the steps that are present, as samples.
struct GridRuns<'a> {
    points: Points<'a>,
    grid: Grid,
}

impl<'a> GridRuns<'a> {
    fn new(arrays: &'a [ArrayRef], grid: Grid, histograms: bool) -> Result<Self> {
        let histograms = if histograms { Some(arrays[1].as_ref()) } else { None };
        Ok(Self { points: Points::new(&arrays[0], histograms)?, grid })
    }
}

impl Runs for GridRuns<'_> {
    fn read<'a>(&'a self, row: usize, scratch: &'a mut Scratch) -> Result<SeriesIn<'a>> {
        scratch.timestamps.clear();
        scratch.values.clear();
        scratch.histograms.clear();
        for step in 0..self.grid.steps {
            let Some(sample) = self.points.get(row, step) else { continue };
            scratch.timestamps.push(self.grid.at(step));
            match sample {
                Sample::Float(value) => {
                    scratch.values.push(value);
                    scratch.histograms.push(None);
                }
                Sample::Histogram(bytes) => {
                    let mut histogram = decode(bytes)?;
                    // Steps leave samples out, so what a hint says of the sample before does not hold here.
                    if histogram.counter_reset_hint != CounterResetHint::Gauge {
                        histogram.counter_reset_hint = CounterResetHint::Unknown;
                    }
                    scratch.values.push(0.0);
                    scratch.histograms.push(Some(Arc::new(histogram)));
                }
            }
        }
        if scratch.histograms.iter().all(Option::is_none) {
            scratch.histograms.clear();
        }
        Ok(SeriesIn {
            timestamps: &scratch.timestamps,
            values: &scratch.values,
            histograms: &scratch.histograms,
            start_timestamps: &[],
        })
    }
}
