//! What is asked of the engine, and what it answers.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::query_log::{Asked, Origin};
use crate::engine::recent::{self, Language, Question};
use crate::engine::stats::QueryStats;
use crate::error::Result;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::promql::ast::Expr;
use crate::promql::parse::ParseOptions;
use crate::storage::types::Snapshot;

/// Limits and defaults of queries; Prometheus' flags of the same names.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub lookback_delta_ms: i64,
    /// The evaluation interval of the configuration, which may be read again.
    pub default_subquery_step_ms: Arc<AtomicI64>,
    pub timeout: Duration,
    pub max_samples: usize,
    pub max_concurrency: usize,
    pub memory_bytes: usize,
    /// Of the memory, for each sort that may have to be written to disk.
    pub spill_bytes: usize,
    /// Footers of files that are kept, beside the memory of queries.
    pub footer_bytes: usize,
    /// Temporary files of all queries that do not fit into memory.
    pub disk_bytes: u64,
    /// Threads that run queries, and partitions of a query.
    pub threads: usize,
    pub features: Features,
}

/// Prometheus' defaults, 1 GiB, and all cores.
impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta_ms: 300_000,
            default_subquery_step_ms: Arc::new(AtomicI64::new(60_000)),
            timeout: Duration::from_secs(120),
            max_samples: 50_000_000,
            max_concurrency: 20,
            memory_bytes: 1 << 30,
            spill_bytes: 10 << 20,
            footer_bytes: 64 << 20,
            disk_bytes: 10 << 30,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            features: Features::default(),
        }
    }
}

/// `--enable-feature` names that change PromQL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    pub experimental_functions: bool,
    pub binop_fill_modifiers: bool,
    pub delayed_name_removal: bool,
    pub use_start_timestamps: bool,
    pub type_and_unit_labels: bool,
}

impl Features {
    /// Those that the parser asks for.
    pub fn language(&self) -> ParseOptions {
        ParseOptions {
            experimental_functions: self.experimental_functions,
            binop_fill_modifiers: self.binop_fill_modifiers,
        }
    }
}

/// When a query is evaluated. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalTime {
    Instant { at: i64 },
    Range { start: i64, end_inclusive: i64, step: i64 },
}

#[derive(Clone, Debug)]
pub struct QueryRequest {
    pub query: String,
    /// The tree of that text, where it was parsed before.
    pub parsed: Option<Arc<Expr>>,
    pub time: EvalTime,
    /// The server's own where it is `None`; in one of 0 there is no sample.
    pub lookback_delta_ms: Option<i64>,
    pub timeout: Option<Duration>,
    /// Count the samples of every window, for [`QueryStats::samples`], unless there are too many steps to count at.
    pub stats: bool,
    /// Whether rates look at start timestamps; `None` for what the server does.
    pub use_start_timestamps: Option<bool>,
    /// Who asks, for the log of queries.
    pub origin: Option<Arc<Origin>>,
}

impl QueryRequest {
    /// With the server's defaults for everything else.
    pub fn new(query: impl Into<String>, time: EvalTime) -> Self {
        Self {
            query: query.into(),
            parsed: None,
            time,
            lookback_delta_ms: None,
            timeout: None,
            stats: false,
            use_start_timestamps: None,
            origin: None,
        }
    }

    fn range(&self) -> [i64; 3] {
        match self.time {
            EvalTime::Instant { at } => [at, at, 0],
            EvalTime::Range { start, end_inclusive, step } => [start, end_inclusive, step],
        }
    }

    /// What a client asks, as far as it is kept; `None` where none does.
    pub(super) fn question(&self, user: Option<&str>) -> Option<Question> {
        let Origin::Http { client, path, .. } = self.origin.as_deref()? else { return None };
        Some(Question {
            language: Language::Promql,
            text: recent::kept(&self.query).to_string(),
            client: client.map(|client| client.to_string()).unwrap_or_default(),
            by: path.clone(),
            user: user.map(str::to_string),
            range: Some(self.range()),
        })
    }

    pub(super) fn asked(&self) -> Asked {
        let [start, end, step] = self.range();
        Asked { query: self.query.clone(), start, end, step, origin: self.origin.clone() }
    }
}

/// A float or a histogram at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One series of a result, points in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultSeries {
    pub labels: Labels,
    pub points: Vec<(i64, Point)>,
}

/// The four result types of Prometheus' API.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    Scalar(i64, f64),
    String(i64, String),
    /// One point per series; order matters only where the query sorts.
    Vector(Vec<ResultSeries>),
    /// Sorted by labels.
    Matrix(Vec<ResultSeries>),
}

impl QueryValue {
    /// As many as the same query has as a table: one for each point.
    pub fn rows(&self) -> usize {
        match self {
            Self::Scalar(..) | Self::String(..) => 1,
            Self::Vector(series) | Self::Matrix(series) => series.iter().map(|series| series.points.len()).sum(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct QueryResponse {
    pub value: QueryValue,
    /// Full texts with their prefix and position, as Prometheus returns them, not yet truncated to ten.
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
}

/// Where series come from: the store, or the fixtures of a test.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// The series that satisfy all matchers, and the sources of their samples in `range`.
    async fn snapshot(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Snapshot>;
}
