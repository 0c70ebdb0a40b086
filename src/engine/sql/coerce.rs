//! Casts and comparisons of times in a plan, as PostgreSQL has them: what has no zone is in that of the session, and texts
//! are read as PostgreSQL reads them. Intervals are compared, and sorted, by their length; what there is of
//! numbers is in [`floats`]. A text that is written in the statement is read here, once, so that the optimizer
//! sees a time. Types of expressions stay what they are.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, lit, not, when,
};
use datafusion::scalar::ScalarValue;

use super::datetime::interval;
use super::datetime::read::Now;
use super::equal_intervals;
use super::floats;
use super::functions::intervals::{INTERVAL, Operation};
use super::functions::time_text::{self, Kind};
use super::functions::zoned::{self, utc};
use super::{alike, matching_types, multisets};

/// Changes all of a plan, its subqueries as well.
///
/// # Errors
/// 22007, 22008 and 22023 of texts that are no times.
pub fn apply(plan: LogicalPlan, now: Now) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(|plan| node(plan, now))?.data)
}

/// Changes an expression of a schema.
///
/// # Errors
/// As [`apply`].
pub fn expression(expr: Expr, schema: &DFSchema, now: Now) -> Result<Expr> {
    Ok(expr.transform_up(|expr| fit(expr, schema, now))?.data)
}

fn node(plan: LogicalPlan, now: Now) -> Result<Transformed<LogicalPlan>> {
    if !matches!(plan, LogicalPlan::Join(_)) {
        let fitted = alike::without_repeats(plan)?.transform_data(|plan| fit_node(plan, now))?;
        return fitted.transform_data(equal_intervals::apply)?.transform_data(alike::apply);
    }
    // Rows are numbered by what makes them alike.
    alike::apply(plan)?.transform_data(|plan| {
        let joined = multisets::numbered(plan)?;
        match joined {
            LogicalPlan::Join(_) => fit_node(joined, now),
            numbered => Ok(Transformed::yes(numbered)),
        }
    })
}

fn fit_node(plan: LogicalPlan, now: Now) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Union(union) = &plan {
        matching_types::check_union(union)?;
    }
    let mut touched = false;
    plan.apply_expressions(|expr| {
        touched = touched || expr.exists(|expr| Ok(is_candidate(expr)))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    if !touched && !sorts {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let fitted = expr.transform_up(|expr| fit(expr, &schema, now))?;
        if sorts && let Ok(of) = fitted.data.get_type(&schema) {
            if is_interval(&of) {
                return Ok(Transformed::yes(Operation::Length.function().call(vec![fitted.data])));
            }
            if floats::is_double(&of) {
                return Ok(Transformed::yes(floats::sorted(fitted.data)));
            }
        }
        Ok(fitted.update_data(|expr| name.restore(expr)))
    })
}

fn is_candidate(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => {
            let to = cast.field.data_type();
            is_of_time(to) || is_text(to) || is_interval(to) || floats::is_integer(to)
        }
        Expr::BinaryExpr(binary) => {
            is_comparison(binary.op) || matches!(binary.op, Operator::Plus | Operator::Minus | Operator::Multiply)
        }
        Expr::ScalarFunction(call) => matches!(
            call.func.name(),
            "round" | "greatest" | "least" | "format" | "quote_literal" | "quote_nullable"
        ),
        Expr::Between(_) | Expr::InList(_) | Expr::Case(_) => true,
        _ => false,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_of_time(of: &DataType) -> bool {
    matches!(
        of,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_)
    )
}

fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Interval(_) | DataType::Duration(_))
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn fit(expr: Expr, schema: &DFSchema, now: Now) -> Result<Transformed<Expr>> {
    let fitted = match &expr {
        Expr::Cast(cast) => match is_candidate(&expr) {
            true => cast_to(&cast.expr, cast.field.data_type(), schema, now)?,
            false => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            let (new_left, new_right) = pair(left, right, schema, now)?;
            match (new_left, new_right) {
                (None, None) => None,
                (new_left, new_right) => {
                    let left = new_left.unwrap_or_else(|| left.as_ref().clone());
                    let right = new_right.unwrap_or_else(|| right.as_ref().clone());
                    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
                }
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if !op.is_logic_operator() => {
            match (left.get_type(schema), right.get_type(schema)) {
                (Ok(of_left), Ok(of_right)) => floats::checked(left, *op, right, (&of_left, &of_right)),
                _ => None,
            }
        }
        Expr::Between(Between { expr: of, negated, low, high }) => {
            let (of_low, new_low) = pair(of, low, schema, now)?;
            let (of_high, new_high) = pair(of, high, schema, now)?;
            let changed = [&of_low, &new_low, &of_high, &new_high].iter().any(|new| new.is_some());
            let new = |new: Option<Expr>, old: &Expr| Box::new(new.unwrap_or_else(|| old.clone()));
            changed.then(|| {
                let of = new(of_low.or(of_high), of);
                Expr::Between(Between::new(of, *negated, new(new_low, low), new(new_high, high)))
            })
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "round" => floats::rounded(&call.args, schema),
            "greatest" => one_of(Operation::Greatest, call, schema, now)?,
            "least" => one_of(Operation::Least, call, schema, now)?,
            "format" | "quote_literal" | "quote_nullable" => of_texts(call, schema, now)?,
            _ => None,
        },
        Expr::Case(case) => {
            matching_types::check_case(case, schema)?;
            None
        }
        Expr::InList(InList { expr: of, list, negated }) => {
            let pairs = list.iter().map(|item| pair(of, item, schema, now)).collect::<Result<Vec<_>>>()?;
            let is_null = |item: &Expr| matches!(item, Expr::Literal(value, _) if value.is_null());
            let fits = |((new_of, _), item): (&(Option<Expr>, _), &Expr)| new_of.is_some() || is_null(item);
            let new_of = match pairs.iter().zip(list).all(fits) {
                true => pairs.iter().find_map(|(new_of, _)| new_of.clone()),
                false => None,
            };
            let changed = pairs.iter().any(|(new_of, new)| new_of.is_some() || new.is_some());
            changed.then(|| {
                let item = |((_, new), old): ((_, Option<Expr>), &Expr)| new.unwrap_or_else(|| old.clone());
                let items = pairs.into_iter().zip(list).map(item).collect();
                let of = new_of.map_or_else(|| of.clone(), Box::new);
                Expr::InList(InList::new(of, items, *negated))
            })
        }
        _ => None,
    };
    Ok(fitted.map_or_else(|| Transformed::no(expr), Transformed::yes))
}

/// A call of texts, of arguments as PostgreSQL shows those of their types.
fn of_texts(call: &ScalarFunction, schema: &DFSchema, now: Now) -> Result<Option<Expr>> {
    let mut changed = false;
    let mut args = vec![];
    for arg in &call.args {
        let text = match arg.get_type(schema) {
            Ok(DataType::Boolean) => Some(when(arg.clone(), lit("t")).when(not(arg.clone()), lit("f")).end()?),
            Ok(of) if !is_text(&of) => cast_to(arg, &DataType::Utf8, schema, now)?,
            _ => None,
        };
        changed |= text.is_some();
        args.push(text.unwrap_or_else(|| arg.clone()));
    }
    Ok(changed.then(|| call.func.call(args)))
}

/// One of some values: of intervals by their lengths, of doubles with one NaN, above all others. A text that is written is
/// what is beside it.
fn one_of(operation: Operation, call: &ScalarFunction, schema: &DFSchema, now: Now) -> Result<Option<Expr>> {
    let is_of_time = |of: &DataType| is_interval(of) || is_of_time(of);
    let type_of = |arg: &Expr| arg.get_type(schema).ok();
    let beside = call.args.iter().find(|arg| type_of(arg).is_some_and(|of| is_of_time(&of)));
    let mut args = call.args.clone();
    if let Some(beside) = beside {
        for arg in &mut args {
            if let Some(read) = read_as(arg, beside, schema, now)? {
                *arg = read;
            }
        }
    }
    let types: Vec<DataType> = args.iter().filter_map(type_of).collect();
    if types.iter().any(is_interval) {
        return Ok(Some(operation.function().call(args)));
    }
    if types.iter().any(floats::is_double) && types.iter().all(|of| of.is_numeric() || of.is_null()) {
        let canonical = |arg: Expr| match type_of(&arg).is_some_and(|of| floats::is_double(&of)) {
            true => floats::sorted(arg),
            false => arg,
        };
        args = args.into_iter().map(canonical).collect();
    }
    Ok((args != call.args).then(|| call.func.call(args)))
}

/// What compares as PostgreSQL would, for either side that has to change.
fn pair(left: &Expr, right: &Expr, schema: &DFSchema, now: Now) -> Result<(Option<Expr>, Option<Expr>)> {
    let literal = |expr: &Expr| text_of(expr).is_some();
    if literal(right) {
        return match read_as(right, left, schema, now)? {
            Some(right) if is_interval_literal(&right) => pair(left, &right, schema, now),
            right => Ok((None, right)),
        };
    }
    if literal(left) {
        return match read_as(left, right, schema, now)? {
            Some(left) if is_interval_literal(&left) => pair(&left, right, schema, now),
            left => Ok((left, None)),
        };
    }
    let (Ok(of_left), Ok(of_right)) = (left.get_type(schema), right.get_type(schema)) else {
        return Ok((None, None));
    };
    if is_interval(&of_left) && is_interval(&of_right) {
        let length = |expr: &Expr| Some(Operation::Length.function().call(vec![expr.clone()]));
        return Ok((length(left), length(right)));
    }
    if let Some((left, right)) = floats::pair(left, right, (&of_left, &of_right)) {
        return Ok((Some(left), Some(right)));
    }
    let lacks_zone =
        |of: &DataType| matches!(of, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64);
    let has_zone = |of: &DataType| matches!(of, DataType::Timestamp(_, Some(_)));
    let to = DataType::Timestamp(TimeUnit::Nanosecond, utc());
    match (has_zone(&of_left), has_zone(&of_right)) {
        (true, false) if lacks_zone(&of_right) => Ok((None, cast_to(right, &to, schema, now)?)),
        (false, true) if lacks_zone(&of_left) => Ok((cast_to(left, &to, schema, now)?, None)),
        _ => Ok((None, None)),
    }
}

fn is_interval_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::IntervalMonthDayNano(_), _))
}

fn read_interval(text: &str) -> Result<ScalarValue> {
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval::read(text, "")?)))
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// A text as what it is compared with, if that is a time.
fn read_as(text: &Expr, other: &Expr, schema: &DFSchema, now: Now) -> Result<Option<Expr>> {
    let (Some(text), Ok(of)) = (text_of(text), other.get_type(schema)) else { return Ok(None) };
    if is_interval(&of) {
        return Ok(Some(Expr::Literal(read_interval(text)?, None)));
    }
    let Some(kind) = Kind::of(&of) else { return Ok(None) };
    let value = kind.read(text, now)?;
    // In the coarser unit of the other side where that says the same, so that nothing is to be converted.
    let coarse = value.cast_to(&of)?;
    let exact = coarse.cast_to(&value.data_type())? == value;
    Ok(Some(Expr::Literal(if exact { coarse } else { value }, None)))
}

/// An expression cast to a type, if DataFusion's cast would be another.
fn cast_to(inner: &Expr, to: &DataType, schema: &DFSchema, now: Now) -> Result<Option<Expr>> {
    if let (Some(text), Some(kind)) = (text_of(inner), Kind::of(to)) {
        return Ok(Some(Expr::Literal(kind.read(text, now)?.cast_to(to)?, None)));
    }
    if let (Some(text), true) = (text_of(inner), is_interval(to)) {
        return Ok(Some(Expr::Literal(read_interval(text)?, None)));
    }
    let Ok(from) = inner.get_type(schema) else { return Ok(None) };
    if let Some(number) = floats::cast(inner, &from, to) {
        return Ok(Some(number));
    }
    let inner = || inner.clone();
    let in_session = |expr: Expr| constant(zoned::in_session().call(vec![expr]), now);
    let whole_days = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let cast = |expr: Expr, from: DataType| match from == *to {
        true => expr,
        false => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
    };
    Ok(match (&from, to) {
        (from, to) if is_text(from) && is_interval(to) => {
            Some(cast(Operation::Read.function().call(vec![inner()]), INTERVAL))
        }
        (from, to) if is_interval(from) && is_text(to) => {
            Some(cast(Operation::Write.function().call(vec![inner()]), DataType::Utf8))
        }
        (from, to) if is_text(from) => Kind::of(to).map(|kind| {
            let read = time_text::reading(kind, now).call(vec![inner()]);
            Expr::Cast(Cast::new(Box::new(read), to.clone()))
        }),
        (DataType::Timestamp(unit, Some(_)), DataType::Timestamp(_, None)) => {
            Some(cast(in_session(inner()), DataType::Timestamp(*unit, None)))
        }
        (DataType::Timestamp(unit, None), DataType::Timestamp(_, Some(_))) => {
            Some(cast(in_session(inner()), DataType::Timestamp(*unit, utc())))
        }
        (DataType::Date32 | DataType::Date64, DataType::Timestamp(_, Some(_))) => {
            let midnight = Expr::Cast(Cast::new(Box::new(inner()), whole_days));
            Some(cast(in_session(midnight), DataType::Timestamp(TimeUnit::Nanosecond, utc())))
        }
        (DataType::Timestamp(unit, Some(_)), to) if is_of_time(to) => match to {
            DataType::Timestamp(..) => None,
            _ => Some(cast(in_session(inner()), DataType::Timestamp(*unit, None))),
        },
        (from, to) if is_text(to) => Kind::of(from).map(|kind| {
            let text = time_text::writing(kind).call(vec![inner()]);
            cast(text, DataType::Utf8)
        }),
        _ => None,
    })
}

/// A constant turned into the zone at once, as PostgreSQL does with what is written in a statement.
fn constant(call: Expr, now: Now) -> Expr {
    let Expr::ScalarFunction(function) = &call else { return call };
    let [Expr::Literal(value, _)] = function.args.as_slice() else { return call };
    let turned = value.to_array().and_then(|array| zoned::turn(&array, |_| now.zone));
    match turned.and_then(|array| ScalarValue::try_from_array(&array, 0)) {
        Ok(value) => Expr::Literal(value, None),
        Err(_) => call,
    }
}
