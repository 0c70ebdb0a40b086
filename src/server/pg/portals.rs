//! Portals, by name: statements with their values, and how far they have come. They belong to their transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::ParamValues;
use pgwire::api::results::FieldInfo;
use pgwire::error::{PgWireError, PgWireResult};
use tokio::sync::OwnedSemaphorePermit;

use super::errors;
use super::held::{Held, Holder};
use super::source::{Back, Source};
use super::statement::Prepared;
use super::statements::Statement;

/// Open portals of a transaction.
const MAX_PORTALS: usize = 1_000;
/// Portals with rows to come that nobody has asked for yet: each has a plan that has begun, and its memory.
const MAX_WAITING: usize = 32;
/// What one takes besides its name and values.
const PORTAL_BYTES: usize = 1 << 10;
/// How long the rest of the rows of a portal waits for the client to ask for them: it has memory of queries.
const PARK_TIME: Duration = Duration::from_secs(1_800);

/// How far a portal has come.
pub enum State {
    Ready,
    /// There may be more rows; nobody has asked for them since then.
    Open(Source, Instant),
    Done,
    /// By an error, or by waiting for too long.
    Failed,
}

/// What is different of a portal that was declared.
pub struct Cursor {
    /// Whether rows that were passed can be gone back to.
    pub back: Back,
    /// Rows are in the binary format, whoever fetches them.
    pub binary: bool,
    /// It is to outlive its transaction.
    pub hold: bool,
    /// It has.
    pub held: bool,
}

/// A statement that is to be run, with its values.
pub struct Portal {
    /// `None` for a text that has nothing in it.
    pub prepared: Option<Prepared>,
    pub values: Option<ParamValues>,
    /// What its rows are described as.
    pub fields: Arc<Vec<FieldInfo>>,
    pub state: State,
    /// Savepoints there were when it was opened.
    pub depth: usize,
    /// The statement it was made of, which may be closed before it is.
    pub statement: Option<Arc<Statement>>,
    /// Room its values take in the budget of all connections.
    pub room: Option<OwnedSemaphorePermit>,
    /// Of those that were declared.
    pub cursor: Option<Cursor>,
}

impl Portal {
    /// Of a statement without values.
    pub fn new(prepared: Option<Prepared>, fields: Vec<FieldInfo>) -> Self {
        Self {
            prepared,
            values: None,
            fields: Arc::new(fields),
            state: State::Ready,
            depth: 0,
            statement: None,
            room: None,
            cursor: None,
        }
    }
}

/// Those of a connection; the one without a name has `""`.
pub struct Portals {
    named: HashMap<String, (Portal, Held)>,
    holder: Arc<Holder>,
}

impl Portals {
    pub fn new(holder: Arc<Holder>) -> Self {
        Self { named: HashMap::new(), holder }
    }

    /// Whether a portal of this name may be opened.
    ///
    /// # Errors
    /// 42P03 for a name that is taken, 54000 beyond the limit.
    pub fn check(&self, name: &str) -> PgWireResult<()> {
        if !name.is_empty() && self.named.contains_key(name) {
            return Err(errors::error("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.named.len() >= MAX_PORTALS && !self.named.contains_key(name) {
            return Err(errors::error("54000", format!("there are {MAX_PORTALS} open portals already")));
        }
        Ok(())
    }

    /// Keeps a portal whose values have so many bytes.
    ///
    /// # Errors
    /// 54000 and 53200 where there is no memory for it.
    pub fn add(&mut self, name: &str, value_bytes: usize, portal: Portal) -> PgWireResult<()> {
        // The one it replaces gives its room back first.
        self.named.remove(name);
        let held = self.holder.hold(name.len() + PORTAL_BYTES + value_bytes)?;
        self.named.insert(name.to_string(), (portal, held));
        Ok(())
    }

    /// # Errors
    /// 34000 for one that there is not.
    pub fn get(&self, name: &str) -> PgWireResult<&Portal> {
        self.named.get(name).map(|(portal, _)| portal).ok_or_else(|| missing(name))
    }

    /// Takes a portal away to run it.
    ///
    /// # Errors
    /// 34000 for one that there is not.
    pub fn take(&mut self, name: &str) -> PgWireResult<(Portal, Held)> {
        self.named.remove(name).ok_or_else(|| missing(name))
    }

    /// Puts back what was taken away.
    pub fn put_back(&mut self, name: &str, portal: (Portal, Held)) {
        self.named.insert(name.to_string(), portal);
    }

    /// False where there was none.
    pub fn close(&mut self, name: &str) -> bool {
        self.named.remove(name).is_some()
    }

    /// A transaction has ended, and its portals with it, but for those that are held.
    pub fn end_transaction(&mut self) {
        self.named.retain(|_, (portal, _)| portal.cursor.as_ref().is_some_and(|cursor| cursor.held));
    }

    /// A transaction has failed, and with it what has begun, but for what is held. The rest is there to end it.
    pub fn fail(&mut self) {
        for (portal, _) in self.named.values_mut() {
            let is_held = portal.cursor.as_ref().is_some_and(|cursor| cursor.held);
            if matches!(portal.state, State::Open(..)) && !is_held {
                portal.state = State::Failed;
            }
        }
    }

    pub fn close_all(&mut self) {
        self.named.clear();
    }

    /// Names of those that are to be held, and are not yet.
    pub fn to_hold(&self) -> Vec<String> {
        let is_to_be = |portal: &Portal| portal.cursor.as_ref().is_some_and(|cursor| cursor.hold && !cursor.held);
        self.named.iter().filter(|(_, (portal, _))| is_to_be(portal)).map(|(name, _)| name.clone()).collect()
    }

    /// A savepoint is gone back to that was made when there were so many: what was opened since is gone.
    pub fn roll_back_to(&mut self, depth: usize) {
        self.named.retain(|_, (portal, _)| portal.depth <= depth);
    }

    /// A savepoint is forgotten that was made when there were so many: what was opened since belongs to the one before.
    pub fn release(&mut self, depth: usize) {
        for (portal, _) in self.named.values_mut() {
            portal.depth = portal.depth.min(depth);
        }
    }

    /// Whether one more may wait with rows to come.
    ///
    /// # Errors
    /// 54000 beyond the limit.
    pub fn check_waiting(&self) -> PgWireResult<()> {
        let waits = |portal: &Portal| matches!(&portal.state, State::Open(source, _) if !source.is_whole());
        if self.named.values().filter(|(portal, _)| waits(portal)).count() >= MAX_WAITING {
            let text =
                format!("there are {MAX_WAITING} portals with rows to come already: close one, or fetch its rest");
            return Err(errors::error("54000", text));
        }
        Ok(())
    }

    /// When the first of those that wait for the client has waited too long.
    pub fn next_end(&self) -> Option<Instant> {
        let ends = self.named.values().filter_map(|(portal, _)| match portal.state {
            State::Open(_, since) => Some(since + PARK_TIME),
            _ => None,
        });
        ends.min()
    }

    /// Ends those that have waited for too long.
    pub fn end_waiting(&mut self, now: Instant) {
        for (portal, _) in self.named.values_mut() {
            if matches!(portal.state, State::Open(_, since) if since + PARK_TIME <= now) {
                portal.state = State::Failed;
            }
        }
    }
}

/// What is said of a portal that there is not.
pub fn missing(name: &str) -> PgWireError {
    errors::error("34000", format!("portal \"{name}\" does not exist"))
}

/// The same where SQL names it.
pub fn missing_cursor(name: &str) -> PgWireError {
    errors::error("34000", format!("cursor \"{name}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::super::held::tests::holder;
    use super::*;

    fn portal(depth: usize) -> Portal {
        Portal { depth, ..Portal::new(None, vec![]) }
    }

    #[test]
    fn portals_are_bounded_and_end_with_their_transaction() {
        let mut portals = Portals::new(holder());
        let code = |portals: &Portals, name: &str| portals.check(name).err().map(|e| e.code().to_string());
        for i in 0..MAX_PORTALS {
            assert_eq!(code(&portals, &format!("p{i}")), None);
            portals.add(&format!("p{i}"), 1, portal(0)).unwrap();
        }
        assert_eq!(code(&portals, "p0").as_deref(), Some("42P03"));
        assert_eq!(code(&portals, "").as_deref(), Some("54000"));
        assert!(portals.close("p0"));
        assert_eq!(code(&portals, "p0"), None);
        let cursor = Cursor { back: Back::Never, binary: false, hold: true, held: true };
        portals.add("held", 1, Portal { cursor: Some(cursor), ..portal(0) }).unwrap();
        portals.end_transaction();
        assert_eq!(code(&portals, "p1"), None);
        assert_eq!(portals.get("p1").err().unwrap().code(), "34000");
        assert_eq!(code(&portals, "held").as_deref(), Some("42P03"));
        assert!(portals.to_hold().is_empty());
        portals.close_all();
        assert_eq!(code(&portals, "held"), None);
    }

    #[test]
    fn portals_belong_to_their_savepoint() {
        let mut portals = Portals::new(holder());
        for depth in 0..3 {
            portals.add(&format!("p{depth}"), 1, portal(depth)).unwrap();
        }
        portals.release(1);
        portals.roll_back_to(1);
        assert!(portals.get("p2").is_ok());
        portals.roll_back_to(0);
        assert!(portals.get("p0").is_ok());
        assert!(portals.get("p1").is_err() && portals.get("p2").is_err());
    }
}
