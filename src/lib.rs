#![doc = include_str!("README.md")]

/// The one error type and the kinds a caller acts on.
pub mod error;
/// Labels, matchers, samples, histograms and the Arrow schemas; no I/O.
pub mod model;
/// The language PromQL: lexer, parser, tree, printer, signatures.
pub mod promql;
/// The template language of alerts: Go's, with Prometheus' functions.
pub mod template;
/// `prometheus.yml` and the command line as plain data.
pub mod config;
/// Our own metrics and logs.
pub mod telemetry;
/// Write-ahead log, head, series index and lake, joined in `store`.
pub mod storage;
/// Requests to others: credentials, certificates, proxies, tokens.
pub mod client;
/// Spans of `telemetry`, to a collector.
pub mod traces;
/// Ways to find targets: files, DNS, Kubernetes, clouds.
pub mod discovery;
/// Write side: scrape, remote write, and the one appender.
pub mod ingest;
/// Read side: PromQL and SQL to DataFusion plans.
pub mod engine;
/// Samples of the past, written beside what is stored.
pub mod past;
/// Recording and alerting rules.
pub mod rules;
/// Remote write out: what became durable, to other stores.
pub mod forward;
/// Alerts, to the Alertmanagers of the configuration.
pub mod notify;
/// Protocols: Prometheus' HTTP API and the Postgres wire protocol.
pub mod server;
/// Composition root: opens every part and shuts it down in order.
pub mod app;
/// Random inputs for the tests of parsers.
#[cfg(test)]
mod fuzzing;
/// Flags and subcommands.
pub mod cli;
