//! Smaller questions that may still have the same difference.

use crate::expression::{Expr, Selector, Shift, Type};
use crate::generate::{Question, Steps};

/// Every question one cut smaller, the largest cuts first.
pub fn smaller(question: &Question) -> Vec<Question> {
    let mut out = Vec::new();
    if let Some(steps) = question.steps {
        let Steps { step_ms, count } = steps;
        for (start, count) in [(0, count / 2), (count / 2, count - count / 2), (1, count - 1), (0, count - 1)] {
            if count > 0 && count < steps.count {
                let start_ms = question.start_ms + start * step_ms;
                out.push(Question { start_ms, steps: Some(Steps { step_ms, count }), ..question.clone() });
            }
        }
        out.push(Question { steps: None, ..question.clone() });
    }
    let exprs = cuts(&question.expr);
    out.extend(exprs.into_iter().map(|expr| Question { expr, ..question.clone() }));
    out
}

/// The expression with one thing less.
fn cuts(expr: &Expr) -> Vec<Expr> {
    let mut out = Vec::new();
    let kind = expr.kind();
    descendants(expr, &mut |inner| {
        if inner.kind() == kind || (kind == Type::Vector && inner.kind() != Type::Text) {
            out.push(inner.clone());
        }
    });
    out.extend(without_a_part(expr));
    for i in 0..expr.children().len() {
        for cut in cuts(expr.children()[i]) {
            // Another type in the place of a vector is an expression only at the top.
            if cut.kind() == expr.children()[i].kind() {
                let mut copy = expr.clone();
                *copy.children_mut()[i] = cut;
                out.push(copy);
            }
        }
    }
    out
}

fn descendants(expr: &Expr, visit: &mut impl FnMut(&Expr)) {
    for child in expr.children() {
        visit(child);
        descendants(child, visit);
    }
}

/// What can be left out at this node.
fn without_a_part(expr: &Expr) -> Vec<Expr> {
    let mut out = Vec::new();
    match expr {
        Expr::Number(number) if number != "1" => out.push(Expr::Number("1".to_string())),
        Expr::Selector(selector) => out.extend(selectors(selector).into_iter().map(Expr::Selector)),
        Expr::Range(selector, range) => {
            out.extend(selectors(selector).into_iter().map(|s| Expr::Range(s, range.clone())));
        }
        Expr::Subquery { of, range, step, shift } => {
            if let Expr::Selector(selector) = of.as_ref() {
                out.push(Expr::Range(selector.clone(), range.clone()));
            }
            let subquery =
                |shift| Expr::Subquery { of: of.clone(), range: range.clone(), step: step.clone(), shift };
            out.extend(shifts(shift).into_iter().map(subquery));
        }
        Expr::Call { function: "label_join" | "sort_by_label" | "sort_by_label_desc", args, .. }
            if args.len() > 3 =>
        {
            let mut copy = expr.clone();
            if let Expr::Call { args, .. } = &mut copy {
                args.pop();
            }
            out.push(copy);
        }
        Expr::Binary { modifiers, .. } => {
            for i in 0..modifiers.len() {
                let mut copy = expr.clone();
                if let Expr::Binary { modifiers, .. } = &mut copy {
                    modifiers.remove(i);
                }
                out.push(copy);
            }
        }
        Expr::Aggregate { op, grouping, parameter, of } if !grouping.is_empty() => {
            let (parameter, of) = (parameter.clone(), of.clone());
            out.push(Expr::Aggregate { op, grouping: String::new(), parameter, of });
        }
        _ => {}
    }
    out
}

fn selectors(selector: &Selector) -> Vec<Selector> {
    let mut out: Vec<Selector> =
        shifts(&selector.shift).into_iter().map(|shift| Selector { shift, ..selector.clone() }).collect();
    let named = usize::from(selector.metric.is_empty());
    for i in named..selector.matchers.len() {
        let mut copy = selector.clone();
        copy.matchers.remove(i);
        out.push(copy);
    }
    out
}

fn shifts(shift: &Shift) -> Vec<Shift> {
    let mut out = Vec::new();
    if !shift.offset.is_empty() {
        out.push(Shift { offset: String::new(), at: shift.at.clone() });
    }
    if !shift.at.is_empty() {
        out.push(Shift { offset: shift.offset.clone(), at: String::new() });
    }
    out
}
