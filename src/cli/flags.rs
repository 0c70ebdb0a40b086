//! The flags of the server, with Prometheus' names where Prometheus has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Args};
use regex::Regex;
use url::Url;

use crate::app;
use crate::app::budget::{self, Budget, Machine};
use crate::cli::unsupported;
use crate::config::size;
use crate::engine::session::{EngineOptions, Features};
use crate::error::{Error, Result};
use crate::model::duration;
use crate::model::pattern::anchored;
use crate::storage::place::Place;
use crate::storage::store;
use crate::telemetry::logs;

/// More than any machine has cores.
const MAX_THREADS: usize = 4096;
/// Of queries, or connections, at once.
const MAX_AT_ONCE: usize = 1 << 16;

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
    /// Connections at once; by default up to 512, fewer where memory is short
    #[arg(long = "web.max-connections", value_name = "N", value_parser = parse_at_most::<MAX_AT_ONCE>)]
    web_max_connections: Option<usize>,
    /// Memory that request bodies may take together; requests that find none are refused with 503. By default up to 256MB,
    /// less where memory is short
    #[arg(long = "web.body-bytes", value_name = "SIZE", value_parser = parse_size)]
    web_body_bytes: Option<usize>,
    /// How long a request may take to arrive, and a connection may be idle
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    web_read_timeout: Duration,

    /// Address to serve the Postgres protocol on
    #[arg(long = "pg.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9432")]
    pg_listen_address: String,
    /// Postgres connections at once; by default up to 100, fewer where memory is short
    #[arg(long = "pg.max-connections", value_name = "N", value_parser = parse_at_most::<MAX_AT_ONCE>)]
    pg_max_connections: Option<usize>,
    /// Memory that messages of Postgres clients may take together while they arrive; by default a 32nd of the memory limit,
    /// up to 256MB
    #[arg(long = "pg.message-bytes", value_name = "SIZE", value_parser = parse_size)]
    pg_message_bytes: Option<usize>,

    /// Where everything is kept: a folder, or s3://bucket/prefix. In the folder of a Prometheus TSDB, a folder promlake below it
    #[arg(long = "storage.url", value_name = "URL", default_value = "./data")]
    storage_url: String,
    /// The folder of a Prometheus; everything is kept in a folder promlake below it, and what else is there is left alone
    #[arg(long = "storage.tsdb.path", value_name = "DIR", conflicts_with = "storage_url")]
    storage_tsdb_path: Option<String>,
    /// Name of this process' write-ahead log; no two processes may use one
    #[arg(long = "storage.node", value_name = "NAME", default_value = "main")]
    storage_node: String,
    /// Shortest time between two writes of the write-ahead log; by default 0s in a folder and 1s in a bucket
    #[arg(long = "storage.wal.flush-interval", value_name = "DURATION", value_parser = parse_duration)]
    storage_wal_flush_interval: Option<Duration>,
    /// Start although objects of the write-ahead log are damaged or missing; what is damaged is kept in quarantine
    #[arg(long = "storage.wal.skip-damaged", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    storage_wal_skip_damaged: bool,
    /// How often samples in memory become files of the lake
    #[arg(long = "storage.flush-interval", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    storage_flush_interval: Duration,
    /// Samples in memory become files earlier when they take more than this, and new ones wait when they take four times as
    /// much; by default a 64th of the memory limit, up to 48MB
    #[arg(long = "storage.flush-bytes", value_name = "SIZE", value_parser = parse_size)]
    storage_flush_bytes: Option<usize>,
    /// How much memory the samples of the newest files may take, packed, so that queries need not read them; by default a 16th
    /// of the memory limit up to 128MB, or a 64th if that is more
    #[arg(long = "storage.cache-bytes", value_name = "SIZE", value_parser = parse_size)]
    storage_cache_bytes: Option<usize>,
    /// Rows that wait for the write-ahead log; by default a 32nd of the memory limit, up to 64MB
    #[arg(long = "storage.wal.queue-bytes", value_name = "SIZE", value_parser = parse_queue_size)]
    storage_wal_queue_bytes: Option<usize>,
    /// Scrapes that wait while the write-ahead log cannot be written; by default a 32nd of the memory limit up to 256MB, or a
    /// 64th if that is more
    #[arg(long = "storage.wal.buffer-bytes", value_name = "SIZE", value_parser = parse_size)]
    storage_wal_buffer_bytes: Option<usize>,
    /// How much memory the series lists of past days may take; by default a 32nd of the memory limit, up to 256MB
    #[arg(long = "storage.index-bytes", value_name = "SIZE", value_parser = parse_size)]
    storage_index_bytes: Option<usize>,

    /// Longest time a query may take
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    query_timeout: Duration,
    /// Most samples one query may hold in memory at a time
    #[arg(long = "query.max-samples", value_name = "N", default_value = "50000000", value_parser = parse_count)]
    query_max_samples: usize,
    /// Queries at once; more of them wait
    #[arg(long = "query.max-concurrency", value_name = "N", default_value = "20", value_parser = parse_at_most::<MAX_AT_ONCE>)]
    query_max_concurrency: usize,
    /// How old the newest sample of a series may be to count as its value
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    query_lookback_delta: Duration,
    /// Memory of all queries together; by default a quarter of the memory limit up to 1GB, or an eighth if that is more
    #[arg(long = "query.memory-bytes", value_name = "SIZE", value_parser = parse_size)]
    query_memory_bytes: Option<usize>,
    /// The part of it that each sort keeps aside to merge what it had to write to disk; by default up to 10MB
    #[arg(long = "query.spill-bytes", value_name = "SIZE", value_parser = parse_size)]
    query_spill_bytes: Option<usize>,
    /// What queries that do not fit into memory may write to temporary files (in TMPDIR), all together
    #[arg(long = "query.disk-bytes", value_name = "SIZE", default_value = "10GB", value_parser = parse_size)]
    query_disk_bytes: usize,
    /// How much memory the footers of the files that were read may take, so that they are read once; by default a 64th of the
    /// memory limit, up to 64MB
    #[arg(long = "query.footer-bytes", value_name = "SIZE", value_parser = parse_size)]
    query_footer_bytes: Option<usize>,

    /// Threads that serve, and as many again that run queries; by default the cores that the process may use, fewer where
    /// memory is short
    #[arg(long = "runtime.threads", value_name = "N", value_parser = parse_at_most::<MAX_THREADS>)]
    runtime_threads: Option<usize>,

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
    /// `flags` are all flags as given, see [`as_given`]. Looks into the folder that is named, and changes nothing.
    pub fn into_settings(self, mut flags: Vec<(String, String)>, machine: Machine) -> Result<app::Settings> {
        let features = self.features()?;
        let route_prefix = self.route_prefix();
        let place = match &self.storage_tsdb_path {
            Some(path) => Place::of_tsdb_path(path)?,
            None => Place::of_url(&self.storage_url)?,
        };
        let budget = self.budget(machine);
        fill_in(&mut flags, &budget);
        Ok(app::Settings {
            config_file: self.config_file.or_else(config_file_here),
            web: app::WebSettings {
                listen_addresses: self.web_listen_address,
                external_url: self.web_external_url,
                route_prefix,
                lifecycle: self.web_enable_lifecycle,
                remote_write: self.web_enable_remote_write_receiver,
                cors_origin: self.web_cors_origin,
                allowed_hosts: self.web_allowed_hosts,
                body_bytes: budget.body_bytes,
                max_connections: budget.web_connections,
                read_timeout: self.web_read_timeout,
                flags,
            },
            pg_listen_address: self.pg_listen_address,
            pg_max_connections: budget.pg_connections,
            storage: store::Options {
                url: place.url.clone(),
                node: self.storage_node,
                skip_damaged: self.storage_wal_skip_damaged,
                wal_flush_interval: self.storage_wal_flush_interval,
                flush_interval: self.storage_flush_interval,
                flush_bytes: budget.flush_bytes,
                cache_bytes: budget.cache_bytes,
                queue_bytes: budget.queue_bytes,
                wal_buffer_bytes: budget.wal_buffer_bytes,
                index_bytes: budget.index_bytes,
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
                memory_bytes: budget.pool_bytes,
                spill_bytes: budget.spill_bytes,
                footer_bytes: budget.footer_bytes,
                disk_bytes: self.query_disk_bytes as u64,
                threads: budget.threads,
                features,
            },
            place,
            machine,
            budget,
            log_level: self.log_level,
            log_format: if self.log_format == "json" { logs::Format::Json } else { logs::Format::Logfmt },
        })
    }

    /// The shares of the machine, save what a flag says.
    fn budget(&self, machine: Machine) -> Budget {
        let share = budget::of(machine);
        Budget {
            pool_bytes: self.query_memory_bytes.unwrap_or(share.pool_bytes),
            spill_bytes: self.query_spill_bytes.unwrap_or(share.spill_bytes),
            footer_bytes: self.query_footer_bytes.unwrap_or(share.footer_bytes),
            cache_bytes: self.storage_cache_bytes.unwrap_or(share.cache_bytes),
            flush_bytes: self.storage_flush_bytes.unwrap_or(share.flush_bytes),
            queue_bytes: self.storage_wal_queue_bytes.unwrap_or(share.queue_bytes),
            wal_buffer_bytes: self.storage_wal_buffer_bytes.unwrap_or(share.wal_buffer_bytes),
            index_bytes: self.storage_index_bytes.unwrap_or(share.index_bytes),
            body_bytes: self.web_body_bytes.unwrap_or(share.body_bytes),
            message_bytes: self.pg_message_bytes.unwrap_or(share.message_bytes),
            web_connections: self.web_max_connections.unwrap_or(share.web_connections),
            pg_connections: self.pg_max_connections.unwrap_or(share.pg_connections),
            threads: self.runtime_threads.unwrap_or(share.threads),
        }
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

/// As Prometheus does without a flag, but that there may be none.
fn config_file_here() -> Option<PathBuf> {
    let here = PathBuf::from("prometheus.yml");
    here.is_file().then_some(here)
}

/// Puts what the budget says where no flag did, so that all flags are shown with the values in force.
fn fill_in(flags: &mut [(String, String)], budget: &Budget) {
    let size = |bytes: usize| size::format(bytes as u64);
    for (name, value) in flags.iter_mut().filter(|(_, value)| value.is_empty()) {
        *value = match name.as_str() {
            "query.memory-bytes" => size(budget.pool_bytes),
            "query.spill-bytes" => size(budget.spill_bytes),
            "query.footer-bytes" => size(budget.footer_bytes),
            "storage.cache-bytes" => size(budget.cache_bytes),
            "storage.flush-bytes" => size(budget.flush_bytes),
            "storage.wal.queue-bytes" => size(budget.queue_bytes),
            "storage.wal.buffer-bytes" => size(budget.wal_buffer_bytes),
            "storage.index-bytes" => size(budget.index_bytes),
            "web.body-bytes" => size(budget.body_bytes),
            "pg.message-bytes" => size(budget.message_bytes),
            "web.max-connections" => budget.web_connections.to_string(),
            "pg.max-connections" => budget.pg_connections.to_string(),
            "runtime.threads" => budget.threads.to_string(),
            _ => continue,
        };
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map(|ms| Duration::from_millis(ms.unsigned_abs())).map_err(|e| e.message)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text).map_err(|e| e.message)?;
    usize::try_from(bytes).map_err(|_| "larger than the address space".to_string())
}

fn parse_queue_size(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        bytes if (1..=store::MAX_QUEUE_BYTES).contains(&bytes) => Ok(bytes),
        _ => Err(format!("expected a size of up to {}, and not 0", size::format(store::MAX_QUEUE_BYTES as u64))),
    }
}

/// Of what there is memory for each.
fn parse_at_most<const MOST: usize>(text: &str) -> Result<usize, String> {
    match parse_count(text)? {
        count if count <= MOST => Ok(count),
        _ => Err(format!("expected at most {MOST}")),
    }
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
