//! `promlake.targets`, `promlake.rules` and `promlake.alerts`: what the HTTP API shows of them, as tables; and
//! `promlake.queries` and `promlake.usage`, what was asked and asked for; and `promlake.deletes`, what was deleted lately or is in
//! files yet.

use std::sync::Arc;

use crate::config::rules::RuleKind;
use crate::engine::recent::{Recent, Shown};
use crate::engine::session::Engine;
use crate::engine::sql::live::{Cells, Rows};
use crate::engine::usage::Usage;
use crate::error::ErrorKind;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::model::labels::Labels;
use crate::rules::manager::Manager;
use crate::storage::lake::deleting::Progress;
use crate::storage::store::Store;

/// From here on SQL sees them.
pub fn register(
    engine: &Engine,
    scrape: &Arc<ScrapeManager>,
    rules: &Arc<Manager>,
    asked: (&Arc<Recent>, &Arc<Usage>),
) {
    let scrape = scrape.clone();
    engine.system.register_live("targets", move || targets(&scrape));
    let of_rules = rules.clone();
    engine.system.register_live("rules", move || self::rules(&of_rules));
    let of_alerts = rules.clone();
    engine.system.register_live("alerts", move || alerts(&of_alerts));
    let (recent, usage) = (asked.0.clone(), asked.1.clone());
    engine.system.register_live("usage", move || used(&usage));
    engine.system.register_live_for("queries", move |reader| queries(&recent, reader));
    let store = engine.store().clone();
    engine.system.register_live("deletes", move || deletes(&store));
}

fn targets(scrape: &ScrapeManager) -> Rows {
    let all = scrape.targets();
    let text = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    vec![
        ("scrape_pool", Cells::Text(all.iter().map(|t| text(&t.scrape_pool)).collect())),
        ("scrape_url", Cells::Text(all.iter().map(|t| text(&t.scrape_url)).collect())),
        ("labels", Cells::Labels(all.iter().map(|t| t.labels.clone()).collect())),
        ("discovered_labels", Cells::Labels(all.iter().map(|t| t.discovered_labels.clone()).collect())),
        ("health", Cells::Text(all.iter().map(|t| text(t.last.health.as_str())).collect())),
        ("last_error", Cells::Text(all.iter().map(|t| text(&t.last.last_error)).collect())),
        ("last_scrape", Cells::Time(all.iter().map(|t| t.last.last_scrape_ms).collect())),
        (
            "last_scrape_seconds",
            Cells::Float(all.iter().map(|t| Some(t.last.last_scrape_duration_seconds)).collect()),
        ),
        ("scrape_interval_seconds", Cells::Float(all.iter().map(|t| seconds(t.scrape_interval_ms)).collect())),
        ("scrape_timeout_seconds", Cells::Float(all.iter().map(|t| seconds(t.scrape_timeout_ms)).collect())),
    ]
}

fn deletes(store: &Store) -> Rows {
    let all = store.deletes();
    let float = |of: fn(&Progress) -> usize| Cells::Float(all.iter().map(|found| Some(of(found) as f64)).collect());
    vec![
        ("time", Cells::Time(all.iter().map(|found| Some(found.delete.time)).collect())),
        ("selectors", Cells::Text(all.iter().map(|found| Some(found.delete.matchers.join(" "))).collect())),
        (
            "range_start",
            Cells::Time(all.iter().map(|found| Some(found.delete.deleted.range.start_inclusive)).collect()),
        ),
        (
            "range_end",
            Cells::Time(all.iter().map(|found| Some(found.delete.deleted.range.end_inclusive)).collect()),
        ),
        ("series", float(|found| found.delete.deleted.ids.len())),
        ("files", float(|found| found.delete.files.len())),
        ("files_left", float(|found| found.files_left)),
    ]
}

fn seconds(ms: i64) -> Option<f64> {
    Some(ms as f64 / 1000.0)
}

/// Which metrics and labels were asked for since the start, as far as they are kept.
fn used(usage: &Usage) -> Rows {
    let all = usage.shown();
    vec![
        ("metric", Cells::Text(all.iter().map(|used| used.metric.clone()).collect())),
        ("label", Cells::Text(all.iter().map(|used| used.label.clone()).collect())),
        ("asked_by", Cells::Text(all.iter().map(|used| Some(used.by.as_str().to_string())).collect())),
        ("times", Cells::Float(all.iter().map(|used| Some(used.times as f64)).collect())),
        ("last_asked_at", Cells::Time(all.iter().map(|used| Some(used.last_ms)).collect())),
    ]
}

/// What is told of a query that its reader may not know.
const HIDDEN: &str = "<insufficient privilege>";

/// Those of others without their texts, for a `reader` who may not see them.
fn queries(recent: &Recent, reader: Option<&str>) -> Rows {
    let all = recent.shown();
    let is_seen = |q: &Shown| reader.is_none_or(|reader| q.question.user.as_deref() == Some(reader));
    let text = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    let state = |end: &Option<Result<(), ErrorKind>>| match end {
        None => "running",
        Some(Ok(())) => "ok",
        Some(Err(ErrorKind::Canceled)) => "canceled",
        Some(Err(ErrorKind::Timeout)) => "timeout",
        Some(Err(_)) => "error",
    };
    let range = |at: usize| all.iter().map(|q| q.question.range.map(|range| range[at])).collect();
    vec![
        ("started_at", Cells::Time(all.iter().map(|q| Some(q.at_ms)).collect())),
        ("language", Cells::Text(all.iter().map(|q| text(q.question.language.as_str())).collect())),
        (
            "query",
            Cells::Text(
                all.iter()
                    .map(|q| Some(if is_seen(q) { q.question.text.clone() } else { HIDDEN.to_string() }))
                    .collect(),
            ),
        ),
        ("client", Cells::Text(all.iter().map(|q| text(&q.question.client)).collect())),
        ("asked_by", Cells::Text(all.iter().map(|q| text(&q.question.by)).collect())),
        ("range_start", Cells::Time(range(0))),
        ("range_end", Cells::Time(range(1))),
        (
            "step_seconds",
            Cells::Float(
                all.iter()
                    .map(|q| q.question.range.filter(|range| range[2] > 0).and_then(|r| seconds(r[2])))
                    .collect(),
            ),
        ),
        ("seconds", Cells::Float(all.iter().map(|q| Some(q.took.as_secs_f64())).collect())),
        ("state", Cells::Text(all.iter().map(|q| text(state(&q.end))).collect())),
        ("error", Cells::Text(all.iter().map(|q| q.error.clone().filter(|_| is_seen(q))).collect())),
    ]
}

fn rules(manager: &Manager) -> Rows {
    let groups = manager.groups();
    let all: Vec<_> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (group, rule, rule.health(), rule.state())))
        .collect();
    let labels = |pairs: &[(String, String)]| Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value)));
    let is_alert = |kind: &RuleKind| matches!(kind, RuleKind::Alerting { .. });
    let times = |kind: &RuleKind| match kind {
        RuleKind::Alerting { hold_ms, keep_firing_for_ms, .. } => (seconds(*hold_ms), seconds(*keep_firing_for_ms)),
        RuleKind::Recording { .. } => (None, None),
    };
    vec![
        ("file", Cells::Text(all.iter().map(|(group, ..)| Some(group.file.clone())).collect())),
        ("rule_group", Cells::Text(all.iter().map(|(group, ..)| Some(group.name.clone())).collect())),
        ("name", Cells::Text(all.iter().map(|(_, rule, ..)| Some(rule.name().to_string())).collect())),
        (
            "type",
            Cells::Text(
                all.iter()
                    .map(|(_, rule, ..)| {
                        let alerting = is_alert(&rule.config.kind);
                        Some(if alerting { "alerting" } else { "recording" }.to_string())
                    })
                    .collect(),
            ),
        ),
        ("query", Cells::Text(all.iter().map(|(_, rule, ..)| Some(rule.config.query.clone())).collect())),
        ("labels", Cells::Labels(all.iter().map(|(_, rule, ..)| labels(&rule.config.labels)).collect())),
        ("for_seconds", Cells::Float(all.iter().map(|(_, rule, ..)| times(&rule.config.kind).0).collect())),
        (
            "keep_firing_for_seconds",
            Cells::Float(all.iter().map(|(_, rule, ..)| times(&rule.config.kind).1).collect()),
        ),
        (
            "state",
            Cells::Text(
                all.iter()
                    .map(|(_, rule, _, state)| {
                        let known = is_alert(&rule.config.kind) && state.evaluated.is_some();
                        known.then(|| state.alerts.state().as_str().to_string())
                    })
                    .collect(),
            ),
        ),
        ("health", Cells::Text(all.iter().map(|(_, _, health, _)| Some(health.to_string())).collect())),
        ("last_error", Cells::Text(all.iter().map(|(_, _, _, state)| state.error.clone()).collect())),
        (
            "last_evaluation",
            Cells::Time(all.iter().map(|(_, _, _, state)| state.evaluated.map(|last| last.at_ms)).collect()),
        ),
        (
            "evaluation_seconds",
            Cells::Float(all.iter().map(|(_, _, _, state)| state.evaluated.map(|last| last.seconds)).collect()),
        ),
        ("interval_seconds", Cells::Float(all.iter().map(|(group, ..)| seconds(group.interval_ms)).collect())),
    ]
}

fn alerts(manager: &Manager) -> Rows {
    let groups = manager.groups();
    let mut all = Vec::new();
    for group in &groups {
        for rule in &group.rules {
            let mut active: Vec<_> =
                rule.state().alerts.active().map(|(labels, alert)| (labels.clone(), alert.clone())).collect();
            active.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            all.extend(active.into_iter().map(|(labels, alert)| (group, rule, labels, alert)));
        }
    }
    let annotations = |pairs: &[(String, String)]| Labels::from_pairs(pairs.iter().map(|(n, v)| (n, v)));
    vec![
        ("name", Cells::Text(all.iter().map(|(_, rule, ..)| Some(rule.name().to_string())).collect())),
        ("labels", Cells::Labels(all.iter().map(|(_, _, labels, _)| labels.clone()).collect())),
        ("annotations", Cells::Labels(all.iter().map(|(.., alert)| annotations(&alert.annotations)).collect())),
        ("state", Cells::Text(all.iter().map(|(.., alert)| Some(alert.state.as_str().to_string())).collect())),
        ("active_at", Cells::Time(all.iter().map(|(.., alert)| Some(alert.active_at)).collect())),
        ("fired_at", Cells::Time(all.iter().map(|(.., alert)| alert.fired_at).collect())),
        ("keep_firing_since", Cells::Time(all.iter().map(|(.., alert)| alert.keep_firing_since).collect())),
        ("value", Cells::Float(all.iter().map(|(.., alert)| Some(alert.value)).collect())),
        ("rule_group", Cells::Text(all.iter().map(|(group, ..)| Some(group.name.clone())).collect())),
        ("file", Cells::Text(all.iter().map(|(group, ..)| Some(group.file.clone())).collect())),
    ]
}
