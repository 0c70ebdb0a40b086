//! Which metrics and labels are asked for, how often, by what, and when last: `promlake.usage`, for who wonders what may go. In
//! memory and bounded: where it is full, what was asked for longest ago goes.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::engine::query_log::Origin;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::Expr;
use crate::promql::selectors;
use crate::storage::store::Clock;

/// Metrics and labels, each by each of those that ask for it; and bytes of a name. What is longer is not counted.
const MAX_ENTRIES: usize = 20_000;
const MAX_NAME_BYTES: usize = 256;

/// What asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// PromQL over HTTP.
    Query,
    /// The same of a dashboard, as its requests say.
    Dashboard,
    Rule,
    Sql,
    /// Names, values and series; remote read, federation, exemplars.
    Api,
}

const ALL: [By; 5] = [By::Query, By::Dashboard, By::Rule, By::Sql, By::Api];

impl By {
    pub fn of(origin: Option<&Origin>) -> Self {
        match origin {
            Some(Origin::Http { dashboard: true, .. }) => By::Dashboard,
            Some(Origin::Http { .. }) => By::Query,
            Some(Origin::Rules { .. }) => By::Rule,
            None => By::Sql,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            By::Query => "query",
            By::Dashboard => "dashboard",
            By::Rule => "rule",
            By::Sql => "sql",
            By::Api => "api",
        }
    }
}

/// A metric, or a label of it, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// `None` where no name was asked for, or a pattern.
    pub metric: Option<String>,
    /// `None` for the metric itself.
    pub label: Option<String>,
    pub by: By,
    pub times: u64,
    pub last_ms: i64,
}

pub struct Usage {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by: [HashMap<Box<str>, OfMetric>; ALL.len()],
    entries: usize,
}

#[derive(Default)]
struct OfMetric {
    itself: Count,
    labels: HashMap<Box<str>, Count>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    times: u64,
    last_ms: i64,
}

impl Count {
    fn again(&mut self, now_ms: i64) {
        self.times += 1;
        self.last_ms = now_ms;
    }
}

impl Usage {
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    /// A query was asked: its selectors, and the labels that it groups and joins by.
    pub fn promql(&self, by: By, expr: &Expr) {
        let now_ms = (self.clock)();
        let mut kept = self.kept.lock();
        walk(expr, &mut Vec::new(), &mut |metric, labels| kept.add(by, metric, labels, now_ms));
    }

    /// Series were asked for by matchers, with some labels of theirs besides.
    pub fn matchers(&self, by: By, matchers: &[Matcher], labels: &[&str]) {
        let named = matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
        let of_matchers = matchers.iter().filter(|m| m.name != METRIC_NAME).map(|m| m.name.as_str());
        let labels: Vec<&str> = of_matchers.chain(labels.iter().copied()).collect();
        let now_ms = (self.clock)();
        self.kept.lock().add(by, named.map(|m| m.value.as_str()), &labels, now_ms);
    }

    /// By metric, label and what asks.
    pub fn shown(&self) -> Vec<Used> {
        let kept = self.kept.lock();
        let mut all = Vec::with_capacity(kept.entries);
        for by in ALL {
            for (metric, of_metric) in &kept.by[by as usize] {
                let used = |label: Option<&str>, count: &Count| Used {
                    metric: (!metric.is_empty()).then(|| metric.to_string()),
                    label: label.map(str::to_string),
                    by,
                    times: count.times,
                    last_ms: count.last_ms,
                };
                all.push(used(None, &of_metric.itself));
                all.extend(of_metric.labels.iter().map(|(label, count)| used(Some(label), count)));
            }
        }
        drop(kept);
        all.sort_unstable_by(|a, b| (&a.metric, &a.label, a.by).cmp(&(&b.metric, &b.label, b.by)));
        all
    }
}

impl Kept {
    /// A label that is named twice counts once.
    fn add(&mut self, by: By, metric: Option<&str>, labels: &[&str], now_ms: i64) {
        let metric = metric.unwrap_or_default();
        if metric.len() > MAX_NAME_BYTES {
            return;
        }
        let of_by = &mut self.by[by as usize];
        if !of_by.contains_key(metric) {
            of_by.insert(metric.into(), OfMetric::default());
            self.entries += 1;
        }
        let Some(of_metric) = of_by.get_mut(metric) else { return };
        of_metric.itself.again(now_ms);
        for (at, label) in labels.iter().enumerate() {
            if label.len() > MAX_NAME_BYTES || labels[..at].contains(label) {
                continue;
            }
            match of_metric.labels.get_mut(*label) {
                Some(count) => count.again(now_ms),
                None => {
                    of_metric.labels.insert((*label).into(), Count { times: 1, last_ms: now_ms });
                    self.entries += 1;
                }
            }
        }
        if self.entries > MAX_ENTRIES {
            self.forget();
        }
    }

    /// The older half, at once, so that it is not done each time. A metric is asked for whenever a label of it is.
    fn forget(&mut self) {
        let counts = self.by.iter().flat_map(HashMap::values);
        let counts = counts.flat_map(|m| m.labels.values().map(|label| label.last_ms).chain([m.itself.last_ms]));
        let mut times: Vec<i64> = counts.collect();
        let middle = times.len() / 2;
        let (_, oldest, _) = times.select_nth_unstable(middle);
        let oldest = *oldest;
        self.entries = 0;
        for of_by in &mut self.by {
            of_by.retain(|_, of_metric| of_metric.itself.last_ms > oldest);
            for of_metric in of_by.values_mut() {
                of_metric.labels.retain(|_, count| count.last_ms > oldest);
                self.entries += 1 + of_metric.labels.len();
            }
        }
    }
}

/// Shows each selector with the labels that it names itself, and those that are around it.
fn walk<'e>(expr: &'e Expr, around: &mut Vec<&'e str>, see: &mut impl FnMut(Option<&str>, &[&str])) {
    let before = around.len();
    let selector = match expr {
        Expr::Vector(selector) => Some(selector.as_ref()),
        Expr::Matrix(matrix) => Some(&matrix.selector),
        _ => None,
    };
    if let Some(selector) = selector {
        around.extend(selectors::labels(selector));
        see(selectors::metric(selector), around);
        around.truncate(before);
        return;
    }
    match expr {
        Expr::Aggregate(aggregate) => around.extend(aggregate.labels.iter().map(String::as_str)),
        Expr::Binary(binary) => {
            let matching = binary.matching.iter();
            around.extend(matching.flat_map(|m| m.labels.iter().chain(&m.include)).map(String::as_str));
        }
        _ => {}
    }
    expr.for_each_child(&mut |child| walk(child, around, see));
    around.truncate(before);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::promql::parse::{ParseOptions, parse};

    fn usage() -> (Usage, Arc<AtomicI64>) {
        let now = Arc::new(AtomicI64::new(1));
        let clock = now.clone();
        (Usage::new(Arc::new(move || clock.load(Ordering::Relaxed))), now)
    }

    #[test]
    fn metrics_and_labels_of_queries() {
        let (usage, now) = usage();
        let ask = |by, query: &str| usage.promql(by, &parse(query, &ParseOptions::default()).unwrap());
        ask(By::Query, "sum by (path) (rate(a{team=\"x\", team!=\"y\"}[5m])) / on (host) b");
        now.store(2, Ordering::Relaxed);
        ask(By::Query, "a{team=\"x\"}");
        ask(By::Rule, "{__name__=~\"a.*\"}");
        usage.matchers(By::Sql, &[Matcher::metric("a"), Matcher::equal("team", "x")], &["path", "team"]);
        let shown: Vec<_> = usage.shown();
        let shown: Vec<(&str, &str, &str, u64, i64)> = shown
            .iter()
            .map(|u| {
                let label = u.label.as_deref().unwrap_or("-");
                (u.metric.as_deref().unwrap_or("-"), label, u.by.as_str(), u.times, u.last_ms)
            })
            .collect();
        let expected = [
            ("-", "-", "rule", 1, 2),
            ("a", "-", "query", 2, 2),
            ("a", "-", "sql", 1, 2),
            ("a", "host", "query", 1, 1),
            ("a", "path", "query", 1, 1),
            ("a", "path", "sql", 1, 2),
            ("a", "team", "query", 2, 2),
            ("a", "team", "sql", 1, 2),
            ("b", "-", "query", 1, 1),
            ("b", "host", "query", 1, 1),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn it_is_bounded() {
        let (usage, now) = usage();
        for at in 0..3 * MAX_ENTRIES as i64 {
            now.store(at, Ordering::Relaxed);
            usage.matchers(By::Api, &[Matcher::metric(format!("m{at}"))], &["label"]);
        }
        let shown = usage.shown();
        assert!(shown.len() <= MAX_ENTRIES && shown.len() >= MAX_ENTRIES / 4, "{}", shown.len());
        assert_eq!(usage.kept.lock().entries, shown.len());
        let newest = format!("m{}", 3 * MAX_ENTRIES - 1);
        assert!(shown.iter().any(|used| used.metric.as_deref() == Some(&newest)));
        usage.matchers(By::Api, &[Matcher::metric("x".repeat(MAX_NAME_BYTES + 1))], &[]);
        assert_eq!(usage.shown().len(), shown.len());
    }
}
