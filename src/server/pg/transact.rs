//! Commands that change what the loop keeps: transactions, portals and prepared statements, and settings.

use datafusion::sql::sqlparser::ast::{CloseCursor, DiscardObject, Reset, Statement, TransactionMode};
use pgwire::error::PgWireResult;

use super::command::{self, Reach};
use super::conversation::Conversation;
use super::names::folded;
use super::pending::Writes;
use super::settings::values::Scope;
use super::transaction::Savepoint;
use super::{errors, portals, statements};

impl Conversation<'_> {
    /// Does what a command says; the words its end is told in.
    pub async fn command(&mut self, statement: &Statement) -> PgWireResult<String> {
        let tag = match statement {
            Statement::Set(set) => {
                let reach = command::assign(&mut self.session.settings(), set)?;
                if let Reach::Transaction(what) = reach
                    && !self.transaction.is_block()
                    && !self.many
                {
                    let text = format!("{what} can only be used in transaction blocks");
                    self.session.notices.warn("25P01", text);
                }
                "SET"
            }
            Statement::Reset(reset) => {
                let mut settings = self.session.settings();
                match &reset.reset {
                    Reset::ALL => settings.reset_all(),
                    Reset::ConfigurationParameter(name) => {
                        settings.set(&command::setting_name(name), None, Scope::Session)?;
                    }
                }
                "RESET"
            }
            Statement::StartTransaction { modes, begin, .. } => {
                self.begin_transaction(modes)?;
                if *begin { "BEGIN" } else { "START TRANSACTION" }
            }
            Statement::Commit { chain, .. } => self.commit(*chain).await?,
            Statement::Rollback { savepoint: Some(name), chain: false } => self.roll_back_to(&folded(name))?,
            Statement::Rollback { savepoint: None, chain } => self.roll_back(*chain)?,
            Statement::Savepoint { name } => self.save(folded(name))?,
            Statement::ReleaseSavepoint { name } => {
                let depth = self.transaction.release(&folded(name))?;
                self.portals.release(depth);
                "RELEASE"
            }
            Statement::Discard { object_type } => self.discard(object_type)?,
            Statement::Deallocate { name, .. } => self.deallocate(name)?,
            Statement::Close { cursor } => self.close_cursors(cursor)?,
            // Nobody notifies.
            Statement::LISTEN { .. } => "LISTEN",
            Statement::UNLISTEN { .. } => "UNLISTEN",
            other => return Err(errors::unsupported(other)),
        };
        Ok(tag.to_string())
    }

    fn begin_transaction(&mut self, modes: &[TransactionMode]) -> PgWireResult<()> {
        let mut settings = self.session.settings();
        if !self.transaction.begin() {
            self.session.notices.warn("25001", "there is already a transaction in progress");
        }
        settings.begin();
        command::transaction_modes(&mut settings, modes, false)
    }

    /// A transaction that failed is rolled back, and says so.
    async fn commit(&mut self, chain: bool) -> PgWireResult<&'static str> {
        if self.transaction.is_failed() {
            return self.roll_back(chain);
        }
        self.check_block(chain, "COMMIT AND CHAIN")?;
        let ended = match self.hold_all().await {
            Ok(()) => self.write_kept().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            self.end_failed();
            return Err(error);
        }
        let modes = self.modes();
        self.session.settings().commit();
        self.end_transaction();
        self.chain(chain, modes)?;
        Ok("COMMIT")
    }

    fn roll_back(&mut self, chain: bool) -> PgWireResult<&'static str> {
        self.check_block(chain, "ROLLBACK AND CHAIN")?;
        let modes = self.modes();
        self.session.settings().roll_back();
        self.end_transaction();
        self.chain(chain, modes)?;
        Ok("ROLLBACK")
    }

    /// The transaction ends as it was to, but for what could not be done.
    fn end_failed(&mut self) {
        self.session.settings().roll_back();
        self.end_transaction();
    }

    /// The end of a transaction that there is not is worth a warning; one that another is to follow has to be there.
    fn check_block(&self, chain: bool, what: &str) -> PgWireResult<()> {
        if !self.transaction.is_block() {
            if chain {
                return Err(errors::error("25P01", format!("{what} can only be used in transaction blocks")));
            }
            self.session.notices.warn("25P01", "there is no transaction in progress");
        }
        Ok(())
    }

    fn end_transaction(&mut self) {
        self.transaction.end();
        self.writes = None;
        self.shared.sessions.locks.end_transaction(self.session.process_id);
        self.portals.end_transaction();
        // What follows in the message is a transaction of its own.
        self.session.settings().begin();
    }

    /// What the next transaction has of this one.
    fn modes(&self) -> [(&'static str, String); 2] {
        use super::settings::table::{ISOLATION_NOW, READ_ONLY_NOW};
        let settings = self.session.settings();
        [ISOLATION_NOW, READ_ONLY_NOW].map(|name| (name, settings.show(name).unwrap_or_default()))
    }

    fn chain(&mut self, chain: bool, modes: [(&'static str, String); 2]) -> PgWireResult<()> {
        if !chain {
            return Ok(());
        }
        self.begin_transaction(&[])?;
        let mut settings = self.session.settings();
        let changed = modes.iter().filter(|(name, value)| settings.show(name).ok().as_ref() != Some(value));
        let changed: Vec<&(&str, String)> = changed.collect();
        changed.iter().try_for_each(|(name, value)| settings.set(name, Some(value), Scope::Transaction))
    }

    fn save(&mut self, name: String) -> PgWireResult<&'static str> {
        let settings = self.session.settings().point();
        let held = self.holder.hold(size_of::<Savepoint>() + name.len() + settings.bytes())?;
        let written = self.writes.as_ref().map_or((0, 0), Writes::point);
        self.transaction.save(Savepoint { name, settings, written, _held: held })?;
        Ok("SAVEPOINT")
    }

    fn roll_back_to(&mut self, name: &str) -> PgWireResult<&'static str> {
        let (savepoint, depth) = self.transaction.roll_back_to(name)?;
        self.session.settings().go_back(&savepoint.settings);
        if let Some(writes) = &mut self.writes {
            writes.go_back(savepoint.written);
        }
        self.portals.roll_back_to(depth);
        Ok("ROLLBACK")
    }

    fn discard(&mut self, what: &DiscardObject) -> PgWireResult<&'static str> {
        Ok(match what {
            DiscardObject::ALL if self.transaction.is_block() || self.many => {
                return Err(errors::error("25001", "DISCARD ALL cannot run inside a transaction block"));
            }
            DiscardObject::ALL => {
                self.portals.close_all();
                self.statements.close_all();
                self.session.settings().reset_all();
                self.shared.sessions.locks.give_back_all(self.session.process_id);
                "DISCARD ALL"
            }
            // Of these there are none to be discarded.
            DiscardObject::PLANS => "DISCARD PLANS",
            DiscardObject::SEQUENCES => "DISCARD SEQUENCES",
            DiscardObject::TEMP => "DISCARD TEMP",
        })
    }

    fn deallocate(&mut self, name: &datafusion::sql::sqlparser::ast::Ident) -> PgWireResult<&'static str> {
        let folded = folded(name);
        if name.quote_style.is_none() && folded == "all" {
            self.statements.close_all();
            return Ok("DEALLOCATE ALL");
        }
        match self.statements.close(&folded) {
            true => Ok("DEALLOCATE"),
            false => Err(statements::missing(&folded)),
        }
    }

    fn close_cursors(&mut self, which: &CloseCursor) -> PgWireResult<&'static str> {
        match which {
            CloseCursor::All => {
                self.portals.close_all();
                Ok("CLOSE CURSOR ALL")
            }
            CloseCursor::Specific { name } => match self.portals.close(&folded(name)) {
                true => Ok("CLOSE CURSOR"),
                false => Err(portals::missing_cursor(&folded(name))),
            },
        }
    }
}
