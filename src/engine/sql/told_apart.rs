//! Aggregates of one SELECT that differ in casts alone, `sum(x::int)` and `sum(x::float8)`: the names of their columns say
//! nothing of casts to DataFusion, which refuses two of one name. The second is of `coalesce(x::float8)`, which is the same.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, OrderByKind, Query, SelectItem, SetExpr,
};

use super::ast::{call, folded, take};
use super::text::walk::own_parts_mut;

/// A longer call is left as it is: calls in calls are looked at one by one.
const MAX_BYTES: usize = 1 << 10;
/// So many that differ in casts alone are told apart.
const MAX_ALIKE: usize = 16;

/// Texts of calls by what they are without their casts, in their order.
type Known = HashMap<String, Vec<String>>;

/// Changes the SELECT of a query.
pub fn apply(query: &mut Query) {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = body.as_mut() else { return };
    let mut known = Known::new();
    let mut tell = |part: &mut Expr| {
        tell_apart(part, &mut known);
        ControlFlow::Continue(())
    };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            let _ = own_parts_mut(expr, &mut tell);
        }
    }
    if let Some(having) = &mut select.having {
        let _ = own_parts_mut(having, &mut tell);
    }
    if let Some(order_by) = order_by
        && let OrderByKind::Expressions(keys) = &mut order_by.kind
    {
        for key in keys {
            let _ = own_parts_mut(&mut key.expr, &mut tell);
        }
    }
}

const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "max",
    "min",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Of an aggregate.
fn argument(part: &mut Expr) -> Option<&mut Expr> {
    let Expr::Function(function) = part else { return None };
    let name = function.name.0.last().and_then(ObjectNamePart::as_ident).map(folded);
    name.filter(|name| AGGREGATES.contains(&name.as_str()))?;
    let FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.as_mut_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(expr),
        _ => None,
    }
}

fn tell_apart(part: &mut Expr, known: &mut Known) {
    if argument(part).is_none() {
        return;
    }
    let text = part.to_string();
    if text.len() > MAX_BYTES {
        return;
    }
    let mut bare = part.clone();
    let _ = own_parts_mut(&mut bare, &mut |part| {
        if let Expr::Cast { expr, .. } = part {
            *part = take(expr);
        }
        ControlFlow::Continue(())
    });
    let alike = known.entry(bare.to_string()).or_default();
    let place = alike.iter().position(|other| *other == text).unwrap_or_else(|| {
        alike.push(text);
        alike.len() - 1
    });
    if place >= MAX_ALIKE {
        return;
    }
    let Some(argument) = argument(part) else { return };
    for _ in 0..place {
        *argument = call("coalesce", vec![take(argument)]);
    }
}
