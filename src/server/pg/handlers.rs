//! The two query protocols over one way to prepare and one way to run.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::LogicalPlan;
use futures::{Sink, SinkExt, StreamExt};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_execution_response, send_ready_for_query};
use pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::RowDescription;
use pgwire::messages::extendedquery::{Execute, PortalSuspended};
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;

use super::command::{self, Outcome};
use super::run::{self, Shape};
use super::session::Session;
use super::statement::{self, Prepared, Work};
use super::{encode, errors, notices, params};
use crate::engine::session::Engine;

/// Serves the statements of every connection; state is in the connection's [`Session`].
pub struct Handler {
    pub engine: Engine,
    parser: Arc<SqlParser>,
}

impl Handler {
    pub fn new(engine: Engine) -> Self {
        Self { parser: Arc::new(SqlParser { engine: engine.clone() }), engine }
    }

    fn respond(
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
        };
        let mut plan = LogicalPlan::clone(plan);
        if let Some(values) = values {
            plan = plan.replace_params_with_values(values).map_err(errors::datafusion)?;
        }
        let promql = prepared.promql.clone();
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

/// In a failed transaction only its end is listened to.
fn check_transaction<C: ClientInfo + ?Sized>(client: &C, prepared: &Prepared) -> PgWireResult<()> {
    use datafusion::sql::sqlparser::ast::Statement;
    let ends = matches!(&*prepared.statement, Statement::Commit { .. } | Statement::Rollback { .. });
    if matches!(client.transaction_status(), TransactionStatus::Error) && !ends {
        let text = "current transaction is aborted, commands ignored until end of transaction block";
        return Err(errors::error("25P02", text));
    }
    Ok(())
}

/// Sends the rows of a statement, what it has to say besides them, and its end.
async fn send_rows<C>(client: &mut C, session: &Session, mut response: QueryResponse) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<C::Error>,
{
    let description = RowDescription::new(response.row_schema().iter().map(Into::into).collect());
    client.feed(PgWireBackendMessage::RowDescription(description)).await?;
    let mut sent = 0;
    while let Some(row) = response.data_rows().next().await {
        client.feed(PgWireBackendMessage::DataRow(row?)).await?;
        sent += 1;
    }
    notices::send(client, session).await?;
    let tag = Tag::new(response.command_tag()).with_rows(sent);
    client.feed(PgWireBackendMessage::CommandComplete(tag.into())).await?;
    Ok(())
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    /// The library's own version has no place for notices between rows and the end of a statement.
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let session = session(client)?;
        let mut status = client.transaction_status();
        for response in SimpleQueryHandler::do_query(self, client, &query.query).await? {
            match response {
                Response::Query(rows) => send_rows(client, &session, rows).await?,
                Response::Execution(tag) => send_execution_response(client, tag).await?,
                Response::TransactionStart(tag) => {
                    send_execution_response(client, tag).await?;
                    status = status.to_in_transaction_state();
                }
                Response::TransactionEnd(tag) => {
                    send_execution_response(client, tag).await?;
                    status = status.to_idle_state();
                }
                Response::Error(e) => {
                    client.feed(PgWireBackendMessage::ErrorResponse((*e).into())).await?;
                    status = status.to_error_state();
                }
                Response::EmptyQuery => {
                    client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                }
                Response::CopyIn(_) | Response::CopyOut(_) | Response::CopyBoth(_) => {
                    return Err(errors::unsupported("COPY"));
                }
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        client.set_transaction_status(status);
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = session(client)?;
        let statements = statement::parse(query)?;
        let mut responses = Vec::new();
        // Statements are planned one after the other; the first error ends the message, as in Postgres.
        for next in statements {
            let result = async {
                let prepared = statement::prepare(&self.engine, &session, next).await?;
                check_transaction(client, &prepared)?;
                self.respond(&session, &prepared, None, &Format::UnifiedText)
            }
            .await;
            match result {
                Ok(response) => responses.push(response),
                Err(e) if responses.is_empty() => return Err(e),
                Err(PgWireError::UserError(info)) => {
                    responses.push(Response::Error(info));
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        if responses.is_empty() {
            responses.push(Response::EmptyQuery);
        }
        Ok(responses)
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
        let prepared = statement::prepare(&self.engine, &session, first).await?;
        Ok(Some(Planned { session, prepared, declared: types.to_vec() }))
    }

    fn get_parameter_types(&self, planned: &Planned) -> PgWireResult<Vec<Type>> {
        let inferred = planned.prepared.parameter_types()?;
        let count = inferred.len().max(planned.declared.len());
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
        let Some(Entry::Value(portal)) = client.portal_store().get_portal(name) else {
            return self._on_execute(client, message).await;
        };
        if matches!(portal.statement.statement.prepared.work, Work::Command) {
            return self._on_execute(client, message).await;
        }
        check_transaction(client, &portal.statement.statement.prepared)?;
        client.set_state(PgWireConnectionState::QueryInProgress);
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial)
            && let Response::Query(response) =
                ExtendedQueryHandler::do_query(self, client, portal.as_ref(), 0).await?
        {
            *state = PortalExecutionState::Suspended(response);
        }
        // Zero and negative counts mean all rows.
        let limit = usize::try_from(message.max_rows).ok().filter(|n| *n > 0);
        let (mut sent, mut suspended, mut tag) = (0usize, false, "SELECT".to_string());
        if let PortalExecutionState::Suspended(response) = &mut *state {
            tag = response.command_tag().to_string();
            loop {
                if limit == Some(sent) {
                    suspended = true;
                    break;
                }
                let Some(row) = response.data_rows().next().await else { break };
                client.feed(PgWireBackendMessage::DataRow(row?)).await?;
                sent += 1;
            }
        }
        if suspended {
            client.send(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await?;
        } else {
            *state = PortalExecutionState::Finished;
            notices::send(client, &portal.statement.statement.session).await?;
            let tag = if tag == "SELECT" { Tag::new(&tag).with_rows(sent) } else { Tag::new(&tag) };
            client.send(PgWireBackendMessage::CommandComplete(tag.into())).await?;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
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
        check_transaction(client, &planned.prepared)?;
        let inferred = planned.prepared.parameter_types()?;
        if portal.parameters.len() < inferred.len() {
            let (got, want) = (portal.parameters.len(), inferred.len());
            let text = format!("bind message supplies {got} parameters, but prepared statement requires {want}");
            return Err(errors::error("08P01", text));
        }
        let mut values = Vec::with_capacity(inferred.len());
        for (i, inferred) in inferred.iter().enumerate() {
            let declared = portal.statement.parameter_types.get(i).and_then(Option::as_ref);
            let binary = portal.parameter_format.is_binary(i);
            let value = params::decode(i, portal.parameters[i].as_ref(), binary, declared, inferred.as_ref())?;
            values.push(ScalarAndMetadata::from(value));
        }
        let values = (!values.is_empty()).then_some(ParamValues::List(values));
        self.respond(&planned.session, &planned.prepared, values.as_ref(), &portal.result_column_format)
    }
}
