//! `time_bucket_gapfill(width, time, start => …, finish => …)` and `locf(value, treat_null_as_missing => true)`: names to
//! positions, and a word for what is not built.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, Value, VisitorMut,
};

use super::names::{GAPFILL, INTERPOLATE, LOCF};
use crate::engine::sql::state::raised;
use crate::engine::sql::text::walk::walk_mut;

/// What a function takes, by the names of TimescaleDB.
const OF_GAPFILL: [&str; 5] = ["bucket_width", "time", "timezone", "start", "finish"];
const OF_LOCF: [&str; 3] = ["value", "prev", "treat_null_as_missing"];
const OF_INTERPOLATE: [&str; 3] = ["value", "prev", "next"];

/// Changes a statement in place, and says whether it has such a call.
///
/// # Errors
/// 42883 for arguments that there are not, 0A000 for those that are not built.
pub fn apply(statement: &mut Statement) -> Result<bool> {
    let mut calls = Calls::default();
    let _ = walk_mut(statement, &mut calls);
    calls.wrong.map_or(Ok(calls.some), Err)
}

#[derive(Default)]
struct Calls {
    some: bool,
    wrong: Option<DataFusionError>,
}

impl VisitorMut for Calls {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Some(name) = name_of(function) else { return ControlFlow::Continue(()) };
        self.some = true;
        match positions(name, function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.wrong = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

fn name_of(function: &Function) -> Option<&'static str> {
    let last = function.name.0.last()?.as_ident()?;
    [GAPFILL, LOCF, INTERPOLATE].into_iter().find(|name| match last.quote_style {
        Some(_) => last.value == *name,
        None => last.value.eq_ignore_ascii_case(name),
    })
}

fn positions(name: &'static str, function: &mut Function) -> Result<()> {
    let FunctionArguments::List(list) = &mut function.args else {
        return Err(raised("42883", format!("{name}() needs arguments")));
    };
    if function.over.is_some() || function.filter.is_some() || !list.clauses.is_empty() {
        return Err(raised("42809", format!("{name}() is neither a window function nor an aggregate")));
    }
    let names: &[&str] = match name {
        GAPFILL => &OF_GAPFILL,
        LOCF => &OF_LOCF,
        _ => &OF_INTERPOLATE,
    };
    let mut found: Vec<Option<Expr>> = vec![None; names.len()];
    let unnamed = list.args.iter().filter(|arg| matches!(arg, FunctionArg::Unnamed(_))).count();
    for (at, arg) in list.args.drain(..).enumerate() {
        let (place, arg) = match arg {
            // Without a zone, as there are four.
            FunctionArg::Unnamed(arg) if name == GAPFILL && unnamed == 4 && at > 1 => (at + 1, arg),
            FunctionArg::Unnamed(arg) => (at, arg),
            FunctionArg::Named { name: said, arg, .. }
            // As some dialects read names.
            | FunctionArg::ExprNamed { name: Expr::Identifier(said), arg, .. } => {
                let said = said.value.to_ascii_lowercase();
                let said = if name == GAPFILL && said == "ts" { "time" } else { said.as_str() };
                let place = names.iter().position(|name| *name == said);
                let place = place.ok_or_else(|| raised("42883", format!("{name}() has no argument \"{said}\"")))?;
                (place, arg)
            }
            FunctionArg::ExprNamed { name: said, .. } => {
                return Err(raised("42883", format!("{name}() has no argument \"{said}\"")));
            }
        };
        let FunctionArgExpr::Expr(arg) = arg else {
            return Err(raised("42883", format!("{name}() takes no *")));
        };
        match found.get_mut(place) {
            Some(free @ None) => *free = Some(arg),
            Some(Some(_)) => return Err(raised("42601", format!("{name}() is told {} twice", names[place]))),
            None => return Err(raised("42883", format!("{name}() takes {} arguments at most", names.len()))),
        }
    }
    let not_built: &[(usize, &str)] = match name {
        GAPFILL => {
            &[(2, "timezone of time_bucket_gapfill() is not built: buckets are those of the session's TimeZone")]
        }
        LOCF => &[(1, "prev of locf() is not built: ask for an earlier start")],
        _ => &[
            (1, "prev of interpolate() is not built: ask for an earlier start"),
            (2, "next of interpolate() is not built: ask for a later finish"),
        ],
    };
    for (place, why) in not_built {
        if found[*place].take().is_some_and(|arg| !is_null(&arg)) {
            return Err(raised("0A000", *why));
        }
    }
    let needed = if name == GAPFILL { 2 } else { 1 };
    if let Some(missing) = found.iter().take(needed).position(Option::is_none) {
        return Err(raised("42883", format!("{name}() needs its {}", names[missing])));
    }
    let null = || Expr::Value(Value::Null.into());
    let kept: Vec<Expr> = match name {
        GAPFILL => [0, 1, 3, 4].map(|place| found[place].take().unwrap_or_else(null)).into(),
        LOCF => [0, 2].into_iter().filter_map(|place| found[place].take()).collect(),
        _ => found[0].take().into_iter().collect(),
    };
    list.args = kept.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    Ok(())
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if value.value == Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn read(call: &str) -> String {
        let sql = format!("SELECT {call}");
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap().pop().unwrap();
        match apply(&mut statement) {
            Ok(true) => statement.to_string().trim_start_matches("SELECT ").to_string(),
            Ok(false) => "none".to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_have_places() {
        let all = "time_bucket_gapfill('1h', t, a, b)";
        assert_eq!(read("time_bucket_gapfill('1h', t)"), "time_bucket_gapfill('1h', t, NULL, NULL)");
        for call in [
            all,
            "time_bucket_gapfill('1h', t, start => a, finish => b)",
            "time_bucket_gapfill('1h', t, finish => b, start => a)",
            "time_bucket_gapfill('1h', t, NULL, a, b)",
        ] {
            assert_eq!(read(call), all, "{call}");
        }
        assert_eq!(read("time_bucket_gapfill('1h', t, finish => b)"), "time_bucket_gapfill('1h', t, NULL, b)");
        assert_eq!(read("LOCF(v, treat_null_as_missing => true)"), "LOCF(v, true)");
        assert_eq!(read("interpolate(v)"), "interpolate(v)");
        assert_eq!(read("time_bucket('1h', t)"), "none");
    }

    #[test]
    fn what_there_is_not_is_said() {
        for (call, said) in [
            ("time_bucket_gapfill('1h', t, 'Europe/Berlin')", "timezone of time_bucket_gapfill() is not built"),
            ("time_bucket_gapfill('1h')", "needs its time"),
            ("time_bucket_gapfill('1h', t, begin => a)", "has no argument \"begin\""),
            ("time_bucket_gapfill('1h', t, start => a, start => b)", "is told start twice"),
            ("time_bucket_gapfill(1, 2, 3, 4, 5, 6)", "takes 5 arguments at most"),
            ("locf(v, 1)", "prev of locf() is not built"),
            ("interpolate(v, NULL, 2)", "next of interpolate() is not built"),
            ("locf(*)", "takes no *"),
            ("locf(v) OVER ()", "neither a window function nor an aggregate"),
        ] {
            let answer = read(call);
            assert!(answer.contains(said), "{call}: {answer}");
        }
    }
}
