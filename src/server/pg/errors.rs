//! Errors to SQLSTATE and Postgres' wording, in one place. Tools match on both: Superset looks for
//! `column "x" does not exist`, drivers for the five-letter code.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use pgwire::error::{ErrorInfo, PgWireError};

use crate::engine::error as limits;
use crate::engine::sql::state::Raised;
use crate::engine::sql::text;
use crate::engine::sql::verify::{Reason, Refused};
use crate::error::{Error, ErrorKind};

/// The codes of errors that functions of a session have.
const KNOWN: &[&str] = &[
    "0A000", "22004", "22023", "22P02", "25006", "3F000", "42501", "42704", "42883", "42P01", "54000", "55P02",
    "55P03",
];

/// An error with a SQLSTATE.
pub fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), code.into(), message.into())))
}

/// An error that ends the connection.
pub fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    made_fatal(error(code, message))
}

/// The same error as one that ends the connection.
pub fn made_fatal(error: PgWireError) -> PgWireError {
    match error {
        PgWireError::UserError(mut info) => {
            info.severity = "FATAL".into();
            PgWireError::UserError(info)
        }
        other => other,
    }
}

/// The same error with something more to say.
pub fn with_detail(error: PgWireError, detail: String) -> PgWireError {
    match error {
        PgWireError::UserError(mut info) => {
            info.detail = Some(detail);
            PgWireError::UserError(info)
        }
        other => other,
    }
}

/// What is said of a statement that was canceled.
pub fn canceled() -> PgWireError {
    error("57014", "canceling statement due to user request")
}

/// A thing of SQL that is not built, named.
pub fn unsupported(what: impl std::fmt::Display) -> PgWireError {
    error("0A000", format!("{what} is not supported"))
}

/// The one mapping from our kinds.
fn sqlstate(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadInput => "22023",
        ErrorKind::Unsupported => "0A000",
        ErrorKind::Execution => "22000",
        ErrorKind::Limit => "53400",
        ErrorKind::Timeout | ErrorKind::Canceled => "57014",
        ErrorKind::NotFound => "42704",
        ErrorKind::Unavailable | ErrorKind::Poisoned => "57P03",
        ErrorKind::Conflict => "40001",
        ErrorKind::Internal => "XX000",
    }
}

/// What kind of error the client was told, as far as that can be told from it.
pub fn kind(error: &PgWireError) -> ErrorKind {
    match error {
        PgWireError::UserError(info) if info.code == "57014" => match info.message.contains("timeout") {
            true => ErrorKind::Timeout,
            false => ErrorKind::Canceled,
        },
        PgWireError::UserError(_) => ErrorKind::BadInput,
        _ => ErrorKind::Internal,
    }
}

/// In Postgres' words where it has its own.
fn message(e: &Error) -> String {
    match e.kind {
        ErrorKind::Canceled => "canceling statement due to user request".into(),
        _ => e.to_string(),
    }
}

impl From<Error> for PgWireError {
    fn from(e: Error) -> Self {
        error(sqlstate(e.kind), message(&e))
    }
}

/// Why a text was refused before anything of it was planned.
pub fn refused(sql: &str, refused: &text::Refused) -> PgWireError {
    match refused {
        text::Refused::TooLong(limit) => error("54000", format!("statement is longer than {} KiB", limit >> 10)),
        text::Refused::TooComplex(reason) => error("54001", reason.to_string()),
        text::Refused::Syntax(e) => syntax(sql, e),
        text::Refused::Unsupported(what) => unsupported(what),
    }
}

/// `syntax error at or near "x"` with the position, from sqlparser's message.
fn syntax(sql: &str, e: &ParserError) -> PgWireError {
    let text = match e {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => return error("54001", "statement is nested too deeply"),
    };
    let found = text.split("found: ").nth(1).and_then(|rest| rest.split(" at Line").next());
    let message = match found {
        Some("EOF") => "syntax error at end of input".to_string(),
        Some(token) => format!("syntax error at or near \"{token}\""),
        None if text.starts_with("multiple LIMIT") => text.to_string(),
        None => format!("syntax error: {text}"),
    };
    let mut info = ErrorInfo::new("ERROR".into(), "42601".into(), message);
    info.detail = Some(text.to_string());
    info.position = position(sql, text).map(|p| p.to_string());
    PgWireError::UserError(Box::new(info))
}

/// One-based character position from `… at Line: 1, Column: 8`.
fn position(sql: &str, text: &str) -> Option<usize> {
    let at = text.split("Line: ").nth(1)?;
    let (line, rest) = at.split_once(", Column: ")?;
    let (line, column) = (line.parse::<usize>().ok()?, rest.trim().parse::<usize>().ok()?);
    let before: usize = sql.lines().take(line.checked_sub(1)?).map(|l| l.chars().count() + 1).sum();
    Some(before + column)
}

pub fn datafusion(e: DataFusionError) -> PgWireError {
    let (code, message) = match classify(&e) {
        ("XX000", None) if limits::is_disk_limit(&e.to_string()) => ("53100", Some(limits::DISK_LIMIT.to_string())),
        found => found,
    };
    error(code, message.unwrap_or_else(|| words(&e)))
}

/// What an error says, without the names of those who say it.
fn words(e: &DataFusionError) -> String {
    match e {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => words(inner),
        DataFusionError::Shared(inner) => words(inner),
        DataFusionError::Collection(all) => all.first().map_or_else(|| "an error".into(), words),
        DataFusionError::SchemaError(schema, _) => schema.to_string(),
        DataFusionError::ArrowError(arrow, _) => arrow_words(arrow),
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::NotImplemented(text) => text.clone(),
        DataFusionError::Internal(text) => format!("internal error: {}", text.lines().next().unwrap_or_default()),
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => words(inner),
            None => inner.to_string(),
        },
        other => other.strip_backtrace(),
    }
}

fn arrow_words(e: &ArrowError) -> String {
    match e {
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::NotYetImplemented(text)
        | ArrowError::SchemaError(text) => text.clone(),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => words(inner),
            None => inner.to_string(),
        },
        other => other.to_string(),
    }
}

/// A type of the engine as PostgreSQL calls it.
fn type_word(arrow: &str) -> &str {
    match arrow.trim() {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" => "bigint",
        "UInt32" => "oid",
        "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Date32" | "Date64" => "date",
        "Binary" | "BinaryView" | "LargeBinary" => "bytea",
        "Null" => "unknown",
        word if word.starts_with("Timestamp") && word.contains("None") => "timestamp without time zone",
        word if word.starts_with("Timestamp") => "timestamp with time zone",
        word if word.starts_with("Time") => "time without time zone",
        word if word.starts_with("Interval") || word.starts_with("Duration") => "interval",
        word if word.starts_with("Decimal") || word == "UInt64" => "numeric",
        word => word,
    }
}

/// A text that is no value of a type: `Cannot cast string 'x' to value of Int64 type`.
fn bad_text(text: &str) -> Option<String> {
    let (value, rest) = text.strip_prefix("Cannot cast string '")?.rsplit_once("' to value of ")?;
    let of = type_word(rest.strip_suffix(" type")?);
    Some(format!("invalid input syntax for type {of}: \"{value}\""))
}

/// A function that takes other arguments: `… 'f(Utf8, Int64)'. You might …`, or
/// `… a call to 'f' function: coercion from Utf8, Int64 to the signature …`.
fn bad_arguments(text: &str) -> Option<String> {
    let (name, types) = match text.split_once("a call to '") {
        Some((_, rest)) => {
            let (name, rest) = rest.split_once('\'')?;
            (name, rest.split_once("coercion from ")?.1.split(" to the signature").next()?)
        }
        None => {
            let (_, rest) = text.split_once("No function matches the given name and argument types '")?;
            rest.split_once('(').and_then(|(name, rest)| Some((name, rest.split_once(")'")?.0)))?
        }
    };
    let mut words: Vec<&str> = vec![];
    let (mut depth, mut from) = (0, 0);
    for (at, c) in types.char_indices().chain([(types.len(), ',')]) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 || at == types.len() => {
                words.push(type_word(&types[from..at]));
                from = at + 1;
            }
            _ => {}
        }
    }
    Some(format!("function {name}({}) does not exist", words.join(", ")))
}

/// Whether a plan was refused for two columns of one name.
pub fn is_duplicate_column(e: &DataFusionError) -> bool {
    match e.find_root() {
        DataFusionError::SchemaError(schema, _) => matches!(
            schema.as_ref(),
            SchemaError::DuplicateQualifiedField { .. }
                | SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::AmbiguousReference { .. }
        ),
        DataFusionError::Plan(text) => text.starts_with("Projections require unique expression names"),
        _ => false,
    }
}

fn classify(e: &DataFusionError) -> (&'static str, Option<String>) {
    match e {
        DataFusionError::SQL(parser, _) => ("42601", Some(format!("syntax error: {parser}"))),
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::NotImplemented(text) => ("0A000", Some(format!("not supported: {text}"))),
        DataFusionError::ResourcesExhausted(refusal) => ("53200", Some(limits::memory_limit(refusal))),
        DataFusionError::ArrowError(arrow, _) => arrow_error(arrow),
        DataFusionError::Plan(text) => plan_error(text),
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(ours) => (sqlstate(ours.kind), Some(message(ours))),
            None => external(inner.as_ref()),
        },
        DataFusionError::Context(_, inner) => classify(inner),
        DataFusionError::Diagnostic(_, inner) => classify(inner),
        DataFusionError::Shared(inner) => classify(inner),
        DataFusionError::Collection(all) => all.first().map_or(("XX000", None), classify),
        DataFusionError::Execution(text) if text.contains("Divide by zero") => {
            ("22012", Some("division by zero".into()))
        }
        DataFusionError::Execution(text) => ("22000", Some(text.clone())),
        _ => ("XX000", None),
    }
}

fn external(e: &(dyn std::error::Error + Send + Sync + 'static)) -> (&'static str, Option<String>) {
    if let Some(refused) = e.downcast_ref::<Refused>() {
        let code = match refused.reason {
            Reason::ReadOnly => "25006",
            Reason::Forbidden => "42501",
            Reason::TooLarge => "54000",
        };
        return (code, Some(refused.message.clone()));
    }
    if let Some(PgWireError::UserError(info)) = e.downcast_ref::<PgWireError>() {
        // What a function of a session has said, with its code.
        let code = KNOWN.iter().find(|code| **code == info.code).copied().unwrap_or("XX000");
        return (code, Some(info.message.clone()));
    }
    if let Some(raised) = e.downcast_ref::<Raised>() {
        return (raised.state, Some(raised.message.clone()));
    }
    e.downcast_ref::<DataFusionError>().map_or(("XX000", None), classify)
}

fn schema_error(e: &SchemaError) -> (&'static str, Option<String>) {
    match e {
        SchemaError::FieldNotFound { field, .. } => {
            ("42703", Some(format!("column \"{}\" does not exist", field.flat_name())))
        }
        SchemaError::AmbiguousReference { field } => {
            ("42702", Some(format!("column reference \"{}\" is ambiguous", field.name())))
        }
        _ => ("42701", None),
    }
}

fn arrow_error(e: &ArrowError) -> (&'static str, Option<String>) {
    match e {
        ArrowError::DivideByZero => ("22012", Some("division by zero".into())),
        ArrowError::CastError(text) if text.starts_with("Can't cast value") => {
            let name = match text.rsplit(' ').next() {
                Some("Int16") => "smallint",
                Some("Int32") => "integer",
                Some("Int64") => "bigint",
                _ => "value",
            };
            ("22003", Some(format!("{name} out of range")))
        }
        ArrowError::CastError(text) | ArrowError::ParseError(text) => ("22P02", bad_text(text)),
        ArrowError::ArithmeticOverflow(_) => ("22003", None),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(nested) => classify(nested),
            None => ("XX000", None),
        },
        _ => ("XX000", None),
    }
}

fn plan_error(text: &str) -> (&'static str, Option<String>) {
    let quoted = text.split('\'').nth(1).unwrap_or("");
    if text.contains("' not found") && text.contains("able") {
        let table = quoted.strip_prefix("promlake.").unwrap_or(quoted);
        let table = table.strip_prefix("public.").unwrap_or(table);
        return ("42P01", Some(format!("relation \"{table}\" does not exist")));
    }
    if let Some(message) = bad_arguments(text) {
        return ("42883", Some(message));
    }
    if text.starts_with("Projections require unique expression names") {
        return ("42701", Some("columns of two wildcards have one name: name them, and not both wildcards".into()));
    }
    if text.contains("Invalid function") {
        return ("42883", Some(format!("function {quoted} does not exist")));
    }
    ("42000", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn syntax_errors_name_the_token_and_its_place() {
        let sql = "select 1;\nselct 2";
        let e = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap_err();
        let PgWireError::UserError(info) = syntax(sql, &e) else { panic!("a user error") };
        assert_eq!(info.code, "42601");
        assert_eq!(info.message, "syntax error at or near \"selct\"");
        assert_eq!(info.position.as_deref(), Some("11"));
    }

    #[test]
    fn what_the_engine_says_has_a_code() {
        let check = |kind, code: &str, message: &str| {
            let PgWireError::UserError(info) = PgWireError::from(Error::new(kind, "ours")) else {
                panic!("a user error")
            };
            assert_eq!((info.code.as_str(), info.message.as_str()), (code, message), "{kind:?}");
        };
        check(ErrorKind::Internal, "XX000", "ours");
        check(ErrorKind::Timeout, "57014", "ours");
        check(ErrorKind::Canceled, "57014", "canceling statement due to user request");
    }

    #[test]
    fn errors_name_no_library() {
        let check = |e: DataFusionError, code: &str, message: &str| {
            let e = DataFusionError::Context("Optimizer rule 'simplify_expressions' failed".into(), Box::new(e));
            let PgWireError::UserError(info) = datafusion(e) else { panic!("a user error") };
            assert_eq!((info.code.as_str(), info.message.as_str()), (code, message));
        };
        let arrow = |e| DataFusionError::ArrowError(Box::new(e), None);
        let text = "Cannot cast string 'a 'b' to value of UInt32 type";
        check(arrow(ArrowError::CastError(text.into())), "22P02", "invalid input syntax for type oid: \"a 'b\"");
        check(arrow(ArrowError::ComputeError("no".into())), "XX000", "no");
        check(DataFusionError::Plan("no such thing".into()), "42000", "no such thing");
        let text = "f does not support type X. No function matches the given name and argument types 'f(Utf8, Timestamp(ms, None))'. You might";
        let message = "function f(text, timestamp without time zone) does not exist";
        check(DataFusionError::Plan(text.into()), "42883", message);
        let text = "Failed to coerce arguments to satisfy a call to 'g' function: coercion from Int64 to the signature X failed";
        check(DataFusionError::Plan(text.into()), "42883", "function g(bigint) does not exist");
    }

    #[test]
    fn plan_errors_have_postgres_wording() {
        assert_eq!(
            plan_error("table 'promlake.public.nope' not found").1.unwrap(),
            "relation \"nope\" does not exist"
        );
        assert_eq!(plan_error("Invalid function 'nope'.\nDid you mean").0, "42883");
    }
}
