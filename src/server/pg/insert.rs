//! `INSERT INTO metric SELECT …`, where the server allows it: rows of any query become samples of the metric. The query is planned
//! and verified as any other one; the statement itself is none that the engine knows.
//!
//! Columns are named by the list behind the metric, or by the query: `timestamp`, `value`, and a label for each other one, whose
//! text is its value. What the tables of metrics call `timestamp_label` is the label `timestamp`. `__name__` is passed over, as the
//! metric is the one behind INTO, and `histogram` has to be NULL.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Insert, ObjectName, OnConflictAction, OnInsert, Query, SelectItem, SetExpr,
    Statement as SqlStatement, TableObject,
};
use futures::StreamExt;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use super::params::known::parameter;
use super::pending::Samples;
use super::session::Session;
use super::{cooperate, errors, names, outputs, types};
use crate::engine::door::{Limits, Pass, canceled};
use crate::engine::session::Engine;
use crate::engine::sql::promql::StatementPromql;
use crate::error::{Error, ErrorKind};
use crate::ingest::labels::checked;
use crate::model::labels::METRIC_NAME;
use crate::model::sample::is_stale;
use crate::past::insert::{Inserted, Inserter, MAX_DAYS, Refused, Statement, Turn};
use crate::storage::lake::files::timestamp_text;

const TIMESTAMP: &str = "timestamp";
const VALUE: &str = "value";
const HISTOGRAM: &str = "histogram";
/// Behind a label that is called as another column.
const SUFFIX: &str = "_label";
/// Columns of a metric, as of a PostgreSQL table.
const MAX_COLUMNS: usize = 1_600;
/// Rows of a statement.
const MAX_ROWS: u64 = 100_000_000;

/// Where the rows of a query go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    metric: String,
    columns: Vec<Column>,
    /// `ON CONFLICT DO NOTHING`
    keeps_others: bool,
}

/// What a column of the query is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    Timestamp,
    Value,
    Histogram,
    Label(String),
    Ignored,
}

impl Column {
    /// Of the label, or of the column in the table of a metric.
    pub fn name(&self) -> &str {
        match self {
            Column::Timestamp => TIMESTAMP,
            Column::Value => VALUE,
            Column::Histogram => HISTOGRAM,
            Column::Label(name) => name,
            Column::Ignored => METRIC_NAME,
        }
    }
}

/// A statement as it is written.
pub struct Parts {
    metric: Ident,
    columns: Vec<String>,
    keeps_others: bool,
    /// Planned by itself.
    pub query: SqlStatement,
}

/// Takes a statement apart.
///
/// # Errors
/// 0A000 for what is not supported, 42501 for what is no metric.
pub fn parts(insert: Insert) -> PgWireResult<Parts> {
    let unsupported = [
        (insert.returning.is_some(), "RETURNING"),
        (insert.table_alias.is_some(), "an alias of the metric"),
        (insert.overwrite || insert.replace_into || insert.partitioned.is_some(), "to replace rows"),
        (!insert.assignments.is_empty(), "SET"),
        (insert.source.is_none(), "DEFAULT VALUES"),
        (insert.multi_table_insert_type.is_some(), "more than one metric"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(is_there, _)| *is_there) {
        return Err(errors::unsupported(format!("{what} in INSERT")));
    }
    let keeps_others = match insert.on {
        None => false,
        Some(OnInsert::OnConflict(on)) if on.action == OnConflictAction::DoNothing => true,
        Some(_) => {
            return Err(errors::unsupported(
                "ON CONFLICT with another action than DO NOTHING: samples do not change",
            ));
        }
    };
    let TableObject::TableName(name) = insert.table else {
        return Err(errors::unsupported("INSERT into anything but a metric"));
    };
    let query: Box<Query> = insert.source.expect("it was looked for");
    let columns = insert.columns.iter().map(|name| last(name).map(|ident| names::folded(&ident)));
    Ok(Parts {
        metric: metric_of(&name)?,
        columns: columns.collect::<PgWireResult<_>>()?,
        keeps_others,
        query: SqlStatement::Query(query),
    })
}

fn last(name: &ObjectName) -> PgWireResult<Ident> {
    let ident = name.0.last().and_then(|part| part.as_ident()).cloned();
    ident.ok_or_else(|| errors::error("42601", format!("{name} is no name")))
}

/// The name of a metric.
///
/// # Errors
/// 42501 for what is in no schema of metrics.
pub fn metric_of(name: &ObjectName) -> PgWireResult<Ident> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    let parts = parts.unwrap_or_default();
    let qualifiers: Vec<String> =
        parts.iter().take(parts.len().max(1) - 1).map(|part| names::folded(part)).collect();
    let qualifiers: Vec<&str> = qualifiers.iter().map(String::as_str).collect();
    match qualifiers[..] {
        [] | ["public"] | ["promlake", "public"] => last(name),
        _ => Err(errors::error("42501", format!("{name} is no metric: samples are inserted into schema public"))),
    }
}

impl Parts {
    /// What becomes of the columns of a query, which has this schema.
    ///
    /// # Errors
    /// 42601 for another number of columns, 42701 for one that is there twice, 42703 where one is missing, 42804 for one of a type
    /// that cannot be taken.
    pub async fn target(&self, engine: &Engine, schema: &Schema, names: Option<&[String]>) -> PgWireResult<Target> {
        let named = match (self.columns.is_empty(), names) {
            (true, Some(names)) if names.len() == schema.fields().len() => names.to_vec(),
            (true, _) => schema.fields().iter().map(|field| outputs::shown(field.name()).to_string()).collect(),
            (false, _) => self.columns.clone(),
        };
        let given = schema.fields().len();
        if given != named.len() {
            let what = if given > named.len() {
                "expressions than target columns"
            } else {
                "target columns than expressions"
            };
            return Err(errors::error("42601", format!("INSERT has more {what}")));
        }
        let columns = columns(&named)?;
        for ((column, name), field) in columns.iter().zip(&named).zip(schema.fields()) {
            check_type(column, name, field.data_type())?;
        }
        let metric = known_metric(engine, &self.metric).await?;
        Ok(Target { metric, columns, keeps_others: self.keeps_others })
    }

    /// Types of parameters, with those that are said of the ones which are values as they are.
    pub fn parameters(&self, declared: &[Option<Type>]) -> Vec<Option<Type>> {
        let mut declared = declared.to_vec();
        let SqlStatement::Query(query) = &self.query else { return declared };
        let mut say = |at: usize, expr: &Expr| {
            let (Some(name), Some(number)) = (self.columns.get(at), parameter(expr)) else { return };
            if declared.len() < number {
                declared.resize(number, None);
            }
            let of = match name.as_str() {
                TIMESTAMP => Type::TIMESTAMPTZ,
                VALUE => Type::FLOAT8,
                _ => Type::TEXT,
            };
            let known = declared[number - 1].take().filter(|known| *known != Type::UNKNOWN);
            declared[number - 1] = Some(known.unwrap_or(of));
        };
        match query.body.as_ref() {
            SetExpr::Values(values) => {
                for row in &values.rows {
                    row.content.iter().enumerate().for_each(|(at, expr)| say(at, expr));
                }
            }
            SetExpr::Select(select) => {
                for (at, item) in select.projection.iter().enumerate() {
                    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                        say(at, expr);
                    }
                }
            }
            _ => {}
        }
        declared
    }
}

/// A metric as a query would find it.
///
/// # Errors
/// Those of the store.
pub async fn known_metric(engine: &Engine, metric: &Ident) -> PgWireResult<String> {
    if metric.quote_style.is_some() {
        return Ok(metric.value.clone());
    }
    let folded = names::folded(metric);
    let known = crate::engine::sql::catalog::metric_of(engine.visible(), &folded).await?;
    Ok(known.unwrap_or(folded))
}

impl Target {
    /// A metric, and columns by their names.
    ///
    /// # Errors
    /// 42701 for one that is there twice, 42703 where one is missing, 54011 for too many.
    pub fn of(metric: String, names: &[String]) -> PgWireResult<Self> {
        Ok(Self { metric, columns: columns(names)?, keeps_others: false })
    }

    pub fn metric(&self) -> &str {
        &self.metric
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn keeps_others(&self) -> bool {
        self.keeps_others
    }

    /// Adds a sample with labels, of which those without a text are none.
    ///
    /// # Errors
    /// 23502 where the time or the value is missing, 22023 for labels and values that no series has.
    pub fn sample(
        &self,
        timestamp: Option<i64>,
        value: Option<f64>,
        labels: &[(&str, &str)],
        samples: &mut impl Samples,
    ) -> PgWireResult<()> {
        let missing = |column: &str| errors::error("23502", format!("null value in column \"{column}\""));
        let timestamp = timestamp.ok_or_else(|| missing(TIMESTAMP))?;
        let value = value.ok_or_else(|| missing(VALUE))?;
        if is_stale(value) {
            return Err(errors::error("22023", "a value is the marker of a series that ends"));
        }
        let mut pairs = vec![(METRIC_NAME, self.metric.as_str())];
        pairs.extend(labels.iter().filter(|(_, text)| !text.is_empty()));
        let labels = checked(&pairs).map_err(|reason| errors::error("22023", reason.to_string()))?;
        samples.add(&labels, timestamp, value)
    }
}

/// What columns of these names are.
fn columns(names: &[String]) -> PgWireResult<Vec<Column>> {
    if names.len() > MAX_COLUMNS {
        return Err(errors::error("54011", format!("a metric has at most {MAX_COLUMNS} columns")));
    }
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(errors::error("42701", format!("column \"{}\" is there twice", twice.1)));
    }
    let missing = [TIMESTAMP, VALUE].into_iter().find(|needed| !names.iter().any(|name| name == needed));
    if let Some(needed) = missing {
        let message = format!("an INSERT needs a column \"{needed}\": name it in the query or behind the metric");
        return Err(errors::error("42703", message));
    }
    Ok(names.iter().map(|name| column(name, names)).collect())
}

fn column(name: &str, names: &[String]) -> Column {
    match name {
        TIMESTAMP => Column::Timestamp,
        VALUE => Column::Value,
        HISTOGRAM => Column::Histogram,
        METRIC_NAME => Column::Ignored,
        _ => {
            let bare = name.trim_end_matches(SUFFIX);
            // Where there are several, tables call the label so that has most of them.
            let is_longest = !names.contains(&format!("{name}{SUFFIX}"));
            match [TIMESTAMP, VALUE, HISTOGRAM].contains(&bare) && is_longest {
                true => Column::Label(bare.to_string()),
                false => Column::Label(name.to_string()),
            }
        }
    }
}

fn check_type(column: &Column, name: &str, from: &DataType) -> PgWireResult<()> {
    let wrong = |wanted: &str| {
        let from = types::type_name(types::pg_type(from).oid());
        errors::error("42804", format!("column \"{name}\" is of type {wanted} but expression is of type {from}"))
    };
    let is_text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
    match column {
        Column::Timestamp => {
            let is_time = matches!(from, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
            if is_time || is_text { Ok(()) } else { Err(wrong("timestamp with time zone")) }
        }
        Column::Value if from.is_numeric() || is_text => Ok(()),
        Column::Value => Err(wrong("double precision")),
        Column::Label(_) if !from.is_nested() && can_cast_types(from, &DataType::Utf8) => Ok(()),
        Column::Label(_) => Err(wrong("text")),
        Column::Histogram | Column::Ignored => Ok(()),
    }
}

/// What a statement that is to be run needs.
pub struct Running {
    pub plan: LogicalPlan,
    pub target: Arc<Target>,
    pub promql: Arc<Vec<StatementPromql>>,
}

/// Runs the query to its end, writes its rows, and says how many samples are new. From when the query has ended on, neither a
/// cancellation nor a client that goes away ends it.
pub async fn run(
    engine: &Engine,
    session: &Arc<Session>,
    inserter: &Arc<Inserter>,
    running: Running,
    limits: Limits,
) -> PgWireResult<u64> {
    let turn = turn(inserter, &limits).await?;
    let keeps_others = running.target.keeps_others;
    let statement = read(engine, session, running, limits, Statement::default()).await?;
    write(session, inserter, turn, statement, keeps_others).await
}

/// Waits until nobody else writes.
///
/// # Errors
/// 57014 by the limits.
pub async fn turn(inserter: &Arc<Inserter>, limits: &Limits) -> PgWireResult<Turn> {
    tokio::select! {
        turn = inserter.turn() => Ok(turn),
        () = limits.canceled.cancelled() => Err(canceled().into()),
        () = tokio::time::sleep(limits.timeout) => Err(Error::new(ErrorKind::Timeout, limits.too_late).into()),
    }
}

/// Runs the query to its end, and gathers its rows.
pub async fn read<S: Samples + Send + 'static>(
    engine: &Engine,
    session: &Arc<Session>,
    running: Running,
    mut limits: Limits,
    samples: S,
) -> PgWireResult<S> {
    let Running { plan, target, promql } = running;
    limits.flag = promql.first().map_or(limits.flag, |first| first.flag().clone());
    promql.iter().for_each(StatementPromql::begin);
    let context = session.context().clone();
    let zone = session.zone().arrow_name();
    let zone =
        zone.ok_or_else(|| errors::unsupported("INSERT with a time zone of seconds, or of more than a day"))?;
    let reading = Reading { target, zone };
    let read = engine.run(&limits, |pass| reading.read(context, plan, pass, samples)).await?;
    session.notices.add(&promql);
    Ok(read)
}

/// Writes samples, and says how many are new. Nothing ends it.
pub async fn write(
    session: &Arc<Session>,
    inserter: &Arc<Inserter>,
    turn: Turn,
    statement: Statement,
    keeps_others: bool,
) -> PgWireResult<u64> {
    let inserter = inserter.clone();
    let written = tokio::spawn(async move { inserter.insert(turn, statement, keeps_others).await }).await;
    let written = written.map_err(|_| errors::error("XX000", "an INSERT panicked"))??;
    match written {
        Ok(inserted) => {
            if let Some(text) = passed_over(&inserted) {
                session.notices.warn("01000", text);
            }
            Ok(inserted.new)
        }
        Err(refused) => Err(refusal(&refused)),
    }
}

fn passed_over(inserted: &Inserted) -> Option<String> {
    let first = inserted.first_other.as_ref()?;
    let (count, at) = (inserted.other, timestamp_text(first.timestamp));
    let (labels, stored, given) = (&first.labels, &first.stored, &first.given);
    Some(format!(
        "{count} samples are stored with other values, which stay: {labels} at {at} is {stored}, not {given}"
    ))
}

fn refusal(refused: &Refused) -> PgWireError {
    match refused {
        Refused::Stored(count, first) => {
            let at = timestamp_text(first.timestamp);
            let (labels, stored, given) = (&first.labels, &first.stored, &first.given);
            errors::error(
                "23505",
                format!(
                    "{count} samples are stored with other values, and nothing was inserted: {labels} at {at} is {stored}, not \
                     {given}; ON CONFLICT DO NOTHING inserts the rest"
                ),
            )
        }
        Refused::Contradictions(count) => errors::error(
            "21000",
            format!(
                "{count} rows have the labels and the timestamp of others, and other values; nothing was inserted"
            ),
        ),
        Refused::TooManyDays(days) => errors::error(
            "54000",
            format!("the rows are of {days} days, more than {MAX_DAYS}; nothing was inserted"),
        ),
        Refused::TooFarInFuture => {
            errors::error("22008", "a timestamp is more than ten minutes in the future; nothing was inserted")
        }
    }
}

/// Rows of a query to samples.
struct Reading {
    target: Arc<Target>,
    /// Of times that say none.
    zone: String,
}

impl Reading {
    async fn read<S: Samples>(
        self,
        context: SessionContext,
        plan: LogicalPlan,
        pass: Pass,
        mut samples: S,
    ) -> PgWireResult<S> {
        let memory = pass.memory("an INSERT");
        let mut batches = cooperate::rows(&context, plan, &pass).await.map_err(errors::datafusion)?;
        let (mut rows, mut known) = (0, 0);
        while let Some(batch) = batches.next().await {
            pass.check()?;
            let batch = batch.map_err(errors::datafusion)?;
            rows += batch.num_rows() as u64;
            if rows > MAX_ROWS {
                return Err(errors::error(
                    "54000",
                    format!("an INSERT has at most {MAX_ROWS} rows; insert fewer at a time"),
                ));
            }
            self.take(&batch, &mut samples)?;
            let bytes = samples.uncounted();
            memory.grow(bytes - known)?;
            known = bytes;
        }
        Ok(samples)
    }

    fn take(&self, batch: &RecordBatch, samples: &mut impl Samples) -> PgWireResult<()> {
        let cast = |at: usize, to: &DataType| {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(batch.column(at), to, &options).map_err(|error| match error {
                ArrowError::ParseError(why) | ArrowError::CastError(why) => errors::error(
                    "22P02",
                    format!("invalid value in column \"{}\": {why}", self.target.columns[at].name()),
                ),
                error => errors::datafusion(error.into()),
            })
        };
        let (mut times, mut values, mut labels) = (None, None, Vec::new());
        for (at, column) in self.target.columns.iter().enumerate() {
            match column {
                Column::Timestamp => {
                    // Times without a zone are UTC, as those of `now()` are here; texts are of the client's zone.
                    let zone = match batch.column(at).data_type() {
                        DataType::Timestamp(_, None) => "+00:00",
                        _ => self.zone.as_str(),
                    };
                    times = Some(cast(at, &DataType::Timestamp(TimeUnit::Millisecond, Some(zone.into())))?);
                }
                Column::Value => values = Some(cast(at, &DataType::Float64)?),
                Column::Label(name) => labels.push((name.as_str(), cast(at, &DataType::Utf8)?)),
                Column::Histogram if batch.column(at).null_count() < batch.num_rows() => {
                    return Err(errors::unsupported("INSERT of histograms"));
                }
                Column::Histogram | Column::Ignored => {}
            }
        }
        let (times, values) = times.zip(values).expect("both were looked for");
        let times: &TimestampMillisecondArray = times.as_primitive();
        let values: &Float64Array = values.as_primitive();
        let labels: Vec<(&str, &StringArray)> =
            labels.iter().map(|(name, texts)| (*name, texts.as_string::<i32>())).collect();
        for row in 0..batch.num_rows() {
            let present = labels.iter().filter(|(_, texts)| texts.is_valid(row));
            let present: Vec<(&str, &str)> = present.map(|(name, texts)| (*name, texts.value(row))).collect();
            let timestamp = times.is_valid(row).then(|| times.value(row));
            let value = values.is_valid(row).then(|| values.value(row));
            self.target.sample(timestamp, value, &present, samples)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
