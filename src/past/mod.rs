//! Samples of the past, written into files of the lake by UTC day, as an import writes them, and compared with what is stored: what
//! backfills of rules and inserts by SQL have in common. It does not go through the log, knows no order of time, and is not
//! sent to remotes.

/// Stored samples, looked up by the engine.
mod stored;
/// What was collected, into the lake.
pub mod writer;
/// Samples of a statement, all or none.
pub mod insert;

#[cfg(test)]
mod tests;
