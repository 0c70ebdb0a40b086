//! Values of attributes as the text of a label: texts as they are, numbers as JSON writes them, bytes in base64, lists
//! and maps as JSON. The forms are those of the collector's `pcommon.Value.AsString`, with which Prometheus makes labels.

use std::fmt::Write;

use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::float;

/// Values within values; more than any sender has, and little enough for the stack.
const MAX_DEPTH: usize = 64;

/// Key and value of a `KeyValue` message.
pub fn attribute(message: &[u8]) -> Result<(&str, Any<'_>), Malformed> {
    let (mut key, mut value) = ("", Any::Empty);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(bytes)) => key = text(bytes)?,
            (2, Value::Bytes(bytes)) => value = any(bytes)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// An `AnyValue`; of lists and maps the messages, which are looked into when they are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Any<'a> {
    Empty,
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

fn any(message: &[u8]) -> Result<Any<'_>, Malformed> {
    let mut found = Any::Empty;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        found = match field {
            (1, Value::Bytes(bytes)) => Any::Text(text(bytes)?),
            (2, number) => Any::Bool(number.int64() != 0),
            (3, number) => Any::Int(number.int64()),
            (4, number) => Any::Double(number.double()),
            (5, Value::Bytes(bytes)) => Any::List(bytes),
            (6, Value::Bytes(bytes)) => Any::Map(bytes),
            (7, Value::Bytes(bytes)) => Any::Bytes(bytes),
            _ => continue,
        };
    }
    Ok(found)
}

impl Any<'_> {
    /// Appends the text.
    pub fn write(self, out: &mut String) -> Result<(), Malformed> {
        match self {
            Any::Empty => {}
            Any::Text(text) => out.push_str(text),
            Any::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Any::Int(value) => append(out, value),
            // Not the text of a number, but what senders of such values are used to find.
            Any::Double(value) if !value.is_finite() => {
                out.push_str("json: unsupported value: ");
                float::write_general(out, value);
            }
            Any::Double(value) => write_double(out, value),
            Any::Bytes(bytes) => write_base64(out, bytes),
            Any::List(_) | Any::Map(_) => {
                let start = out.len();
                // JSON has no infinity, and what has one within is no JSON: then there is no text at all.
                if !self.write_json(out, MAX_DEPTH)? {
                    out.truncate(start);
                }
            }
        }
        Ok(())
    }

    /// `false` where something has no JSON form.
    fn write_json(self, out: &mut String, depth: usize) -> Result<bool, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        match self {
            Any::Empty => out.push_str("null"),
            Any::Text(text) => write_json_text(out, text),
            Any::Double(value) if !value.is_finite() => return Ok(false),
            Any::Bytes(bytes) => {
                out.push('"');
                write_base64(out, bytes);
                out.push('"');
            }
            Any::List(message) => return write_list(out, message, depth),
            Any::Map(message) => return write_map(out, message, depth),
            Any::Bool(_) | Any::Int(_) | Any::Double(_) => self.write(out)?,
        }
        Ok(true)
    }
}

fn write_list(out: &mut String, message: &[u8], depth: usize) -> Result<bool, Malformed> {
    out.push('[');
    let (mut reader, mut first) = (Reader::new(message), true);
    while let Some((number, value)) = reader.field()? {
        let (1, Value::Bytes(item)) = (number, value) else { continue };
        if !std::mem::replace(&mut first, false) {
            out.push(',');
        }
        if !any(item)?.write_json(out, depth)? {
            return Ok(false);
        }
    }
    out.push(']');
    Ok(true)
}

/// Keys are sorted, and of one that is there twice the last counts.
fn write_map(out: &mut String, message: &[u8], depth: usize) -> Result<bool, Malformed> {
    let mut entries = std::collections::BTreeMap::new();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        if let (1, Value::Bytes(entry)) = (number, value) {
            let (key, value) = attribute(entry)?;
            entries.insert(key, value);
        }
    }
    out.push('{');
    for (position, (key, value)) in entries.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_json_text(out, key);
        out.push(':');
        if !value.write_json(out, depth)? {
            return Ok(false);
        }
    }
    out.push('}');
    Ok(true)
}

/// As JavaScript writes numbers: the exponent of small ones has no zero in front.
fn write_double(out: &mut String, value: f64) {
    let start = out.len();
    float::write_json(out, value);
    if let Some(at) = out[start..].find("e-0") {
        out.remove(start + at + 2);
    }
}

/// With the escapes of Go's `encoding/json`, which also hides what would be markup in a page.
fn write_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_base64(out: &mut String, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= chunk.len() { letter } else { '=' });
        }
    }
}

fn append(out: &mut String, number: i64) {
    let mut buffer = itoa::Buffer::new();
    out.push_str(buffer.format(number));
}

/// Names and values of labels are text.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::otlp::json::to_protobuf;

    /// The text of a value that is given in OTLP's JSON.
    fn text_of(value: &str) -> Result<String, Malformed> {
        let request =
            format!(r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"k","value":{value}}}]}}}}]}}"#);
        let bytes = to_protobuf(request.as_bytes()).unwrap();
        let first = |bytes: &[u8]| match Reader::new(bytes).field().unwrap() {
            Some((1, Value::Bytes(inner))) => inner.to_vec(),
            other => panic!("{other:?}"),
        };
        let attribute_bytes = first(&first(&first(&bytes)));
        let mut out = String::new();
        attribute(&attribute_bytes)?.1.write(&mut out)?;
        Ok(out)
    }

    #[test]
    fn texts() {
        let check = |value: &str, expected: &str| assert_eq!(text_of(value).unwrap(), expected, "{value}");
        check(r#"{"stringValue":"a \" b"}"#, "a \" b");
        check(r#"{}"#, "");
        check(r#"{"boolValue":true}"#, "true");
        check(r#"{"intValue":"-9223372036854775808"}"#, "-9223372036854775808");
        check(r#"{"intValue":5}"#, "5");
        check(r#"{"doubleValue":1.5}"#, "1.5");
        check(r#"{"doubleValue":3}"#, "3");
        check(r#"{"doubleValue":1e21}"#, "1e+21");
        check(r#"{"doubleValue":0.00000015}"#, "1.5e-7");
        check(r#"{"doubleValue":1e-10}"#, "1e-10");
        check(r#"{"doubleValue":"NaN"}"#, "json: unsupported value: NaN");
        check(r#"{"bytesValue":"aGVsbG8="}"#, "aGVsbG8=");
        check(r#"{"bytesValue":"aGVsbA=="}"#, "aGVsbA==");
        check(
            r#"{"arrayValue":{"values":[{"intValue":1},{"stringValue":"<a>"},{}]}}"#,
            r#"[1,"\u003ca\u003e",null]"#,
        );
        check(r#"{"arrayValue":{}}"#, "[]");
        check(r#"{"arrayValue":{"values":[{"doubleValue":"Infinity"}]}}"#, "");
        let map = r#"{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":false}},{"key":"a","value":{"stringValue":"x"}},
            {"key":"c","value":{"kvlistValue":{"values":[{"key":"d","value":{"doubleValue":0.5}}]}}}]}}"#;
        check(map, r#"{"a":"x","b":false,"c":{"d":0.5}}"#);
    }

    #[test]
    fn values_within_values_end_somewhere() {
        let nested = |depth: usize| {
            let mut value = vec![0x10, 1];
            for _ in 0..depth {
                let list = wrap(1, &value);
                value = wrap(5, &list);
            }
            value
        };
        fn wrap(number: u8, inner: &[u8]) -> Vec<u8> {
            let mut out = vec![number << 3 | 2];
            let mut len = inner.len();
            while len >= 0x80 {
                out.push(len as u8 | 0x80);
                len >>= 7;
            }
            out.push(len as u8);
            out.extend_from_slice(inner);
            out
        }
        let write = |bytes: &[u8]| any(bytes).and_then(|value| value.write(&mut String::new()));
        assert_eq!(write(&nested(MAX_DEPTH - 1)), Ok(()));
        assert_eq!(write(&nested(MAX_DEPTH)), Err(Malformed));
        assert_eq!(write(&nested(100_000)), Err(Malformed));
    }
}
