//! The composition root: opens every part, joins them, and shuts them down in order. The only module that knows
//! them all, and the only one that reads the clock.

/// What each part may take of the memory and the cores there are.
pub mod budget;
/// `--web.external-url`.
pub mod external_url;
/// Results of recording rules for the past into the lake, without a server.
pub mod backfill;
/// History from elsewhere into the lake, without a server.
pub mod import;
/// What finds targets and Alertmanagers.
mod discovery;
/// What this server can do.
mod features;
/// Binding listen addresses.
mod listen;
/// Which numbers of which part become which metrics.
mod metrics;
/// Whether the configuration has changed.
mod reload;
/// Start, reload, stop: the life of the server.
mod serve;
/// What the HTTP API shows, as tables.
mod tables;
/// What the command line decided.
pub mod settings;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use url::Url;

pub use settings::{ScrapeSettings, Settings, WebSettings};

use crate::engine::runtime::STACK_BYTES;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::server::http::server::BuildInfo;
use crate::storage::store::Clock;
use crate::telemetry::logs;

/// Serves until a signal, or a request, ends it.
pub fn run(settings: Settings) -> Result<()> {
    let clock = system_clock();
    logs::init(&settings.log_level, settings.log_format, clock.clone())?;
    install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(settings.budget.threads)
        .thread_name("promlake-main")
        // Small queries are answered here.
        .thread_stack_size(STACK_BYTES)
        .build()
        .context(ErrorKind::Internal, || "cannot start the runtime".to_string())?;
    let result = runtime.block_on(serve::serve(settings, clock));
    // What still runs here has been asked to stop and was given its time.
    runtime.shutdown_background();
    result
}

/// The one place where the clock is read. Milliseconds since the Unix epoch.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        // Before 1970 there is nothing to serve; a clock that is set there is as good as 0.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    })
}

/// Chooses the TLS implementation of the process; libraries that find none would each bring their own.
pub fn install_crypto() {
    // An error says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub fn build_info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        // Both of `build.rs`.
        revision: env!("PROMLAKE_REVISION"),
        rustc: env!("PROMLAKE_RUSTC"),
    }
}

/// A setting as it may be shown: user and password of a URL, and its query, are left out.
pub fn without_secrets(text: &str) -> String {
    let Some(mut url) = Url::parse(text).ok().filter(Url::has_host) else { return text.to_string() };
    if url.password().is_none() && url.username().is_empty() && url.query().is_none() {
        return text.to_string();
    }
    // These fail only for URLs without a host.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.to_string()
}

fn stopped_early() -> Error {
    Error::new(ErrorKind::Canceled, "stopped before the store was open")
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn secrets() {
        let check = |text: &str, shown: &str| assert_eq!(without_secrets(text), shown);
        check("./data", "./data");
        check("s3://bucket/prefix", "s3://bucket/prefix");
        check("s3://key:secret@bucket/prefix?token=x", "s3://bucket/prefix");
        check("127.0.0.1:9090", "127.0.0.1:9090");
        check("2m", "2m");
    }
}
