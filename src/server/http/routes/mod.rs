//! The handlers. A family of routes is a file with a `routes()`; adding one is a file and a line here.

/// `admin/tsdb/*`.
pub mod admin;
/// `/user/*`.
pub mod assets;
/// `status/tsdb/blocks`.
pub mod blocks;
/// `status/tsdb`.
pub mod cardinality;
/// `query_exemplars`.
pub mod exemplars;
/// `features`.
pub mod features;
/// `labels`, `label/<name>/values`, `series`.
pub mod labels;
/// `/-/*`, `/metrics`, `/version`.
pub mod management;
/// `metadata`.
pub mod metadata;
/// `notifications`, `notifications/live`.
pub mod notifications;
/// `openapi.yaml`.
pub mod openapi;
/// The page for people.
pub mod pages;
/// `query`, `query_range`.
pub mod query;
/// `alertmanagers`.
pub mod alertmanagers;
/// `rules`, `alerts`.
pub mod rules;
/// `search/*`.
pub mod search;
/// `status/self_metrics`.
pub mod self_metrics;
/// `status/*` but for those above.
pub mod status;
/// `format_query`, `parse_query`.
pub mod syntax;
/// `targets`, `scrape_pools`.
pub mod targets;
/// `read`.
pub mod read;
/// `/federate`.
pub mod federate;
/// `otlp/v1/metrics`.
pub mod otlp;
/// `write`.
pub mod write;

use crate::server::http::route::Route;

pub fn all() -> Vec<Route> {
    let families = [
        query::routes,
        syntax::routes,
        exemplars::routes,
        labels::routes,
        search::routes,
        metadata::routes,
        targets::routes,
        rules::routes,
        alertmanagers::routes,
        write::routes,
        otlp::routes,
        read::routes,
        federate::routes,
        status::routes,
        cardinality::routes,
        blocks::routes,
        self_metrics::routes,
        features::routes,
        notifications::routes,
        openapi::routes,
        management::routes,
        admin::routes,
        pages::routes,
        assets::routes,
    ];
    families.into_iter().flat_map(|routes: fn() -> Vec<Route>| routes()).collect()
}
