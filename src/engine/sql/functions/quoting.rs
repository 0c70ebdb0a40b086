//! `format`, and texts as parts of SQL: `quote_ident`, `quote_literal`, `quote_nullable`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};

use super::plain::{Row, of_text, text, texts};
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::state::raised;

/// A batch of texts at most, as of other functions that make much of little.
const MAX_BYTES: usize = 32 << 20;
/// As wide as a field may be.
const MAX_WIDTH: usize = 1 << 20;

pub static ROWS: [Row; 4] = [
    Row {
        of_null: true,
        ..Row::new(
            "format",
            |types| (!types.is_empty()).then(|| vec![DataType::Utf8; types.len()]),
            of_text,
            format,
        )
    },
    Row::new("quote_ident", |types| texts(types, 1..=1), of_text, |args, _| each(&args[0], ident)),
    Row::new(
        "quote_literal",
        |types| (types.len() == 1).then(|| vec![DataType::Utf8]),
        of_text,
        |args, _| each(&args[0], literal),
    ),
    Row {
        of_null: true,
        ..Row::new(
            "quote_nullable",
            |types| (types.len() == 1).then(|| vec![DataType::Utf8]),
            of_text,
            |args, _| {
                let quoted = text(&args[0]).iter().map(|of| Some(of.map_or_else(|| "NULL".into(), literal)));
                Ok(Arc::new(quoted.collect::<StringArray>()))
            },
        )
    },
];

fn each(array: &ArrayRef, make: fn(&str) -> String) -> Result<ArrayRef> {
    Ok(Arc::new(text(array).iter().map(|of| of.map(make)).collect::<StringArray>()))
}

/// As it has to be written to be that name.
fn ident(name: &str) -> String {
    let plain = |c: char| c == '_' || c.is_ascii_lowercase();
    let is_plain = name.chars().next().is_some_and(plain)
        && name.chars().all(|c| plain(c) || c.is_ascii_digit())
        && !is_reserved(name);
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Words that mean something else where a name is meant.
fn is_reserved(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let reserved = [
        "ALL",
        "AND",
        "ANY",
        "ARRAY",
        "AS",
        "ASC",
        "BOTH",
        "CASE",
        "CAST",
        "CHECK",
        "COLLATE",
        "COLUMN",
        "CREATE",
        "DEFAULT",
        "DESC",
        "DISTINCT",
        "DO",
        "ELSE",
        "END",
        "EXCEPT",
        "FALSE",
        "FETCH",
        "FOR",
        "FROM",
        "GRANT",
        "GROUP",
        "HAVING",
        "IN",
        "INTERSECT",
        "INTO",
        "LATERAL",
        "LIMIT",
        "NOT",
        "NULL",
        "OFFSET",
        "ON",
        "ONLY",
        "OR",
        "ORDER",
        "SELECT",
        "SOME",
        "TABLE",
        "THEN",
        "TO",
        "TRUE",
        "UNION",
        "UNIQUE",
        "USER",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WINDOW",
        "WITH",
        "BETWEEN",
        "BIGINT",
        "BIT",
        "BOOLEAN",
        "CHAR",
        "CHARACTER",
        "COALESCE",
        "DEC",
        "DECIMAL",
        "EXISTS",
        "EXTRACT",
        "FLOAT",
        "GREATEST",
        "GROUPING",
        "INOUT",
        "INT",
        "INTEGER",
        "INTERVAL",
        "LEAST",
        "NATIONAL",
        "NCHAR",
        "NONE",
        "NORMALIZE",
        "NULLIF",
        "NUMERIC",
        "OUT",
        "OVERLAY",
        "POSITION",
        "PRECISION",
        "REAL",
        "ROW",
        "SETOF",
        "SMALLINT",
        "SUBSTRING",
        "TIME",
        "TIMESTAMP",
        "TREAT",
        "TRIM",
        "VARCHAR",
        "XMLTABLE",
    ];
    reserved.contains(&upper.as_str())
}

fn literal(of: &str) -> String {
    let quoted = of.replace('\'', "''");
    if of.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// `format(pattern, arguments …)`; NULL only where the pattern is.
fn format(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let args = args.iter().map(|arg| cast(arg, &DataType::Utf8)).collect::<Result<Vec<_>, _>>()?;
    let args: Vec<&StringArray> = args.iter().map(text).collect();
    let Some((patterns, values)) = args.split_first() else {
        return Err(raised("42883", "format() takes a pattern"));
    };
    let mut out = StringBuilder::new();
    let mut bytes = 0;
    for row in 0..patterns.len() {
        if patterns.is_null(row) {
            out.append_null();
            continue;
        }
        let value = |i: usize| match values.get(i) {
            Some(values) => Ok((!values.is_null(row)).then(|| values.value(row))),
            None => Err(raised("22023", "too few arguments for format()")),
        };
        let text = formatted(patterns.value(row), value)?;
        bytes += text.len();
        if bytes > MAX_BYTES {
            return Err(too_long());
        }
        out.append_value(text);
    }
    Ok(Arc::new(out.finish()))
}

/// `%[position$][flags][width]type`, where the type is `s`, `I` or `L`.
fn formatted<'a>(pattern: &str, value: impl Fn(usize) -> Result<Option<&'a str>>) -> Result<String> {
    let unterminated = || raised("22023", "unterminated format() type specifier");
    let mut out = String::with_capacity(pattern.len() + 16);
    let (mut rest, mut next) = (pattern, 0);
    while let Some(at) = rest.find('%') {
        if out.len() > MAX_BYTES {
            return Err(too_long());
        }
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (position, after) = number(rest)?;
        let mut position = match (position, after.strip_prefix('$')) {
            (Some(0), Some(_)) => {
                return Err(raised("22023", "format specifies argument 0, but arguments are numbered from 1"));
            }
            (Some(position), Some(after)) => {
                rest = after;
                Some(position - 1)
            }
            _ => None,
        };
        let mut left = false;
        while let Some(after) = rest.strip_prefix('-') {
            (left, rest) = (true, after);
        }
        let (mut width, after) = number(rest)?;
        rest = after;
        if width.is_none()
            && let Some(after) = rest.strip_prefix('*')
        {
            let (of, after_position) = number(after)?;
            let index = match (of, after_position.strip_prefix('$')) {
                (Some(of @ 1..), Some(after)) => {
                    rest = after;
                    of - 1
                }
                _ => {
                    rest = after;
                    next += 1;
                    next - 1
                }
            };
            let said: i64 = value(index)?
                .map_or(Ok(0), str::parse)
                .map_err(|_| raised("22P02", "the width of a field of format() is a whole number"))?;
            left = left || said < 0;
            width = Some(said.unsigned_abs() as usize);
        }
        let mut chars = rest.chars();
        let kind = chars.next().ok_or_else(unterminated)?;
        rest = chars.as_str();
        let index = position.take().unwrap_or(next);
        let field = match (kind, value(index)?) {
            ('s', of) => of.unwrap_or_default().to_string(),
            ('I', Some(of)) => ident(of),
            ('I', None) => return Err(raised("22004", "null values cannot be formatted as an SQL identifier")),
            ('L', of) => of.map_or_else(|| "NULL".to_string(), literal),
            (other, _) => {
                return Err(raised("22023", format!("unrecognized format() type specifier \"{other}\"")));
            }
        };
        next = index + 1;
        let width = width.unwrap_or_default();
        if width > MAX_WIDTH {
            return Err(raised("54000", format!("a field of format() is at most {MAX_WIDTH} wide")));
        }
        let room = width.saturating_sub(field.chars().count());
        let space = " ".repeat(room);
        out.push_str(&if left { field + &space } else { space + &field });
    }
    out.push_str(rest);
    Ok(out)
}

fn too_long() -> DataFusionError {
    raised("54000", format!("format() makes more than {} MiB of a batch of rows", MAX_BYTES >> 20))
}

/// Digits at the beginning.
fn number(text: &str) -> Result<(Option<usize>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits.parse::<i32>() {
        Ok(number) => Ok((usize::try_from(number).ok(), rest)),
        Err(_) if digits.is_empty() => Ok((None, rest)),
        Err(_) => Err(raised("22003", "number is out of range")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let values = [Some("a"), Some("B c"), None, Some("5")];
        let of = |pattern: &str| {
            formatted(pattern, |i| {
                values.get(i).copied().ok_or_else(|| raised("22023", "too few arguments for format()"))
            })
            .map_err(|error| error.to_string())
        };
        let check = |pattern: &str, expected: &str| assert_eq!(of(pattern).unwrap(), expected, "{pattern}");
        check("100%%", "100%");
        check("%s-%s", "a-B c");
        check("%2$s %1$s %s", "B c a B c");
        check("%I %2$L %3$L %3$s.", "a 'B c' NULL .");
        check("[%5s][%-5s]", "[    a][B c  ]");
        check("%4$s[%1$*4$s]", "5[    a]");
        for (pattern, error) in [
            ("%s%s%s%s%s", "too few arguments"),
            ("%", "unterminated"),
            ("%x", "unrecognized"),
            ("%3$I", "null values"),
            ("%0$s", "numbered from 1"),
            ("%2000000s", "at most"),
            ("%99999999999s", "number is out of range"),
            ("%1$1000000s".repeat(1 << 10).as_str(), "MiB of a batch"),
        ] {
            assert!(of(pattern).unwrap_err().contains(error), "{pattern}");
        }
    }

    #[test]
    fn parts_of_sql() {
        assert_eq!(ident("abc_1"), "abc_1");
        assert_eq!(ident("Abc"), "\"Abc\"");
        assert_eq!(ident("select"), "\"select\"");
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }
}
