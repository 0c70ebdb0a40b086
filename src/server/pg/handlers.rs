//! The two query protocols over one way to prepare and one way to run.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use futures::{Sink, SinkExt, StreamExt};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, send_execution_response};
use pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::RowDescription;
use pgwire::messages::extendedquery::{Bind, BindComplete, Execute, Parse, ParseComplete, PortalSuspended};
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};

use super::command::{self, Outcome};
use super::insert;
use super::run::{self, Shape};
use super::session::Session;
use super::statement::{self, Prepared, Work};
use super::{encode, errors, notices, params};
use crate::engine::session::Engine;
use crate::past::insert::Inserter;

/// Serves the statements of every connection; state is in the connection's [`Session`].
pub struct Handler {
    pub engine: Engine,
    parser: Arc<SqlParser>,
    /// Writes samples, where that is allowed.
    inserter: Option<Arc<Inserter>>,
}

impl Handler {
    pub fn new(engine: Engine, inserter: Option<Arc<Inserter>>) -> Self {
        Self { parser: Arc::new(SqlParser { engine: engine.clone() }), engine, inserter }
    }

    /// Whether INSERT is allowed.
    pub fn may_write(&self) -> bool {
        self.inserter.is_some()
    }

    async fn respond(
        &self,
        session: &Arc<Session>,
        prepared: &Prepared,
        values: Option<&ParamValues>,
        format: &Format,
    ) -> PgWireResult<Response> {
        let fields = Arc::new(prepared.fields(session, format)?);
        let (plan, shape) = match &prepared.work {
            Work::Command => return self.command(session, prepared, fields),
            Work::Query { plan, .. } => (plan, Shape::AsIs),
            Work::Explain { plan } => (plan, Shape::Explain),
            Work::Insert { plan, .. } => (plan, Shape::AsIs),
        };
        let mut plan = LogicalPlan::clone(plan);
        if let Some(values) = values {
            plan = plan.replace_params_with_values(values).map_err(errors::datafusion)?;
        }
        let promql = prepared.promql.clone();
        if let Work::Insert { target, .. } = &prepared.work {
            let inserter = self.inserter.as_ref().filter(|_| session.writes());
            let inserter = inserter
                .ok_or_else(|| errors::error("25006", "cannot execute INSERT in a read-only transaction"))?;
            let limits = run::limits(&self.engine, session.statement_timeout(), session.begin());
            let running = insert::Running { plan, target: target.clone(), promql };
            let rows = insert::run(&self.engine, session, inserter, running, limits).await?;
            // The number behind INSERT is of a time when rows had names.
            return Ok(Response::Execution(Tag::new("INSERT").with_oid(0).with_rows(rows as usize)));
        }
        let rows = run::start(&self.engine, session, plan, fields.clone(), shape, promql);
        let mut response = QueryResponse::new(fields, rows);
        if shape == Shape::Explain {
            response.set_command_tag("EXPLAIN");
        }
        Ok(Response::Query(response))
    }

    fn command(
        &self,
        session: &Arc<Session>,
        prepared: &Prepared,
        fields: Arc<Vec<FieldInfo>>,
    ) -> PgWireResult<Response> {
        Ok(match command::run(session, &prepared.statement)? {
            Outcome::Done(tag) => Response::Execution(Tag::new(tag)),
            Outcome::Begin(tag) => Response::TransactionStart(Tag::new(tag)),
            Outcome::End(tag) => Response::TransactionEnd(Tag::new(tag)),
            Outcome::Rows(batch) => {
                let rows = encode::rows(&batch, &fields, session.time_zone())?;
                let mut response = QueryResponse::new(fields, futures::stream::iter(rows.into_iter().map(Ok)));
                response.set_command_tag("SHOW");
                Response::Query(response)
            }
        })
    }
}

fn session<C: ClientInfo + ?Sized>(client: &C) -> PgWireResult<Arc<Session>> {
    client
        .session_extensions()
        .get::<Arc<Session>>()
        .map(|s| Arc::clone(s.as_ref()))
        .ok_or_else(|| errors::error("08003", "the connection has no session"))
}

/// In a failed transaction only its end is listened to, and no transaction can take back what was inserted.
fn check_transaction<C: ClientInfo + ?Sized>(client: &C, statement: &Statement) -> PgWireResult<()> {
    if matches!(client.transaction_status(), TransactionStatus::Transaction)
        && matches!(statement, Statement::Insert(_))
    {
        return Err(errors::error(
            "25001",
            "INSERT cannot run inside a transaction block, which could not take it back",
        ));
    }
    let ends = matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. });
    if matches!(client.transaction_status(), TransactionStatus::Error) && !ends {
        let text = "current transaction is aborted, commands ignored until end of transaction block";
        return Err(errors::error("25P02", text));
    }
    Ok(())
}

/// Sends the rows of a statement under their description.
async fn send_rows<C>(client: &mut C, session: &Session, mut response: QueryResponse) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    let description = RowDescription::new(response.row_schema().iter().map(Into::into).collect());
    client.feed(PgWireBackendMessage::RowDescription(description)).await?;
    send_some_rows(client, session, &mut response, None).await.map(|_| ())
}

/// Sends rows up to the limit. True where those were all there are: then what the statement has to say besides them,
/// and its end, were sent as well.
async fn send_some_rows<C>(
    client: &mut C,
    session: &Session,
    response: &mut QueryResponse,
    limit: Option<usize>,
) -> PgWireResult<bool>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    let mut sent = 0;
    while limit != Some(sent) {
        let Some(row) = response.data_rows().next().await else {
            notices::send(client, session).await?;
            let tag = Tag::new(response.command_tag());
            let tag = if response.command_tag() == "SELECT" { tag.with_rows(sent) } else { tag };
            client.feed(PgWireBackendMessage::CommandComplete(tag.into())).await?;
            return Ok(true);
        };
        client.feed(PgWireBackendMessage::DataRow(row?)).await?;
        sent += 1;
    }
    client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
    Ok(false)
}

/// Sends what a statement without rows answers, and follows the transaction it begins or ends.
async fn send_outcome<C>(client: &mut C, session: &Session, response: Response) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let status = client.transaction_status();
    let (tag, status) = match response {
        Response::Execution(tag) => (tag, status),
        Response::TransactionStart(tag) => (tag, status.to_in_transaction_state()),
        Response::TransactionEnd(tag) => (tag, status.to_idle_state()),
        _ => return Err(errors::error("XX000", "a command has an answer of a kind that none has")),
    };
    notices::send(client, session).await?;
    send_execution_response(client, tag).await?;
    client.set_transaction_status(status);
    Ok(())
}

impl Handler {
    /// Answers a simple query, up to but without ReadyForQuery. Its statements run one after the other, each
    /// planned when it is its turn; the first error ends the message, as in Postgres.
    pub async fn simple<C>(&self, client: &mut C, query: &str) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session(client)?;
        let statements = statement::parse(query)?;
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for next in statements {
            check_transaction(client, &next)?;
            let prepared = statement::prepare(&self.engine, &session, next).await?;
            match self.respond(&session, &prepared, None, &Format::UnifiedText).await? {
                Response::Query(rows) => send_rows(client, &session, rows).await?,
                outcome => send_outcome(client, &session, outcome).await?,
            }
        }
        Ok(())
    }
}

/// Plans statements of the extended protocol when they are parsed.
pub struct SqlParser {
    engine: Engine,
}

/// A planned statement with the session it belongs to, for Describe.
#[derive(Clone)]
pub struct Planned {
    session: Arc<Session>,
    prepared: Prepared,
    declared: Vec<Option<Type>>,
}

impl Planned {
    /// How many parameters there are: those in the text, and those declared though nothing names them.
    fn parameters(&self, inferred: &[Option<DataType>]) -> usize {
        inferred.len().max(self.declared.len())
    }
}

#[async_trait]
impl QueryParser for SqlParser {
    type Statement = Planned;

    async fn parse_sql<C>(&self, client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Planned>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let session = session(client)?;
        let mut statements = statement::parse(sql)?;
        if statements.len() > 1 {
            return Err(errors::error("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let Some(first) = statements.pop() else { return Ok(None) };
        check_transaction(client, &first)?;
        let prepared = statement::prepare(&self.engine, &session, first).await?;
        Ok(Some(Planned { session, prepared, declared: types.to_vec() }))
    }

    fn get_parameter_types(&self, planned: &Planned) -> PgWireResult<Vec<Type>> {
        let inferred = planned.prepared.parameter_types()?;
        let count = planned.parameters(&inferred);
        let describe = |i: usize| {
            let declared = planned.declared.get(i).and_then(Option::as_ref);
            params::described(declared, inferred.get(i).and_then(Option::as_ref))
        };
        Ok((0..count).map(describe).collect())
    }

    fn get_result_schema(&self, planned: &Planned, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        planned.prepared.fields(&planned.session, format.unwrap_or(&Format::UnifiedText))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Planned;
    type QueryParser = SqlParser;

    fn query_parser(&self) -> Arc<SqlParser> {
        self.parser.clone()
    }

    /// The library takes a type it does not know for one that was not named.
    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Planned>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if let Some(oid) = message.type_oids.iter().find(|oid| **oid != 0 && Type::from_oid(**oid).is_none()) {
            return Err(errors::error("42704", format!("type with OID {oid} does not exist")));
        }
        match StoredStatement::parse(client, &message, self.query_parser()).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(message.name.as_deref().unwrap_or(DEFAULT_NAME)),
        }
        client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    /// The library's own version takes any number of values and of formats for them.
    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Planned>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        params::check_formats(&message.parameter_format_codes, message.parameters.len())?;
        params::check_codes(&message.result_column_format_codes)?;
        match client.portal_store().get_statement(name) {
            Some(Entry::Value(statement)) => {
                let planned = &statement.statement;
                let inferred = planned.prepared.parameter_types()?;
                params::check_count(name, message.parameters.len(), planned.parameters(&inferred))?;
                let portal = Portal::try_new(&message, statement.clone())?;
                // A description that cannot be made is an error now, not when rows are sent.
                planned.prepared.fields(&planned.session, &portal.result_column_format)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => {
                params::check_count(name, message.parameters.len(), 0)?;
                client.portal_store().put_empty_portal(message.portal_name.as_deref().unwrap_or(DEFAULT_NAME));
            }
            None => return Err(PgWireError::StatementNotFound(name.to_owned())),
        }
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    /// Streams rows as they come; the library's own version collects the whole result first and allocates
    /// `max_rows` entries at once.
    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Planned>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let planned = &portal.statement.statement;
        check_transaction(client, &planned.prepared.statement)?;
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            *state = match ExtendedQueryHandler::do_query(self, client, portal.as_ref(), 0).await? {
                Response::Query(rows) => PortalExecutionState::Suspended(rows),
                outcome => {
                    *state = PortalExecutionState::Finished;
                    return send_outcome(client, &planned.session, outcome).await;
                }
            };
        }
        // Zero and negative counts mean all rows.
        let limit = usize::try_from(message.max_rows).ok().filter(|n| *n > 0);
        match &mut *state {
            PortalExecutionState::Suspended(rows) => {
                if send_some_rows(client, &planned.session, rows, limit).await? {
                    *state = PortalExecutionState::Finished;
                }
                Ok(())
            }
            _ if planned.prepared.returns_rows() => {
                client.feed(PgWireBackendMessage::CommandComplete(Tag::new("SELECT").with_rows(0).into())).await?;
                Ok(())
            }
            _ => Err(errors::error("55000", "a command in a portal is run once")),
        }
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        portal: &Portal<Planned>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Planned>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let planned = &portal.statement.statement;
        let inferred = planned.prepared.parameter_types()?;
        let mut values = Vec::with_capacity(inferred.len());
        // Values nothing names were counted when they were bound.
        for (i, (inferred, bytes)) in inferred.iter().zip(&portal.parameters).enumerate() {
            let declared = planned.declared.get(i).and_then(Option::as_ref);
            let binary = portal.parameter_format.is_binary(i);
            let value = params::decode(i, bytes.as_ref(), binary, declared, inferred.as_ref())?;
            values.push(ScalarAndMetadata::from(value));
        }
        let values = (!values.is_empty()).then_some(ParamValues::List(values));
        self.respond(&planned.session, &planned.prepared, values.as_ref(), &portal.result_column_format).await
    }
}
