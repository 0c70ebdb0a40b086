//! The flags of the server, with Prometheus' names where Prometheus has them.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use regex::Regex;

use crate::app;
use crate::app::budget::{self, Budget, Machine};
use crate::app::external_url::{self, ExternalUrl};
use crate::cli::accepted::Accepted;
use crate::cli::{features, values};
use crate::config::file::Options;
use crate::config::size;
use crate::config::storage::Retention;
use crate::engine::session::EngineOptions;
use crate::error::{Error, Result};
use crate::forward::forwarder;
use crate::forward::remote::Behind;
use crate::ingest::remote_write::negotiate::Message;
use crate::notify::options;
use crate::rules::environment;
use crate::server::http::server::{RemoteReadLimits, SearchLimits};
use crate::storage::place::Place;
use crate::storage::store;
use crate::telemetry::logs;

/// Where the lake is, unless something is said.
const DEFAULT_URL: &str = "./data";
/// More than any machine has cores.
const MAX_THREADS: usize = 4096;
/// Of queries, or connections, at once.
const MAX_AT_ONCE: usize = 1 << 16;
/// Alerts that wait for an Alertmanager, and those of a request. Much more is asked for by mistake.
const MAX_QUEUED_ALERTS: usize = 1_000_000;
const MAX_ALERTS_AT_ONCE: usize = 10_000;
/// Between two looks at the configuration file.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct Serve {
    /// Prometheus configuration file; without one, promlake scrapes itself
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Read the configuration anew when it changes, or a file of rules or scrape configurations that it names
    #[arg(long = "config.auto-reload", num_args = 0..=1, require_equals = true, default_value = "false")]
    config_auto_reload: bool,
    /// How often to look for such a change; at least a second
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    config_auto_reload_interval: Duration,

    /// Address to serve Prometheus' HTTP API on; repeatable
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    web_listen_address: Vec<String>,
    /// File with TLS, users and headers, for HTTP and Postgres; in the format of Prometheus
    #[arg(long = "web.config.file", value_name = "FILE", default_value = "")]
    web_config_file: String,
    /// URL, or path alone, under which users reach the server, for links and redirects
    #[arg(long = "web.external-url", value_name = "URL", default_value = "")]
    web_external_url: String,
    /// Prefix of all paths; by default the path of --web.external-url
    #[arg(long = "web.route-prefix", value_name = "PATH", default_value = "")]
    web_route_prefix: String,
    /// Title of the page for people
    #[arg(long = "web.page-title", value_name = "TITLE", default_value = "promlake")]
    web_page_title: String,
    /// Folder of files to serve at /user
    #[arg(long = "web.user-assets", value_name = "DIR", default_value = "")]
    web_user_assets: String,
    /// Allow reloading and stopping over HTTP
    #[arg(long = "web.enable-lifecycle", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    web_enable_lifecycle: bool,
    /// Allow what the admin API does, as far as it is built
    #[arg(long = "web.enable-admin-api", num_args = 0..=1, require_equals = true, default_value = "false")]
    web_enable_admin_api: bool,
    /// Accept remote write; by default exactly when every listen address is a loopback address
    #[arg(long = "web.enable-remote-write-receiver", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    web_enable_remote_write_receiver: Option<bool>,
    /// Accept OTLP metrics at /api/v1/otlp/v1/metrics
    #[arg(long = "web.enable-otlp-receiver", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    web_enable_otlp_receiver: bool,
    /// Messages of remote write to accept: prometheus.WriteRequest (1.0), io.prometheus.write.v2.Request (2.0); repeatable, by
    /// default both
    #[arg(long = "web.remote-write-receiver.accepted-protobuf-messages", value_name = "MESSAGE", default_values_t = Message::ALL)]
    web_remote_write_messages: Vec<Message>,
    /// Origins whose pages may read the API, as a regular expression
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*", value_parser = values::regex)]
    web_cors_origin: Regex,
    /// Names under which the HTTP API may be asked, besides addresses, localhost, this machine's name and that of
    /// --web.external-url; *.NAME for all below one, * for any; repeatable. Always checked on loopback addresses, and
    /// on others where this is given
    #[arg(long = "web.allowed-hosts", value_name = "NAME", value_delimiter = ',', value_parser = values::host)]
    web_allowed_hosts: Vec<String>,
    /// Connections at once; by default up to 512, fewer where memory is short
    #[arg(long = "web.max-connections", value_name = "N", value_parser = values::at_most::<MAX_AT_ONCE>)]
    web_max_connections: Option<usize>,
    /// Who may listen to live notifications at a time; others are answered with 204
    #[arg(long = "web.max-notifications-subscribers", value_name = "N", default_value = "16", value_parser = values::non_negative)]
    web_max_notifications_subscribers: usize,
    /// Results of a search at most, with --enable-feature=search-api; 0 for any number
    #[arg(long = "web.search.max-limit", value_name = "N", default_value = "10000", value_parser = values::non_negative)]
    web_search_max_limit: usize,
    /// Memory that request bodies may take together; requests that find none are refused with 503. By default up to 256MB,
    /// less where memory is short
    #[arg(long = "web.body-bytes", value_name = "SIZE", value_parser = values::memory)]
    web_body_bytes: Option<usize>,
    /// How long a request may take to arrive, and a connection may be idle
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    web_read_timeout: Duration,

    /// Address to serve the Postgres protocol on
    #[arg(long = "pg.listen-address", value_name = "HOST:PORT", default_value = "127.0.0.1:9432")]
    pg_listen_address: String,
    /// Allow INSERT INTO a metric, to whoever may connect. Without it SQL only reads
    #[arg(long = "pg.enable-writes", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    pg_enable_writes: bool,
    /// Postgres connections at once; by default up to 100, fewer where memory is short
    #[arg(long = "pg.max-connections", value_name = "N", value_parser = values::at_most::<MAX_AT_ONCE>)]
    pg_max_connections: Option<usize>,
    /// Memory that messages of Postgres clients may take together while they arrive; by default a 32nd of the memory limit,
    /// up to 256MB
    #[arg(long = "pg.message-bytes", value_name = "SIZE", value_parser = values::memory)]
    pg_message_bytes: Option<usize>,

    /// Where everything is kept: a folder, by default ./data, or s3://bucket/prefix. In the folder of a Prometheus TSDB, a folder
    /// promlake below it
    #[arg(long = "storage.url", value_name = "URL")]
    storage_url: Option<String>,
    /// The folder of a Prometheus; everything is kept in a folder promlake below it, and what else is there is left alone
    #[arg(long = "storage.tsdb.path", value_name = "DIR", conflicts_with = "storage_url")]
    storage_tsdb_path: Option<String>,
    /// How long samples are kept; not enforced yet. `storage.tsdb.retention` of the configuration file comes first
    #[arg(long = "storage.tsdb.retention.time", value_name = "DURATION", default_value = "0s", value_parser = values::duration)]
    storage_tsdb_retention_time: Duration,
    /// How much is kept; not enforced yet. `storage.tsdb.retention` of the configuration file comes first
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE", default_value = "0B", value_parser = values::size)]
    storage_tsdb_retention_size: u64,
    /// In agent mode and without --storage.url, the folder; everything is in a folder promlake below it, and what else is there is
    /// left alone
    #[arg(
        long = "storage.agent.path",
        value_name = "DIR",
        default_value = "data-agent/",
        conflicts_with = "storage_url"
    )]
    storage_agent_path: String,
    /// In agent mode, how long samples are kept for remotes that do not take them
    #[arg(long = "storage.agent.retention.max-time", value_name = "DURATION", default_value = "4h", value_parser = values::duration)]
    storage_agent_retention_max_time: Duration,
    /// Name of this process' write-ahead log; no two processes may use one
    #[arg(long = "storage.node", value_name = "NAME", default_value = "main")]
    storage_node: String,
    /// Shortest time between two writes of the write-ahead log; by default 1s in a bucket and 0s in a folder, where scrapes and rules still gather for 250ms; 0s: nothing waits
    #[arg(long = "storage.wal.flush-interval", value_name = "DURATION", value_parser = values::duration)]
    storage_wal_flush_interval: Option<Duration>,
    /// Start although objects of the write-ahead log are damaged or missing; what is damaged is kept in quarantine
    #[arg(long = "storage.wal.skip-damaged", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    storage_wal_skip_damaged: bool,
    /// Refuse samples of scrapes and remote writes that are older than this; by default they may be of any age, as those of
    /// imports always may
    #[arg(long = "storage.max-age", value_name = "DURATION", value_parser = values::duration)]
    storage_max_age: Option<Duration>,
    /// How often samples in memory become files of the lake
    #[arg(long = "storage.flush-interval", value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    storage_flush_interval: Duration,
    /// Samples in memory become files earlier when they take more than this, and new ones wait when they take four times as
    /// much; by default a 64th of the memory limit, up to 48MB
    #[arg(long = "storage.flush-bytes", value_name = "SIZE", value_parser = values::memory)]
    storage_flush_bytes: Option<usize>,
    /// How much memory the samples of the newest files may take, packed, so that queries need not read them; by default a 16th
    /// of the memory limit up to 128MB, or a 64th if that is more
    #[arg(long = "storage.cache-bytes", value_name = "SIZE", value_parser = values::memory)]
    storage_cache_bytes: Option<usize>,
    /// Rows that wait for the write-ahead log; by default a 32nd of the memory limit, up to 64MB
    #[arg(long = "storage.wal.queue-bytes", value_name = "SIZE", value_parser = values::queue_memory)]
    storage_wal_queue_bytes: Option<usize>,
    /// Scrapes that wait while the write-ahead log cannot be written; by default a 32nd of the memory limit up to 256MB, or a
    /// 64th if that is more
    #[arg(long = "storage.wal.buffer-bytes", value_name = "SIZE", value_parser = values::memory)]
    storage_wal_buffer_bytes: Option<usize>,
    /// How much of the write-ahead log is kept for remotes that lag, beyond what the lake lacks
    #[arg(long = "storage.wal.retain-bytes", value_name = "SIZE", default_value = "4GB", value_parser = values::memory)]
    storage_wal_retain_bytes: usize,
    /// What becomes of the rest of a remote that lags by more: reread, the default, finds it in the lake, by time; drop goes on
    /// without it, and is all that an agent can do
    #[arg(long = "storage.remote.when-behind", value_name = "WHAT", value_parser = ["reread", "drop"])]
    storage_remote_when_behind: Option<String>,
    /// How long a remote that a reload takes away, or a stop, may go on with what was read for it
    #[arg(long = "storage.remote.flush-deadline", value_name = "DURATION", default_value = "1m", value_parser = values::duration)]
    storage_remote_flush_deadline: Duration,
    /// Samples on their way to remotes; by default a 32nd of the memory limit, up to 256MB
    #[arg(long = "storage.remote.buffer-bytes", value_name = "SIZE", value_parser = values::memory)]
    storage_remote_buffer_bytes: Option<usize>,
    /// How much memory the series lists of past days may take; by default a 32nd of the memory limit, up to 256MB
    #[arg(long = "storage.index-bytes", value_name = "SIZE", value_parser = values::memory)]
    storage_index_bytes: Option<usize>,

    /// Stamp scrapes with the time they were due at, where they are close enough to it
    #[arg(long = "scrape.adjust-timestamps", num_args = 0..=1, require_equals = true, default_value = "true")]
    scrape_adjust_timestamps: bool,
    /// How close is close enough; at most a hundredth of the interval
    #[arg(long = "scrape.timestamp-tolerance", value_name = "DURATION", default_value = "2ms", value_parser = values::go_duration_ms)]
    scrape_timestamp_tolerance: f64,
    /// Shortest time between two changes of the targets that discovery finds
    #[arg(long = "scrape.discovery-reload-interval", value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    scrape_discovery_reload_interval: Duration,

    /// Most samples that a query of a remote read request may answer with where they are sent raw; 0 for any number
    #[arg(long = "storage.remote.read-sample-limit", value_name = "N", default_value = "50000000", value_parser = values::non_negative)]
    storage_remote_read_sample_limit: usize,
    /// Remote read requests at once, more of them wait; 0 for any number
    #[arg(long = "storage.remote.read-concurrent-limit", value_name = "N", default_value = "10", value_parser = values::non_negative)]
    storage_remote_read_concurrent_limit: usize,
    /// Most bytes of a frame of a streamed remote read answer, but for its last chunk
    #[arg(long = "storage.remote.read-max-bytes-in-frame", value_name = "N", default_value = "1048576", value_parser = values::non_negative)]
    storage_remote_read_max_bytes_in_frame: usize,

    /// Alerts that may wait for an Alertmanager; beyond that the oldest are dropped
    #[arg(long = "alertmanager.notification-queue-capacity", value_name = "N", default_value = "10000", value_parser = values::at_most::<MAX_QUEUED_ALERTS>)]
    alertmanager_notification_queue_capacity: usize,
    /// Most alerts of a request to an Alertmanager
    #[arg(long = "alertmanager.notification-batch-size", value_name = "N", default_value = "256", value_parser = values::at_most::<MAX_ALERTS_AT_ONCE>)]
    alertmanager_notification_batch_size: usize,
    /// Send the alerts that wait before the server stops, for a while
    #[arg(long = "alertmanager.drain-notification-queue-on-shutdown", num_args = 0..=1, require_equals = true, default_value = "true")]
    alertmanager_drain_notification_queue_on_shutdown: bool,

    /// Longest time a query may take
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = values::duration)]
    query_timeout: Duration,
    /// Most samples one query may hold in memory at a time
    #[arg(long = "query.max-samples", value_name = "N", default_value = "50000000", value_parser = values::count)]
    query_max_samples: usize,
    /// Queries at once; more of them wait
    #[arg(long = "query.max-concurrency", value_name = "N", default_value = "20", value_parser = values::at_most::<MAX_AT_ONCE>)]
    query_max_concurrency: usize,
    /// How old the newest sample of a series may be to count as its value
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    query_lookback_delta: Duration,
    /// Memory of all queries together; by default a quarter of the memory limit up to 1GB, or an eighth if that is more
    #[arg(long = "query.memory-bytes", value_name = "SIZE", value_parser = values::memory)]
    query_memory_bytes: Option<usize>,
    /// The part of it that each sort keeps aside to merge what it had to write to disk; by default up to 10MB
    #[arg(long = "query.spill-bytes", value_name = "SIZE", value_parser = values::memory)]
    query_spill_bytes: Option<usize>,
    /// What queries that do not fit into memory may write to temporary files (in TMPDIR), all together
    #[arg(long = "query.disk-bytes", value_name = "SIZE", default_value = "10GB", value_parser = values::memory)]
    query_disk_bytes: usize,
    /// How much memory the footers of the files that were read may take, so that they are read once; by default a 64th of the
    /// memory limit, up to 64MB
    #[arg(long = "query.footer-bytes", value_name = "SIZE", value_parser = values::memory)]
    query_footer_bytes: Option<usize>,

    /// Threads that serve, and as many again that run queries; by default the cores that the process may use, fewer where
    /// memory is short
    #[arg(long = "runtime.threads", value_name = "N", value_parser = values::at_most::<MAX_THREADS>)]
    runtime_threads: Option<usize>,

    /// How long ago an alert may have been active to go on waiting after a restart
    #[arg(long = "rules.alert.for-outage-tolerance", value_name = "DURATION", default_value = "1h", value_parser = values::duration)]
    rules_alert_for_outage_tolerance: Duration,
    /// Alerts with a `for` below this begin anew after a restart; all others that waited wait at least this long then
    #[arg(long = "rules.alert.for-grace-period", value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    rules_alert_for_grace_period: Duration,
    /// How long an alert that fires need not be told Alertmanagers again
    #[arg(long = "rules.alert.resend-delay", value_name = "DURATION", default_value = "1m", value_parser = values::duration)]
    rules_alert_resend_delay: Duration,
    /// Rules evaluated side by side, of all groups, with --enable-feature=concurrent-rule-eval
    #[arg(long = "rules.max-concurrent-evals", value_name = "N", default_value = "4", value_parser = values::at_most::<MAX_AT_ONCE>)]
    rules_max_concurrent_evals: usize,

    /// Features of Prometheus that are off by default, separated by commas; repeatable
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',')]
    enable_feature: Vec<String>,

    /// Only scrape and receive, and send it on: nothing is kept, and nothing can be asked. Needs `remote_write`
    #[arg(long = "agent", num_args = 0..=1, require_equals = true, default_value = "false")]
    agent: bool,
    #[command(flatten)]
    accepted: Accepted,

    /// debug, info, warn or error
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", value_parser = values::level)]
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
        let chosen = features::choose(&self.enable_feature)?;
        let (external_url, route_prefix) = self.urls()?;
        let shown = external_url::decoded(&route_prefix).expect("it was encoded by us");
        set(&mut flags, "web.route-prefix", &format!("/{}", shown.trim_start_matches('/')));
        let retention = Retention {
            time_ms: self.storage_tsdb_retention_time.as_millis() as u64,
            bytes: self.storage_tsdb_retention_size,
            percentage: 0.0,
        };
        let mut notes = chosen.notes;
        notes.extend(self.accepted.notes());
        let tolerance_ms = if self.scrape_adjust_timestamps { self.scrape_timestamp_tolerance as i64 } else { 0 };
        if self.agent && self.storage_remote_when_behind.as_deref() == Some("reread") {
            return Err(Error::bad_input(
                "--storage.remote.when-behind=reread: an agent has no lake to read again",
            ));
        }
        let place = match &self.storage_tsdb_path {
            Some(path) => Place::of_tsdb_path(path)?,
            None => match &self.storage_url {
                None if self.agent => Place::of_agent_path(&self.storage_agent_path)?,
                url => Place::of_url(url.as_deref().unwrap_or(DEFAULT_URL))?,
            },
        };
        let budget = self.budget(machine);
        fill_in(&mut flags, &budget);
        Ok(app::Settings {
            config_file: self.config_file.or_else(config_file_here),
            config_options: Options { agent: self.agent, extra_scrape_metrics: chosen.extra_scrape_metrics },
            auto_reload: (self.config_auto_reload || chosen.auto_reload)
                .then(|| self.config_auto_reload_interval.max(MIN_RELOAD_INTERVAL)),
            retention,
            scrape: app::ScrapeSettings {
                features: chosen.scrape,
                timestamp_tolerance_ms: tolerance_ms,
                discovery_reload_interval: self.scrape_discovery_reload_interval,
            },
            notes,
            web: app::WebSettings {
                config_file: (!self.web_config_file.is_empty()).then(|| PathBuf::from(self.web_config_file)),
                listen_addresses: self.web_listen_address,
                external_url,
                route_prefix,
                page_title: self.web_page_title,
                user_assets: Some(PathBuf::from(self.web_user_assets)).filter(|path| !path.as_os_str().is_empty()),
                admin_api: self.web_enable_admin_api,
                lifecycle: self.web_enable_lifecycle,
                remote_write: self.web_enable_remote_write_receiver,
                otlp: self.web_enable_otlp_receiver,
                otlp_delta: chosen.otlp_delta,
                remote_read: RemoteReadLimits {
                    sample_limit: self.storage_remote_read_sample_limit,
                    concurrent: self.storage_remote_read_concurrent_limit.min(MAX_AT_ONCE),
                    max_bytes_in_frame: self.storage_remote_read_max_bytes_in_frame,
                },
                search: chosen.search.then_some(SearchLimits { max_limit: self.web_search_max_limit }),
                max_notifications_subscribers: self.web_max_notifications_subscribers.min(MAX_AT_ONCE),
                remote_write_messages: self.web_remote_write_messages,
                cors_origin: self.web_cors_origin,
                allowed_hosts: self.web_allowed_hosts,
                body_bytes: budget.body_bytes,
                max_connections: budget.web_connections,
                read_timeout: self.web_read_timeout,
                flags,
            },
            pg_listen_address: self.pg_listen_address,
            pg_max_connections: budget.pg_connections,
            pg_writes: self.pg_enable_writes,
            // 0 is Prometheus' way to say that there is no limit.
            max_age: self.storage_max_age.filter(|max_age| !max_age.is_zero()),
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
                wal_retain_bytes: self.storage_wal_retain_bytes,
                log_only: self.agent.then_some(self.storage_agent_retention_max_time),
                recent_bytes: budget.recent_bytes(),
                index_bytes: budget.index_bytes,
                // From the configuration file, which the composition root reads.
                out_of_order_window_ms: 0,
            },
            forward: forwarder::Options {
                flush_deadline: self.storage_remote_flush_deadline,
                memory_bytes: budget.forward_bytes - budget.recent_bytes(),
                behind: match self.storage_remote_when_behind.as_deref() {
                    Some("drop") => Behind::Drop,
                    // Without a lake there is nothing to read again.
                    None if self.agent => Behind::Drop,
                    _ => Behind::Reread,
                },
            },
            rules: environment::Options {
                outage_tolerance: self.rules_alert_for_outage_tolerance,
                grace_period: self.rules_alert_for_grace_period,
                resend_delay: self.rules_alert_resend_delay,
                concurrent: chosen.concurrent_rules.then_some(self.rules_max_concurrent_evals),
            },
            notify: options::Options {
                queue_capacity: self.alertmanager_notification_queue_capacity,
                batch_size: self.alertmanager_notification_batch_size,
                drain_on_shutdown: self.alertmanager_drain_notification_queue_on_shutdown,
                ..options::Options::default()
            },
            engine: EngineOptions {
                lookback_delta_ms: self.query_lookback_delta.as_millis() as i64,
                timeout: self.query_timeout,
                max_samples: self.query_max_samples,
                max_concurrency: self.query_max_concurrency,
                memory_bytes: budget.pool_bytes,
                spill_bytes: budget.spill_bytes,
                footer_bytes: budget.footer_bytes,
                disk_bytes: self.query_disk_bytes as u64,
                threads: budget.threads,
                features: chosen.promql,
                // From the configuration file, which the composition root reads.
                ..EngineOptions::default()
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
            forward_bytes: self.storage_remote_buffer_bytes.unwrap_or(share.forward_bytes),
            index_bytes: self.storage_index_bytes.unwrap_or(share.index_bytes),
            body_bytes: self.web_body_bytes.unwrap_or(share.body_bytes),
            message_bytes: self.pg_message_bytes.unwrap_or(share.message_bytes),
            web_connections: self.web_max_connections.unwrap_or(share.web_connections),
            pg_connections: self.pg_max_connections.unwrap_or(share.pg_connections),
            threads: self.runtime_threads.unwrap_or(share.threads),
        }
    }

    /// The URL, and the prefix of routes: empty, or with a slash in front and none at the end; percent-encoded.
    fn urls(&self) -> Result<(Option<ExternalUrl>, String)> {
        let text = &self.web_external_url;
        let url = external_url::parse(text)
            .map_err(|why| Error::bad_input(format!("--web.external-url: parse external URL {text:?}: {why}")))?;
        let prefix = match self.web_route_prefix.as_str() {
            "" => url.as_ref().map(|url| url.path.clone()).unwrap_or_default(),
            given => external_url::prefix(given)
                .map_err(|why| Error::bad_input(format!("--web.route-prefix={given}: {why}")))?,
        };
        Ok((url, prefix))
    }
}

/// Puts a value in the place of what was given.
fn set(flags: &mut [(String, String)], name: &str, value: &str) {
    for (_, shown) in flags.iter_mut().filter(|(flag, _)| flag == name) {
        *shown = value.to_string();
    }
}

/// Flags that Prometheus has for one mode alone.
const SERVER_ONLY: &[&str] =
    &["storage.tsdb.", "storage.remote.read-", "web.search.", "rules.", "alertmanager.", "query."];
const AGENT_ONLY: &str = "storage.agent.";

/// Fails for flags of the other mode, in Prometheus' words.
pub fn check_mode(matches: &ArgMatches, command: &clap::Command) -> Result<()> {
    let is_given = |arg: &&clap::Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let given = command.get_arguments().filter(is_given).filter_map(clap::Arg::get_long);
    let agent = matches.get_one("agent").copied().unwrap_or(false);
    let (which, wrong): (&str, Vec<String>) = match agent {
        true => {
            let server = |name: &&str| SERVER_ONLY.iter().any(|prefix| name.starts_with(prefix));
            ("can not be used", given.filter(server).map(|name| format!("--{name}")).collect())
        }
        false => {
            let agent = |name: &&str| name.starts_with(AGENT_ONLY);
            ("can only be used", given.filter(agent).map(|name| format!("--{name}")).collect())
        }
    };
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::bad_input(format!("The following flag(s) {which} in agent mode: {wrong:?}")))
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
            "storage.url" => DEFAULT_URL.to_string(),
            "storage.remote.when-behind" => "reread".to_string(),
            "query.memory-bytes" => size(budget.pool_bytes),
            "query.spill-bytes" => size(budget.spill_bytes),
            "query.footer-bytes" => size(budget.footer_bytes),
            "storage.cache-bytes" => size(budget.cache_bytes),
            "storage.flush-bytes" => size(budget.flush_bytes),
            "storage.wal.queue-bytes" => size(budget.queue_bytes),
            "storage.wal.buffer-bytes" => size(budget.wal_buffer_bytes),
            "storage.remote.buffer-bytes" => size(budget.forward_bytes),
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
