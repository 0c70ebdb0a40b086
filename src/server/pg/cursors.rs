//! DECLARE, FETCH and MOVE. Cursors are portals, in the same space of names: what is declared can be executed by its name, and
//! what was bound can be fetched from.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, FetchDirection, Ident, Value, ValueWithSpan};
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

use super::conversation::Conversation;
use super::errors;
use super::names::folded;
use super::portals::{Cursor, Portal, State, missing_cursor};
use super::run::Clock;
use super::source::{Back, Motion};
use super::statement::{Prepared, Work};
use super::writer::Encoder;
use crate::engine::sql::text::fetch::is_move;

/// How many times as large as its text the plan of a cursor is taken to be, and what it takes besides.
const PLAN_TIMES: usize = 8;
const PLAN_BYTES: usize = 2 << 10;

impl Conversation<'_> {
    /// Opens a cursor of a query, with the values of the portal that declares it.
    pub async fn declare(
        &mut self,
        statement: &ast::Statement,
        query: Prepared,
        portal: &mut Portal,
        clock: &Clock,
    ) -> PgWireResult<()> {
        let ast::Statement::Declare { stmts } = statement else { return Err(errors::unsupported(statement)) };
        let [declared] = stmts.as_slice() else { return Err(errors::unsupported(statement)) };
        let [name] = declared.names.as_slice() else { return Err(errors::unsupported(statement)) };
        let name = folded(name);
        if name.is_empty() {
            return Err(errors::error("34000", "invalid cursor name: must not be empty"));
        }
        let hold = declared.hold.unwrap_or(false);
        if !hold && !self.transaction.is_block() && !self.many {
            return Err(errors::error("25P01", "DECLARE CURSOR can only be used in transaction blocks"));
        }
        self.portals.check(&name)?;
        let binary = declared.binary.unwrap_or(false);
        let format = if binary { Format::UnifiedBinary } else { Format::UnifiedText };
        let fields = query.fields(self.session, &format)?;
        let bytes = PLAN_BYTES + PLAN_TIMES * statement.to_string().len();
        let back = match declared.scroll {
            Some(true) => Back::Always,
            Some(false) => Back::Never,
            None => Back::WhileFew,
        };
        let cursor = Portal {
            values: portal.values.take(),
            depth: self.transaction.depth(),
            statement: portal.statement.clone(),
            cursor: Some(Cursor { back, binary, hold, held: false }),
            room: portal.room.take(),
            ..Portal::new(Some(query), fields)
        };
        self.portals.add(&name, bytes, cursor)?;
        if hold && !self.transaction.is_block() {
            self.hold(&name, clock).await?;
        }
        Ok(())
    }

    /// What the rows of a FETCH are described as.
    ///
    /// # Errors
    /// 34000 for a cursor that there is not, 55000 for a portal that is none of a query.
    pub fn fetched_fields(&self, name: &Ident, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
        let name = folded(name);
        let portal = self.portals.get(&name).map_err(|_| missing_cursor(&name))?;
        let binary = portal.cursor.as_ref().is_some_and(|cursor| cursor.binary);
        let format = if binary { &Format::UnifiedBinary } else { format };
        match &portal.prepared {
            Some(prepared) if is_query(prepared) => prepared.fields(self.session, format),
            _ => Err(no_query(&name)),
        }
    }

    /// Goes on with a cursor; the words the end is told in.
    pub async fn fetch(
        &mut self,
        statement: &ast::Statement,
        fields: Arc<Vec<FieldInfo>>,
        most: Option<u64>,
        clock: &Clock,
    ) -> PgWireResult<String> {
        let ast::Statement::Fetch { name, direction, into, .. } = statement else {
            return Err(errors::unsupported(statement));
        };
        let (motion, moves) = (motion(direction)?, is_move(into.as_ref()));
        if most.is_some_and(|most| !moves && at_most(motion).is_none_or(|rows| rows > most)) {
            return Err(errors::unsupported("a limit of rows for a FETCH that is of more of them"));
        }
        let name = folded(name);
        let (mut portal, held) = self.portals.take(&name).map_err(|_| missing_cursor(&name))?;
        let asked = match portal.prepared.as_ref().is_some_and(is_query) {
            true => {
                let encoder = Encoder { fields, zone: self.session.zone(), copy: None };
                self.ask(&name, &mut portal, motion, (!moves).then_some(encoder), clock).await
            }
            false => Err(no_query(&name)),
        };
        if asked.is_err() {
            portal.state = State::Failed;
        }
        let promql = portal.prepared.as_ref().map_or_else(Arc::default, |prepared| prepared.promql.clone());
        self.portals.put_back(&name, (portal, held));
        let rows = asked?;
        self.session.notices.add(&promql);
        Ok(format!("{} {rows}", if moves { "MOVE" } else { "FETCH" }))
    }

    /// Keeps the rows of all cursors that are to outlive the transaction, which ends well.
    pub async fn hold_all(&mut self) -> PgWireResult<()> {
        let clock = self.clock();
        for name in self.portals.to_hold() {
            self.hold(&name, &clock).await?;
        }
        Ok(())
    }

    async fn hold(&mut self, name: &str, clock: &Clock) -> PgWireResult<()> {
        let (mut portal, held) = self.portals.take(name)?;
        // A cursor that has failed is gone with the transaction.
        if matches!(portal.state, State::Failed) {
            return Ok(());
        }
        self.ask(name, &mut portal, Motion::Keep, None, clock).await?;
        portal.depth = 0;
        if let Some(cursor) = &mut portal.cursor {
            cursor.held = true;
        }
        self.portals.put_back(name, (portal, held));
        Ok(())
    }
}

fn is_query(prepared: &Prepared) -> bool {
    matches!(prepared.work, Work::Query { .. } | Work::Explain { .. })
}

fn no_query(name: &str) -> pgwire::error::PgWireError {
    errors::error("55000", format!("portal \"{name}\" cannot be run"))
}

/// Where a direction leads.
fn motion(direction: &FetchDirection) -> PgWireResult<Motion> {
    let forward = |rows: i64| match rows {
        0.. => Motion::Forward(Some(rows.unsigned_abs())),
        _ => Motion::Backward(Some(rows.unsigned_abs())),
    };
    let backward = |rows: i64| match rows {
        0.. => Motion::Backward(Some(rows.unsigned_abs())),
        _ => Motion::Forward(Some(rows.unsigned_abs())),
    };
    let one_or = |limit: &Option<ValueWithSpan>| limit.as_ref().map_or(Ok(1), number);
    Ok(match direction {
        FetchDirection::Next => Motion::Forward(Some(1)),
        FetchDirection::Prior => Motion::Backward(Some(1)),
        FetchDirection::First => Motion::Absolute(1),
        FetchDirection::Last => Motion::Absolute(-1),
        FetchDirection::Absolute { limit } => Motion::Absolute(number(limit)?),
        FetchDirection::Relative { limit } => Motion::Relative(number(limit)?),
        FetchDirection::Count { limit } => forward(number(limit)?),
        FetchDirection::Forward { limit } => forward(one_or(limit)?),
        FetchDirection::Backward { limit } => backward(one_or(limit)?),
        FetchDirection::All | FetchDirection::ForwardAll => Motion::Forward(None),
        FetchDirection::BackwardAll => Motion::Backward(None),
    })
}

fn number(value: &ValueWithSpan) -> PgWireResult<i64> {
    let parsed = match &value.value {
        Value::Number(digits, _) => digits.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| errors::error("22003", format!("{value} is out of range for a number of rows")))
}

/// The most rows that may come; `None` where there is no telling.
fn at_most(motion: Motion) -> Option<u64> {
    match motion {
        Motion::Forward(rows) | Motion::Backward(rows) => rows.map(|rows| rows.max(1)),
        Motion::Absolute(_) | Motion::Relative(_) => Some(1),
        Motion::Keep => Some(0),
    }
}
