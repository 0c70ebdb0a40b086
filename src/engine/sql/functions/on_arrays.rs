//! Calls that are computed of whole arrays: constants are arrays of one row, and what comes of nothing else is a constant.

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion::scalar::ScalarValue;

/// The result of a call.
pub fn computed(
    args: &ScalarFunctionArgs,
    compute: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let made = compute(&arrays)?;
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)),
        false => Ok(ColumnarValue::Array(made)),
    }
}
