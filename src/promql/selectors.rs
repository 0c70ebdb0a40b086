//! What a tree reads: its selectors, and the metric and labels that each of them names.

use super::ast::{Expr, VectorSelector};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};

/// Calls `visit` with every selector, those within ranges and subqueries too, in the order in which they are evaluated.
pub fn for_each<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a VectorSelector)) {
    match expr {
        Expr::Vector(selector) => visit(selector),
        Expr::Matrix(matrix) => visit(&matrix.selector),
        _ => expr.for_each_child(&mut |child| for_each(child, visit)),
    }
}

/// The metric a selector names, in front of its braces or in them; `None` where any may do that a pattern matches.
pub fn metric(selector: &VectorSelector) -> Option<&str> {
    let named = selector.matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
    named.map(|m| m.value.as_str())
}

/// The labels a selector asks for beside the name of the metric, as often as it does.
pub fn labels(selector: &VectorSelector) -> impl Iterator<Item = &str> {
    selector.matchers.iter().filter(|m| m.name != METRIC_NAME).map(|m| m.name.as_str())
}

/// Whether every matcher also matches the empty value, so that the selector would select everything.
pub fn matches_anything(matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    #[test]
    fn selectors_of_a_query() {
        let check = |query: &str, want: &[(Option<&str>, &[&str])]| {
            let expr = parse(query, &ParseOptions::default()).unwrap();
            let mut found = vec![];
            for_each(&expr, &mut |selector| found.push((metric(selector), labels(selector).collect::<Vec<_>>())));
            let want: Vec<_> = want.iter().map(|(metric, labels)| (*metric, labels.to_vec())).collect();
            assert_eq!(found, want, "{query}");
        };
        check("a", &[(Some("a"), &[])]);
        check(
            "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m]))) > on() b offset 1h",
            &[(Some("a_bucket"), &[]), (Some("b"), &[])],
        );
        check("max_over_time(rate(a{b=\"\"}[1m])[5m:1m])", &[(Some("a"), &["b"])]);
        check("{__name__=\"a.b\", c!=\"\", c=~\"d.*\"}", &[(Some("a.b"), &["c", "c"])]);
        check("{__name__=~\"a.+\"} or {b=\"c\"}", &[(None, &[]), (None, &["b"])]);
        check("topk(scalar(a), b)", &[(Some("b"), &[]), (Some("a"), &[])]);
        check("1 + 2", &[]);
    }
}
