//! Times of which samples may be missing because the store took none: a rule that looks at one finds less than there was. What
//! it does not find has not ended for that.

use crate::promql::ast::{Duration, Expr, VectorSelector};
use crate::storage::store::durability::Gap;

/// Whether an expression, evaluated at `at`, lacks the samples of a gap: where it takes at least half of what one of its
/// selectors looks at. After it there are samples again at the next scrape at the latest, so a gap lasts so much longer; one
/// that is not longer than two times between scrapes is none.
pub(super) fn looks_at(expr: &Expr, at: i64, scrape_interval_ms: i64, gap: Gap) -> bool {
    let Gap { since_ms, until_ms } = gap;
    if until_ms.saturating_sub(since_ms) <= scrape_interval_ms.saturating_mul(2) {
        return false;
    }
    let until_ms = until_ms.saturating_add(scrape_interval_ms);
    let window = Window { end: at, before: 0, least: scrape_interval_ms };
    window.any(expr, &mut |start, end| {
        let missing = end.min(until_ms).saturating_sub(start.max(since_ms));
        missing > 0 && missing.saturating_mul(2) >= end.saturating_sub(start)
    })
}

/// What an expression is evaluated for: the times from `before` ms ahead of `end`.
#[derive(Clone, Copy)]
struct Window {
    end: i64,
    before: i64,
    /// How far back a selector looks that needs no more than the newest sample, which is as far as to the last scrape.
    least: i64,
}

impl Window {
    fn any(self, expr: &Expr, hit: &mut impl FnMut(i64, i64) -> bool) -> bool {
        match expr {
            Expr::Vector(selector) => self.selector(selector, self.least, hit),
            Expr::Matrix(matrix) => self.selector(&matrix.selector, millis(&matrix.range), hit),
            Expr::Subquery(subquery) if subquery.at.is_none() => {
                let inner = Self {
                    end: self.end.saturating_sub(millis(&subquery.offset)),
                    before: self.before.saturating_add(millis(&subquery.range)),
                    ..self
                };
                inner.any(&subquery.inner, hit)
            }
            // Of a time of its own, whichever that is.
            Expr::Subquery(_) => false,
            _ => {
                let mut found = false;
                expr.for_each_child(&mut |child| found = found || self.any(child, hit));
                found
            }
        }
    }

    fn selector(self, selector: &VectorSelector, range: i64, hit: &mut impl FnMut(i64, i64) -> bool) -> bool {
        let end = self.end.saturating_sub(millis(&selector.offset));
        selector.at.is_none() && hit(end.saturating_sub(self.before).saturating_sub(range), end)
    }
}

/// Nothing where it is computed at the evaluation.
fn millis(duration: &Duration) -> i64 {
    duration.literal().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    #[test]
    fn what_a_rule_looks_at() {
        // Scrapes each 15 s, none from 1,000 s to 1,120 s.
        let gap = Gap { since_ms: 1_000_000, until_ms: 1_120_000 };
        let check = |query: &str, seconds: &[(i64, bool)]| {
            let expr = parse(query, &ParseOptions::default()).unwrap();
            for (at, expected) in seconds {
                assert_eq!(looks_at(&expr, at * 1000, 15_000, gap), *expected, "{query} at {at} s");
            }
        };
        check("a > 1", &[(999, false), (1_007, false), (1_008, true), (1_142, true), (1_143, false)]);
        check("rate(a[1m]) > 1", &[(1_029, false), (1_030, true), (1_165, true), (1_166, false)]);
        check("a offset 1m > 1", &[(1_067, false), (1_068, true), (1_202, true), (1_203, false)]);
        let subquery = "max_over_time(rate(a[1m])[3m:15s]) > 1";
        check(subquery, &[(1_119, false), (1_120, true), (1_255, true), (1_256, false)]);
        check("1 > a or rate(b[1m])", &[(1_160, true), (1_170, false)]);
        // Of a day two minutes are little.
        check("increase(a[1d]) > 1", &[(1_060, false), (2_000, false)]);
        check("a @ 1050 > 1", &[(1_050, false)]);
        check("vector(1)", &[(1_050, false)]);
        let expr = parse("a", &ParseOptions::default()).unwrap();
        let short = Gap { since_ms: 1_000_000, until_ms: 1_030_000 };
        assert!(!looks_at(&expr, 1_020_000, 15_000, short), "a scrape comes in time");
    }
}
