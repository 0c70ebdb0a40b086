//! `array_length(array [, dimension])`: NULL where there is none, as PostgreSQL has it; and `array_remove`, which removes all.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, Int32Array, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, filter, is_not_null};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result;
use datafusion::functions_nested::length::array_length_udf;
use datafusion::functions_nested::remove::array_remove_all_udf;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::scalar::ScalarValue;

pub fn functions() -> Vec<ScalarUDF> {
    let length = ScalarUDF::new_from_impl(ArrayLength { inner: array_length_udf() });
    vec![length, ScalarUDF::new_from_impl(ArrayRemove { inner: array_remove_all_udf() })]
}

/// All elements that are equal to one, or NULL as it is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayRemove {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ArrayRemove {
    fn name(&self) -> &str {
        "array_remove"
    }

    /// See [`ArrayLength`].
    fn aliases(&self) -> &[String] {
        static ALIASES: LazyLock<[String; 1]> = LazyLock::new(|| ["list_remove".to_string()]);
        &*ALIASES
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [arrays, ColumnarValue::Scalar(element)] = args.args.as_slice() else {
            return self.inner.invoke_with_args(args);
        };
        if !element.is_null() {
            return self.inner.invoke_with_args(args);
        }
        let constant = matches!(arrays, ColumnarValue::Scalar(_));
        let arrays = arrays.to_array(if constant { 1 } else { args.number_rows })?;
        let Some(lists) = arrays.as_list_opt::<i32>() else { return self.inner.invoke_with_args(args) };
        let DataType::List(field) = lists.data_type() else { return self.inner.invoke_with_args(args) };
        let (mut lengths, mut parts) = (vec![], vec![]);
        for list in lists.iter() {
            let kept = list.map(|list| filter(&list, &is_not_null(&list)?)).transpose()?;
            lengths.push(kept.as_ref().map_or(0, |kept| kept.len()));
            parts.extend(kept);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = if parts.is_empty() { new_empty_array(field.data_type()) } else { concat(&parts)? };
        let offsets = OffsetBuffer::from_lengths(lengths);
        let removed = ListArray::try_new(Arc::clone(field), offsets, values, lists.nulls().cloned())?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&removed, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(removed))),
        }
    }
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
