//! Which queries are so small that handing them to another thread would take longer than to answer them there.

use crate::model::matcher::MatchOp;
use crate::promql::ast::{Expr, VectorSelector};
use crate::promql::selectors;

/// The metrics a query reads, if it is small at a single time: every selector names its metric and all labels it asks
/// for, and no range is longer than `most_ms`. How many series these metrics have is not known here.
pub fn metrics(expr: &Expr, most_ms: i64) -> Option<Vec<&str>> {
    let mut metrics = vec![];
    collect(expr, most_ms, &mut metrics).then_some(metrics)
}

fn collect<'a>(expr: &'a Expr, most_ms: i64, metrics: &mut Vec<&'a str>) -> bool {
    let selector = |selector: &'a VectorSelector| {
        let exact = selector.matchers.iter().all(|matcher| matcher.op == MatchOp::Equal);
        if exact { selectors::metric(selector) } else { None }
    };
    let mut small = match expr {
        Expr::Vector(vector) => selector(vector).map(|name| metrics.push(name)).is_some(),
        Expr::Matrix(matrix) => {
            let short = matrix.range.literal().is_some_and(|ms| ms <= most_ms);
            short && selector(&matrix.selector).map(|name| metrics.push(name)).is_some()
        }
        Expr::Subquery(_) => false,
        // It reads more than it names.
        Expr::Call(call) => !call.function.selects_labels,
        _ => true,
    };
    if matches!(expr, Expr::Vector(_) | Expr::Matrix(_) | Expr::Subquery(_)) {
        return small;
    }
    expr.for_each_child(&mut |child| small = small && collect(child, most_ms, metrics));
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    #[test]
    fn what_is_small() {
        let check = |query: &str, expected: Option<&[&str]>| {
            let options = ParseOptions { experimental_functions: true, ..Default::default() };
            let expr = parse(query, &options).unwrap();
            assert_eq!(metrics(&expr, 3_600_000).as_deref(), expected, "{query}");
        };
        check("1 + 2", Some(&[]));
        check("up{job=\"a\"}", Some(&["up"]));
        check("sum(rate(a[5m])) / on() (b offset 1d)", Some(&["a", "b"]));
        check("rate(a[1h])", Some(&["a"]));
        check("rate(a[61m])", None);
        check("rate(a[1m + 1m])", None);
        check("{job=\"a\"}", None);
        check("a{job=~\"x.*\"}", None);
        check("a or b{c!=\"\"}", None);
        check("max_over_time(a[5m:1s])", None);
        check("sum(max_over_time(a[5m:1s])) + b", None);
        check("info(a)", None);
    }
}
