//! `pg_catalog`: what clients ask for to list and describe tables.
//!
//! Four relations are live (`pg_namespace`, `pg_class`, `pg_attribute`, `pg_type`), computed from the engine's
//! catalog when they are read, so a new metric is there without reconnecting. The rest are small views in
//! `sql/pg_catalog/*.sql`, planned when first used. Functions are in [`functions`].

/// Scalar functions of `pg_catalog`.
mod functions;
/// Live relations.
mod relations;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::listener::DATABASE;
use super::session::Session;
use crate::engine::session::Engine;

/// Views over nothing or over constants, each with the client query that needs it.
pub const SHIMS: &[(&str, &str)] = &[
    ("pg_am", include_str!("../../../../sql/pg_catalog/pg_am.sql")),
    ("pg_attrdef", include_str!("../../../../sql/pg_catalog/pg_attrdef.sql")),
    ("pg_collation", include_str!("../../../../sql/pg_catalog/pg_collation.sql")),
    ("pg_constraint", include_str!("../../../../sql/pg_catalog/pg_constraint.sql")),
    ("pg_database", include_str!("../../../../sql/pg_catalog/pg_database.sql")),
    ("pg_description", include_str!("../../../../sql/pg_catalog/pg_description.sql")),
    ("pg_extension", include_str!("../../../../sql/pg_catalog/pg_extension.sql")),
    ("pg_foreign_server", include_str!("../../../../sql/pg_catalog/pg_foreign_server.sql")),
    ("pg_foreign_table", include_str!("../../../../sql/pg_catalog/pg_foreign_table.sql")),
    ("pg_index", include_str!("../../../../sql/pg_catalog/pg_index.sql")),
    ("pg_inherits", include_str!("../../../../sql/pg_catalog/pg_inherits.sql")),
    ("pg_policy", include_str!("../../../../sql/pg_catalog/pg_policy.sql")),
    ("pg_publication", include_str!("../../../../sql/pg_catalog/pg_publication.sql")),
    ("pg_publication_namespace", include_str!("../../../../sql/pg_catalog/pg_publication_namespace.sql")),
    ("pg_publication_rel", include_str!("../../../../sql/pg_catalog/pg_publication_rel.sql")),
    ("pg_rewrite", include_str!("../../../../sql/pg_catalog/pg_rewrite.sql")),
    ("pg_roles", include_str!("../../../../sql/pg_catalog/pg_roles.sql")),
    ("pg_statistic_ext", include_str!("../../../../sql/pg_catalog/pg_statistic_ext.sql")),
    ("pg_tables", include_str!("../../../../sql/pg_catalog/pg_tables.sql")),
    ("pg_trigger", include_str!("../../../../sql/pg_catalog/pg_trigger.sql")),
    ("pg_views", include_str!("../../../../sql/pg_catalog/pg_views.sql")),
];

/// Names of every relation, for resolving them without their schema as Postgres does.
pub fn is_relation(name: &str) -> bool {
    relations::NAMES.contains(&name) || SHIMS.iter().any(|(shim, _)| *shim == name)
}

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
        session.context.register_udf(function);
    }
    let Some(catalog) = session.context.catalog(DATABASE) else { return };
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
        relations::NAMES.iter().copied().chain(SHIMS.iter().map(|s| s.0)).map(String::from).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let (Some(catalog), Some(session)) = (self.catalog.upgrade(), self.session.upgrade()) else {
            return Err(DataFusionError::Execution("the connection has ended".into()));
        };
        if let Some(live) = relations::table(name, &catalog) {
            return Ok(Some(live));
        }
        let Some((_, sql)) = SHIMS.iter().find(|(shim, _)| *shim == name) else { return Ok(None) };
        let plan = session.context.state().create_logical_plan(sql).await?;
        Ok(Some(Arc::new(ViewTable::new(plan, Some((*sql).to_string())))))
    }

    fn table_exist(&self, name: &str) -> bool {
        is_relation(name)
    }
}
