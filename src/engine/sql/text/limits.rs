//! `FETCH FIRST n ROWS ONLY`, which is `LIMIT n`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, Statement, Value, VisitorMut};

use super::walk::walk_mut;

/// Why a clause is no such limit.
pub enum Wrong {
    /// What is not built, named.
    Unsupported(&'static str),
    /// There is a limit already.
    Twice,
}

/// Makes all clauses of a statement such limits.
///
/// # Errors
/// For ties and percentages, and for two limits.
pub fn plain(statement: &mut Statement) -> Result<(), Wrong> {
    let mut limits = Limits { wrong: None };
    let _ = walk_mut(statement, &mut limits);
    limits.wrong.map_or(Ok(()), Err)
}

struct Limits {
    wrong: Option<Wrong>,
}

impl VisitorMut for Limits {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        if fetch.with_ties || fetch.percent {
            let what = if fetch.percent { "FETCH FIRST of a percentage" } else { "FETCH FIRST WITH TIES" };
            self.wrong = Some(Wrong::Unsupported(what));
            return ControlFlow::Break(());
        }
        let one = || Expr::Value(Value::Number("1".into(), false).into());
        let rows = fetch.quantity.unwrap_or_else(one);
        match &mut query.limit_clause {
            None => {
                let limit = Some(rows);
                query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
            Some(_) => {
                self.wrong = Some(Wrong::Twice);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
