//! Warnings and infos of one query, deduplicated by text. Kernels add to a shared sink; positions are turned
//! into line and column when the query's text is at hand. [`text`] holds the sentences.

/// Every warning and info: what Prometheus' `util/annotations` says in the same case.
pub mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::model::float::{format_general, format_general_digits};
use crate::promql::span::{Span, line_column};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Warning,
    Info,
}

/// The sink of one query; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    inner: Arc<Mutex<BTreeMap<(Level, String), Entry>>>,
}

/// Annotations at some time.
#[derive(Clone, Debug, Default)]
pub struct Saved(BTreeMap<(Level, String), Entry>);

#[derive(Clone, Debug)]
struct Entry {
    at: Span,
    detail: Detail,
}

/// What is told of all occurrences of one text together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Detail {
    #[default]
    Nothing,
    /// `(n occurrences)` where it is more than one.
    Occurrences(u64),
    Monotonicity(Monotonicity),
}

/// Which classic buckets decreased, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monotonicity {
    /// Evaluation times in milliseconds.
    pub first: i64,
    pub last: i64,
    pub min_bound: f64,
    pub max_bound: f64,
    pub max_difference: f64,
    pub samples: u64,
}

/// Texts beyond this many are dropped, so that a query over many series stays bounded.
const MAX_TEXTS: usize = 1_000;

/// How many warnings, and how many infos, an answer carries before the rest is only counted.
const MAX_SHOWN: usize = 10;

impl Annotations {
    pub fn new() -> Self {
        Self::default()
    }

    /// `text` without prefix and position. Of the positions of one text the last in the query is kept, as
    /// in Prometheus, where the operand evaluated last wins.
    pub fn add(&self, level: Level, text: impl Into<String>, at: Span) {
        self.add_detailed(level, text, at, Detail::Nothing);
    }

    /// [`Annotations::add`] with a detail that is merged over all occurrences.
    pub fn add_detailed(&self, level: Level, text: impl Into<String>, at: Span, detail: Detail) {
        let mut inner = self.inner.lock().expect("no panic while the lock is held");
        let key = (level, text.into());
        if let Some(entry) = inner.get_mut(&key) {
            entry.detail = entry.detail.merge(detail);
            if at.start > entry.at.start {
                entry.at = at;
            }
        } else if inner.len() < MAX_TEXTS {
            inner.insert(key, Entry { at, detail });
        }
    }

    pub fn warn(&self, text: impl Into<String>, at: Span) {
        self.add(Level::Warning, text, at);
    }

    pub fn info(&self, text: impl Into<String>, at: Span) {
        self.add(Level::Info, text, at);
    }

    pub fn is_empty(&self) -> bool {
        self.inner.lock().expect("no panic while the lock is held").is_empty()
    }

    /// What was said so far, to go back to with [`Annotations::restore`].
    pub fn saved(&self) -> Saved {
        Saved(self.inner.lock().expect("no panic while the lock is held").clone())
    }

    /// Forgets what was said since.
    pub fn restore(&self, saved: &Saved) {
        *self.inner.lock().expect("no panic while the lock is held") = saved.0.clone();
    }

    /// `(warnings, infos)` with prefix and ` (line:col)`, sorted by text.
    pub fn render(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let inner = self.inner.lock().expect("no panic while the lock is held");
        let mut out = (Vec::new(), Vec::new());
        for ((level, text), Entry { at, detail }) in inner.iter() {
            let (line, column) = line_column(query, at.start);
            let detail = detail.render();
            match level {
                Level::Warning => out.0.push(format!("PromQL warning: {text}{detail} ({line}:{column})")),
                Level::Info => out.1.push(format!("PromQL info: {text}{detail} ({line}:{column})")),
            }
        }
        out
    }
}

/// Leaves the texts an answer carries, and how many it does not.
pub fn shorten(texts: &mut Vec<String>, level: Level) {
    if texts.len() > MAX_SHOWN {
        let (omitted, level) = (texts.len() - MAX_SHOWN, level.as_str());
        texts.truncate(MAX_SHOWN);
        texts.push(format!("{omitted} more {level} annotations omitted"));
    }
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Warning => "warning",
            Level::Info => "info",
        }
    }
}

impl Detail {
    fn merge(self, other: Detail) -> Detail {
        match (self, other) {
            (Detail::Occurrences(a), Detail::Occurrences(b)) => Detail::Occurrences(a + b),
            (Detail::Monotonicity(a), Detail::Monotonicity(b)) => Detail::Monotonicity(Monotonicity {
                first: a.first.min(b.first),
                last: a.last.max(b.last),
                min_bound: a.min_bound.min(b.min_bound),
                max_bound: a.max_bound.max(b.max_bound),
                max_difference: a.max_difference.max(b.max_difference),
                samples: a.samples + b.samples,
            }),
            (kept, _) => kept,
        }
    }

    fn render(&self) -> String {
        match self {
            Detail::Nothing | Detail::Occurrences(0 | 1) => String::new(),
            Detail::Occurrences(n) => format!(" ({n} occurrences)"),
            Detail::Monotonicity(m) => format!(
                ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                format_general(m.min_bound),
                format_general(m.max_bound),
                format_general_digits(m.max_difference, 2),
                m.samples,
                rfc3339_seconds(m.first),
                rfc3339_seconds(m.last)
            ),
        }
    }
}

fn rfc3339_seconds(time_ms: i64) -> String {
    // Prometheus divides as Go does, towards zero.
    match chrono::DateTime::from_timestamp(time_ms / 1000, 0) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        None => time_ms.to_string(),
    }
}
