//! Targets on their schedule: configuration → pools → targets → one task each: wait, fetch, parse, append.
//! Discovery and relabelling come in front of [`target::Target::resolve`] one day; nothing behind it changes.

/// Pools of targets, and what a reload changes about them.
pub mod manager;
/// One target: labels, URL, schedule, health.
pub mod target;
/// The task of a target.
pub mod worker;
/// One HTTP request within its limits.
pub mod request;
/// A parsed body → rows, with staleness.
pub mod batch;
/// The series a target had in its last scrapes.
pub mod cache;
/// Scrapes that wait for a store that takes no samples.
pub mod waiting;
/// The metadata a target told.
pub mod metadata;

#[cfg(test)]
mod tests;
