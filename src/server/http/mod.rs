//! Prometheus' HTTP API (`web/api/v1` of Prometheus 3.14) over the engine and the store: requests are decoded,
//! handed on, and encoded. A request passes `connections` → `router` (metrics, CORS, compression) → one of
//! `routes` → `json`. No PromQL is understood here, and nothing is stored.

/// What the handlers share, and the parts that exist only once the store is open.
pub mod server;
/// All routes with their layers.
pub mod router;
/// Accepting, limiting, timing out and draining connections.
pub mod connections;
/// Query and form parameters, times and durations.
pub mod params;
/// `match[]` selectors.
pub mod selectors;
/// `ErrorKind` to `errorType` and HTTP status.
pub mod errors;
/// The `{"status": …}` envelope with warnings and infos.
pub mod envelope;
/// Numbers, timestamps, strings and query results as Prometheus writes them.
pub mod json;
/// Cross-origin headers.
pub mod cors;
/// The handlers, one family of routes per file.
pub mod routes;
