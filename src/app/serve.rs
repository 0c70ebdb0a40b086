//! The life of the server: bind → open the store → join the parts → serve, reload on request → stop scraping,
//! stop the servers, flush.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{Settings, build_info, listen, metrics, stopped_early, without_secrets};
use crate::config::file::Config;
use crate::engine::active::ActiveQueries;
use crate::engine::session::Engine;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::appender::Appender;
use crate::ingest::remote_write::receiver::RemoteWrite;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::ingest::stats::IngestStats;
use crate::server::http::bodies::Bodies;
use crate::server::http::connections::{self, Limits};
use crate::server::http::hosts::Hosts;
use crate::server::http::server::{self, Control, Parts, Server};
use crate::server::http::socket::Patience;
use crate::server::{http, pg};
use crate::storage::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;

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
    let mut signals = Signals::install()?;
    let listeners = Listeners::bind(&settings).await?;
    let config = listeners.config(settings.config_file.as_deref())?;

    let own_metrics = Arc::new(Metrics::new());
    metrics::register_process(&own_metrics);
    let (control, mut controls) = mpsc::channel(8);
    let remote_write = settings.web.remote_write.unwrap_or_else(|| listeners.all_loopback());
    let http = Arc::new(Server::new(
        http_settings(&settings, &listeners, remote_write, clock()),
        Bodies::new(settings.web.body_bytes, settings.web.read_timeout, STALL.min(settings.web.read_timeout)),
        own_metrics.clone(),
        clock.clone(),
        control,
    ));
    http.config_loaded(&config);

    // The store's own errors are the start's; the servers below outlive it until they are stopped.
    let shutdown = CancellationToken::new();
    let Listeners { http: http_listeners, pg: pg_listener, addresses } = listeners;
    let mut http_task = serve_http(&http, http_listeners, &settings, &shutdown);
    let store = tokio::select! {
        store = open_store(&settings, &config, clock.clone()) => store?,
        () = signals.stop() => return Err(stopped_early()),
    };

    let mut engine_options = settings.engine.clone();
    engine_options.default_subquery_step_ms = config.global.evaluation_interval_ms;
    let slots = engine_options.max_concurrency;
    let mut engine = Engine::new(store.clone(), engine_options)?;
    if let Some(folder) = &settings.place.folder {
        engine = engine.with_active_queries(active_queries(folder, slots, clock.clone())?);
    }
    let ingest_stats = Arc::new(IngestStats::default());
    metrics::register_parts(&own_metrics, store.clone(), ingest_stats.clone());
    metrics::register_engine(&own_metrics, engine.clone());
    let appender = Arc::new(Appender::new(store.clone(), ingest_stats));
    let scrape = Arc::new(ScrapeManager::new(
        appender.clone(),
        clock.clone(),
        hostname(),
        settings.storage.wal_buffer_bytes,
    ));
    metrics::register_scrapes(&own_metrics, scrape.clone());
    scrape.apply_config(&config)?;
    http.open(Parts {
        engine: engine.clone(),
        store: store.clone(),
        scrape: scrape.clone(),
        remote_write: Arc::new(RemoteWrite::new(appender)),
    });
    let pg_limits = pg::Limits {
        connections: settings.pg_max_connections,
        receive_bytes: settings.budget.message_bytes,
        ..pg::Limits::default()
    };
    let mut pg_task = tokio::spawn(pg::serve(engine, pg_listener, pg_limits, shutdown.clone()));
    announce(&settings, &addresses, remote_write);

    // A part that ends before it is asked to is a defect, and a supervisor can start all of them again.
    let broken = tokio::select! {
        () = run(&settings, &http, &scrape, &mut signals, &mut controls) => None,
        error = store.failed() => Some(error.to_string()),
        _ = &mut http_task => Some("the HTTP server ended".to_string()),
        _ = &mut pg_task => Some("the Postgres server ended".to_string()),
    };
    if let Some(why) = &broken {
        tracing::error!("{why}; the process ends");
    }
    let second_signal = tokio::spawn(signals.end_at_once());

    tracing::info!("stopping: scrapes first, then requests, then the flush");
    http.stop();
    scrape.shutdown().await;
    shutdown.cancel();
    for task in [http_task, pg_task] {
        // One that ended early has been looked at already.
        if !task.is_finished()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "a server ended with a panic");
        }
    }
    store.shutdown().await?;
    second_signal.abort();
    tracing::info!("stopped, everything is in the lake");
    broken.map_or(Ok(()), |why| Err(Error::internal(why)))
}

/// Reloads as often as asked, until a stop is.
async fn run(
    settings: &Settings,
    http: &Server,
    scrape: &ScrapeManager,
    signals: &mut Signals,
    controls: &mut mpsc::Receiver<Control>,
) {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Stop => return,
                Asked::Reload => {
                    // Logged where it happens; there is nobody else to tell.
                    let _ = reload(settings, http, scrape);
                }
            },
            control = controls.recv() => match control {
                Some(Control::Reload(answer)) => {
                    // The client may have gone away meanwhile.
                    let _ = answer.send(reload(settings, http, scrape));
                }
                Some(Control::Quit) | None => return,
            },
        }
    }
}

/// A file that is right and asks for nothing that would be missing.
fn load(file: &Path) -> Result<Config> {
    let config = Config::load(file)?;
    config.not_built().map_err(|mistakes| mistakes.into_error(&file.display().to_string()))?;
    for part in config.without_effect() {
        tracing::warn!(file = %file.display(), "{part}");
    }
    Ok(config)
}

/// A file that cannot be used leaves the old configuration in force.
fn reload(settings: &Settings, http: &Server, scrape: &ScrapeManager) -> Result<()> {
    let Some(file) = &settings.config_file else {
        tracing::info!("nothing to reload: there is no --config.file");
        return Ok(());
    };
    let result = load(file).and_then(|config| {
        scrape.apply_config(&config)?;
        http.config_loaded(&config);
        Ok(())
    });
    match &result {
        // Prometheus re-reads it; our head takes it when it is opened.
        Ok(()) => tracing::info!(
            file = %file.display(),
            "configuration reloaded; storage and evaluation settings take effect at the next start"
        ),
        Err(error) => {
            http.config_failed();
            tracing::error!(file = %file.display(), %error, "configuration refused, the old one stays in force");
        }
    }
    result
}

/// Says how it goes while a long log is replayed.
async fn open_store(settings: &Settings, config: &Config, clock: Clock) -> Result<Arc<Store>> {
    let shown = without_secrets(&settings.storage.url);
    tracing::info!(storage = %shown, node = %settings.storage.node, "opening the store");
    let mut options = settings.storage.clone();
    options.out_of_order_window_ms = config.storage.out_of_order_time_window_ms;
    let started_ms = clock();
    let opening = Store::open(options, clock.clone());
    tokio::pin!(opening);
    loop {
        tokio::select! {
            store = &mut opening => {
                let store = store?;
                tracing::info!(elapsed_ms = clock() - started_ms, "the store is open");
                return Ok(store);
            }
            () = tokio::time::sleep(OPENING_NOTICE) => {
                tracing::info!(elapsed_ms = clock() - started_ms, "still opening the store");
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
    let router = http::router::router(http.clone());
    tokio::spawn(async move { connections::serve(listeners, router, limits, &http.metrics, shutdown).await })
}

fn http_settings(settings: &Settings, listeners: &Listeners, remote_write: bool, now_ms: i64) -> server::Settings {
    let web = &settings.web;
    let external_url = match &web.external_url {
        Some(url) => url.to_string(),
        None => format!("http://{}/", listeners.addresses.http_reachable()),
    };
    let external_host = web.external_url.as_ref().and_then(|url| url.host_str()).unwrap_or("");
    server::Settings {
        route_prefix: web.route_prefix.clone(),
        external_url,
        cors_origin: web.cors_origin.clone(),
        hosts: Hosts::new(&web.allowed_hosts, [hostname().as_str(), external_host]),
        lifecycle: web.lifecycle,
        remote_write,
        flags: web.flags.clone(),
        build: build_info(),
        started_ms: now_ms,
    }
}

/// What one needs to know after the start: where everything is, and what to type next.
fn announce(settings: &Settings, addresses: &Addresses, remote_write: bool) {
    let prefix = &settings.web.route_prefix;
    let http = addresses.http_reachable();
    let pg = listen::reachable(addresses.pg);
    for address in &addresses.http {
        tracing::info!("HTTP API on http://{address}{prefix}");
    }
    if remote_write {
        tracing::info!("remote write at http://{http}{prefix}/api/v1/write");
    }
    tracing::info!("Postgres protocol on {}", addresses.pg);
    tracing::info!("storage {}, retention unlimited", without_secrets(&settings.storage.url));
    tracing::info!("try: curl '{}'", format_args!("http://{http}{prefix}/api/v1/query?query=up"));
    tracing::info!("try: psql -h {} -p {} -d promlake -c 'SELECT * FROM up LIMIT 5'", pg.ip(), pg.port());
    tracing::info!("ready");
}

/// Spreads the scrapes of several servers; any text will do where there is no name.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_string()
}

/// Everything bound before anything else is done, so that a taken port is the first thing one hears of.
struct Listeners {
    http: Vec<TcpListener>,
    pg: TcpListener,
    addresses: Addresses,
}

struct Addresses {
    http: Vec<std::net::SocketAddr>,
    pg: std::net::SocketAddr,
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
        let pg = listen::bind("pg.listen-address", &settings.pg_listen_address).await?;
        let addresses =
            Addresses { http: http.iter().map(listen::address).collect::<Result<_>>()?, pg: listen::address(&pg)? };
        Ok(Self { http, pg, addresses })
    }

    fn all_loopback(&self) -> bool {
        self.addresses.http.iter().all(|address| address.ip().is_loopback())
    }

    /// The file's configuration, or the one that scrapes ourselves.
    fn config(&self, file: Option<&Path>) -> Result<Config> {
        match file {
            Some(file) => load(file),
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
