//! The loop of a connection: its messages one after the other, and what the client keeps between them: the transaction,
//! prepared statements and portals, which are here and nowhere else.

use std::io;
use std::sync::Arc;

use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::response::ReadyForQuery;
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage};
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::errors::{self, fatal};
use super::held::Holder;
use super::message;
use super::pending::Writes;
use super::portals::Portals;
use super::receive::{Frame, Messages};
use super::run::Clock;
use super::session::Session;
use super::settings::table;
use super::shared::Shared;
use super::statements::Statements;
use super::transaction::Transaction;
use crate::engine::recent::{self, Language, Question, Ticket};

/// One client, from its first message to its last.
pub struct Conversation<'a> {
    pub shared: &'a Shared,
    pub session: &'a Arc<Session>,
    pub client: &'a mut Client,
    pub transaction: Transaction,
    pub statements: Statements,
    pub portals: Portals,
    pub holder: Arc<Holder>,
    /// What the client sends.
    pub messages: Messages,
    /// The next of it, where that was looked at before its turn.
    pub peeked: Option<Frame>,
    /// Samples that wait for the end of the transaction.
    pub writes: Option<Writes>,
    /// Counts messages: a simple query, or in the extended protocol everything up to Sync.
    pub message: u64,
    /// The message has several statements, which are a transaction.
    pub many: bool,
    /// It is one of the extended protocol, of which more may come before Sync.
    pub is_extended: bool,
    /// After an error, up to Sync.
    skipping: bool,
    /// When the client was told that it may go on, if it has not.
    idle_since: Option<Instant>,
}

/// What the loop waits for.
enum Next {
    Frame(Frame),
    /// A portal has waited for too long.
    PortalEnds,
    End(Option<PgWireError>),
}

impl<'a> Conversation<'a> {
    pub fn new(shared: &'a Shared, session: &'a Arc<Session>, client: &'a mut Client, messages: Messages) -> Self {
        let holder = Holder::new(shared.engine.memory("a Postgres session"));
        Self {
            shared,
            session,
            client,
            transaction: Transaction::default(),
            statements: Statements::new(holder.clone()),
            portals: Portals::new(holder.clone()),
            holder,
            messages,
            peeked: None,
            writes: None,
            message: 1,
            many: false,
            is_extended: false,
            skipping: false,
            idle_since: Some(Instant::now()),
        }
    }

    /// Until either side has enough; what to tell the client if that is us.
    ///
    /// # Errors
    /// Whatever the socket said.
    pub async fn run(&mut self) -> io::Result<Option<PgWireError>> {
        loop {
            let frame = match self.next().await {
                Next::Frame(frame) => frame,
                Next::PortalEnds => {
                    self.portals.end_waiting(std::time::Instant::now());
                    continue;
                }
                Next::End(told) => return Ok(told),
            };
            let kind = frame.kind();
            // What nobody reads is no sign of life.
            if message::is_ignored(kind) || self.skipping && kind != message::SYNC {
                continue;
            }
            self.idle_since = None;
            match self.answer(frame).await {
                Ok(()) => {}
                Err(PgWireError::IoError(error)) => return Err(error),
                Err(error) if error.is_fatal() => return Ok(Some(error)),
                Err(error) => self.fail(kind, error).await?,
            }
        }
    }

    async fn next(&mut self) -> Next {
        if let Some(frame) = self.peeked.take() {
            return Next::Frame(frame);
        }
        let idle = self.idle_end();
        let portal = self.portals.next_end().map(Instant::from_std);
        tokio::select! {
            biased;
            () = self.shared.shutdown.cancelled() => {
                Next::End(Some(fatal("57P01", "terminating connection due to administrator command")))
            }
            next = self.messages.recv() => match next {
                Some(Ok(frame)) => Next::Frame(frame),
                Some(Err(error)) => Next::End(Some(error)),
                None => Next::End(None),
            },
            () = until(idle) => Next::End(Some(match self.transaction.is_block() {
                true => fatal("25P03", "terminating connection due to idle-in-transaction timeout"),
                false => fatal("57P05", "terminating connection due to idle-session timeout"),
            })),
            () = until(portal) => Next::PortalEnds,
        }
    }

    /// When the client has been idle for too long.
    fn idle_end(&self) -> Option<Instant> {
        let name = match self.transaction.is_block() {
            true => table::IDLE_IN_TRANSACTION_TIMEOUT,
            false => table::IDLE_TIMEOUT,
        };
        Some(self.idle_since? + self.session.settings().time(name)?)
    }

    async fn answer(&mut self, frame: Frame) -> PgWireResult<()> {
        let kind = frame.kind();
        message::check(&frame.bytes)?;
        if kind == message::SYNC {
            self.skipping = false;
            if !self.transaction.is_block()
                && let Err(error) = self.write_kept().await
            {
                // It is answered as a simple query is, since nothing is to be passed over.
                return Ok(self.fail(message::QUERY, error).await?);
            }
            return self.ready().await;
        }
        self.session.activity.begin();
        self.is_extended = message::is_extended(kind);
        let canceled = self.session.open_message();
        if canceled.is_cancelled() {
            return Err(errors::canceled());
        }
        // Outside of a block, the message is the transaction.
        self.session.settings().begin();
        self.dispatch(frame).await?;
        if kind == message::QUERY {
            self.ready().await?;
        }
        Ok(())
    }

    async fn dispatch(&mut self, mut frame: Frame) -> PgWireResult<()> {
        let mut context = DecodeContext::new(self.client.version);
        context.awaiting_frontend_ssl = false;
        context.awaiting_frontend_startup = false;
        let Some(message) = PgWireFrontendMessage::decode(&mut frame.bytes, &context)? else { return Ok(()) };
        let ticket = match &message {
            PgWireFrontendMessage::Query(query) => {
                self.session.activity.run(&query.query);
                self.told(&query.query)
            }
            PgWireFrontendMessage::Parse(parse) => {
                self.session.activity.run(&parse.query);
                None
            }
            PgWireFrontendMessage::Execute(execute) => self.tell_execution(execute.name.as_deref()),
            _ => None,
        };
        let answered = match message {
            PgWireFrontendMessage::Query(query) => Box::pin(self.simple(&query.query)).await,
            PgWireFrontendMessage::Parse(parse) => Box::pin(self.parse(parse)).await,
            PgWireFrontendMessage::Bind(bind) => Box::pin(self.bind(bind, frame.room.take())).await,
            PgWireFrontendMessage::Describe(describe) => self.describe(describe).await,
            PgWireFrontendMessage::Execute(execute) => Box::pin(self.execute(execute)).await,
            PgWireFrontendMessage::Close(close) => self.close(close).await,
            PgWireFrontendMessage::Flush(_) => Ok(self.client.flush().await?),
            // The kinds that can be read are all above; Sync is answered elsewhere.
            other => Err(errors::unsupported(format!("message {other:?}"))),
        };
        if let Some(ticket) = ticket {
            ticket.ended(answered.as_ref().err().map(|error| (errors::kind(error), error.to_string())));
        }
        answered
    }

    /// What is executed was prepared before, maybe long ago.
    fn tell_execution(&self, portal: Option<&str>) -> Option<Ticket> {
        let portal = self.portals.get(portal.unwrap_or_default()).ok();
        let statement = portal.and_then(|portal| portal.statement.as_ref())?;
        self.session.activity.run(&statement.text);
        self.told(&statement.text)
    }

    /// For `promlake.queries`.
    fn told(&self, text: &str) -> Option<Ticket> {
        self.shared.engine.asks(|| {
            Some(Question {
                language: Language::Sql,
                text: recent::kept(text).to_string(),
                client: self.session.activity.peer().map(|peer| peer.ip().to_string()).unwrap_or_default(),
                by: self.session.user.clone(),
                user: Some(self.session.user.clone()),
                range: None,
            })
        })
    }

    /// A message was answered to its end.
    async fn ready(&mut self) -> PgWireResult<()> {
        if !self.transaction.is_block() {
            self.session.settings().commit();
            self.portals.end_transaction();
            self.shared.sessions.locks.end_transaction(self.session.process_id);
        }
        self.message += 1;
        self.many = false;
        self.session.close_message();
        self.tell_settings().await?;
        self.session.activity.end(self.transaction.status());
        let ready = ReadyForQuery::new(self.transaction.status());
        self.client.send(PgWireBackendMessage::ReadyForQuery(ready)).await?;
        self.idle_since = Some(Instant::now());
        Ok(())
    }

    async fn tell_settings(&mut self) -> PgWireResult<()> {
        let untold = self.session.settings().untold();
        for (name, value) in untold {
            let status = ParameterStatus::new(name.to_string(), value);
            self.client.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
        }
        Ok(())
    }

    /// An error ends the message, and the transaction with it.
    async fn fail(&mut self, kind: u8, error: PgWireError) -> io::Result<()> {
        tracing::debug!(%error, "a Postgres statement failed");
        // They were of a statement that has not ended well.
        self.session.notices.take();
        match self.transaction.is_block() {
            // What a savepoint may go back to stays.
            true if self.transaction.depth() > 0 => {}
            true => {
                self.portals.fail();
                self.writes = None;
            }
            false => {
                self.session.settings().roll_back();
                self.portals.end_transaction();
                self.writes = None;
            }
        }
        self.transaction.fail();
        self.client.tell(error).await?;
        if message::is_extended(kind) {
            self.skipping = true;
            return self.client.flush().await;
        }
        self.ready().await.map_err(io_error)
    }

    /// The time of a statement that begins.
    pub fn clock(&self) -> Clock {
        Clock::start(&self.shared.engine, self.session.statement_timeout())
    }

    /// Tells what the statement that ended has to say, as far as the client wants it.
    pub async fn tell_notices(&mut self) -> PgWireResult<()> {
        for notice in self.session.notices.take() {
            if self.session.settings().wants(&notice.severity.to_ascii_lowercase()) {
                let info = ErrorInfo::new(notice.severity.into(), notice.code.into(), notice.text);
                self.client.feed(PgWireBackendMessage::NoticeResponse(info.into())).await?;
            }
        }
        Ok(())
    }
}

fn io_error(error: PgWireError) -> io::Error {
    match error {
        PgWireError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
