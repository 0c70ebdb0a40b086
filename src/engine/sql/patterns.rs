//! Patterns that are written in a statement: those of `LIKE … ESCAPE` with the one escape that DataFusion knows, those of
//! `SIMILAR TO` as regular expressions of the whole text. Patterns that are computed are left as they are.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, ValueWithSpan};

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
        Some(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (first, None) => Some(first),
                _ => None,
            }
        }
        Some(_) => None,
    }
}

/// Puts backslashes for the escape character of `LIKE`.
pub fn with_backslashes(pattern: &mut Expr, written: &mut Option<ValueWithSpan>) {
    if written.is_none() {
        return;
    }
    let (Some(old), Some(escape)) = (text(pattern), escape(written)) else { return };
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
    *pattern = Expr::Value(Value::SingleQuotedString(new).into());
    *written = None;
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
