//! What a role is limited to. A limit that is not there holds for nobody.

use std::sync::Arc;
use std::time::Duration;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::below;
use crate::config::size;
use crate::config::values;
use crate::config::yaml::Node;
use crate::model::matcher::Matcher;
use crate::promql::parse;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Of a statement, or a query.
    pub statement_timeout: Option<Duration>,
    /// Of one answer.
    pub max_rows: Option<u64>,
    /// Bytes that a statement or query takes at a time.
    pub memory: Option<u64>,
    /// Series that satisfy all of these are all there is.
    pub metrics: Option<Arc<[Matcher]>>,
    /// External tables that it may read; all where none are named and `metrics` does not hide anything.
    pub external_tables: Option<Arc<[String]>>,
}

/// The limits of one role.
pub(super) fn read(given: &Node, path: &str, found: &Found) -> Allowed {
    let add = |key: &str, message: String| found.add(line_of(given, key), &below(path, key), message);
    let timeout_ms = values::duration_ms(given, "statement_timeout", 0);
    let is_given = |key: &str| given.get(key).is_some_and(|node| !node.is_null());
    let max_rows = values::count(given, "max_rows").filter(|rows| *rows > 0);
    if is_given("max_rows") && max_rows.is_none() {
        add("max_rows", "expected a whole number above 0".to_string());
    }
    let memory = values::text(given, "memory").map(size::parse);
    let memory = match memory {
        Some(Ok(bytes)) if bytes > 0 => Some(bytes),
        Some(Ok(_)) => {
            add("memory", "expected a size above 0".to_string());
            None
        }
        Some(Err(error)) => {
            add("memory", error.to_string());
            None
        }
        None => None,
    };
    let metrics = match values::text(given, "metrics").map(parse::parse_selector) {
        Some(Ok(matchers)) if matchers.is_empty() => {
            add("metrics", "not a selector of series: it names nothing that they have".to_string());
            None
        }
        Some(Ok(matchers)) => Some(Arc::from(matchers)),
        Some(Err(error)) => {
            add("metrics", format!("not a selector of series: {error}"));
            None
        }
        None if is_given("metrics") => {
            add("metrics", "expected a selector of series, such as '{team=\"a\"}'".to_string());
            None
        }
        None => None,
    };
    let statement_timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms as u64));
    let tables = given.get("external_tables").filter(|node| !node.is_null()).map(Node::items);
    let tables = tables.or_else(|| metrics.is_some().then_some(&[][..]));
    let names = |items: &[Node]| items.iter().filter_map(Node::text).map(str::to_string).collect::<Arc<[String]>>();
    Allowed { statement_timeout, max_rows, memory, metrics, external_tables: tables.map(names) }
}
