//! `promlake import`: history from elsewhere into the lake, with a line on stderr that says how far it is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use url::Url;

use crate::app::budget::Machine;
use crate::app::import::{Origin, Outcome, Settings, run as import};
use crate::app::system_clock;
use crate::cli::print::errln;
use crate::cli::progress::{Line, time_text};
use crate::config::http::HttpConfig;
use crate::error::{Error, Result};
use crate::ingest::import::tsdb::Wanted;
use crate::model::sample::TimeRange;
use crate::server::http::params::parse_time;
use crate::server::http::selectors::parse_all;
use crate::storage::place::Place;

/// Memory of samples that have to be sorted: a part of the machine's, between these.
const MEMORY_PART: u64 = 8;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 32 << 20..=1 << 30;

#[derive(Debug, Subcommand)]
pub enum Import {
    /// Blocks and, of one that was stopped, the newest samples of a Prometheus; or blocks of Thanos with samples as they
    /// were. May be run beside a server, which sees the data within seconds; twice changes nothing
    Tsdb(Tsdb),
    /// A file of OpenMetrics whose samples all have timestamps
    Openmetrics(OpenMetrics),
    /// What another server has, by Prometheus' remote read, day by day
    RemoteRead(RemoteRead),
}

#[derive(Args, Debug)]
pub struct Tsdb {
    /// The data folder of a Prometheus, a folder with blocks, or one block
    dir: PathBuf,
    /// Without what is not in blocks yet
    #[arg(long)]
    blocks_only: bool,
    #[command(flatten)]
    to: To,
}

#[derive(Args, Debug)]
pub struct OpenMetrics {
    file: PathBuf,
    #[command(flatten)]
    to: To,
}

#[derive(Args, Debug)]
pub struct RemoteRead {
    /// The server's remote read; /api/v1/read of one that is named without a path
    #[arg(value_parser = parse_url)]
    url: Url,
    /// Which series, as selectors; repeatable
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    selectors: Vec<String>,
    /// How the server is asked: user, password, certificates and what else requests have, in a file
    #[arg(long = "http.config.file", value_name = "FILE")]
    http_config_file: Option<PathBuf>,
    #[command(flatten)]
    to: To,
}

impl RemoteRead {
    /// The end is now where none is given.
    fn into_parts(mut self, now_ms: i64) -> Result<(Origin, To)> {
        if self.to.start.is_none() {
            return Err(Error::bad_input("--start says from when on the server is asked; it is missing"));
        }
        self.to.end.get_or_insert(now_ms);
        if self.url.path() == "/" {
            self.url.set_path("/api/v1/read");
        }
        let http = match &self.http_config_file {
            Some(_) if !self.url.username().is_empty() => {
                let text = "cannot set basic auth in the server URL and use a http.config.file at the same time";
                return Err(Error::bad_input(text));
            }
            Some(file) => HttpConfig::load(file)?,
            None => HttpConfig::default(),
        };
        let selectors: Vec<&str> = self.selectors.iter().map(String::as_str).collect();
        let matchers = parse_all(&selectors)?;
        Ok((Origin::RemoteRead { url: self.url, http: Box::new(http), matchers }, self.to))
    }
}

#[derive(Args, Debug)]
struct To {
    /// The lake: a folder, or s3://bucket/prefix
    #[arg(long = "storage.url", value_name = "URL", default_value = "./data")]
    storage_url: String,
    /// The lake in the folder promlake below this one, as the server's flag of this name has it
    #[arg(long = "storage.tsdb.path", value_name = "PATH", conflicts_with = "storage_url")]
    storage_tsdb_path: Option<String>,
    /// A label for all series, in place of one they have; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// No samples before this: Unix seconds or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_start, allow_hyphen_values = true)]
    start: Option<i64>,
    /// No samples after this
    #[arg(long, value_name = "TIME", value_parser = parse_start, allow_hyphen_values = true)]
    end: Option<i64>,
}

pub fn run(command: Import, machine: Machine) -> Result<()> {
    let (from, to) = match command {
        Import::Tsdb(tsdb) => (Origin::Tsdb { folder: tsdb.dir, head: !tsdb.blocks_only }, tsdb.to),
        Import::Openmetrics(openmetrics) => (Origin::OpenMetrics { file: openmetrics.file }, openmetrics.to),
        Import::RemoteRead(remote) => remote.into_parts(system_clock()())?,
    };
    let settings = settings(from, to, machine)?;
    let lake = settings.storage_url.clone();
    let started = Instant::now();
    let mut line = Line::default();
    let outcome = import(settings, line.period(), |seen| line.show(seen, started.elapsed()));
    line.end();
    report(&outcome?, &crate::app::without_secrets(&lake), started.elapsed());
    Ok(())
}

fn settings(from: Origin, to: To, machine: Machine) -> Result<Settings> {
    let place = match &to.storage_tsdb_path {
        Some(path) => Place::of_tsdb_path(path)?,
        None => Place::of_url(&to.storage_url)?,
    };
    let range = TimeRange::new(
        to.start.unwrap_or(TimeRange::ALL.start_inclusive),
        to.end.unwrap_or(TimeRange::ALL.end_inclusive),
    );
    if range.is_empty() {
        return Err(Error::bad_input("--end is before --start"));
    }
    let memory = (machine.memory_bytes / MEMORY_PART).clamp(*MEMORY_BYTES.start(), *MEMORY_BYTES.end());
    let wanted = Wanted { labels: to.labels, range, memory_bytes: memory as usize };
    Ok(Settings { from, storage_url: place.url, wanted, threads: machine.cores.clamp(1, 64) })
}

fn report(outcome: &Outcome, lake: &str, elapsed: Duration) {
    let summary = &outcome.summary;
    for note in outcome.left_out.iter().chain(&summary.notes) {
        errln!("note: {note}");
    }
    if let Some(reason) = &summary.left_out.first_reason {
        errln!("note: {} series cannot be kept and are left out, the first is {reason}", summary.left_out.series);
    }
    for (count, what) in [
        (summary.samples_left_out, "samples at times that have no date are left out"),
        (summary.contradictions, "samples are left out: the first of their series and time has another value"),
        (
            summary.exemplars_left_out,
            "exemplars are left out: too many, or labels that Prometheus does not keep either",
        ),
        (summary.done_before, "sources had been imported before and were not imported again"),
        (summary.resumed, "sources had been imported in part, and were imported from there on"),
    ] {
        if count > 0 {
            errln!("note: {count} {what}");
        }
    }
    errln!(
        "imported {} samples of {} days in {} into {lake}: {} series by day, {} of them new there; {} files, {:.1} MB{}",
        summary.samples,
        summary.days,
        time_text(elapsed),
        summary.series,
        summary.new_series,
        summary.files,
        summary.bytes as f64 / 1e6,
        match (summary.exemplars, summary.metadata) {
            (0, 0) => String::new(),
            (exemplars, metadata) => format!("; {exemplars} exemplars, metadata of {metadata} metrics"),
        }
    );
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("expected NAME=VALUE".to_string()),
    }
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err("expected http:// or https:// and a host".to_string()),
    }
}

fn parse_start(text: &str) -> Result<i64, String> {
    parse_time(text).map_err(|e| e.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".to_string(), "b=c".to_string())));
        assert!(parse_label("a").is_err() && parse_label("=b").is_err());
    }
}
