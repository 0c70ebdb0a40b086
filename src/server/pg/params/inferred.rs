//! Types of parameters by what stands beside them in a plan, where PostgreSQL would find one.
//!
//! The engine finds some of them itself, all by one rule: both sides of an operator have one type. What it finds is taken
//! where nothing better is known. A type that one place tells holds in all places, and what then is known tells more.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Placeholder, ScalarFunction, WindowFunctionDefinition};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Values,
};
use datafusion::scalar::ScalarValue;
use pgwire::error::{PgWireError, PgWireResult};

use super::number;
use crate::server::pg::{errors, types};

/// What is found tells more only so often.
const MAX_ROUNDS: usize = 8;

/// Finds the types of all parameters of a plan, of which some are known, and puts them there.
///
/// # Errors
/// 42P02 for what is no number of a parameter, 42P18 for a parameter of which nothing tells a type, those of planning.
pub fn apply(mut plan: LogicalPlan, known: &[Option<DataType>]) -> PgWireResult<(LogicalPlan, Vec<DataType>)> {
    let mut count = known.len();
    let mut found = Found::default();
    for (at, known) in known.iter().enumerate() {
        if let Some(known) = known {
            found.types.insert(at + 1, known.clone());
        }
    }
    let named = plan.get_parameter_names().map_err(errors::datafusion)?;
    for name in &named {
        let number = number(name).ok_or_else(|| errors::error("42P02", format!("there is no parameter {name}")))?;
        count = count.max(number);
    }
    if !named.is_empty() {
        for _ in 0..MAX_ROUNDS {
            let before = found.types.len();
            look(&plan, &mut found).map_err(errors::datafusion)?;
            plan = typed(plan, &found.types).map_err(errors::datafusion)?;
            if found.types.len() == before {
                break;
            }
        }
        if let Some(number) = found.tested.iter().find(|number| !found.types.contains_key(*number)) {
            return Err(undetermined(*number));
        }
        // What nothing else says anything of is a text, as in PostgreSQL.
        for name in &named {
            found.types.entry(number(name).unwrap_or(1)).or_insert(DataType::Utf8);
        }
        plan = typed(plan, &found.types).map_err(errors::datafusion)?;
    }
    let all = (1..=count).map(|number| found.types.get(&number).cloned().ok_or_else(|| undetermined(number)));
    Ok((plan, all.collect::<PgWireResult<_>>()?))
}

fn undetermined(number: usize) -> PgWireError {
    errors::error("42P18", format!("could not determine data type of parameter ${number}"))
}

#[derive(Default)]
struct Found {
    types: BTreeMap<usize, DataType>,
    /// Parameters that are only looked at for being NULL.
    tested: Vec<usize>,
}

impl Found {
    /// The first that is said holds.
    fn say(&mut self, expr: &Expr, of: Option<DataType>) {
        let Expr::Placeholder(placeholder) = expr else { return };
        if let Some(number) = number(&placeholder.id)
            && let Some(of) = of
            && of != DataType::Null
        {
            self.types.entry(number).or_insert(of);
        }
    }
}

fn look(plan: &LogicalPlan, found: &mut Found) -> Result<()> {
    let visited = plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        match node {
            LogicalPlan::Limit(limit) => {
                for number in [&limit.skip, &limit.fetch].into_iter().flatten() {
                    found.say(number, Some(DataType::Int64));
                }
            }
            LogicalPlan::Filter(filter) => found.say(&filter.predicate, Some(DataType::Boolean)),
            LogicalPlan::Values(values) => rows(values, found),
            _ => {}
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                context(expr, &schema, found);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map(drop)
}

/// Columns of `VALUES` have one type.
fn rows(values: &Values, found: &mut Found) {
    let empty = DFSchema::empty();
    let width = values.values.first().map_or(0, Vec::len);
    for column in 0..width {
        let cells: Vec<&Expr> = values.values.iter().filter_map(|row| row.get(column)).collect();
        let of = cells.iter().find_map(|cell| type_of(cell, &empty));
        for cell in cells {
            found.say(cell, of.clone());
        }
    }
}

/// What an expression says of the parameters in it.
fn context(expr: &Expr, schema: &DFSchema, found: &mut Found) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if matches!(op, Operator::And | Operator::Or) {
                found.say(left, Some(DataType::Boolean));
                found.say(right, Some(DataType::Boolean));
                return;
            }
            found.say(left, beside(right, *op, true, schema));
            found.say(right, beside(left, *op, false, schema));
            // In PostgreSQL too, two of which nothing is known are compared as texts.
        }
        Expr::Between(between) => {
            let of = [&between.expr, &between.low, &between.high].into_iter().find_map(|e| type_of(e, schema));
            for part in [&between.expr, &between.low, &between.high] {
                found.say(part, of.clone());
            }
        }
        Expr::InList(list) => {
            let all = || std::iter::once(list.expr.as_ref()).chain(&list.list);
            let of = all().find_map(|part| type_of(part, schema));
            all().for_each(|part| found.say(part, of.clone()));
        }
        Expr::Like(like) | Expr::SimilarTo(like) => {
            found.say(&like.expr, Some(DataType::Utf8));
            found.say(&like.pattern, Some(DataType::Utf8));
        }
        Expr::Not(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner) => found.say(inner, Some(DataType::Boolean)),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
            if let Expr::Placeholder(placeholder) = inner.as_ref() {
                found.tested.extend(number(&placeholder.id));
            }
        }
        Expr::Cast(cast) => found.say(&cast.expr, Some(cast.field.data_type().clone())),
        Expr::TryCast(cast) => found.say(&cast.expr, Some(cast.field.data_type().clone())),
        Expr::Case(case) => {
            let compared = case.expr.as_deref();
            let tested = || compared.into_iter().chain(case.when_then_expr.iter().map(|(when, _)| when.as_ref()));
            let of = match compared {
                Some(_) => tested().find_map(|part| type_of(part, schema)),
                None => Some(DataType::Boolean),
            };
            tested().for_each(|part| found.say(part, of.clone()));
            let results = || {
                let then = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
                then.chain(case.else_expr.as_deref())
            };
            let of = results().find_map(|part| type_of(part, schema));
            results().for_each(|part| found.say(part, of.clone()));
        }
        // What the engine has made of an operator between integers.
        Expr::ScalarFunction(ScalarFunction { func, args })
            if matches!(func.name(), "int8pl" | "int8mi" | "int8mul" | "int4pl" | "int4mi" | "int4mul")
                && args.len() == 2 =>
        {
            found.say(&args[0], type_of(&args[1], schema));
            found.say(&args[1], type_of(&args[0], schema));
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            arrays(func.name(), args, schema, found);
            arguments(func.as_ref(), args, schema, found);
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            arguments(func.as_ref(), &params.args, schema, found);
            if let Some(filter) = &params.filter {
                found.say(filter, Some(DataType::Boolean));
            }
        }
        Expr::WindowFunction(window) => match &window.fun {
            WindowFunctionDefinition::AggregateUDF(func) => {
                arguments(func.as_ref(), &window.params.args, schema, found);
            }
            WindowFunctionDefinition::WindowUDF(func) => {
                arguments(func.as_ref(), &window.params.args, schema, found);
            }
        },
        Expr::Placeholder(Placeholder { field: Some(field), .. }) => {
            found.say(expr, Some(field.data_type().clone()));
        }
        _ => {}
    }
}

/// What an operand says of the other one, which is the left one or the right one.
fn beside(other: &Expr, op: Operator, is_left: bool, schema: &DFSchema) -> Option<DataType> {
    let of = type_of(other, schema)?;
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let is_time = matches!(of, DataType::Timestamp(..));
    match op {
        Operator::Plus if is_time => Some(interval),
        Operator::Multiply | Operator::Divide
            if matches!(of, DataType::Interval(_)) && !(is_left && op == Operator::Divide) =>
        {
            Some(DataType::Float64)
        }
        Operator::StringConcat => Some(if matches!(of, DataType::List(_)) { of } else { DataType::Utf8 }),
        _ => Some(of),
    }
}

/// `x = ANY ($1)` is a search in an array.
fn arrays(name: &str, args: &[Expr], schema: &DFSchema, found: &mut Found) {
    if let ("array_has" | "array_contains" | "list_has" | "list_contains", [array, element]) = (name, args) {
        let list = type_of(element, schema).map(|of| DataType::List(Arc::new(Field::new_list_field(of, true))));
        found.say(array, list);
        if let Some(DataType::List(item)) = type_of(array, schema) {
            found.say(element, Some(item.data_type().clone()));
        }
    }
}

/// What a function takes in the place of each argument.
fn arguments<F: UDFCoercionExt>(func: &F, args: &[Expr], schema: &DFSchema, found: &mut Found) {
    if !args.iter().any(|arg| matches!(arg, Expr::Placeholder(_))) {
        return;
    }
    let field = |arg: &Expr| -> FieldRef {
        let of = if let Expr::Placeholder(_) = arg { None } else { type_of(arg, schema) };
        Arc::new(Field::new("argument", of.unwrap_or(DataType::Null), true))
    };
    let given: Vec<FieldRef> = args.iter().map(field).collect();
    let Ok(taken) = fields_with_udf(&given, func) else { return };
    for (arg, taken) in args.iter().zip(taken) {
        found.say(arg, Some(plain(taken.data_type().clone())));
    }
}

/// The type of an expression in which everything is known that it takes.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        Expr::Placeholder(_) => None,
        // A number as it is written is an integer in PostgreSQL, where it fits.
        Expr::Literal(ScalarValue::Int64(Some(n)), _) if i32::try_from(*n).is_ok() => Some(DataType::Int32),
        expr => expr.get_type(schema).ok().filter(|of| *of != DataType::Null).map(plain),
    }
}

/// A type that values are sent in.
fn plain(of: DataType) -> DataType {
    match of {
        DataType::Dictionary(_, of) => plain(*of),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(item)
        }
        of => of,
    }
}

/// The plan with types of parameters.
fn typed(plan: LogicalPlan, known: &BTreeMap<usize, DataType>) -> Result<LogicalPlan> {
    let transformed = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            if !expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))? {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let changed = expr.transform_up(|expr| Ok(Transformed::yes(put(expr, known))))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        changed.map_data(|node| match node {
            LogicalPlan::Values(Values { values, .. }) => LogicalPlanBuilder::values(values)?.build(),
            node => node.recompute_schema(),
        })
    });
    transformed.map(|transformed| transformed.data)
}

fn put(expr: Expr, known: &BTreeMap<usize, DataType>) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field }) => {
            let of = number(&id).and_then(|number| known.get(&number));
            let field = of.map(|of| Arc::new(Field::new(&id, of.clone(), true)) as FieldRef).or(field);
            Expr::Placeholder(Placeholder { id, field })
        }
        // Nanoseconds are fewer years than times have.
        Expr::Cast(cast) if is_same_time(&cast.expr, cast.field.data_type()) => *cast.expr,
        expr => expr,
    }
}

fn is_same_time(inner: &Expr, to: &DataType) -> bool {
    match inner {
        Expr::Placeholder(Placeholder { field: Some(field), .. }) => {
            let is_time = matches!(to, DataType::Timestamp(..));
            is_time && types::pg_type(field.data_type()) == types::pg_type(to)
        }
        _ => false,
    }
}
