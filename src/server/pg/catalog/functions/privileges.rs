//! Who may do what: everybody reads everything and calls every function, samples are inserted into metrics where the server
//! allows it, and nothing else is granted.

use datafusion::error::Result;
use datafusion::scalar::ScalarValue;

use super::body::{Function, any_text, boolean, failed, row};
use crate::server::pg::catalog::world::World;

pub const FUNCTIONS: &[Function] = &[
    row("has_table_privilege", "name, regclass, text", "bool", |w, a| has(w, a, TABLE)),
    row("has_any_column_privilege", "name, regclass, text", "bool", |w, a| has(w, a, TABLE)),
    row("has_column_privilege", "name, regclass, text, text", "bool", |w, a| has(w, a, TABLE)),
    row("has_schema_privilege", "name, regnamespace, text", "bool", |w, a| has(w, a, &["create", "usage"])),
    row("has_database_privilege", "name, oid, text", "bool", |w, a| {
        has(w, a, &["create", "connect", "temporary", "temp"])
    }),
    row("has_function_privilege", "name, regprocedure, text", "bool", |w, a| has(w, a, &["execute"])),
    row("has_sequence_privilege", "name, regclass, text", "bool", |w, a| has(w, a, &["usage", "select", "update"])),
    row("has_tablespace_privilege", "name, oid, text", "bool", |w, a| has(w, a, &["create"])),
    row("has_type_privilege", "name, regtype, text", "bool", |w, a| has(w, a, &["usage"])),
    row("has_language_privilege", "name, oid, text", "bool", |w, a| has(w, a, &["usage"])),
    row("has_foreign_data_wrapper_privilege", "name, oid, text", "bool", |w, a| has(w, a, &["usage"])),
    row("has_server_privilege", "name, oid, text", "bool", |w, a| has(w, a, &["usage"])),
    row("pg_has_role", "name, oid, text", "bool", |w, a| has(w, a, &["member", "usage", "set"])),
];

const TABLE: &[&str] = &["select", "insert", "update", "delete", "truncate", "references", "trigger"];

/// Whether any of the privileges is granted; they stand last, between commas.
fn has(world: &World, arguments: &[ScalarValue], known: &[&str]) -> Result<ScalarValue> {
    if arguments.iter().any(ScalarValue::is_null) {
        return Ok(ScalarValue::Boolean(None));
    }
    let asked = arguments.last().and_then(any_text).unwrap_or_default();
    let mut granted = false;
    for privilege in asked.split(',') {
        let word = privilege.trim().to_ascii_lowercase();
        let plain = word.strip_suffix(" with grant option").or_else(|| word.strip_suffix(" with admin option"));
        if !known.contains(&plain.unwrap_or(&word)) {
            return Err(failed("22023", format!("unrecognized privilege type: \"{}\"", privilege.trim())));
        }
        granted |= plain.is_none()
            && match word.as_str() {
                "select" | "usage" | "connect" | "execute" => true,
                "insert" => world.session.settings().may_write(),
                _ => false,
            };
    }
    boolean(granted)
}
