//! Patterns that are written in a statement: those of `LIKE … ESCAPE` with the one escape that DataFusion knows, those of
//! `SIMILAR TO` as regular expressions of the whole text. Of patterns that are computed the escape is changed when they run.

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, ValueWithSpan};

use super::ast::{call, take};
use super::state::raised;

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

/// The character that is written, `None` for none at all; a backslash where nothing is written.
fn escape(written: &Option<ValueWithSpan>) -> Option<Option<char>> {
    match written {
        None => Some(Some('\\')),
        Some(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => escape_of(text).ok(),
        Some(_) => None,
    }
}

/// Puts backslashes for the escape character of `LIKE`.
///
/// # Errors
/// 22025 of an escape of several characters.
pub fn with_backslashes(pattern: &mut Expr, written: &mut Option<ValueWithSpan>) -> Result<()> {
    let Some(of) = written.take() else { return Ok(()) };
    let Some(escape) = escape(&Some(of.clone())) else { return Err(invalid()) };
    *pattern = match text(pattern) {
        Some(old) => Expr::Value(Value::SingleQuotedString(backslashed(old, escape)).into()),
        None => call("like_escape", vec![take(pattern), Expr::Value(of)]),
    };
    Ok(())
}

fn invalid() -> DataFusionError {
    raised("22025", "invalid escape string")
}

/// The character that a text is, `None` for an empty one.
///
/// # Errors
/// 22025 of several characters.
pub fn escape_of(text: &str) -> Result<Option<char>> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(invalid()),
    }
}

/// A pattern of `LIKE` with another escape, or none.
pub fn backslashed(old: &str, escape: Option<char>) -> String {
    let mut new = String::with_capacity(old.len() + 8);
    let mut chars = old.chars();
    while let Some(c) = chars.next() {
        let literal = if Some(c) == escape { chars.next() } else { None };
        match literal {
            Some(c @ ('%' | '_' | '\\')) => new.extend(['\\', c]),
            Some(c) => new.push(c),
            None if c == '\\' => new.push_str("\\\\"),
            None => new.push(c),
        }
    }
    new
}

/// The match of a regular expression that is anchored at both ends.
pub fn similar(negated: bool, of: &mut Box<Expr>, pattern: &Expr, written: &Option<ValueWithSpan>) -> Option<Expr> {
    let (pattern, escape) = (text(pattern)?, escape(written)?);
    let mut regex = String::with_capacity(pattern.len() + 8);
    regex.push_str("^(?:");
    let (mut chars, mut in_class) = (pattern.chars(), false);
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            push_literal(&mut regex, chars.next()?);
            continue;
        }
        match c {
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            _ => {}
        }
        match c {
            _ if in_class || c == ']' => match c {
                '\\' => regex.push_str("\\\\"),
                c => regex.push(c),
            },
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' => regex.push(c),
            c => push_literal(&mut regex, c),
        }
    }
    regex.push_str(")$");
    let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    let left = std::mem::replace(of, Box::new(Expr::Value(Value::Null.into())));
    let right = Box::new(Expr::Value(Value::SingleQuotedString(regex).into()));
    Some(Expr::BinaryOp { left, op, right })
}

fn push_literal(regex: &mut String, c: char) {
    if matches!(c, '.' | '^' | '$' | '\\' | '|' | '*' | '+' | '?' | '{' | '}' | '(' | ')' | '[' | ']') {
        regex.push('\\');
    }
    regex.push(c);
}
