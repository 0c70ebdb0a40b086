//! What goes into kernels and comes out of them.

use std::ops::Range;
use std::sync::Arc;

use arrow::util::bit_iterator::BitSliceIterator;

use crate::engine::promql::annotations::Annotations;
use crate::model::histogram::FloatHistogram;
use crate::promql::span::Span;

/// The step grid. Window `k` is `(end(k) - range, end(k)]` with `end(k) = start + k * step`, where the caller has
/// applied `offset` and `@` (with `@`, `step` is 0). `eval_start + k * eval_step` is the evaluation time, which
/// some functions and annotations need. For instant selectors `range` is the lookback delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub start: i64,
    pub step: i64,
    pub steps: usize,
    pub range: i64,
    pub eval_start: i64,
    pub eval_step: i64,
}

impl Windows {
    #[inline]
    pub fn end(&self, k: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(k as i64))
    }

    /// Exclusive.
    #[inline]
    pub fn begin(&self, k: usize) -> i64 {
        self.end(k).saturating_sub(self.range)
    }

    #[inline]
    pub fn eval_time(&self, k: usize) -> i64 {
        self.eval_start.saturating_add(self.eval_step.saturating_mul(k as i64))
    }
}

/// One series, ascending in time. `histograms` and `start_timestamps` are empty if the series has none;
/// otherwise of the same length as `timestamps`. Where `histograms[i]` is set the sample is that histogram and
/// `values[i]` means nothing. Staleness markers may occur.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesIn<'a> {
    pub timestamps: &'a [i64],
    pub values: &'a [f64],
    pub histograms: &'a [Option<Arc<FloatHistogram>>],
    /// 0 where unknown.
    pub start_timestamps: &'a [i64],
}

/// One row of an evaluated vector, to be filled. A kernel writes every step: `present[k]` says that step `k` has
/// the float `values[k]`, otherwise `histograms[k]` may be set. `histograms` may be `None` only where no
/// histogram can result, that is, where none went in.
pub struct VectorOut<'a> {
    pub values: &'a mut [f64],
    pub present: &'a mut [bool],
    pub histograms: Option<&'a mut [Option<Arc<FloatHistogram>>]>,
}

impl VectorOut<'_> {
    /// Forgets all values.
    pub fn clear(&mut self) {
        self.present.fill(false);
        if let Some(histograms) = &mut self.histograms {
            histograms.fill(None);
        }
    }

    #[inline]
    pub fn set(&mut self, k: usize, value: f64) {
        self.values[k] = value;
        self.present[k] = true;
    }

    pub fn set_histogram(&mut self, k: usize, histogram: Arc<FloatHistogram>) {
        self.present[k] = false;
        if let Some(histograms) = &mut self.histograms {
            histograms[k] = Some(histogram);
        }
    }

    pub fn set_value(&mut self, k: usize, value: Value) {
        match value {
            Value::Float(value) => self.set(k, value),
            Value::Histogram(histogram) => self.set_histogram(k, histogram),
        }
    }

    /// Whether any step has a float.
    pub fn has_floats(&self) -> bool {
        self.present.iter().any(|p| *p)
    }
}

/// A float or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl From<FloatHistogram> for Value {
    fn from(histogram: FloatHistogram) -> Self {
        Value::Histogram(Arc::new(histogram))
    }
}

/// Which steps of a row have a float.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    All,
    Bools(&'a [bool]),
    /// Arrow's validity bitmap: bit `offset + k`, least significant first.
    Bits {
        bits: &'a [u8],
        offset: usize,
    },
}

impl Mask<'_> {
    #[inline]
    pub fn get(&self, k: usize) -> bool {
        match self {
            Mask::All => true,
            Mask::Bools(present) => present[k],
            Mask::Bits { bits, offset } => {
                let bit = offset + k;
                bits[bit / 8] >> (bit % 8) & 1 == 1
            }
        }
    }

    /// Calls `visit` with every longest range of steps below `steps` that are present; kernels that take whole
    /// ranges run without a branch for each step.
    pub fn for_each_run(&self, steps: usize, mut visit: impl FnMut(Range<usize>)) {
        match self {
            Mask::All => {
                if steps > 0 {
                    visit(0..steps);
                }
            }
            Mask::Bits { bits, offset } => {
                BitSliceIterator::new(bits, *offset, steps).for_each(|(start, end)| visit(start..end));
            }
            Mask::Bools(present) => {
                let mut from = 0;
                for run in present[..steps].chunk_by(|a, b| a == b) {
                    if run[0] {
                        visit(from..from + run.len());
                    }
                    from += run.len();
                }
            }
        }
    }
}

/// One row of an evaluated vector, to be read. `histograms` is empty if there are none.
#[derive(Clone, Copy, Debug)]
pub struct VectorIn<'a> {
    pub values: &'a [f64],
    pub present: Mask<'a>,
    pub histograms: &'a [Option<Arc<FloatHistogram>>],
}

impl<'a> VectorIn<'a> {
    #[inline]
    pub fn float(&self, k: usize) -> Option<f64> {
        self.present.get(k).then(|| self.values[k])
    }

    #[inline]
    pub fn histogram(&self, k: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.get(k).and_then(Option::as_ref)
    }

    pub fn value(&self, k: usize) -> Option<Value> {
        match self.histogram(k) {
            Some(histogram) => Some(Value::Histogram(histogram.clone())),
            None => self.float(k).map(Value::Float),
        }
    }
}

/// A scalar parameter: the same for all steps, or one for each.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    Constant(f64),
    Steps(&'a [f64]),
}

impl Param<'_> {
    #[inline]
    pub fn at(&self, k: usize) -> f64 {
        match self {
            Param::Constant(value) => *value,
            Param::Steps(values) => values[k],
        }
    }

    pub fn is_constant(&self) -> bool {
        matches!(self, Param::Constant(_))
    }
}

/// Where warnings and infos go and what they name. `metric` is the `__name__` of the series, or `""`.
#[derive(Clone, Copy)]
pub struct Notes<'a> {
    pub annotations: &'a Annotations,
    pub metric: &'a str,
    /// The whole call, aggregation or binary expression.
    pub span: Span,
    /// What Prometheus blames: the first argument of a function (also where that is a scalar), the vector of an
    /// aggregation or of `histogram_quantile`.
    pub arg_span: Span,
    /// The `__type__` label (`""` if absent) where the feature `type-and-unit-labels` is on.
    pub type_label: Option<&'a str>,
}

impl Notes<'_> {
    pub fn warn(&self, text: impl Into<String>) {
        self.annotations.warn(text, self.arg_span);
    }

    pub fn info(&self, text: impl Into<String>) {
        self.annotations.info(text, self.arg_span);
    }
}

/// How a range or instant selector looks past its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extension {
    #[default]
    None,
    /// Also the last sample before the window, within the lookback delta.
    Anchored,
    /// Interpolated at both ends, with samples within the lookback delta around it.
    Smoothed,
}

/// Options of the query a range function depends on.
#[derive(Clone, Copy, Debug)]
pub struct RangeOptions {
    pub extension: Extension,
    /// The lookback delta in milliseconds.
    pub lookback_ms: i64,
    /// `use-start-timestamps`: detect resets and zeros by start timestamps.
    pub use_start_timestamps: bool,
}

impl Default for RangeOptions {
    fn default() -> Self {
        Self { extension: Extension::None, lookback_ms: 300_000, use_start_timestamps: false }
    }
}
