//! Constructs that DataFusion plans as something else than PostgreSQL means, put as calls of functions before anything is
//! planned.
//!
//! | construct | becomes |
//! | --- | --- |
//! | `time AT TIME ZONE zone` | `timezone(zone, time)` |
//! | `text::varchar(n)`, `text::char(n)` | `varchar(text, n)`, `bpchar(text, n)` |
//! | `text LIKE pattern ESCAPE 'c'` | the pattern with backslashes |
//! | `sum(x::int), sum(x::float8)` | what [`told_apart`] says |
//! | `text SIMILAR TO 'pattern'` | `text ~ '^(?:…)$'` |
//! | `x > ALL (query)` and the like | a CASE over its extremes |
//! | `'{a,b}'::text[]`, `x = ANY ('{a,b}')` | `ARRAY['a'::text, 'b'::text]`, `x IN ('a', 'b')` |
//! | `INTERVAL 'text' unit` | the interval as months, days and nanoseconds |
//! | `generate_series(1, 2) AS g`, `unnest(a) AS u` in FROM | `… AS g (g)`, `… AS u (u)` |
//! | `0.1 + 0.2` | `0.3`, see [`numerals`] |
//! | `(a, b) < (c, d)`, `FETCH FIRST`, `WINDOW w AS`, `substring(x FROM 'a+')` and other calls | what [`rows`], [`clauses`] and [`spelled`] say |
//! | `FULL JOIN … USING (k)`, `ORDER BY -alias` | what [`joins`] and [`order`] say |

use std::ops::ControlFlow;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CharacterLength, DataType, Expr, Ident, Interval, Query, Statement, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, Value, VisitorMut,
};

use super::array_text::{self, Element};
use super::ast::{call, take};
use super::clauses;
use super::datetime::interval;
use super::generate_series;
use super::growth::Growth;
use super::joins;
use super::numerals;
use super::order;
use super::patterns;
use super::quantified::{self, Quantifier};
use super::rows;
use super::spelled;
use super::state::raised;
use super::text::{self, walk::walk_mut};
use super::told_apart;

/// Changes a statement in place.
///
/// # Errors
/// 22P02 of texts that are no arrays, 22007 of those that are no intervals, 54001 where it becomes too large to be planned,
/// and those of what the table names.
pub fn apply(statement: &mut Statement) -> Result<()> {
    let mut rules = Rules::default();
    let _ = walk_mut(statement, &mut rules);
    if let Some(wrong) = rules.wrong {
        return Err(wrong);
    }
    numerals::typed(statement);
    if rules.growth.any() {
        // It is larger than what was looked at when it was read.
        text::check(statement).map_err(|why| raised("54001", why.to_string()))?;
    }
    Ok(())
}

#[derive(Default)]
struct Rules {
    wrong: Option<DataFusionError>,
    growth: Growth,
}

impl Rules {
    fn made(&mut self, expr: &mut Expr, made: Result<Option<Expr>>) -> ControlFlow<()> {
        match made {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(error) => return self.refused(Err(error)),
        }
        ControlFlow::Continue(())
    }

    fn refused(&mut self, done: Result<()>) -> ControlFlow<()> {
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.wrong = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl VisitorMut for Rules {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let done = joins::write_out(query, &mut self.growth)
            .and_then(|()| clauses::fetch(query))
            .and_then(|()| clauses::name_windows(query, &mut self.growth));
        order::qualify(query);
        told_apart::apply(query);
        self.refused(done)
    }

    /// The column of a function in FROM is called as the table, or as the function.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let (alias, function) = match factor {
            TableFactor::Table { name, args: Some(_), alias, .. } | TableFactor::Function { name, alias, .. }
                if generate_series::is_series(name) =>
            {
                (alias, "generate_series")
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset: false, .. } if array_exprs.len() == 1 => {
                (alias, "unnest")
            }
            _ => return ControlFlow::Continue(()),
        };
        let alias = alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::new(function),
            columns: vec![],
            at: None,
        });
        if alias.columns.is_empty() {
            alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::AtTimeZone { timestamp, time_zone } => {
                let arguments = vec![take(time_zone), take(timestamp)];
                *expr = call("timezone", arguments);
            }
            Expr::AnyOp { left, compare_op, right, .. } => {
                if let Expr::Subquery(query) = right.as_ref() {
                    let plain = quantified::plain(left, compare_op, Quantifier::Any, query, &mut self.growth);
                    return self.made(expr, plain);
                }
                if let Some(text) = array_text::written(right)
                    && *compare_op == BinaryOperator::Eq
                {
                    let made = array_text::read(text).map(|elements| Some(one_of(left, &elements)));
                    return self.made(expr, made);
                }
            }
            Expr::AllOp { left, compare_op, right } => {
                if let Expr::Subquery(query) = right.as_ref() {
                    let plain = quantified::plain(left, compare_op, Quantifier::All, query, &mut self.growth);
                    return self.made(expr, plain);
                }
            }
            Expr::BinaryOp { left, op, right } => {
                if let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_ref(), right.as_ref()) {
                    let compared = rows::compared(left, op, right, &mut self.growth);
                    self.made(expr, compared)?;
                    return self.refused(Growth::check(expr));
                }
                let computed = numerals::computed(expr);
                return self.made(expr, computed);
            }
            Expr::InList { expr: of, list, negated } => {
                if let Expr::Tuple(of) = of.as_ref() {
                    let found = rows::in_list(of, list, *negated, &mut self.growth);
                    return self.made(expr, found);
                }
            }
            Expr::Interval(of) => {
                let done = plain_interval(of);
                return self.refused(done);
            }
            Expr::Identifier(Ident { value, quote_style: None, .. })
                if value.eq_ignore_ascii_case("current_schema") =>
            {
                *expr = call("current_schema", vec![]);
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                if let Expr::Interval(of) = inner.as_mut()
                    && negate(of)
                {
                    *expr = take(inner);
                }
            }
            Expr::Cast { expr: inner, data_type, .. } => {
                if let Some(cut) = cut(inner, data_type) {
                    *expr = cut;
                    return ControlFlow::Continue(());
                }
                let made = array_text::array_of(inner, data_type);
                return self.made(expr, made);
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                let done = patterns::with_backslashes(pattern, escape_char);
                return self.refused(done);
            }
            Expr::SimilarTo { negated, expr: of, pattern, escape_char } => {
                if let Some(similar) = patterns::similar(*negated, of, pattern, escape_char) {
                    *expr = similar;
                }
            }
            _ => {
                let spelled = match numerals::computed(expr) {
                    Ok(None) => spelled::call_of(expr),
                    computed => computed,
                };
                return self.made(expr, spelled);
            }
        }
        ControlFlow::Continue(())
    }
}

fn one_of(left: &Expr, elements: &[Element]) -> Expr {
    if elements.is_empty() {
        return Expr::Value(Value::Boolean(false).into());
    }
    let list = elements.iter().map(array_text::literal).collect();
    Expr::InList { expr: Box::new(left.clone()), list, negated: false }
}

/// A text of at most, or just, so many characters.
fn cut(inner: &mut Expr, to: &mut DataType) -> Option<Expr> {
    let (function, length) = match to {
        DataType::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. })) => ("varchar", *length),
        DataType::Char(Some(CharacterLength::IntegerLength { length, .. }))
        | DataType::Character(Some(CharacterLength::IntegerLength { length, .. })) => ("bpchar", *length),
        _ => return None,
    };
    let text = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(take(inner)),
        data_type: DataType::Text,
        format: None,
        array: false,
    };
    let length = Expr::Value(Value::Number(length.to_string(), false).into());
    Some(call(function, vec![text, length]))
}

/// What is computed is left to DataFusion, and to its error.
fn plain_interval(of: &mut Interval) -> Result<()> {
    let Expr::Value(written) = of.value.as_mut() else { return Ok(()) };
    let Value::SingleQuotedString(text) = &mut written.value else { return Ok(()) };
    let unit = match (&of.leading_field, &of.last_field) {
        (None, None) => String::new(),
        // Of `day to second` the last counts.
        (Some(unit), None) | (_, Some(unit)) => unit.to_string().to_ascii_lowercase(),
    };
    let IntervalMonthDayNano { months, days, nanoseconds } = interval::read(text, &unit)?;
    *text = format!("{months} months {days} days {nanoseconds} nanoseconds");
    (of.leading_field, of.last_field) = (None, None);
    Ok(())
}

/// All parts of a plain interval: DataFusion would put the sign before the first.
fn negate(of: &mut Interval) -> bool {
    let Expr::Value(written) = of.value.as_mut() else { return false };
    let Value::SingleQuotedString(text) = &mut written.value else { return false };
    let Ok(IntervalMonthDayNano { months, days, nanoseconds }) = interval::read(text, "") else { return false };
    *text =
        format!("{} months {} days {} nanoseconds", -i64::from(months), -i64::from(days), -i128::from(nanoseconds));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn constructs() {
        let check = |sql: &str, expected: &str| {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            apply(&mut statement).unwrap();
            assert_eq!(statement.to_string(), expected);
        };
        check(
            "SELECT t AT TIME ZONE 'UTC' AT TIME ZONE z FROM (SELECT now() AT TIME ZONE 'x' AS t)",
            "SELECT timezone(z, timezone('UTC', t)) FROM (SELECT timezone('x', now()) AS t)",
        );
        check("SELECT INTERVAL '1 day 02:03:04'", "SELECT INTERVAL '0 months 1 days 7384000000000 nanoseconds'");
        check("SELECT '{1,NULL}'::int[]", "SELECT ARRAY[CAST('1' AS INT), CAST(NULL AS INT)]");
        check("SELECT x = ANY ('{a,b}')", "SELECT x IN ('a', 'b')");
        check("SELECT x::varchar(2), x::char(3)", "SELECT varchar(CAST(x AS TEXT), 2), bpchar(CAST(x AS TEXT), 3)");
        check("SELECT x LIKE y || '%' ESCAPE '#'", "SELECT x LIKE like_escape(y || '%', '#')");
        check("SELECT x LIKE 'a\\%' ESCAPE ''", "SELECT x LIKE 'a\\\\%'");
        check(
            "SELECT sum(x::INT), sum(x::FLOAT), sum(x)",
            "SELECT sum(x::INT), sum(coalesce(x::FLOAT)), sum(coalesce(coalesce(x)))",
        );
        check("SELECT x LIKE 'a!%\\b!!' ESCAPE '!'", "SELECT x LIKE 'a\\%\\\\b!'");
        check("SELECT x NOT SIMILAR TO 'a|b_%'", "SELECT x !~ '^(?:a|b..*)$'");
        check("SELECT x SIMILAR TO 'a.[^b-c]+#%' ESCAPE '#'", "SELECT x ~ '^(?:a\\.[^b-c]+%)$'");
        check("SELECT -INTERVAL '1 day 02:00'", "SELECT INTERVAL '0 months -1 days -7200000000000 nanoseconds'");
        check("SELECT INTERVAL '3' MONTH", "SELECT INTERVAL '3 months 0 days 0 nanoseconds'");
        check("SELECT (a, b) = (1, 2)", "SELECT (a = 1 AND b = 2)");
        check("SELECT (a, b) < (1, 2)", "SELECT (a < 1 OR a = 1 AND b < 2)");
        check("SELECT (a, b) IN ((1, 2), (3, 4))", "SELECT ((a = 1 AND b = 2) OR (a = 3 AND b = 4))");
    }

    /// Rules that write a part twice double it at each level, so that thirty levels would be a billion.
    #[test]
    fn what_would_grow_without_end() {
        let nested = |levels: usize, before: &str, after: &str| {
            format!("SELECT {}1{}", before.repeat(levels), after.repeat(levels))
        };
        let row = |columns: usize| format!("({})", vec!["x"; columns].join(","));
        let rows = |columns: usize, rows: usize| vec![row(columns); rows].join(",");
        let calls = vec!["sum(x) OVER w"; 1_000].join(", ");
        let joined: String = (1..100).map(|i| format!(" FULL JOIN t{i} USING (k)")).collect();
        for sql in [
            nested(15, "((", ", 2) < (3, 4))"),
            nested(15, "(", " < ALL (SELECT 1))"),
            nested(9, "(1 < ALL (SELECT ", "))"),
            format!("SELECT {} < {}", row(100), row(100)),
            format!("SELECT {} IN ({})", row(1_000).replace('x', "x+x"), rows(1_000, 40)),
            format!("SELECT {calls} FROM t WINDOW w AS (PARTITION BY {})", row(1_000)),
            format!("SELECT {} FROM t0{joined}", vec!["k"; 1_500].join(",")),
        ] {
            let mut statement = text::parse(&sql).unwrap().remove(0);
            let error = apply(&mut statement).unwrap_err().to_string();
            assert!(error.contains("too complex") || error.contains("have no order"), "{error}");
        }
        for sql in [
            nested(3, "((", ", 2) < (3, 4))"),
            nested(15, "((2, ", ") < (3, 4))"),
            nested(2, "(1 < ALL (SELECT ", "))"),
            format!("SELECT {} IN ({})", row(3), rows(3, 300)),
            format!("SELECT {} < {}", row(32), row(32)),
        ] {
            apply(&mut text::parse(&sql).unwrap().remove(0)).unwrap();
        }
    }
}
