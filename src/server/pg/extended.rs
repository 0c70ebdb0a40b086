//! Parse, Bind, Describe, Execute and Close.

use bytes::Bytes;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};
use tokio::sync::OwnedSemaphorePermit;

use super::conversation::Conversation;
use super::execute::{Progress, check_same};
use super::params::Parameter;
use super::portals::{Portal, State};
use super::statement::{self, Prepared};
use super::statements::Statement;
use super::transaction::aborted;
use super::{errors, params};
use crate::engine::sql::datetime::read::Now;

impl Conversation<'_> {
    pub async fn parse(&mut self, message: Parse) -> PgWireResult<()> {
        let name = message.name.as_deref().unwrap_or_default();
        let declared = message.type_oids.iter().map(|oid| declared(*oid)).collect::<PgWireResult<Vec<_>>>()?;
        let mut statements = statement::parse(&message.query)?;
        if statements.len() > 1 {
            return Err(errors::error("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let prepared = match statements.pop() {
            Some(first) => {
                self.transaction.check(&first)?;
                let clock = self.clock();
                Some(statement::prepare(&self.shared.engine, self.session, first, &declared, &clock).await?)
            }
            None => None,
        };
        // What is wrong with the text is said first, as in PostgreSQL.
        self.statements.check(name)?;
        self.statements.add(name, &message.query, prepared, declared, self.message)?;
        self.client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await
    }

    pub async fn bind(&mut self, message: Bind, room: Option<OwnedSemaphorePermit>) -> PgWireResult<()> {
        let portal_name = message.portal_name.as_deref().unwrap_or_default();
        let name = message.statement_name.as_deref().unwrap_or_default();
        let statement = self.statements.get(name)?;
        params::check_formats(&message.parameter_format_codes, message.parameters.len())?;
        params::check_codes(&message.result_column_format_codes)?;
        let given = message.parameters.len();
        // Those of long messages are counted where all connections' are.
        let value_bytes = match room {
            Some(_) => 0,
            None => message.parameters.iter().flatten().map(|value| value.len()).sum::<usize>(),
        };
        let portal = match &statement.prepared {
            None => {
                params::check_count(name, given, 0)?;
                self.portals.check(portal_name)?;
                Portal::new(None, vec![])
            }
            Some(prepared) => {
                params::check_count(name, given, prepared.parameters.len().max(statement.declared.len()))?;
                self.transaction.check(&prepared.statement)?;
                self.portals.check(portal_name)?;
                let values = values(prepared, &message, self.session.now())?;
                let clock = self.clock();
                let bound = self.with_arguments(prepared, &values, &clock).await?;
                // A description that cannot be made is an error now, not when rows are sent.
                let fields = self.fields_of(&bound, &format(&message.result_column_format_codes))?;
                if bound.is_sketch != prepared.is_sketch && statement.is_described() {
                    check_same(&self.fields_of(prepared, &Format::UnifiedText)?, &fields)?;
                }
                Portal { values: params::bound(values), ..Portal::new(Some(bound), fields) }
            }
        };
        let portal = Portal { depth: self.transaction.depth(), statement: Some(statement), room, ..portal };
        self.portals.add(portal_name, value_bytes + given * size_of::<ScalarAndMetadata>(), portal)?;
        self.client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await
    }

    pub async fn describe(&mut self, message: Describe) -> PgWireResult<()> {
        let name = message.name.as_deref().unwrap_or_default();
        let (fields, types, returns_rows) = if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            let statement = self.statements.get(name)?;
            match &statement.prepared {
                None => (vec![], Some(vec![]), false),
                Some(prepared) => {
                    let fields = self.fields_of(prepared, &Format::UnifiedText)?;
                    statement.note_described();
                    (fields, Some(parameter_types(&statement, prepared)), self.returns_rows(prepared))
                }
            }
        } else {
            let portal = self.portals.get(name)?;
            let returns_rows = portal.prepared.as_ref().is_some_and(|prepared| self.returns_rows(prepared));
            (portal.fields.to_vec(), None, returns_rows)
        };
        if returns_rows && self.transaction.is_failed() {
            return Err(aborted());
        }
        if let Some(types) = types {
            let types = types.iter().map(Type::oid).collect();
            self.client.feed(PgWireBackendMessage::ParameterDescription(ParameterDescription::new(types))).await?;
        }
        match returns_rows {
            true => self.describe_rows(&fields).await,
            false => self.client.feed(PgWireBackendMessage::NoData(NoData::new())).await,
        }
    }

    /// Tells what rows are to come.
    pub async fn describe_rows(&mut self, fields: &[FieldInfo]) -> PgWireResult<()> {
        let description = RowDescription::new(fields.iter().map(Into::into).collect());
        self.client.feed(PgWireBackendMessage::RowDescription(description)).await
    }

    pub async fn execute(&mut self, message: Execute) -> PgWireResult<()> {
        let name = message.name.as_deref().unwrap_or_default();
        let portal = self.portals.get(name)?;
        let Some(prepared) = &portal.prepared else {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            return self.client.feed(empty).await;
        };
        self.transaction.check(&prepared.statement)?;
        // Zero and negative counts mean all rows.
        let most = u64::try_from(message.max_rows).ok().filter(|n| *n > 0);
        let (mut portal, held) = self.portals.take(name)?;
        let clock = self.clock();
        let opened_in = self.transaction.is_block();
        let progress = self.advance(name, &mut portal, most, &clock).await;
        if progress.is_err() {
            portal.state = State::Failed;
        }
        // A transaction that has ended has taken its portals with it.
        if self.transaction.is_block() == opened_in {
            self.portals.put_back(name, (portal, held));
        }
        match progress? {
            Progress::Suspended => {
                self.client.feed(PgWireBackendMessage::PortalSuspended(PortalSuspended::new())).await
            }
            Progress::Complete(tag) => self.complete(tag).await,
        }
    }

    /// Tells that a statement has ended, and before that what it has to say.
    pub async fn complete(&mut self, tag: String) -> PgWireResult<()> {
        self.shared.stats.statement();
        self.tell_notices().await?;
        self.client.feed(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag))).await
    }

    /// Closing what is not there is fine.
    pub async fn close(&mut self, message: Close) -> PgWireResult<()> {
        let name = message.name.as_deref().unwrap_or_default();
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => self.statements.close(name),
            _ => self.portals.close(name),
        };
        self.client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await
    }
}

/// What a client says of a parameter.
fn declared(oid: u32) -> PgWireResult<Option<Type>> {
    match (oid, Type::from_oid(oid)) {
        (0, _) => Ok(None),
        (_, Some(known)) => Ok(Some(known)),
        (_, None) => Err(errors::error("42704", format!("type with OID {oid} does not exist"))),
    }
}

fn format(codes: &[i16]) -> Format {
    match codes {
        [] => Format::UnifiedText,
        [one] => Format::from(*one),
        each => Format::Individual(each.to_vec()),
    }
}

/// Types of all parameters: those in the text, and those declared of a command, which has none.
fn parameter_types(statement: &Statement, prepared: &Prepared) -> Vec<Type> {
    let count = prepared.parameters.len().max(statement.declared.len());
    let describe = |at: usize| match (prepared.parameters.get(at), statement.declared.get(at)) {
        (Some(wanted), _) => wanted.pg.clone(),
        (None, Some(Some(declared))) => declared.clone(),
        (None, _) => Type::TEXT,
    };
    (0..count).map(describe).collect()
}

/// The values of a Bind. Those of a command are counted, and not looked at.
fn values(prepared: &Prepared, message: &Bind, now: Now) -> PgWireResult<Vec<ScalarValue>> {
    let formats = format(&message.parameter_format_codes);
    let wanted = prepared.parameters.iter().zip(&message.parameters).enumerate();
    let decode = |(at, (wanted, bytes)): (usize, (&Parameter, &Option<Bytes>))| {
        params::decode(at, bytes.as_ref(), formats.is_binary(at), wanted, now)
    };
    wanted.map(decode).collect()
}
