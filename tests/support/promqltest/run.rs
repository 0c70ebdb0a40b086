//! Runs a script against a fresh store, with its samples in one of four places.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use promlake::engine::session::{
    Engine, EngineOptions, EvalTime, Features, QueryRequest, QueryResponse, QueryValue,
};
use promlake::promql::parse::{ParseOptions, parse};
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{HistogramRow, SampleRow, WriteBatch};
use tempfile::TempDir;

use super::hidden;
use super::script::{Command, Eval, LoadSeries, LoadedSample, Value};

/// Where the samples are when queries read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In memory only.
    Head,
    /// In a file.
    Flushed,
    /// The older half of each series in a file and the cache, the rest in memory.
    Half,
    /// In one file merged from two.
    Compacted,
}

impl State {
    pub const ALL: [State; 4] = [State::Head, State::Flushed, State::Half, State::Compacted];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Head => "head",
            State::Flushed => "flushed",
            State::Half => "half",
            State::Compacted => "compacted",
        })
    }
}

/// One evaluation and what was wrong with it.
pub struct Outcome {
    pub line: usize,
    pub query: String,
    pub failure: Option<String>,
}

/// No single query of a test runs longer unless it hangs.
const QUERY_DEADLINE: Duration = Duration::from_secs(100);
/// After every timestamp of a test, so that none is in the future.
const NOW_MS: i64 = 4_000_000_000_000;

pub async fn run_script(commands: &[Command], state: State, run_hidden: bool) -> Vec<Outcome> {
    let mut runner = Runner { state, run_hidden, database: None, broken: None };
    let mut outcomes = Vec::new();
    for command in commands {
        match command {
            Command::Clear => runner.clear(),
            Command::Load(series) => {
                let loaded = unpanicked(runner.load(series)).await;
                runner.broken = runner.broken.or(loaded.err());
            }
            Command::Eval(eval) => {
                let failure = match &runner.broken {
                    Some(why) => Some(format!("the load before it failed: {why}")),
                    None => unpanicked(runner.eval(eval)).await.err(),
                };
                outcomes.push(Outcome { line: eval.line, query: eval.query.clone(), failure });
            }
        }
    }
    runner.clear();
    outcomes
}

/// A panic becomes the failure of its case, not the end of the run.
async fn unpanicked<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of unknown kind")))
    })
}

struct Runner {
    state: State,
    run_hidden: bool,
    /// Opened when it is first needed.
    database: Option<Database>,
    /// Why the store cannot be asked until the next `clear`.
    broken: Option<String>,
}

struct Database {
    engine: Engine,
    store: Arc<Store>,
    _folder: TempDir,
}

impl Database {
    async fn open(state: State) -> Result<Self, String> {
        // Syncing to a disk is most of the time otherwise, and not what is tested here.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.map_err(|e| e.to_string())?;
        let options = Options {
            url: folder.path().to_string_lossy().into_owned(),
            node: "promqltest".to_string(),
            wal_flush_interval: None,
            flush_interval: Duration::ZERO,
            flush_bytes: 1 << 30,
            cache_bytes: if state == State::Half { 64 << 20 } else { 0 },
            // The floats of a load go in before its histograms, whatever their times.
            out_of_order_window_ms: NOW_MS,
            ..Options::default()
        };
        let store = Store::open(options, Arc::new(|| NOW_MS)).await.map_err(|e| e.to_string())?;
        let engine = Engine::new(store.clone(), engine_options()).map_err(|e| e.to_string())?;
        Ok(Self { engine, store, _folder: folder })
    }
}

fn engine_options() -> EngineOptions {
    EngineOptions {
        lookback_delta_ms: 300_000,
        timeout: QUERY_DEADLINE,
        max_samples: 50_000_000,
        max_concurrency: 4,
        memory_bytes: 1 << 30,
        features: Features {
            experimental_functions: true,
            binop_fill_modifiers: true,
            delayed_name_removal: true,
            use_start_timestamps: true,
            // Off in Prometheus' own run of these scripts: whether a metric is a counter is told by its name.
            type_and_unit_labels: false,
        },
        ..EngineOptions::default()
    }
}

impl Runner {
    /// Forgets the store as it stands; its folder goes with it.
    fn clear(&mut self) {
        self.broken = None;
        self.database = None;
    }

    async fn database(&mut self) -> Result<&Database, String> {
        if self.database.is_none() {
            self.database = Some(Database::open(self.state).await?);
        }
        Ok(self.database.as_ref().expect("opened above"))
    }

    async fn load(&mut self, series: &[LoadSeries]) -> Result<(), String> {
        let state = self.state;
        let store = self.database().await?.store.clone();
        if matches!(state, State::Head | State::Flushed) {
            append(&store, series, |s| &s.samples).await?;
        } else {
            // A series of one sample is in the older half whole.
            append(&store, series, |s| &s.samples[..s.samples.len().div_ceil(2)]).await?;
            store.flush().await.map_err(|e| e.to_string())?;
            append(&store, series, |s| &s.samples[s.samples.len().div_ceil(2)..]).await?;
        }
        if matches!(state, State::Flushed | State::Compacted) {
            store.flush().await.map_err(|e| e.to_string())?;
        }
        if state == State::Compacted {
            store.merge().await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn eval(&mut self, eval: &Eval) -> Result<(), String> {
        // Also where it is expected to fail: not by being no query at all.
        parse(&eval.query, &ParseOptions::all()).map_err(|e| e.to_string())?;
        let hidden = self.run_hidden;
        let engine = self.database().await?.engine.clone();
        if let EvalTime::Range { .. } = eval.time {
            return execute(&engine, eval, &eval.query, eval.time).await.map(drop);
        }
        let EvalTime::Instant { at } = instant_time(eval) else {
            return Err("an instant query has an instant".to_string());
        };
        let mut executions = vec![(eval.query.clone(), at)];
        if hidden {
            executions.extend(hidden::fixed_in_time(&eval.query, at));
        }
        for (query, at) in executions {
            let named = |why| if at == 0 || query == eval.query { why } else { format!("{query} at {at}: {why}") };
            instant(&engine, eval, &query, at, hidden).await.map_err(named)?;
        }
        Ok(())
    }
}

/// A range vector is asked for at the end of the points it lists.
fn instant_time(eval: &Eval) -> EvalTime {
    match eval.expectation.range_vector {
        Some((_, end, _)) => EvalTime::Instant { at: end },
        None => eval.time,
    }
}

/// An instant query, and the range query around it.
async fn instant(engine: &Engine, eval: &Eval, query: &str, at: i64, hidden: bool) -> Result<(), String> {
    let Some(value) = execute(engine, eval, query, EvalTime::Instant { at }).await? else {
        return Ok(());
    };
    let comparable = matches!(value, QueryValue::Vector(_) | QueryValue::Scalar(..));
    let Some(range) = hidden::as_range(query, at).filter(|_| hidden && comparable) else {
        return Ok(());
    };
    let response = ask(engine, query, range).await.map_err(|why| format!("as a range: {why}"))?;
    if eval.expectation.ordered {
        return Ok(());
    }
    let middle = hidden::at_step(response.value, at, &eval.expectation.expected)?;
    let instant = EvalTime::Instant { at };
    eval.expectation.compare(&middle, &instant).map_err(|why| format!("as a range: {why}"))
}

/// One execution held against the expectation; `None` where it failed as it should.
async fn execute(engine: &Engine, eval: &Eval, query: &str, time: EvalTime) -> Result<Option<QueryValue>, String> {
    let response = match ask(engine, query, time).await {
        Ok(response) => response,
        Err(error) => return eval.expectation.check_failure(&error).map(|()| None),
    };
    if eval.expectation.fail.is_some() {
        return Err("expected an error, got none".to_string());
    }
    eval.expectation.check_annotations(&response)?;
    eval.expectation.compare(&response.value, &time)?;
    Ok(Some(response.value))
}

async fn ask(engine: &Engine, query: &str, time: EvalTime) -> Result<QueryResponse, String> {
    let request = QueryRequest::new(query, time);
    match tokio::time::timeout(QUERY_DEADLINE, engine.promql(request, |response| response)).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {QUERY_DEADLINE:?}")),
    }
}

async fn append(
    store: &Store,
    series: &[LoadSeries],
    part: impl Fn(&LoadSeries) -> &[LoadedSample],
) -> Result<(), String> {
    let mut batch = WriteBatch::default();
    for line in series {
        let samples = part(line);
        if samples.is_empty() {
            continue;
        }
        let series = store.intern(&line.labels);
        for sample in samples {
            let LoadedSample { timestamp, start_timestamp, .. } = *sample;
            match &sample.value {
                Value::Float(value) => {
                    batch.samples.push(SampleRow { series, timestamp, value: *value, start_timestamp });
                }
                Value::Histogram(h) => {
                    let histogram = Arc::new(h.to_model());
                    batch.histograms.push(HistogramRow { series, timestamp, histogram, start_timestamp });
                }
            }
        }
    }
    let report = store.append(batch).await.map_err(|e| e.to_string())?;
    if report.rejected_samples.is_empty() && report.rejected_histograms.is_empty() {
        return Ok(());
    }
    Err(format!("rejected {:?} and {:?}", report.rejected_samples, report.rejected_histograms))
}
