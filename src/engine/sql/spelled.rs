//! Calls of functions that are spelled in words of SQL, or by operators, as calls by name; functions that make rows in a
//! SELECT list, as `unnest` of those that make arrays; and arguments by name in their places.

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, UnaryOperator, Value,
    ValueWithSpan,
};

use super::ast::{call, take};
use super::state::raised;

/// Functions that make rows, and those that make an array of them.
const OF_ROWS: &[(&str, &str)] = &[
    ("generate_series", "generate_series"),
    ("regexp_matches", "regexp_matches"),
    ("regexp_split_to_table", "regexp_split_to_array"),
    ("string_to_table", "string_to_array"),
];

/// The function that makes an array of the rows of another one.
pub fn array_of(name: &str) -> Option<&'static str> {
    OF_ROWS.iter().find(|(of_rows, _)| *of_rows == name).map(|(_, of_array)| *of_array)
}

/// The arguments of `make_interval`, in their order.
const PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// The call that is meant, if it is written otherwise.
///
/// # Errors
/// 42883 for an argument by a name that there is not.
pub fn call_of(expr: &mut Expr) -> Result<Option<Expr>> {
    Ok(match expr {
        Expr::Value(ValueWithSpan { value: Value::UnicodeStringLiteral(text), .. }) => {
            Some(Expr::Value(Value::SingleQuotedString(std::mem::take(text)).into()))
        }
        Expr::UnaryOp { op, expr: of } => match op {
            UnaryOperator::PGSquareRoot => Some(call("sqrt", vec![take(of)])),
            UnaryOperator::PGCubeRoot => Some(call("cbrt", vec![take(of)])),
            UnaryOperator::PGAbs => Some(call("abs", vec![take(of)])),
            _ => None,
        },
        Expr::Substring { expr: of, substring_from: Some(pattern), substring_for: None, .. }
            if is_text(pattern) =>
        {
            Some(call("regexp_substring", vec![take(of), take(pattern)]))
        }
        Expr::Function(function) => named(function)?,
        _ => None,
    })
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}

fn name_of(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Some(name.value.to_ascii_lowercase()),
        [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)]
            if schema.value.eq_ignore_ascii_case("pg_catalog") =>
        {
            Some(name.value.to_ascii_lowercase())
        }
        _ => None,
    }
}

fn named(function: &mut Function) -> Result<Option<Expr>> {
    let Some(name) = name_of(function) else { return Ok(None) };
    if function.over.is_some() {
        return Ok(None);
    }
    match (name.as_str(), &mut function.args) {
        // The other time is when today began.
        ("age", FunctionArguments::List(list)) if list.args.len() == 1 => {
            let today = call("current_date", vec![]);
            list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(today)));
            Ok(None)
        }
        ("make_interval", FunctionArguments::List(list)) => {
            list.args = in_places(std::mem::take(&mut list.args))?;
            Ok(None)
        }
        (name, FunctionArguments::List(_)) => {
            let Some(of_array) = array_of(name) else { return Ok(None) };
            let mut array = function.clone();
            array.name = vec![Ident::new(of_array)].into();
            Ok(Some(call("unnest", vec![Expr::Function(array)])))
        }
        _ => Ok(None),
    }
}

fn in_places(args: Vec<FunctionArg>) -> Result<Vec<FunctionArg>> {
    let is_named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
    if !args.iter().any(is_named) {
        return Ok(args);
    }
    let zero = || FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(Value::Number("0".into(), false).into())));
    let mut places: Vec<FunctionArg> = PARTS.iter().map(|_| zero()).collect();
    for (i, arg) in args.into_iter().enumerate() {
        let (place, arg) = match arg {
            FunctionArg::Unnamed(arg) => (Some(i), arg),
            FunctionArg::Named { name, arg, .. } => {
                (PARTS.iter().position(|part| name.value.eq_ignore_ascii_case(part)), arg)
            }
            FunctionArg::ExprNamed { arg, .. } => (None, arg),
        };
        match place.and_then(|place| places.get_mut(place)) {
            Some(place) => *place = FunctionArg::Unnamed(arg),
            None => return Err(raised("42883", "function make_interval() has no such argument")),
        }
    }
    Ok(places)
}
