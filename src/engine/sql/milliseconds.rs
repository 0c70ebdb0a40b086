//! Comparisons of a time in milliseconds with a constant that may be finer, such as `timestamp >= now()`.
//!
//! DataFusion casts the milliseconds to the finer unit, and then moves the cast over to the constant, which cuts it:
//! `timestamp >= '…00.0001Z'` would find `…00.000Z`. So before types are coerced the constant is rounded to
//! milliseconds in the direction the operator asks for, which is exact. A constant between two milliseconds
//! equals none: `=` asks for what is at least the one after and at most the one before.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::pushdown::nanoseconds;

/// Constants of one IN list that are looked at; a longer list is a table of constants.
const MAX_LIST: usize = 1_000;

#[derive(Debug, Default)]
pub struct RoundToMilliseconds;

impl AnalyzerRule for RoundToMilliseconds {
    fn name(&self) -> &str {
        "round_to_milliseconds"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(round_node)?.data)
    }
}

fn round_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rounded = expr.transform_up(|expr| round(expr, &schema))?;
        Ok(rounded.update_data(|expr| name.restore(expr)))
    })
}

fn round(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let rounded = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match finer(left, right, schema) {
            Some(constant) => compare(left, *op, constant),
            None => match (finer(right, left, schema), op.swap()) {
                (Some(constant), Some(op)) => compare(right, op, constant),
                _ => None,
            },
        },
        Expr::Between(Between { expr, negated, low, high }) => {
            let ends = (finer(expr, low, schema), finer(expr, high, schema));
            let (below, above, both): (_, _, fn(Expr, Expr) -> Expr) = match negated {
                false => (Operator::GtEq, Operator::LtEq, Expr::and),
                true => (Operator::Lt, Operator::Gt, Expr::or),
            };
            let plain = |op, end: &Expr| Some(binary(expr.as_ref().clone(), op, end.clone()));
            match ends {
                (None, None) => None,
                (first, last) => {
                    let first = first.map_or_else(|| plain(below, low), |c| compare(expr, below, c));
                    let last = last.map_or_else(|| plain(above, high), |c| compare(expr, above, c));
                    first.zip(last).map(|(first, last)| both(first, last))
                }
            }
        }
        Expr::InList(InList { expr, list, negated }) if list.len() <= MAX_LIST => {
            let fine: Vec<_> = list.iter().map(|item| finer(expr, item, schema)).collect();
            let (op, both): (_, fn(Expr, Expr) -> Expr) = match negated {
                false => (Operator::Eq, Expr::or),
                true => (Operator::NotEq, Expr::and),
            };
            let plain = |item: &Expr| Some(binary(expr.as_ref().clone(), op, item.clone()));
            let item = |(item, fine): (&Expr, Option<Expr>)| {
                fine.map_or_else(|| plain(item), |constant| compare(expr, op, constant))
            };
            match fine.iter().all(Option::is_none) {
                true => None,
                false => list.iter().zip(fine).filter_map(item).reduce(both),
            }
        }
        _ => None,
    };
    Ok(rounded.map_or_else(|| Transformed::no(expr), Transformed::yes))
}

/// The constant as a timestamp, if the other side is of milliseconds and it may be finer.
fn finer(time: &Expr, constant: &Expr, schema: &DFSchema) -> Option<Expr> {
    let DataType::Timestamp(TimeUnit::Millisecond, zone) = time.get_type(schema).ok()? else { return None };
    if let Expr::Literal(value, _) = constant
        && let Some(Some(text)) = value.try_as_str()
    {
        // What cannot be read is left to the error of the cast.
        let target = DataType::Timestamp(TimeUnit::Nanosecond, zone);
        let value = ScalarValue::Utf8(Some(text.to_string())).cast_to(&target).ok()?;
        return (!is_whole(&value)).then(|| Expr::Literal(value, None));
    }
    if constant.any_column_refs() || constant.is_volatile() || has_subquery(constant) {
        return None;
    }
    let is_finer = match constant.get_type(schema).ok()? {
        DataType::Timestamp(unit, _) => matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond),
        _ => false,
    };
    let whole = matches!(constant, Expr::Literal(value, _) if is_whole(value));
    (is_finer && !whole).then(|| constant.clone())
}

fn is_whole(value: &ScalarValue) -> bool {
    nanoseconds(value).is_none_or(|ns| ns % 1_000_000 == 0)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    };
    expr.exists(is_subquery).unwrap_or(true)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn compare(time: &Expr, op: Operator, constant: Expr) -> Option<Expr> {
    let floor = || FLOOR.call(vec![constant.clone()]);
    let ceiling = || CEILING.call(vec![constant.clone()]);
    let compare = |op, to| binary(time.clone(), op, to);
    Some(match op {
        Operator::Lt | Operator::GtEq => compare(op, ceiling()),
        Operator::LtEq | Operator::Gt => compare(op, floor()),
        Operator::Eq => compare(Operator::GtEq, ceiling()).and(compare(Operator::LtEq, floor())),
        Operator::NotEq => compare(Operator::Lt, ceiling()).or(compare(Operator::Gt, floor())),
        _ => return None,
    })
}

static FLOOR: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Round::udf("floor_to_milliseconds", 0)));
static CEILING: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(Round::udf("ceil_to_milliseconds", 999_999)));

/// A constant timestamp in whole milliseconds. Sessions do not know it; it is folded when the plan is optimized.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    name: &'static str,
    add_ns: i64,
    signature: Signature,
}

impl Round {
    fn udf(name: &'static str, add_ns: i64) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { name, add_ns, signature })
    }
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Timestamp(_, zone)] => Ok(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
            other => internal_err!("{}() of {other:?}", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(value)] = args.args.as_slice() else {
            return internal_err!("{}() takes a constant", self.name);
        };
        let DataType::Timestamp(_, zone) = value.data_type() else {
            return internal_err!("{}() takes a timestamp", self.name);
        };
        let rounded = nanoseconds(value).map(|ns| (ns + i128::from(self.add_ns)).div_euclid(1_000_000) as i64);
        Ok(ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(rounded, zone)))
    }
}
