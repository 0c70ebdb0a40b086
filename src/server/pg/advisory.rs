//! `pg_advisory_lock` and its kin. Nobody waits for a lock: what somebody else has is an error, or false where that is asked for.

use std::sync::{Arc, Weak};

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::errors;
use super::locks::{Does, Key, Kind, Locks, kind};
use super::session::Session;

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
