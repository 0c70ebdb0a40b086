//! SQL text to a statement that can be described and run.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Statement};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

use super::catalog::printed;
use super::copy::{self, Form};
use super::copy_in::{self, CopyIn};
use super::insert::{self, Target};
use super::params::{self, Parameter};
use super::run::Clock;
use super::session::{DATABASE, Session};
use super::sketch::Sketch;
use super::source::Shape;
use super::{command, errors, explain, names, outputs, rewrite, source, types};
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
    /// What it wants for `$1…`, in order.
    pub parameters: Arc<Vec<Parameter>>,
    /// It was planned with other values in the place of some parameters, and is planned anew when their own are known.
    pub is_sketch: bool,
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
        shape: Shape,
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
    /// Data of a COPY, as samples.
    CopyIn {
        copy: Arc<CopyIn>,
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
    declared: &[Option<Type>],
    clock: &Clock,
) -> PgWireResult<Prepared> {
    if command::is_command(&statement) {
        return Ok(Prepared::without_parameters(statement, Work::Command));
    }
    if let Statement::Insert(_) | Statement::Copy { to: false, .. } = statement {
        session.check_writer()?;
    }
    match statement {
        Statement::Copy { to: false, .. } => prepare_copy_in(engine, session, statement).await,
        Statement::Copy { .. } => prepare_copy(engine, session, statement, clock).await,
        Statement::Declare { .. } => prepare_cursor(engine, session, statement, declared, clock).await,
        Statement::Insert(insert) if session.writes() => {
            prepare_insert(engine, session, insert, declared, clock).await
        }
        Statement::Update { .. } | Statement::Delete(_) | Statement::Merge { .. } if session.writes() => {
            let what = first_word(&statement);
            Err(errors::error("0A000", format!("{what} is not supported: samples are inserted and do not change")))
        }
        statement => prepare_read(engine, session, statement, declared, clock).await,
    }
}

async fn prepare_insert(
    engine: &Engine,
    session: &Session,
    insert: ast::Insert,
    declared: &[Option<Type>],
    clock: &Clock,
) -> PgWireResult<Prepared> {
    let statement = Arc::new(Statement::Insert(insert.clone()));
    let parts = insert::parts(insert)?;
    let declared = parts.parameters(declared);
    let read = prepare_read(engine, session, parts.query.clone(), &declared, clock).await?;
    let Work::Query { plan, names } = &read.work else {
        return Err(errors::error("XX000", "a query was planned as something else"));
    };
    let target = parts.target(engine, plan.schema().as_arrow(), names.as_deref().map(Vec::as_slice)).await?;
    let work = Work::Insert { plan: plan.clone(), target: Arc::new(target) };
    Ok(Prepared { statement, work, ..read })
}

async fn prepare_copy_in(engine: &Engine, session: &Session, statement: Statement) -> PgWireResult<Prepared> {
    let copy = copy_in::parts(&statement)?;
    if !session.writes() {
        return Err(errors::error("25006", "cannot execute COPY FROM in a read-only transaction"));
    }
    let work = Work::CopyIn { copy: Arc::new(copy.known(engine, session).await?) };
    Ok(Prepared::without_parameters(statement, work))
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
    let read = prepare_read(engine, session, query, &[], clock).await?;
    let Work::Query { plan, names } = read.work.clone() else {
        return Err(errors::error("XX000", "a query was planned as something else"));
    };
    if !read.parameters.is_empty() {
        return Err(errors::error("42P02", "COPY has no parameters"));
    }
    let work = Work::Copy { plan, names, form: Arc::new(parts.form) };
    let prepared = Prepared { statement: parsed, work, ..read };
    prepared.copied_fields()?;
    Ok(prepared)
}

async fn prepare_cursor(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    declared: &[Option<Type>],
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
    let query = prepare_read(engine, session, Statement::Query(query), declared, clock).await?;
    let shared = query.clone();
    Ok(Prepared { statement: Arc::new(statement), work: Work::Declare { query: Arc::new(query) }, ..shared })
}

/// Plans a query or what explains one. Arguments of table functions are known when it is planned, or it is planned with others
/// in their place, and so often as that takes to know which columns they have.
async fn prepare_read(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    declared: &[Option<Type>],
    clock: &Clock,
) -> PgWireResult<Prepared> {
    refuse_writes(&statement)?;
    let mut known = params::known::types(&statement, declared);
    let Some(mut sketch) = Sketch::of(&statement, &mut known) else {
        return Box::pin(plan_read(engine, session, statement, &known, clock)).await;
    };
    loop {
        let planned = Box::pin(plan_read(engine, session, sketch.statement(&statement), &known, clock)).await;
        match planned {
            Err(error) if sketch.gets_label(&error) => {}
            planned => {
                return Ok(Prepared { statement: Arc::new(statement), is_sketch: true, ..planned? });
            }
        }
    }
}

async fn plan_read(
    engine: &Engine,
    session: &Session,
    statement: Statement,
    known: &[Option<Type>],
    clock: &Clock,
) -> PgWireResult<Prepared> {
    let parsed = Arc::new(statement);
    let names = names::output_names(&parsed).map(Arc::new);
    let limits = clock.limits(engine, session.open_message());
    let span = spans::span("sqlPrepare");
    if span.is_recorded() {
        span.text("db.query.text", &parsed.to_string());
    }
    let mut hides = false;
    let (plan, promql) = loop {
        let mut statement = Statement::clone(&parsed);
        rewrite::apply(&mut statement);
        explain::apply(&mut statement)?;
        let outputs = outputs::apply(&mut statement, hides)?;
        params::known::apply(&mut statement, known);
        follow_search_path(session, &mut statement).await?;
        // Boxed, as it is large, and the stack of a thread is not.
        let planning = Box::pin(engine.plan_sql(session.context(), statement, &limits));
        let planned = span.around(planning).await;
        match planned {
            Ok(planned) => break planned,
            // Only now is it known what a wildcard is, and what the engine calls its columns.
            Err(error) if !hides && errors::is_duplicate_column(&error) => hides = true,
            Err(error) => {
                span.failed(|| error.to_string());
                return Err(outputs.explain(errors::datafusion(error)));
            }
        }
    };
    let plan = match &*parsed {
        Statement::Explain { .. } => plan,
        _ => printed::names_for_ids(plan, session.context()).map_err(errors::datafusion)?,
    };
    let shape = explain::shape(&parsed);
    let plan = explain::formatted(plan, shape);
    let (plan, found) = params::inferred::apply(plan, &params::arrow_types(known))?;
    let found = found.into_iter().enumerate();
    let parameters = found.map(|(at, arrow)| Parameter::new(known.get(at).and_then(Option::as_ref), arrow));
    let parameters = Arc::new(parameters.collect());
    let plan = Arc::new(plan);
    let work = match &*parsed {
        Statement::Explain { .. } => Work::Explain { plan, shape },
        _ => Work::Query { plan, names },
    };
    Ok(Prepared { statement: parsed, work, promql: Arc::new(promql), parameters, is_sketch: false })
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
    /// A statement that wants no values.
    fn without_parameters(statement: Statement, work: Work) -> Self {
        let statement = Arc::new(statement);
        Self { statement, work, promql: Arc::default(), parameters: Arc::default(), is_sketch: false }
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
            Work::Command
            | Work::Insert { .. }
            | Work::Copy { .. }
            | Work::CopyIn { .. }
            | Work::Declare { .. } => Ok(vec![]),
            Work::Explain { shape: Shape::ExplainJson, .. } => {
                let fields = fields(&source::explain_schema(), None, format)?;
                let json = |field: FieldInfo| {
                    FieldInfo::new(field.name().into(), None, None, Type::JSON, field.format()).with_type_size(-1)
                };
                Ok(fields.into_iter().map(json).collect())
            }
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
        let name = names.map_or_else(|| outputs::shown(f.name()).to_string(), |n| n[i].clone());
        let pg = types::of_field(f);
        let size = types::type_size(&pg);
        FieldInfo::new(name, None, None, pg, format.format_for(i)).with_type_size(size)
    };
    Ok(schema.fields().iter().enumerate().map(field).collect())
}
