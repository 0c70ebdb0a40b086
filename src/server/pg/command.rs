//! Statements answered without the engine: SET, SHOW, RESET, transactions, DISCARD and friends.
//!
//! Transactions hold nothing, since every statement reads its own consistent snapshot; they are tracked so
//! that drivers see the states they expect. Savepoints likewise.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{self, Expr, Set, Statement, TransactionAccessMode, TransactionMode, Value};
use pgwire::error::PgWireResult;

use super::errors;
use super::session::{READ_ONLY_DEFAULT, Session};

/// What a command answers.
pub enum Outcome {
    /// A command tag.
    Done(&'static str),
    Begin(&'static str),
    End(&'static str),
    Rows(RecordBatch),
}

/// True for statements this module answers.
pub fn is_command(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Set(_)
            | Statement::Reset(_)
            | Statement::ShowVariable { .. }
            | Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Savepoint { .. }
            | Statement::ReleaseSavepoint { .. }
            | Statement::Discard { .. }
            | Statement::Deallocate { .. }
            | Statement::LISTEN { .. }
            | Statement::UNLISTEN { .. }
            | Statement::Close { .. }
    )
}

/// Runs a command; the caller has checked [`is_command`].
pub fn run(session: &Session, statement: &Statement) -> PgWireResult<Outcome> {
    Ok(match statement {
        Statement::Set(set) => {
            assign(session, set)?;
            Outcome::Done("SET")
        }
        Statement::Reset(reset) => {
            match &reset.reset {
                ast::Reset::ALL => session.reset_all(),
                ast::Reset::ConfigurationParameter(name) => session.set(&setting_name(name), None)?,
            }
            Outcome::Done("RESET")
        }
        Statement::ShowVariable { .. } => Outcome::Rows(show(session, statement)?),
        Statement::StartTransaction { begin, .. } => {
            Outcome::Begin(if *begin { "BEGIN" } else { "START TRANSACTION" })
        }
        Statement::Commit { .. } => Outcome::End("COMMIT"),
        Statement::Rollback { savepoint: Some(_), .. } => Outcome::Done("ROLLBACK"),
        Statement::Rollback { .. } => Outcome::End("ROLLBACK"),
        Statement::Savepoint { .. } => Outcome::Done("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => Outcome::Done("RELEASE"),
        Statement::Discard { object_type } => {
            session.reset_all();
            Outcome::Done(match object_type {
                ast::DiscardObject::ALL => "DISCARD ALL",
                ast::DiscardObject::PLANS => "DISCARD PLANS",
                ast::DiscardObject::SEQUENCES => "DISCARD SEQUENCES",
                ast::DiscardObject::TEMP => "DISCARD TEMP",
            })
        }
        Statement::Deallocate { .. } => Outcome::Done("DEALLOCATE"),
        Statement::LISTEN { .. } => Outcome::Done("LISTEN"),
        Statement::UNLISTEN { .. } => Outcome::Done("UNLISTEN"),
        Statement::Close { .. } => Outcome::Done("CLOSE CURSOR"),
        other => return Err(errors::unsupported(other)),
    })
}

/// The rows of a SHOW, also used to describe one before it runs.
pub fn show(session: &Session, statement: &Statement) -> PgWireResult<RecordBatch> {
    let Statement::ShowVariable { variable } = statement else {
        return Err(errors::unsupported(statement));
    };
    let words: Vec<String> = variable.iter().map(|i| i.value.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words == ["all"] {
        let all = session.show_all();
        return batch(&[
            ("name", all.iter().map(|r| r.0.clone()).collect()),
            ("setting", all.iter().map(|r| r.1.clone()).collect()),
            ("description", all.iter().map(|r| r.2.to_string()).collect()),
        ]);
    }
    let name = match words.as_slice() {
        ["time", "zone"] => "TimeZone".to_string(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_string(),
        ["session", "authorization"] => return batch(&[("session_authorization", vec![session.user.clone()])]),
        _ => words.join("."),
    };
    batch(&[(name.as_str(), vec![session.show(&name)?])])
}

fn batch(columns: &[(&str, Vec<String>)]) -> PgWireResult<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.clone())) as _).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| errors::datafusion(e.into()))
}

fn assign(session: &Session, set: &Set) -> PgWireResult<()> {
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let name = setting_name(variable);
            let values: Vec<String> = values.iter().map(literal).collect::<PgWireResult<_>>()?;
            let value = values.join(", ");
            session.set(&name, (!value.eq_ignore_ascii_case("default")).then_some(value.as_str()))
        }
        Set::SetTimeZone { value, .. } => session.set("TimeZone", Some(&literal(value)?)),
        Set::SetNames { charset_name, .. } => session.set("client_encoding", Some(&charset_name.value)),
        // Drivers ask for an isolation level, or for read write, and then only read: every statement has its
        // own snapshot, and a statement that writes is refused within a transaction. What is said of the whole session holds
        // for statements outside of them.
        Set::SetTransaction { modes, session: true, .. } => {
            let access = modes.iter().rev().find_map(|mode| match mode {
                TransactionMode::AccessMode(access) => Some(*access),
                TransactionMode::IsolationLevel(_) => None,
            });
            match access {
                Some(TransactionAccessMode::ReadOnly) => session.set(READ_ONLY_DEFAULT, Some("on")),
                Some(TransactionAccessMode::ReadWrite) if session.may_write() => {
                    session.set(READ_ONLY_DEFAULT, Some("off"))
                }
                Some(TransactionAccessMode::ReadWrite) | None => Ok(()),
            }
        }
        Set::SetTransaction { .. } => Ok(()),
        other => Err(errors::unsupported(format!("SET {other}"))),
    }
}

fn setting_name(name: &ast::ObjectName) -> String {
    let parts: Vec<String> =
        name.0.iter().map(|p| p.as_ident().map_or_else(|| p.to_string(), |i| i.value.clone())).collect();
    parts.join(".")
}

fn literal(e: &Expr) -> PgWireResult<String> {
    match e {
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => Ok(parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".")),
        Expr::Value(value) => Ok(match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        }),
        Expr::UnaryOp { op, expr } => Ok(format!("{op}{}", literal(expr)?)),
        Expr::Function(f) if f.args == ast::FunctionArguments::None => Ok(f.name.to_string()),
        other => Err(errors::error("42601", format!("invalid value for a setting: {other}"))),
    }
}
