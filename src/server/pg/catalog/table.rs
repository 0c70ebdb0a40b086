//! A relation as a table of DataFusion: its rows are made whenever it is scanned.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, Session as Planning, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::sources;
use super::spec::Relation;
use super::wanted::Wanted;
use super::world::{Instance, World};
use crate::server::pg::session::Session;

pub struct CatalogTable {
    relation: &'static Relation,
    schema: SchemaRef,
    /// Plans are kept by sessions, so they must not keep one.
    session: Weak<Session>,
    instance: Arc<Instance>,
}

impl CatalogTable {
    pub fn new(relation: &'static Relation, session: Weak<Session>, instance: Arc<Instance>) -> Self {
        Self { relation, schema: relation.arrow_schema(), session, instance }
    }
}

impl fmt::Debug for CatalogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogTable({})", self.relation.name)
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        if self.relation.is_view { TableType::View } else { TableType::Base }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Planning,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let gone = || DataFusionError::Execution("the connection has ended".into());
        let session = self.session.upgrade().ok_or_else(gone)?;
        let world = World { session, instance: Arc::clone(&self.instance) };
        let rows = sources::rows(world, self.relation.schema, self.relation.name, Wanted::of(filters)).await?;
        let batch = rows.batch(self.relation, &self.schema, projection)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        table.scan(state, None, &[], limit).await
    }
}
