//! Prometheus' HTTP API (`web/api/v1` of Prometheus 3.16) over the engine and the store: requests are decoded,
//! handed on, and encoded. A request passes `connections` → `router` (auth, hosts, guard, metrics, CORS, compression) →
//! one of `routes` → `json`. No PromQL is understood here, and nothing is stored.

/// Rate, user and password of a request.
mod auth;
/// Reading bodies under limits and one budget.
pub mod bodies;
/// What routes say of themselves.
pub mod describe;
/// Accepting, limiting, timing out and draining connections.
pub mod connections;
/// Cross-origin headers.
pub mod cors;
/// The `{"status": …}` envelope with warnings and infos.
pub mod envelope;
/// `ErrorKind` to `errorType` and HTTP status.
pub mod errors;
/// The page of `/federate`.
pub mod federate;
/// Pages of other sites may not change anything.
pub mod guard;
/// The names under which the server may be asked.
pub mod hosts;
/// Numbers, timestamps, strings and query results as Prometheus writes them.
pub mod json;
/// Pairs of names and values in queries and forms.
mod form;
/// Forms in parts.
mod multipart;
/// What is wrong with this server, for those who watch it.
pub mod notifications;
/// The description of the API.
pub mod openapi;
/// How slow a client may be.
pub mod pace;
/// Query and form parameters, times and durations.
pub mod params;
/// Paths that mean a route and are not written like it.
mod paths;
/// The messages of remote read.
pub mod remote_read;
/// What a route is.
pub mod route;
/// All routes with their layers.
pub mod router;
/// The handlers, one family of routes per file.
pub mod routes;
/// `match[]` selectors.
pub mod selectors;
/// What the handlers share, and the parts that exist only once the store is open.
pub mod server;
/// A socket that gives up on clients that do not get on.
pub mod socket;
/// Targets of requests as people write them.
mod target;
/// The way that a request took.
mod via;
