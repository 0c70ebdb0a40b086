//! Tests of the whole: the real binary over its protocols, and the shape of the source. One test binary, since
//! each further one would link the engine again.

/// What alerts did, in SQL.
mod alert_history;
/// What of Prometheus' HTTP API is neither a query nor told elsewhere.
mod api;
/// Layers, fences, and SQL files that somebody uses.
mod architecture;
/// Results of recording rules for the past.
mod backfill;
/// What scrapes show to be let in.
mod credentials;
/// Command lines of Prometheus, and promtool's small checks.
mod command_line;
/// promtool's work.
mod promtool;
/// Series deleted through the admin API.
mod deletes;
/// The shop's story.
mod demo;
/// What other Prometheus servers ask for.
mod federation;
/// Targets that are found: files, HTTP, Docker, through the real binary.
mod discovery;
/// Remote write out.
mod forward;
/// Small queries that are asked again.
mod kept_plans;
/// Alerts to Alertmanagers, and to a real one.
mod notify;
/// Prometheus' HTTP API.
mod http;
/// Who may ask the HTTP API for what, and how slowly.
mod http_security;
/// OTLP metrics.
mod otlp;
/// The Postgres protocol.
mod pg;
/// History from elsewhere, beside a running server.
mod import;
/// Where the lake is laid, and that what lies there is left alone.
mod place;
/// What Postgres sessions do, for those who watch.
mod pg_activity;
/// What psql and drivers read of the Postgres catalog.
mod pg_catalog;
/// INSERT by the Postgres protocol.
mod pg_insert;
/// Settings, transactions and what else a Postgres session keeps.
mod pg_session;
/// The Postgres protocol byte by byte: limits, malformed messages, clients that go away.
mod pg_wire;
/// The plans of dashboard queries.
mod plans;
/// The life of a query: limits, cancellation, what is left of it.
mod queries;
/// The remote write receiver over the real store.
mod remote_write;
/// `kill -9` under load, and what is there afterwards.
mod restart;
/// Rules and alerts.
mod rules;
/// Scraping over the real store.
mod scrape;
/// Small queries that are asked together.
mod together;
/// What Prometheus exposes of itself, under its names.
mod self_metrics;
/// How tests skip.
#[allow(dead_code)]
#[path = "../support/skip.rs"]
mod skip;
/// Everything at once for a while, and memory and open files afterwards.
mod soak;
/// The second signal.
mod signals;
/// Starting and stopping the binary, and an S3 server.
#[path = "../support/server.rs"]
mod support;
/// Spans, to a collector.
mod traces;
/// What the binary says of itself.
mod version;
/// TLS, users and the rest of the web configuration file.
mod web_config;
/// Remote write requests, built by hand.
#[path = "../support/write_request.rs"]
mod write_request;
