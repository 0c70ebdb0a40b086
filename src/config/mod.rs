//! `prometheus.yml` as plain data: read strictly, checked once, printed back. Nothing here acts on a setting.

/// The whole file: load, check, print.
pub mod file;
/// Patterns of files.
pub mod glob;
/// The `global` section.
pub mod global;
/// One `scrape_configs` entry.
pub mod scrape;
/// Limits of a scrape, shared by `global` and `scrape_configs`.
pub mod limits;
/// Exposition formats by Prometheus' names.
pub mod protocol;
/// Relabelling rules.
pub mod relabel;
/// Kinds of service discovery.
pub mod discovery;
/// How requests are sent: authorization, TLS, proxies.
pub mod http;
/// The `alerting` section.
pub mod alerting;
/// `remote_write` and `remote_read`.
pub mod remote;
/// The `storage` section.
pub mod storage;
/// `otlp` and `runtime`.
pub mod otlp;
/// The `tracing` section.
pub mod tracing;
/// The web configuration file: TLS, users, headers.
pub mod web;
/// Rule files.
pub mod rules;
/// Files of tests of rules.
pub mod rule_tests;
/// Byte sizes, `10MB`.
pub mod size;
/// What sections may hold, as data; the check and the printing of it.
pub mod schema;
/// Values of a checked section.
pub mod values;
/// What is wrong with a file.
pub mod mistake;
/// Text to a tree with lines.
pub mod yaml;
