//! What lowering knows of the query, and what a node returns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_aggregate::expr_fn::bool_or;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableScan, TableScanBuilder};
use datafusion::prelude::lit;

use super::resolve::Leaf;
use super::shared::Repeated;
use crate::engine::error::from_datafusion;
use crate::engine::promql::annotations::Annotations;
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::moment::Moment;
use crate::engine::promql::plan::functions::shape;
use crate::engine::promql::plan::layout::{DROP_NAME, Grid, HISTOGRAMS, VALUES, histograms_type, values_type};
use crate::engine::promql::plan::node::{VectorNode, VectorOp};
use crate::engine::promql::plan::ops::unique::UniqueSeries;
use crate::engine::promql::plan::samples::Sink;
use crate::engine::promql::tally::{Counted, Tally};
use crate::engine::query::Features;
use crate::engine::scan::ScanOptions;
use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::promql::span::Span;

/// What is the same for the whole query.
pub struct Query {
    pub grid: Grid,
    pub lookback_ms: i64,
    pub default_subquery_step_ms: i64,
    pub features: Features,
    pub annotations: Annotations,
    pub cancel: Cancel,
    pub moment: Moment,
    pub tally: Arc<Tally>,
    /// By the place of the selector (or the `info` call) in the query.
    pub leaves: Arc<HashMap<Span, Leaf>>,
    pub repeated: Repeated,
    pub scan: ScanOptions,
}

/// Where in the query lowering is: the grid changes inside of subqueries.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub query: &'a Query,
    pub grid: Grid,
    /// Selectors need no more of histograms than their statistics.
    pub statistics: bool,
    /// Inside of a subquery without a step: the grid has one all the same, but its result is thrown away.
    pub unused: bool,
}

impl<'a> Context<'a> {
    pub fn new(query: &'a Query) -> Self {
        Self { query, grid: query.grid, statistics: false, unused: false }
    }

    /// Whether selectors below are asked for counts and sums of histograms only, see [`statistics`].
    ///
    /// [`statistics`]: crate::engine::promql::kernel::native::statistics
    pub fn with_statistics(&self, statistics: bool) -> Self {
        Self { statistics, ..*self }
    }

    pub fn with_grid(&self, grid: Grid) -> Self {
        Self { grid, ..*self }
    }

    pub fn with_unused(&self, unused: bool) -> Self {
        Self { unused: self.unused || unused, ..*self }
    }

    pub fn sink(&self, span: Span) -> Sink {
        self.sink_for(span, span)
    }

    /// A sink that reports for an argument of the node.
    pub fn sink_for(&self, span: Span, arg_span: Span) -> Sink {
        let Query { annotations, cancel, moment, .. } = self.query;
        let (annotations, cancel, moment) = (annotations.clone(), cancel.clone(), moment.clone());
        Sink { annotations, cancel, moment, span, arg_span }
    }

    /// Where the samples of a selector, an `info` call or a subquery are counted.
    pub fn counted(&self, span: Span) -> Result<Counted> {
        Counted::new(&self.query.tally, span).ok_or_else(|| Error::internal("a selector that is not counted"))
    }

    pub fn delayed_names(&self) -> bool {
        self.query.features.delayed_name_removal
    }
}

/// What an expression lowers to.
pub enum Value {
    Vector(Lowered),
    Scalar(Scalar),
    String(String),
}

/// A PromQL scalar.
#[derive(Clone)]
pub enum Scalar {
    Constant(f64),
    /// A vector of one value per step: an expression over the columns of one-row plans, which whoever uses
    /// the scalar cross-joins.
    Steps {
        expr: Expr,
        sources: Vec<LogicalPlan>,
    },
}

impl Scalar {
    /// The argument for a UDF, and the plans it needs.
    pub fn into_argument(self) -> (Expr, Vec<LogicalPlan>) {
        match self {
            Scalar::Constant(value) => (lit(value), vec![]),
            Scalar::Steps { expr, sources } => (expr, sources),
        }
    }
}

/// What becomes of the metric name at the end of the query (delayed name removal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFate {
    Kept,
    Dropped,
    /// By row, in the column [`DROP_NAME`].
    ByRow,
}

/// How the result of an instant query is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By value; NaN last.
    Value { descending: bool },
    /// By the values of labels, then by all labels.
    Labels { labels: Vec<String>, descending: bool },
    /// As the rows come.
    Rows,
}

/// An instant vector in the vector layout.
#[derive(Clone)]
pub struct Lowered {
    pub plan: LogicalPlan,
    /// Label columns, in the order of the plan's columns.
    pub labels: Vec<String>,
    pub steps: usize,
    pub histograms: bool,
    pub name: NameFate,
    /// No two rows have the same labels.
    pub unique: bool,
    /// Nor would they without the metric name and its companions.
    pub unique_unnamed: bool,
    pub order: Option<Order>,
}

/// Labels that describe the metric and go with its name.
pub fn is_metadata_label(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// A column by its exact name; `col` would read the name as SQL.
pub fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// No label.
pub fn null_label() -> Expr {
    lit(ScalarValue::Utf8View(None))
}

/// A label value known when the query is planned.
pub fn label_literal(value: &str) -> Expr {
    lit(ScalarValue::Utf8View((!value.is_empty()).then(|| value.to_string())))
}

/// Puts one-row plans beside a plan. The one-row plan goes left, where a cross join gathers its input.
pub fn cross_join(plan: LogicalPlan, sources: &[LogicalPlan]) -> Result<LogicalPlan> {
    let mut joined = plan;
    let mut seen: Vec<&LogicalPlan> = vec![];
    for source in sources {
        if seen.contains(&source) {
            continue;
        }
        seen.push(source);
        joined = LogicalPlanBuilder::from(source.clone())
            .cross_join(joined)
            .and_then(LogicalPlanBuilder::build)
            .map_err(from_datafusion)?;
    }
    Ok(joined)
}

/// An expression of more nodes stays in a projection of its own: what is merged is built anew each time.
const MERGED_NODES: usize = 16;

/// Projects. Two projections become one where nothing is computed twice for it, so that a plan has few nodes; and a scan
/// reads only the columns that are asked of it. DataFusion's own rule for both takes as long as all the rest of planning.
pub fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    projected(plan, exprs).map_err(from_datafusion)
}

fn projected(plan: LogicalPlan, exprs: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    let input = match plan {
        plan if is_all_of(&exprs, plan.schema()) => return Ok(plan),
        LogicalPlan::Projection(below) if is_one_with(&exprs, &below.expr)? => {
            let exprs = exprs.iter().map(|e| through(e, &below)).collect::<DataFusionResult<Vec<_>>>()?;
            return projected(Arc::unwrap_or_clone(below.input), exprs);
        }
        LogicalPlan::TableScan(scan) => LogicalPlan::TableScan(scan_of(scan, &exprs)?),
        plan => plan,
    };
    // Not by way of a builder, which would look up the table of every column.
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
}

/// Names of the columns that expressions read.
pub fn columns_read<'a>(exprs: impl Iterator<Item = &'a Expr>) -> HashSet<&'a str> {
    exprs.flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect()
}

/// A scan of the columns that expressions read.
fn scan_of(scan: TableScan, exprs: &[Expr]) -> DataFusionResult<TableScan> {
    let names = columns_read(exprs.iter());
    let schema = scan.source.schema();
    let read: Vec<usize> =
        (0..schema.fields().len()).filter(|i| names.contains(schema.field(*i).name().as_str())).collect();
    if read.is_empty() || read.len() == scan.projected_schema.fields().len() {
        return Ok(scan);
    }
    TableScanBuilder::from(scan).with_projection(Some(read)).build()
}

/// Whether a projection would change nothing.
fn is_all_of(exprs: &[Expr], schema: &DFSchema) -> bool {
    let is_same = |(expr, field): (&Expr, &Arc<Field>)| match expr {
        Expr::Alias(alias) => alias.name == *field.name() && picked(expr) == Some(field.name()),
        expr => picked(expr) == Some(field.name()),
    };
    exprs.len() == schema.fields().len() && exprs.iter().zip(schema.fields().iter()).all(is_same)
}

/// Whether a projection of a projection can be one. Two equal ones must be, whatever their size: `sqrt(sqrt(x))` is twice
/// `sqrt(__values__) AS __values__`, and DataFusion's optimizer, which plans SQL, takes a projection that equals the one
/// below it for redundant.
fn is_one_with(above: &[Expr], below: &[Expr]) -> DataFusionResult<bool> {
    if below.iter().all(|e| picked(e).is_some()) || above == below {
        return Ok(true);
    }
    let mut read: Vec<&str> = vec![];
    for expr in above {
        expr.apply(|e| {
            if let Expr::Column(column) = e {
                read.push(&column.name);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    read.sort_unstable();
    let is_read_once = read.windows(2).all(|pair| pair[0] != pair[1]);
    Ok(is_read_once && (above.iter().all(|e| picked(e).is_some()) || below.iter().all(is_small)))
}

fn is_small(expr: &Expr) -> bool {
    let mut nodes = 0;
    let counted = expr.apply(|_| {
        nodes += 1;
        Ok(if nodes > MERGED_NODES { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    counted.is_ok() && nodes <= MERGED_NODES
}

/// The column an expression stands for, under any name.
fn picked(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Alias(alias) => picked(&alias.expr),
        _ => None,
    }
}

/// An expression over the columns of a projection as one over what that projects.
fn through(expr: &Expr, below: &Projection) -> DataFusionResult<Expr> {
    let name = expr.schema_name().to_string();
    let expr = expr.clone().transform_up(|e| match e {
        Expr::Column(column) => {
            let computed = below.expr[below.schema.index_of_column(&column)?].clone();
            Ok(Transformed::yes(computed.unalias()))
        }
        e => Ok(Transformed::no(e)),
    })?;
    expr.data.alias_if_changed(name)
}

impl Lowered {
    /// One row without labels; `values` is an expression over `sources`.
    pub fn one_row(values: Expr, sources: Vec<LogicalPlan>, steps: usize) -> Result<Self> {
        let row = LogicalPlanBuilder::empty(true).build().map_err(from_datafusion)?;
        let plan = project(cross_join(row, &sources)?, vec![values.alias(VALUES)])?;
        Ok(Self {
            plan,
            labels: vec![],
            steps,
            histograms: false,
            name: NameFate::Kept,
            unique: true,
            unique_unnamed: true,
            order: None,
        })
    }

    pub fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|l| l == name)
    }

    /// The column of a label, NULL where the vector has no such label.
    pub fn label(&self, name: &str) -> Expr {
        if self.has_label(name) { column(name) } else { null_label() }
    }

    /// Values, and histograms where there are any: the first arguments of functions.
    pub fn point_columns(&self) -> Vec<Expr> {
        let mut columns = vec![column(VALUES)];
        if self.histograms {
            columns.push(column(HISTOGRAMS));
        }
        columns
    }

    /// The columns that are no points: labels and the fate of names.
    pub fn row_columns(&self) -> Vec<Expr> {
        let mut columns: Vec<Expr> = self.labels.iter().map(|l| column(l)).collect();
        if self.name == NameFate::ByRow {
            columns.push(column(DROP_NAME));
        }
        columns
    }

    /// Replaces the points by what a UDF makes of them. Where it makes histograms it returns a struct, which a
    /// second projection splits, so that it is computed once.
    pub fn with_points(self, points: Expr, histograms: bool, steps: usize) -> Result<Self> {
        self.with_points_from(points, &[], histograms, steps)
    }

    pub fn with_points_from(
        self,
        points: Expr,
        sources: &[LogicalPlan],
        histograms: bool,
        steps: usize,
    ) -> Result<Self> {
        let mut columns = self.row_columns();
        columns.push(points.alias(VALUES));
        let split_columns = histograms.then(|| split(self.row_columns()));
        let mut plan = project(cross_join(self.plan, sources)?, columns)?;
        if let Some(columns) = split_columns {
            plan = project(plan, columns)?;
        }
        Ok(Self { plan, histograms, steps, order: None, ..self })
    }

    /// The metric name goes: at once, or at the end of the query.
    pub fn drop_name(self, cx: &Context<'_>) -> Result<Self> {
        if !self.labels.iter().any(|l| is_metadata_label(l)) {
            return Self { name: NameFate::Kept, ..self }.without_fate();
        }
        if cx.delayed_names() {
            let plain = self.without_fate()?;
            return Ok(Self { name: NameFate::Dropped, ..plain });
        }
        self.remove_name(cx)
    }

    /// Forgets the fate of names by row, to be replaced by one for all.
    fn without_fate(mut self) -> Result<Self> {
        if self.plan.schema().has_column_with_unqualified_name(DROP_NAME) {
            let mut columns: Vec<Expr> = self.labels.iter().map(|l| column(l)).collect();
            columns.extend(self.point_columns());
            self.plan = project(self.plan, columns)?;
        }
        Ok(self)
    }

    fn remove_name(self, cx: &Context<'_>) -> Result<Self> {
        let labels: Vec<String> = self.labels.iter().filter(|l| !is_metadata_label(l)).cloned().collect();
        let unique = self.unique_unnamed;
        let kept = Self { name: NameFate::Kept, ..self };
        kept.with_labels(labels.iter().map(|l| column(l)).collect(), labels, unique)?.ensure_unique(cx)
    }

    /// The same points under other label columns, given as expressions named like `labels`.
    pub fn with_labels(self, exprs: Vec<Expr>, labels: Vec<String>, unique: bool) -> Result<Self> {
        let mut columns: Vec<Expr> = exprs.into_iter().zip(&labels).map(|(e, l)| e.alias(l)).collect();
        if self.name == NameFate::ByRow {
            columns.push(column(DROP_NAME));
        }
        columns.extend(self.point_columns());
        let plan = project(self.plan, columns)?;
        let unnamed = unique && (self.unique_unnamed || !labels.iter().any(|l| is_metadata_label(l)));
        Ok(Self { plan, labels, unique, unique_unnamed: unnamed, ..self })
    }

    /// Merges rows of equal labels, if there may be any.
    pub fn ensure_unique(self, cx: &Context<'_>) -> Result<Self> {
        if self.unique {
            return Ok(self);
        }
        let op = VectorOp::Unique(UniqueSeries { steps: self.steps });
        let schema = Arc::clone(self.plan.schema());
        let plan = VectorNode::plan(op, vec![self.plan], schema, &cx.query.cancel);
        Ok(Self { plan, unique: true, ..self })
    }

    /// Puts the fate of names into a column, so that it can differ by row.
    pub fn with_fate_column(self) -> Result<Self> {
        let dropped = match self.name {
            NameFate::ByRow => return Ok(self),
            NameFate::Kept => false,
            NameFate::Dropped => true,
        };
        self.with_fate(lit(dropped))
    }

    /// Replaces the fate of names.
    pub fn with_fate(self, dropped: Expr) -> Result<Self> {
        let mut columns: Vec<Expr> = self.labels.iter().map(|l| column(l)).collect();
        columns.push(dropped.alias(DROP_NAME));
        columns.extend(self.point_columns());
        let plan = project(self.plan, columns)?;
        Ok(Self { plan, name: NameFate::ByRow, ..self })
    }

    /// The end of the query: names that were to be dropped go, rows that become equal are merged.
    pub fn finish(self, cx: &Context<'_>) -> Result<Self> {
        let order = self.order.clone();
        let finished = match self.name {
            NameFate::Kept => self.ensure_unique(cx)?,
            NameFate::Dropped => self.remove_name(cx)?,
            NameFate::ByRow => {
                let labels = self.labels.clone();
                let unique = self.unique_unnamed;
                let keep = |l: &String| {
                    if !is_metadata_label(l) {
                        return Ok(column(l));
                    }
                    datafusion::logical_expr::when(column(DROP_NAME), null_label())
                        .otherwise(column(l))
                        .map_err(from_datafusion)
                };
                let exprs = labels.iter().map(keep).collect::<Result<Vec<_>>>()?;
                let named = self.with_labels(exprs, labels, unique)?;
                Self { name: NameFate::Kept, ..named }.without_fate()?.ensure_unique(cx)?
            }
        };
        Ok(Self { order, ..finished })
    }

    /// The aggregate expression for the fate of names of a group: any row that drops the name decides.
    pub fn group_fate(&self) -> Option<Expr> {
        (self.name == NameFate::ByRow).then(|| bool_or(column(DROP_NAME)).alias(DROP_NAME))
    }

    /// The schema of a vector with these labels, for extension operators.
    pub fn schema(labels: &[String], fate: bool, histograms: bool, steps: usize) -> Result<Arc<DFSchema>> {
        let mut fields: Vec<Arc<Field>> =
            labels.iter().map(|l| Arc::new(Field::new(l, DataType::Utf8View, true))).collect();
        if fate {
            fields.push(Arc::new(Field::new(DROP_NAME, DataType::Boolean, true)));
        }
        fields.push(Arc::new(Field::new(VALUES, values_type(steps), true)));
        if histograms {
            fields.push(Arc::new(Field::new(HISTOGRAMS, histograms_type(steps), true)));
        }
        let fields: Vec<_> = fields.into_iter().map(|f| (None, f)).collect();
        Ok(Arc::new(DFSchema::new_with_metadata(fields, HashMap::new()).map_err(from_datafusion)?))
    }
}

/// The columns after a function that returned points: rows, values, histograms.
pub fn split(mut columns: Vec<Expr>) -> Vec<Expr> {
    columns.push(shape::pick(column(VALUES), 0).alias(VALUES));
    columns.push(shape::pick(column(VALUES), 1).alias(HISTOGRAMS));
    columns
}

#[cfg(test)]
mod tests;
