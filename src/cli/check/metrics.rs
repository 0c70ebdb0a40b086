//! `promlake check metrics`: reads an exposition from standard input and says what its names and types should be instead,
//! with the rules and words of promtool (`promlint` of Prometheus' Go client).

use std::collections::HashMap;
use std::io::Read;
use std::process::ExitCode;

use clap::Args;

use crate::cli::check::outcome::LINT_FAILURE;
use crate::cli::print::{errln, out};
use crate::ingest::exposition::event::{Event, Format, Options, Parser};
use crate::ingest::exposition::series::Pairs;
use crate::model::labels::METRIC_NAME;
use crate::model::metadata::MetricType;

/// The page of the largest exporters has a tenth of this.
const MAX_BYTES: u64 = 1 << 30;

#[derive(Args, Debug)]
pub struct Metrics {
    /// Print how many series each metric has
    #[arg(long)]
    extended: bool,
    /// What to look for: all or none
    #[arg(long, default_value = "all")]
    lint: String,
}

/// One family of an exposition.
#[derive(Debug)]
struct Family {
    name: String,
    kind: MetricType,
    has_help: bool,
    /// The labels of each metric as they are written; of a histogram without `le`, of a summary without `quantile`.
    metrics: Vec<Vec<(String, String)>>,
    /// Places of the metrics of histograms and summaries, which have several lines each.
    places: HashMap<Vec<(String, String)>, usize>,
    /// Buckets or quantiles of the first metric.
    parts: usize,
}

impl Metrics {
    pub fn run(&self) -> ExitCode {
        let lints = self.lint != "none";
        if !lints && !self.extended {
            errln!("error: at least one of --extended or linting must be enabled");
            errln!("Use --extended for cardinality analysis, or remove --lint=none to enable linting");
            return ExitCode::FAILURE;
        }
        let families = match read().and_then(|body| families(&body)) {
            Ok(families) => families,
            Err(error) => {
                errln!("error while linting: {error}");
                return ExitCode::FAILURE;
            }
        };
        let problems = if lints { problems(&families) } else { Vec::new() };
        for (metric, text) in &problems {
            errln!("{metric} {text}");
        }
        if self.extended {
            out!("{}", cardinality(&families));
        }
        if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(LINT_FAILURE) }
    }
}

fn read() -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let mut input = std::io::stdin().lock().take(MAX_BYTES + 1);
    input.read_to_end(&mut body).map_err(|e| format!("reading standard input: {e}"))?;
    if body.len() as u64 > MAX_BYTES { Err("more than 1 GiB on standard input".into()) } else { Ok(body) }
}

/// The families that have metrics, in the order in which they come.
fn families(body: &[u8]) -> Result<Vec<Family>, String> {
    let mut families = Families::default();
    let mut pairs = Pairs::new();
    let mut parser = Parser::new(Format::Text, body, Options::default());
    while let Some(event) = parser.next() {
        match event.map_err(|e| e.to_string())? {
            Event::Type { family, kind } => {
                let family = families.named(&family);
                if family.kind != MetricType::Unknown || !family.metrics.is_empty() {
                    let name = &family.name;
                    let message =
                        format!("second TYPE line for metric name {name:?}, or TYPE reported after samples");
                    return Err(parser.error(message).to_string());
                }
                family.kind = kind;
            }
            Event::Help { family, .. } => families.named(&family).has_help = true,
            Event::Unit { .. } => {}
            Event::Sample(sample) => {
                sample.series.decode(&mut pairs).map_err(|message| parser.error(message).to_string())?;
                families.add(&pairs);
            }
        }
    }
    families.all.retain(|family| !family.metrics.is_empty());
    Ok(families.all)
}

#[derive(Default)]
struct Families {
    all: Vec<Family>,
    by_name: HashMap<String, usize>,
}

impl Families {
    fn named(&mut self, name: &str) -> &mut Family {
        let place = *self.by_name.entry(name.to_string()).or_insert_with(|| {
            let (metrics, places) = (Vec::new(), HashMap::new());
            let kind = MetricType::Unknown;
            self.all.push(Family { name: name.to_string(), kind, has_help: false, metrics, places, parts: 0 });
            self.all.len() - 1
        });
        &mut self.all[place]
    }

    fn add(&mut self, pairs: &Pairs<'_>) {
        let name = pairs.iter().find(|(name, _)| name == METRIC_NAME).map_or("", |(_, value)| value);
        // promtool passes over blanks that Prometheus takes for a part of the name.
        let name = name.trim_start_matches([' ', '\t']);
        let labels = pairs.iter().filter(|(name, _)| name != METRIC_NAME);
        let labels: Vec<_> = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let family = self.owner(name);
        let part = match self.by_name.get(family).map(|place| self.all[*place].kind) {
            Some(MetricType::Histogram) => "le",
            Some(MetricType::Summary) => "quantile",
            _ => return self.named(name).metrics.push(labels),
        };
        self.named(family).add_part(labels, part);
    }

    /// The family a line belongs to: those of histograms and summaries end in one of three words.
    fn owner<'a>(&self, name: &'a str) -> &'a str {
        let is = |base: &str, kinds: &[MetricType]| {
            self.by_name.get(base).is_some_and(|place| kinds.contains(&self.all[*place].kind))
        };
        let both = &[MetricType::Histogram, MetricType::Summary][..];
        let candidates = [("_bucket", &both[..1]), ("_sum", both), ("_count", both)];
        let mut bases = candidates.iter().filter_map(|(suffix, kinds)| Some((name.strip_suffix(suffix)?, *kinds)));
        bases.find(|(base, kinds)| is(base, kinds)).map_or(name, |(base, _)| base)
    }
}

impl Family {
    /// A line of a histogram or summary; `part` is the label that tells its lines apart.
    fn add_part(&mut self, mut labels: Vec<(String, String)>, part: &str) {
        let before = labels.len();
        labels.retain(|(name, _)| name != part);
        let mut key = labels.clone();
        key.sort_unstable();
        let place = *self.places.entry(key).or_insert_with(|| {
            self.metrics.push(labels.clone());
            self.metrics.len() - 1
        });
        self.parts += usize::from(place == 0 && labels.len() < before);
    }

    /// Series that its metrics make.
    fn series(&self) -> usize {
        match self.kind {
            MetricType::Histogram | MetricType::Summary => self.metrics.len() * (2 + self.parts),
            _ => self.metrics.len(),
        }
    }
}

/// A table of metrics and their series, the largest first.
fn cardinality(families: &[Family]) -> String {
    let total: usize = families.iter().map(Family::series).sum();
    let mut sorted: Vec<&Family> = families.iter().collect();
    sorted.sort_by(|a, b| b.series().cmp(&a.series()).then_with(|| a.name.cmp(&b.name)));
    let share = |series: usize| format!("{:.2}%", series as f64 / total as f64 * 100.0);
    let mut rows = vec![["Metric".to_string(), "Cardinality".to_string(), "Percentage".to_string()]];
    rows.extend(sorted.iter().map(|f| [f.name.clone(), f.series().to_string(), share(f.series())]));
    rows.push(["Total".to_string(), total.to_string(), "100%".to_string()]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 4;
    let widths = [width(0), width(1), width(2)];
    let cell = |(text, width): (&String, usize)| format!("{text:<width$}");
    rows.iter().map(|row| row.iter().zip(widths).map(cell).collect::<String>() + "\n").collect()
}

/// Metric and problem, sorted.
fn problems(families: &[Family]) -> Vec<(&str, String)> {
    let checks = [help, units, counter, reserved, type_in_name, colons, camel_case, abbreviations, duplicates];
    let mut found = Vec::new();
    for family in families {
        let texts = checks.iter().flat_map(|check| check(family));
        found.extend(texts.map(|text| (family.name.as_str(), text)));
    }
    found.sort_unstable();
    found
}

fn help(family: &Family) -> Vec<String> {
    if family.has_help { vec![] } else { vec!["no help text".into()] }
}

/// Units, and the base unit that stands for each.
const UNITS: &[(&str, &str)] = &[
    ("amperes", "amperes"),
    ("bits", "bytes"),
    ("bytes", "bytes"),
    ("calories", "joules"),
    ("celsius", "celsius"),
    ("days", "seconds"),
    ("fahrenheit", "celsius"),
    ("grams", "grams"),
    ("hours", "seconds"),
    ("inches", "meters"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("kelvins", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("miles", "meters"),
    ("minutes", "seconds"),
    ("ounces", "grams"),
    ("pounds", "grams"),
    ("rankine", "celsius"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("weeks", "seconds"),
    ("yards", "meters"),
];

/// As promtool has them, slips included.
const PREFIXES: &[&str] = &[
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga",
    "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: &[&str] = &["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

fn units(family: &Family) -> Vec<String> {
    let base = |unit: &str| UNITS.iter().find(|(name, _)| *name == unit).map(|(_, base)| *base);
    let with_prefix = |part: &str| PREFIXES.iter().find_map(|prefix| base(part.strip_prefix(prefix)?));
    let found = family.name.split('_').find_map(|part| Some((part, base(part).or_else(|| with_prefix(part))?)));
    match found {
        Some((unit, base)) if unit != base => vec![format!("use base unit {base:?} instead of {unit:?}")],
        _ => vec![],
    }
}

fn counter(family: &Family) -> Vec<String> {
    match (family.kind, family.name.ends_with("_total")) {
        (MetricType::Counter, false) => vec!["counter metrics should have \"_total\" suffix".into()],
        (MetricType::Counter | MetricType::Unknown, _) | (_, false) => vec![],
        (_, true) => vec!["non-counter metrics should not have \"_total\" suffix".into()],
    }
}

/// Words and labels of histograms and summaries.
fn reserved(family: &Family) -> Vec<String> {
    if family.kind == MetricType::Unknown {
        return vec![];
    }
    let (histogram, summary) = (family.kind == MetricType::Histogram, family.kind == MetricType::Summary);
    let mut found = vec![];
    if !histogram && family.name.ends_with("_bucket") {
        found.push("non-histogram metrics should not have \"_bucket\" suffix".into());
    }
    for suffix in ["_count", "_sum"] {
        if !histogram && !summary && family.name.ends_with(suffix) {
            found.push(format!("non-histogram and non-summary metrics should not have {suffix:?} suffix"));
        }
    }
    for (name, _) in family.metrics.iter().flatten() {
        if !histogram && name == "le" {
            found.push("non-histogram metrics should not have \"le\" label".into());
        }
        if !summary && name == "quantile" {
            found.push("non-summary metrics should not have \"quantile\" label".into());
        }
    }
    found
}

/// Whether a name has a word, between underscores or at its end.
fn has_word(name: &str, word: &str) -> bool {
    name.contains(&format!("_{word}_")) || name.ends_with(&format!("_{word}"))
}

fn type_in_name(family: &Family) -> Vec<String> {
    let kind = family.kind.as_str();
    match family.kind != MetricType::Unknown && has_word(&family.name.to_lowercase(), kind) {
        true => vec![format!("metric name should not include type '{kind}'")],
        false => vec![],
    }
}

fn colons(family: &Family) -> Vec<String> {
    if family.name.contains(':') { vec!["metric names should not contain ':'".into()] } else { vec![] }
}

fn camel_case(family: &Family) -> Vec<String> {
    let is_camel = |name: &str| {
        name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
    };
    let text = |what: &str| format!("{what} names should be written in 'snake_case' not 'camelCase'");
    let labels = family.metrics.iter().flatten().filter(|(name, _)| is_camel(name)).map(|_| text("label"));
    is_camel(&family.name).then(|| text("metric")).into_iter().chain(labels).collect()
}

fn abbreviations(family: &Family) -> Vec<String> {
    let name = family.name.to_lowercase();
    let found = ABBREVIATIONS.iter().filter(|word| has_word(&name, word));
    found.map(|_| "metric names should not contain abbreviated units".to_string()).collect()
}

/// One for each metric that comes again.
fn duplicates(family: &Family) -> Vec<String> {
    let mut counts: HashMap<&[(String, String)], usize> = HashMap::new();
    for labels in &family.metrics {
        *counts.entry(labels).or_default() += 1;
    }
    let again: usize = counts.values().map(|count| count - 1).sum();
    vec!["metric not unique".to_string(); again]
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
