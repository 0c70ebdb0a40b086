//! Changes of all selectors of a tree, those within ranges and subqueries too.

use super::ast::{Expr, VectorSelector};
use crate::model::matcher::Matcher;

/// Puts a matcher in the place of those of its name, or beside the others of a selector that has none.
pub fn set_matcher(expr: &mut Expr, matcher: &Matcher) {
    for_each_selector(expr, &mut |selector| {
        let mut found = false;
        for own in selector.matchers.iter_mut().filter(|own| own.name == matcher.name) {
            *own = matcher.clone();
            found = true;
        }
        if !found {
            selector.matchers.push(matcher.clone());
        }
    });
}

/// Takes the matchers of a name away. A metric that stands before the braces stays there.
pub fn remove_matchers(expr: &mut Expr, name: &str) {
    for_each_selector(expr, &mut |selector| selector.matchers.retain(|matcher| matcher.name != name));
}

fn for_each_selector(expr: &mut Expr, change: &mut dyn FnMut(&mut VectorSelector)) {
    match expr {
        Expr::Vector(selector) => change(selector),
        Expr::Matrix(matrix) => change(&mut matrix.selector),
        _ => expr.for_each_child_mut(&mut |child| for_each_selector(child, change)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::matcher::MatchOp;
    use crate::promql::parse::{ParseOptions, parse};

    fn changed(query: &str, change: impl FnOnce(&mut Expr)) -> String {
        let mut expr = parse(query, &ParseOptions::default()).unwrap();
        change(&mut expr);
        expr.to_string()
    }

    /// The texts of promtool 3.5.3, but for the last one, of which that leaves nothing at all.
    #[test]
    fn matchers() {
        let set = |query: &str, name: &str, op: MatchOp, value: &str, expected: &str| {
            let matcher = Matcher::new(name, op, value).unwrap();
            assert_eq!(changed(query, |expr| set_matcher(expr, &matcher)), expected);
        };
        set("up{a=\"b\"} + sum(x)", "job", MatchOp::Equal, "j", "up{a=\"b\",job=\"j\"} + sum(x{job=\"j\"})");
        set("rate(x{a=\"b\"}[5m])", "a", MatchOp::Regex, "j\"x", "rate(x{a=~\"j\\\"x\"}[5m])");
        set("max_over_time(x[5m:])", "a", MatchOp::NotRegex, "b", "max_over_time(x{a!~\"b\"}[5m:])");
        set("up{a=\"b\"}", "__name__", MatchOp::NotEqual, "j", "up{__name__!=\"j\",a=\"b\"}");
        let remove = |query: &str, name: &str, expected: &str| {
            assert_eq!(changed(query, |expr| remove_matchers(expr, name)), expected);
        };
        remove("up{a=\"b\",c=\"d\"} + x{a=\"b\"}", "a", "up{c=\"d\"} + x");
        remove("up{a=\"b\"}", "__name__", "up{a=\"b\"}");
        remove("{a=\"b\",a!=\"c\"}", "a", "{}");
    }
}
