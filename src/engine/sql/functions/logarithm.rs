//! `log(x)`, to the base of ten and exact where that is, and `log(base, x)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::on_arrays;

pub fn log() -> ScalarUDF {
    ScalarUDF::new_from_impl(Log { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Log {
    signature: Signature,
}

impl ScalarUDFImpl for Log {
    fn name(&self) -> &str {
        "log"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |of: &DataType| of.is_numeric() || of.is_null();
        match types {
            [_] | [_, _] if types.iter().all(is_number) => Ok(vec![DataType::Float64; types.len()]),
            _ => plan_err!("log() takes (number) or (base, number)"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays::computed(&args, |arrays| {
            let logarithms: Float64Array = match arrays {
                [of] => of.as_primitive::<Float64Type>().unary(f64::log10),
                [base, of] => arrow::compute::binary(
                    base.as_primitive::<Float64Type>(),
                    of.as_primitive::<Float64Type>(),
                    |base, of| if base == 10.0 { of.log10() } else { of.ln() / base.ln() },
                )?,
                _ => return internal_err!("log() of {} arguments", arrays.len()),
            };
            Ok(Arc::new(logarithms) as ArrayRef)
        })
    }
}
