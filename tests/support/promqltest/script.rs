//! A script's text to commands. Lines are trimmed; a comment counts as a blank line, and a blank line ends a
//! block.

use std::sync::LazyLock;

use promlake::engine::session::EvalTime;
use promlake::model::labels::Labels;
use promlake::promql::durations::parse_duration;
use promlake::promql::{numbers, strings};
use regex::Regex;

use super::expect::{Annotation, Expectation, Expected, Pattern};
use super::histogram::Sparse;
use super::nhcb;
use super::series::{Item, parse_series, parse_start_timestamps};

#[derive(Debug)]
pub enum Command {
    Clear,
    Load(Vec<LoadSeries>),
    Eval(Eval),
}

#[derive(Clone, Debug)]
pub struct LoadSeries {
    pub labels: Labels,
    pub samples: Vec<LoadedSample>,
}

#[derive(Clone, Debug)]
pub struct LoadedSample {
    pub timestamp: i64,
    pub value: Value,
    /// 0 for none.
    pub start_timestamp: i64,
}

#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Histogram(Sparse),
}

/// One evaluation.
#[derive(Debug)]
pub struct Eval {
    /// One-based line of the `eval`.
    pub line: usize,
    pub query: String,
    pub time: EvalTime,
    pub expectation: Expectation,
}

static LOAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^load(?:_(with_nhcb))?\s+(.+?)$"));
static INSTANT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$"));
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
});
static EXPECT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$"));
static EXPECT_RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is constant")
}

/// The commands of a script; an error names its line.
pub fn parse_script(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let body_end = lines[at + 1..].iter().position(|l| l.is_empty()).map_or(lines.len(), |n| at + 1 + n);
        let body = &lines[at + 1..body_end];
        let word = line.split([' ', '\t']).next().unwrap_or("").to_ascii_lowercase();
        let located = |why: String| format!("line {}: {why}", at + 1);
        let mut used = 0;
        if word == "clear" {
            commands.push(Command::Clear);
        } else if word.starts_with("load") {
            commands.push(Command::Load(parse_load(line, body).map_err(located)?));
            used = body.len();
        } else if word.starts_with("eval") {
            let (eval, taken) = parse_eval(line, body, at + 1).map_err(located)?;
            commands.push(Command::Eval(eval));
            used = taken;
        } else if !line.is_empty() {
            return Err(located(format!("unknown command {line:?}")));
        }
        at += 1 + used;
    }
    Ok(commands)
}

fn millis(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

fn parse_load(line: &str, body: &[&str]) -> Result<Vec<LoadSeries>, String> {
    let parts = LOAD.captures(line).ok_or("a load is `load[_with_nhcb] <interval>`")?;
    let interval = millis(&parts[2])?;
    let mut series: Vec<LoadSeries> = Vec::new();
    let mut pending = None;
    for line in body {
        if let Some(starts) = parse_start_timestamps(line)? {
            if pending.replace(starts).is_some() {
                return Err(format!("the @st line before {line:?} has no series line"));
            }
            continue;
        }
        let parsed = parse_series(line)?;
        let starts = match pending.take() {
            None => Vec::new(),
            Some((labels, starts)) if labels == parsed.labels && starts.len() == parsed.items.len() => starts,
            Some(_) => return Err(format!("the @st line does not fit {line:?}")),
        };
        let loaded = place(parsed.labels, parsed.items, &starts, interval);
        // A series written twice is the second one only.
        series.retain(|s| s.labels != loaded.labels);
        series.push(loaded);
    }
    if pending.is_some() {
        return Err("an @st line has no series line".to_string());
    }
    if parts.get(1).is_some() {
        let converted = nhcb::convert(&series)?;
        series.extend(converted);
    }
    Ok(series)
}

/// Gives each item its time.
fn place(labels: Labels, items: Vec<Item>, starts: &[Option<i64>], interval: i64) -> LoadSeries {
    let mut samples = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let timestamp = i as i64 * interval;
        let value = match item {
            Item::Omitted => continue,
            Item::Float(value) => Value::Float(value),
            Item::Histogram(described) => Value::Histogram(described.histogram),
        };
        let offset = starts.get(i).copied().flatten();
        samples.push(LoadedSample { timestamp, value, start_timestamp: offset.map_or(0, |ms| timestamp + ms) });
    }
    LoadSeries { labels, samples }
}

/// An eval and how many lines of the block it took: a lone number ends it early.
fn parse_eval(line: &str, body: &[&str], number: usize) -> Result<(Eval, usize), String> {
    let (modifier, query, time) = parse_eval_head(line)?;
    let mut expectation = Expectation::default();
    match modifier.as_deref() {
        Some("ordered") => expectation.ordered = true,
        Some("fail") => expectation.fail = Some(Pattern::Any),
        Some("warn") => expectation.some_warning = true,
        Some("info") => expectation.some_info = true,
        _ => {}
    }
    let mut used = 0;
    for line in body {
        used += 1;
        if parse_body_line(line, &mut expectation, &time)? {
            break;
        }
    }
    expectation.check()?;
    Ok((Eval { line: number, query, time, expectation }, used))
}

fn parse_eval_head(line: &str) -> Result<(Option<String>, String, EvalTime), String> {
    let text = |m: regex::Match<'_>| m.as_str().to_string();
    if let Some(parts) = INSTANT.captures(line) {
        let at = millis(parts.get(2).map_or("", |m| m.as_str()))?;
        return Ok((parts.get(1).map(text), parts[3].to_string(), EvalTime::Instant { at }));
    }
    let parts = RANGE.captures(line).ok_or("an eval is `instant at` or `range from ... to ... step`")?;
    let (start, end_inclusive, step) = (millis(&parts[2])?, millis(&parts[3])?, millis(&parts[4])?);
    if end_inclusive < start {
        return Err("the range ends before it starts".to_string());
    }
    Ok((parts.get(1).map(text), parts[5].to_string(), EvalTime::Range { start, end_inclusive, step }))
}

/// Reads one line of an eval's block; `true` when it is the last.
fn parse_body_line(line: &str, expectation: &mut Expectation, time: &EvalTime) -> Result<bool, String> {
    if expectation.fail.is_some() {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            expectation.fail = Some(Pattern::Exact(text.trim().to_string()));
            return Ok(true);
        }
        if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            expectation.fail = Some(Pattern::regex(text)?);
            return Ok(true);
        }
    }
    if let Some(parts) = EXPECT_RANGE.captures(line) {
        let times = (millis(&parts[1])?, millis(&parts[2])?, millis(&parts[3])?);
        expectation.range_vector = Some(times);
        return Ok(false);
    }
    if let Some(literal) = line.strip_prefix("expect string") {
        let text = strings::unquote(literal.trim_start()).ok_or(format!("{literal:?} is no string"))?;
        expectation.expected = Expected::String(text);
        return Ok(false);
    }
    if line.split(' ').next() == Some("expect") {
        parse_expect(line, expectation)?;
        return Ok(false);
    }
    if let Ok(value) = numbers::parse_number(line) {
        expectation.expected = Expected::Scalar(value);
        return Ok(true);
    }
    let series = parse_series(line)?;
    let instant = matches!(time, EvalTime::Instant { .. }) && expectation.range_vector.is_none();
    if instant && series.items.len() > 1 {
        return Err(format!("{line:?} has more than one value, but the query is instant"));
    }
    expectation.add_series(series);
    Ok(false)
}

fn parse_expect(line: &str, expectation: &mut Expectation) -> Result<(), String> {
    let parts = EXPECT.captures(line).ok_or(format!("{line:?} is no expect line"))?;
    let text = parts.get(3).map_or("", |m| m.as_str()).trim();
    let pattern = match parts.get(2).map(|m| m.as_str()) {
        Some("msg") => Pattern::Exact(text.to_string()),
        Some(_) => Pattern::regex(text)?,
        None => Pattern::Any,
    };
    match &parts[1] {
        "ordered" => expectation.ordered = true,
        "fail" if expectation.fail.is_some() => return Err("more than one expect fail".to_string()),
        "fail" => expectation.fail = Some(pattern),
        "warn" => expectation.annotations.push((Annotation::Warning, pattern)),
        "info" => expectation.annotations.push((Annotation::Info, pattern)),
        "no_warn" => expectation.no_warnings = true,
        _ => expectation.no_infos = true,
    }
    Ok(())
}
