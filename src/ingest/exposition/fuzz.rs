//! Random bodies, made by changing right ones, against slow parsers that follow Prometheus' lexers rule by rule, and
//! against `prost`: the same events, or an error at the same place.

use super::event::{Event, Format, Options, Parser, Value};
use super::tests::{MESSAGES, OPENMETRICS, TEXT, render};
use crate::fuzzing::Fuzz;

/// Messages through `prost`.
mod messages;
/// Prometheus' lexers, rule by rule.
mod lexers;
/// Bodies by the formats' tokens.
mod tokens;

/// Words that mean something to one of the formats.
const WORDS: &[&str] = &[
    " ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "#",
    "# ",
    "# HELP ",
    "# TYPE ",
    "# UNIT ",
    "# EOF",
    "# EOF\n",
    "#TYPE",
    "\"",
    "\\",
    "\\n",
    "\\\"",
    "\\\n",
    "{",
    "}",
    "{}",
    "=",
    ",",
    ",,",
    "a",
    "le",
    "quantile",
    "_bucket",
    "_sum",
    "_count",
    "_created",
    "_total",
    "{\"a.b\"",
    "le=\"1\"",
    "a=\"b\"",
    "x=\"\"",
    " 1",
    " 1.5",
    " NaN",
    " -Inf",
    " 0x1p3",
    " 1_0",
    " 1e999",
    " 12345",
    " -1",
    " # {",
    "# {a=\"b\"} 1",
    " 1 2",
    "counter",
    "gauge",
    "histogram",
    "summary",
    "untyped",
    "unknown",
    "é",
    ":",
    ".",
    "-",
    "1",
];

/// Calls `check` with changed bodies.
fn bodies(seeds: &[Vec<u8>], check: impl Fn(&[u8])) {
    let words: Vec<&[u8]> = WORDS.iter().map(|word| word.as_bytes()).collect();
    let mut fuzz = Fuzz::new(20_000);
    while fuzz.goes_on() {
        check(&fuzz.input(seeds, &words));
    }
}

/// Calls `check` with bodies that nobody wrote first.
fn bodies_of_tokens(check: impl Fn(&[u8])) {
    let mut fuzz = Fuzz::new(20_000);
    while fuzz.goes_on() {
        check(&tokens::body(&mut fuzz.random));
    }
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The events up to the first error, whose words are our own.
fn without_words(mut events: Vec<String>) -> Vec<String> {
    if let Some(at) = events.iter().position(|event| event.starts_with("error")) {
        events.truncate(at);
        events.push("error".to_string());
    }
    events
}

#[test]
fn the_text_format_is_what_the_lexer_says() {
    let check = |body: &[u8]| {
        let (ours, wanted) = (without_words(render(Format::Text, body)), lexers::text(body));
        assert_eq!(ours, wanted, "{:?}", String::from_utf8_lossy(body));
    };
    bodies(&bytes(TEXT), check);
    bodies_of_tokens(check);
}

#[test]
fn openmetrics_is_what_the_lexer_says() {
    let check = |body: &[u8]| {
        let (ours, wanted) = (without_words(render(Format::OpenMetrics, body)), lexers::openmetrics(body));
        assert_eq!(ours, wanted, "{:?}", String::from_utf8_lossy(body));
    };
    bodies(&bytes(OPENMETRICS), check);
    bodies_of_tokens(check);
}

#[test]
fn protobuf_is_what_prost_says() {
    bodies(&MESSAGES.iter().map(|message| message()).collect::<Vec<_>>(), |body| {
        render(Format::Protobuf, body);
        // Of fields that are there twice prost makes one; nobody sends them.
        let Some(body) = messages::canonical(body) else { return };
        let (ours, wanted) = (without_words(render(Format::Protobuf, &body)), messages::events(&body));
        assert_eq!(ours, wanted, "{body:02x?}");
    });
}

/// With everything asked for: what comes out is a histogram, and nothing panics.
#[test]
fn conversions_make_histograms_or_nothing() {
    let messages: Vec<Vec<u8>> = MESSAGES.iter().map(|message| message()).collect();
    let seeds = [bytes(TEXT), bytes(OPENMETRICS), messages].concat();
    bodies(&seeds, |body| {
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            for always_classic_histograms in [false, true] {
                let (native_histograms, convert_classic_histograms, start_timestamps) = (true, true, true);
                let options = Options {
                    native_histograms,
                    always_classic_histograms,
                    convert_classic_histograms,
                    start_timestamps,
                };
                let mut pairs = Vec::new();
                for event in Parser::new(format, body, options).flatten() {
                    let Event::Sample(sample) = event else { continue };
                    let _ = sample.series.decode(&mut pairs);
                    if let Value::Histogram(histogram) = &sample.value {
                        histogram.validate().unwrap_or_else(|e| panic!("{e}: {body:?}"));
                    }
                }
            }
        }
    });
}
