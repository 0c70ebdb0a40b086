//! Binary operators with a scalar side: vector ∘ scalar, scalar ∘ vector, scalar ∘ scalar.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::args::{Args, ScalarReader, any_signature, call};
use crate::engine::promql::kernel::functions::Named;
use crate::engine::promql::kernel::types::Mask;
use crate::engine::promql::plan::layout::{Points, PointsBuilder, Sample, points_type, values_type};
use crate::engine::promql::plan::samples::{self, Comparison, Sink};
use crate::promql::operators::BinaryOp;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WithScalar {
    op: BinaryOp,
    return_bool: bool,
    scalar_left: bool,
    histograms: bool,
    steps: usize,
    sink: Sink,
    name: String,
    signature: Signature,
}

/// What an operator with a scalar side is, beside its operands.
pub struct Operation {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub scalar_left: bool,
    pub steps: usize,
    pub sink: Sink,
}

/// `vector` is the values, followed by the histograms where the vector has them.
pub fn with_scalar(operation: Operation, mut vector: Vec<Expr>, scalar: Expr) -> Expr {
    let histograms = vector.len() > 1;
    vector.push(scalar);
    let Operation { op, return_bool, scalar_left, steps, sink } = operation;
    let bool = if return_bool { " bool" } else { "" };
    let name = if scalar_left {
        format!("prom_scalar {}{bool}", op.as_str())
    } else {
        format!("prom_{}{bool}", op.as_str())
    };
    let signature = any_signature();
    call(WithScalar { op, return_bool, scalar_left, histograms, steps, sink, name, signature }, vector)
}

impl ScalarUDFImpl for WithScalar {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(points_type(self.steps, self.histograms))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let values = args.array(0)?;
        let histograms = self.histograms.then(|| args.array(1)).transpose()?;
        let scalar = args.scalar(if self.histograms { 2 } else { 1 })?;
        let scalar = scalar.reader()?;
        let points = Points::new(&values, histograms.as_deref())?;
        let mut out = PointsBuilder::new(values.len(), self.steps, self.histograms);
        if !self.histograms
            && !self.op.is_comparison()
            && let ScalarReader::Constant(constant) = scalar
        {
            self.arithmetic(&points, values.len(), constant, &mut out);
            return args.result(out.finish_points()?);
        }
        let how = Comparison { return_bool: self.return_bool, keep_right: self.scalar_left };
        for row in 0..values.len() {
            self.sink.cancel.check()?;
            for step in 0..self.steps {
                let Some(sample) = points.get(row, step) else {
                    out.push_none();
                    continue;
                };
                let number = Sample::Float(scalar.at(row, step));
                let (left, right) = if self.scalar_left { (number, sample) } else { (sample, number) };
                samples::apply(self.op, how, left, right, &self.sink, &mut out)?;
            }
        }
        args.result(out.finish_points()?)
    }
}

impl WithScalar {
    /// The hot case: floats and a constant, absent steps computed and masked.
    fn arithmetic(&self, points: &Points<'_>, rows: usize, constant: f64, out: &mut PointsBuilder) {
        if matches!(self.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            return self.refuse_floats(points, rows, out);
        }
        for row in 0..rows {
            let (values, mask) = (points.floats.row(row), points.floats.mask(row));
            match self.scalar_left {
                true => {
                    samples::float_ops(self.op, |_| constant, |k| values[k], (mask, Mask::All), self.steps, out)
                }
                false => {
                    samples::float_ops(self.op, |k| values[k], |_| constant, (mask, Mask::All), self.steps, out)
                }
            }
        }
    }

    /// Only histograms can be trimmed.
    fn refuse_floats(&self, points: &Points<'_>, rows: usize, out: &mut PointsBuilder) {
        if (0..rows).any(|row| (0..self.steps).any(|step| points.floats.present(row, step))) {
            let op = self.op.as_str();
            self.sink.info(format!(
                "incompatible sample types encountered for binary operator {op:?}: float {op} float"
            ));
        }
        (0..rows * self.steps).for_each(|_| out.push_none());
    }
}

/// What makes one scalar of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarOp {
    /// Comparisons have `bool`.
    Operator(BinaryOp),
    Function(Named<fn(f64, f64) -> f64>),
}

impl ScalarOp {
    fn as_str(self) -> &'static str {
        match self {
            ScalarOp::Operator(op) => op.as_str(),
            ScalarOp::Function(function) => function.name,
        }
    }

    pub fn apply(self, l: f64, r: f64) -> f64 {
        match self {
            ScalarOp::Operator(op) => scalar_op(op, l, r),
            ScalarOp::Function(function) => (function.kernel)(l, r),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalars {
    op: ScalarOp,
    steps: usize,
    name: String,
    signature: Signature,
}

/// Two scalars, of which at least one varies by step.
pub fn scalars(op: ScalarOp, steps: usize, left: Expr, right: Expr) -> Expr {
    let name = format!("prom_scalars {}", op.as_str());
    call(Scalars { op, steps, name, signature: any_signature() }, vec![left, right])
}

/// The operator on two scalars.
fn scalar_op(op: BinaryOp, l: f64, r: f64) -> f64 {
    let (value, keep) = samples::float_op(op, l, r);
    if op.is_comparison() { f64::from(u8::from(keep)) } else { value }
}

impl ScalarUDFImpl for Scalars {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(values_type(self.steps))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let (left, right) = (args.scalar(0)?, args.scalar(1)?);
        let (left, right) = (left.reader()?, right.reader()?);
        let rows = if args.constant() { 1 } else { args.rows };
        let mut out = PointsBuilder::new(rows, self.steps, false);
        for row in 0..rows {
            for step in 0..self.steps {
                out.push_float(self.op.apply(left.at(row, step), right.at(row, step)));
            }
        }
        Args { rows, ..args }.result(out.finish_points()?)
    }
}
