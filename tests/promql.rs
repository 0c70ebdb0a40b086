//! Runs promqltest scripts in every storage state: ours in `tests/promql`, and Prometheus' own where a folder
//! with them exists. Cases that fail for a known reason stand in `tests/promql/known_failures.txt`, a list
//! that may only shrink: a failure that is not on it fails the run, and so does a listed case that passes.
//!
//! - `PROMQLTEST_DIR`: Prometheus' `promql/promqltest/testdata`; `../shared/promqltest` where it exists
//! - `PROMQLTEST_FILTER`: only files whose name contains this
//! - `PROMQLTEST_STATES`: of `head,flushed,half,compacted`, separated by commas
//! - `PROMQLTEST_HIDDEN=0`: leave out the further executions of instant queries
//! - `PROMQLTEST_VERBOSE=1`: print every failure
//! - `PROMQLTEST_REPORT`: a file to write all failures to, in the form of the list

#[path = "support/promqltest/mod.rs"]
mod promqltest;
/// How tests skip.
#[allow(dead_code)]
#[path = "support/skip.rs"]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures::{StreamExt, stream};
use promqltest::run::{Outcome, State, run_script};
use promqltest::script::{Command, parse_script};

struct Settings {
    files: Vec<PathBuf>,
    states: Vec<State>,
    hidden: bool,
    verbose: bool,
    report: Option<PathBuf>,
}

/// `file:line` of each case and why it failed, by state.
type Failures = BTreeMap<String, Vec<(State, String)>>;

fn main() -> ExitCode {
    let settings = settings();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    match runtime.block_on(run(&settings)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Settings {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql");
    let suite = upstream(env("PROMQLTEST_DIR"));
    let filter = env("PROMQLTEST_FILTER").unwrap_or_default();
    let mut files = [scripts(&own), suite].concat();
    files.retain(|file| name_of(file).contains(&filter));
    let states = env("PROMQLTEST_STATES");
    let wanted = |state: &State| match &states {
        Some(names) => names.split(',').any(|name| name.trim() == state.to_string()),
        None => true,
    };
    Settings {
        files,
        states: State::ALL.into_iter().filter(wanted).collect(),
        hidden: env("PROMQLTEST_HIDDEN").as_deref() != Some("0"),
        verbose: env("PROMQLTEST_VERBOSE").as_deref() == Some("1"),
        report: env("PROMQLTEST_REPORT").map(PathBuf::from),
    }
}

/// Prometheus' own. A folder that is named has them; without any the others run alone, and that is told.
fn upstream(named: Option<String>) -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/promqltest");
    let suite = scripts(named.as_deref().map_or(&beside, Path::new));
    match named {
        Some(folder) => assert!(!suite.is_empty(), "PROMQLTEST_DIR={folder} has no .test files"),
        None if suite.is_empty() => {
            skip::skip_for_now("Prometheus' own promql tests", "their folder is to be named by PROMQLTEST_DIR");
        }
        None => {}
    }
    suite
}

/// The scripts of a folder, sorted; none where the folder is missing.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "test")).collect();
    files.sort();
    files
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs every file in every state, two at a time. `true` when nothing unexpected happened.
async fn run(settings: &Settings) -> Result<bool, String> {
    let mut jobs = Vec::new();
    for file in &settings.files {
        let name = name_of(file);
        let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
        let commands: Arc<Vec<Command>> = Arc::new(parse_script(&text).map_err(|why| format!("{name}: {why}"))?);
        jobs.extend(settings.states.iter().map(|state| (name.clone(), commands.clone(), *state)));
    }
    let hidden = settings.hidden;
    let mut results = stream::iter(jobs)
        .map(|(name, commands, state)| async move {
            let outcomes = tokio::spawn(async move { run_script(&commands, state, hidden).await }).await;
            (name, state, outcomes)
        })
        .buffered(2);
    let (mut failures, mut passed, mut failed) = (Failures::new(), 0, 0);
    let mut seen = BTreeSet::new();
    while let Some((name, state, outcomes)) = results.next().await {
        let outcomes = outcomes.map_err(|e| format!("{name} {state}: {e}"))?;
        let bad = outcomes.iter().filter(|o| o.failure.is_some()).count();
        println!("{name} {state}: {} passed, {bad} failed", outcomes.len() - bad);
        passed += outcomes.len() - bad;
        failed += bad;
        for Outcome { line, query, failure } in outcomes {
            let case = format!("{name}:{line}");
            if let Some(why) = failure {
                if settings.verbose {
                    println!("  {case} {state} {query}\n    {why}");
                }
                failures.entry(case.clone()).or_default().push((state, why));
            }
            seen.insert(case);
        }
    }
    println!("total: {passed} passed, {failed} failed");
    if let Some(path) = &settings.report {
        write_report(path, &failures).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(agrees_with_list(&failures, &seen))
}

fn write_report(path: &Path, failures: &Failures) -> std::io::Result<()> {
    let line = |(case, states): (&String, &Vec<(State, String)>)| format!("{case} {}\n", shortened(&states[0].1));
    std::fs::write(path, failures.iter().map(line).collect::<String>())
}

/// One line of at most 300 characters.
fn shortened(why: &str) -> String {
    why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

/// Compares failures with the list of known ones, for the cases that ran.
fn agrees_with_list(failures: &Failures, seen: &BTreeSet<String>) -> bool {
    let known = known_failures();
    let new: Vec<&String> = failures.keys().filter(|case| !known.contains(*case)).collect();
    let fixed: Vec<&String> = known.iter().filter(|c| seen.contains(*c) && !failures.contains_key(*c)).collect();
    for case in &new {
        let (state, why) = &failures[*case][0];
        let (why, states) = (shortened(why), failures[*case].len());
        println!("failed and not a known failure: {case} ({state}, {states} states): {why}");
    }
    for case in &fixed {
        println!("passes now, take it off tests/promql/known_failures.txt: {case}");
    }
    new.is_empty() && fixed.is_empty()
}

/// The `file:line` words of the list.
fn known_failures() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promql/known_failures.txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_string).collect()
}
