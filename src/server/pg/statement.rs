//! SQL text to a statement that can be described and run.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Statement};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

use super::catalog::printed;
use super::copy::{self, Form};
use super::insert::{self, Target};
use super::run::Clock;
use super::session::{DATABASE, Session};
use super::{command, errors, names, rewrite, source, types};
use crate::engine::session::Engine;
use crate::engine::sql::promql::StatementPromql;
use crate::engine::sql::text;
use crate::telemetry::spans;

/// Columns of a result; messages count them in 16 bits with a sign.
const MAX_COLUMNS: usize = i16::MAX as usize;

/// A statement, planned when it was parsed.
#[derive(Clone)]
pub struct Prepared {
    /// As it was parsed, to be planned once more.
    pub statement: Arc<Statement>,
    pub work: Work,
    /// What the PromQL in the statement shares with its runs.
    pub promql: Arc<Vec<StatementPromql>>,
}

/// What running a statement means.
#[derive(Clone)]
pub enum Work {
    Command,
    Query {
        plan: Arc<LogicalPlan>,
        names: Option<Arc<Vec<String>>>,
    },
    /// One text column, `QUERY PLAN`, made of the engine's two.
    Explain {
        plan: Arc<LogicalPlan>,
    },
    /// The rows of a query, as samples.
    Insert {
        plan: Arc<LogicalPlan>,
        target: Arc<Target>,
    },
    /// The rows of a query, as data of a COPY.
    Copy {
        plan: Arc<LogicalPlan>,
        names: Option<Arc<Vec<String>>>,
        form: Arc<Form>,
    },
    /// A query that a cursor is to be of.
    Declare {
        query: Arc<Prepared>,
    },
}

/// All statements of a text, in PostgreSQL's dialect.
pub fn parse(sql: &str) -> PgWireResult<Vec<Statement>> {
    text::parse(sql).map_err(|refused| errors::refused(sql, &refused))
}

/// Plans a statement, refusing whatever is not a read, or an INSERT where that is allowed.
pub async fn prepare(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    clock: &Clock,
) -> PgWireResult<Prepared> {
    if command::is_command(&statement) {
        return Ok(Prepared { statement: Arc::new(statement), work: Work::Command, promql: Arc::default() });
    }
    if let Statement::Insert(_) | Statement::Copy { to: false, .. } = statement {
        session.check_writer()?;
    }
    match statement {
        Statement::Copy { .. } => prepare_copy(engine, session, statement, clock).await,
        Statement::Declare { .. } => prepare_cursor(engine, session, statement, clock).await,
        Statement::Insert(insert) if session.writes() => prepare_insert(engine, session, insert, clock).await,
        Statement::Update { .. } | Statement::Delete(_) | Statement::Merge { .. } if session.writes() => {
            let what = first_word(&statement);
            Err(errors::error("0A000", format!("{what} is not supported: samples are inserted and do not change")))
        }
        statement => prepare_read(engine, session, statement, clock).await,
    }
}

async fn prepare_insert(
    engine: &Engine,
    session: &Session,
    insert: ast::Insert,
    clock: &Clock,
) -> PgWireResult<Prepared> {
    let statement = Arc::new(Statement::Insert(insert.clone()));
    let parts = insert::parts(insert)?;
    let read = prepare_read(engine, session, parts.query.clone(), clock).await?;
    let Work::Query { plan, .. } = read.work else {
        return Err(errors::error("XX000", "a query was planned as something else"));
    };
    let target = parts.target(engine, plan.schema().as_arrow()).await?;
    let work = Work::Insert { plan, target: Arc::new(target) };
    Ok(Prepared { statement, work, promql: read.promql })
}

async fn prepare_copy(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    clock: &Clock,
) -> PgWireResult<Prepared> {
    let parsed = Arc::new(statement.clone());
    let parts = copy::parts(statement)?;
    let query = match parts.query {
        copy::Query::Parsed(query) => *query,
        copy::Query::Text(text) => {
            let mut statements = parse(&text)?;
            statements.pop().ok_or_else(|| errors::error("42601", "COPY names no table"))?
        }
    };
    let read = prepare_read(engine, session, query, clock).await?;
    let Work::Query { plan, names } = read.work.clone() else {
        return Err(errors::error("XX000", "a query was planned as something else"));
    };
    if !read.parameter_types()?.is_empty() {
        return Err(errors::error("42P02", "COPY has no parameters"));
    }
    let work = Work::Copy { plan, names, form: Arc::new(parts.form) };
    let prepared = Prepared { statement: parsed, work, promql: read.promql };
    prepared.copied_fields()?;
    Ok(prepared)
}

async fn prepare_cursor(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    clock: &Clock,
) -> PgWireResult<Prepared> {
    let query = match &statement {
        Statement::Declare { stmts } => match stmts.as_slice() {
            [one] => one.for_query.clone(),
            _ => None,
        },
        _ => None,
    };
    let query = query.ok_or_else(|| errors::unsupported("DECLARE of anything but a cursor"))?;
    let query = prepare_read(engine, session, Statement::Query(query), clock).await?;
    let promql = query.promql.clone();
    Ok(Prepared { statement: Arc::new(statement), work: Work::Declare { query: Arc::new(query) }, promql })
}

async fn prepare_read(
    engine: &Engine,
    session: &Session,
    mut statement: Statement,
    clock: &Clock,
) -> PgWireResult<Prepared> {
    refuse_writes(&statement)?;
    let parsed = Arc::new(statement.clone());
    let names = names::output_names(&statement).map(Arc::new);
    rewrite::apply(&mut statement);
    follow_search_path(session, &mut statement).await?;
    let limits = clock.limits(engine, session.open_message());
    let span = spans::span("sqlPrepare");
    if span.is_recorded() {
        span.text("db.query.text", &statement.to_string());
    }
    let planned = span.around(engine.plan_sql(session.context(), statement, &limits)).await;
    if let Err(error) = &planned {
        span.failed(|| error.to_string());
    }
    let (plan, promql) = planned.map_err(errors::datafusion)?;
    let plan = match &*parsed {
        Statement::Explain { .. } => plan,
        _ => printed::names_for_ids(plan, session.context()).map_err(errors::datafusion)?,
    };
    let plan = Arc::new(plan);
    let work = match &*parsed {
        Statement::Explain { .. } => Work::Explain { plan },
        _ => Work::Query { plan, names },
    };
    Ok(Prepared { statement: parsed, work, promql: Arc::new(promql) })
}

/// Looks names without a schema up along `search_path`. The engine looks in `public`, so there is nothing to do
/// where that is the path. What is in `pg_catalog` was found before, wherever in the path it stands.
async fn follow_search_path(session: &Session, statement: &mut Statement) -> PgWireResult<()> {
    let path = session.search_path();
    if path == ["public"] {
        return Ok(());
    }
    let catalog = session.context().catalog(DATABASE);
    let catalog =
        catalog.ok_or_else(|| errors::error("3D000", format!("database \"{DATABASE}\" does not exist")))?;
    let mut found = vec![];
    for ident in rewrite::unqualified(statement) {
        let name = names::folded(&ident);
        let mut schema = None;
        for candidate in &path {
            let Some(provider) = catalog.schema(candidate) else { continue };
            if schema.is_none() && provider.table(&name).await.map_err(errors::datafusion)?.is_some() {
                schema = Some(*candidate);
            }
        }
        let Some(schema) = schema else {
            return Err(errors::error("42P01", format!("relation \"{name}\" does not exist")));
        };
        found.push((ident, schema));
    }
    rewrite::qualify(statement, &found);
    Ok(())
}

/// Only reads are planned at all, so that no statement reaches the server's files even while it is planned
/// (`CREATE EXTERNAL TABLE` opens its location, `COPY` names a path). The plan is verified again later.
fn refuse_writes(statement: &Statement) -> PgWireResult<()> {
    match statement {
        Statement::Query(_) | Statement::ShowTables { .. } | Statement::ShowColumns { .. } => Ok(()),
        Statement::Explain { statement, .. } if matches!(**statement, Statement::Insert(_)) => {
            Err(errors::error("0A000", "EXPLAIN of INSERT is not supported; explain its query"))
        }
        Statement::Explain { statement, .. } => refuse_writes(statement),
        Statement::Insert(_) | Statement::Update { .. } | Statement::Delete(_) | Statement::Merge { .. } => {
            let what = first_word(statement);
            Err(errors::error("25006", format!("cannot execute {what} in a read-only transaction")))
        }
        other => {
            let what = first_word(other);
            Err(errors::error("0A000", format!("{what} is not supported: SQL sessions only read")))
        }
    }
}

fn first_word(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    match words.as_slice() {
        ["CREATE" | "DROP" | "ALTER", _] => words.join(" "),
        [first, ..] => (*first).to_string(),
        [] => String::new(),
    }
}

impl Prepared {
    /// Types the plan wants for `$1…`, in order; `None` where it does not say.
    pub fn parameter_types(&self) -> PgWireResult<Vec<Option<DataType>>> {
        let plan = match &self.work {
            Work::Command => return Ok(vec![]),
            Work::Declare { query } => return query.parameter_types(),
            Work::Query { plan, .. }
            | Work::Explain { plan }
            | Work::Insert { plan, .. }
            | Work::Copy { plan, .. } => plan,
        };
        let mut numbered = Vec::new();
        for (name, data_type) in plan.get_parameter_types().map_err(errors::datafusion)? {
            let number = name.trim_start_matches('$').parse::<usize>().ok().filter(|n| (1..=65_535).contains(n));
            let number = number.ok_or_else(|| errors::error("42P02", format!("there is no parameter {name}")))?;
            numbered.push((number, data_type));
        }
        let count = numbered.iter().map(|(n, _)| *n).max().unwrap_or(0);
        let mut types = vec![None; count];
        for (number, data_type) in numbered {
            types[number - 1] = data_type;
        }
        Ok(types)
    }

    /// False for commands that answer with a tag alone.
    pub fn returns_rows(&self) -> bool {
        matches!(self.work, Work::Query { .. } | Work::Explain { .. })
            || matches!(&*self.statement, Statement::ShowVariable { .. })
    }

    /// The row description; empty for commands without rows.
    pub fn fields(&self, session: &Session, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
        match &self.work {
            Work::Command if matches!(&*self.statement, Statement::ShowVariable { .. }) => {
                let rows: RecordBatch = command::show(session, &self.statement)?;
                fields(&rows.schema(), None, format)
            }
            Work::Command | Work::Insert { .. } | Work::Copy { .. } | Work::Declare { .. } => Ok(vec![]),
            Work::Explain { .. } => fields(&source::explain_schema(), None, format),
            Work::Query { plan, names } => {
                let schema = plan.schema().as_arrow();
                fields(schema, names.as_deref().map(Vec::as_slice), format)
            }
        }
    }
}

impl Prepared {
    /// What the data of a COPY is written by.
    ///
    /// # Errors
    /// 0A000 for a type that cannot be written in its format.
    pub fn copied_fields(&self) -> PgWireResult<Vec<FieldInfo>> {
        let Work::Copy { plan, names, form } = &self.work else { return Ok(vec![]) };
        let format = if form.is_binary() { Format::UnifiedBinary } else { Format::UnifiedText };
        let fields = fields(plan.schema().as_arrow(), names.as_deref().map(Vec::as_slice), &format)?;
        form.check(&fields)?;
        Ok(fields)
    }
}

/// Fields of a schema, under Postgres' names where they are known.
///
/// # Errors
/// 08P01 where the client asks for formats of another number of columns, 54011 for more columns than a message has
/// room for.
pub fn fields(schema: &Schema, names: Option<&[String]>, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    if schema.fields().len() > MAX_COLUMNS {
        return Err(errors::error("54011", format!("a result has at most {MAX_COLUMNS} columns")));
    }
    if let Format::Individual(codes) = format
        && codes.len() != schema.fields().len()
    {
        let (got, want) = (codes.len(), schema.fields().len());
        return Err(errors::error(
            "08P01",
            format!("bind message has {got} result formats but query has {want} columns"),
        ));
    }
    let names = names.filter(|n| n.len() == schema.fields().len());
    let field = |(i, f): (usize, &Arc<Field>)| {
        let name = names.map_or_else(|| f.name().clone(), |n| n[i].clone());
        let pg = types::of_field(f);
        // Numerics are sent as text: a client that asked for binary is told so in the description.
        let format =
            if pg == Type::NUMERIC { pgwire::api::results::FieldFormat::Text } else { format.format_for(i) };
        let size = types::type_size(&pg);
        FieldInfo::new(name, None, None, pg, format).with_type_size(size)
    };
    Ok(schema.fields().iter().enumerate().map(field).collect())
}
