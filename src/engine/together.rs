//! Queries that are asked together: rules of a group mostly differ in what their selectors look for, and nothing else.
//!
//! Instant queries of one [`Form`] are one query over the series of all of them, where each series also has the label
//! [`ASKER`] with the number of the query that asks for it. Groupings and matchings go by it beside their own labels, so
//! that nothing of one query meets anything of another, and it tells their results apart. It is the same plan of the same
//! operators as that of each alone; what is saved is to start and end it once for each.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::engine::columns::ASKER;
use crate::engine::kept::key;
use crate::engine::promql::kernel::functions::{Compute, compute};
use crate::engine::promql::lower::named;
use crate::engine::promql::small;
use crate::promql::ast::{Aggregate, Binary, Call, Expr};
use crate::promql::duration_expressions;
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;
use crate::promql::value_type::ValueType;

/// Forms that nobody has any more are looked for when there are more than these, and than twice as many as were found last.
const FEW_FORMS: usize = 64;

/// What queries that can be asked together have in common: all but the matchers of their selectors.
#[derive(Debug)]
pub struct Form {
    /// By the asker as well. Instead of places in a text its parts have numbers.
    pub(super) tree: Arc<Expr>,
    spelled: Arc<[u8]>,
}

/// The forms that somebody has. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Forms(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    by_spelling: HashMap<Arc<[u8]>, Weak<Form>>,
    /// So many are let be.
    most: usize,
}

impl Forms {
    /// The form of an expression, one for all expressions of it; `None` for what must be asked alone: what is not
    /// [small](small::metrics), and what makes something of no series, or of all that there are.
    pub fn of(&self, expr: &Expr, most_window_ms: i64) -> Option<Arc<Form>> {
        let eligible = expr.value_type() == ValueType::Vector
            && !duration_expressions::are_in(expr)
            && small::metrics(expr, most_window_ms).is_some()
            && is_of_series(expr);
        if !eligible {
            return None;
        }
        let mut tree = Arc::new(expr.clone());
        named::by_columns(&mut tree);
        rewrite(Arc::make_mut(&mut tree), &mut 0);
        let spelled: Arc<[u8]> = key::spelled(&tree)?.into();
        let mut inner = self.0.lock();
        if let Some(form) = inner.by_spelling.get(&spelled).and_then(Weak::upgrade) {
            return Some(form);
        }
        if inner.by_spelling.len() >= inner.most.max(FEW_FORMS) {
            inner.by_spelling.retain(|_, form| form.strong_count() > 0);
            inner.most = 2 * inner.by_spelling.len();
        }
        let form = Arc::new(Form { tree, spelled: Arc::clone(&spelled) });
        inner.by_spelling.insert(spelled, Arc::downgrade(&form));
        Some(form)
    }
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.spelled == other.spelled
    }
}

/// Whether each value comes of series, so that it has their asker, and of nothing that counts or hashes all labels.
fn is_of_series(expr: &Expr) -> bool {
    let here = match expr {
        Expr::Subquery(_) => false,
        Expr::Aggregate(aggregate) => !matches!(aggregate.op, AggregateOp::LimitRatio | AggregateOp::CountValues),
        // A filled sample is one of no series.
        Expr::Binary(binary) => {
            binary.matching.as_ref().is_none_or(|m| m.fill_left.is_none() && m.fill_right.is_none())
        }
        Expr::Call(call) => is_of_its_series(call),
        _ => true,
    };
    let mut all = here;
    if here {
        expr.for_each_child(&mut |child| all = all && is_of_series(child));
    }
    all
}

fn is_of_its_series(call: &Call) -> bool {
    matches!(
        compute(call.function),
        Compute::Math(_)
            | Compute::MathWith(_)
            | Compute::Histogram(_)
            | Compute::Statistic(_)
            | Compute::Range(_)
            | Compute::Constant(_)
            | Compute::HistogramQuantile
            | Compute::HistogramFraction
            | Compute::LabelReplace
            | Compute::LabelJoin
    )
}

/// Numbers the parts, and puts the asker where series are told apart by some labels.
fn rewrite(expr: &mut Expr, next: &mut usize) {
    let mut number = || {
        *next += 1;
        Span::new(*next, *next + 1)
    };
    match expr {
        Expr::Number { span, .. }
        | Expr::String { span, .. }
        | Expr::Paren { span, .. }
        | Expr::Unary { span, .. } => *span = number(),
        Expr::Binary(binary) => {
            (binary.span, binary.op_span) = (number(), number());
            match_by_asker(binary);
        }
        Expr::Aggregate(aggregate) => {
            aggregate.span = number();
            group_by_asker(aggregate);
        }
        Expr::Call(call) => call.span = number(),
        Expr::Vector(selector) => selector.span = number(),
        Expr::Matrix(matrix) => (matrix.span, matrix.selector.span) = (number(), number()),
        Expr::Subquery(subquery) => subquery.span = number(),
    }
    expr.for_each_child_mut(&mut |child| rewrite(child, next));
}

fn group_by_asker(aggregate: &mut Aggregate) {
    if !aggregate.without {
        aggregate.labels.push(ASKER.to_string());
    }
}

fn match_by_asker(binary: &mut Binary) {
    let Some(matching) = &mut binary.matching else { return };
    // Those by all labels but some are by the asker as it is.
    if matching.on {
        matching.labels.push(ASKER.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    const HOUR_MS: i64 = 3_600_000;

    fn of(forms: &Forms, query: &str) -> Option<Arc<Form>> {
        let options = ParseOptions { experimental_functions: true, binop_fill_modifiers: true };
        forms.of(&parse(query, &options).unwrap(), HOUR_MS)
    }

    #[test]
    fn queries_of_one_form_differ_in_their_matchers() {
        let forms = Forms::default();
        let same = |a: &str, b: &str| {
            let (a, b) = (of(&forms, a).expect(a), of(&forms, b).expect(b));
            assert_eq!(Arc::ptr_eq(&a, &b), a == b);
            a == b
        };
        assert!(same("a{b=\"c\"} > 1", "longer{name=\"of another\", length=\"\"} > 1"));
        assert!(same("sum by (x) (rate(a[5m]))", "sum by (x) (  rate(b{c=\"d\"}[300s]))"));
        assert!(!same("sum by (x) (rate(a[5m]))", "sum by (y) (rate(a[5m]))"));
        assert!(!same("sum by (x) (rate(a[5m]))", "sum by (x) (rate(a[4m]))"));
        assert!(!same("a > 1", "a > 2"));
        assert!(!same("a > 1", "a >= 1"));
        assert!(!same("a", "a offset 1m"));
        assert!(!same("a + on (x) b", "a + ignoring (x) b"));
        assert!(!same("sum by (x) (a)", "sum without (x) (a)"));
        assert!(!same("quantile(0.5, a)", "quantile(0.9, a)"));
    }

    #[test]
    fn what_is_asked_alone() {
        let forms = Forms::default();
        for query in [
            "1",
            "vector(1)",
            "\"a\"",
            "a[5m]",
            "absent(a)",
            "absent_over_time(a[5m])",
            "scalar(a) + b",
            "a * scalar(b)",
            "a or vector(0)",
            "time() - a",
            "timestamp(a)",
            "hour(a)",
            "a @ 5",
            "predict_linear(a[5m], 60)",
            "sum(a) or sum(max_over_time(a[5m:1m]))",
            "rate(a[2h])",
            "rate(a[1m + 1m])",
            "count_values(\"v\", a)",
            "limit_ratio(0.5, a)",
            "a + fill (0) b",
            "info(a)",
            "sort(a)",
            "a{b=~\"c.*\"}",
            "{b=\"c\"}",
        ] {
            assert!(of(&forms, query).is_none(), "{query}");
        }
    }

    #[test]
    fn forms_that_nobody_has_are_forgotten() {
        let forms = Forms::default();
        let held = of(&forms, "a > -1").unwrap();
        for number in 0..10 * FEW_FORMS {
            assert!(of(&forms, &format!("a > {number}")).is_some());
        }
        assert!(forms.0.lock().by_spelling.len() <= FEW_FORMS + 1);
        assert!(Arc::ptr_eq(&of(&forms, "b > -1").unwrap(), &held));
    }
}
