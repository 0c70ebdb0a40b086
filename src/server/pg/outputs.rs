//! Output columns that the engine would not tell apart, or would call something else than PostgreSQL does.
//!
//! The engine wants the columns of a query to have different names, and calls `max(value)` in a subquery `max(cpu.value)`. So,
//! before anything is planned,
//!
//! - a column with the name of another one gets a name of its own, which no client sees;
//! - in subqueries, and beside wildcards, columns without a name get that of PostgreSQL;
//! - a name in ORDER BY that is one of an output column means that column, as in PostgreSQL, also where the name is implied.
//!
//! Statements without such columns stay as they are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, VisitorMut,
};
use pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use super::names::{folded, item_name};
use crate::engine::sql::text::walk::walk_mut;

/// Stands between the name of a column and the number that tells it from others. It is of the private use of Unicode.
const MARK: char = '\u{e0f1}';

/// A name as clients see it.
pub fn shown(name: &str) -> &str {
    match name.rsplit_once(MARK) {
        Some((shown, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => shown,
        _ => name,
    }
}

/// What is known of columns with the same name.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Names in subqueries that are of several columns.
    ambiguous: BTreeSet<String>,
}

impl Outputs {
    /// An error of planning, where it is about a name of several columns in PostgreSQL's words.
    pub fn explain(&self, error: PgWireError) -> PgWireError {
        let PgWireError::UserError(info) = &error else { return error };
        let name = info.message.strip_prefix("column \"").and_then(|rest| rest.strip_suffix("\" does not exist"));
        let name = name.map(|name| name.rsplit('.').next().unwrap_or(name));
        match name.filter(|name| info.code == "42703" && self.ambiguous.contains(*name)) {
            Some(name) => errors::error("42702", format!("column reference \"{name}\" is ambiguous")),
            None => error,
        }
    }
}

/// Changes a statement in place. With `hides` all columns beside a wildcard get names of their own, and those of the statement that
/// nothing names, which the engine may call the same: `1::int4` and `1::int8`.
///
/// # Errors
/// 42702 for a name in ORDER BY that is of several output columns which differ.
pub fn apply(statement: &mut Statement, hides: bool) -> PgWireResult<Outputs> {
    let mut rule = Rule { hides, outer: true, outputs: Outputs::default(), wrong: None };
    let _ = walk_mut(statement, &mut rule);
    rule.wrong.map_or(Ok(rule.outputs), Err)
}

struct Rule {
    hides: bool,
    /// The query that comes next is that of the statement.
    outer: bool,
    outputs: Outputs,
    wrong: Option<PgWireError>,
}

impl VisitorMut for Rule {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let is_outer = std::mem::take(&mut self.outer);
        let result = match query.body.as_mut() {
            SetExpr::Select(select) => self.select(select, is_outer, Some(&mut query.order_by)),
            SetExpr::SetOperation { .. } => self.arms(&mut query.body),
            _ => Ok(()),
        };
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.wrong = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// An item that is one column.
struct Item {
    at: usize,
    name: String,
    is_alias: bool,
}

impl Rule {
    /// The queries of a set operation, which may be nested as deep as the parser allows.
    fn arms(&mut self, body: &mut SetExpr) -> PgWireResult<()> {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                self.arms(left)?;
                self.arms(right)
            }
            SetExpr::Select(select) => self.select(select, false, None),
            // Queries of their own are visited as such.
            _ => Ok(()),
        }
    }

    fn select(
        &mut self,
        select: &mut Select,
        is_outer: bool,
        order_by: Option<&mut Option<ast::OrderBy>>,
    ) -> PgWireResult<()> {
        let named = |(at, item): (usize, &SelectItem)| {
            let is_alias = matches!(item, SelectItem::ExprWithAlias { .. });
            item_name(item).map(|name| Item { at, name, is_alias })
        };
        let items: Vec<Item> = select.projection.iter().enumerate().filter_map(named).collect();
        let has_wildcard = items.len() < select.projection.len();
        let mut new_names: Vec<Option<String>> = vec![None; select.projection.len()];

        let mut seen = HashMap::new();
        for item in &items {
            seen.entry(item.name.as_str()).or_insert_with(Vec::new).push(item.at);
        }
        for (name, places) in &seen {
            let is_first = |at: &usize| is_outer && places.first() == Some(at);
            let is_alias = |at: &usize| matches!(select.projection[*at], SelectItem::ExprWithAlias { .. });
            let hides = |at: &usize| self.hides && (has_wildcard || (is_outer && !is_alias(at)));
            let is_one_of_several = |at: &usize| places.len() > 1 && !is_first(at);
            for at in places.iter().filter(|at| hides(at) || is_one_of_several(at)) {
                new_names[*at] = Some(format!("{name}{MARK}{at}"));
            }
            if places.len() > 1 && !is_outer {
                self.outputs.ambiguous.insert((*name).to_string());
            }
        }
        if let Some(order_by) = order_by.and_then(Option::as_mut)
            && let OrderByKind::Expressions(by) = &mut order_by.kind
        {
            for by in by {
                let Expr::Identifier(ident) = &by.expr else { continue };
                let Some(places) = seen.get(folded(ident).as_str()) else { continue };
                let at = one_of(&select.projection, places, ident)?;
                let item = items.binary_search_by_key(&at, |item| item.at).ok().map(|found| &items[found]);
                let is_plain = item.is_some_and(|item| item.is_alias || is_column(select, at));
                if is_plain && new_names[at].is_none() {
                    continue;
                }
                let name = new_names[at].get_or_insert_with(|| format!("{}{MARK}{at}", folded(ident)));
                by.expr = Expr::Identifier(Ident::with_quote('"', name.as_str()));
            }
        }
        if !is_outer || has_wildcard {
            let clauses = clauses(select);
            let columns = columns(&clauses);
            for item in items.iter().filter(|item| !item.is_alias && !is_column(select, item.at)) {
                if new_names[item.at].is_none() && !columns.contains(item.name.to_lowercase().as_str()) {
                    new_names[item.at] = Some(item.name.clone());
                }
            }
        }
        for (item, name) in select.projection.iter_mut().zip(new_names) {
            let Some(name) = name else { continue };
            let alias = Ident::with_quote('"', name);
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let expr = std::mem::replace(expr, Expr::Value(ast::Value::Null.into()));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The item a name in ORDER BY means.
fn one_of(projection: &[SelectItem], places: &[usize], ident: &Ident) -> PgWireResult<usize> {
    let expr = |at: &usize| match &projection[*at] {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    };
    let first = places.first().copied().unwrap_or_default();
    if places.iter().any(|at| expr(at) != expr(&first)) {
        return Err(errors::error("42702", format!("ORDER BY \"{}\" is ambiguous", folded(ident))));
    }
    Ok(first)
}

/// Whether an item is a column under its own name.
fn is_column(select: &Select, at: usize) -> bool {
    matches!(&select.projection[at], SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
}

/// What may name a column of the input that is called like an output column.
fn clauses(select: &Select) -> String {
    let mut text = select.group_by.to_string();
    for expr in select.having.iter().chain(&select.qualify) {
        text.push(' ');
        text.push_str(&expr.to_string());
    }
    if let Some(distinct) = &select.distinct {
        text.push(' ');
        text.push_str(&distinct.to_string());
    }
    text.to_lowercase()
}

/// Names in a text that are not called as functions. One in quotes may be taken apart, or be within a text, which means no more
/// than that a column keeps the name it has.
fn columns(text: &str) -> HashSet<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = HashSet::new();
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        let word = &rest[begin..];
        let (word, behind) = word.split_at(word.find(|c| !is_part(c)).unwrap_or(word.len()));
        if !behind.trim_start().starts_with('(') {
            names.insert(word);
        }
        rest = behind;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn applied(sql: &str, hides: bool) -> Result<String, String> {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        match apply(&mut statement, hides) {
            Ok(_) => Ok(statement.to_string().replace(MARK, "#")),
            Err(error) => Err(error.code().to_string()),
        }
    }

    #[test]
    fn columns_get_names_of_their_own() {
        let check = |sql: &str, want: &str| assert_eq!(applied(sql, false).as_deref(), Ok(want), "{sql}");
        check("SELECT a, b AS c FROM t ORDER BY a, c", "SELECT a, b AS c FROM t ORDER BY a, c");
        check("SELECT 1, 1", "SELECT 1, 1 AS \"?column?#1\"");
        check("SELECT v AS x, v AS x FROM t ORDER BY x", "SELECT v AS x, v AS \"x#1\" FROM t ORDER BY x");
        check("SELECT t::date FROM m ORDER BY t DESC", "SELECT t::DATE AS \"t#0\" FROM m ORDER BY \"t#0\" DESC");
        check("SELECT max(v) FROM m ORDER BY max", "SELECT max(v) AS \"max#0\" FROM m ORDER BY \"max#0\"");
        check("SELECT max(v) FROM m ORDER BY max(v)", "SELECT max(v) FROM m ORDER BY max(v)");
        check("SELECT max FROM (SELECT max(v) FROM m) q", "SELECT max FROM (SELECT max(v) AS \"max\" FROM m) q");
        check(
            "SELECT * FROM (SELECT f(x) FROM m GROUP BY f(x)) q",
            "SELECT * FROM (SELECT f(x) AS \"f\" FROM m GROUP BY f(x)) q",
        );
        // What is called like a column of the input stays as it is.
        check(
            "SELECT * FROM (SELECT v::int FROM m GROUP BY v) q",
            "SELECT * FROM (SELECT v::INT FROM m GROUP BY v) q",
        );
        check(
            "SELECT 1 UNION SELECT 2, 3",
            "SELECT 1 AS \"?column?\" UNION SELECT 2 AS \"?column?#0\", 3 AS \"?column?#1\"",
        );
        check("SELECT *, a FROM t", "SELECT *, a FROM t");
        assert_eq!(applied("SELECT *, a FROM t", true).as_deref(), Ok("SELECT *, a AS \"a#1\" FROM t"));
        assert_eq!(
            applied("SELECT 1::int2, 1::int4 AS x FROM (SELECT 1 AS a) q", true).as_deref(),
            Ok("SELECT 1::INT2 AS \"int2#0\", 1::INT4 AS x FROM (SELECT 1 AS a) q")
        );
        assert_eq!(applied("SELECT t::date, t FROM m ORDER BY t", false), Err("42702".into()));
    }

    #[test]
    fn names_of_columns_in_clauses() {
        let names: BTreeSet<&str> = columns("group by date_trunc ('day', t), a.b_1, max(v)").into_iter().collect();
        assert_eq!(names, BTreeSet::from(["a", "b_1", "by", "day", "group", "t", "v"]));
    }

    #[test]
    fn marks_are_not_shown() {
        assert_eq!(shown(&format!("a{MARK}12")), "a");
        assert_eq!(shown(&format!("a{MARK}")), format!("a{MARK}"));
        assert_eq!(shown("a"), "a");
    }

    #[test]
    fn names_of_several_columns_are_ambiguous() {
        let mut statement =
            Parser::parse_sql(&PostgreSqlDialect {}, "SELECT a FROM (SELECT 1 AS a, 2 AS a) q").unwrap().remove(0);
        let outputs = apply(&mut statement, false).unwrap();
        let code = |name: &str| {
            let missing = errors::error("42703", format!("column \"{name}\" does not exist"));
            outputs.explain(missing).code().to_string()
        };
        assert_eq!((code("a"), code("q.a"), code("b")), ("42702".into(), "42702".into(), "42703".into()));
    }
}
