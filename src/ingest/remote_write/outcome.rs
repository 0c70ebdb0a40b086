//! How requests end: what was written, and what the sender is told. Status codes and texts are those of Prometheus'
//! receiver, so that senders do the right thing: a 4xx is dropped, a 5xx is sent again.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::model::float;
use crate::model::labels::{METRIC_NAME, is_legacy_label_name};
use crate::storage::types::{Existing, Rejection};

/// The longest text of an answer, and of one series in it.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Of what is told about one of them.
const MAX_LINE_BYTES: usize = 8 << 10;
const MAX_SERIES_BYTES: usize = 4 << 10;
/// Problems whose text is kept.
const MAX_PROBLEMS: usize = 1_000;

/// Rows of a request that are written, as the headers of 2.0 say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

/// A request that is not answered with 204. What `written` says is durable all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    pub status: u16,
    pub message: String,
    pub written: Written,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WriteError {}

impl WriteError {
    /// With nothing written.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), written: Written::default() }
    }
}

/// What the sender should do: keep trying, unless the data is at fault.
impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            ErrorKind::BadInput | ErrorKind::Unsupported => 400,
            ErrorKind::Limit | ErrorKind::Timeout | ErrorKind::Unavailable => 503,
            _ => 500,
        };
        WriteError::new(status, error.to_string())
    }
}

/// Where in a request something is wrong: its series, the part of the series, the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub series: usize,
    pub part: Part,
    pub row: usize,
}

/// In the order in which Prometheus looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Labels,
    Sample,
    Histogram,
    Exemplar,
}

/// What is wrong with the parts of a request, each with its text. The rest of the request is none the worse.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<(Place, String)>,
    more: usize,
}

impl Problems {
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The text is made only where it is kept.
    pub fn add(&mut self, place: Place, text: impl FnOnce() -> String) {
        if self.found.len() < MAX_PROBLEMS {
            let mut text = text();
            text.truncate(text.floor_char_boundary(MAX_LINE_BYTES));
            self.found.push((place, text));
        } else {
            self.more += 1;
        }
    }

    /// The first of them.
    pub fn first(mut self) -> Option<String> {
        self.found.sort_by_key(|(place, _)| *place);
        self.found.into_iter().next().map(|(_, text)| text)
    }

    /// All of them, a line each; `None` where there are none.
    pub fn all(mut self) -> Option<String> {
        if self.found.is_empty() {
            return None;
        }
        self.found.sort_by_key(|(place, _)| *place);
        let mut text = String::new();
        let mut left = self.found.len() + self.more;
        for (_, line) in &self.found {
            if text.len() + line.len() > MAX_TEXT_BYTES {
                break;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
            left -= 1;
        }
        if left > 0 {
            text.push_str(&format!("\nand {left} more"));
        }
        Some(text)
    }
}

/// Why a sample was refused, in Prometheus' words.
pub fn sample_refused(rejection: Rejection, timestamp: i64, value: f64, existing: Option<Existing>) -> String {
    let duplicate = |existing: &str| {
        let value = float::format_general(value);
        format!(
            "duplicate sample for timestamp {timestamp}; overrides not allowed: existing {existing}, new value {value}"
        )
    };
    match existing {
        Some(Existing::Float(existing)) => duplicate(&float::format_general(existing)),
        Some(Existing::Histogram) => duplicate("is a histogram"),
        None => rejection.as_str().to_string(),
    }
}

/// Why an exemplar was refused.
pub fn exemplar_refused(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::OutOfOrder => "out of order exemplar",
        other => other.as_str(),
    }
}

/// Labels as Prometheus' error texts have them, whatever they are: `{__name__="up", job="a"}`. Bounded.
pub fn series_text(pairs: &[(&[u8], &[u8])]) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.into_iter().enumerate() {
        if out.len() > MAX_SERIES_BYTES {
            out.push_str("...");
            break;
        }
        if i > 0 {
            out.push_str(", ");
        }
        match std::str::from_utf8(name) {
            Ok(name) if name == METRIC_NAME || is_legacy_label_name(name) => out.push_str(name),
            _ => quote(&mut out, name),
        }
        out.push('=');
        quote(&mut out, value);
    }
    out.push('}');
    out
}

/// Go's `strconv.Quote`, cut where a text is long.
fn quote(out: &mut String, bytes: &[u8]) {
    let end = bytes.len().min(MAX_SERIES_BYTES);
    out.push('"');
    for chunk in bytes[..end].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\u{7}' => out.push_str("\\a"),
                '\u{8}' => out.push_str("\\b"),
                '\u{b}' => out.push_str("\\v"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                c if c != ' ' && (c.is_control() || c.is_whitespace()) => {
                    out.push_str(&format!("\\u{:04x}", c as u32));
                }
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push_str(if end < bytes.len() { "\"..." } else { "\"" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_as_go_writes_them() {
        let check = |pairs: &[(&str, &[u8])], want: &str| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
            assert_eq!(series_text(&pairs), want);
        };
        check(&[], "{}");
        check(&[("b", b"2"), ("__name__", b"up")], r#"{__name__="up", b="2"}"#);
        check(&[("a b", b"c\n\""), ("", b"b"), ("x.y", b"")], r#"{""="b", "a b"="c\n\"", "x.y"=""}"#);
        check(&[("__name__", b"\xff\xfe\x01")], r#"{__name__="\xff\xfe\x01"}"#);
        check(&[("l", "é\u{85}\u{a0}".as_bytes())], r#"{l="é\u0085\u00a0"}"#);
        let long = [b'x'; 1 << 20];
        assert!(series_text(&[(b"a".as_slice(), long.as_slice()); 100]).len() < 3 * MAX_SERIES_BYTES);
    }

    #[test]
    fn problems_in_the_order_of_the_request() {
        let place = |series, part, row| Place { series, part, row };
        let mut problems = Problems::default();
        problems.add(place(1, Part::Sample, 0), || "c".into());
        problems.add(place(0, Part::Exemplar, 0), || "b".into());
        problems.add(place(0, Part::Sample, 7), || "a".into());
        assert_eq!(problems.all().as_deref(), Some("a\nb\nc"));
        assert_eq!(Problems::default().all(), None);
        let mut many = Problems::default();
        (0..5_000).for_each(|i| many.add(place(i, Part::Labels, 0), || "x".repeat(100)));
        let text = many.all().unwrap();
        assert!(
            text.len() <= MAX_TEXT_BYTES + 32 && text.ends_with(&format!("and {} more", 5_000 - text.len() / 101))
        );
    }

    #[test]
    fn refusals() {
        let duplicate = Rejection::Duplicate;
        let text = sample_refused(duplicate, 5, 2e6, Some(Existing::Float(f64::INFINITY)));
        assert_eq!(text, "duplicate sample for timestamp 5; overrides not allowed: existing +Inf, new value 2e+06");
        let text = sample_refused(duplicate, 5, 2.0, Some(Existing::Histogram));
        assert_eq!(
            text,
            "duplicate sample for timestamp 5; overrides not allowed: existing is a histogram, new value 2"
        );
        assert_eq!(sample_refused(Rejection::TooOld, 5, 2.0, None), "too old sample");
    }
}
