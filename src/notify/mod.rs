//! Alerts, to the Alertmanagers of the configuration, as Prometheus' notifier sends them.
//!
//! Whoever makes alerts hands them to [`notifier::Notifier::send`], which never waits. They get the external labels, pass the
//! rules of the configuration, and lie in a queue for each Alertmanager that was found: one that is slow or away holds up
//! neither the rules nor another Alertmanager. Nothing is sent twice by itself. What could not be delivered is dropped and
//! counted, since an alert that still fires is handed over again soon.

/// Settings.
pub mod options;
/// What is in force: start, reload, stop.
pub mod notifier;
/// Alertmanagers that were found by one entry of the configuration.
mod set;
/// Where one of them is, from its labels.
mod endpoint;
/// The queue of one of them, and the task that empties it.
mod queue;
/// One request.
mod send;
/// Alerts to the bytes of a request.
mod encode;
/// External labels and rules.
mod relabel;
/// Counters under Prometheus' names.
mod stats;

#[cfg(test)]
mod tests;
