//! Samples as a table: of one metric with its labels as columns, or of all metrics with labels as a map.
//! The schema is fixed when the statement is planned; the snapshot is taken when it is about to run, with the
//! matchers and the time range of its WHERE clause.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::engine::scan::table::{Column, HISTOGRAM, Shape, TIMESTAMP, VALUE};
use crate::engine::scan::{ScanOptions, SeriesTable};
use crate::engine::sql::catalog::external;
use crate::engine::sql::pushdown::{self, Pushdown};
use crate::engine::usage::By;
use crate::engine::visible::Visible;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;

#[derive(Debug)]
pub struct SamplesTable {
    visible: Visible,
    /// `None` for all metrics.
    metric: Option<String>,
    columns: Vec<(String, Column)>,
    schema: SchemaRef,
}

impl SamplesTable {
    /// `timestamp`, `value`, the labels, and `histogram` if asked for.
    pub fn of_metric(visible: Visible, metric: String, labels: &[String], histograms: bool) -> Self {
        let mut columns = vec![(TIMESTAMP.to_string(), Column::Timestamp), (VALUE.to_string(), Column::Value)];
        let names = column_names(labels, &[TIMESTAMP, VALUE, HISTOGRAM]);
        columns.extend(names.into_iter().zip(labels.iter().cloned().map(Column::Label)));
        if histograms {
            columns.push((HISTOGRAM.to_string(), Column::Histogram));
        }
        Self::new(visible, Some(metric), columns)
    }

    /// `metric`, `labels`, `timestamp`, `value`, `histogram` of every sample.
    pub fn of_all(visible: Visible) -> Self {
        let columns = vec![
            ("metric".to_string(), Column::Label(METRIC_NAME.to_string())),
            ("labels".to_string(), Column::Labels),
            (TIMESTAMP.to_string(), Column::Timestamp),
            (VALUE.to_string(), Column::Value),
            (HISTOGRAM.to_string(), Column::Histogram),
        ];
        Self::new(visible, None, columns)
    }

    fn new(visible: Visible, metric: Option<String>, columns: Vec<(String, Column)>) -> Self {
        let fields: Vec<_> = columns.iter().map(|(name, column)| column.field(name, Shape::Rows)).collect();
        Self { visible, metric, columns, schema: Arc::new(arrow::datatypes::Schema::new(fields)) }
    }
}

/// The column names of labels: a label that has the name of another column gets the suffix `_label`, as often
/// as it takes.
pub fn column_names(labels: &[String], taken: &[&str]) -> Vec<String> {
    let mut used: BTreeSet<String> = taken.iter().map(|name| name.to_string()).collect();
    used.extend(labels.iter().filter(|label| !taken.contains(&label.as_str())).cloned());
    let name = |label: &String| {
        if !taken.contains(&label.as_str()) {
            return label.clone();
        }
        let mut name = format!("{label}_label");
        while !used.insert(name.clone()) {
            name.push_str("_label");
        }
        name
    };
    labels.iter().map(name).collect()
}

#[async_trait]
impl TableProvider for SamplesTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match pushdown::translate(filter, &self.columns) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut wanted = Pushdown::default();
        wanted.matchers.extend(self.metric.iter().map(Matcher::metric));
        for filter in filters {
            if let Some(pushdown) = pushdown::translate(filter, &self.columns) {
                wanted.and(pushdown);
            }
        }
        if wanted.range.is_empty() {
            let schema = projection.map_or(Ok(self.schema.clone()), |p| self.schema.project(p).map(Arc::new))?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        if let Some(usage) = self.visible.usage() {
            let is_read = |at: &usize| projection.is_none_or(|read| read.contains(at));
            let read = self.columns.iter().enumerate().filter(|(at, _)| is_read(at));
            let labels: Vec<&str> = read
                .filter_map(|(_, (_, column))| match column {
                    Column::Label(name) if name != METRIC_NAME => Some(name.as_str()),
                    _ => None,
                })
                .collect();
            usage.matchers(By::Sql, &wanted.matchers, &labels);
        }
        let snapshot = self.visible.snapshot(wanted.range, &wanted.matchers).await.map_err(external)?;
        let table = SeriesTable::with_columns(
            Arc::new(snapshot),
            wanted.range,
            Shape::Rows,
            self.columns.clone(),
            &ScanOptions::default(),
        );
        table.scan(state, projection, &[], limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::column_names;

    #[test]
    fn labels_make_way_for_columns() {
        let labels = ["job", "timestamp", "value", "value_label"].map(str::to_string);
        let names = column_names(&labels, &["timestamp", "value", "histogram"]);
        assert_eq!(names, ["job", "timestamp_label", "value_label_label", "value_label"]);
    }
}
