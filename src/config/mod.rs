//! `prometheus.yml` as plain data: read strictly, checked once, printed back. Nothing here acts on a setting.

/// The whole file: load, check, print.
pub mod file;
/// The `global` section.
pub mod global;
/// Limits of a scrape, shared by `global` and `scrape_configs`.
pub mod limits;
/// Exposition formats by Prometheus' names.
pub mod protocol;
/// One `scrape_configs` entry.
pub mod scrape;
/// One YAML mapping, read key by key; what nobody asked for is an error.
mod section;
/// Byte sizes, `10MB`.
pub mod size;
