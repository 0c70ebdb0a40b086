//! Prepared statements, by name: those of Parse and those of PREPARE, which are one and the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use super::activity;
use super::errors;
use super::held::{Held, Holder};
use super::statement::Prepared;

/// Prepared statements of a connection. Drivers that cache them keep a few hundred.
const MAX_STATEMENTS: usize = 1_000;
/// How many times as large as its text a plan is taken to be, and what it takes besides.
const PLAN_TIMES: usize = 8;
const PLAN_BYTES: usize = 2 << 10;

/// A prepared statement.
pub struct Statement {
    /// `None` for a text that has nothing in it.
    pub prepared: Option<Prepared>,
    /// What the client said its parameters are.
    pub declared: Vec<Option<Type>>,
    /// The message its plan was made in, until that is used or has to be made anew.
    planned_in: AtomicU64,
    /// What is told of it when it runs.
    pub text: String,
    /// A client was told what its rows are.
    described: AtomicBool,
    _held: Held,
}

impl Statement {
    /// Whether the plan may be used as it is: once, within the message that made it.
    pub fn use_plan(&self, message: u64) -> bool {
        self.planned_in.swap(0, Ordering::Relaxed) == message
    }

    pub fn note_described(&self) {
        self.described.store(true, Ordering::Relaxed);
    }

    /// Whether a client was told what its rows are, and so counts on it.
    pub fn is_described(&self) -> bool {
        self.described.load(Ordering::Relaxed)
    }
}

/// Those of a connection; the one without a name has `""`.
pub struct Statements {
    named: HashMap<String, Arc<Statement>>,
    holder: Arc<Holder>,
}

impl Statements {
    pub fn new(holder: Arc<Holder>) -> Self {
        Self { named: HashMap::new(), holder }
    }

    /// Whether a statement of this name may be prepared.
    ///
    /// # Errors
    /// 42P05 for a name that is taken, 54000 beyond the limit.
    pub fn check(&self, name: &str) -> PgWireResult<()> {
        if !name.is_empty() && self.named.contains_key(name) {
            return Err(errors::error("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        if self.named.len() >= MAX_STATEMENTS && !self.named.contains_key(name) {
            return Err(errors::error("54000", format!("there are {MAX_STATEMENTS} prepared statements already")));
        }
        Ok(())
    }

    /// Keeps a statement of this text, which was planned in this message.
    ///
    /// # Errors
    /// 54000 and 53200 where there is no memory for it.
    pub fn add(
        &mut self,
        name: &str,
        text: &str,
        prepared: Option<Prepared>,
        declared: Vec<Option<Type>>,
        message: u64,
    ) -> PgWireResult<()> {
        // The one it replaces gives its room back first.
        self.named.remove(name);
        let declared_bytes = declared.len() * size_of::<Option<Type>>();
        let held = self.holder.hold(name.len() + PLAN_BYTES + PLAN_TIMES * text.len() + declared_bytes)?;
        let (planned_in, described) = (AtomicU64::new(message), AtomicBool::new(false));
        let text = activity::kept(text).to_string();
        let statement = Statement { prepared, declared, planned_in, described, text, _held: held };
        self.named.insert(name.to_string(), Arc::new(statement));
        Ok(())
    }

    /// # Errors
    /// 26000 for one that there is not.
    pub fn get(&self, name: &str) -> PgWireResult<Arc<Statement>> {
        self.named.get(name).cloned().ok_or_else(|| missing(name))
    }

    /// False where there was none.
    pub fn close(&mut self, name: &str) -> bool {
        self.named.remove(name).is_some()
    }

    pub fn close_all(&mut self) {
        self.named.clear();
    }
}

/// What is said of a statement that there is not.
pub fn missing(name: &str) -> PgWireError {
    let text = match name {
        "" => "unnamed prepared statement does not exist".to_string(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    errors::error("26000", text)
}

#[cfg(test)]
mod tests {
    use super::super::held::tests::holder;
    use super::*;

    #[test]
    fn statements_are_bounded_by_number_and_text() {
        let mut statements = Statements::new(holder());
        let code = |statements: &Statements, name: &str| statements.check(name).err().map(|e| e.code().to_string());
        for i in 0..MAX_STATEMENTS - 1 {
            statements.add(&format!("s{i}"), "x", None, vec![], 1).unwrap();
        }
        assert_eq!(code(&statements, "s0").as_deref(), Some("42P05"));
        assert_eq!(code(&statements, "new"), None);
        statements.add("", "x", None, vec![], 1).unwrap();
        assert_eq!(code(&statements, "new").as_deref(), Some("54000"));
        // The one without a name is replaced.
        assert_eq!(code(&statements, ""), None);
        assert!(statements.close("s0") && !statements.close("s0"));
        assert_eq!(code(&statements, "s0"), None);
        assert_eq!(statements.get("s0").err().unwrap().code(), "26000");
        statements.close_all();
        statements.add("p", "x", None, vec![], 7).unwrap();
        let statement = statements.get("p").unwrap();
        assert!(statement.use_plan(7) && !statement.use_plan(7));
        statements.close_all();
        let long = "x".repeat(1 << 20);
        // Texts and names have to fit, and the one that is replaced makes room.
        for i in 0..7 {
            statements.add(&format!("s{i}"), &long, None, vec![], 1).unwrap();
        }
        assert_eq!(statements.add("s7", &long, None, vec![], 1).unwrap_err().code(), "54000");
        statements.add("s6", &long, None, vec![], 1).unwrap();
    }
}
