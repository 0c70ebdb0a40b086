//! Operators on single samples, between the layout's encoded histograms and the kernels; and the sink that
//! operators and functions report to.

use std::hash::{Hash, Hasher};

use datafusion::error::{DataFusionError, Result};

use super::layout::{PointsBuilder, Sample};
use crate::engine::promql::annotations::Annotations;
use crate::engine::promql::ast::{BinaryOp, Span};
use crate::model::histogram::trim::Keep;
use crate::model::histogram::{CounterResetHint, FloatHistogram, codec};

/// Where a node of a plan reports annotations, and the place in the query it reports for. Equal to any other
/// sink of the same place: all sinks of a plan are one.
#[derive(Clone, Debug)]
pub struct Sink {
    pub annotations: Annotations,
    /// The node.
    pub span: Span,
    /// What Prometheus blames; for a function its first argument.
    pub arg_span: Span,
}

impl Sink {
    pub fn warn(&self, text: impl Into<String>) {
        self.annotations.warn(text, self.arg_span);
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

pub fn encode(histogram: &FloatHistogram) -> Vec<u8> {
    let mut out = vec![];
    codec::encode(histogram, &mut out);
    out
}

/// Arithmetic of two floats; comparisons give the left value and whether it is kept.
pub fn float_op(op: BinaryOp, l: f64, r: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (l + r, true),
        BinaryOp::Sub => (l - r, true),
        BinaryOp::Mul => (l * r, true),
        BinaryOp::Div => (l / r, true),
        BinaryOp::Mod => (l % r, true),
        BinaryOp::Pow => (l.powf(r), true),
        BinaryOp::Atan2 => (l.atan2(r), true),
        BinaryOp::Equal => (l, l == r),
        BinaryOp::NotEqual => (l, l != r),
        BinaryOp::Greater => (l, l > r),
        BinaryOp::Less => (l, l < r),
        BinaryOp::GreaterEqual => (l, l >= r),
        BinaryOp::LessEqual => (l, l <= r),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => unreachable!("set operators work on presence"),
        BinaryOp::TrimUpper | BinaryOp::TrimLower => (l, false),
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
    match (left, right) {
        (Sample::Histogram(l), Sample::Histogram(r)) => histograms(op, how, l, r, sink, out),
        (Sample::Histogram(l), Sample::Float(r)) => histogram_by_float(op, l, r, sink, out),
        (Sample::Float(l), Sample::Histogram(r)) if op == BinaryOp::Mul => {
            push_histogram(decode(r)?.mul(l), out);
            Ok(())
        }
        (Sample::Float(_), Sample::Histogram(_)) => {
            incompatible(op, "float", "histogram", sink);
            out.push_none();
            Ok(())
        }
        (Sample::Float(_), Sample::Float(_)) => {
            incompatible(op, "float", "float", sink);
            out.push_none();
            Ok(())
        }
    }
}

fn push_histogram(histogram: &FloatHistogram, out: &mut PointsBuilder) {
    out.push_histogram(&encode(histogram));
}

fn incompatible(op: BinaryOp, left: &str, right: &str, sink: &Sink) {
    let op = op.as_str();
    sink.info(format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"));
}

fn histogram_by_float(op: BinaryOp, left: &[u8], right: f64, sink: &Sink, out: &mut PointsBuilder) -> Result<()> {
    let mut histogram = decode(left)?;
    match op {
        BinaryOp::Mul => push_histogram(histogram.mul(right), out),
        BinaryOp::Div => push_histogram(histogram.div(right), out),
        BinaryOp::TrimUpper => push_histogram(histogram.trim(right, Keep::Below), out),
        BinaryOp::TrimLower => push_histogram(histogram.trim(right, Keep::Above), out),
        _ => {
            incompatible(op, "histogram", "float", sink);
            out.push_none();
        }
    }
    Ok(())
}

fn histograms(
    op: BinaryOp,
    how: Comparison,
    left: &[u8],
    right: &[u8],
    sink: &Sink,
    out: &mut PointsBuilder,
) -> Result<()> {
    let (mut l, r) = (decode(left)?, decode(right)?);
    let combined = match op {
        BinaryOp::Add => l.add(&r),
        BinaryOp::Sub => l.sub(&r),
        BinaryOp::Equal | BinaryOp::NotEqual => {
            l.compact(0);
            let mut r = r;
            r.compact(0);
            let keep = l.equals(&r) == (op == BinaryOp::Equal);
            match (how.return_bool, keep) {
                (true, _) => out.push_float(if keep { 1.0 } else { 0.0 }),
                (false, true) => out.push_histogram(left),
                (false, false) => out.push_none(),
            }
            return Ok(());
        }
        _ => {
            incompatible(op, "histogram", "histogram", sink);
            out.push_none();
            return Ok(());
        }
    };
    let Ok(combined) = combined else {
        sink.warn(format!("incompatible bucket layout encountered for binary operator {}", op.as_str()));
        out.push_none();
        return Ok(());
    };
    let word = if op == BinaryOp::Add { "addition" } else { "subtraction" };
    report(combined, word, sink);
    if op == BinaryOp::Sub {
        l.counter_reset_hint = CounterResetHint::Gauge;
    }
    l.compact(0);
    push_histogram(&l, out);
    Ok(())
}

/// Annotations of a combination of histograms; `word` is "addition", "subtraction" or "aggregation".
pub fn report(combined: crate::model::histogram::arithmetic::Combined, word: &str, sink: &Sink) {
    if combined.reset_conflict {
        sink.warn(format!("conflicting counter resets during histogram {word}"));
    }
    if combined.bounds_reconciled {
        sink.info(format!("mismatched custom buckets were reconciled during {word}"));
    }
}
