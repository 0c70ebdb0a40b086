//! The views of schema `promlake`. Each is a file of `sql/views`, planned when a statement names it.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::error::Result;

use crate::engine::sql::context::{self, Parts};

pub struct View {
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! views {
    ($($name:literal),*) => {
        &[$(View { name: $name, sql: include_str!(concat!("../../../sql/views/", $name, ".sql")) }),*]
    };
}

pub const VIEWS: &[View] = views!["cardinality", "label_values", "storage"];

/// The view of this name as a table that shows its plan, so that DataFusion optimizes through it.
pub(super) async fn plan(name: &str, parts: &Parts) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(view) = VIEWS.iter().find(|view| view.name == name) else { return Ok(None) };
    let session = context::build(parts.clone());
    let plan = session.state().create_logical_plan(view.sql).await?;
    Ok(Some(Arc::new(ViewTable::new(plan, Some(view.sql.to_string())))))
}
