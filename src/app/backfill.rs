//! A backfill of rules from beginning to end: rule files are read, the lake is opened beside whoever has it open already, and an
//! engine of this process evaluates the rules.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use crate::app::budget::{self, Machine};
use crate::app::{install_crypto, system_clock, without_secrets};
use crate::config::protocol::NameValidation;
use crate::config::rules::RuleFile;
use crate::engine::runtime::STACK_BYTES;
use crate::engine::session::{Engine, EngineOptions, Features};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::ingest::import::progress::{Progress, Seen};
use crate::model::sample::TimeRange;
use crate::rules::backfill::run::{self, Group, Summary};
use crate::storage::lake::Lake;
use crate::storage::object;
use crate::storage::place::Place;
use crate::storage::store::Options;
use crate::storage::store::reading::Reading;
use crate::telemetry::logs;

/// The name it has in the lake; it writes no log and needs no claim.
const NODE: &str = "backfill";

/// Memory of results that are collected, and as much again of those that rules read of each other: a part of the machine's,
/// between these.
const MEMORY_PART: u64 = 8;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 32 << 20..=1 << 30;
/// A time, a value and what a copy of both takes.
const RESULT_BYTES_A_SAMPLE: usize = 64;

#[derive(Clone, Debug)]
pub struct Settings {
    /// As the server that has them names them.
    pub files: Vec<PathBuf>,
    /// Where the lake is.
    pub place: Place,
    /// Results of these times.
    pub range: TimeRange,
    /// Of groups that have no interval, and of subqueries that have no step.
    pub interval_ms: i64,
    pub lookback_ms: i64,
    pub features: Features,
    /// Whatever a run before has done.
    pub again: bool,
    pub machine: Machine,
}

/// Evaluates the rules; `show` is told how far it is every `period`.
pub fn run(settings: Settings, period: Duration, mut show: impl FnMut(&Seen)) -> Result<Summary> {
    let clock = system_clock();
    logs::init("warn", logs::Format::Logfmt, clock.clone())?;
    install_crypto();
    let groups = groups(&settings)?;
    let threads = budget::of(settings.machine).threads;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(threads)
        .thread_name("promlake-backfill")
        // Small queries are answered here.
        .thread_stack_size(STACK_BYTES)
        .build()
        .context(ErrorKind::Internal, || "cannot start the runtime".to_string())?;
    let result = runtime.block_on(async {
        // Where there is nothing to evaluate no folder is made.
        let missing = || {
            Error::new(ErrorKind::NotFound, format!("there is no lake in {}", without_secrets(&settings.place.url)))
        };
        if settings.place.folder.as_ref().is_some_and(|folder| !folder.is_dir()) {
            return Err(missing());
        }
        let objects = object::open(&settings.place.url)?;
        if !Lake::exists(&objects).await? {
            return Err(missing());
        }
        let share = budget::of(settings.machine);
        let options = Options { index_bytes: share.index_bytes, ..Options::default() };
        let reading = Reading::open(objects, NODE, options, clock).await?;
        let engine = Engine::new(reading.store().clone(), engine_options(&settings))?;
        let memory =
            (settings.machine.memory_bytes / MEMORY_PART).clamp(*MEMORY_BYTES.start(), *MEMORY_BYTES.end());
        let progress = Progress::default();
        let of_run =
            run::Settings { range: settings.range, again: settings.again, memory_bytes: memory as usize, threads };
        let work = run::run(&reading, &engine, groups, of_run, &progress);
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        ticks.tick().await;
        loop {
            tokio::select! {
                summary = &mut work => return summary,
                _ = ticks.tick() => show(&progress.seen()),
            }
        }
    });
    // What still runs here is of a query that nobody waits for any more.
    runtime.shutdown_background();
    result
}

fn engine_options(settings: &Settings) -> EngineOptions {
    let share = budget::of(settings.machine);
    EngineOptions {
        lookback_delta_ms: settings.lookback_ms,
        default_subquery_step_ms: Arc::new(AtomicI64::new(settings.interval_ms)),
        // Queries for long ranges, which are cut where they take longer.
        timeout: Duration::from_secs(600),
        // A result is in memory as a whole; a query for too much is cut.
        max_samples: (share.pool_bytes / RESULT_BYTES_A_SAMPLE).max(1_000_000),
        memory_bytes: share.pool_bytes,
        spill_bytes: share.spill_bytes,
        footer_bytes: share.footer_bytes,
        threads: share.threads,
        features: settings.features.clone(),
        ..EngineOptions::default()
    }
}

/// The groups of all files, in their order.
fn groups(settings: &Settings) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut known: HashSet<&Path> = HashSet::new();
    for path in &settings.files {
        if !known.insert(path) {
            return Err(Error::bad_input(format!("{} is named twice", path.display())));
        }
        let file = path.to_str().ok_or_else(|| Error::bad_input(format!("file name {path:?} is not UTF-8")))?;
        let read = RuleFile::load(path, NameValidation::Utf8, &settings.features.language())?;
        groups.extend(read.groups.into_iter().map(|config| Group {
            file: file.to_string(),
            interval_ms: config.interval_ms.unwrap_or(settings.interval_ms),
            config,
        }));
    }
    Ok(groups)
}
