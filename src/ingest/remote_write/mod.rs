//! The Remote Write 1.0 receiver: snappy → protobuf read in place → rows. The labels of a series that is known
//! are hashed as they stand on the wire and never decoded.
//!
//! Remote Write 2.0 is refused with 415, upon which senders fall back to 1.0.

/// Requests in, outcomes out.
pub mod receiver;
/// `WriteRequest` → rows.
pub mod decode;
/// Wire bytes of labels → handles.
pub mod cache;
/// Native histograms on the wire.
pub mod histogram;
/// The protobuf wire format.
pub mod wire;

#[cfg(test)]
mod tests;
