//! The states of a transaction, as PostgreSQL has them. Every statement reads its own consistent snapshot. What transactions take
//! back are settings, portals, and samples that wait for their end.

use datafusion::sql::sqlparser::ast::Statement;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::TransactionStatus;

use super::errors;
use super::held::Held;
use super::settings::values::Point;

/// Savepoints of a transaction.
const MAX_SAVEPOINTS: usize = 1_000;

/// What a savepoint goes back to.
pub struct Savepoint {
    pub name: String,
    pub settings: Point,
    /// Samples that waited for the end of the transaction.
    pub written: (usize, usize),
    pub _held: Held,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Block {
    #[default]
    None,
    Open,
    /// By an error; only its end is listened to.
    Failed,
}

/// The transaction of a connection.
#[derive(Default)]
pub struct Transaction {
    block: Block,
    savepoints: Vec<Savepoint>,
}

impl Transaction {
    pub fn status(&self) -> TransactionStatus {
        match self.block {
            Block::None => TransactionStatus::Idle,
            Block::Open => TransactionStatus::Transaction,
            Block::Failed => TransactionStatus::Error,
        }
    }

    /// Whether BEGIN was said, and neither COMMIT nor ROLLBACK.
    pub fn is_block(&self) -> bool {
        self.block != Block::None
    }

    pub fn is_failed(&self) -> bool {
        self.block == Block::Failed
    }

    /// How many savepoints there are: what is opened now belongs to the last.
    pub fn depth(&self) -> usize {
        self.savepoints.len()
    }

    /// In a failed transaction only its end is listened to.
    ///
    /// # Errors
    /// 25P02.
    pub fn check(&self, statement: &Statement) -> PgWireResult<()> {
        let ends = matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. });
        if self.is_failed() && !ends { Err(aborted()) } else { Ok(()) }
    }

    /// False where there was one already.
    pub fn begin(&mut self) -> bool {
        let begins = self.block == Block::None;
        if begins {
            self.block = Block::Open;
        }
        begins
    }

    /// Ends it, with all savepoints.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// An error: the transaction is one that failed, if there is one.
    pub fn fail(&mut self) {
        if self.block == Block::Open {
            self.block = Block::Failed;
        }
    }

    /// # Errors
    /// 25P01 outside of a transaction, 54000 beyond the limit.
    pub fn save(&mut self, savepoint: Savepoint) -> PgWireResult<()> {
        self.check_block("SAVEPOINT")?;
        if self.savepoints.len() >= MAX_SAVEPOINTS {
            return Err(errors::error("54000", format!("a transaction has at most {MAX_SAVEPOINTS} savepoints")));
        }
        self.savepoints.push(savepoint);
        Ok(())
    }

    /// Forgets a savepoint, and those after it. What was opened since belongs to the one before, as its number says.
    ///
    /// # Errors
    /// 25P01 outside of a transaction, 3B001 for one that there is not.
    pub fn release(&mut self, name: &str) -> PgWireResult<usize> {
        self.check_block("RELEASE SAVEPOINT")?;
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        Ok(at)
    }

    /// Heals a transaction that failed after a savepoint; those after it are gone. It says what to go back to, and how many
    /// savepoints there were when this one was made.
    ///
    /// # Errors
    /// As those of [`Transaction::release`]; the transaction stays as it is.
    pub fn roll_back_to(&mut self, name: &str) -> PgWireResult<(&Savepoint, usize)> {
        self.check_block("ROLLBACK TO SAVEPOINT")?;
        let at = self.find(name)?;
        self.savepoints.truncate(at + 1);
        self.block = Block::Open;
        Ok((&self.savepoints[at], at))
    }

    fn check_block(&self, what: &str) -> PgWireResult<()> {
        if self.is_block() {
            return Ok(());
        }
        Err(errors::error("25P01", format!("{what} can only be used in transaction blocks")))
    }

    /// The last of this name.
    fn find(&self, name: &str) -> PgWireResult<usize> {
        let found = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| errors::error("3B001", format!("savepoint \"{name}\" does not exist")))
    }
}

/// What is said to whatever is no end of a failed transaction.
pub fn aborted() -> PgWireError {
    errors::error("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}

#[cfg(test)]
mod tests {
    use super::super::held::tests::holder;
    use super::super::settings::values::Settings;
    use super::*;

    fn savepoint(name: &str) -> Savepoint {
        let settings = Settings::new("x", false).point();
        Savepoint { name: name.into(), settings, written: (0, 0), _held: holder().hold(1).unwrap() }
    }

    #[test]
    fn a_savepoint_heals() {
        let mut transaction = Transaction::default();
        assert_eq!(transaction.save(savepoint("a")).unwrap_err().code(), "25P01");
        assert!(transaction.begin() && !transaction.begin());
        transaction.save(savepoint("a")).unwrap();
        transaction.save(savepoint("b")).unwrap();
        transaction.fail();
        assert_eq!(transaction.status(), TransactionStatus::Error);
        assert_eq!(transaction.roll_back_to("nope").err().unwrap().code(), "3B001");
        assert!(transaction.is_failed());
        assert_eq!(transaction.roll_back_to("a").unwrap().1, 0);
        assert_eq!(transaction.status(), TransactionStatus::Transaction);
        // It stays, and what came after it is gone.
        assert_eq!(transaction.roll_back_to("b").err().unwrap().code(), "3B001");
        assert_eq!(transaction.release("a").unwrap(), 0);
        assert_eq!(transaction.release("a").unwrap_err().code(), "3B001");
        transaction.end();
        transaction.fail();
        assert_eq!(transaction.status(), TransactionStatus::Idle);
    }

    #[test]
    fn of_two_of_one_name_the_last_is_meant() {
        let mut transaction = Transaction::default();
        transaction.begin();
        for name in ["a", "b", "a"] {
            transaction.save(savepoint(name)).unwrap();
        }
        assert_eq!(transaction.release("a").unwrap(), 2);
        assert_eq!(transaction.roll_back_to("a").unwrap().1, 0);
        assert_eq!(transaction.depth(), 1);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut transaction = Transaction::default();
        transaction.begin();
        for _ in 0..MAX_SAVEPOINTS {
            transaction.save(savepoint("a")).unwrap();
        }
        assert_eq!(transaction.save(savepoint("a")).unwrap_err().code(), "54000");
    }
}
