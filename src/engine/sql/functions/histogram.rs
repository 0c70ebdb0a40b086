//! `histogram_json(binary)`: a histogram as operators exchange it, as the JSON that metric tables show.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::engine::scan::histogram::to_json;
use crate::model::histogram::codec;

pub fn histogram_json() -> ScalarUDF {
    ScalarUDF::new_from_impl(HistogramJson {
        signature: Signature::exact(vec![DataType::Binary], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HistogramJson {
    signature: Signature,
}

impl ScalarUDFImpl for HistogramJson {
    fn name(&self) -> &str {
        "histogram_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args[0].to_array(args.number_rows)?;
        let bytes = column.as_binary::<i32>();
        let json = |row: usize| -> Result<Option<String>> {
            if bytes.is_null(row) {
                return Ok(None);
            }
            let histogram = codec::decode(bytes.value(row)).map_err(|e| DataFusionError::External(e.into()))?;
            Ok(Some(to_json(&histogram)))
        };
        let texts = (0..bytes.len()).map(json).collect::<Result<StringViewArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}
