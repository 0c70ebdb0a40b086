//! The functions of templates: a row each, with the types of its parameters.
//!
//! Those of Go's `text/template` and those that Prometheus 3.16 adds for rules (`template/template.go`). 3.5 has neither
//! `toDuration`, `now` nor `urlQueryEscape`, and no negative durations.

use super::host::{Body, Function, Host, Outcome, Param};
use super::value::Value;

use super::host::Param::{Any, Reflected, Sample, Samples, String as Text};

/// `index`, `slice`, `len`, `not`, and what prints.
mod basic;
/// `eq` and its like.
mod compare;
/// Text for HTML, JavaScript and URLs.
mod escape;
/// Numbers, times and durations for people.
mod humanize;
/// `query` and what is done with its results.
mod samples;
/// Texts: their case, regular expressions, names of hosts, links.
mod texts;

pub(super) use texts::link;

pub(super) fn find(name: &str) -> Option<&'static Function> {
    GO.iter().chain(PROMETHEUS).find(|function| function.name == name)
}

/// Of the functions that Prometheus adds to Go's.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROMETHEUS.iter().map(|function| function.name)
}

const ANY: Option<Param> = Some(Param::Any);
const REFLECTED: Option<Param> = Some(Param::Reflected);

static GO: &[Function] = &[
    Function { name: "and", fixed: &[Reflected], rest: REFLECTED, body: Body::And },
    Function { name: "or", fixed: &[Reflected], rest: REFLECTED, body: Body::Or },
    Function { name: "call", fixed: &[Reflected], rest: REFLECTED, body: Body::Call },
    row("not", &[Reflected], None, basic::not),
    row("index", &[Reflected], REFLECTED, basic::index),
    row("slice", &[Reflected], REFLECTED, basic::slice),
    row("len", &[Reflected], None, basic::len),
    row("print", &[], ANY, basic::print),
    row("printf", &[Text], ANY, basic::printf),
    row("println", &[], ANY, basic::println),
    row("html", &[], ANY, escape::html),
    row("js", &[], ANY, escape::js),
    row("urlquery", &[], ANY, escape::urlquery),
    row("eq", &[Reflected], REFLECTED, compare::eq),
    row("ne", &[Reflected, Reflected], None, compare::ne),
    row("lt", &[Reflected, Reflected], None, compare::lt),
    row("le", &[Reflected, Reflected], None, compare::le),
    row("gt", &[Reflected, Reflected], None, compare::gt),
    row("ge", &[Reflected, Reflected], None, compare::ge),
];

static PROMETHEUS: &[Function] = &[
    row("query", &[Text], None, samples::query),
    row("first", &[Samples], None, samples::first),
    row("label", &[Text, Sample], None, samples::label),
    row("value", &[Sample], None, samples::value),
    row("strvalue", &[Sample], None, samples::strvalue),
    row("sortByLabel", &[Text, Samples], None, samples::sort_by_label),
    row("args", &[], ANY, samples::args),
    row("match", &[Text, Text], None, texts::matches),
    row("reReplaceAll", &[Text, Text, Text], None, texts::replace_all),
    row("safeHtml", &[Text], None, texts::safe_html),
    row("title", &[Text], None, texts::title),
    row("toUpper", &[Text], None, texts::to_upper),
    row("toLower", &[Text], None, texts::to_lower),
    row("graphLink", &[Text], None, texts::graph_link),
    row("tableLink", &[Text], None, texts::table_link),
    row("stripPort", &[Text], None, texts::strip_port),
    row("stripDomain", &[Text], None, texts::strip_domain),
    row("urlQueryEscape", &[Text], None, texts::url_query_escape),
    row("pathPrefix", &[], None, texts::path_prefix),
    row("externalURL", &[], None, texts::external_url),
    row("humanize", &[Any], None, humanize::humanize),
    row("humanize1024", &[Any], None, humanize::humanize_1024),
    row("humanizeDuration", &[Any], None, humanize::humanize_duration),
    row("humanizePercentage", &[Any], None, humanize::humanize_percentage),
    row("humanizeTimestamp", &[Any], None, humanize::humanize_timestamp),
    row("toTime", &[Any], None, humanize::to_time),
    row("toDuration", &[Any], None, humanize::to_duration),
    row("now", &[], None, humanize::now),
    row("parseDuration", &[Text], None, humanize::parse_duration),
];

const fn row(
    name: &'static str,
    fixed: &'static [Param],
    rest: Option<Param>,
    body: fn(&mut Host<'_>, &[Value]) -> Outcome,
) -> Function {
    Function { name, fixed, rest, body: Body::Of(body) }
}
