//! `pg_sleep`: ends with its statement, at a cancel request or a timeout.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// A year; no statement lasts so long.
const MOST_SECONDS: f64 = 31_536_000.0;

pub fn pg_sleep() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Volatile);
    AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("pg_sleep waits".into()))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut slept = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let at = row.min(arrays[0].len().saturating_sub(1));
            let ScalarValue::Float64(Some(seconds)) = ScalarValue::try_from_array(&arrays[0], at)? else {
                slept.push(ScalarValue::Utf8(None));
                continue;
            };
            // Not a number and negative numbers are no time.
            let seconds = if seconds > 0.0 { seconds.min(MOST_SECONDS) } else { 0.0 };
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            slept.push(ScalarValue::Utf8(Some(String::new())));
        }
        if slept.is_empty() {
            return Ok(ColumnarValue::Array(datafusion::arrow::array::new_empty_array(&DataType::Utf8)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(slept)?))
    }
}
