//! Clauses that say in other words what there is already: `FETCH FIRST n ROWS ONLY` for LIMIT, and a window by its name
//! for the window, wherever in a SELECT the name stands.

use std::ops::ControlFlow;

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, Ident, LimitClause, NamedWindowExpr, OrderByKind, Query, SelectItem, SetExpr, Value, WindowSpec,
    WindowType,
};

use super::ast::folded;
use super::growth::Growth;
use super::state::raised;
use super::text::walk::own_parts_mut;

/// FETCH as LIMIT.
///
/// # Errors
/// 0A000 for WITH TIES and PERCENT.
pub fn fetch(query: &mut Query) -> Result<()> {
    let Some(Fetch { with_ties, percent, quantity }) = query.fetch.take() else { return Ok(()) };
    if with_ties || percent {
        return Err(raised("0A000", "FETCH … WITH TIES and PERCENT are not supported"));
    }
    let quantity = quantity.unwrap_or_else(|| Expr::Value(Value::Number("1".into(), false).into()));
    query.limit_clause = Some(match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { offset, limit: None, limit_by }) => {
            LimitClause::LimitOffset { offset, limit: Some(quantity), limit_by }
        }
        None => LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: vec![] },
        Some(_) => return Err(raised("42601", "multiple LIMIT clauses not allowed")),
    });
    Ok(())
}

/// Puts windows for their names.
///
/// # Errors
/// 42704 for a name that no window has, 54001 where all of them are too long.
pub fn name_windows(query: &mut Query, growth: &mut Growth) -> Result<()> {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = body.as_mut() else { return Ok(()) };
    if select.named_window.is_empty() {
        return Ok(());
    }
    let mut known: Vec<(String, WindowSpec)> = vec![];
    for window in std::mem::take(&mut select.named_window) {
        let spec = match window.1 {
            NamedWindowExpr::WindowSpec(spec) => based(&known, spec, growth)?,
            NamedWindowExpr::NamedWindow(name) => find(&known, &name, growth)?,
        };
        known.push((folded(&window.0), spec));
    }
    let mut wrong = None;
    let mut put = |part: &mut Expr| {
        let Expr::Function(call) = part else { return ControlFlow::Continue(()) };
        let spec = match &call.over {
            Some(WindowType::NamedWindow(name)) => find(&known, name, growth),
            Some(WindowType::WindowSpec(spec)) if spec.window_name.is_some() => based(&known, spec.clone(), growth),
            _ => return ControlFlow::Continue(()),
        };
        match spec {
            Ok(spec) => call.over = Some(WindowType::WindowSpec(spec)),
            Err(error) => {
                wrong = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = own_parts_mut(expr, &mut put);
        }
    }
    if let Some(order_by) = order_by
        && let OrderByKind::Expressions(keys) = &mut order_by.kind
    {
        keys.iter_mut().for_each(|key| _ = own_parts_mut(&mut key.expr, &mut put));
    }
    wrong.map_or(Ok(()), Err)
}

fn find(known: &[(String, WindowSpec)], name: &Ident, growth: &mut Growth) -> Result<WindowSpec> {
    let name = folded(name);
    let found = known.iter().find(|(known, _)| *known == name);
    let (_, spec) = found.ok_or_else(|| raised("42704", format!("window \"{name}\" does not exist")))?;
    growth.add(spec, 1)?;
    Ok(spec.clone())
}

/// A window that begins with another.
fn based(known: &[(String, WindowSpec)], spec: WindowSpec, growth: &mut Growth) -> Result<WindowSpec> {
    let Some(name) = &spec.window_name else { return Ok(spec) };
    let base = find(known, name, growth)?;
    if !spec.partition_by.is_empty() {
        return Err(raised("42P20", format!("cannot override PARTITION BY clause of window \"{}\"", name.value)));
    }
    if !base.order_by.is_empty() && !spec.order_by.is_empty() {
        return Err(raised("42P20", format!("cannot override ORDER BY clause of window \"{}\"", name.value)));
    }
    let order_by = if spec.order_by.is_empty() { base.order_by } else { spec.order_by };
    Ok(WindowSpec { window_name: None, partition_by: base.partition_by, order_by, window_frame: spec.window_frame })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn in_other_words() {
        let check = |sql: &str, expected: &str| {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let Statement::Query(query) = &mut statement else { panic!("a query") };
            let done = fetch(query).and_then(|()| name_windows(query, &mut Growth::default()));
            match done {
                Ok(()) => assert_eq!(statement.to_string(), expected),
                Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            }
        };
        check("SELECT 1 FETCH FIRST 2 ROWS ONLY", "SELECT 1 LIMIT 2");
        check("SELECT 1 OFFSET 3 FETCH NEXT ROW ONLY", "SELECT 1 LIMIT 1 OFFSET 3");
        check("SELECT 1 ORDER BY 1 FETCH FIRST 2 ROWS WITH TIES", "not supported");
        check(
            "SELECT x - lag(x) OVER w FROM t WINDOW w AS (ORDER BY y)",
            "SELECT x - lag(x) OVER (ORDER BY y) FROM t",
        );
        check(
            "SELECT sum(x) OVER (w ORDER BY y) FROM t WINDOW w AS (PARTITION BY z)",
            "SELECT sum(x) OVER (PARTITION BY z ORDER BY y) FROM t",
        );
        check("SELECT sum(x) OVER v FROM t WINDOW w AS (PARTITION BY z)", "window \"v\" does not exist");
    }
}
