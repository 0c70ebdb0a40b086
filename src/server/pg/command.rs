//! What statements that are answered without the engine say: SET and SHOW, and the modes of transactions. What they do to
//! transactions, portals and prepared statements is done by the connection.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::{
    self, ContextModifier, Expr, Set, SetSessionAuthorizationParamKind, Statement, TransactionAccessMode,
    TransactionIsolationLevel, TransactionMode, Value,
};
use pgwire::error::PgWireResult;

use super::session::Session;
use super::settings::table::{self, SETTINGS};
use super::settings::values::{Scope, Settings};
use super::settings::zone::Zone;
use super::{errors, names};

/// True for statements that are answered without the engine.
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
            | Statement::Prepare { .. }
            | Statement::Execute { .. }
            | Statement::Fetch { .. }
    )
}

/// The rows of a SHOW, also used to describe one before it runs.
pub fn show(session: &Session, statement: &Statement) -> PgWireResult<RecordBatch> {
    let Statement::ShowVariable { variable } = statement else {
        return Err(errors::unsupported(statement));
    };
    let words: Vec<String> = variable.iter().map(|i| i.value.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words == ["all"] {
        let settings = session.settings();
        return batch(&[
            ("name", SETTINGS.iter().map(|s| s.name.to_string()).collect()),
            ("setting", SETTINGS.iter().map(|s| settings.value(s)).collect()),
            ("description", SETTINGS.iter().map(|s| s.about.to_string()).collect()),
        ]);
    }
    let name = match words.as_slice() {
        ["time", "zone"] => table::TIME_ZONE.to_string(),
        ["transaction", "isolation", "level"] => table::ISOLATION_NOW.to_string(),
        ["session", "authorization"] => table::USER.to_string(),
        _ => words.join("."),
    };
    let shown = table::find(&name).map_or(name.as_str(), |setting| setting.name);
    batch(&[(shown, vec![session.show(&name)?])])
}

fn batch(columns: &[(&str, Vec<String>)]) -> PgWireResult<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.clone())) as _).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| errors::datafusion(e.into()))
}

/// What a SET is of.
#[derive(Debug, PartialEq)]
pub enum Reach {
    Session,
    /// Said within a transaction, of nothing but it: the words it has for that.
    Transaction(&'static str),
}

/// Does what a SET says.
pub fn assign(settings: &mut Settings, set: &Set) -> PgWireResult<Reach> {
    let (reach, scope) = match set {
        Set::SingleAssignment { scope: Some(ContextModifier::Local), .. }
        | Set::SetTimeZone { local: true, .. }
        | Set::SetRole { context_modifier: Some(ContextModifier::Local), .. } => {
            (Reach::Transaction("SET LOCAL"), Scope::Transaction)
        }
        Set::SetTransaction { session: false, .. } => (Reach::Transaction("SET TRANSACTION"), Scope::Transaction),
        _ => (Reach::Session, Scope::Session),
    };
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let name = setting_name(variable);
            let mut values: Vec<String> = values.iter().map(literal).collect::<PgWireResult<_>>()?;
            let is_default = matches!(values.as_slice(), [one] if one.eq_ignore_ascii_case("default"));
            if name.eq_ignore_ascii_case(table::SEARCH_PATH) {
                values = values.iter().map(|name| names::quoted(name)).collect();
            }
            let value = values.join(", ");
            settings.set(&name, (!is_default).then_some(value.as_str()), scope)?;
        }
        Set::SetTimeZone { value, .. } => {
            let value = time_zone(value)?;
            settings.set(table::TIME_ZONE, value.as_deref(), scope)?;
        }
        Set::SetNames { charset_name, collation_name: None } => {
            settings.set("client_encoding", Some(&charset_name.value), scope)?;
        }
        Set::SetNamesDefault {} => settings.set("client_encoding", None, scope)?,
        Set::SetTransaction { snapshot: Some(_), .. } => {
            return Err(errors::unsupported("SET TRANSACTION SNAPSHOT"));
        }
        Set::SetTransaction { modes, session, .. } => transaction_modes(settings, modes, *session)?,
        // There is nobody else to be.
        Set::SetRole { role_name: None, .. } => {}
        Set::SetSessionAuthorization(param) if matches!(param.kind, SetSessionAuthorizationParamKind::Default) => {}
        other => return Err(errors::unsupported(format!("SET {other}"))),
    }
    Ok(reach)
}

/// What a transaction is to be; of all new ones, where `session` says so.
///
/// Drivers ask for an isolation level, or for read write, and then only read: every statement has its own snapshot, and a
/// statement that writes is refused within a transaction.
pub fn transaction_modes(settings: &mut Settings, modes: &[TransactionMode], session: bool) -> PgWireResult<()> {
    let (isolation, read_only, scope) = match session {
        true => (table::ISOLATION_DEFAULT, table::READ_ONLY_DEFAULT, Scope::Session),
        false => (table::ISOLATION_NOW, table::READ_ONLY_NOW, Scope::Transaction),
    };
    for mode in modes {
        match mode {
            TransactionMode::IsolationLevel(level) => {
                let level = match level {
                    TransactionIsolationLevel::ReadUncommitted => "read uncommitted",
                    TransactionIsolationLevel::ReadCommitted => "read committed",
                    TransactionIsolationLevel::RepeatableRead => "repeatable read",
                    TransactionIsolationLevel::Serializable => "serializable",
                    other => return Err(errors::unsupported(format!("ISOLATION LEVEL {other}"))),
                };
                settings.set(isolation, Some(level), scope)?;
            }
            TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => {
                settings.set(read_only, Some("on"), scope)?;
            }
            TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) if settings.may_write() => {
                settings.set(read_only, Some("off"), scope)?;
            }
            TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => {}
        }
    }
    Ok(())
}

/// `None` for the default. A bare number is of hours, an interval as long as it says.
fn time_zone(value: &Expr) -> PgWireResult<Option<String>> {
    if let Expr::Interval(interval) = value {
        let bad = || errors::error("22023", format!("invalid value for parameter \"TimeZone\": {interval}"));
        let text = literal(&interval.value)?;
        let (sign, clock) = match text.trim().split_at_checked(1) {
            Some(("-", clock)) => (-1, clock),
            Some(("+", clock)) => (1, clock),
            _ => (1, text.trim()),
        };
        let parts: Option<Vec<i32>> = clock.split(':').map(|part| part.parse().ok()).collect();
        let seconds = match parts.as_deref() {
            Some([hours]) if (0..168).contains(hours) => hours * 3600,
            Some([hours, minutes]) if (0..168).contains(hours) && (0..60).contains(minutes) => {
                hours * 3600 + minutes * 60
            }
            _ => return Err(bad()),
        };
        return Ok(Some(Zone::shown(sign * seconds).1));
    }
    let text = literal(value)?;
    let is_default = ["default", "local"].iter().any(|word| text.eq_ignore_ascii_case(word));
    Ok((!is_default).then_some(text))
}

/// The name of a setting, its parts joined.
pub fn setting_name(name: &ast::ObjectName) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    /// What a setting is after a SET within a transaction, or the code of the error.
    fn check(sql: &str, name: &str, want: &str) {
        let mut settings = Settings::new("me", false);
        settings.begin();
        let Statement::Set(set) = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0) else {
            panic!("{sql} is a SET");
        };
        let got = assign(&mut settings, &set).and_then(|_| settings.show(name));
        assert_eq!(got.unwrap_or_else(|e| e.code().to_string()), want, "{sql}");
    }

    #[test]
    fn what_is_set() {
        check("SET TIME ZONE 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo");
        check("SET LOCAL TIME ZONE 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo");
        check("SET TIME ZONE -7", "TimeZone", "<-07>+07");
        check("SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE", "TimeZone", "<-08:30>+08:30");
        check("SET TIME ZONE DEFAULT", "TimeZone", "UTC");
        check("SET timezone TO '<x>-02'", "TimeZone", "<X>-02");
        check("SET TIME ZONE 'Mars'", "TimeZone", "22023");
        check("SET NAMES 'utf-8'", "client_encoding", "UTF8");
        check("SET search_path = a, \"B\"", "search_path", "a, \"B\"");
        check("SET search_path = 'a, b'", "search_path", "\"a, b\"");
        check("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "transaction_isolation", "serializable");
        check("SET TRANSACTION READ WRITE", "transaction_read_only", "on");
        check("SET transaction_read_only = off", "transaction_read_only", "25006");
        check("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "default_transaction_read_only", "on");
        check("SET TRANSACTION SNAPSHOT '1'", "TimeZone", "0A000");
        check("SET ROLE NONE", "TimeZone", "UTC");
        check("SET ROLE somebody", "TimeZone", "0A000");
    }
}
