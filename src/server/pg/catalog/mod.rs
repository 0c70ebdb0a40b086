//! `pg_catalog` and `information_schema`: what clients ask for to list and describe tables.
//!
//! Relations have PostgreSQL 15's columns ([`spec`], data in `sql/pg_catalog`); [`sources`] says what is in them, computed when
//! they are read, so that a new metric is there without reconnecting. Functions are in [`functions`]; [`syntax`] and [`casts`]
//! rewrite what the engine cannot plan of statements about the catalog.

/// `x::regclass` and its like, and types under their names in `pg_catalog`.
pub mod casts;
/// Scalar functions of `pg_catalog`, and a few with rows.
mod functions;
/// The tables and views there are, by id and by name.
mod objects;
/// Ids that print as names, in results and as texts.
pub mod printed;
/// The functions there are.
mod procs;
/// Rows of relations, column by column.
mod rows;
/// What is in each relation.
mod sources;
/// Relations and types as PostgreSQL has them.
pub mod spec;
/// Constructs of catalog statements, before they are planned.
pub mod syntax;
/// A relation as a table of DataFusion.
mod table;
/// What filters ask for.
mod wanted;
/// What relations and functions are made of.
mod world;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::session::{DATABASE, Session};
use crate::engine::session::Engine;
pub use world::Instance;

/// The context of a new connection.
pub fn context(engine: &Engine) -> SessionContext {
    let state = engine.sql_context().state();
    let rule = Arc::new(super::cooperate::CooperativeJoins);
    // `information_schema` is PostgreSQL's here, not the engine's.
    let config = state.config().clone().with_information_schema(false);
    SessionContext::new_with_state(
        SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_physical_optimizer_rule(rule)
            .build(),
    )
}

/// Adds the catalog and its functions to a session.
pub fn install(session: &Arc<Session>, instance: &Arc<Instance>) {
    functions::register(session, instance);
    let Some(catalog) = session.context().catalog(DATABASE) else { return };
    for schema in [spec::PG_CATALOG, spec::INFORMATION_SCHEMA] {
        if catalog.schema(schema).is_none() {
            // The session holds the catalog and the catalog the schema, so the schema must not hold the session.
            let own = Own { schema, session: Arc::downgrade(session), instance: Arc::clone(instance) };
            catalog.register_schema(schema, Arc::new(own)).expect("a memory catalog takes any schema");
        }
    }
}

/// A schema of PostgreSQL's own.
struct Own {
    schema: &'static str,
    session: Weak<Session>,
    instance: Arc<Instance>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.schema)
    }
}

#[async_trait]
impl SchemaProvider for Own {
    fn table_names(&self) -> Vec<String> {
        spec::relations().filter(|r| r.schema == self.schema).map(|r| r.name.to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = spec::relation(self.schema, name) else { return Ok(None) };
        let table = table::CatalogTable::new(relation, self.session.clone(), Arc::clone(&self.instance));
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        spec::relation(self.schema, name).is_some()
    }
}
