//! Advisory locks, which mean what clients agree on: who has them. They are of this process, and nobody waits for one.

use std::collections::HashMap;

use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use parking_lot::Mutex;

use super::errors;

/// Locks that one session may have.
const MOST_OF_A_SESSION: usize = 1_000;

/// What is locked: one number, or two, which are never the same as one.
pub type Key = (i64, Option<i64>);

/// Who has a lock, and how often.
#[derive(Debug)]
struct Hold {
    process_id: i32,
    is_shared: bool,
    /// It is given back when the transaction ends.
    is_of_transaction: bool,
    count: usize,
}

/// The locks of all sessions.
#[derive(Debug, Default)]
pub struct Locks(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    holds: HashMap<Key, Vec<Hold>>,
    /// Sessions that may have locks, and how many kinds of them they have. What still runs for one that has ended gets none,
    /// which nobody would give back.
    sessions: HashMap<i32, usize>,
}

impl Table {
    fn retain(&mut self, keep: impl Fn(&Hold) -> bool) {
        let Table { holds, sessions } = self;
        holds.retain(|_, holds| {
            holds.retain(|hold| {
                let keeps = keep(hold);
                if let Some(count) = sessions.get_mut(&hold.process_id).filter(|_| !keeps) {
                    *count -= 1;
                }
                keeps
            });
            !holds.is_empty()
        });
    }
}

impl Locks {
    /// False where another session has it.
    pub fn take(&self, key: Key, process_id: i32, kind: Kind) -> Result<bool> {
        let mut table = self.0.lock();
        let Table { holds, sessions } = &mut *table;
        let Some(own) = sessions.get_mut(&process_id) else { return exec_err!("the session has ended") };
        let others = holds.get(&key).map_or(&[][..], Vec::as_slice);
        if others.iter().any(|hold| hold.process_id != process_id && !(hold.is_shared && kind.is_shared)) {
            return Ok(false);
        }
        let same = |hold: &&mut Hold| {
            hold.process_id == process_id
                && hold.is_shared == kind.is_shared
                && hold.is_of_transaction == kind.is_of_transaction
        };
        match holds.get_mut(&key).and_then(|holds| holds.iter_mut().find(same)) {
            Some(hold) => hold.count += 1,
            None if *own >= MOST_OF_A_SESSION => {
                let text = format!("a session has at most {MOST_OF_A_SESSION} advisory locks");
                return Err(DataFusionError::External(Box::new(errors::error("54000", text))));
            }
            None => {
                let (is_shared, is_of_transaction) = (kind.is_shared, kind.is_of_transaction);
                *own += 1;
                holds.entry(key).or_default().push(Hold { process_id, is_shared, is_of_transaction, count: 1 });
            }
        }
        Ok(true)
    }

    /// False where the session does not have it.
    pub fn give_back(&self, key: Key, process_id: i32, is_shared: bool) -> bool {
        let mut table = self.0.lock();
        let Table { holds: locks, sessions } = &mut *table;
        let Some(holds) = locks.get_mut(&key) else { return false };
        let own =
            |hold: &Hold| hold.process_id == process_id && hold.is_shared == is_shared && !hold.is_of_transaction;
        let Some(at) = holds.iter().position(own) else { return false };
        holds[at].count -= 1;
        if holds[at].count == 0 {
            holds.swap_remove(at);
            if let Some(own) = sessions.get_mut(&process_id) {
                *own -= 1;
            }
        }
        if holds.is_empty() {
            locks.remove(&key);
        }
        true
    }

    /// A session may have locks from now on.
    pub fn begin_session(&self, process_id: i32) {
        self.0.lock().sessions.insert(process_id, 0);
    }

    /// A session gives back what it has beyond transactions.
    pub fn give_back_all(&self, process_id: i32) {
        self.0.lock().retain(|hold| hold.process_id != process_id || hold.is_of_transaction);
    }

    /// A transaction has ended.
    pub fn end_transaction(&self, process_id: i32) {
        self.0.lock().retain(|hold| hold.process_id != process_id || !hold.is_of_transaction);
    }

    /// A session has ended.
    pub fn end_session(&self, process_id: i32) {
        let mut table = self.0.lock();
        table.retain(|hold| hold.process_id != process_id);
        table.sessions.remove(&process_id);
    }
}

/// What a function does, and with which kind of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    pub does: Does,
    pub is_shared: bool,
    pub is_of_transaction: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Does {
    Take,
    Try,
    GiveBack,
    GiveBackAll,
}

pub const fn kind(does: Does, is_shared: bool, is_of_transaction: bool) -> Kind {
    Kind { does, is_shared, is_of_transaction }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_of_sessions_and_transactions() {
        let locks = Locks::default();
        let exclusive = kind(Does::Try, false, false);
        let shared = kind(Does::Try, true, false);
        let of_transaction = kind(Does::Try, false, true);
        let key = (1, None);
        assert!(locks.take(key, 1, exclusive).is_err());
        (1..=3).for_each(|process_id| locks.begin_session(process_id));
        assert!(locks.take(key, 1, exclusive).unwrap() && locks.take(key, 1, exclusive).unwrap());
        assert!(!locks.take(key, 2, shared).unwrap());
        // Two numbers are another lock than one.
        assert!(locks.take((1, Some(0)), 2, exclusive).unwrap());
        assert!(locks.give_back(key, 1, false));
        assert!(!locks.take(key, 2, exclusive).unwrap());
        assert!(locks.give_back(key, 1, false) && !locks.give_back(key, 1, false));
        assert!(locks.take(key, 1, shared).unwrap() && locks.take(key, 2, shared).unwrap());
        assert!(!locks.take(key, 1, exclusive).unwrap());
        locks.give_back_all(2);
        assert!(locks.take(key, 1, of_transaction).unwrap());
        locks.give_back_all(1);
        assert!(!locks.take(key, 2, shared).unwrap());
        locks.end_transaction(1);
        assert!(locks.take(key, 2, exclusive).unwrap());
        locks.end_session(2);
        assert!(locks.0.lock().holds.is_empty());
        // What still runs for it gets none.
        assert!(locks.take(key, 2, exclusive).is_err());
        let full = (0..=MOST_OF_A_SESSION as i64).find_map(|n| locks.take((n, None), 3, exclusive).err());
        assert!(full.is_some());
        assert!(locks.give_back((0, None), 3, false) && locks.take((0, None), 3, shared).unwrap());
        assert!(locks.take((-1, None), 3, shared).is_err());
        locks.end_session(3);
        assert!(locks.0.lock().holds.is_empty());
    }
}
