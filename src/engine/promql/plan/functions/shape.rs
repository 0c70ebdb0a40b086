//! Evaluation times, broadcasting of step-invariant parts, splitting of points into columns.

use std::sync::Arc;

use datafusion::arrow::array::{Array, StructArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::args::{Args, any_signature, call, nullary_signature};
use crate::engine::promql::plan::layout::{Grid, Points, PointsBuilder, points_type, values_type};

/// `time()`: the evaluation times in seconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Time {
    grid: Grid,
    signature: Signature,
}

pub fn time(grid: Grid) -> Expr {
    call(Time { grid, signature: nullary_signature() }, vec![])
}

impl ScalarUDFImpl for Time {
    fn name(&self) -> &str {
        "prom_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(values_type(self.grid.steps))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut out = PointsBuilder::new(1, self.grid.steps, false);
        (0..self.grid.steps).for_each(|k| out.push_float(self.grid.at(k) as f64 / 1000.0));
        Args { rows: 1, ..Args::new(args) }.result(out.finish_points()?)
    }
}

/// Fills a vector with one constant, for `vector(1)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    steps: usize,
    signature: Signature,
}

/// A PromQL scalar, constant or per step, as a vector of `steps`.
pub fn fill(scalar: Expr, steps: usize) -> Expr {
    call(Constant { steps, signature: any_signature() }, vec![scalar])
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        "prom_vector"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(values_type(self.steps))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let scalar = args.scalar(0)?;
        let reader = scalar.reader()?;
        let rows = if args.constant() { 1 } else { args.rows };
        let mut out = PointsBuilder::new(rows, self.steps, false);
        for row in 0..rows {
            (0..self.steps).for_each(|step| out.push_float(reader.at(row, step)));
        }
        Args { rows, ..args }.result(out.finish_points()?)
    }
}

/// Repeats the one step of a step-invariant vector.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Broadcast {
    steps: usize,
    histograms: bool,
    signature: Signature,
}

pub fn broadcast(args: Vec<Expr>, steps: usize) -> Expr {
    let histograms = args.len() > 1;
    call(Broadcast { steps, histograms, signature: any_signature() }, args)
}

impl ScalarUDFImpl for Broadcast {
    fn name(&self) -> &str {
        "prom_broadcast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(points_type(self.steps, self.histograms))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = Args::new(args);
        if args.constant() {
            args.rows = 1;
        }
        let values = args.array(0)?;
        let histograms = self.histograms.then(|| args.array(1)).transpose()?;
        let points = Points::new(&values, histograms.as_deref())?;
        let mut out = PointsBuilder::new(values.len(), self.steps, self.histograms);
        for row in 0..values.len() {
            let sample = points.get(row, 0);
            (0..self.steps).for_each(|_| out.push(sample));
        }
        args.result(out.finish_points()?)
    }
}

/// Takes one field of the struct a function with histograms returns.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pick {
    index: usize,
    signature: Signature,
}

/// 0 is the values, 1 the histograms.
pub fn pick(points: Expr, index: usize) -> Expr {
    call(Pick { index, signature: any_signature() }, vec![points])
}

impl ScalarUDFImpl for Pick {
    fn name(&self) -> &str {
        if self.index == 0 { "prom_floats" } else { "prom_histograms" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [DataType::Struct(fields)] if self.index < fields.len() => Ok(fields[self.index].data_type().clone()),
            other => Err(DataFusionError::Internal(format!("{other:?} has no points to split"))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let array = args.array(0)?;
        let points = array
            .as_any()
            .downcast_ref::<StructArray>()
            .ok_or_else(|| DataFusionError::Internal("points are a struct".into()))?;
        args.result(Arc::clone(points.column(self.index)))
    }
}
