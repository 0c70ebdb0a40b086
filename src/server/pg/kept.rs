//! What a client leaves with the server between messages: prepared statements, and portals with their values. Both
//! are the client's to close, so there is a limit to each.

use std::collections::HashMap;

use pgwire::error::PgWireResult;
use pgwire::messages::extendedquery::{Bind, Close, Parse, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT};
use tokio::sync::OwnedSemaphorePermit;

use super::errors;

/// Prepared statements of a connection. Drivers that cache them keep a few hundred.
const MAX_STATEMENTS: usize = 1_000;
/// Their texts together; a plan is several times as large.
const MAX_TEXT_BYTES: usize = 16 << 20;
/// Open portals of a transaction.
const MAX_PORTALS: usize = 1_000;

/// Names of what is kept, `""` for what has none.
#[derive(Default)]
pub struct Kept {
    /// With the length of their text.
    statements: HashMap<String, usize>,
    /// With the room their values take in the budget of all connections.
    portals: HashMap<String, Option<OwnedSemaphorePermit>>,
}

impl Kept {
    /// Whether this statement may be prepared.
    ///
    /// # Errors
    /// 42P05 for a name that is taken, 53400 beyond the limits.
    pub fn check_statement(&self, message: &Parse) -> PgWireResult<()> {
        let name = message.name.as_deref().unwrap_or_default();
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(errors::error("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        let others = || self.statements.iter().filter(|(other, _)| *other != name);
        if others().count() >= MAX_STATEMENTS {
            return Err(errors::error("53400", format!("there are {MAX_STATEMENTS} prepared statements already")));
        }
        if others().map(|(_, bytes)| bytes).sum::<usize>() + message.query.len() > MAX_TEXT_BYTES {
            let limit = MAX_TEXT_BYTES >> 20;
            return Err(errors::error(
                "53400",
                format!("prepared statements are longer than {limit} MiB together"),
            ));
        }
        Ok(())
    }

    pub fn add_statement(&mut self, name: Option<String>, text_bytes: usize) {
        self.statements.insert(name.unwrap_or_default(), text_bytes);
    }

    /// Whether this portal may be opened.
    ///
    /// # Errors
    /// 42P03 for a name that is taken, 53400 beyond the limit.
    pub fn check_portal(&self, message: &Bind) -> PgWireResult<()> {
        let name = message.portal_name.as_deref().unwrap_or_default();
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(errors::error("42P03", format!("cursor \"{name}\" already exists")));
        }
        if self.portals.len() >= MAX_PORTALS && !self.portals.contains_key(name) {
            return Err(errors::error("53400", format!("there are {MAX_PORTALS} open portals already")));
        }
        Ok(())
    }

    pub fn add_portal(&mut self, name: Option<String>, room: Option<OwnedSemaphorePermit>) {
        self.portals.insert(name.unwrap_or_default(), room);
    }

    pub fn close(&mut self, message: &Close) {
        let name = message.name.as_deref().unwrap_or_default();
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => drop(self.statements.remove(name)),
            TARGET_TYPE_BYTE_PORTAL => drop(self.portals.remove(name)),
            _ => {}
        }
    }

    /// A transaction has ended, and its portals with it.
    pub fn close_portals(&mut self) {
        self.portals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, bytes: usize) -> Parse {
        Parse::new((!name.is_empty()).then(|| name.to_string()), "x".repeat(bytes), vec![])
    }

    fn bind(name: &str) -> Bind {
        Bind::new((!name.is_empty()).then(|| name.to_string()), None, vec![], vec![], vec![])
    }

    #[test]
    fn statements_are_bounded_by_number_and_text() {
        let mut kept = Kept::default();
        let code = |kept: &Kept, name: &str, bytes| {
            kept.check_statement(&parse(name, bytes)).err().map(|e| e.code().to_string())
        };
        for i in 0..MAX_STATEMENTS - 1 {
            kept.add_statement(Some(format!("s{i}")), 1);
        }
        assert_eq!(code(&kept, "s0", 1).as_deref(), Some("42P05"));
        assert_eq!(code(&kept, "new", MAX_TEXT_BYTES).as_deref(), Some("53400"));
        assert_eq!(code(&kept, "new", 1), None);
        kept.add_statement(None, 1);
        assert_eq!(code(&kept, "new", 1).as_deref(), Some("53400"));
        // The one without a name is replaced.
        assert_eq!(code(&kept, "", 1), None);
        kept.close(&Close::new(TARGET_TYPE_BYTE_STATEMENT, Some("s0".into())));
        assert_eq!(code(&kept, "s0", 1), None);
    }

    #[test]
    fn portals_are_bounded_and_end_with_their_transaction() {
        let mut kept = Kept::default();
        let code = |kept: &Kept, name: &str| kept.check_portal(&bind(name)).err().map(|e| e.code().to_string());
        for i in 0..MAX_PORTALS {
            assert_eq!(code(&kept, &format!("p{i}")), None);
            kept.add_portal(Some(format!("p{i}")), None);
        }
        assert_eq!(code(&kept, "p0").as_deref(), Some("42P03"));
        assert_eq!(code(&kept, "").as_deref(), Some("53400"));
        kept.close(&Close::new(TARGET_TYPE_BYTE_PORTAL, Some("p0".into())));
        assert_eq!(code(&kept, "p0"), None);
        kept.close_portals();
        assert_eq!(code(&kept, "p1"), None);
    }
}
