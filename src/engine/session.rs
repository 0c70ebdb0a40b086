//! The engine's door: one `Engine` for the process, queries in, results out.

use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::storage::store::Store;

/// Limits and defaults of queries; Prometheus' flags of the same names.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub lookback_delta_ms: i64,
    pub default_subquery_step_ms: i64,
    pub timeout: Duration,
    pub max_samples: usize,
    pub max_concurrency: usize,
    pub memory_bytes: usize,
    pub features: Features,
}

/// `--enable-feature` names that change PromQL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    pub experimental_functions: bool,
    pub duration_expressions: bool,
    pub extended_range_selectors: bool,
    pub binop_fill_modifiers: bool,
    pub delayed_name_removal: bool,
    pub use_start_timestamps: bool,
    pub type_and_unit_labels: bool,
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
    pub time: EvalTime,
    pub lookback_delta_ms: Option<i64>,
    pub timeout: Option<Duration>,
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

#[derive(Clone, Debug, Default)]
pub struct QueryStats {
    pub samples_read: u64,
    pub prepare_seconds: f64,
    pub execute_seconds: f64,
}

#[derive(Clone, Debug)]
pub struct QueryResponse {
    pub value: QueryValue,
    /// Full texts with their prefix and position, as Prometheus returns them, not yet truncated to ten.
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub store: Arc<Store>,
    pub options: Arc<EngineOptions>,
}

impl Engine {
    pub fn new(store: Arc<Store>, options: EngineOptions) -> Result<Self> {
        Ok(Self { store, options: Arc::new(options) })
    }

    /// Parses, plans and runs one PromQL query. Dropping the future cancels it.
    pub async fn promql(&self, _request: QueryRequest) -> Result<QueryResponse> {
        todo!()
    }

    /// A DataFusion session of one SQL client: shared catalog and runtime, its own settings.
    pub fn sql_context(&self) -> SessionContext {
        todo!()
    }
}
