//! `FETCH FIRST n ROWS ONLY`, which is `LIMIT n`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, Statement, Value, VisitorMut};
use datafusion::sql::sqlparser::parser::ParserError;

use super::Refused;
use super::walk::walk_mut;

/// Makes all clauses of a statement such limits.
///
/// # Errors
/// `Unsupported` for ties and percentages, `Syntax` for two limits.
pub fn plain(statement: &mut Statement) -> Result<(), Refused> {
    let mut limits = Limits { refused: None };
    let _ = walk_mut(statement, &mut limits);
    limits.refused.map_or(Ok(()), Err)
}

struct Limits {
    refused: Option<Refused>,
}

impl VisitorMut for Limits {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        if fetch.with_ties || fetch.percent {
            let what = if fetch.percent { "FETCH FIRST of a percentage" } else { "FETCH FIRST WITH TIES" };
            self.refused = Some(Refused::Unsupported(what));
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
                let text = "multiple LIMIT clauses not allowed".to_string();
                self.refused = Some(Refused::Syntax(ParserError::ParserError(text)));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
