//! `pg_catalog`: what clients ask for to list and describe tables.
//!
//! Four relations are live (`pg_namespace`, `pg_class`, `pg_attribute`, `pg_type`), computed from the engine's
//! catalog when they are read, so a new metric is there without reconnecting. The rest are small views in
//! `sql/pg_catalog/*.sql`, planned when first used. Functions are in [`functions`].

/// Scalar functions of `pg_catalog`.
mod functions;
/// What relations there are.
pub mod names;
/// Live relations.
mod relations;
/// `pg_settings`.
mod settings;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::session::Session;
use super::shared::DATABASE;
use crate::engine::session::Engine;

/// The context of a new connection.
pub fn context(engine: &Engine) -> SessionContext {
    let state = engine.sql_context().state();
    let rule = Arc::new(super::cooperate::CooperativeJoins);
    SessionContext::new_with_state(
        SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rule(rule).build(),
    )
}

/// Adds `pg_catalog` and its functions to a session.
pub fn install(session: &Arc<Session>) {
    for function in functions::all(session) {
        session.context().register_udf(function);
    }
    let Some(catalog) = session.context().catalog(DATABASE) else { return };
    if catalog.schema("pg_catalog").is_none() {
        // The context holds the catalog and the catalog the schema, so the schema must hold neither.
        let schema = PgCatalog { catalog: Arc::downgrade(&catalog), session: Arc::downgrade(session) };
        catalog.register_schema("pg_catalog", Arc::new(schema)).expect("a memory catalog takes any schema");
    }
}

/// The schema `pg_catalog` over a catalog.
struct PgCatalog {
    catalog: Weak<dyn CatalogProvider>,
    /// Plans the shims.
    session: Weak<Session>,
}

impl std::fmt::Debug for PgCatalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgCatalog")
    }
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        let live = relations::NAMES.iter().copied().chain([settings::NAME]);
        live.chain(names::SHIMS.iter().map(|s| s.0)).map(String::from).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let (Some(catalog), Some(session)) = (self.catalog.upgrade(), self.session.upgrade()) else {
            return Err(DataFusionError::Execution("the connection has ended".into()));
        };
        if let Some(live) = relations::table(name, &catalog) {
            return Ok(Some(live));
        }
        if name == settings::NAME {
            return settings::table(&session).map(Some);
        }
        let Some((_, sql)) = names::SHIMS.iter().find(|(shim, _)| *shim == name) else { return Ok(None) };
        let plan = session.context().state().create_logical_plan(sql).await?;
        Ok(Some(Arc::new(ViewTable::new(plan, Some((*sql).to_string())))))
    }

    fn table_exist(&self, name: &str) -> bool {
        names::is_relation(name)
    }
}
