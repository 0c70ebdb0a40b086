//! A tree as text, in the form in which Prometheus prints its configuration: what another parser of YAML 1.1 would read as
//! something else stands in double quotes, a text of several lines is a block, long texts go on in the next line.
//! libyaml does the writing, as it does in Prometheus, whose library (`yaml.v2`) only chooses the style of a scalar.

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use serde_yaml::{Number, Value};

use crate::config::yaml::Scalar;
use crate::model::float::format_general;

/// The tag of a list that stands in one line.
pub const IN_ONE_LINE: &str = "flow";

/// The text of a tree of texts, numbers, booleans, lists and mappings.
pub fn print(value: &Value) -> String {
    let mut out = Vec::new();
    let mut events = vec![Event::stream_start(Encoding::Utf8), Event::document_start(None, &[], true)];
    add(value, &mut events);
    events.extend([Event::document_end(true), Event::stream_end()]);
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut out);
    emitter.set_unicode(true);
    for event in events {
        emitter.emit(event).expect("a tree is written whole, into memory");
    }
    emitter.flush().expect("memory takes all");
    drop(emitter);
    String::from_utf8(out).expect("it was told to write UTF-8")
}

fn add(value: &Value, events: &mut Vec<Event>) {
    match value {
        Value::Null => events.push(plain("null")),
        Value::Bool(value) => events.push(plain(&value.to_string())),
        Value::Number(number) => events.push(plain(&number_text(number))),
        Value::String(text) => events.push(scalar(text, style(text))),
        Value::Sequence(items) => list(items, SequenceStyle::Block, events),
        Value::Mapping(entries) => {
            events.push(Event::mapping_start(None, None, true, MappingStyle::Block));
            for (key, value) in entries {
                add(key, events);
                add(value, events);
            }
            events.push(Event::mapping_end());
        }
        Value::Tagged(tagged) => match &tagged.value {
            Value::Sequence(items) if tagged.tag == IN_ONE_LINE => list(items, SequenceStyle::Flow, events),
            value => add(value, events),
        },
    }
}

fn list(items: &[Value], style: SequenceStyle, events: &mut Vec<Event>) {
    events.push(Event::sequence_start(None, None, true, style));
    items.iter().for_each(|item| add(item, events));
    events.push(Event::sequence_end());
}

fn scalar(text: &str, style: ScalarStyle) -> Event {
    Event::scalar(None, None, text, true, true, style)
}

fn plain(text: &str) -> Event {
    scalar(text, ScalarStyle::Plain)
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => match float {
            f64::INFINITY => ".inf".to_string(),
            f64::NEG_INFINITY => "-.inf".to_string(),
            float if float.is_nan() => ".nan".to_string(),
            float => format_general(float),
        },
        _ => number.to_string(),
    }
}

fn style(text: &str) -> ScalarStyle {
    match text {
        text if text.contains('\n') => ScalarStyle::Literal,
        text if is_something_else(text) => ScalarStyle::DoubleQuoted,
        _ => ScalarStyle::Plain,
    }
}

/// Whether a text without quotes would be read as a number, a boolean, a time, nothing, or a merge key.
fn is_something_else(text: &str) -> bool {
    let scalar = Scalar { text: text.to_string(), plain: true };
    matches!(text, "" | "~" | "null" | "Null" | "NULL" | "<<")
        || scalar.bool().is_some()
        || scalar.float().is_some()
        || is_sexagesimal(text)
        || is_time(text)
}

/// A number of YAML 1.1 to the base of 60, as `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = match text.split_once('.') {
        Some((_, fraction)) if fraction.bytes().any(|b| !b.is_ascii_digit() && b != b'_') => return false,
        Some((whole, _)) => whole,
        None => text,
    };
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or("");
    let is_first =
        first.starts_with(|c: char| c.is_ascii_digit()) && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let is_next = |part: &str| match part.as_bytes() {
        [b] => b.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let rest: Vec<&str> = parts.collect();
    is_first && !rest.is_empty() && rest.into_iter().all(is_next)
}

/// A day, or a day and a time, of YAML 1.1; parts may have one digit.
fn is_time(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return false;
    }
    let formats = [
        "%Y-%m-%dT%H:%M:%S%.f%:z",
        "%Y-%m-%dt%H:%M:%S%.f%:z",
        "%Y-%m-%dT%H:%M:%S%.fZ",
        "%Y-%m-%dt%H:%M:%S%.fZ",
        "%Y-%m-%d %H:%M:%S%.f",
    ];
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
        || formats.iter().any(|format| chrono::NaiveDateTime::parse_from_str(text, format).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_yaml::value::{Tag, TaggedValue};

    use super::*;

    /// What a text of a list is printed as.
    fn printed(text: &str) -> String {
        let list = print(&Value::Sequence(vec![text.into()]));
        list.strip_prefix("- ").and_then(|line| line.strip_suffix('\n')).unwrap().to_string()
    }

    #[test]
    fn texts_that_would_be_something_else() {
        for text in [
            "",
            "~",
            "null",
            "y",
            "N",
            "yes",
            "On",
            "off",
            "true",
            "1",
            "-1",
            "0x1F",
            "017",
            "1_000",
            "1.5",
            ".5",
            "1e3",
            ".inf",
            "-.INF",
            ".nan",
            "<<",
            "1:30",
            "10:59:59.5",
            "2024-01-02",
            "2024-1-2",
            "2024-01-02T03:04:05Z",
            "2024-01-02 03:04:05.5",
            "2024-01-02T03:04:05+02:00",
        ] {
            assert_eq!(printed(text), format!("{text:?}"));
        }
    }

    #[test]
    fn texts_that_stay_plain() {
        for text in [
            "15s",
            "up",
            "yEs",
            "1:60",
            "1h30m",
            "a b",
            "(.*);(.+)",
            "http://a:1/b",
            "10.0.0.1:9090",
            "1.2.3",
            "größe",
            "$1:2",
            "2024-01",
            "2024-13-01",
        ] {
            assert_eq!(printed(text), text);
        }
    }

    #[test]
    fn texts_that_would_be_marks() {
        for text in ["{{a}}", "[a]", "*", "- a", "a: b", "a #b", "@a", "`a", "!a", "&a", " a", "a "] {
            assert_eq!(printed(text), format!("'{text}'"));
        }
        assert_eq!(printed("it's: so"), "'it''s: so'");
        assert_eq!(printed("a\tb: \u{7}"), r#""a\tb: \a""#);
    }

    #[test]
    fn trees() {
        let text = "a:\n- b: 1\n  y: |\n    two\n    lines\n  z: true\n- []\n- {}\n- null\n\"on\":\n  c: 1.5\n";
        let value: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(print(&value), text.replace("  y:", "  \"y\":"));
        let floats = [f64::INFINITY, f64::NAN, 1e300, 0.25].map(Value::from).to_vec();
        assert_eq!(print(&Value::Sequence(floats)), "- .inf\n- .nan\n- 1e+300\n- 0.25\n");
    }

    #[test]
    fn lists_in_one_line() {
        let flow = |items: &[&str]| {
            let value = items.iter().copied().map(Value::from).collect();
            Value::Tagged(Box::new(TaggedValue { tag: Tag::new(IN_ONE_LINE), value: Value::Sequence(value) }))
        };
        let tree = Value::Sequence(vec![flow(&["a", "y", "b,c", "-"])]);
        assert_eq!(print(&tree), "- [a, \"y\", 'b,c', '-']\n");
    }

    #[test]
    fn long_texts() {
        let words = "word ".repeat(40);
        let printed = print(&Value::Sequence(vec![words.trim().into()]));
        assert!(printed.lines().count() > 2 && printed.lines().all(|line| line.len() < 90), "{printed}");
        let read: Vec<String> = serde_yaml::from_str(&printed).unwrap();
        assert_eq!(read, [words.trim()]);
    }
}
