//! Arguments of the UDFs as they arrive: columns, step vectors, constants; and what every UDF here shares.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::engine::promql::plan::layout::Floats;

/// The signature of all UDFs here: lowering builds the calls, so types need no coercion.
pub fn any_signature() -> Signature {
    Signature::variadic_any(Volatility::Immutable)
}

/// The signature of a UDF without arguments.
pub fn nullary_signature() -> Signature {
    Signature::nullary(Volatility::Immutable)
}

/// A call of a UDF built for this one place.
pub fn call(udf: impl ScalarUDFImpl + 'static, args: Vec<Expr>) -> Expr {
    Arc::new(ScalarUDF::new_from_impl(udf)).call(args)
}

/// Arguments by position, expanded to arrays on demand.
pub struct Args {
    pub values: Vec<ColumnarValue>,
    pub rows: usize,
}

impl Args {
    pub fn new(args: ScalarFunctionArgs) -> Self {
        Self { values: args.args, rows: args.number_rows }
    }

    /// Whether every argument is a constant, so that the result is one too.
    pub fn constant(&self) -> bool {
        self.values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)))
    }

    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        let value = self
            .values
            .get(index)
            .ok_or_else(|| DataFusionError::Internal(format!("argument {index} is missing")))?;
        value.clone().into_array(self.rows)
    }

    /// A scalar of PromQL: a Float64 constant, or a vector of one value per step.
    pub fn scalar(&self, index: usize) -> Result<StepScalar> {
        match self.values.get(index) {
            Some(ColumnarValue::Scalar(ScalarValue::Float64(Some(v)))) => Ok(StepScalar::Constant(*v)),
            Some(ColumnarValue::Scalar(ScalarValue::FixedSizeList(list))) => {
                Ok(StepScalar::Steps { list: Arc::clone(list) as ArrayRef, broadcast: true })
            }
            Some(ColumnarValue::Array(array)) => StepScalar::from_array(array),
            Some(ColumnarValue::Scalar(other)) => {
                Err(DataFusionError::Internal(format!("{} is no scalar of PromQL", other.data_type())))
            }
            None => Err(DataFusionError::Internal(format!("argument {index} is missing"))),
        }
    }

    /// Wraps a result: as a constant where all arguments were.
    pub fn result(&self, array: ArrayRef) -> Result<ColumnarValue> {
        if self.constant() && array.len() == 1 && self.rows <= 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// A scalar argument.
pub enum StepScalar {
    Constant(f64),
    Steps { list: ArrayRef, broadcast: bool },
}

/// [`StepScalar`] opened for reading.
pub enum ScalarReader<'a> {
    Constant(f64),
    Steps(Floats<'a>, bool),
}

impl StepScalar {
    /// From a column: aggregates get their parameters as arrays.
    pub fn from_array(array: &ArrayRef) -> Result<Self> {
        Ok(match array.as_any().downcast_ref::<Float64Array>() {
            // An optimizer may have turned a literal into a column of equal values.
            Some(column) => StepScalar::Constant(if column.is_empty() { f64::NAN } else { column.value(0) }),
            None => StepScalar::Steps { list: Arc::clone(array), broadcast: false },
        })
    }

    pub fn reader(&self) -> Result<ScalarReader<'_>> {
        Ok(match self {
            StepScalar::Constant(v) => ScalarReader::Constant(*v),
            StepScalar::Steps { list, broadcast } => ScalarReader::Steps(Floats::new(list)?, *broadcast),
        })
    }
}

impl ScalarReader<'_> {
    pub fn at(&self, row: usize, step: usize) -> f64 {
        match self {
            ScalarReader::Constant(v) => *v,
            ScalarReader::Steps(floats, broadcast) => {
                floats.get(if *broadcast { 0 } else { row }, step).unwrap_or(f64::NAN)
            }
        }
    }
}
