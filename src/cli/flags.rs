//! The flags of the server, with Prometheus' names where Prometheus has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args};
use regex::Regex;
use url::Url;

use crate::app;
use crate::cli::unsupported;
use crate::config::size;
use crate::engine::session::{EngineOptions, Features};
use crate::error::{Error, Result};
use crate::model::duration;
use crate::model::pattern::anchored;
use crate::storage::store;
use crate::telemetry::logs;

#[derive(Args, Debug)]
pub struct Serve {
    /// Prometheus configuration file; without one, promlake scrapes itself
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// Address to serve Prometheus' HTTP API on; repeatable
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    web_listen_address: Vec<String>,
    /// URL under which users reach the server, for links and redirects
    #[arg(long = "web.external-url", value_name = "URL", value_parser = parse_external_url)]
    web_external_url: Option<Url>,
    /// Prefix of all paths; by default the path of --web.external-url
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    web_route_prefix: Option<String>,
    /// Allow reloading and stopping over HTTP
    #[arg(long = "web.enable-lifecycle", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    web_enable_lifecycle: bool,
    /// Accept remote write; by default exactly when every listen address is a loopback address
    #[arg(long = "web.enable-remote-write-receiver", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    web_enable_remote_write_receiver: Option<bool>,
    /// Origins whose pages may read the API, as a regular expression
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*", value_parser = parse_regex)]
    web_cors_origin: Regex,
    /// Names under which the HTTP API may be asked, besides addresses, localhost, this machine's name and that of
    /// --web.external-url; *.NAME for all below one, * for any; repeatable. Always checked on loopback addresses, and
    /// on others where this is given
    #[arg(long = "web.allowed-hosts", value_name = "NAME", value_delimiter = ',', value_parser = parse_host)]
    web_allowed_hosts: Vec<String>,
    /// Connections at once
    #[arg(long = "web.max-connections", value_name = "N", default_value = "512", value_parser = parse_count)]
    web_max_connections: usize,
    /// Memory that request bodies may take together; requests that find none are refused with 503
    #[arg(long = "web.body-bytes", value_name = "SIZE", default_value = "256MB", value_parser = parse_size)]
    web_body_bytes: usize,
    /// How long a request may take to arrive, and a connection may be idle
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    web_read_timeout: Duration,

    /// Address to serve the Postgres protocol on
    #[arg(long = "pg.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9432")]
    pg_listen_address: String,

    /// Where everything is kept: a folder, or s3://bucket/prefix
    #[arg(long = "storage.url", value_name = "URL", default_value = "./data")]
    storage_url: String,
    /// A folder, as Prometheus names it; the same as --storage.url with a folder
    #[arg(long = "storage.tsdb.path", value_name = "DIR", conflicts_with = "storage_url")]
    storage_tsdb_path: Option<String>,
    /// Name of this process' write-ahead log; no two processes may use one
    #[arg(long = "storage.node", value_name = "NAME", default_value = "main")]
    storage_node: String,
    /// Shortest time between two writes of the write-ahead log; by default 0s in a folder and 1s in a bucket
    #[arg(long = "storage.wal.flush-interval", value_name = "DURATION", value_parser = parse_duration)]
    storage_wal_flush_interval: Option<Duration>,
    /// How often samples in memory become files of the lake
    #[arg(long = "storage.flush-interval", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    storage_flush_interval: Duration,
    /// Samples in memory become files earlier when they take more than this
    #[arg(long = "storage.flush-bytes", value_name = "SIZE", default_value = "48MB", value_parser = parse_size)]
    storage_flush_bytes: usize,
    /// How much memory the samples of the newest files may take, packed, so that queries need not read them
    #[arg(long = "storage.cache-bytes", value_name = "SIZE", default_value = "128MB", value_parser = parse_size)]
    storage_cache_bytes: usize,

    /// Longest time a query may take
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    query_timeout: Duration,
    /// Most samples one query may hold in memory at a time
    #[arg(long = "query.max-samples", value_name = "N", default_value = "50000000", value_parser = parse_count)]
    query_max_samples: usize,
    /// Queries at once; more of them wait
    #[arg(long = "query.max-concurrency", value_name = "N", default_value = "20", value_parser = parse_count)]
    query_max_concurrency: usize,
    /// How old the newest sample of a series may be to count as its value
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    query_lookback_delta: Duration,
    /// Memory of all queries together
    #[arg(long = "query.memory-bytes", value_name = "SIZE", default_value = "1GB", value_parser = parse_size)]
    query_memory_bytes: usize,

    /// Features of Prometheus that are off by default, separated by commas; repeatable
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',')]
    enable_feature: Vec<String>,

    /// debug, info, warn or error
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", value_parser = ["debug", "info", "warn", "error"])]
    log_level: String,
    /// logfmt or json
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", value_parser = ["logfmt", "json"])]
    log_format: String,
}

/// All flags and the text of their values, given or default; for `/api/v1/status/flags`.
pub fn as_given(command: &clap::Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let text = |id: &str| {
        let values = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
        values.map(|v| v.to_string_lossy()).collect::<Vec<_>>().join(",")
    };
    let server_flags = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg.get_id().as_str())));
    let named = server_flags.filter(|(long, _)| !matches!(*long, "help" | "version"));
    named.map(|(long, id)| (long.to_string(), app::without_secrets(&text(id)))).collect()
}

impl Serve {
    pub fn into_settings(self, flags: Vec<(String, String)>) -> Result<app::Settings> {
        let features = self.features()?;
        let route_prefix = self.route_prefix();
        let url = match self.storage_tsdb_path {
            Some(path) if path.contains("://") => {
                return Err(Error::bad_input(format!(
                    "--storage.tsdb.path names a folder, not {path:?}: use --storage.url for a bucket"
                )));
            }
            Some(path) => path,
            None => self.storage_url,
        };
        Ok(app::Settings {
            config_file: self.config_file,
            web: app::WebSettings {
                listen_addresses: self.web_listen_address,
                external_url: self.web_external_url,
                route_prefix,
                lifecycle: self.web_enable_lifecycle,
                remote_write: self.web_enable_remote_write_receiver,
                cors_origin: self.web_cors_origin,
                allowed_hosts: self.web_allowed_hosts,
                body_bytes: self.web_body_bytes,
                max_connections: self.web_max_connections,
                read_timeout: self.web_read_timeout,
                flags,
            },
            pg_listen_address: self.pg_listen_address,
            storage: store::Options {
                url,
                node: self.storage_node,
                wal_flush_interval: self.storage_wal_flush_interval,
                flush_interval: self.storage_flush_interval,
                flush_bytes: self.storage_flush_bytes,
                cache_bytes: self.storage_cache_bytes,
                // From the configuration file, which the composition root reads.
                out_of_order_window_ms: 0,
            },
            engine: EngineOptions {
                lookback_delta_ms: self.query_lookback_delta.as_millis() as i64,
                // The composition root puts the file's evaluation interval here.
                default_subquery_step_ms: 60_000,
                timeout: self.query_timeout,
                max_samples: self.query_max_samples,
                max_concurrency: self.query_max_concurrency,
                memory_bytes: self.query_memory_bytes,
                features,
            },
            log_level: self.log_level,
            log_format: if self.log_format == "json" { logs::Format::Json } else { logs::Format::Logfmt },
        })
    }

    fn features(&self) -> Result<Features> {
        // On without a flag since 3.14.
        let mut features = Features { duration_expressions: true, ..Features::default() };
        for name in self.enable_feature.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
            match name {
                "promql-experimental-functions" => features.experimental_functions = true,
                "promql-duration-expr" => features.duration_expressions = true,
                "promql-extended-range-selectors" => features.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => features.binop_fill_modifiers = true,
                "promql-delayed-name-removal" => features.delayed_name_removal = true,
                "use-start-timestamps" => features.use_start_timestamps = true,
                "type-and-unit-labels" => features.type_and_unit_labels = true,
                known if unsupported::FEATURES.contains(&known) => {
                    return Err(Error::unsupported(format!(
                        "--enable-feature={known}: this feature of Prometheus is not supported yet"
                    )));
                }
                unknown => {
                    return Err(Error::bad_input(format!("--enable-feature={unknown}: there is no such feature")));
                }
            }
        }
        Ok(features)
    }

    /// Empty, or with a slash in front and none at the end.
    fn route_prefix(&self) -> String {
        let from_url = || self.web_external_url.as_ref().map(|url| url.path().to_string());
        let prefix = self.web_route_prefix.clone().or_else(from_url).unwrap_or_default();
        match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("/{prefix}"),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map(|ms| Duration::from_millis(ms.unsigned_abs())).map_err(|e| e.message)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text).map_err(|e| e.message)?;
    usize::try_from(bytes).map_err(|_| "larger than the address space".to_string())
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number above zero".into()),
        Ok(count) => Ok(count),
    }
}

/// A host's name, without what else a URL has.
fn parse_host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = text.strip_prefix("*.").unwrap_or(text);
    let valid =
        text == "*" || !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "/:*@,".contains(c));
    if valid { Ok(text.to_string()) } else { Err("expected a name without scheme and port, *.NAME or *".into()) }
}

fn parse_regex(text: &str) -> Result<Regex, String> {
    anchored(text).map_err(|e| e.to_string())
}

fn parse_external_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err("expected http:// or https:// and a host".into()),
    }
}
