//! The functions by their names, for the planner. Plans that are run have none of them.

use arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::engine::sql::functions::time_bucket;
use crate::engine::sql::state::raised;

pub const GAPFILL: &str = "time_bucket_gapfill";
pub const LOCF: &str = "locf";
pub const INTERPOLATE: &str = "interpolate";

pub fn functions() -> Vec<ScalarUDF> {
    let of = |name, signature| ScalarUDF::new_from_impl(Placeholder { name, signature });
    let any =
        |counts: &[usize]| TypeSignature::OneOf(counts.iter().map(|count| TypeSignature::Any(*count)).collect());
    vec![
        of(GAPFILL, Signature::user_defined(Volatility::Volatile)),
        of(LOCF, Signature::new(any(&[1, 2]), Volatility::Volatile)),
        of(INTERPOLATE, Signature::new(any(&[1]), Volatility::Volatile)),
    ]
}

/// A function that a plan must not have when it runs. None is folded before it was looked for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Placeholder {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Of `time_bucket_gapfill`, whose first two arguments are those of `time_bucket`.
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [width, time, bounds @ ..] = arguments else {
            return plan_err!("{GAPFILL}() takes (interval, timestamp), start and finish");
        };
        let mut types = time_bucket().coerce_types(&[width.clone(), time.clone()])?;
        types.extend_from_slice(bounds);
        Ok(types)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[usize::from(self.name == GAPFILL)].clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(misplaced(self.name))
    }
}

/// 0A000 for a call where there can be none.
pub fn misplaced(name: &str) -> DataFusionError {
    match name {
        GAPFILL => raised("0A000", format!("{GAPFILL}() is only for GROUP BY, as a whole expression of it")),
        name => raised(
            "0A000",
            format!("{name}() is only for the select list of a query that is grouped by {GAPFILL}()"),
        ),
    }
}
