//! Functions that work on labels: `label_replace`, `label_join`, `info`.

use datafusion::logical_expr::lit;

use super::lowered::{Context, Lowered, NameFate, column, label_literal};
use super::{resolve, selectors, string, vector};
use crate::engine::columns;
use crate::engine::promql::plan::functions::labels as functions;
use crate::engine::promql::plan::layout::DROP_NAME;
use crate::engine::promql::plan::node::{VectorNode, VectorOp};
use crate::engine::promql::plan::ops::info::{InfoJoin, NamePattern};
use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::model::pattern::anchored;
use crate::promql::ast::{Call, Expr};
use crate::promql::strings::is_label_name;

/// `label_replace(v, destination, replacement, source, regex)`.
pub fn replace(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let input = vector(cx, &call.args[0])?;
    let destination = string(&call.args[1])?;
    let replacement = string(&call.args[2])?;
    let source = string(&call.args[3])?;
    let pattern = string(&call.args[4])?;
    let regex = anchored(pattern)
        .map_err(|_| Error::execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
    if !is_label_name(destination) {
        return Err(Error::execution(format!("invalid destination label name in label_replace(): {destination}")));
    }
    // A missing source label is the empty string, which the expression may well match.
    let (from, before) = (input.label(source), input.label(destination));
    let new = functions::replace(regex.clone(), replacement.to_string(), from, before, &cx.query.cancel);
    let matched = functions::matches(regex, input.label(source));
    let input = match input.name {
        NameFate::Dropped | NameFate::ByRow if destination == METRIC_NAME => {
            // The name is a new one where the expression matched, and that one stays.
            let dropped = if input.name == NameFate::ByRow { column(DROP_NAME) } else { lit(true) };
            input.with_fate(dropped.and(datafusion::logical_expr::not(matched)))?
        }
        _ => input,
    };
    set_label(cx, input, destination, new)
}

/// `label_join(v, destination, separator, sources…)`.
pub fn join(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let input = vector(cx, &call.args[0])?;
    let destination = string(&call.args[1])?;
    let separator = string(&call.args[2])?.to_string();
    let sources = call.args[3..].iter().map(string).collect::<Result<Vec<_>>>()?;
    if let Some(bad) = sources.iter().find(|s| !is_label_name(s)) {
        return Err(Error::execution(format!("invalid source label name in label_join(): {bad}")));
    }
    if !is_label_name(destination) {
        return Err(Error::execution(format!("invalid destination label name in label_join(): {destination}")));
    }
    let new = if sources.is_empty() {
        label_literal("")
    } else {
        functions::join(separator, sources.iter().map(|s| input.label(s)).collect(), &cx.query.cancel)
    };
    let input = match input.name {
        NameFate::Dropped if destination == METRIC_NAME => Lowered { name: NameFate::Kept, ..input },
        NameFate::ByRow if destination == METRIC_NAME => input.with_fate(lit(false))?,
        _ => input,
    };
    set_label(cx, input, destination, new)
}

/// `info(v, {selector})`: data labels of info metrics, found by `job` and `instance`, are added to the series.
pub fn info(cx: &Context<'_>, call: &Call) -> Result<Lowered> {
    let base = vector(cx, &call.args[0])?;
    let selector = call.args.get(1).and_then(Expr::as_selector);
    let info = selectors::info_series(cx, call)?;
    let wanted: Vec<Matcher> =
        selector.map_or(&[][..], |s| &s.matchers[..]).iter().filter(|m| m.name != METRIC_NAME).cloned().collect();
    let names: Vec<Matcher> =
        resolve::info_matchers(selector).into_iter().filter(|m| m.name == METRIC_NAME).collect();
    let op = InfoJoin {
        steps: cx.grid.steps,
        names: names.iter().map(NamePattern::new).collect(),
        wanted: wanted.iter().map(|m| columns::of_label(&m.name).into_owned()).collect(),
        optional: wanted.iter().all(|m| m.matches("")),
    };
    let mut labels = base.labels.clone();
    let data = info.labels.iter().filter(|l| op.is_data(l) && !base.has_label(l));
    labels.extend(data.cloned());
    let schema = Lowered::schema(&labels, base.name == NameFate::ByRow, base.histograms, cx.grid.steps)?;
    let plan = VectorNode::plan(VectorOp::Info(op), vec![base.plan.clone(), info.plan], schema, &cx.query.cancel);
    Ok(Lowered { plan, labels, order: None, ..base })
}

fn set_label(
    cx: &Context<'_>,
    input: Lowered,
    destination: &str,
    new: datafusion::logical_expr::Expr,
) -> Result<Lowered> {
    let mut labels = input.labels.clone();
    let overwrites = input.has_label(destination);
    if !overwrites {
        labels.push(destination.to_string());
    }
    let exprs = labels.iter().map(|l| if l == destination { new.clone() } else { column(l) }).collect();
    let unique = input.unique && !overwrites;
    let renames = destination == METRIC_NAME;
    let unnamed = input.unique_unnamed && (renames || !overwrites);
    let result = input.with_labels(exprs, labels, unique)?;
    Lowered { unique_unnamed: unnamed, ..result }.ensure_unique(cx)
}
