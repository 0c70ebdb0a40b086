//! The life of the server: bind → open the store → join the parts → serve, reload on request → stop scraping,
//! stop the servers and the remotes, flush.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::discovery::Discovery;
use crate::app::external_url;
use crate::app::reload::Watch;
use crate::app::{Settings, build_info, features, listen, metrics, stopped_early, tables, without_secrets};
use crate::config::file::{Config, Options};
use crate::config::storage::Retention;
use crate::engine::active::ActiveQueries;
use crate::engine::query_log::QueryLog;
use crate::engine::recent::Recent;
use crate::engine::session::Engine;
use crate::engine::usage::Usage;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::forward::forwarder::Forwarder;
use crate::ingest::appender::Appender;
use crate::ingest::otlp::receiver::{self as otlp, Otlp};
use crate::ingest::remote_write::receiver::RemoteWrite;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::ingest::stats::IngestStats;
use crate::notify::notifier::Notifier;
use crate::past::insert::Inserter;
use crate::rules::environment::Environment;
use crate::rules::history::History;
use crate::rules::manager::{Manager as Rules, RuleConfig};
use crate::server::access::door::Access;
use crate::server::http::bodies::Bodies;
use crate::server::http::connections::{self, Limits};
use crate::server::http::hosts::Hosts;
use crate::server::http::server::{self, Control, Parts, Server};
use crate::server::http::socket::Patience;
use crate::server::{http, pg};
use crate::storage::store::replay::Replaying;
use crate::storage::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::template::subject as template;
use crate::traces::Traces;

/// How long HTTP requests may go on after a stop was asked for. Shorter than the time service managers and
/// container runtimes give (10 s and more), as the flush comes after it.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the head of a request may take, and how long a client may read or send nothing that it is to, where
/// `--web.read-timeout` is not shorter.
const HEAD: Duration = Duration::from_secs(30);
const STALL: Duration = Duration::from_secs(60);
/// How often a store that takes long to open says so.
const OPENING_NOTICE: Duration = Duration::from_secs(10);

pub async fn serve(settings: Settings, clock: Clock) -> Result<()> {
    settings.budget.announce(settings.machine);
    settings.place.announce();
    for note in &settings.notes {
        tracing::warn!("{note}");
    }
    let mut signals = Signals::install()?;
    let listeners = Listeners::bind(&settings).await?;
    let access = Arc::new(Access::open(settings.web.config_file.as_deref())?);
    let mut watch = watch(&settings);
    reads(&mut watch).await;
    let config = listeners.config(&settings, &access)?;

    let own_metrics = Arc::new(Metrics::new());
    metrics::register_process(&own_metrics);
    metrics::register_access(&own_metrics, access.clone());
    let (control, mut controls) = mpsc::channel(8);
    let remote_write = settings.web.remote_write.unwrap_or_else(|| listeners.all_loopback());
    let http = Arc::new(Server::new(
        http_settings(&settings, &listeners, access.has_tls(), remote_write, clock()),
        access.clone(),
        Bodies::new(settings.web.body_bytes, settings.web.read_timeout, STALL.min(settings.web.read_timeout)),
        own_metrics.clone(),
        clock.clone(),
        control,
    ));
    http.config_loaded(&config);
    metrics::register_server(&own_metrics, &http);

    // The store's own errors are the start's; the servers below outlive it until they are stopped.
    let shutdown = CancellationToken::new();
    let Listeners { http: http_listeners, pg: pg_listener, addresses } = listeners;
    let mut http_task = serve_http(&http, http_listeners, &settings, &shutdown);
    let opening = Instant::now();
    let store = tokio::select! {
        store = open_store(&settings, &config, &http.replaying, clock.clone()) => store?,
        () = signals.stop() => return Err(stopped_early()),
    };

    let slots = settings.engine.max_concurrency;
    let mut engine = Engine::new(store.clone(), settings.engine.clone())?;
    let queries = Arc::new(QueryLog::new(clock.clone()));
    let recent = Arc::new(Recent::new(clock.clone()));
    let usage = Arc::new(Usage::new(clock.clone()));
    engine = engine.with_query_log(queries.clone()).with_recent(recent.clone()).with_usage(usage.clone());
    let of_file = access.clone();
    engine = engine.with_external(Arc::new(move || of_file.external_tables()));
    if let Some(folder) = &settings.place.folder {
        // Those of rules have slots of their own.
        engine = engine.with_active_queries(active_queries(folder, 2 * slots, clock.clone())?);
    }
    let opened_seconds = opening.elapsed().as_secs_f64();
    let ingest_stats = Arc::new(IngestStats::default());
    metrics::register_parts(&own_metrics, store.clone(), opened_seconds, ingest_stats.clone());
    metrics::register_engine(&own_metrics, engine.clone(), queries.clone());
    let mut appender = Appender::new(store.clone(), ingest_stats);
    if let Some(max_age) = settings.max_age {
        appender = appender.with_max_age(max_age, clock.clone());
    }
    let appender = Arc::new(appender);
    let scrape = ScrapeManager::new(appender.clone(), clock.clone(), hostname(), settings.storage.wal_buffer_bytes)
        .with_features(settings.scrape.features)
        .with_timestamp_tolerance_ms(settings.scrape.timestamp_tolerance_ms);
    let scrape = Arc::new(scrape);
    metrics::register_scrapes(&own_metrics, scrape.clone());
    let forwarder = Arc::new(Forwarder::new(store.clone(), clock.clone(), settings.forward.clone()));
    metrics::register_forwarder(&own_metrics, forwarder.clone());
    let otlp_options = otlp::Options {
        lookback_delta_ms: engine.options.lookback_delta_ms,
        type_and_unit_labels: engine.options.features.type_and_unit_labels,
        delta: settings.web.otlp_delta,
    };
    let otlp = Arc::new(Otlp::new(appender.clone(), otlp_options, clock.clone(), &config.otlp));
    let traces = Arc::new(Traces::new(clock.clone()));
    let notifier = Arc::new(Notifier::new(clock.clone(), settings.notify));
    metrics::register_notifier(&own_metrics, notifier.clone());
    let rules = Arc::new(rules(&settings, &engine, &appender, &notifier, clock.clone()));
    metrics::register_rules(&own_metrics, &rules);
    tables::register(&engine, &scrape, &rules, (&recent, &usage));
    let discovery = Discovery::new(&scrape, &notifier, clock.clone(), settings.scrape.discovery_reload_interval);
    metrics::register_discovery(&own_metrics, discovery.targets.clone(), discovery.alertmanagers.clone());
    let parts = Configured {
        http: http.clone(),
        store: store.clone(),
        engine: engine.clone(),
        queries: queries.clone(),
        scrape: scrape.clone(),
        forwarder: forwarder.clone(),
        otlp: otlp.clone(),
        notifier: notifier.clone(),
        rules: rules.clone(),
        external_url: settings_url(&http),
        discovery: discovery.clone(),
        traces: traces.clone(),
    };
    parts.apply(&config)?;
    // What comes in from here on is sent, even if this process is killed soon.
    if let Err(error) = store.save_tails().await {
        tracing::warn!("the positions of remote write are not saved for now: {error}");
    }
    let inserting = appender.clone();
    http.open(Parts {
        engine: engine.clone(),
        store: store.clone(),
        scrape: scrape.clone(),
        remote_write: Arc::new(RemoteWrite::new(appender).accepting(&settings.web.remote_write_messages)),
        otlp: otlp.clone(),
        notifier: notifier.clone(),
        rules: rules.clone(),
    });
    let pg_limits = pg::Limits {
        connections: settings.pg_max_connections,
        receive_bytes: settings.budget.message_bytes,
        ..pg::Limits::default()
    };
    let pg_stats = Arc::new(pg::Stats::default());
    metrics::register_postgres(&own_metrics, pg_stats.clone());
    let mut pg_task = match pg_listener {
        Some(listener) => {
            let inserter = settings.pg_writes.then(|| Inserter::new(engine.clone(), inserting, clock.clone()));
            let inserter = inserter.map(Arc::new);
            tokio::spawn(pg::serve(
                engine,
                inserter,
                access.clone(),
                listener,
                (pg_limits, pg_stats),
                shutdown.clone(),
            ))
        }
        // Nothing to ask, and so nobody to answer.
        None => tokio::spawn(shutdown.clone().cancelled_owned()),
    };
    announce(&settings, &addresses, &access, remote_write);

    if let Some(watch) = &mut watch {
        watch.taken(&config).await;
    }

    // A part that ends before it is asked to is a defect, and a supervisor can start all of them again.
    let broken = tokio::select! {
        () = run(&settings, &parts, &mut signals, &mut controls, config, watch) => None,
        error = store.failed() => Some(error.to_string()),
        _ = &mut http_task => Some("the HTTP server ended".to_string()),
        _ = &mut pg_task => Some("the Postgres server ended".to_string()),
    };
    if let Some(why) = &broken {
        tracing::error!("{why}; the process ends");
    }
    let second_signal = tokio::spawn(signals.end_at_once());

    tracing::info!("stopping: scrapes first, then requests and alerts, then the flush");
    http.stop();
    discovery.shutdown().await;
    scrape.shutdown().await;
    rules.shutdown().await;
    http.notifications.close();
    shutdown.cancel();
    for task in [http_task, pg_task] {
        // One that ended early has been looked at already.
        if !task.is_finished()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a server ended with a panic");
        }
    }
    tokio::join!(notifier.shutdown(), forwarder.shutdown(), rules.environment().history.shutdown());
    queries.shutdown().await;
    traces.shutdown().await;
    store.shutdown().await?;
    second_signal.abort();
    tracing::info!("stopped, everything is in the lake");
    broken.map_or(Ok(()), |why| Err(Error::internal(why)))
}

/// Reloads as often as asked, until a stop is.
async fn run(
    settings: &Settings,
    parts: &Configured,
    signals: &mut Signals,
    controls: &mut mpsc::Receiver<Control>,
    mut config: Config,
    mut watch: Option<Watch>,
) {
    loop {
        let answer = tokio::select! {
            signal = signals.next() => match signal {
                Asked::Stop => return,
                Asked::Reload => None,
            },
            control = controls.recv() => match control {
                Some(Control::Reload(answer)) => Some(answer),
                Some(Control::Quit) | None => return,
            },
            () = changed(&mut watch, &config) => None,
        };
        reads(&mut watch).await;
        let result = reload(settings, parts);
        match (&result, &mut watch) {
            (Ok(Some(new)), watch) => {
                config = new.clone();
                if let Some(watch) = watch {
                    watch.taken(&config).await;
                }
            }
            (Err(_), Some(watch)) => watch.refused(),
            (Ok(None) | Err(_), _) => {}
        }
        if let Some(answer) = answer {
            // The client may have gone away meanwhile. All others find it in the log.
            let _ = answer.send(result.map(drop));
        }
    }
}

/// What looks for changes of the configuration, where that was asked for and there is a file.
fn watch(settings: &Settings) -> Option<Watch> {
    let (every, file) = (settings.auto_reload?, settings.config_file.as_deref()?);
    tracing::info!(interval = ?every, "the configuration is read anew when it changes");
    Some(Watch::new(file, every))
}

async fn reads(watch: &mut Option<Watch>) {
    if let Some(watch) = watch {
        watch.reads().await;
    }
}

async fn changed(watch: &mut Option<Watch>, config: &Config) {
    match watch {
        Some(watch) => watch.changed(config).await,
        None => std::future::pending().await,
    }
}

/// A file that is right and asks for nothing that would be missing.
fn load(file: &Path, options: &Options) -> Result<Config> {
    let config = Config::load_with(file, options)?;
    config.not_built().map_err(|mistakes| mistakes.into_error(&file.display().to_string()))?;
    for part in config.without_effect() {
        tracing::warn!(file = %file.display(), "{part}");
    }
    Ok(config)
}

/// What a configuration changes while it runs.
struct Configured {
    http: Arc<Server>,
    store: Arc<Store>,
    engine: Engine,
    queries: Arc<QueryLog>,
    scrape: Arc<ScrapeManager>,
    forwarder: Arc<Forwarder>,
    otlp: Arc<Otlp>,
    notifier: Arc<Notifier>,
    rules: Arc<Rules>,
    /// Text, and path: what templates of alerts know.
    external_url: (String, String),
    discovery: Discovery,
    traces: Arc<Traces>,
}

impl Configured {
    fn rule_config(&self, config: &Config) -> RuleConfig {
        let (external_url, path_prefix) = self.external_url.clone();
        RuleConfig {
            files: config.rule_paths(),
            interval_ms: config.global.evaluation_interval_ms,
            query_offset_ms: config.global.rule_query_offset_ms,
            scrape_interval_ms: config.global.scrape_interval_ms,
            names: config.global.name_validation,
            server: template::Server {
                external_labels: config.global.external_labels.clone(),
                external_url,
                path_prefix,
            },
        }
    }

    /// What cannot be used is found before anything is changed.
    fn apply(&self, config: &Config) -> Result<()> {
        let remotes = self.forwarder.prepare(config)?;
        let traces = self.traces.prepare(config.tracing.as_ref())?;
        let alertmanagers = self.notifier.prepare(config)?;
        let rules = self.rules.prepare(self.rule_config(config))?;
        let queries = self.queries.open(&config.global.query_log_file)?;
        self.scrape.apply_config(config)?;
        self.traces.install(traces);
        self.queries.install(queries);
        self.forwarder.install(remotes);
        self.notifier.install(alertmanagers);
        self.rules.install(rules);
        self.discovery.apply(config);
        self.store.set_out_of_order_window(config.storage.out_of_order_time_window_ms);
        let step_ms = &self.engine.options.default_subquery_step_ms;
        step_ms.store(config.global.evaluation_interval_ms, Ordering::Relaxed);
        self.otlp.apply_config(&config.otlp);
        self.http.config_loaded(config);
        Ok(())
    }
}

/// A file that cannot be used leaves the old configuration in force. `None` where there is no file.
fn reload(settings: &Settings, parts: &Configured) -> Result<Option<Config>> {
    let Some(file) = &settings.config_file else {
        tracing::info!("nothing to reload: there is no --config.file");
        return Ok(None);
    };
    let result = load(file, &settings.config_options).and_then(|config| {
        parts.apply(&config)?;
        Ok(Some(config))
    });
    match &result {
        Ok(_) => tracing::info!(file = %file.display(), "configuration reloaded"),
        Err(error) => {
            parts.http.config_failed();
            tracing::error!(file = %file.display(), %error, "configuration refused, the old one stays in force");
        }
    }
    result
}

/// Rules that ask the engine through a door of their own, so that no dashboard keeps them waiting for a slot. Must be called
/// within the runtime.
fn rules(
    settings: &Settings,
    engine: &Engine,
    appender: &Arc<Appender>,
    notifier: &Arc<Notifier>,
    clock: Clock,
) -> Rules {
    let notifier = notifier.clone();
    let send = Arc::new(move |alerts| notifier.send(alerts));
    let engine = engine.with_own_slots(settings.engine.max_concurrency);
    let parse = engine.options.features.language();
    let history = History::start(engine.store().clone());
    let environment = Environment::new(engine, appender.clone(), send, history, clock, settings.rules.clone());
    Rules::new(environment, parse)
}

/// Where users reach the server: the URL, and what its path stands for.
fn settings_url(http: &Server) -> (String, String) {
    let path = external_url::decoded(&http.settings.link_prefix).expect("it was encoded by us");
    (http.settings.external_url.clone(), path)
}

/// Says how it goes while a long log is replayed.
async fn open_store(
    settings: &Settings,
    config: &Config,
    replaying: &Replaying,
    clock: Clock,
) -> Result<Arc<Store>> {
    let shown = without_secrets(&settings.storage.url);
    tracing::info!(storage = %shown, node = %settings.storage.node, "opening the store");
    let mut options = settings.storage.clone();
    options.out_of_order_window_ms = config.storage.out_of_order_time_window_ms;
    let started_ms = clock();
    let opening = Store::open_telling(options, clock.clone(), replaying);
    tokio::pin!(opening);
    loop {
        tokio::select! {
            store = &mut opening => {
                let store = store?;
                tracing::info!(elapsed_ms = clock() - started_ms, "the store is open");
                return Ok(store);
            }
            () = tokio::time::sleep(OPENING_NOTICE) => {
                let [_, last, current] = replaying.objects();
                let elapsed_ms = clock() - started_ms;
                tracing::info!(elapsed_ms, replayed = current, of = last, "still opening the store");
            }
        }
    }
}

/// The file of active queries, beside the lake where that is a folder; a bucket has none, since each query would cost
/// it a write.
fn active_queries(folder: &Path, slots: usize, clock: Clock) -> Result<ActiveQueries> {
    let (active, left) = ActiveQueries::open(folder, slots, Arc::new(move || clock() / 1000))?;
    if let Some(queries) = left {
        tracing::info!(%queries, "these queries did not finish in the last run");
    }
    Ok(active)
}

fn serve_http(
    http: &Arc<Server>,
    listeners: Vec<TcpListener>,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> JoinHandle<()> {
    let read_timeout = settings.web.read_timeout;
    let limits = Limits {
        max_connections: settings.web.max_connections,
        read_timeout,
        patience: Patience { head: HEAD.min(read_timeout), stall: STALL.min(read_timeout) },
        drain_timeout: DRAIN,
    };
    let (http, shutdown) = (http.clone(), shutdown.clone());
    let (router, access) = (http::router::router(http.clone()), http.access.clone());
    tokio::spawn(async move {
        connections::serve(listeners, router, access, limits, &http.metrics, shutdown).await;
    })
}

fn http_settings(
    settings: &Settings,
    listeners: &Listeners,
    tls: bool,
    remote_write: bool,
    now_ms: i64,
) -> server::Settings {
    let web = &settings.web;
    // As Prometheus makes it up; where only this machine reaches the server, its name would not help.
    let made_up = || match listeners.all_loopback() {
        true => format!("{}://{}", scheme(tls), listeners.addresses.http_reachable()),
        false => format!("{}://{}:{}", scheme(tls), hostname(), listeners.addresses.http_reachable().port()),
    };
    let external = web.external_url.clone().unwrap_or_default();
    let external_host = external.host.as_deref().unwrap_or("");
    let mut flags = web.flags.clone();
    for (_, value) in flags.iter_mut().filter(|(name, _)| name == "web.enable-remote-write-receiver") {
        *value = remote_write.to_string();
    }
    server::Settings {
        route_prefix: web.route_prefix.clone(),
        link_prefix: external.path,
        external_url: web.external_url.as_ref().map_or_else(made_up, |url| url.text.clone()),
        page_title: web.page_title.clone(),
        user_assets: web.user_assets.clone(),
        admin_api: web.admin_api,
        retention: settings.retention,
        listen_port: listeners.addresses.http_reachable().port(),
        cors_origin: web.cors_origin.clone(),
        hosts: Hosts::new(&web.allowed_hosts, [hostname().as_str(), external_host]),
        lifecycle: web.lifecycle,
        agent: settings.config_options.agent,
        remote_write,
        otlp: web.otlp,
        remote_read: web.remote_read,
        search: web.search,
        max_notifications_subscribers: web.max_notifications_subscribers,
        features: features::of(settings, remote_write),
        flags,
        build: build_info(),
        started_ms: now_ms,
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

/// What one needs to know after the start: where everything is, and what to type next.
fn announce(settings: &Settings, addresses: &Addresses, access: &Access, remote_write: bool) {
    let (scheme, prefix) = (scheme(access.has_tls()), &settings.web.route_prefix);
    let http = addresses.http_reachable();
    for address in &addresses.http {
        tracing::info!("HTTP API on {scheme}://{address}{prefix}");
    }
    if remote_write {
        tracing::info!("remote write at {scheme}://{http}{prefix}/api/v1/write");
    }
    if settings.web.otlp {
        tracing::info!("OTLP metrics at {scheme}://{http}{prefix}/api/v1/otlp/v1/metrics");
    }
    let storage = without_secrets(&settings.storage.url);
    let Some(pg) = addresses.pg else {
        let longest = settings.storage.log_only.unwrap_or_default();
        tracing::info!(
            "agent mode: samples wait for remotes in {storage}, for {longest:?} at most, and cannot be asked for; the Postgres \
             protocol is off"
        );
        tracing::info!("ready");
        return;
    };
    tracing::info!("Postgres protocol on {pg}");
    tracing::info!("storage {storage}, retention unlimited");
    let pg = listen::reachable(pg);
    if settings.retention != Retention::default() {
        tracing::warn!("retention is not enforced yet (--storage.tsdb.retention: {})", settings.retention);
    }
    let (curl, psql) = if access.asks_who() { (" -u USER", " -U USER") } else { ("", "") };
    tracing::info!("try: curl{curl} '{}'", format_args!("{scheme}://{http}{prefix}/api/v1/query?query=up"));
    tracing::info!("try: psql -h {} -p {}{psql} -d promlake -c 'SELECT * FROM up LIMIT 5'", pg.ip(), pg.port());
    tracing::info!("ready");
}

/// Spreads the scrapes of several servers; any text will do where there is no name.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string()
}

/// Everything bound before anything else is done, so that a taken port is the first thing one hears of.
struct Listeners {
    http: Vec<TcpListener>,
    /// None in agent mode.
    pg: Option<TcpListener>,
    addresses: Addresses,
}

struct Addresses {
    http: Vec<std::net::SocketAddr>,
    pg: Option<std::net::SocketAddr>,
}

impl Addresses {
    fn http_reachable(&self) -> std::net::SocketAddr {
        let first = self.http.first().expect("there is at least one listen address, the default");
        listen::reachable(*first)
    }
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self> {
        let mut http = Vec::new();
        for address in &settings.web.listen_addresses {
            http.push(listen::bind("web.listen-address", address).await?);
        }
        let pg = match settings.config_options.agent {
            true => None,
            false => Some(listen::bind("pg.listen-address", &settings.pg_listen_address).await?),
        };
        let addresses = Addresses {
            http: http.iter().map(listen::address).collect::<Result<_>>()?,
            pg: pg.as_ref().map(listen::address).transpose()?,
        };
        Ok(Self { http, pg, addresses })
    }

    fn all_loopback(&self) -> bool {
        self.addresses.http.iter().all(|address| address.ip().is_loopback())
    }

    /// The file's configuration, or the one that scrapes ourselves, if that needs no more than to ask.
    fn config(&self, settings: &Settings, access: &Access) -> Result<Config> {
        match &settings.config_file {
            Some(file) => load(file, &settings.config_options),
            None if settings.config_options.agent => Err(Error::bad_input("agent mode needs a --config.file")),
            None if access.has_tls() || access.asks_who() => {
                tracing::warn!(
                    "nothing is scraped: there is no --config.file, and promlake does not know how to ask itself over \
                     TLS or with a password (--web.config.file)"
                );
                Ok(Config::empty())
            }
            None => Ok(Config::self_scrape(&self.addresses.http_reachable().to_string())),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> Result<Self> {
        let install = |kind| signal(kind).context(ErrorKind::Internal, || "cannot handle signals".into());
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            hangup: install(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("received SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("received SIGINT"),
            _ = self.hangup.recv() => {
                tracing::info!("received SIGHUP");
                return Asked::Reload;
            }
        }
        Asked::Stop
    }

    /// Before there is anything to reload.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    /// While the server stops, which may hang on a bucket that is away: who asks again does not want to wait for it.
    /// What was acknowledged is in the log. The exit code is that of a process which the signal ended.
    async fn end_at_once(mut self) {
        let code = tokio::select! {
            Some(()) = self.interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
            Some(()) = self.terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
            else => return,
        };
        tracing::warn!("received a second signal: ending at once, the next start replays the log");
        std::process::exit(code);
    }
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}
