//! `promlake check rules`: says what is wrong with rule files, and which rules are there twice.

use std::cmp::Ordering;
use std::fmt::Write;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use crate::cli::check::outcome::Outcome;
use crate::cli::print::{errln, outln};
use crate::config::file::read_text;
use crate::config::protocol::NameValidation;
use crate::config::rules::{Rule, RuleFile};
use crate::config::yaml;
use crate::promql::parse::ParseOptions;

/// Lines of a file that are shown, and how much of each.
const MAX_QUOTED: usize = 50;
const MAX_LINE: usize = 160;

#[derive(Args, Debug)]
pub struct RulesCheck {
    /// The rule files; standard input without any
    files: Vec<PathBuf>,
    /// What else to look for: all, duplicate-rules or none, separated by commas
    #[arg(long, default_value = "duplicate-rules")]
    lint: String,
    /// End with code 3 where that finds something
    #[arg(long)]
    pub(super) lint_fatal: bool,
    /// Let unknown keys pass
    #[arg(long)]
    ignore_unknown_fields: bool,
}

/// How rule files are read, and what is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub names: NameValidation,
    pub language: &'a ParseOptions,
    pub ignore_unknown: bool,
    pub duplicates: bool,
}

impl RulesCheck {
    pub fn run(&self, language: &ParseOptions) -> Vec<Outcome> {
        let reading = Reading {
            names: NameValidation::Utf8,
            language,
            ignore_unknown: self.ignore_unknown_fields,
            duplicates: looks_for_duplicates(self.lint.split(',')),
        };
        match &self.files[..] {
            [] => vec![standard_input(&reading)],
            files => check_files(files, &reading),
        }
    }
}

/// What promtool's options ask for; tells of those that nobody knows.
pub fn looks_for_duplicates<'a>(options: impl Iterator<Item = &'a str>) -> bool {
    let mut found = false;
    for option in options {
        match option {
            "all" | "duplicate-rules" => found = true,
            "none" | "" => {}
            option => outln!("WARNING: unknown lint option: {option:?}"),
        }
    }
    found
}

pub fn check_files(files: &[PathBuf], reading: &Reading<'_>) -> Vec<Outcome> {
    let check = |file: &PathBuf| {
        let name = file.display().to_string();
        outln!("Checking {name}");
        let text = read_text(file).map_err(|error| error.to_string());
        judge(text.and_then(|text| parse(&text, &name, reading)), reading)
    };
    files.iter().map(check).collect()
}

fn standard_input(reading: &Reading<'_>) -> Outcome {
    outln!("Checking standard input");
    judge(read_standard_input().and_then(|text| parse(&text, "standard input", reading)), reading)
}

fn read_standard_input() -> Result<String, String> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(yaml::MAX_BYTES as u64 + 1);
    let read = input.read_to_string(&mut text);
    read.map(|_| text).map_err(|error| format!("reading standard input: {error}"))
}

/// What is wrong comes with the lines that it is about.
fn parse(text: &str, name: &str, reading: &Reading<'_>) -> Result<RuleFile, String> {
    let parsed = RuleFile::parse_with(text, reading.names, reading.language, reading.ignore_unknown);
    parsed.map_err(|mistakes| {
        let mut lines: Vec<usize> = mistakes.0.iter().filter_map(|mistake| mistake.line).collect();
        lines.dedup();
        let quoted = lines.into_iter().take(MAX_QUOTED).filter_map(|line| {
            let of_text = text.lines().nth(line.checked_sub(1)?)?;
            Some(format!("\n{line:>6} | {}", of_text.chars().take(MAX_LINE).collect::<String>()))
        });
        mistakes.shown(name) + &quoted.collect::<String>()
    })
}

fn judge(read: Result<RuleFile, String>, reading: &Reading<'_>) -> Outcome {
    let file = match read {
        Ok(file) => file,
        Err(error) => {
            errln!("  FAILED:\n{error}");
            return Outcome::Wrong;
        }
    };
    let rules: Vec<&Rule> = file.groups.iter().flat_map(|group| &group.rules).collect();
    let twice = if reading.duplicates { duplicates(&rules) } else { Vec::new() };
    if twice.is_empty() {
        outln!("  SUCCESS: {} rules found\n", rules.len());
        return Outcome::Right;
    }
    errln!("  FAILED:\n{}", told(&twice));
    outln!();
    Outcome::Linted
}

/// Rules with the name and the labels of another one, each kind once.
fn duplicates<'a>(rules: &[&'a Rule]) -> Vec<&'a Rule> {
    let compare = |a: &Rule, b: &Rule| -> Ordering { a.name().cmp(b.name()).then_with(|| a.labels.cmp(&b.labels)) };
    let mut sorted = rules.to_vec();
    sorted.sort_by(|a, b| compare(a, b));
    let mut twice: Vec<&Rule> =
        sorted.windows(2).filter(|pair| compare(pair[0], pair[1]).is_eq()).map(|pair| pair[1]).collect();
    twice.dedup_by(|a, b| compare(a, b).is_eq());
    twice
}

fn told(twice: &[&Rule]) -> String {
    let mut out = format!("lint error {} duplicate rule(s) found.\n", twice.len());
    for rule in twice {
        let _ = writeln!(out, "Metric: {}\nLabel(s):", rule.name());
        for (name, value) in &rule.labels {
            let _ = writeln!(out, "\t{name}: {value}");
        }
    }
    out + "Might cause inconsistency while recording expressions"
}
