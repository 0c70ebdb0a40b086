//! `prom_steps(start, end, step)`: the evaluation times of a query in milliseconds, end included. `promql()` plans
//! a call of it, so that `EXPLAIN` shows three numbers and not a list of thousands. Sessions do not know it.

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// Volatile in name only: the optimizer would write the list into the plan otherwise.
pub fn prom_steps() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Int64; 3], Volatility::Volatile);
    ScalarUDF::new_from_impl(PromSteps { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PromSteps {
    signature: Signature,
}

impl ScalarUDFImpl for PromSteps {
    fn name(&self) -> &str {
        "prom_steps"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Field::new_list_field(DataType::Int64, true).into()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        use ScalarValue::Int64;
        let [
            ColumnarValue::Scalar(Int64(Some(start))),
            ColumnarValue::Scalar(Int64(Some(end_inclusive))),
            ColumnarValue::Scalar(Int64(Some(step @ 1..))),
        ] = args.args.as_slice()
        else {
            return internal_err!("prom_steps() takes three constants, the last of them positive");
        };
        let times = (0..=(end_inclusive - start) / step).map(|i| start + i * step);
        let times: Vec<ScalarValue> = Int64Array::from_iter_values(times).iter().map(Int64).collect();
        Ok(ColumnarValue::Scalar(ScalarValue::List(ScalarValue::new_list_nullable(&times, &DataType::Int64))))
    }
}
