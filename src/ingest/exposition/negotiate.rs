//! `Accept` and `Content-Type`. Since version 3 Prometheus does not guess a format, nor does this.

use crate::config::protocol::{Escaping, ScrapeProtocol};
use crate::ingest::exposition::event::Format;

/// Prometheus begins at one tenth more than it knows protocols.
const FIRST_WEIGHT: usize = ScrapeProtocol::ALL.len() + 1;

/// The header that asks for the protocols in their order, and for names in an escaping where a protocol has that.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let mut out = String::new();
    let mut weight = FIRST_WEIGHT;
    for protocol in protocols {
        out.push_str(protocol.media_type());
        if protocol.negotiates_escaping() {
            out.push_str(";escaping=");
            out.push_str(escaping.as_str());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

/// The format of a response. Falls back where the job says to what, else fails.
pub fn response_format(content_type: Option<&str>, fallback: Option<ScrapeProtocol>) -> Result<Format, String> {
    let content_type = content_type.unwrap_or_default();
    let why = if content_type.is_empty() {
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
            .to_string()
    } else {
        match media_type(content_type).as_deref() {
            Ok("text/plain") => return Ok(Format::Text),
            Ok("application/openmetrics-text") => return Ok(Format::OpenMetrics),
            Ok("application/vnd.google.protobuf") => return Ok(Format::Protobuf),
            Ok(_) => format!(
                "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target"
            ),
            Err(why) => format!(
                "cannot parse Content-Type {content_type:?} and no fallback_scrape_protocol for target: {why}"
            ),
        }
    };
    fallback.map(format_of).ok_or(why)
}

fn format_of(protocol: ScrapeProtocol) -> Format {
    match protocol {
        ScrapeProtocol::PrometheusProto => Format::Protobuf,
        ScrapeProtocol::OpenMetricsText1_0_0 | ScrapeProtocol::OpenMetricsText0_0_1 => Format::OpenMetrics,
        ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::PrometheusText0_0_4 => Format::Text,
    }
}

/// Type and subtype in small letters of a header that is right as a whole (RFC 1521, as Go's `mime` has it).
fn media_type(header: &str) -> Result<String, &'static str> {
    let (kind, parameters) = header.split_once(';').unwrap_or((header, ""));
    let kind = kind.trim();
    let mut parts = kind.splitn(2, '/');
    let is_right = match (parts.next(), parts.next()) {
        (Some(kind), None) => is_token(kind),
        (Some(kind), Some(subtype)) => is_token(kind) && is_token(subtype),
        (None, _) => false,
    };
    if !is_right {
        return Err("invalid media type");
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut rest = parameters.trim_start();
    while !rest.is_empty() {
        let (name, value, behind) = parameter(rest).ok_or("invalid media parameter")?;
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, other)) if *other != value => return Err("duplicate parameter name"),
            Some(_) => {}
            None => seen.push((name, value)),
        }
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(';') {
            Some(next) => next.trim_start(),
            None if behind.is_empty() => "",
            None => return Err("invalid media parameter"),
        };
    }
    Ok(kind.to_ascii_lowercase())
}

/// `name=value` at the start, and what follows.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = text.split_at(token_len(text));
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = rest.split_at(token_len(rest));
        return (!value.is_empty()).then(|| (name, value.to_string(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\r' | '\n' => return None,
            c => value.push(c),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && token_len(text) == text.len()
}

fn token_len(text: &str) -> usize {
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte);
    text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len())
}
