//! `||`, which is a function here, so that the size of its result is looked at first: a recursive query that doubles a
//! text has a gigabyte of it after thirty rows. `textcat` is Postgres' name of that function.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{DFSchema, utils::list_ndims, utils::take_function_args};
use datafusion::error::Result;
use datafusion::functions_nested::concat::array_concat_udf;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::bounded;

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
        let dimensions = |side: &datafusion::prelude::Expr| side.get_type(schema).map(|of| list_ndims(&of));
        let function = match (dimensions(&expr.left)?, dimensions(&expr.right)?) {
            (0, 0) => &TEXTS,
            (left, right) if left == right => &ARRAYS,
            // An element at an end of an array.
            _ => return Ok(PlannerResult::Original(expr)),
        };
        Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])))
    }
}

/// As the operator has it: NULL where a side is NULL.
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
        "textcat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = take_function_args(self.name(), types)?;
        let (left, right) = BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = take_function_args(self.name(), types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let fields = columns.iter().zip(["left", "right"]);
        let fields: Vec<_> =
            fields.map(|(column, name)| Field::new(name, column.data_type().clone(), true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        let side = |name, index| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
        let joined = BinaryExpr::new(side("left", 0), Operator::StringConcat, side("right", 1));
        let joined = joined.evaluate(&batch)?.into_array(rows)?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?)),
            false => Ok(ColumnarValue::Array(joined)),
        }
    }
}
