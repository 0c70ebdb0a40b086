//! `array_length(array [, dimension])`: NULL where there is none, as PostgreSQL has it; and `array_remove`, which removes all.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::functions_nested::length::array_length_udf;
use datafusion::functions_nested::remove::array_remove_all_udf;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::scalar::ScalarValue;

pub fn functions() -> Vec<ScalarUDF> {
    let length = ScalarUDF::new_from_impl(ArrayLength { inner: array_length_udf() });
    vec![length, array_remove_all_udf().as_ref().clone().with_aliases(["array_remove", "list_remove"])]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayLength {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ArrayLength {
    fn name(&self) -> &str {
        "array_length"
    }

    /// DataFusion's has that as well, and would take the name back when a session is made of another.
    fn aliases(&self) -> &[String] {
        static ALIASES: LazyLock<[String; 1]> = LazyLock::new(|| ["list_length".to_string()]);
        &*ALIASES
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let lengths = self.inner.invoke_with_args(args)?;
        let constant = matches!(lengths, ColumnarValue::Scalar(_));
        let lengths = cast(&lengths.to_array(if constant { 1 } else { rows })?, &DataType::Int64)?;
        let lengths = lengths.as_primitive::<Int64Type>().iter();
        let lengths: Int32Array =
            lengths.map(|length| length.filter(|length| *length > 0)).map(|l| l.map(|l| l as i32)).collect();
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&lengths, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(lengths) as Arc<dyn Array>)),
        }
    }
}
