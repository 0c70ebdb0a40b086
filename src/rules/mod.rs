//! Recording and alerting rules: their groups are evaluated on a timer, results go through the appender, alerts to who sends
//! them. Prometheus' `rules` package is the model, to the order of things within an evaluation.

/// The states of the alerts of a rule.
pub mod alert;
/// Changes of states of alerts, on their way to the lake.
pub mod history;
/// Times of which samples may be missing.
mod blind;
/// Which rules of a group need others of it.
mod dependencies;
/// One rule: what it is, and how its last evaluation went.
pub mod rule;
/// What evaluation needs of everybody else.
pub mod environment;
/// What the rules of one evaluation found, on its way into the store.
mod results;
/// One group: its rules, and what is left of one evaluation for the next one.
pub mod group;
/// What a rule makes of the vector of its expression.
mod elements;
/// One evaluation of a group.
pub mod evaluation;
/// When a group is evaluated.
mod schedule;
/// `for` goes on after a restart.
mod restore;
/// The groups in force: start, reload, stop.
pub mod manager;
/// Results of recording rules for the past.
pub mod backfill;
/// Numbers under Prometheus' names.
mod stats;
