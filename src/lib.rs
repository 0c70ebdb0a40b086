#![doc = include_str!("README.md")]

/// Composition root: opens every part and shuts it down in order.
pub mod app;
/// Flags and subcommands.
pub mod cli;
/// `prometheus.yml` and the command line as plain data.
pub mod config;
/// Read side: PromQL and SQL to DataFusion plans.
pub mod engine;
/// The one error type and the kinds a caller acts on.
pub mod error;
/// Write side: scrape, remote write, and the one appender.
pub mod ingest;
/// Labels, matchers, samples, histograms and the Arrow schemas; no I/O.
pub mod model;
/// Protocols: Prometheus' HTTP API and the Postgres wire protocol.
pub mod server;
/// Write-ahead log, head, series index and lake, joined in `store`.
pub mod storage;
/// Our own metrics and logs.
pub mod telemetry;
