//! What a SQL client may run: queries, and settings that change only how they are explained or shown.

use std::fmt;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Statement};
use datafusion::scalar::ScalarValue;

/// Why a statement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It would write (25006).
    ReadOnly,
    /// It reaches for what clients must not touch: files of the server, settings of the process (42501).
    Forbidden,
    /// A number in it says how much memory to take, and is too large (54000).
    TooLarge,
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

/// Centroids of an approximate percentile; a hundred is usual.
const MAX_CENTROIDS: i64 = 10_000;

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
        LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.iter().find_map(refuse_aggregates),
        LogicalPlan::Window(window) => window.window_expr.iter().find_map(refuse_aggregates),
        _ => None,
    }
}

/// Approximate percentiles take room for as many centroids as they are told.
fn refuse_aggregates(expr: &Expr) -> Option<Refused> {
    let mut refused = None;
    let visited = expr.apply(|node| {
        let (name, args) = match node {
            Expr::AggregateFunction(f) => (f.func.name(), &f.params.args),
            Expr::WindowFunction(f) => (f.fun.name(), &f.params.args),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let centroids = match name {
            "approx_percentile_cont" => args.get(2),
            "approx_percentile_cont_with_weight" => args.get(3),
            _ => None,
        };
        if centroids.is_some_and(|arg| !is_few(arg)) {
            let message = format!("{name}: the number of centroids must be a number up to {MAX_CENTROIDS}");
            refused = Some(Refused { reason: Reason::TooLarge, message });
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok::<_, DataFusionError>(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor returns no error");
    refused
}

fn is_few(centroids: &Expr) -> bool {
    match centroids {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number.is_some_and(|n| n <= MAX_CENTROIDS),
            _ => false,
        },
        Expr::Cast(cast) => is_few(&cast.expr),
        _ => false,
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
