//! Operators on single samples, between the layout's encoded histograms and the kernels; and the sink that
//! operators and functions report to.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};

use super::layout::{PointsBuilder, Sample};
use crate::engine::promql::annotations::Annotations;
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::kernel::binary;
use crate::engine::promql::kernel::types::{Mask, Notes, Value};
use crate::engine::promql::moment::Moment;
use crate::model::histogram::{FloatHistogram, codec};
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;

/// Where a node of a plan reports annotations, and the place in the query it reports for. Equal to any other
/// sink of the same place: all sinks of a plan are one.
#[derive(Clone, Debug)]
pub struct Sink {
    pub annotations: Annotations,
    /// Raised when nobody waits for the query any more.
    pub cancel: Cancel,
    /// When the plan runs.
    pub moment: Moment,
    /// The node.
    pub span: Span,
    /// What Prometheus blames; for a function its first argument.
    pub arg_span: Span,
}

impl Sink {
    pub fn warn(&self, text: impl Into<String>) {
        self.annotations.warn(text, self.arg_span);
    }

    /// The same for kernels; `metric` is the name they blame.
    pub fn notes<'a>(&'a self, metric: &'a str) -> Notes<'a> {
        let Self { annotations, span, arg_span, .. } = self;
        Notes { annotations, metric, span: *span, arg_span: *arg_span, type_label: None }
    }

    pub fn info(&self, text: impl Into<String>) {
        self.annotations.info(text, self.arg_span);
    }
}

impl PartialEq for Sink {
    fn eq(&self, other: &Self) -> bool {
        (self.span, self.arg_span) == (other.span, other.arg_span)
    }
}

impl Eq for Sink {}

impl Hash for Sink {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.span, self.arg_span).hash(state);
    }
}

pub fn decode(bytes: &[u8]) -> Result<FloatHistogram> {
    codec::decode(bytes).map_err(|e| DataFusionError::External(Box::new(e)))
}

/// The histograms of a stored series in the order of time, `None` for floats, with the hints queries see: storage
/// keeps what was written, and the hint follows from the sample before.
pub fn decode_stored<'a>(
    encoded: impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut Vec<Option<Arc<FloatHistogram>>>,
) -> Result<()> {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for bytes in encoded {
        let histogram = match bytes {
            Some(bytes) => {
                let mut histogram = decode(bytes)?;
                let before = previous.as_deref().filter(|p| !p.is_stale());
                histogram.counter_reset_hint = histogram.stored_hint(before);
                Some(Arc::new(histogram))
            }
            None => None,
        };
        previous.clone_from(&histogram);
        out.push(histogram);
    }
    Ok(())
}

pub fn encode(histogram: &FloatHistogram) -> Vec<u8> {
    let mut out = vec![];
    codec::encode(histogram, &mut out);
    out
}

/// Arithmetic of two floats; comparisons give the left value and whether it is kept.
pub fn float_op(op: BinaryOp, left: f64, right: f64) -> (f64, bool) {
    if op.is_comparison() {
        (left, binary::compare(op, left, right))
    } else {
        (binary::arithmetic(op, left, right), true)
    }
}

/// Arithmetic over the steps of a row, in one loop for each operator; steps that one of the masks lacks are computed
/// and masked.
pub fn float_ops(
    op: BinaryOp,
    left: impl Fn(usize) -> f64,
    right: impl Fn(usize) -> f64,
    masks: (Mask<'_>, Mask<'_>),
    steps: usize,
    out: &mut PointsBuilder,
) {
    let (a, b) = masks;
    match op {
        BinaryOp::Add => out.push_masked((0..steps).map(|k| left(k) + right(k)), a, b),
        BinaryOp::Sub => out.push_masked((0..steps).map(|k| left(k) - right(k)), a, b),
        BinaryOp::Mul => out.push_masked((0..steps).map(|k| left(k) * right(k)), a, b),
        BinaryOp::Div => out.push_masked((0..steps).map(|k| left(k) / right(k)), a, b),
        _ => out.push_masked((0..steps).map(|k| binary::arithmetic(op, left(k), right(k))), a, b),
    }
}

/// How a comparison of a vector element reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    pub return_bool: bool,
    /// A filter gives the right operand's value: the vector element stood on the right of a scalar.
    pub keep_right: bool,
}

/// Applies an operator to two samples and pushes what comes of it.
pub fn apply(
    op: BinaryOp,
    how: Comparison,
    left: Sample<'_>,
    right: Sample<'_>,
    sink: &Sink,
    out: &mut PointsBuilder,
) -> Result<()> {
    if let (Sample::Float(l), Sample::Float(r)) = (left, right)
        && !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
    {
        let (value, keep) = float_op(op, l, r);
        if how.return_bool {
            out.push_float(if keep { 1.0 } else { 0.0 });
        } else if keep {
            out.push_float(if how.keep_right && op.is_comparison() { r } else { value });
        } else {
            out.push_none();
        }
        return Ok(());
    }
    let keep_right = how.keep_right && op.is_comparison();
    let kept = if keep_right { right } else { left };
    let Some(element) = binary::combine(op, value(left)?, value(right)?, &sink.notes("")) else {
        out.push_none();
        return Ok(());
    };
    match element.value {
        _ if how.return_bool => out.push_float(f64::from(u8::from(element.keep))),
        _ if !element.keep => out.push_none(),
        _ if op.is_comparison() => out.push(Some(kept)),
        Value::Float(value) => out.push_float(value),
        Value::Histogram(histogram) => out.push_histogram(&encode(&histogram)),
    }
    Ok(())
}

fn value(sample: Sample<'_>) -> Result<Value> {
    Ok(match sample {
        Sample::Float(value) => Value::Float(value),
        Sample::Histogram(bytes) => Value::from(decode(bytes)?),
    })
}
