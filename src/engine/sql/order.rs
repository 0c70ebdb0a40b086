//! Names in ORDER BY: one that stands alone is that of an output column, as DataFusion has it; within an expression it is
//! that of a column of the table, `SELECT -value AS value … ORDER BY -value`, and is written with the name of the table.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, OrderByKind, Query, SelectItem, SetExpr};

use super::ast::{folded, relation_name};
use super::text::walk::own_parts_mut;

/// Changes the ORDER BY of a query. Among several tables nothing is known of whose a column is.
pub fn qualify(query: &mut Query) {
    let Query { body, order_by: Some(order_by), .. } = query else { return };
    let (SetExpr::Select(select), OrderByKind::Expressions(keys)) = (body.as_ref(), &mut order_by.kind) else {
        return;
    };
    let [from] = select.from.as_slice() else { return };
    let renames = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr: Expr::Identifier(of), alias } if folded(of) == folded(alias) => None,
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    };
    let names: Vec<String> = select.projection.iter().filter_map(renames).collect();
    let (Some(table), true) = (relation_name(&from.relation), from.joins.is_empty() && !names.is_empty()) else {
        return;
    };
    for key in keys.iter_mut().filter(|key| !matches!(key.expr, Expr::Identifier(_))) {
        let _ = own_parts_mut(&mut key.expr, &mut |part: &mut Expr| {
            if let Expr::Identifier(ident) = part
                && names.contains(&folded(ident))
            {
                *part = Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]);
            }
            ControlFlow::Continue(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn names_in_expressions() {
        for (sql, expected) in [
            ("SELECT -x AS x FROM t ORDER BY -x, x", "SELECT -x AS x FROM t ORDER BY -t.x, x"),
            ("SELECT x AS x FROM t ORDER BY -x", "SELECT x AS x FROM t ORDER BY -x"),
            ("SELECT -x AS y FROM t ORDER BY -x", "SELECT -x AS y FROM t ORDER BY -x"),
            (
                "SELECT sum(x) AS x FROM a.t AS v ORDER BY sum(X)",
                "SELECT sum(x) AS x FROM a.t AS v ORDER BY sum(v.X)",
            ),
            ("SELECT 1 AS x FROM t ORDER BY (SELECT x)", "SELECT 1 AS x FROM t ORDER BY (SELECT x)"),
            ("SELECT -x AS x FROM t, u ORDER BY -x", "SELECT -x AS x FROM t, u ORDER BY -x"),
        ] {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let Statement::Query(query) = &mut statement else { panic!("a query") };
            qualify(query);
            assert_eq!(statement.to_string(), expected);
        }
    }
}
