//! Differences that are right: what the peer does otherwise than Prometheus 3.14, which promlake follows, and what
//! Prometheus leaves open. A list that may only shrink. It is asked about the smallest expression that differs.

use crate::answer::{Answer, Value};
use crate::expression::{Expr, Selector, Type};
use crate::generate::Question;

/// What differs: the question and both answers.
pub struct Difference<'a> {
    pub question: &'a Question,
    pub ours: &'a Answer,
    pub theirs: &'a Answer,
}

pub struct Explanation {
    pub reason: &'static str,
    pub applies: fn(&Difference<'_>) -> bool,
}

pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        reason: "which of several series with equal values topk and bottomk keep is up to the order of the series",
        applies: equal_values_chosen,
    },
    Explanation {
        reason: "rate and increase of a native histogram do not extrapolate below zero observations since 3.6",
        applies: |d| calls(d, &["rate", "increase"]) && d.question.expr.any(&Expr::is_native) && both_found(d),
    },
    Explanation {
        reason: "topk, bottomk and limitk refuse a parameter that is no int64 also where there are no series since 3.6",
        applies: |d| calls(d, &["topk", "bottomk", "limitk"]) && failure(d.ours).is_some_and(refuses_parameter),
    },
    Explanation {
        reason: "a native histogram that something was subtracted from is a gauge since 3.7, which delta does not warn of",
        applies: |d| d.question.expr.any(&is_subtraction) && equal_but(d, |_, _| false),
    },
    Explanation {
        reason: "resets that contradict each other in one range of native histograms are warned of since 3.7",
        applies: |d| contradicting_resets(d.ours) && equal_but(d, |_, _| false),
    },
    Explanation {
        reason: "a parameter of an aggregation with `@` moves with the steps before 3.7",
        applies: |d| has_steps(d) && d.question.expr.any(&fixed_parameter) && both_found(d),
    },
    Explanation {
        reason: "an aggregation of what does not change with the steps takes its parameter at the first step only, in 3.14 too",
        applies: |d| has_steps(d) && d.question.expr.any(&moving_parameter) && both_found(d),
    },
    Explanation {
        reason: "a first bucket that ends above zero begins at zero for histogram_fraction since 3.8, before at -Inf, with NaN",
        applies: |d| calls(d, &["histogram_fraction"]) && equal_but(d, |_, theirs| theirs.is_nan()),
    },
    Explanation {
        reason: "a pair that has no result is a match too since 3.9, so that a second one is many-to-one",
        applies: |d| failure(d.ours).is_some_and(|e| e.starts_with("multiple matches")),
    },
    Explanation {
        reason: "series that a function gives the same labels are one since 3.9 where they have no time in common",
        applies: |d| {
            let collides = |e: &Expr| matches!(e, Expr::Negated(_)) || e.calls(&["label_replace", "label_join"]);
            d.question.expr.any(&collides) && failure(d.theirs).is_some_and(|e| e.ends_with("the same labelset"))
        },
    },
    Explanation {
        reason: "mad_over_time is NaN where one of the values is since 3.14",
        applies: |d| calls(d, &["mad_over_time"]) && equal_but(d, |ours, _| ours.is_nan()),
    },
    Explanation {
        reason: "the comparison behind sort_by_label orders a missing label neither before nor after another",
        applies: |d| calls(d, &["sort_by_label", "sort_by_label_desc"]) && label_missing(d),
    },
    Explanation {
        reason: "stddev and stdvar do not compensate, their last bits depend on the order of the series",
        applies: |d| calls(d, &["stddev", "stdvar"]) && equal_but(d, nearly),
    },
    Explanation {
        reason: "Go and Rust round these functions differently in the last bits, which the rest magnifies; cosh overflows earlier in Go",
        applies: |d| {
            let magnified = calls(d, &MAGNIFYING) && both_found(d);
            calls(d, &ROUNDED) && (magnified || equal_but(d, |a, b| nearly(a, b) || b.is_infinite()))
        },
    },
    Explanation {
        reason: "timestamp() forgets the offset of a selector with `@`, in 3.14 too",
        applies: |d| d.question.expr.any(&timestamp_with_offset),
    },
    Explanation {
        reason: "`@` in a subquery with an offset is moved by it if the first step is the time of the query, in 3.14 too",
        applies: |d| d.question.expr.any(&moved_time) && both_found(d),
    },
    Explanation {
        reason: "the label le of a native histogram, which none has by itself, is lost with us and kept by Prometheus",
        applies: |d| {
            let given = calls(d, &["label_replace", "label_join"]) && d.question.expr.any(&Expr::is_native);
            given && calls(d, &["histogram_quantile", "histogram_fraction"]) && both_found(d)
        },
    },
    Explanation {
        reason: "where a vector has no series we do not evaluate the scalar beside it, and have no error or warning from it",
        applies: |d| {
            // Theirs may have failed, and what is said beside the values may differ.
            failure(d.ours).is_none() && scalar_beside_vector(&d.question.expr) && equal_but(d, |_, _| false)
        },
    },
];

/// What makes something else of the last bits of a number.
const MAGNIFYING: [&str; 8] = ["sin", "cos", "tan", "%", "count_values", "ceil", "floor", "round"];
/// What is not exact, and not the same in Go and Rust.
const ROUNDED: [&str; 20] = [
    "^", "atan2", "exp", "ln", "log2", "log10", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sin", "cos",
    "tan", "asin", "acos", "atan", "stddev", "stdvar",
];

fn nearly(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

fn calls(difference: &Difference<'_>, names: &[&str]) -> bool {
    difference.question.expr.calls(names)
}

fn failure(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Failed { message, .. } => Some(message),
        Answer::Found { .. } => None,
    }
}

fn refuses_parameter(message: &str) -> bool {
    message.ends_with("int64") || message == "Parameter value is NaN"
}

/// Of native histograms, or the same by a factor.
fn is_subtraction(expr: &Expr) -> bool {
    let subtracts = matches!(expr, Expr::Negated(_) | Expr::Binary { op: "-" | "*" | "/", .. });
    subtracts && expr.any(&Expr::is_native)
}

fn contradicting_resets(answer: &Answer) -> bool {
    let conflict = |warning: &String| warning.contains("conflicting counter resets");
    matches!(answer, Answer::Found { warnings, .. } if !warnings.is_empty() && warnings.iter().all(conflict))
}

fn moved_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery { of, shift, .. } if !shift.offset.is_empty() && of.any(&is_fixed))
}

fn both_found(difference: &Difference<'_>) -> bool {
    failure(difference.ours).is_none() && failure(difference.theirs).is_none()
}

/// The same series and times, and all values that differ are `excused`, ours and theirs.
fn equal_but(difference: &Difference<'_>, excused: fn(f64, f64) -> bool) -> bool {
    let samples = |answer: &Answer| {
        let mut series = answer.series().to_vec();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series.into_iter().flat_map(|s| s.samples.into_iter().map(move |(t, v)| (s.labels.clone(), t, v))).collect()
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = (samples(difference.ours), samples(difference.theirs));
    let agree = |a: &Value, b: &Value| match (a, b) {
        (Value::Float(ours), Value::Float(theirs)) => a.is_close(b) || excused(*ours, *theirs),
        _ => a.is_close(b),
    };
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(a, b)| (&a.0, a.1) == (&b.0, b.1) && agree(&a.2, &b.2))
}

/// A scalar that has to be evaluated, as the parameter or operand of a vector.
fn scalar_beside_vector(expr: &Expr) -> bool {
    let scalar = |e: &Expr| e.kind() == Type::Scalar && !matches!(e, Expr::Number(_));
    expr.any(&|e| e.kind() == Type::Vector && e.children().into_iter().any(scalar))
}

/// Something with `@`.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::Selector(Selector { shift, .. }) | Expr::Range(Selector { shift, .. }, _) => !shift.at.is_empty(),
        Expr::Subquery { shift, .. } => !shift.at.is_empty(),
        _ => false,
    }
}

fn has_steps(difference: &Difference<'_>) -> bool {
    let question = difference.question;
    question.steps.is_some() || question.expr.any(&|e| matches!(e, Expr::Subquery { .. }))
}

fn fixed_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Aggregate { parameter: Some(parameter), .. } if parameter.any(&is_fixed))
}

fn moving_parameter(expr: &Expr) -> bool {
    let moves = |e: &Expr| matches!(e, Expr::Selector(_) | Expr::Range(..)) && !is_fixed(e);
    match expr {
        Expr::Aggregate { parameter: Some(parameter), of, .. } => {
            !matches!(parameter.as_ref(), Expr::Number(_)) && (of.any(&is_fixed) || !of.any(&moves))
        }
        _ => false,
    }
}

fn timestamp_with_offset(expr: &Expr) -> bool {
    let Expr::Call { function: "timestamp", args, .. } = expr else { return false };
    matches!(&args[..], [Expr::Selector(s)] if !s.shift.offset.is_empty() && !s.shift.at.is_empty())
}

/// A label that `sort_by_label` goes by is missing in a series of the result.
fn label_missing(difference: &Difference<'_>) -> bool {
    let Expr::Call { args, .. } = &difference.question.expr else { return false };
    let name = |arg: &Expr| if let Expr::Text(name) = arg { Some(name.clone()) } else { None };
    let missing = |name: String| difference.ours.series().iter().any(|s| !s.labels.contains_key(&name));
    args.iter().filter_map(name).any(missing)
}

/// The same values at the same times, only of other series. Over the steps of a subquery the choice of series decides
/// which values come together.
fn equal_values_chosen(difference: &Difference<'_>) -> bool {
    let chooses = |e: &Expr| e.calls(&["topk", "bottomk"]);
    let at_each_step = |e: &Expr| matches!(e, Expr::Subquery { .. }) && chooses(e);
    let expr = &difference.question.expr;
    if !chooses(expr) || expr.any(&at_each_step) {
        return chooses(expr) && both_found(difference);
    }
    let (ours, theirs) = (values(difference.ours), values(difference.theirs));
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a.0 == b.0 && a.1.is_close(&b.1))
}

/// All values with their times, sorted.
fn values(answer: &Answer) -> Vec<(i64, Value)> {
    let mut values: Vec<(i64, Value)> = answer.series().iter().flat_map(|s| s.samples.clone()).collect();
    values.sort_by(|a, b| {
        let float = |value: &Value| if let Value::Float(v) = value { *v } else { f64::NAN };
        a.0.cmp(&b.0).then(float(&a.1).total_cmp(&float(&b.1)))
    });
    values
}
