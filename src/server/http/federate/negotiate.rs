//! What a client accepts, as `expfmt.Negotiate` reads it: the first format that is known, by weight and how exact it is;
//! text where there is none.

use crate::server::http::federate::escape::Escaping;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Protobuf,
}

impl Format {
    pub fn content_type(self, escaping: Escaping) -> String {
        let format = match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        format!("{format}; escaping={}", escaping.as_str())
    }
}

/// A part of the header.
struct Accept<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: f32,
    params: &'a str,
}

impl<'a> Accept<'a> {
    fn parse(part: &'a str) -> Option<Self> {
        let (media_type, params) = part.split_once(';').unwrap_or((part, ""));
        let (kind, subtype) = match media_type.split_once('/') {
            Some((kind, subtype)) if !subtype.contains('/') => (kind.trim(), subtype.trim()),
            None if media_type.trim() == "*" => ("*", "*"),
            _ => return None,
        };
        let mut accept = Self { kind, subtype, weight: 1.0, params };
        if let Some(weight) = accept.param("q") {
            accept.weight = weight.parse().unwrap_or(0.0);
        }
        Some(accept)
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        let params = self.params.split(';').filter_map(|param| param.split_once('='));
        // Of one that is given twice the last counts.
        params.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next_back()
    }

    fn format(&self) -> Option<Format> {
        match (self.kind, self.subtype) {
            ("application", "vnd.google.protobuf") => {
                let family = self.param("proto") == Some("io.prometheus.client.MetricFamily");
                (family && self.param("encoding") == Some("delimited")).then_some(Format::Protobuf)
            }
            ("text", "plain") => matches!(self.param("version"), None | Some("" | "0.0.4")).then_some(Format::Text),
            _ => None,
        }
    }

    /// Lower comes first.
    fn rank(&self) -> (bool, bool) {
        (self.kind == "*", self.subtype == "*")
    }
}

/// The format and the escaping; what names an escaping and no known format sets it all the same.
pub fn negotiate(accept: &str) -> (Format, Escaping) {
    let mut parts: Vec<Accept<'_>> = accept.split(',').filter_map(Accept::parse).collect();
    parts.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.rank().cmp(&b.rank())));
    let mut escaping = Escaping::Underscores;
    for part in &parts {
        if let Some(asked) = part.param("escaping").and_then(Escaping::parse) {
            escaping = asked;
        }
        if let Some(format) = part.format() {
            return (format, escaping);
        }
    }
    (Format::Text, escaping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        let check = |accept: &str, format: Format, escaping: Escaping| {
            assert_eq!(negotiate(accept), (format, escaping), "{accept}");
        };
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        const PROTOBUF: &str =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        check("", Format::Text, Underscores);
        check("*/*", Format::Text, Underscores);
        check("text/html", Format::Text, Underscores);
        check("text/plain;version=0.0.4;escaping=allow-utf-8", Format::Text, AllowUtf8);
        check("text/plain; version=1.0.0; escaping=dots, */*", Format::Text, Dots);
        check("application/openmetrics-text;version=1.0.0;escaping=values", Format::Text, Values);
        check("text/plain;escaping=rot13", Format::Text, Underscores);
        check(PROTOBUF, Format::Protobuf, Underscores);
        check(&format!("text/plain;q=0.5,{PROTOBUF};q=0.6;escaping=allow-utf-8"), Format::Protobuf, AllowUtf8);
        check(&format!("text/plain;q=0.6,{PROTOBUF};q=0.5"), Format::Text, Underscores);
        check(&PROTOBUF.replace("delimited", "text"), Format::Text, Underscores);
        check(&PROTOBUF.replace("MetricFamily", "Metric"), Format::Text, Underscores);
        check("text, /, a/b/c, ;", Format::Text, Underscores);
    }
}
