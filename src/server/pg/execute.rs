//! A statement run to its end, or as far as it was asked for. What answers with rows does so in one way, whether the rows
//! are those of a query or of a command.

use std::sync::Arc;
use std::time::Instant;

use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::response::EmptyQueryResponse;

use super::conversation::Conversation;
use super::copy::Form;
use super::portals::{Portal, State};
use super::run::{self, Begin, Clock, Request, Running};
use super::source::{Back, Motion, Shape, Source};
use super::statement::{self, Prepared, Work};
use super::statements::Statement;
use super::writer::Encoder;
use super::{command, errors, params, sketch};
use crate::engine::sql::promql::StatementPromql;
use crate::engine::sql::text::fetch::is_move;

/// How far a portal has come.
pub enum Progress {
    /// As many rows as were asked for; there may be more.
    Suspended,
    /// To its end, which is told in these words.
    Complete(String),
}

impl Conversation<'_> {
    /// Answers a simple query, up to but without ReadyForQuery. Its statements run one after the other, each
    /// planned when it is its turn; the first error ends the message, as in Postgres.
    pub async fn simple(&mut self, text: &str) -> PgWireResult<()> {
        // What has no name is gone with the next simple query.
        self.statements.close("");
        self.portals.close("");
        let statements = statement::parse(text)?;
        if statements.is_empty() {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            self.client.feed(empty).await?;
        }
        self.many = statements.len() > 1;
        for next in statements {
            self.transaction.check(&next)?;
            let clock = self.clock();
            let prepared = statement::prepare(&self.shared.engine, self.session, next, &[], &clock).await?;
            let fields = self.fields_of(&prepared, &Format::UnifiedText)?;
            if self.returns_rows(&prepared) {
                self.describe_rows(&fields).await?;
            }
            let mut portal = Portal::new(Some(prepared), fields);
            match self.advance("", &mut portal, None, &clock).await? {
                Progress::Complete(tag) => self.complete(tag).await?,
                Progress::Suspended => {
                    return Err(errors::error("XX000", "a statement without a limit has stopped"));
                }
            }
        }
        // Statements of one message are a transaction.
        if !self.transaction.is_block() {
            self.write_kept().await?;
        }
        Ok(())
    }

    /// The row description; empty for commands without rows, and for those that name what there is not, which is an error when
    /// they run.
    pub fn fields_of(&self, prepared: &Prepared, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
        match &*prepared.statement {
            ast::Statement::Execute { .. } => {
                let executed = match self.executed(&prepared.statement) {
                    Err(error) if error.code() == "26000" => return Ok(vec![]),
                    executed => executed?,
                };
                executed.prepared.as_ref().map_or_else(|| Ok(vec![]), |named| named.fields(self.session, format))
            }
            ast::Statement::Fetch { name, into, .. } if !is_move(into.as_ref()) => {
                self.fetched_fields(name, format)
            }
            _ => prepared.fields(self.session, format),
        }
    }

    /// False for commands that answer with a tag alone.
    pub fn returns_rows(&self, prepared: &Prepared) -> bool {
        match &*prepared.statement {
            ast::Statement::Execute { .. } => match self.executed(&prepared.statement) {
                Ok(executed) => executed.prepared.as_ref().is_some_and(Prepared::returns_rows),
                Err(_) => false,
            },
            ast::Statement::Fetch { name, into, .. } => {
                !is_move(into.as_ref()) && self.fetched_fields(name, &Format::UnifiedText).is_ok()
            }
            _ => prepared.returns_rows(),
        }
    }

    /// Runs a portal on, for so many rows or to its end.
    pub async fn advance(
        &mut self,
        name: &str,
        portal: &mut Portal,
        most: Option<u64>,
        clock: &Clock,
    ) -> PgWireResult<Progress> {
        if matches!(portal.state, State::Ready)
            && let Some(tag) = self.begin(portal, most, clock).await?
        {
            portal.state = State::Done;
            return Ok(Progress::Complete(tag));
        }
        let Some(prepared) = portal.prepared.clone() else { return Ok(Progress::Complete(String::new())) };
        let form = match &prepared.work {
            Work::Copy { form, .. } => Some(Form::clone(form)),
            Work::Command | Work::Query { .. } | Work::Explain { .. } => None,
            Work::Insert { .. } | Work::CopyIn { .. } | Work::Declare { .. } => return Err(cannot_run(name)),
        };
        if matches!(portal.state, State::Done) && (form.is_some() || !self.returns_rows(&prepared)) {
            return Err(cannot_run(name));
        }
        // Data of a COPY come at once.
        let most = most.filter(|_| form.is_none());
        if let Some(form) = &form {
            portal.fields = Arc::new(prepared.copied_fields()?);
            self.begin_copy(form, &portal.fields).await?;
        }
        let encoder = Encoder { fields: portal.fields.clone(), zone: self.session.zone(), copy: form.clone() };
        let rows = self.ask(name, portal, Motion::Forward(most), Some(encoder), clock).await?;
        if let Some(form) = &form {
            self.client.pass_on(form.tail(rows)?).await?;
            self.client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
        }
        if most == Some(rows) {
            return Ok(Progress::Suspended);
        }
        if portal.cursor.is_none() {
            portal.state = State::Done;
        }
        self.session.notices.add(&prepared.promql);
        Ok(Progress::Complete(match (&prepared.work, &*prepared.statement) {
            (Work::Explain { .. }, _) => "EXPLAIN".into(),
            (Work::Copy { .. }, _) => format!("COPY {rows}"),
            (_, ast::Statement::ShowVariable { .. }) => "SHOW".into(),
            (_, ast::Statement::Fetch { .. }) => "FETCH 0".into(),
            _ => format!("SELECT {rows}"),
        }))
    }

    async fn begin_copy(&mut self, form: &Form, fields: &[FieldInfo]) -> PgWireResult<()> {
        let code = i16::from(form.is_binary());
        // Descriptions are checked to have no more columns than messages have room for.
        let response = CopyOutResponse::new(code as i8, fields.len() as i16, vec![code; fields.len()]);
        self.client.feed(PgWireBackendMessage::CopyOutResponse(response)).await?;
        Ok(self.client.pass_on(form.head(fields)?).await?)
    }

    /// Asks for rows of a portal, and passes on what comes; how many they are. This is the only way to rows.
    ///
    /// # Errors
    /// 55000 for a portal that has failed. After an error it is one.
    pub async fn ask(
        &mut self,
        name: &str,
        portal: &mut Portal,
        motion: Motion,
        encoder: Option<Encoder>,
        clock: &Clock,
    ) -> PgWireResult<u64> {
        let prepared = portal.prepared.clone().ok_or_else(|| cannot_run(name))?;
        let begin = match std::mem::replace(&mut portal.state, State::Failed) {
            State::Ready => {
                if portal.cursor.is_some() || motion != Motion::Forward(None) {
                    self.portals.check_waiting()?;
                }
                prepared.promql.iter().for_each(StatementPromql::begin);
                self.plan(name, portal, &prepared)?
            }
            State::Open(source, _) => Begin::Rest(source),
            State::Done => {
                portal.state = State::Done;
                return Ok(0);
            }
            State::Failed => return Err(cannot_run(name)),
        };
        let limits = clock.limits(&self.shared.engine, self.session.open_message());
        let limits = run::with_flag(limits, prepared.promql.first().map(StatementPromql::flag));
        let mut running = Running::start(&self.shared.engine, begin, Request { motion, encoder }, limits);
        while let Some(part) = running.next().await {
            self.client.pass_on(part?.messages).await?;
        }
        let (rest, rows) =
            running.rest().ok_or_else(|| errors::error("XX000", "a query ended without saying how"))?;
        portal.state = State::Open(rest, Instant::now());
        Ok(rows)
    }

    /// The rows of a portal that has not begun.
    fn plan(&self, name: &str, portal: &Portal, prepared: &Prepared) -> PgWireResult<Begin> {
        let (plan, shape) = match &prepared.work {
            Work::Query { plan, .. } | Work::Copy { plan, .. } => (plan, Shape::AsIs),
            Work::Explain { plan, shape } => (plan, *shape),
            Work::Command | Work::Insert { .. } | Work::CopyIn { .. } | Work::Declare { .. } => {
                return Err(cannot_run(name));
            }
        };
        let context = self.session.context().clone();
        let back = portal.cursor.as_ref().map_or(Back::Never, |cursor| cursor.back);
        Ok(Begin::Plan { context, plan: with_values(plan, portal.values.as_ref())?, shape, back })
    }

    /// Does what is done at once, and tells the words its end is told in; `None` where rows are yet to be asked for.
    async fn begin(
        &mut self,
        portal: &mut Portal,
        most: Option<u64>,
        clock: &Clock,
    ) -> PgWireResult<Option<String>> {
        let Some(mut prepared) = portal.prepared.clone() else { return Ok(None) };
        if let ast::Statement::Execute { .. } = &*prepared.statement {
            let execute = prepared.statement.clone();
            prepared = self.begin_execute(portal, &execute, clock).await?;
            // It is no EXECUTE in turn.
            portal.prepared = Some(prepared.clone());
        }
        if let Work::Command = prepared.work {
            let statement = prepared.statement.clone();
            match &*statement {
                ast::Statement::ShowVariable { .. } => {
                    let rows = command::show(self.session, &statement)?;
                    portal.state = State::Open(Source::of(rows), Instant::now());
                    return Ok(None);
                }
                ast::Statement::Prepare { name, data_types, statement } => {
                    self.keep_named(name, data_types, statement, clock).await?;
                    return Ok(Some("PREPARE".into()));
                }
                ast::Statement::Fetch { name, into, .. } => {
                    if !is_move(into.as_ref()) {
                        check_same(&portal.fields, &self.fetched_fields(name, &Format::UnifiedText)?)?;
                    }
                    let fields = portal.fields.clone();
                    return self.fetch(&statement, fields, most, clock).await.map(Some);
                }
                statement => return self.command(statement).await.map(Some),
            }
        }
        let prepared = self.planned_anew(portal.statement.as_ref(), prepared, clock).await?;
        match &prepared.work {
            Work::Command => Err(errors::error("XX000", "a command was planned")),
            Work::Insert { plan, target } => {
                let plan = with_values(plan, portal.values.as_ref())?;
                let rows = self.insert(plan, target.clone(), prepared.promql.clone(), clock).await?;
                // The number behind INSERT is of a time when rows had names.
                Ok(Some(format!("INSERT 0 {rows}")))
            }
            Work::CopyIn { copy } => {
                let rows = self.copy_in(copy.clone()).await?;
                Ok(Some(format!("COPY {rows}")))
            }
            Work::Declare { query } => {
                let query = Prepared::clone(query);
                self.declare(&prepared.statement, query, portal, clock).await?;
                Ok(Some("DECLARE CURSOR".into()))
            }
            Work::Query { .. } | Work::Explain { .. } | Work::Copy { .. } => {
                portal.prepared = Some(prepared);
                Ok(None)
            }
        }
    }

    /// What an EXECUTE runs, in its place.
    async fn begin_execute(
        &mut self,
        portal: &mut Portal,
        execute: &ast::Statement,
        clock: &Clock,
    ) -> PgWireResult<Prepared> {
        let executed = self.executed(execute)?;
        let prepared = executed.prepared.clone().ok_or_else(|| errors::unsupported(execute))?;
        self.transaction.check(&prepared.statement)?;
        let values = self.executed_values(execute, &executed, clock).await?;
        let bound = self.with_arguments(&prepared, &values, clock).await?;
        check_same(&portal.fields, &bound.fields(self.session, &Format::UnifiedText)?)?;
        portal.values = params::bound(values);
        portal.statement = Some(executed);
        Ok(bound)
    }

    /// The statement with values in the arguments of its table functions, where it has parameters there.
    pub async fn with_arguments(
        &self,
        prepared: &Prepared,
        values: &[ScalarValue],
        clock: &Clock,
    ) -> PgWireResult<Prepared> {
        if !prepared.is_sketch {
            return Ok(prepared.clone());
        }
        let statement = sketch::filled(&prepared.statement, &prepared.parameters, values)?;
        let types: Vec<Option<Type>> = prepared.parameters.iter().map(|wanted| Some(wanted.pg.clone())).collect();
        statement::prepare(&self.shared.engine, self.session, statement, &types, clock).await
    }

    /// PromQL is planned for a time, for the series there are, and for one run. So a plan of it is used once, within the
    /// message that made it; for every other run the statement is planned anew.
    async fn planned_anew(
        &mut self,
        statement: Option<&Arc<Statement>>,
        prepared: Prepared,
        clock: &Clock,
    ) -> PgWireResult<Prepared> {
        let Some(statement) = statement.filter(|_| !prepared.promql.is_empty()) else { return Ok(prepared) };
        // It was planned for the values of this run.
        if statement.prepared.as_ref().is_some_and(|named| named.is_sketch) {
            return Ok(prepared);
        }
        if statement.use_plan(self.message) {
            return Ok(prepared);
        }
        let parsed = ast::Statement::clone(&prepared.statement);
        let engine = &self.shared.engine;
        let anew = statement::prepare(engine, self.session, parsed, &statement.declared, clock).await?;
        let format = Format::UnifiedText;
        check_same(&prepared.fields(self.session, &format)?, &anew.fields(self.session, &format)?)?;
        Ok(anew)
    }
}

/// A client was told what rows are to come, and it is too late to tell it otherwise.
pub fn check_same(described: &[FieldInfo], fields: &[FieldInfo]) -> PgWireResult<()> {
    let same = |(a, b): (&FieldInfo, &FieldInfo)| a.name() == b.name() && a.datatype() == b.datatype();
    match described.len() == fields.len() && described.iter().zip(fields).all(same) {
        true => Ok(()),
        false => Err(errors::error("0A000", "cached plan must not change result type")),
    }
}

fn cannot_run(name: &str) -> PgWireError {
    errors::error("55000", format!("portal \"{name}\" cannot be run"))
}

fn with_values(plan: &LogicalPlan, values: Option<&ParamValues>) -> PgWireResult<LogicalPlan> {
    match values {
        Some(values) => plan.clone().replace_params_with_values(values).map_err(errors::datafusion),
        None => Ok(plan.clone()),
    }
}
