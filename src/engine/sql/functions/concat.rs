//! `||`, which is a function here, so that the size of its result is looked at first: a recursive query that doubles a
//! text has a gigabyte of it after thirty rows. `textcat` is Postgres' name of that function; here it takes a whole
//! chain at once, since functions within functions take long to plan.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, plan_err, utils::list_ndims};
use datafusion::error::Result;
use datafusion::functions_nested::concat::array_concat_udf;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::bounded;

const NAME: &str = "textcat";

/// Turns `||` into functions that have a limit. To be asked before DataFusion's own planners.
#[derive(Debug)]
pub struct ConcatPlanner;

impl ExprPlanner for ConcatPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        static TEXTS: LazyLock<ScalarUDF> = LazyLock::new(|| bounded::texts(Arc::new(TextCat::new())));
        static ARRAYS: LazyLock<ScalarUDF> =
            LazyLock::new(|| bounded::arrays(Arc::clone(array_concat_udf().inner())));
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        let dimensions = |side: &Expr| match is_chain(side) {
            true => Ok(0),
            false => side.get_type(schema).map(|of| list_ndims(&of)),
        };
        let planned = match (dimensions(&expr.left)?, dimensions(&expr.right)?) {
            (0, 0) => TEXTS.call([links(expr.left), links(expr.right)].concat()),
            (left, right) if left == right => ARRAYS.call(vec![expr.left, expr.right]),
            // An element at an end of an array.
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(planned))
    }
}

fn is_chain(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == NAME)
}

/// What a chain joins; anything else is joined itself.
fn links(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == NAME => args,
        other => vec![other],
    }
}

/// As the operator has it: NULL where a part is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextCat {
    signature: Signature,
}

impl TextCat {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TextCat {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// One of them has to be a text; the others become one.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |of: &DataType| {
            matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
        };
        let inner = |of: &DataType| match of {
            DataType::Dictionary(_, values) => is_text(values),
            other => is_text(other),
        };
        if !types.iter().any(inner) {
            let types: Vec<String> = types.iter().map(DataType::to_string).collect();
            return plan_err!("operator does not exist: {}", types.join(" || "));
        }
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let joined = join(&arrays, rows)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(joined))),
        }
    }
}

fn join(arrays: &[ArrayRef], rows: usize) -> Result<StringArray> {
    let texts = arrays.iter().map(|array| cast(array, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&StringArray> = texts.iter().map(|text| text.as_string::<i32>()).collect();
    let bytes = texts.iter().map(|text| text.value_data().len()).sum();
    let mut out = StringBuilder::with_capacity(rows, bytes);
    let mut text = String::new();
    for row in 0..rows {
        if texts.iter().any(|part| part.is_null(row)) {
            out.append_null();
            continue;
        }
        text.clear();
        texts.iter().for_each(|part| text.push_str(part.value(row)));
        out.append_value(&text);
    }
    Ok(out.finish())
}
