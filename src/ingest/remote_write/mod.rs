//! The Remote Write receiver, versions 1.0 and 2.0: snappy → protobuf read in place → rows. The labels of a series that
//! is known are hashed as they stand on the wire, or as the symbols they refer to, and never decoded.
//!
//! A request is taken row by row: what is wrong with one costs no other. The answer is Prometheus', also where its own
//! receiver would have stored less: with 1.0 it is the first error, with 2.0 all of them and counts of what is written.

/// Requests in, outcomes out.
pub mod receiver;
/// Content types and encodings.
pub mod negotiate;
/// What was written, and what the sender is told.
pub mod outcome;
/// Compressed bodies, and the memory they ask for.
pub mod body;
/// The first pass over a message: series and their keys.
pub mod decode;
/// The symbol table of 2.0.
pub mod symbols;
/// Keys of series → handles.
pub mod cache;
/// The second pass: rows.
pub mod rows;
/// Native histograms on the wire.
pub mod histogram;
/// Requests whose senders were told to come back.
pub mod unanswered;
/// Memory of requests that have ended.
mod buffers;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
