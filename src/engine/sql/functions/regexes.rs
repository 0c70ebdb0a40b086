//! Regular expressions as PostgreSQL's functions have them: all matches of a text, what is between them, and one of them.
//! Patterns are those of the crate `regex`, as of `~`, whose classes and groups are written alike; it has no references
//! back and looks at nothing around a match.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use regex::{Regex, RegexBuilder};

use super::plain::{Row, of_text, text, texts};
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::patterns::{backslashed, escape_of};
use crate::engine::sql::state::raised;

/// What a call makes of a batch of rows at most.
const MAX_BYTES: usize = 32 << 20;
/// Of a compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

pub static ROWS: [Row; 5] = [
    // A pattern of LIKE with another escape.
    Row::new("like_escape", |types| texts(types, 2..=2), of_text, |args, _| escaped(args)),
    Row::new("regexp_matches", |types| texts(types, 2..=3), |_| list_of(list()), matches),
    Row::new("regexp_split_to_array", |types| texts(types, 2..=3), |_| list(), split),
    Row::new(
        "regexp_substr",
        |types| texts(types, 2..=2),
        of_text,
        |args, _| found(args, |captures| captures.get(0).map(|all| all.as_str())),
    ),
    // What `substring(text FROM pattern)` is: the first group, if there is one.
    Row::new(
        "regexp_substring",
        |types| texts(types, 2..=2),
        of_text,
        |args, _| found(args, |captures| captures.get(usize::from(captures.len() > 1)).map(|of| of.as_str())),
    ),
];

fn list_of(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

fn list() -> DataType {
    list_of(DataType::Utf8)
}

fn escaped(args: &[ArrayRef]) -> Result<ArrayRef> {
    let pairs = text(&args[0]).iter().zip(text(&args[1]).iter());
    let made = pairs.map(|pair| match pair {
        (Some(pattern), Some(escape)) => Ok(Some(backslashed(pattern, escape_of(escape)?))),
        _ => Ok(None),
    });
    Ok(Arc::new(made.collect::<Result<StringArray>>()?))
}

/// The pattern of the row before is often that of the next.
#[derive(Default)]
struct Patterns {
    last: Option<(String, String, Regex)>,
}

impl Patterns {
    fn get(&mut self, pattern: &str, flags: &str) -> Result<&Regex> {
        let is_last = matches!(&self.last, Some((known, with, _)) if known == pattern && with == flags);
        if !is_last {
            let compiled = compiled(pattern, flags)?;
            self.last = Some((pattern.to_string(), flags.to_string(), compiled));
        }
        Ok(&self.last.as_ref().expect("it was made").2)
    }
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    // A point is any character to PostgreSQL, and `^` only the beginning.
    builder.size_limit(MAX_PATTERN_BYTES).dot_matches_new_line(true);
    for flag in flags.chars() {
        match flag {
            'g' => {}
            'i' => _ = builder.case_insensitive(true),
            'c' => _ = builder.case_insensitive(false),
            'n' | 'm' => _ = builder.multi_line(true).dot_matches_new_line(false),
            'p' => _ = builder.dot_matches_new_line(false),
            'w' => _ = builder.multi_line(true),
            's' => _ = builder.multi_line(false).dot_matches_new_line(true),
            'x' => _ = builder.ignore_whitespace(true),
            't' => _ = builder.ignore_whitespace(false),
            other => {
                return Err(raised("22023", format!("invalid regular expression option: \"{other}\"")));
            }
        }
    }
    builder.build().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
        raised("2201B", format!("invalid regular expression: {reason}"))
    })
}

fn too_much() -> datafusion::error::DataFusionError {
    raised("54000", format!("matches of a batch of rows have more than {} MiB", MAX_BYTES >> 20))
}

/// A text, a pattern and flags of each row.
fn rows(args: &[ArrayRef]) -> impl Iterator<Item = Option<(&str, &str, &str)>> {
    let columns: Vec<&StringArray> = args.iter().map(text).collect();
    (0..args.first().map_or(0, |array| array.len())).map(move |row| {
        let value = |i: usize| match columns.get(i) {
            Some(column) => (!column.is_null(row)).then(|| column.value(row)),
            None => Some(""),
        };
        Some((value(0)?, value(1)?, value(2)?))
    })
}

/// Groups of the first match, or with `g` of all, a row of an array each.
fn matches(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let (mut patterns, mut bytes) = (Patterns::default(), 0);
    let mut out = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for row in rows(args) {
        let Some((of, pattern, flags)) = row else {
            out.append_null();
            continue;
        };
        let regex = patterns.get(pattern, flags)?;
        let most = if flags.contains('g') { usize::MAX } else { 1 };
        for captures in regex.captures_iter(of).take(most) {
            let first = usize::from(captures.len() > 1);
            for group in captures.iter().skip(first) {
                bytes += 16 + group.map_or(0, |group| group.len());
                out.values().values().append_option(group.map(|group| group.as_str()));
            }
            out.values().append(true);
            if bytes > MAX_BYTES {
                return Err(too_much());
            }
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// What is between the matches; one of nothing divides characters, but not before the first and behind the last.
fn split(args: &[ArrayRef], _: Now) -> Result<ArrayRef> {
    let (mut patterns, mut bytes) = (Patterns::default(), 0);
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in rows(args) {
        let Some((of, pattern, flags)) = row else {
            out.append_null();
            continue;
        };
        if flags.contains('g') {
            return Err(raised("22023", "regexp_split_to_array() does not support the \"global\" option"));
        }
        let mut from = 0;
        for found in patterns.get(pattern, flags)?.find_iter(of) {
            let is_outside = found.is_empty() && (found.end() == 0 || found.start() == of.len());
            if is_outside || (found.is_empty() && found.start() == from) {
                continue;
            }
            bytes += 16 + found.start() - from;
            out.values().append_value(&of[from..found.start()]);
            from = found.end();
            if bytes > MAX_BYTES {
                return Err(too_much());
            }
        }
        out.values().append_value(&of[from..]);
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn found(args: &[ArrayRef], part: impl for<'a> Fn(&regex::Captures<'a>) -> Option<&'a str>) -> Result<ArrayRef> {
    let mut patterns = Patterns::default();
    let found = rows(args).map(|row| {
        let Some((of, pattern, flags)) = row else { return Ok(None) };
        let captures = patterns.get(pattern, flags)?.captures(of);
        Ok(captures.and_then(|captures| part(&captures).map(str::to_string)))
    });
    Ok(Arc::new(found.collect::<Result<StringArray>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::zone::Zone;
    use arrow::util::display::array_value_to_string;
    use chrono_tz::Tz;

    fn of(function: &str, args: &[&str]) -> String {
        let row = ROWS.iter().find(|row| row.name == function).unwrap();
        let args: Vec<ArrayRef> =
            args.iter().map(|text| Arc::new(StringArray::from(vec![*text])) as ArrayRef).collect();
        match (row.compute)(&args, Now { zone: Zone::Named(Tz::UTC), micros: 0 }) {
            Ok(made) => array_value_to_string(&made, 0).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn functions() {
        assert_eq!(of("regexp_matches", &["foobarbequebaz", "(b[^b]+)(b[^b]+)", "g"]), "[[bar, beque]]");
        assert_eq!(of("regexp_matches", &["a1b2", "\\d", "g"]), "[[1], [2]]");
        assert_eq!(of("regexp_matches", &["a1b2", "\\d"]), "[[1]]");
        assert_eq!(of("regexp_matches", &["ab", "\\d"]), "[]");
        assert_eq!(of("regexp_split_to_array", &["a1b22c", "\\d+"]), "[a, b, c]");
        assert_eq!(of("regexp_split_to_array", &["abc", ""]), "[a, b, c]");
        assert_eq!(of("regexp_split_to_array", &["1a1", "1"]), "[, a, ]");
        assert_eq!(of("regexp_substr", &["foobar", "o+"]), "oo");
        assert_eq!(of("regexp_substring", &["foo123", "o(\\d)"]), "1");
        assert_eq!(of("regexp_matches", &["AB", "b", "i"]), "[[B]]");
        assert!(of("regexp_matches", &["a", "b", "q"]).contains("invalid regular expression option: \"q\""));
        assert!(of("regexp_matches", &["a", "("]).contains("invalid regular expression"));
    }
}
