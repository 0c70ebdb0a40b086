//! A statement run to its end, or as far as it was asked for. What answers with rows does so in one way, whether the rows
//! are those of a query or of a command.

use std::sync::Arc;
use std::time::Instant;

use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::EmptyQueryResponse;

use super::conversation::Conversation;
use super::insert::{self, Target};
use super::portals::{Portal, State};
use super::run::{self, Begin, Clock, Encoder, Running, Shape};
use super::statement::{self, Prepared, Work};
use super::{command, errors};
use crate::engine::sql::promql::StatementPromql;

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
        for next in statements {
            self.transaction.check(&next)?;
            let clock = self.clock();
            let prepared = statement::prepare(&self.shared.engine, self.session, next, &clock).await?;
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
        Ok(())
    }

    /// The row description; empty for commands without rows.
    pub fn fields_of(&self, prepared: &Prepared, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
        prepared.fields(self.session, format)
    }

    /// False for commands that answer with a tag alone.
    pub fn returns_rows(&self, prepared: &Prepared) -> bool {
        prepared.returns_rows()
    }

    /// Runs a portal on, for so many rows or to its end.
    pub async fn advance(
        &mut self,
        name: &str,
        portal: &mut Portal,
        most: Option<u64>,
        clock: &Clock,
    ) -> PgWireResult<Progress> {
        let Some(prepared) = portal.prepared.clone() else { return Ok(Progress::Complete(String::new())) };
        let begin = match std::mem::replace(&mut portal.state, State::Failed) {
            State::Ready => match self.begin(portal, &prepared, clock).await? {
                Begun::Rows(begin) => begin,
                Begun::Done(tag) => {
                    portal.state = State::Done;
                    return Ok(Progress::Complete(tag));
                }
            },
            State::Open(source, _) => Begin::Rest(source),
            State::Done if prepared.returns_rows() => {
                portal.state = State::Done;
                return Ok(Progress::Complete(rows_tag(&prepared, 0)));
            }
            State::Done | State::Failed => {
                return Err(errors::error("55000", format!("portal \"{name}\" cannot be run")));
            }
        };
        let encoder = Encoder { fields: portal.fields.clone(), zone: self.session.zone() };
        let promql = portal.prepared.as_ref().map_or_else(Arc::default, |prepared| prepared.promql.clone());
        let mut running = self.start(begin, most, encoder, &promql, clock);
        let mut rows = 0;
        while let Some(part) = running.next().await {
            let part = part?;
            rows += part.rows;
            self.client.pass_on(part.messages).await?;
        }
        if most == Some(rows)
            && let Some(rest) = running.rest()
        {
            portal.state = State::Open(rest, Instant::now());
            return Ok(Progress::Suspended);
        }
        portal.state = State::Done;
        self.session.notices.add(&promql);
        Ok(Progress::Complete(rows_tag(&prepared, rows)))
    }

    fn start(
        &self,
        begin: Begin,
        most: Option<u64>,
        encoder: Encoder,
        promql: &[StatementPromql],
        clock: &Clock,
    ) -> Running {
        let limits = clock.limits(&self.shared.engine, self.session.open_message());
        let limits = run::with_flag(limits, promql.first().map(StatementPromql::flag));
        Running::start(&self.shared.engine, begin, most, encoder, limits)
    }

    /// Does what is done at once, and tells what is yet to be run.
    async fn begin(&mut self, portal: &mut Portal, prepared: &Prepared, clock: &Clock) -> PgWireResult<Begun> {
        if let Work::Command = prepared.work {
            return match &*prepared.statement {
                ast::Statement::ShowVariable { .. } => {
                    let rows = command::show(self.session, &prepared.statement)?;
                    Ok(Begun::Rows(Begin::Batch(rows)))
                }
                statement => Ok(Begun::Done(self.command(statement)?)),
            };
        }
        let prepared = self.planned_anew(portal, prepared, clock).await?;
        let begin = match &prepared.work {
            Work::Command => return Err(errors::error("XX000", "a command was planned")),
            Work::Insert { plan, target } => {
                let plan = with_values(plan, portal.values.as_ref())?;
                let rows = self.insert(plan, target.clone(), prepared.promql.clone(), clock).await?;
                // The number behind INSERT is of a time when rows had names.
                return Ok(Begun::Done(format!("INSERT 0 {rows}")));
            }
            Work::Query { plan, .. } => self.plan(plan, portal.values.as_ref(), Shape::AsIs)?,
            Work::Explain { plan } => self.plan(plan, portal.values.as_ref(), Shape::Explain)?,
        };
        prepared.promql.iter().for_each(StatementPromql::begin);
        portal.prepared = Some(prepared);
        Ok(Begun::Rows(begin))
    }

    fn plan(&self, plan: &LogicalPlan, values: Option<&ParamValues>, shape: Shape) -> PgWireResult<Begin> {
        Ok(Begin::Plan { context: self.session.context.clone(), plan: with_values(plan, values)?, shape })
    }

    /// PromQL is planned for a time, for the series there are, and for one run. So a plan of it is used once, within the
    /// message that made it; for every other run the statement is planned anew.
    async fn planned_anew(&self, portal: &Portal, prepared: &Prepared, clock: &Clock) -> PgWireResult<Prepared> {
        let Some(statement) = portal.statement.as_ref().filter(|_| !prepared.promql.is_empty()) else {
            return Ok(prepared.clone());
        };
        if statement.use_plan(self.message) {
            return Ok(prepared.clone());
        }
        let parsed = ast::Statement::clone(&prepared.statement);
        let anew = statement::prepare(&self.shared.engine, self.session, parsed, clock).await?;
        let described = prepared.fields(self.session, &Format::UnifiedText)?;
        let fields = anew.fields(self.session, &Format::UnifiedText)?;
        let same = |(a, b): (&FieldInfo, &FieldInfo)| a.name() == b.name() && a.datatype() == b.datatype();
        if described.len() != fields.len() || !described.iter().zip(&fields).all(same) {
            return Err(errors::error("0A000", "cached plan must not change result type"));
        }
        Ok(anew)
    }

    /// From when the query has ended on, neither a cancellation nor a timeout ends it.
    async fn insert(
        &self,
        plan: LogicalPlan,
        target: Arc<Target>,
        promql: Arc<Vec<StatementPromql>>,
        clock: &Clock,
    ) -> PgWireResult<u64> {
        let inserter = self.shared.inserter.as_ref().filter(|_| self.session.writes());
        let inserter =
            inserter.ok_or_else(|| errors::error("25006", "cannot execute INSERT in a read-only transaction"))?;
        let limits = clock.limits(&self.shared.engine, self.session.open_message());
        let running = insert::Running { plan, target, promql };
        insert::run(&self.shared.engine, self.session, inserter, running, limits).await
    }
}

/// What is left to do once a statement has begun.
enum Begun {
    Rows(Begin),
    /// Nothing; what its end is told in.
    Done(String),
}

fn with_values(plan: &LogicalPlan, values: Option<&ParamValues>) -> PgWireResult<LogicalPlan> {
    match values {
        Some(values) => plan.clone().replace_params_with_values(values).map_err(errors::datafusion),
        None => Ok(plan.clone()),
    }
}

fn rows_tag(prepared: &Prepared, rows: u64) -> String {
    match (&prepared.work, &*prepared.statement) {
        (Work::Explain { .. }, _) => "EXPLAIN".into(),
        (_, ast::Statement::ShowVariable { .. }) => "SHOW".into(),
        _ => format!("SELECT {rows}"),
    }
}
