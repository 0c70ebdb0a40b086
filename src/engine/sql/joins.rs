//! `RIGHT` and `FULL JOIN … USING (k)`: `k` is that of the row that there is, of the right side or of either, where
//! DataFusion takes it from the left side always. In a SELECT that has such a join, all its USING become ON, and `k` and `*`
//! are written out. What refers to the sides, `a.k`, stays as it is.

use std::ops::ControlFlow;

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};

use super::ast::{call, folded, output_names, relation_name};
use super::growth::Growth;
use super::state::raised;
use super::text::walk::own_parts_mut;

/// Changes the SELECTs of a query, but not those of its subqueries.
///
/// # Errors
/// 0A000 for joins whose columns cannot be told without looking them up, 54001 where it becomes too long.
pub fn write_out(query: &mut Query, growth: &mut Growth) -> Result<()> {
    let Query { body, order_by, .. } = query;
    if let SetExpr::Select(select) = body.as_mut() {
        if let Some(merged) = of_select(select, growth)?
            && let Some(order_by) = order_by
            && let OrderByKind::Expressions(keys) = &mut order_by.kind
        {
            let outputs = output_names(select);
            let hidden =
                Merged { columns: merged.columns.into_iter().filter(|(k, _)| !outputs.contains(k)).collect() };
            keys.iter_mut().try_for_each(|key| hidden.put(&mut key.expr, growth))?;
        }
        return Ok(());
    }
    let mut waiting = vec![body.as_mut()];
    while let Some(body) = waiting.pop() {
        match body {
            SetExpr::Select(select) => _ = of_select(select, growth)?,
            SetExpr::SetOperation { left, right, .. } => waiting.extend([left.as_mut(), right.as_mut()]),
            _ => {}
        }
    }
    Ok(())
}

/// Columns that two tables have together, and what they are.
#[derive(Default)]
struct Merged {
    columns: Vec<(String, Expr)>,
}

impl Merged {
    fn get(&self, name: &str) -> Option<&Expr> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, expr)| expr)
    }

    fn put(&self, expr: &mut Expr, growth: &mut Growth) -> Result<()> {
        let mut done = Ok(());
        let _ = own_parts_mut(expr, &mut |part: &mut Expr| {
            if let Expr::Identifier(ident) = part
                && let Some(merged) = self.get(&folded(ident))
            {
                done = growth.add(merged, 1);
                if done.is_err() {
                    return ControlFlow::Break(());
                }
                *part = merged.clone();
            }
            ControlFlow::Continue(())
        });
        done
    }
}

/// Which side's rows come without one of the other.
fn sides(join: &Join) -> Option<(bool, bool, &JoinConstraint)> {
    match &join.join_operator {
        JoinOperator::Join(on) | JoinOperator::Inner(on) => Some((false, false, on)),
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => Some((true, false, on)),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => Some((false, true, on)),
        JoinOperator::FullOuter(on) => Some((true, true, on)),
        _ => None,
    }
}

fn of_select(select: &mut Select, growth: &mut Growth) -> Result<Option<Merged>> {
    let is_meant =
        |join: &Join| matches!(sides(join), Some((_, true, JoinConstraint::Using(_) | JoinConstraint::Natural)));
    if !select.from.iter().flat_map(|from| &from.joins).any(is_meant) {
        return Ok(None);
    }
    let mut merged = Merged::default();
    let mut items = vec![];
    for from in &mut select.from {
        let of_from = of_tables(from)?;
        items.extend(of_from.merged.columns.iter().map(|(name, expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::with_quote('"', name),
        }));
        items.extend(of_from.tables.into_iter().map(|(table, without)| all_of(table, without)));
        merged.columns.extend(of_from.merged.columns);
    }
    let mut projection = vec![];
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(_) => {
                growth.add(&items, 1)?;
                projection.extend(items.iter().cloned());
            }
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                projection.push(match merged.get(&folded(&ident)) {
                    Some(expr) => {
                        growth.add(expr, 1)?;
                        SelectItem::ExprWithAlias { expr: expr.clone(), alias: ident }
                    }
                    None => SelectItem::UnnamedExpr(Expr::Identifier(ident)),
                });
            }
            mut item => {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &mut item {
                    merged.put(expr, growth)?;
                }
                projection.push(item);
            }
        }
    }
    select.projection = projection;
    select.selection.iter_mut().chain(&mut select.having).try_for_each(|expr| merged.put(expr, growth))?;
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.iter_mut().try_for_each(|key| merged.put(key, growth))?;
    }
    Ok(Some(merged))
}

/// What the tables of a chain of joins have.
struct OfTables {
    merged: Merged,
    /// Each with the columns that are merged.
    tables: Vec<(Ident, Vec<Ident>)>,
}

fn of_tables(from: &mut TableWithJoins) -> Result<OfTables> {
    let unsupported = |what: &str| {
        raised(
            "0A000",
            format!("RIGHT and FULL JOIN … USING are not supported {what}; join ON a condition instead"),
        )
    };
    let named =
        |factor: &TableFactor| relation_name(factor).ok_or_else(|| unsupported("of a table without a name"));
    let (mut merged, mut tables) = (Merged::default(), vec![(named(&from.relation)?, vec![])]);
    for join in &mut from.joins {
        let right = named(&join.relation)?;
        let mut without = vec![];
        let using = match sides(join) {
            Some((left, right, JoinConstraint::Using(names))) => Some((left, right, names.clone())),
            Some((_, _, JoinConstraint::Natural)) => return Err(unsupported("beside or as NATURAL")),
            _ => None,
        };
        if let Some((keeps_left, keeps_right, names)) = using {
            let (mut on, mut columns) = (vec![], vec![]);
            for name in &names {
                let ident = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
                let ident = ident.ok_or_else(|| unsupported("of such columns"))?;
                let of = |table: &Ident| Expr::CompoundIdentifier(vec![table.clone(), ident.clone()]);
                let left = match (merged.get(&folded(&ident)), tables.as_mut_slice()) {
                    (Some(known), _) => known.clone(),
                    (None, [(only, hidden)]) => {
                        hidden.push(ident.clone());
                        of(only)
                    }
                    (None, _) => return Err(unsupported("of a column that may be of several tables")),
                };
                on.push(Expr::BinaryOp {
                    left: Box::new(left.clone()),
                    op: BinaryOperator::Eq,
                    right: Box::new(of(&right)),
                });
                without.push(ident.clone());
                columns.push((
                    folded(&ident),
                    match (keeps_left, keeps_right) {
                        (true, true) => either(left, of(&right)),
                        (false, true) => of(&right),
                        (_, false) => left,
                    },
                ));
            }
            // Those of the last join come first.
            merged.columns.retain(|(known, _)| !columns.iter().any(|(name, _)| name == known));
            columns.append(&mut merged.columns);
            merged.columns = columns;
            let all = on.into_iter().reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::And,
                right: Box::new(right),
            });
            constrain(join, all.map_or(JoinConstraint::None, JoinConstraint::On));
        }
        tables.push((right, without));
    }
    Ok(OfTables { merged, tables })
}

/// The first of them that there is.
fn either(left: Expr, right: Expr) -> Expr {
    // What was put together so before is not put deeper.
    if let Expr::Function(mut function) = left.clone()
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(right)));
        return Expr::Function(function);
    }
    call("coalesce", vec![left, right])
}

fn constrain(join: &mut Join, to: JoinConstraint) {
    if let JoinOperator::Join(on)
    | JoinOperator::Inner(on)
    | JoinOperator::Left(on)
    | JoinOperator::LeftOuter(on)
    | JoinOperator::Right(on)
    | JoinOperator::RightOuter(on)
    | JoinOperator::FullOuter(on) = &mut join.join_operator
    {
        *on = to;
    }
}

/// `table.*` but for some columns.
fn all_of(table: Ident, without: Vec<Ident>) -> SelectItem {
    let name = |ident| ObjectName(vec![ObjectNamePart::Identifier(ident)]);
    let without: Vec<ObjectName> = without.into_iter().map(name).collect();
    let opt_exclude = (!without.is_empty()).then_some(ExcludeSelectItem::Multiple(without));
    SelectItem::QualifiedWildcard(
        SelectItemQualifiedWildcardKind::ObjectName(name(table)),
        WildcardAdditionalOptions { opt_exclude, ..Default::default() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn written(sql: &str) -> Result<String> {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let Statement::Query(query) = &mut statement else { panic!("a query") };
        write_out(query, &mut Growth::default())?;
        Ok(statement.to_string())
    }

    #[test]
    fn columns_of_both_sides() {
        let check = |sql: &str, expected: &str| assert_eq!(written(sql).unwrap(), expected);
        check("SELECT k FROM a LEFT JOIN b USING (k)", "SELECT k FROM a LEFT JOIN b USING(k)");
        check(
            "SELECT k, a.k FROM a RIGHT JOIN b USING (k)",
            "SELECT b.k AS k, a.k FROM a RIGHT JOIN b ON a.k = b.k",
        );
        check(
            "SELECT * FROM a FULL JOIN b AS c USING (K) WHERE k > 1 ORDER BY k",
            "SELECT coalesce(a.K, c.K) AS \"k\", a.* EXCLUDE (K), c.* EXCLUDE (K) FROM a FULL JOIN b AS c ON a.K = c.K \
             WHERE coalesce(a.K, c.K) > 1 ORDER BY k",
        );
        check(
            "SELECT 1 FROM a FULL JOIN b USING (k) ORDER BY k",
            "SELECT 1 FROM a FULL JOIN b ON a.k = b.k ORDER BY coalesce(a.k, b.k)",
        );
        check(
            "SELECT k + 1 FROM a FULL JOIN b USING (k) FULL JOIN c USING (k) GROUP BY k",
            "SELECT coalesce(a.k, b.k, c.k) + 1 FROM a FULL JOIN b ON a.k = b.k \
             FULL JOIN c ON coalesce(a.k, b.k) = c.k GROUP BY coalesce(a.k, b.k, c.k)",
        );
    }

    #[test]
    fn what_cannot_be_told() {
        for sql in [
            "SELECT k FROM a NATURAL FULL JOIN b",
            "SELECT k FROM a JOIN b ON true FULL JOIN c USING (k)",
            "SELECT k FROM (a JOIN d ON true) FULL JOIN c USING (k)",
        ] {
            assert!(written(sql).unwrap_err().to_string().contains("ON a condition instead"), "{sql}");
        }
    }
}
