//! Runs the sqllogictest files of `tests/sql` over the same data in four storage states: all in the head, all
//! flushed, half and half, and merged. Expectations do not depend on the state.
//!
//! Those of `tests/sql/ended` have data of their own: series that ended, and labels with names of columns.
//!
//! `SQL_FILTER` runs only files whose name contains it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use promlake::engine::session::{Engine, EngineOptions};
use promlake::engine::sql::verify::verify;
use promlake::engine::sql::{text, zone};
use promlake::model::labels::Labels;
use promlake::model::metadata::{Metadata, MetricType};
use promlake::model::sample::STALE_NAN;
use promlake::storage::lake::alerts::AlertChange;
use promlake::storage::store::{Options, Store};
use promlake::storage::types::{SampleRow, WriteBatch};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// 2026-11-21T23:55:00Z; the samples go to five past midnight, over two days of the lake.
const START_MS: i64 = 1_795_305_300_000;
const MINUTE_MS: i64 = 60_000;
/// 2026-11-22T00:10:00Z
const NOW_MS: i64 = START_MS + 15 * MINUTE_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Flushed,
    Half,
    Merged,
}

/// The value at a minute, if there is one.
type Values = fn(i64) -> Option<f64>;

/// The labels of each series, and its values.
fn series() -> Vec<(Labels, Values)> {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let requests = "http_requests_total";
    vec![
        (labels(&[("__name__", requests), ("job", "api"), ("code", "200"), ("instance", "a:80")]), |i| {
            Some(100.0 + 60.0 * i as f64)
        }),
        (labels(&[("__name__", requests), ("job", "api"), ("code", "500"), ("instance", "a:80")]), |i| {
            Some(1.5 * i as f64)
        }),
        // A counter that starts anew at midnight.
        (labels(&[("__name__", requests), ("job", "web"), ("code", "200"), ("instance", "b:80")]), |i| {
            Some(if i < 5 { 1000.0 + 10.0 * i as f64 } else { 10.0 * (i - 5) as f64 })
        }),
        // Without a code, and only before midnight.
        (labels(&[("__name__", requests), ("job", "web"), ("instance", "b:80")]), |i| (i < 4).then_some(7.0)),
        (labels(&[("__name__", "Temperature"), ("room", "attic")]), |i| Some(20.25 + 0.5 * i as f64)),
        // Labels that collide with columns.
        (labels(&[("__name__", "odd"), ("timestamp", "t"), ("value", "v"), ("path", "/naïve path")]), |i| {
            (i % 5 == 0).then_some(1.0 / 3.0)
        }),
        (labels(&[("__name__", "up"), ("job", "api"), ("instance", "a:80")]), |_| Some(1.0)),
    ]
}

/// Of `tests/sql/ended`.
fn ended() -> Vec<(Labels, Values)> {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    vec![
        // Two targets, one of which vanishes after four minutes.
        (labels(&[("__name__", "gone"), ("instance", "a:80")]), |i| Some(10.0 * i as f64)),
        (labels(&[("__name__", "gone"), ("instance", "b:80")]), |i| match i {
            0..4 => Some(1000.0 + i as f64),
            4 => Some(STALE_NAN),
            _ => None,
        }),
        (
            labels(&[("__name__", "odd"), ("__values__", "v"), ("__timestamps__", "t"), ("__scalar_1__", "s")]),
            |i| Some(i as f64),
        ),
    ]
}

async fn append(store: &Store, series: &[(Labels, Values)], minutes: std::ops::RangeInclusive<i64>) {
    let mut batch = WriteBatch::default();
    for (labels, value) in series {
        let series = store.intern(labels);
        for minute in minutes.clone() {
            if let Some(value) = value(minute) {
                let timestamp = START_MS + minute * MINUTE_MS;
                batch.samples.push(SampleRow { series, timestamp, value, start_timestamp: 0 });
            }
        }
    }
    let metadata = Metadata { kind: MetricType::Counter, help: "Requests served.".into(), unit: "requests".into() };
    batch.metadata.push(("http_requests_total".into(), metadata));
    let report = store.append(batch).await.unwrap();
    assert!(report.rejected_samples.is_empty(), "{:?}", report.rejected_samples);
}

async fn open(state: State, series: &[(Labels, Values)], folder: &Path) -> Arc<Store> {
    let options = Options {
        url: folder.to_string_lossy().into_owned(),
        node: "sql".to_string(),
        wal_flush_interval: None,
        // Flushed only when the test says so.
        flush_interval: Duration::from_secs(86_400),
        flush_bytes: 1 << 30,
        cache_bytes: 0,
        out_of_order_window_ms: 3_600_000,
        ..Options::default()
    };
    let store = Store::open(options, Arc::new(|| NOW_MS)).await.unwrap();
    append(&store, series, 0..=5).await;
    if matches!(state, State::Half | State::Merged) {
        store.flush().await.unwrap();
    }
    append(&store, series, 6..=10).await;
    if matches!(state, State::Flushed | State::Merged) {
        store.flush().await.unwrap();
    }
    let changes = changes();
    for (sequence, changes) in (1..).zip(changes.chunks(3)) {
        store.lake().commit_alert_changes(sequence, changes, false).await.unwrap();
    }
    if state == State::Merged {
        store.merge().await.unwrap();
    }
    store
}

/// An alert that fires twice in one room, the first time over midnight, and goes on in another.
fn changes() -> Vec<AlertChange> {
    let change = |minute: i64, room: &str, from: &'static str, to: &'static str| AlertChange {
        time: START_MS + minute * MINUTE_MS,
        alert: "Hot".into(),
        labels: Labels::from_pairs([("alertname", "Hot"), ("room", room)]),
        annotations: vec![("summary".into(), format!("{room} is hot"))],
        from_state: from.into(),
        to_state: to.into(),
        value: Some(minute as f64),
        rule_group: "rooms".into(),
        file: "rules.yml".into(),
    };
    vec![
        change(0, "attic", "inactive", "pending"),
        change(2, "attic", "pending", "firing"),
        change(3, "hall", "inactive", "firing"),
        change(6, "attic", "firing", "inactive"),
        change(8, "attic", "inactive", "pending"),
        change(9, "attic", "pending", "firing"),
        change(10, "attic", "firing", "inactive"),
    ]
}

fn engine(store: Arc<Store>) -> Engine {
    Engine::new(store, EngineOptions::default()).unwrap()
}

/// One session, as a client has it.
struct Database {
    engine: Engine,
    context: SessionContext,
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        // The protocol has its own settings; of those plans know the time zone.
        if let Some(zone) = sql.trim().strip_prefix("SET TimeZone = ") {
            zone::set(&self.context, zone::Zone::named(zone.trim_matches('\'')).expect("a time zone"));
            return Ok(DBOutput::StatementComplete(0));
        }
        let parsed = text::parse(sql).ok().map(|mut statements| statements.remove(0));
        let plan = match parsed {
            Some(statement @ (Statement::Query(_) | Statement::Explain { .. })) => {
                self.engine.plan_sql(&self.context, statement, &self.engine.limits(None)).await?.0
            }
            // The protocol refuses others before they are planned; what plans them is to refuse them as well.
            _ => {
                let plan = self.context.state().create_logical_plan(sql).await?;
                verify(&plan).map_err(|refused| DataFusionError::Plan(refused.to_string()))?;
                plan
            }
        };
        let frame = self.context.execute_logical_plan(plan).await?;
        let types = vec![DefaultColumnType::Any; frame.schema().fields().len()];
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let mut rows = Vec::new();
        for batch in frame.collect().await? {
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let cell = |column: &ArrayFormatter<'_>, row| match column.value(row).to_string() {
                text if text.is_empty() => "(empty)".to_string(),
                text => text,
            };
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect()));
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

fn files(folder: &str) -> Vec<PathBuf> {
    let filter = std::env::var("SQL_FILTER").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "slt") && path.to_string_lossy().contains(&filter));
    files.sort();
    files
}

async fn run(state: State) {
    let (usual, ended) = (files("tests/sql"), files("tests/sql/ended"));
    assert!(!usual.is_empty() || !ended.is_empty(), "no file matches SQL_FILTER");
    run_files(state, &series(), usual).await;
    run_files(state, &self::ended(), ended).await;
}

async fn run_files(state: State, series: &[(Labels, Values)], files: Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(open(state, series, folder.path()).await);
    let mut failures = Vec::new();
    for file in files {
        let mut runner =
            Runner::new(|| async { Ok(Database { engine: engine.clone(), context: engine.sql_context() }) });
        if let Err(failure) = runner.run_file_async(&file).await {
            failures.push(failure.display(false).to_string());
        }
    }
    assert!(failures.is_empty(), "{state:?}:\n{}", failures.join("\n\n"));
    engine.store().shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_head() {
    run(State::Head).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed() {
    run(State::Flushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_and_half() {
    run(State::Half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged() {
    run(State::Merged).await;
}
