//! Remote read (`storage/remote` of Prometheus): a request's queries in, and their samples out, raw or in chunks as
//! Prometheus' storage has them. The engine reads the samples; here they are encoded, on its threads.

/// `ReadRequest` → queries.
pub mod request;
/// Bits, and numbers in few of them.
pub mod bits;
/// Samples of a series → chunks.
pub mod chunk;
/// Series → the messages of an answer.
pub mod answer;

#[cfg(test)]
mod tests;
