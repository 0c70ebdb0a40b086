//! Schema `public`: every metric is a table, looked up when a statement names it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableType;

use crate::engine::sql::samples::SamplesTable;
use crate::engine::sql::wait::wait;
use crate::engine::visible::Visible;
use crate::error::Error;
use crate::model::metadata::MetricType;
use crate::model::sample::TimeRange;

#[derive(Debug)]
pub struct MetricsSchema {
    visible: Visible,
}

impl MetricsSchema {
    pub fn new(visible: Visible) -> Self {
        Self { visible }
    }

    /// The metric a name stands for, with its labels. SQL folds unquoted names to lower case and metric names
    /// are not folded, so after the exact name the only one that differs in case is taken.
    async fn resolve(&self, name: &str) -> Result<Option<(String, Vec<String>)>> {
        let Some(metric) = metric_of(&self.visible, name).await.map_err(external)? else { return Ok(None) };
        let labels = self.visible.metric_labels(&metric).await.map_err(external)?;
        Ok(Some((metric, labels)))
    }

    /// Native histograms are stored under their family's name, so its type tells whether to expect any. A metric
    /// whose type nobody declared has its histograms in `promlake.samples` only.
    fn has_histograms(&self, metric: &str) -> bool {
        let native = |kind| matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
        self.visible.whole().metadata().iter().any(|(family, metadata)| family == metric && native(metadata.kind))
    }
}

/// The metric a name stands for: itself, or the only one that differs from it in case.
pub async fn metric_of(visible: &Visible, name: &str) -> crate::error::Result<Option<String>> {
    if !visible.metric_labels(name).await?.is_empty() {
        return Ok(Some(name.to_string()));
    }
    let names = visible.metric_names(TimeRange::ALL).await?;
    Ok(choose(&names, name).map(str::to_string))
}

/// `name` itself, else the one name that equals it but for case.
fn choose<'a>(names: &'a [String], name: &str) -> Option<&'a str> {
    if let Some(exact) = names.iter().find(|n| *n == name) {
        return Some(exact);
    }
    let mut folded = names.iter().filter(|n| n.eq_ignore_ascii_case(name));
    match (folded.next(), folded.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl SchemaProvider for MetricsSchema {
    fn table_names(&self) -> Vec<String> {
        let names = wait(async { self.visible.metric_names(TimeRange::ALL).await.map_err(external) });
        names.unwrap_or_else(|error| {
            tracing::warn!(%error, "metric names could not be listed for SQL");
            Vec::new()
        })
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some((metric, labels)) = self.resolve(name).await? else { return Ok(None) };
        let histograms = self.has_histograms(&metric);
        Ok(Some(Arc::new(SamplesTable::of_metric(self.visible.clone(), metric, &labels, histograms))))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.resolve(name).await?.map(|_| TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        choose(&self.table_names(), name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn names_are_exact_first_and_then_unique_but_for_case() {
        let names = ["Up", "errors_Total", "up", "X", "x_", "y", "Y"].map(str::to_string);
        let cases = [
            ("up", Some("up")),
            ("Up", Some("Up")),
            ("uP", None),
            ("errors_total", Some("errors_Total")),
            ("x", Some("X")),
            ("Y", Some("Y")),
            ("z", None),
        ];
        for (name, expected) in cases {
            assert_eq!(choose(&names, name), expected, "{name}");
        }
    }
}
