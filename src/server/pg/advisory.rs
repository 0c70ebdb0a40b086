//! `pg_advisory_lock` and its kin: locks that mean what clients agree on. They are of this process, and nobody waits for one: what
//! somebody else has is an error, or false where that is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use parking_lot::Mutex;

use super::errors;
use super::session::Session;

/// Locks that one session may have.
const MOST_OF_A_SESSION: usize = 1_000;

/// What is locked: one number, or two, which are never the same as one.
type Key = (i64, Option<i64>);

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
    fn take(&self, key: Key, process_id: i32, kind: Kind) -> Result<bool> {
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
    fn give_back(&self, key: Key, process_id: i32, is_shared: bool) -> bool {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    does: Does,
    is_shared: bool,
    is_of_transaction: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Does {
    Take,
    Try,
    GiveBack,
    GiveBackAll,
}

const fn kind(does: Does, is_shared: bool, is_of_transaction: bool) -> Kind {
    Kind { does, is_shared, is_of_transaction }
}

const FUNCTIONS: &[(&str, Kind)] = &[
    ("pg_advisory_lock", kind(Does::Take, false, false)),
    ("pg_advisory_lock_shared", kind(Does::Take, true, false)),
    ("pg_advisory_xact_lock", kind(Does::Take, false, true)),
    ("pg_advisory_xact_lock_shared", kind(Does::Take, true, true)),
    ("pg_try_advisory_lock", kind(Does::Try, false, false)),
    ("pg_try_advisory_lock_shared", kind(Does::Try, true, false)),
    ("pg_try_advisory_xact_lock", kind(Does::Try, false, true)),
    ("pg_try_advisory_xact_lock_shared", kind(Does::Try, true, true)),
    ("pg_advisory_unlock", kind(Does::GiveBack, false, false)),
    ("pg_advisory_unlock_shared", kind(Does::GiveBack, true, false)),
    ("pg_advisory_unlock_all", kind(Does::GiveBackAll, false, false)),
];

/// Adds the functions to the context of a session, which must not be held by them in turn.
pub fn install(session: &Arc<Session>, locks: &Arc<Locks>) {
    for (name, kind) in FUNCTIONS {
        let signature = match kind.does {
            Does::GiveBackAll => Signature::nullary(Volatility::Volatile),
            _ => {
                let exact = |count: usize| TypeSignature::Exact(vec![DataType::Int64; count]);
                Signature::one_of(vec![exact(1), exact(2)], Volatility::Volatile)
            }
        };
        let of = Known { locks: locks.clone(), session: Arc::downgrade(session) };
        let function = Function { name, kind: *kind, signature, process_id: session.process_id, of };
        session.context().register_udf(ScalarUDF::from(function));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    kind: Kind,
    signature: Signature,
    process_id: i32,
    of: Known,
}

/// There is one of them, and a session for a number.
struct Known {
    locks: Arc<Locks>,
    session: Weak<Session>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.locks, &other.locks)
    }
}

impl Eq for Known {}

impl std::hash::Hash for Known {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind.does {
            Does::Try | Does::GiveBack => DataType::Boolean,
            // PostgreSQL's `void`, which is printed as nothing.
            Does::Take | Does::GiveBackAll => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let keys = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let mut given = Vec::with_capacity(rows);
        for row in 0..rows {
            let part = |at: usize| {
                let key = keys.get(at)?;
                let key = key.as_primitive::<Int64Type>();
                datafusion::arrow::array::Array::is_valid(key, row).then(|| key.value(row))
            };
            let wants = (0..keys.len()).all(|at| part(at).is_some());
            let key = (part(0).unwrap_or_default(), part(1));
            given.push(match self.kind.does {
                _ if !wants => None,
                Does::Try => Some(self.of.locks.take(key, self.process_id, self.kind)?),
                Does::Take => match self.of.locks.take(key, self.process_id, self.kind)? {
                    true => Some(true),
                    false => return held_by_another(),
                },
                Does::GiveBack => Some(self.give_back(key)),
                Does::GiveBackAll => {
                    self.of.locks.give_back_all(self.process_id);
                    Some(true)
                }
            });
        }
        let array: ArrayRef = match self.return_type(&[])? {
            DataType::Boolean => Arc::new(BooleanArray::from(given)),
            DataType::Utf8 => Arc::new(given.iter().map(|done| done.map(|_| "")).collect::<StringArray>()),
            other => return exec_err!("{} does not return {other}", self.name),
        };
        Ok(ColumnarValue::Array(array))
    }
}

impl Function {
    fn give_back(&self, key: Key) -> bool {
        let had = self.of.locks.give_back(key, self.process_id, self.kind.is_shared);
        if !had && let Some(session) = self.of.session.upgrade() {
            let kind = if self.kind.is_shared { "ShareLock" } else { "ExclusiveLock" };
            session.notices.warn("01000", format!("you don't own a lock of type {kind}"));
        }
        had
    }
}

fn held_by_another<T>() -> Result<T> {
    let text = "could not obtain lock: another session has it, and waiting for one is not supported; ask with pg_try_advisory_lock";
    Err(DataFusionError::External(Box::new(errors::error("55P03", text))))
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
