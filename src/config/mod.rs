//! `prometheus.yml` as plain data: read strictly, checked once, printed back. Nothing here acts on a setting.

/// The whole file: load, check, print.
pub mod file;
/// The `global` section.
pub mod global;
/// One `scrape_configs` entry.
pub mod scrape;
/// Limits of a scrape, shared by `global` and `scrape_configs`.
pub mod limits;
/// Exposition formats by Prometheus' names.
pub mod protocol;
/// Byte sizes, `10MB`.
pub mod size;
/// One YAML mapping, read key by key; what nobody asked for is an error.
mod section;
