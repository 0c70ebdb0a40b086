//! Warnings and infos of one query, deduplicated by text. Kernels add to a shared sink; texts are those of
//! Prometheus' `util/annotations`, positions are added when the query's text is at hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::ast::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Warning,
    Info,
}

/// The sink of one query; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    inner: Arc<Mutex<BTreeMap<(Level, String), Span>>>,
}

/// Texts beyond this many are dropped, so that a query over many series stays bounded; the HTTP API
/// returns ten of each.
const MAX_TEXTS: usize = 1_000;

impl Annotations {
    pub fn new() -> Self {
        Self::default()
    }

    /// `text` without prefix and position; the first position of a text is kept.
    pub fn add(&self, level: Level, text: impl Into<String>, at: Span) {
        let mut inner = self.inner.lock().expect("no panic while the lock is held");
        if inner.len() < MAX_TEXTS {
            inner.entry((level, text.into())).or_insert(at);
        }
    }

    pub fn warn(&self, text: impl Into<String>, at: Span) {
        self.add(Level::Warning, text, at);
    }

    pub fn info(&self, text: impl Into<String>, at: Span) {
        self.add(Level::Info, text, at);
    }

    /// `(warnings, infos)` with prefix and ` (line:col)`, sorted by text.
    pub fn render(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let inner = self.inner.lock().expect("no panic while the lock is held");
        let mut out = (Vec::new(), Vec::new());
        for ((level, text), span) in inner.iter() {
            let (line, column) = line_column(query, span.start);
            match level {
                Level::Warning => out.0.push(format!("PromQL warning: {text} ({line}:{column})")),
                Level::Info => out.1.push(format!("PromQL info: {text} ({line}:{column})")),
            }
        }
        out
    }
}

/// One-based line and column (in bytes, as Prometheus counts) of a byte offset.
pub fn line_column(query: &str, offset: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (line, column)
}
