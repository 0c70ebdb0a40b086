//! Functions of one element: math, dates, parts of histograms, evaluation time.

use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::args::{Args, ScalarReader, StepScalar, any_signature, call};
use crate::engine::promql::kernel::date::DateFunction;
use crate::engine::promql::kernel::math::{self, MathFunction};
use crate::engine::promql::plan::layout::{Grid, Points, PointsBuilder, Sample, points_type};
use crate::engine::promql::plan::samples::{decode, encode};

/// A part of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistogramPart {
    Avg,
    Count,
    Stddev,
    Stdvar,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elementwise {
    Math(MathFunction),
    Date(DateFunction),
    /// Two scalars: minimum and maximum.
    Clamp,
    /// One scalar: the multiple to round to.
    Round,
    /// Unary minus; the only one that keeps histograms.
    Negate,
    /// The evaluation time in seconds, where there is a sample.
    EvalTime(Grid),
    /// No value for any sample.
    Nothing,
    Histogram(HistogramPart),
}

impl Elementwise {
    pub fn keeps_histograms(self) -> bool {
        self == Elementwise::Negate
    }

    fn apply(
        self,
        sample: Sample<'_>,
        scalars: &[ScalarReader<'_>],
        row: usize,
        step: usize,
    ) -> Result<Option<f64>> {
        Ok(match (self, sample) {
            (Elementwise::Math(function), Sample::Float(v)) => Some(function.apply(v)),
            (Elementwise::Date(function), Sample::Float(v)) => Some(function.apply(v)),
            (Elementwise::Clamp, Sample::Float(v)) => {
                let (min, max) = (scalars[0].at(row, step), scalars[1].at(row, step));
                (max >= min || max.is_nan() || min.is_nan()).then(|| math::larger(min, math::smaller(max, v)))
            }
            (Elementwise::Round, Sample::Float(v)) => {
                let inverse = 1.0 / scalars[0].at(row, step);
                Some((v * inverse + 0.5).floor() / inverse)
            }
            (Elementwise::Negate, Sample::Float(v)) => Some(-v),
            (Elementwise::EvalTime(grid), _) => Some(grid.at(step) as f64 / 1000.0),
            (Elementwise::Histogram(part), Sample::Histogram(bytes)) => {
                let histogram = decode(bytes)?;
                Some(match part {
                    HistogramPart::Avg => histogram.mean(),
                    HistogramPart::Count => histogram.count,
                    HistogramPart::Stddev => histogram.variance().sqrt(),
                    HistogramPart::Stdvar => histogram.variance(),
                    HistogramPart::Sum => histogram.sum,
                })
            }
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
}

/// `points` is the values, followed by the histograms where the vector has them.
pub fn apply(name: &str, function: Elementwise, steps: usize, points: Vec<Expr>, scalars: Vec<Expr>) -> Expr {
    let histograms = points.len() > 1;
    let mut args = points;
    args.extend(scalars);
    let name = format!("prom_{name}");
    call(Apply { function, steps, histograms, name, signature: any_signature() }, args)
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
        let mut out = PointsBuilder::new(values.len(), self.steps, keep);
        for row in 0..values.len() {
            for step in 0..self.steps {
                match points.get(row, step) {
                    Some(Sample::Histogram(bytes)) if keep => {
                        out.push_histogram(&encode(decode(bytes)?.mul(-1.0)));
                    }
                    Some(sample) => match self.function.apply(sample, &scalars, row, step)? {
                        Some(value) => out.push_float(value),
                        None => out.push_none(),
                    },
                    None => out.push_none(),
                }
            }
        }
        args.result(out.finish_points()?)
    }
}
