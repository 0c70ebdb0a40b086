//! Configurations that are written by rule: what is right is read, and of what is wrong everything is told, with its line and
//! its key.

use std::collections::HashSet;

use super::{Config, yaml};
use crate::config::yaml::{Node, Value};
use crate::fuzzing::Fuzz;

/// How they are written.
mod written;

#[test]
fn files_are_read_and_all_mistakes_told() {
    let (mut fuzz, mut right, mut wrong) = (Fuzz::new(5_000), 0, HashSet::new());
    while fuzz.goes_on() {
        let (text, planted) = written::file(&mut fuzz.random);
        let told = match Config::parse_with_env(&text, &|_| None) {
            Ok(_) => vec![],
            Err(mistakes) => mistakes.0,
        };
        right += u64::from(planted.is_empty());
        let shown = || told.iter().map(|mistake| format!("{mistake:?}\n")).collect::<String>();
        for mistake in &planted {
            wrong.insert(mistake.kind);
            let is_told = told.iter().any(|found| {
                found.line == Some(mistake.line)
                    && (found.path.ends_with(&mistake.key) || found.message.contains(&mistake.key))
            });
            assert!(is_told, "{mistake:?} is not told of\n{text}\n{}", shown());
        }
        let is_planted = |line: Option<usize>| planted.iter().any(|mistake| Some(mistake.line) == line);
        assert!(told.iter().all(|found| is_planted(found.line)), "{planted:?}\n{text}\n{}", shown());
    }
    assert!(right > fuzz.tried / 10 && wrong.len() == 3, "of {} {right} are right, others {wrong:?}", fuzz.tried);
}

/// What aliases stand for is not more than 16 MiB beyond the text.
#[test]
fn what_names_repeat_is_bounded() {
    let (mut fuzz, mut read) = (Fuzz::new(2_000), 0);
    while fuzz.goes_on() {
        let (text, bytes) = written::repeated(&mut fuzz.random);
        let Ok((node, _)) = yaml::parse(&text) else {
            assert!(bytes > 100_000.0 || text.contains(&"[".repeat(64)), "{text}");
            continue;
        };
        read += 1;
        assert!(size(&node) < text.len() + (16 << 20), "{} bytes of {} of text", size(&node), text.len());
    }
    assert!(read > fuzz.tried / 10, "of {} only {read} could be read", fuzz.tried);
}

fn size(node: &Node) -> usize {
    size_of::<Node>()
        + match &node.value {
            Value::Null => 0,
            Value::Scalar(scalar) => scalar.text.len(),
            Value::List(items) => items.iter().map(size).sum(),
            Value::Map(entries) => entries.iter().map(|(key, item)| key.text.len() + size(item)).sum(),
        }
}
