//! Requests made by rule, and what Prometheus' head and RFC 9110 say about them: nothing of the receiver is used.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

/// How far ahead of the clock a sample may be.
const MAX_AHEAD_MS: i64 = 600_000;

/// Labels and samples, a time and a value each.
#[derive(Clone, Debug)]
pub struct Series {
    /// As Prometheus writes it; empty for one whose labels are none.
    pub text: &'static str,
    pub labels: &'static [(&'static str, &'static str)],
    pub samples: Vec<(i64, f64)>,
}

/// What is told: whether something was wrong, and how many samples were taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub is_bad: bool,
    pub samples: usize,
}

type Labelled = (&'static str, &'static [(&'static str, &'static str)]);

/// The last two are none: one has no name, the other a label twice.
const LABELS: &[Labelled] = &[
    ("a", &[("__name__", "a")]),
    (r#"b{x="1"}"#, &[("__name__", "b"), ("x", "1")]),
    (r#"c{x="é"}"#, &[("__name__", "c"), ("x", "é")]),
    (r#"c{x="2", y="3"}"#, &[("__name__", "c"), ("x", "2"), ("y", "3")]),
    ("", &[("x", "1")]),
    ("", &[("__name__", "a"), ("x", "1"), ("x", "2")]),
];

/// Some series; times are few and close, so that some come twice, some too late, and some are out of all bounds.
pub fn request(random: &mut Rng, now_ms: i64, is_empty_allowed: bool) -> Vec<Series> {
    let series = |random: &mut Rng| {
        let fewest = if is_empty_allowed { 0 } else { 1 };
        let count = random.usize(fewest..5);
        let samples = (0..count).map(|_| (time(random, now_ms), value(random))).collect();
        let (text, labels) = random.choice(LABELS).expect("not empty");
        Series { text, labels, samples }
    };
    (0..random.usize(1..6)).map(|_| series(random)).collect()
}

fn time(random: &mut Rng, now_ms: i64) -> i64 {
    match random.u8(..32) {
        0 => 0,
        1 => -random.i64(1..now_ms),
        2 => i64::MIN,
        3 => i64::MAX,
        4 => now_ms + MAX_AHEAD_MS + 1,
        5 => random.i64(1..now_ms),
        _ => now_ms + random.i64(0..20) * 1000,
    }
}

fn value(random: &mut Rng) -> f64 {
    *random.choice(&[0.0, -0.0, 1.0, 2.0, f64::NAN, f64::INFINITY]).expect("not empty")
}

/// A store by the rules of `tsdb/head_append.go`, without a window for late samples.
#[derive(Debug, Default)]
pub struct Model {
    newest: HashMap<&'static str, (i64, u64)>,
    /// Bits of the value by series and time.
    pub kept: BTreeMap<(String, i64), u64>,
}

impl Model {
    /// A bad sample costs no other. What was stored before is told from; what the request itself contradicts is found
    /// later and told to nobody, and the first value stays. `invalid_is_bad`: 2.0 tells of labels that are none.
    pub fn write(&mut self, request: &[Series], now_ms: i64, invalid_is_bad: bool) -> Answer {
        let (mut answer, mut taken) = (Answer { is_bad: false, samples: 0 }, vec![]);
        for Series { text, samples, .. } in request {
            if text.is_empty() {
                answer.is_bad |= invalid_is_bad;
                continue;
            }
            let newest = self.newest.get(text).copied();
            for (time, value) in samples {
                let in_bounds = (1..=now_ms + MAX_AHEAD_MS).contains(time);
                let in_order = newest
                    .is_none_or(|(newest, bits)| *time > newest || (*time == newest && bits == value.to_bits()));
                if in_bounds && in_order {
                    answer.samples += 1;
                    taken.push((*text, *time, value.to_bits()));
                } else {
                    answer.is_bad = true;
                }
            }
        }
        for (text, time, bits) in taken {
            if self.newest.get(text).is_none_or(|(newest, _)| time > *newest) {
                self.newest.insert(text, (time, bits));
                self.kept.insert((text.to_string(), time), bits);
            }
        }
        answer
    }
}

/// Headers as RFC 9110 has them: names of types, parameters and codings in any case, values in quotes or not, blanks
/// around semicolons.
#[derive(Debug)]
pub struct Headers {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Whether it is a message of 1.0 or of 2.0; `None` where it is none that is taken.
    pub version: Option<u8>,
}

impl Headers {
    pub fn random(random: &mut Rng, versions: &[u8]) -> Self {
        let (mut content_type, mut version) = (None, Some(1));
        if random.u8(..8) > 0 {
            let media = choose(random, &["application/x-protobuf"; 7], "application/json");
            version = version.filter(|_| media.starts_with("application/x-"));
            let mut text = any_case(random, media);
            for _ in 0..random.u8(..3) {
                let (name, value) = *random.choice(&[("charset", "utf-8"), ("q", "1")]).expect("not empty");
                parameter(random, &mut text, name, value);
            }
            if random.bool() {
                let proto = *random.choice(versions).expect("not empty");
                version = version.map(|_| proto);
                let message = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"][usize::from(proto - 1)];
                parameter(random, &mut text, "proto", message);
            }
            content_type = Some(text);
        }
        let encoding = choose(random, &["snappy", "snappy", "snappy", "snappy", ""], "gzip");
        version = version.filter(|_| encoding != "gzip");
        let content_encoding = (!encoding.is_empty()).then(|| any_case(random, encoding));
        Self { content_type, content_encoding, version }
    }
}

fn choose<'a>(random: &mut Rng, usual: &[&'a str], other: &'a str) -> &'a str {
    if random.u8(..8) == 0 { other } else { random.choice(usual).expect("not empty") }
}

fn parameter(random: &mut Rng, out: &mut String, name: &str, value: &str) {
    let blank = |random: &mut Rng| if random.bool() { " " } else { "" };
    let name = any_case(random, name);
    out.push_str(&format!("{};{}{name}=", blank(random), blank(random)));
    // The value of a parameter is of the parameter's making.
    out.push_str(&if random.bool() { value.to_string() } else { format!("{value:?}") });
}

fn any_case(random: &mut Rng, text: &str) -> String {
    match random.u8(..4) {
        0 => text.to_uppercase(),
        1 => text.chars().map(|c| if random.bool() { c.to_ascii_uppercase() } else { c }).collect(),
        _ => text.to_string(),
    }
}
