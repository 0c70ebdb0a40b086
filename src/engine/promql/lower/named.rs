//! The labels that a query names itself (`by (…)`, `on (…)`, `label_replace(…)`), put as the columns they are in. Few are
//! called otherwise than their column, so a tree is looked through first and seldom copied.

use std::sync::Arc;

use crate::engine::columns::of_label;
use crate::engine::promql::kernel::functions::{Compute, compute};
use crate::promql::ast::{Aggregate, Call, Expr};
use crate::promql::operators::AggregateOp;

/// Puts columns for the names of labels.
pub fn by_columns(expr: &mut Arc<Expr>) {
    if names_ours(expr) {
        rename(Arc::make_mut(expr));
    }
}

fn differs(name: &str) -> bool {
    of_label(name) != name
}

fn text(expr: &Expr) -> Option<&str> {
    match expr.without_parens() {
        Expr::String { value, .. } => Some(value),
        _ => None,
    }
}

/// Whether an argument is the name of a label. Those of `sort_by_label` are looked at when the result is there.
fn is_name(call: &Call, argument: usize) -> bool {
    match compute(call.function) {
        Compute::LabelReplace => matches!(argument, 1 | 3),
        Compute::LabelJoin => argument == 1 || argument >= 3,
        Compute::HistogramQuantiles => argument == 1,
        _ => false,
    }
}

fn is_named(aggregate: &Aggregate) -> bool {
    aggregate.op == AggregateOp::CountValues
}

fn names_ours(expr: &Expr) -> bool {
    let is_ours = |expr: &Expr| text(expr).is_some_and(differs);
    let here = match expr {
        Expr::Binary(binary) => {
            let matching = binary.matching.iter();
            matching.flat_map(|m| m.labels.iter().chain(&m.include)).any(|name| differs(name))
        }
        Expr::Aggregate(node) => {
            node.labels.iter().any(|name| differs(name))
                || is_named(node) && node.param.as_ref().is_some_and(is_ours)
        }
        Expr::Call(call) => call.args.iter().enumerate().any(|(i, arg)| is_name(call, i) && is_ours(arg)),
        _ => false,
    };
    let mut found = here;
    if !found {
        expr.for_each_child(&mut |child| found = found || names_ours(child));
    }
    found
}

fn rename_all(names: &mut [String]) {
    names.iter_mut().for_each(|name| *name = of_label(name).into_owned());
}

fn rename_text(expr: &mut Expr) {
    match expr {
        Expr::Paren { inner, .. } => rename_text(inner),
        Expr::String { value, .. } => *value = of_label(value).into_owned(),
        _ => {}
    }
}

fn rename(expr: &mut Expr) {
    match expr {
        Expr::Binary(binary) => {
            if let Some(matching) = &mut binary.matching {
                rename_all(&mut matching.labels);
                rename_all(&mut matching.include);
            }
        }
        Expr::Aggregate(node) => {
            rename_all(&mut node.labels);
            if is_named(node) {
                node.param.iter_mut().for_each(rename_text);
            }
        }
        Expr::Call(call) => {
            let names: Vec<usize> = (0..call.args.len()).filter(|i| is_name(call, *i)).collect();
            names.into_iter().for_each(|i| rename_text(&mut call.args[i]));
        }
        _ => {}
    }
    expr.for_each_child_mut(&mut rename);
}
