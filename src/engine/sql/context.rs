//! A SQL session. It is made per connection from shared parts: catalogs hold no state of their own, functions are
//! shared pointers, and the runtime with its memory pool and caches is the engine's.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::prelude::SessionContext;

use crate::engine::sql::catalog::MetricsSchema;
use crate::engine::sql::external::{ExternalSchema, ListExternal};
use crate::engine::sql::from_functions::FunctionPlanner;
use crate::engine::sql::functions;
use crate::engine::sql::gapfill::names::functions as gap_functions;
use crate::engine::sql::gapfill::node::SqlQueryPlanner;
use crate::engine::sql::generate_series::SeriesPlanner;
use crate::engine::sql::promql::{PlanPromql, PromqlFunction};
use crate::engine::sql::system::{ListFiles, SystemSchema, SystemTables};
use crate::engine::visible::Visible;

pub const CATALOG: &str = "promlake";
pub const METRICS_SCHEMA: &str = "public";
pub const SYSTEM_SCHEMA: &str = "promlake";
pub const EXTERNAL_SCHEMA: &str = "external";

/// What all sessions share. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// What is shown of the store.
    pub visible: Visible,
    /// The engine's own state: runtime, settings, and the query planner that knows PromQL's operators.
    pub state: SessionState,
    /// Plans the text of `promql()`.
    pub promql: PlanPromql,
    /// The live files of the lake.
    pub files: ListFiles,
    /// Tables of the application, such as `targets`.
    pub system: Arc<SystemTables>,
    /// Files of the configuration, and which of them who asks may read; `None` for all.
    pub external: (ListExternal, Option<Arc<[String]>>),
    /// Who reads them, where he sees of others not all.
    pub reader: Option<Arc<str>>,
}

/// A new session over the parts.
pub fn build(parts: Parts) -> SessionContext {
    let config = parts
        .state
        .config()
        .clone()
        .with_default_catalog_and_schema(CATALOG, METRICS_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let promql = Arc::new(PromqlFunction::new(parts.promql.clone()));
    let catalog = catalog(&parts);
    let mut state = SessionStateBuilder::new_from_existing(parts.state)
        .with_session_id(uuid::Uuid::new_v4().to_string())
        .with_config(config)
        .with_catalog_list(catalog)
        .with_query_planner(Arc::new(SqlQueryPlanner))
        .build();
    state.register_udtf("promql", promql);
    let planners: [Arc<dyn RelationPlanner>; 2] = [Arc::new(FunctionPlanner), Arc::new(SeriesPlanner)];
    for planner in planners {
        state.register_relation_planner(planner).expect("a list takes any planner");
    }
    let context = SessionContext::new_with_state(state);
    functions::register(&context);
    for function in gap_functions() {
        context.register_udf(function);
    }
    context
}

fn catalog(parts: &Parts) -> Arc<dyn CatalogProviderList> {
    let metrics = Arc::new(MetricsSchema::new(parts.visible.clone()));
    let system = Arc::new(SystemSchema::new(parts.clone()));
    let (tables, only) = parts.external.clone();
    let external = Arc::new(ExternalSchema { state: parts.state.clone(), tables, only });
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(METRICS_SCHEMA, metrics).expect("a memory catalog takes any schema");
    catalog.register_schema(SYSTEM_SCHEMA, system).expect("a memory catalog takes any schema");
    catalog.register_schema(EXTERNAL_SCHEMA, external).expect("a memory catalog takes any schema");
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_string(), Arc::new(catalog));
    Arc::new(list)
}
