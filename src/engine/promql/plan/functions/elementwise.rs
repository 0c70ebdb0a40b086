//! Functions of one element: of floats, of histograms, of evaluation times.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::args::{Args, ScalarReader, StepScalar, any_signature, call};
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::kernel::functions::{FloatWithScalars, Named};
use crate::engine::promql::plan::layout::{Grid, Points, PointsBuilder, Sample, points_type};
use crate::engine::promql::plan::samples::{decode, encode};
use crate::model::histogram::FloatHistogram;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elementwise {
    Float(Named<fn(f64) -> f64>),
    /// Of a float and scalars.
    FloatWith(Named<FloatWithScalars>),
    /// Of a native histogram.
    Histogram(Named<fn(&FloatHistogram) -> f64>),
    /// Unary minus; the only one that keeps histograms.
    Negate,
    /// The evaluation time in seconds, where there is a sample.
    EvalTime(Grid),
    /// No value for any sample.
    Nothing,
}

impl Elementwise {
    pub fn keeps_histograms(self) -> bool {
        self == Elementwise::Negate
    }

    fn apply(self, sample: Sample<'_>, scalars: &[f64], step: usize) -> Result<Option<f64>> {
        Ok(match (self, sample) {
            (Elementwise::Float(function), Sample::Float(v)) => Some((function.kernel)(v)),
            (Elementwise::FloatWith(function), Sample::Float(v)) => (function.kernel)(v, scalars),
            (Elementwise::Histogram(function), Sample::Histogram(bytes)) => {
                Some((function.kernel)(&decode(bytes)?))
            }
            (Elementwise::Negate, Sample::Float(v)) => Some(-v),
            (Elementwise::EvalTime(grid), _) => Some(grid.at(step) as f64 / 1000.0),
            _ => None,
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Apply {
    function: Elementwise,
    steps: usize,
    histograms: bool,
    name: String,
    signature: Signature,
    cancel: Cancel,
}

/// `points` is the values, followed by the histograms where the vector has them.
pub fn apply(
    name: &str,
    function: Elementwise,
    steps: usize,
    points: Vec<Expr>,
    scalars: Vec<Expr>,
    cancel: &Cancel,
) -> Expr {
    let histograms = points.len() > 1;
    let mut args = points;
    args.extend(scalars);
    let name = format!("prom_{name}");
    let (signature, cancel) = (any_signature(), cancel.clone());
    call(Apply { function, steps, histograms, name, signature, cancel }, args)
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(points_type(self.steps, self.histograms && self.function.keeps_histograms()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let total = args.args.len();
        let args = Args::new(args);
        let values = args.array(0)?;
        let histograms = self.histograms.then(|| args.array(1)).transpose()?;
        let scalars: Vec<StepScalar> =
            (1 + usize::from(self.histograms)..total).map(|i| args.scalar(i)).collect::<Result<_>>()?;
        let scalars: Vec<ScalarReader<'_>> = scalars.iter().map(StepScalar::reader).collect::<Result<_>>()?;
        let points = Points::new(&values, histograms.as_deref())?;
        let keep = self.histograms && self.function.keeps_histograms();
        let mut at_step = vec![0.0; scalars.len()];
        let mut out = PointsBuilder::new(values.len(), self.steps, keep);
        for row in 0..values.len() {
            self.cancel.check()?;
            for step in 0..self.steps {
                match points.get(row, step) {
                    Some(Sample::Histogram(bytes)) if keep => {
                        out.push_histogram(&encode(decode(bytes)?.mul(-1.0)));
                    }
                    Some(sample) => {
                        at_step.iter_mut().zip(&scalars).for_each(|(value, s)| *value = s.at(row, step));
                        match self.function.apply(sample, &at_step, step)? {
                            Some(value) => out.push_float(value),
                            None => out.push_none(),
                        }
                    }
                    None => out.push_none(),
                }
            }
        }
        args.result(out.finish_points()?)
    }
}
