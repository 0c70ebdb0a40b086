//! An import from beginning to end: the lake is opened beside whoever has it open already, and the sources go there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::app::{install_crypto, system_clock, without_secrets};
use crate::config::http::HttpConfig;
use crate::error::{Context, ErrorKind, Result};
use crate::ingest::import::openmetrics;
use crate::ingest::import::progress::{Progress, Seen};
use crate::ingest::import::remote_read::{self, Asked};
use crate::ingest::import::run::{Import, Options, Summary};
use crate::ingest::import::tsdb::{self, Wanted};
use crate::ingest::tsdb::folder::Folder;
use crate::model::matcher::Matcher;
use crate::storage::lake::Lake;
use crate::storage::object;
use crate::telemetry::logs;

/// Requests to another server.
mod remote;

/// The name it has in the lake; it writes no log and needs no claim.
const NODE: &str = "import";

/// What is imported.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The data folder of a Prometheus, a folder of blocks, or a block; with its head or without.
    Tsdb {
        folder: PathBuf,
        head: bool,
    },
    OpenMetrics {
        file: PathBuf,
    },
    /// Another server, asked day by day.
    RemoteRead {
        url: Url,
        http: Box<HttpConfig>,
        /// Sets, any of which a series has to match.
        matchers: Vec<Vec<Matcher>>,
    },
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub from: Origin,
    /// Where the lake is.
    pub storage_url: String,
    pub wanted: Wanted,
    pub threads: usize,
}

/// What it came to, and what was left out before it began.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub summary: Summary,
    pub left_out: Vec<String>,
}

/// Imports; `show` is told how far it is every `period`.
pub fn run(settings: Settings, period: Duration, mut show: impl FnMut(&Seen)) -> Result<Outcome> {
    let clock = system_clock();
    logs::init("warn", logs::Format::Logfmt, clock.clone())?;
    install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(settings.threads)
        .thread_name("promlake-import")
        .build()
        .context(ErrorKind::Internal, || "cannot start the runtime".to_string())?;
    runtime.block_on(async {
        // Looked at before the lake, which is made where there is none. The folder stays locked until the end.
        let mut left_out = Vec::new();
        let mut locked = None;
        let sources = match &settings.from {
            Origin::Tsdb { folder, head } => {
                let folder = Folder::open(folder)?;
                let folder = if *head { folder } else { folder.without_head() };
                left_out.extend(folder.left_out.iter().cloned());
                let sources = tsdb::sources(&folder, &settings.wanted)?;
                locked = Some(folder);
                sources
            }
            Origin::OpenMetrics { file } => vec![openmetrics::source(file, &settings.wanted)?],
            Origin::RemoteRead { url, http, matchers } => {
                let (server, post) =
                    (without_secrets(url.as_str()), remote::post(url.clone(), http, clock.clone())?);
                let asked = Asked { server, matchers: matchers.clone(), post };
                remote_read::sources(&asked, &settings.wanted)?
            }
        };
        let objects = object::open(&settings.storage_url)?;
        let lake = Lake::open(&objects, NODE, clock).await?;
        let progress = Arc::new(Progress::default());
        let options = Options { range: settings.wanted.range, threads: settings.threads };
        let import = Import::new(&lake, options, &progress).run(sources);
        tokio::pin!(import);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        ticks.tick().await;
        loop {
            tokio::select! {
                summary = &mut import => {
                    drop(locked);
                    return Ok(Outcome { summary: summary?, left_out });
                }
                _ = ticks.tick() => show(&progress.seen()),
            }
        }
    })
}
