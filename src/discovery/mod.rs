//! Service discovery: entries of a configuration → kinds that ask for targets → groups of labels, merged by job.
//!
//! A kind ([`kinds`]) is asked every so often or watches; it knows its source and the labels it makes, and nothing of jobs.
//! The [`manager`] runs one of a kind for all jobs that have the same entry, keeps what it found last, and tells its
//! consumer which jobs have other targets now. What becomes of a target is decided elsewhere, by relabelling.

/// Groups of targets, and the collecting of labels.
pub mod group;
/// Lists that others write, as JSON or YAML.
pub mod list;
/// One of a kind for all that want it, groups by job.
pub mod manager;
/// The two ways to find targets, and what they may use.
pub mod way;
/// Counters.
pub mod stats;
/// Requests to the APIs of sources.
pub mod api;
/// Trees of XML answers.
mod xml;
/// One file a kind.
pub mod kinds;

/// Servers for tests.
#[cfg(test)]
mod fake;
