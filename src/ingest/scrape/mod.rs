//! Targets on their schedule: configuration → pools → targets → one task each: wait, fetch, parse, append.
//! Targets come in groups, from the configuration and from discovery; nothing behind [`groups`] knows from where.

/// Pools of targets, and what a reload changes about them.
pub mod manager;
/// Groups of targets, and what relabelling makes of each.
mod groups;
/// One target: labels, URL, schedule, health.
pub mod target;
/// The task of a target.
pub mod worker;
/// One HTTP request within its limits.
pub mod request;
/// What feature flags change.
pub mod features;
/// Buffers for bodies, shared by all targets.
pub mod buffers;
/// A parsed body → rows, with staleness.
pub mod batch;
/// Scraped and target labels joined, relabelled and checked.
mod labels;
/// Start timestamps of targets that tell none.
pub mod start;
/// The series a target had in its last scrapes.
pub mod cache;
/// Scrapes that wait for a store that takes no samples.
pub mod waiting;
/// The metadata a target told.
pub mod metadata;
/// The file of scrapes that failed.
pub mod failure_log;
/// What is counted of pools and of the times between scrapes.
pub mod stats;

#[cfg(test)]
mod tests;
