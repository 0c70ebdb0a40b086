//! Text for HTML, JavaScript and the query part of URLs, as Go's `text/template` escapes it.

use super::super::characters::{characters, is_printable};
use super::super::format;
use super::super::host::{Fault, Host, Outcome, printable};
use super::super::limits::MAX_OUTPUT_BYTES;
use super::super::value::Value;

pub(super) fn html(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let mut out = vec![];
    for byte in printed(host, arguments)? {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(byte),
        }
    }
    host.made(Some(out))
}

pub(super) fn js(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let mut out = vec![];
    for (c, taken) in characters(&printed(host, arguments)?) {
        match c {
            Some('\\') => out.extend_from_slice(br"\\"),
            Some('\'') => out.extend_from_slice(br"\'"),
            Some('"') => out.extend_from_slice(br#"\""#),
            Some(c @ ('<' | '>' | '&' | '=' | '\0'..' ')) => {
                out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes());
            }
            Some(c) if !c.is_ascii() && !is_printable(c) => {
                out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes());
            }
            // What is no character is printable as what stands for it, and stays.
            _ => out.extend_from_slice(taken),
        }
    }
    host.made(Some(out))
}

pub(super) fn urlquery(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let text = printed(host, arguments)?;
    host.made(Some(query_escaped(&text)))
}

/// `url.QueryEscape`
pub(super) fn query_escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// The arguments as an action would print them, with `print`'s spaces.
fn printed(host: &mut Host<'_>, arguments: &[Value]) -> Result<Vec<u8>, Fault> {
    let arguments: Vec<Value> = arguments.iter().map(printable).collect();
    match host.made(format::print(&arguments, MAX_OUTPUT_BYTES))? {
        Value::String(text) => Ok(text.to_vec()),
        _ => Ok(vec![]),
    }
}
