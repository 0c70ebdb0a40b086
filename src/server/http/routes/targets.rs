//! `/api/v1/targets`, how relabelling makes them, `/api/v1/scrape_pools` and the configuration of a pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};
use url::Url;

use crate::error::Error;
use crate::ingest::scrape::target::TargetStatus;
use crate::model::duration;
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::relabel::{self, Rule};
use crate::promql::strings::quote;
use crate::server::http::describe::{About, Kind, LABELS, Parameter, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::json::rfc3339;
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server, Settings};

/// What Go prints for a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/targets").get(targets).about(TARGETS),
        read("/api/v1/targets/relabel_steps").get(relabel_steps).about(RELABEL_STEPS),
        read("/api/v1/scrape_pools").get(scrape_pools).about(POOLS),
        read("/api/v1/scrape_pools/config").get(pool_config).about(POOL_CONFIG),
    ]
}

const POOL: Parameter = Parameter::new("scrapePool", Kind::Text, "The name of a scrape pool");

const TARGETS: About = About::new(Tag::Targets, "targets", "Targets, and those that relabelling drops")
    .takes(&[
        Parameter::new("state", Kind::OneOf(&["active", "dropped", "any"]), "Which of them; any by default"),
        Parameter { text: "The name of a scrape pool; all by default", ..POOL },
    ])
    .answers(Reply::Data(Shape::Object(&[
        (
            "activeTargets",
            Shape::List(&Shape::Object(&[
                ("discoveredLabels", LABELS),
                ("labels", LABELS),
                ("scrapePool", Shape::Text),
                ("scrapeUrl", Shape::Text),
                ("globalUrl", Shape::Text),
                ("lastError", Shape::Text),
                ("lastScrape", Shape::Time),
                ("lastScrapeDuration", Shape::Number),
                ("health", Shape::Text),
                ("scrapeInterval", Shape::Text),
                ("scrapeTimeout", Shape::Text),
            ])),
        ),
        (
            "droppedTargets",
            Shape::List(&Shape::Object(&[("discoveredLabels", LABELS), ("scrapePool", Shape::Text)])),
        ),
        ("droppedTargetCounts", Shape::Any),
    ])));
const RELABEL_STEPS: About =
    About::new(Tag::Targets, "targets-relabel-steps", "What each rule of a scrape pool makes of some labels")
        .takes(&[
            POOL.required(),
            Parameter::new("labels", Kind::Text, "The labels before relabelling, as a JSON object").required(),
        ])
        .answers(Reply::Data(Shape::Object(&[(
            "steps",
            Shape::List(&Shape::Object(&[("rule", Shape::Any), ("output", LABELS), ("keep", Shape::Flag)])),
        )])));
const POOLS: About = About::new(Tag::Targets, "scrape-pools", "Names of scrape pools")
    .answers(Reply::Data(Shape::Object(&[("scrapePools", Shape::List(&Shape::Text))])));
const POOL_CONFIG: About =
    About::new(Tag::Targets, "scrape-pools-config", "The configuration of a scrape pool, without secrets")
        .takes(&[POOL.required()])
        .answers(Reply::Data(Shape::Object(&[("yaml", Shape::Text)])));

async fn targets(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let mut targets = parts.scrape.targets();
    let pool = params.get("scrapePool");
    targets.retain(|target| pool.is_empty() || target.scrape_pool == pool);
    let (shows_active, shows_dropped) = match params.get("state").to_lowercase().as_str() {
        "" | "any" => (true, true),
        "active" => (true, false),
        "dropped" => (false, true),
        // As Prometheus takes it.
        _ => (false, false),
    };
    targets.retain(|_| shows_active);
    let active: Vec<Value> = targets.iter().map(|target| target_json(target, &server.settings)).collect();
    let (counts, mut dropped) = parts.scrape.dropped();
    dropped.retain(|target| shows_dropped && (pool.is_empty() || target.scrape_pool == pool));
    let dropped: Vec<Value> = dropped
        .iter()
        .map(|target| {
            json!({ "discoveredLabels": labels_json(&target.discovered_labels), "scrapePool": target.scrape_pool })
        })
        .collect();
    Ok(envelope::success(&json!({
        "activeTargets": active,
        "droppedTargets": dropped,
        // Of all pools, and of none where they were not asked for.
        "droppedTargetCounts": shows_dropped.then_some(counts),
    })))
}

fn target_json(target: &TargetStatus, settings: &Settings) -> Value {
    json!({
        "discoveredLabels": labels_json(&target.discovered_labels),
        "labels": labels_json(&target.labels),
        "scrapePool": target.scrape_pool,
        "scrapeUrl": target.scrape_url,
        "globalUrl": global_url(&target.scrape_url, &settings.external_url, settings.listen_port),
        "lastError": target.last.last_error,
        "lastScrape": target.last.last_scrape_ms.map_or_else(|| NEVER.to_string(), rfc3339),
        "lastScrapeDuration": target.last.last_scrape_duration_seconds,
        "health": target.last.health.as_str(),
        "scrapeInterval": duration::format(target.scrape_interval_ms),
        "scrapeTimeout": duration::format(target.scrape_timeout_ms),
    })
}

fn labels_json(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

/// The scrape URL as users reach it: a target on this very machine goes by the external URL's host, since `localhost` would
/// be theirs, and this very server by its scheme and port as well.
fn global_url(scrape_url: &str, external_url: &str, own_port: u16) -> String {
    let (Ok(mut url), Ok(external)) = (Url::parse(scrape_url), Url::parse(external_url)) else {
        return scrape_url.to_string();
    };
    let is_local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if is_local && let Some(host) = external.host_str() {
        // These fail only for URLs that cannot have a host, and for schemes of another kind.
        if url.port_or_known_default() == Some(own_port) {
            let _ = url.set_scheme(external.scheme());
            let _ = url.set_port(external.port());
        }
        let _ = url.set_host(Some(host));
    }
    url.to_string()
}

/// What each rule of a pool makes of some labels, a JSON object.
async fn relabel_steps(Ready(parts): Ready, params: Params) -> ApiResult {
    let bad = |message: String| ApiError(Error::bad_input(message));
    let (pool, labels) = match (params.get("scrapePool"), params.get("labels")) {
        ("", _) => return Err(bad("no scrapePool parameter provided".to_string())),
        (_, "") => return Err(bad("no labels parameter provided".to_string())),
        given => given,
    };
    let labels: BTreeMap<String, String> =
        serde_json::from_str(labels).map_err(|error| bad(format!("error parsing labels: {error}")))?;
    let Some(rules) = parts.scrape.relabel_rules(pool) else {
        return Err(no_such_pool(pool));
    };
    let mut labels = LabelsBuilder::from_labels(&Labels::from_pairs(labels));
    let mut keep = true;
    let step = |rule: &Rule| {
        keep = keep && relabel::apply(std::slice::from_ref(rule), &mut labels);
        let output = if keep { labels.clone().build() } else { Labels::empty() };
        json!({ "rule": rule_json(rule), "output": labels_json(&output), "keep": keep })
    };
    Ok(envelope::success(&json!({ "steps": rules.iter().map(step).collect::<Vec<_>>() })))
}

/// What is empty is left out where Prometheus leaves it out.
fn rule_json(rule: &Rule) -> Value {
    let parts = &rule.parts;
    let mut shown = json!({
        "separator": parts.separator,
        "regex": parts.regex,
        "replacement": parts.replacement,
        "action": parts.action.as_str(),
    });
    if !parts.source_labels.is_empty() {
        shown["source_labels"] = json!(parts.source_labels);
    }
    if parts.modulus != 0 {
        shown["modulus"] = json!(parts.modulus);
    }
    if !parts.target_label.is_empty() {
        shown["target_label"] = json!(parts.target_label);
    }
    shown
}

async fn scrape_pools(Ready(parts): Ready) -> ApiResult {
    Ok(envelope::success(&json!({ "scrapePools": parts.scrape.pools() })))
}

/// Prometheus' words.
fn no_such_pool(pool: &str) -> ApiError {
    let pool = quote(pool);
    ApiError(Error::bad_input(format!("error retrieving scrape config: scrape pool {pool} not found")))
}

async fn pool_config(Ready(parts): Ready, params: Params) -> ApiResult {
    match params.get("scrapePool") {
        "" => Err(ApiError(Error::bad_input("no scrapePool parameter provided"))),
        pool => match parts.scrape.pool_config(pool) {
            Some(yaml) => Ok(envelope::success(&json!({ "yaml": yaml }))),
            None => Err(no_such_pool(pool)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::global_url;

    #[test]
    fn global_urls() {
        let check = |url, external, expected: &str| assert_eq!(global_url(url, external, 9090), expected);
        check("http://localhost:9100/metrics", "http://mon.example:9090/", "http://mon.example:9100/metrics");
        check("http://127.0.0.1:9100/metrics", "http://mon.example:9090/", "http://mon.example:9100/metrics");
        check("http://node-1:9100/metrics", "http://mon.example:9090/", "http://node-1:9100/metrics");
        // This server itself.
        check("http://localhost:9090/metrics", "https://mon.example/lake/", "https://mon.example/metrics");
        check("http://[::1]:9090/metrics", "http://mon.example:8080/", "http://mon.example:8080/metrics");
        check("http://node-1:9090/metrics", "https://mon.example/", "http://node-1:9090/metrics");
        check("not a url", "http://mon.example:9090/", "not a url");
    }
}
