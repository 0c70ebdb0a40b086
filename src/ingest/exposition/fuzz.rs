//! Random bodies, made by changing right ones, against slow parsers that follow Prometheus' lexers rule by rule, and
//! against `prost`: the same events, or an error at the same place.
//!
//! - `FUZZ_SECONDS`: how long each test tries new bodies; without it three seconds or 20,000 bodies
//! - `FUZZ_SEED`: where the random numbers begin, 1 if not given

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::event::{Event, Format, Options, Parser, Value};
use super::tests::{MESSAGES, OPENMETRICS, TEXT, render};

/// Messages through `prost`.
mod messages;
/// Prometheus' lexers, rule by rule.
mod lexers;

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

struct Run {
    rng: Rng,
    end: Instant,
    left: u64,
}

impl Run {
    fn new() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
        };
        let seconds = number("FUZZ_SECONDS");
        Self {
            rng: Rng::with_seed(number("FUZZ_SEED").unwrap_or(1)),
            end: Instant::now() + Duration::from_secs(seconds.unwrap_or(3)),
            left: if seconds.is_some() { u64::MAX } else { 20_000 },
        }
    }

    /// Calls `check` with changed bodies.
    fn bodies(&mut self, seeds: &[Vec<u8>], check: impl Fn(&[u8])) {
        while self.left > 0 && Instant::now() < self.end {
            self.left -= 1;
            let mut body = self.rng.choice(seeds).expect("there are seeds").clone();
            if self.rng.u8(..4) == 0 {
                body.extend_from_slice(self.rng.choice(seeds).expect("there are seeds"));
            }
            for _ in 0..self.rng.u8(1..5) {
                self.change(&mut body, seeds);
            }
            check(&body);
        }
    }

    fn change(&mut self, body: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.rng.usize(..=body.len());
        let to = (at + self.rng.usize(..12)).min(body.len());
        match self.rng.u8(..8) {
            0 => drop(body.drain(at..to)),
            1 => body.truncate(at),
            2 if at < body.len() => body[at] = self.rng.u8(..),
            3 if at < body.len() => body[at] ^= 1 << self.rng.u8(..8),
            4 => {
                let copied = body[at..to].to_vec();
                let into = self.rng.usize(..=body.len());
                body.splice(into..into, copied);
            }
            5 => {
                let other = self.rng.choice(seeds).expect("there are seeds");
                let from = self.rng.usize(..=other.len());
                let until = (from + self.rng.usize(..40)).min(other.len());
                body.splice(at..at, other[from..until].iter().copied());
            }
            _ => {
                let word = self.rng.choice(WORDS).expect("there are words");
                body.splice(at..at, word.bytes());
            }
        }
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
    Run::new().bodies(&bytes(TEXT), |body| {
        let (ours, wanted) = (without_words(render(Format::Text, body)), lexers::text(body));
        assert_eq!(ours, wanted, "{:?}", String::from_utf8_lossy(body));
    });
}

#[test]
fn openmetrics_is_what_the_lexer_says() {
    Run::new().bodies(&bytes(OPENMETRICS), |body| {
        let (ours, wanted) = (without_words(render(Format::OpenMetrics, body)), lexers::openmetrics(body));
        assert_eq!(ours, wanted, "{:?}", String::from_utf8_lossy(body));
    });
}

#[test]
fn protobuf_is_what_prost_says() {
    Run::new().bodies(&MESSAGES.iter().map(|message| message()).collect::<Vec<_>>(), |body| {
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
    Run::new().bodies(&seeds, |body| {
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
