//! The handlers. A family of routes is a file with a `routes()`; adding one is a file and a line here.

/// `query`, `query_range`.
pub mod query;
/// `format_query`, `parse_query`.
pub mod syntax;
/// `query_exemplars`.
pub mod exemplars;
/// `labels`, `label/<name>/values`, `series`.
pub mod labels;
/// `metadata`.
pub mod metadata;
/// `targets`, `scrape_pools`.
pub mod targets;
/// `rules`, `alerts`, `alertmanagers`.
pub mod rules;
/// `write`.
pub mod write;
/// `status/*` but for `status/tsdb`.
pub mod status;
/// `status/tsdb`.
pub mod cardinality;
/// `/-/*`, `/metrics`, `/version`.
pub mod management;
/// The page for people.
pub mod pages;
/// Endpoints of Prometheus that are not built yet.
pub mod missing;

use crate::server::http::router::Route;

pub fn all() -> Vec<Route> {
    let families = [
        query::routes,
        syntax::routes,
        exemplars::routes,
        labels::routes,
        metadata::routes,
        targets::routes,
        rules::routes,
        write::routes,
        status::routes,
        cardinality::routes,
        management::routes,
        pages::routes,
        missing::routes,
    ];
    families.into_iter().flat_map(|routes: fn() -> Vec<Route>| routes()).collect()
}
