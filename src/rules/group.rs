//! One group: its rules, and what is left of one evaluation for the next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::rules::{RuleGroup, RuleKind};
use crate::engine::query_log::Origin;
use crate::engine::together::Form;
use crate::error::Result;
use crate::model::labels::Labels;
use crate::rules::dependencies;
use crate::rules::environment::Environment;
use crate::rules::results::end_of;
use crate::rules::rule::{Rule, Rules};
use crate::rules::stats::{GroupStats, set};
use crate::storage::types::{Haste, SeriesRef, WriteBatch};

/// Rules of a round, where they are evaluated one after the other: the first waits for what all of them ask.
const MOST_AT_ONCE: usize = 64;

pub struct Group {
    pub name: String,
    /// As it was found by the configuration.
    pub file: String,
    pub interval_ms: i64,
    pub config: RuleGroup,
    pub rules: Rules,
    /// Places of earlier rules that each one needs; `None` for any.
    pub(super) needed: Vec<Option<Vec<usize>>>,
    /// All places, in the order in which they are evaluated.
    pub(super) rounds: Vec<Round>,
    /// By which expressions may be asked together, by place.
    pub(super) forms: Vec<Option<Arc<Form>>>,
    pub(super) stats: Arc<GroupStats>,
    /// Whom the log of queries names.
    pub(super) origin: Arc<Origin>,
    pub(super) last: Mutex<LastEvaluation>,
    /// Series that no rule of it writes any more, to be ended.
    stale: Mutex<Vec<Labels>>,
}

/// Rules that need nothing of each other.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub places: Vec<usize>,
    /// Otherwise one after the other; what they ask may be asked together either way.
    pub side_by_side: bool,
}

/// How the last evaluation went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LastEvaluation {
    /// When it began, by the clock; `None` before the first. Milliseconds since the epoch.
    pub at_ms: Option<i64>,
    pub seconds: f64,
}

impl Group {
    /// `default_interval_ms` is for groups that have none. `restored`: nothing is to be looked up for its alerts.
    pub fn new(
        file: &str,
        config: RuleGroup,
        default_interval_ms: i64,
        restored: bool,
        environment: &Environment,
    ) -> Result<Self> {
        let rules: Vec<_> = config.rules.iter().collect();
        let needed = dependencies::needed(&rules);
        let rounds = match environment.options.concurrent {
            Some(_) => {
                let batches = dependencies::batches(&needed).into_iter();
                batches.map(|places| Round { side_by_side: places.len() > 1, places }).collect()
            }
            None => {
                let parts = dependencies::parts(&needed, MOST_AT_ONCE).into_iter();
                parts.map(|places| Round { places: places.collect(), side_by_side: false }).collect()
            }
        };
        let interval_ms = config.interval_ms.unwrap_or(default_interval_ms).max(1);
        let stats = environment.stats.group(file, &config.name);
        stats.interval_ms.store(interval_ms, Ordering::Relaxed);
        set(&stats.rules, config.rules.len() as u64);
        let rules = config.rules.iter().map(|rule| Rule::new(rule.clone(), restored).map(Arc::new));
        Ok(Self {
            name: config.name.clone(),
            file: file.to_string(),
            interval_ms,
            rules: rules.collect::<Result<_>>()?,
            needed,
            rounds,
            forms: config.rules.iter().map(|rule| environment.engine().form(&rule.expr)).collect(),
            stats,
            origin: Arc::new(Origin::Rules { file: file.to_string(), group: config.name.clone() }),
            last: Mutex::default(),
            stale: Mutex::default(),
            config,
        })
    }

    /// Whether it would do the same as another one.
    pub fn equals(&self, other: &Self) -> bool {
        (&self.file, self.interval_ms, &self.config) == (&other.file, other.interval_ms, &other.config)
    }

    pub fn last(&self) -> LastEvaluation {
        *self.last.lock()
    }

    pub fn query_offset_ms(&self, environment: &Environment) -> i64 {
        self.config.query_offset_ms.unwrap_or_else(|| environment.query_offset_ms())
    }

    /// Goes on where another one was.
    pub fn take_over(&self, other: &Group, environment: &Environment) {
        *self.last.lock() = other.last();
        let mut left: Vec<&Arc<Rule>> = other.rules.iter().collect();
        for rule in &self.rules {
            if let Some(place) = left.iter().position(|old| rule.succeeds(old)) {
                let old = left.remove(place);
                rule.take_over(old);
                if let RuleKind::Recording { .. } = rule.config.kind {
                    other.end_alerts(old, environment);
                }
            }
        }
        left.iter().for_each(|rule| other.end_alerts(rule, environment));
        let mut stale = self.stale.lock();
        stale.append(&mut other.stale.lock());
        stale.extend(left.iter().flat_map(|rule| rule.series()));
    }

    /// Nobody evaluates it any more: all that it wrote is to be ended.
    pub fn retire(&self) {
        self.stale.lock().extend(self.rules.iter().flat_map(|rule| rule.series()));
    }

    /// Nobody evaluates a rule of the group any more, so its alerts are none.
    pub fn end_alerts(&self, rule: &Rule, environment: &Environment) {
        let ended = rule.state.lock().alerts.end(environment.now_ms());
        environment.history.tell(&self.file, &self.name, rule.name(), ended);
    }

    /// Whether the last evaluation found out about all of its alerts.
    pub fn knows_its_alerts(&self) -> bool {
        let fails = |rule: &Rule| rule.state.lock().error.is_some();
        !self.rules.iter().any(|rule| matches!(rule.config.kind, RuleKind::Alerting { .. }) && fails(rule))
    }

    /// The clock was set.
    pub fn shift(&self, by_ms: i64) {
        self.rules.iter().for_each(|rule| rule.state.lock().alerts.shift(by_ms));
    }

    /// Marks series as stale that no rule writes any more. Those that another rule writes refuse it, as they should.
    pub async fn end_series(&self, environment: &Environment, at: i64) {
        let ended = std::mem::take(&mut *self.stale.lock());
        if ended.is_empty() {
            return;
        }
        let series = environment.appender.intern_all(&ended);
        let rows = series.iter().map(|series| end_of(*series, at));
        let batch = WriteBatch { samples: rows.collect(), ..WriteBatch::default() };
        let of: HashMap<SeriesRef, Labels> = series.into_iter().zip(ended.iter().cloned()).collect();
        if let Err(unsent) =
            environment.appender.submit(batch, Haste::Moment, |series| of.get(&series).cloned()).await
        {
            tracing::warn!(error = %unsent.error, "series of rules that are gone are not ended yet");
            self.stale.lock().extend(ended);
        }
    }
}

/// How long evaluation pauses after the clock was set, so that there are samples of the new time again.
pub(super) fn pause_after_step(group: &Group, environment: &Environment) -> Duration {
    let longest_ms = group.interval_ms.max(environment.scrape_interval_ms()).max(0);
    Duration::from_millis(longest_ms.unsigned_abs())
}
