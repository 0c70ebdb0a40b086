//! What a SQL client may run: queries, and settings that change only how they are explained or shown.

use std::fmt;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Statement};

/// Why a statement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It would write (25006).
    ReadOnly,
    /// It reaches for what clients must not touch: files of the server, settings of the process (42501).
    Forbidden,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

/// Settings a session may change, by prefix or whole name.
const SETTINGS: [&str; 2] = ["datafusion.explain.", "datafusion.execution.time_zone"];

/// Refuses a plan, at any depth, that does more than read what the catalog offers.
pub fn verify(plan: &LogicalPlan) -> Result<(), Refused> {
    let mut refused = None;
    let visited = plan.apply_with_subqueries(|node| {
        refused = refuse(node);
        Ok::<_, DataFusionError>(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    });
    debug_assert!(visited.is_ok(), "the visitor returns no error");
    refused.map_or(Ok(()), Err)
}

fn refuse(node: &LogicalPlan) -> Option<Refused> {
    let refused = |reason, message: String| Some(Refused { reason, message });
    let read_only = |what: &str| refused(Reason::ReadOnly, format!("cannot execute {what} in a read-only session"));
    match node {
        LogicalPlan::Copy(_) => refused(Reason::Forbidden, "COPY to a file of the server is not allowed".into()),
        LogicalPlan::Ddl(ddl) if ddl.name() == "CreateExternalTable" => {
            refused(Reason::Forbidden, "CREATE EXTERNAL TABLE is not allowed".into())
        }
        LogicalPlan::Ddl(ddl) => read_only(ddl.name()),
        LogicalPlan::Dml(dml) => read_only(&dml.op.to_string()),
        LogicalPlan::Statement(Statement::SetVariable(set)) => refuse_setting(&set.variable),
        LogicalPlan::Statement(Statement::ResetVariable(reset)) => refuse_setting(&reset.variable),
        _ => None,
    }
}

fn refuse_setting(name: &str) -> Option<Refused> {
    let name = name.to_ascii_lowercase();
    let allowed = SETTINGS.iter().any(|setting| match setting.ends_with('.') {
        true => name.starts_with(setting),
        false => name == *setting || name == "timezone" || name == "time.zone",
    });
    let message = || format!("permission denied to set parameter \"{name}\"");
    (!allowed).then(|| Refused { reason: Reason::Forbidden, message: message() })
}
