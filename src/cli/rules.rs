//! `promlake rules backfill`: results of recording rules for the past, with a line on stderr that says how far it is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::app::backfill::{Settings, run as backfill};
use crate::app::budget::Machine;
use crate::app::system_clock;
use crate::cli::language::Language;
use crate::cli::print::errln;
use crate::cli::progress::{Line, time_text};
use crate::cli::values;
use crate::error::{Error, Result};
use crate::model::sample::TimeRange;
use crate::rules::backfill::run::Summary;
use crate::server::http::params::parse_time;
use crate::storage::lake::files::timestamp_text;
use crate::storage::place::Place;

/// How long ago the end is where none is given, as promtool has it: what is newer may not be in the lake yet.
const DEFAULT_AGE_MS: i64 = 3 * 3_600_000;

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Evaluate recording rules for the past and write what comes out into the lake, as a server would have done. Needs no
    /// server and may be run beside one, which sees it within seconds. Twice changes nothing, and one that was ended goes on
    /// where it was
    Backfill(Backfill),
}

#[derive(Args, Debug)]
pub struct Backfill {
    /// Rule files, named as the server names them (/api/v1/rules), as the times of evaluations follow from that; alerting
    /// rules in them are passed over
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// From when on: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse, allow_hyphen_values = true)]
    start: i64,
    /// Up to when; 3 hours ago by default
    #[arg(long, value_name = "TIME", value_parser = parse, allow_hyphen_values = true)]
    end: Option<i64>,
    /// Between evaluations of groups that say nothing else, as evaluation_interval of the server
    #[arg(long = "eval-interval", value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    eval_interval: Duration,
    /// The lake: a folder, or s3://bucket/prefix
    #[arg(long = "storage.url", value_name = "URL", default_value = "./data")]
    storage_url: String,
    /// The lake in the folder promlake below this one, as the server's flag of this name has it
    #[arg(long = "storage.tsdb.path", value_name = "PATH", conflicts_with = "storage_url")]
    storage_tsdb_path: Option<String>,
    /// How old the newest sample of a series may be to count as its value
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    query_lookback_delta: Duration,
    /// Evaluate also what a run before has done, for what was imported since; only samples that are missing are added
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    language: Language,
}

pub fn run(command: Rules, machine: Machine) -> Result<()> {
    let Rules::Backfill(command) = command;
    let place = match &command.storage_tsdb_path {
        Some(path) => Place::of_tsdb_path(path)?,
        None => Place::of_url(&command.storage_url)?,
    };
    let now_ms = system_clock()();
    let end = command.end.unwrap_or(now_ms - DEFAULT_AGE_MS);
    if end > now_ms {
        return Err(Error::bad_input("--end is in the future, of which rules have no results"));
    }
    let range = TimeRange::new(command.start, end);
    if range.is_empty() {
        let given = if command.end.is_some() { "--end" } else { "the end, 3 hours ago," };
        return Err(Error::bad_input(format!("{given} is before --start")));
    }
    let interval_ms = i64::try_from(command.eval_interval.as_millis()).ok().filter(|ms| *ms > 0);
    let interval_ms = interval_ms.ok_or_else(|| Error::bad_input("--eval-interval must be longer than nothing"))?;
    let lake = crate::app::without_secrets(&place.url);
    let settings = Settings {
        files: command.files,
        place,
        range,
        interval_ms,
        lookback_ms: i64::try_from(command.query_lookback_delta.as_millis()).unwrap_or(i64::MAX),
        features: command.language.features(),
        again: command.again,
        machine,
    };
    let started = Instant::now();
    let mut line = Line::default();
    let summary = backfill(settings, line.period(), |seen| line.show(seen, started.elapsed()));
    line.end();
    report(&summary?, range, &lake, started.elapsed());
    Ok(())
}

fn report(summary: &Summary, range: TimeRange, lake: &str, elapsed: Duration) {
    let compared = &summary.compared;
    if let Some(reason) = &summary.left_out.first_reason {
        let count = summary.left_out.series;
        errln!("note: {count} series cannot be kept and are left out, the first is {reason}");
    }
    for (rule, failures) in &summary.failed {
        let (at, why) = failures.first.clone().unwrap_or_default();
        let (at, count) = (timestamp_text(at), failures.count);
        errln!("note: {count} evaluations of {rule} failed and have no results, the first at {at}: {why}");
    }
    if let Some(first) = &compared.first_other {
        let (count, at) = (compared.other, timestamp_text(first.timestamp));
        errln!(
            "note: {count} samples are in the lake with other values, which stay, the first is {} at {at}: {}, not {}",
            first.labels,
            first.stored,
            first.given
        );
    }
    for (count, what) in [
        (
            summary.alerting_rules as u64,
            "alerting rules are passed over: only recording rules have results for the past",
        ),
        (
            summary.together as u64,
            "rules are evaluated time by time, as they read what was written before by themselves or by later rules, or \
             depend on the range of a query",
        ),
        (summary.invalid, "results are left out: histograms that are none"),
        (summary.contradictions, "results are left out: an earlier rule has others of the same labels and time"),
        (compared.same, "samples were in the lake already"),
        (
            summary.done_before as u64,
            "groups had been written for this time before and were not evaluated (--again evaluates them)",
        ),
        (summary.resumed as u64, "groups had been written in part, and were evaluated from there on"),
    ] {
        if count > 0 {
            errln!("note: {count} {what}");
        }
    }
    errln!(
        "wrote {} samples of {} rules from {} to {} in {} into {lake}: {} evaluations, {} series by day, {} files, {:.1} MB",
        compared.new,
        summary.rules,
        timestamp_text(range.start_inclusive),
        timestamp_text(range.end_inclusive),
        time_text(elapsed),
        summary.evaluations,
        summary.series,
        summary.files,
        summary.bytes as f64 / 1e6,
    );
}

fn parse(text: &str) -> Result<i64, String> {
    parse_time(text).map_err(|e| e.message)
}
