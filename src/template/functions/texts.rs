//! Texts: their case, regular expressions, names of hosts, links.

use std::net::IpAddr;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use crate::model::re2;

use super::super::characters::{self, to_text};
use super::super::host::{Fault, Host, Outcome, text};
use super::super::limits::{MAX_EXPRESSION_BYTES, MAX_EXPRESSIONS, MAX_OUTPUT_BYTES};
use super::super::quote::{can_backquote, quote};
use super::super::value::Value;
use super::escape::query_escaped;

/// Of a text that is searched for a regular expression, about.
const BYTES_PER_STEP: usize = 256;

/// Groups within each other in an expression as it is compiled; the tree it is printed from has fewer.
const MAX_NESTED_GROUPS: u32 = 1000;

pub(super) fn safe_html(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(Value::Html(text(arguments, 0).into()))
}

pub(super) fn title(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(Some(characters::title(text(arguments, 0))))
}

pub(super) fn to_upper(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(Some(characters::to_upper(text(arguments, 0))))
}

pub(super) fn to_lower(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(Some(characters::to_lower(text(arguments, 0))))
}

pub(super) fn matches(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let subject = to_text(text(arguments, 1));
    host.take_bytes(subject.len())?;
    let expression = expression(host, text(arguments, 0))?;
    Ok(Value::Bool(expression?.is_match(&subject)))
}

/// `reReplaceAll expression replacement text`
pub(super) fn replace_all(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let (pattern, replacement) = (text(arguments, 0), to_text(text(arguments, 1)));
    let subject = to_text(text(arguments, 2));
    host.take_bytes(subject.len())?;
    let quoted = || match can_backquote(pattern) {
        true => format!("`{}`", to_text(pattern)),
        false => quote(pattern),
    };
    let expression = expression(host, pattern)?
        // Go panics here, with these words.
        .map_err(|message| format!("regexp: Compile({}): {message}", quoted()))?;
    let mut out = String::with_capacity(subject.len());
    let mut end = 0;
    for captures in expression.captures_iter(&subject) {
        let Some(whole) = captures.get(0) else { continue };
        // Each search may go to the end of the text.
        host.take_steps(1 + (subject.len() - whole.start() + replacement.len()) / BYTES_PER_STEP)?;
        out.push_str(&subject[end..whole.start()]);
        end = whole.end();
        for part in re2::parts(&replacement) {
            out.push_str(part.value(&captures));
            if out.len() > MAX_OUTPUT_BYTES {
                return host.made(None);
            }
        }
    }
    out.push_str(&subject[end..]);
    host.made(Some(out.into_bytes()))
}

/// Compiled once in an execution; the inner result is what Go says to it.
fn expression(host: &mut Host<'_>, pattern: &[u8]) -> Result<Result<Rc<Regex>, String>, Fault> {
    let pattern = to_text(pattern);
    if let Some(expression) = host.expressions.get(&pattern) {
        return Ok(expression.clone());
    }
    if host.expressions.len() >= MAX_EXPRESSIONS {
        return Err(Fault::Limit(format!("more than {MAX_EXPRESSIONS} regular expressions")));
    }
    let expression = compiled(&pattern).map(Rc::new);
    host.expressions.insert(pattern, expression.clone());
    Ok(expression)
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    let tree = re2::parse(pattern, re2::Flags::default()).map_err(|e| e.to_string())?;
    let mut builder = RegexBuilder::new(&re2::to_rust(&tree));
    builder.nest_limit(MAX_NESTED_GROUPS).size_limit(MAX_EXPRESSION_BYTES);
    builder.build().map_err(|_| format!("regular expression of more than {MAX_EXPRESSION_BYTES} bytes"))
}

pub(super) fn graph_link(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let made = link(text(arguments, 0), 0);
    host.made(Some(made.into_bytes()))
}

pub(super) fn table_link(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let made = link(text(arguments, 0), 1);
    host.made(Some(made.into_bytes()))
}

/// The page of an expression; tab 0 has the graph, 1 the table.
pub(in crate::template) fn link(expression: &[u8], tab: usize) -> String {
    let expression = to_text(&query_escaped(expression));
    format!("/graph?g0.expr={expression}&g0.tab={tab}")
}

pub(super) fn url_query_escape(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(Some(query_escaped(text(arguments, 0))))
}

pub(super) fn path_prefix(host: &mut Host<'_>, _: &[Value]) -> Outcome {
    Ok(Value::text(&host.subject.server.path_prefix))
}

pub(super) fn external_url(host: &mut Host<'_>, _: &[Value]) -> Outcome {
    Ok(Value::text(&host.subject.server.external_url))
}

pub(super) fn strip_port(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let text = text(arguments, 0);
    let without = split_host_port(text).map_or(text, |(host, _)| host);
    host.made(Some(without.to_vec()))
}

/// The first part of a host's name; an address stays.
pub(super) fn strip_domain(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let text = text(arguments, 0);
    let (name, port) = split_host_port(text).unwrap_or((text, b""));
    let is_address = std::str::from_utf8(name).is_ok_and(|name| name.parse::<IpAddr>().is_ok());
    if is_address {
        return host.made(Some(text.to_vec()));
    }
    let mut out = name.split(|byte| *byte == b'.').next().unwrap_or_default().to_vec();
    if !port.is_empty() {
        if out.contains(&b':') {
            out.insert(0, b'[');
            out.push(b']');
        }
        out.push(b':');
        out.extend_from_slice(port);
    }
    host.made(Some(out))
}

/// `net.SplitHostPort`
fn split_host_port(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let port = &text[colon + 1..];
    let (host, open_from, close_from) = match text.strip_prefix(b"[") {
        Some(_) => {
            let end = text.iter().position(|byte| *byte == b']')?;
            (end + 1 == colon).then_some((&text[1..end], 1, end + 1))?
        }
        None => (&text[..colon], 0, 0),
    };
    let has_brackets = text[open_from..].contains(&b'[') || text[close_from..].contains(&b']');
    let is_bare = open_from == 0;
    let is_other = has_brackets || is_bare && host.contains(&b':');
    (!is_other).then_some((host, port))
}
