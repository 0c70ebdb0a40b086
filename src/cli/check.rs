//! `promlake check`, in promtool's words and with its exit codes: 0 where all is right, 1 where something is not, 3 where
//! a linter has something to say.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::values;
use crate::config::file::{Config, Options};
use crate::model::duration;
use crate::server::access::door as access;

/// Names and types of an exposition.
mod metrics;
/// What a job finds.
mod service_discovery;
/// Targets that are written down.
mod targets;
/// What a running server says of itself.
mod server;

/// The exit code of linters.
const LINT_FAILURE: u8 = 3;

#[derive(Debug, Subcommand)]
pub enum Check {
    /// Read configuration files, and say all that is wrong with them and with the files they name
    Config(ConfigCheck),
    /// Read metrics from standard input, and say what their names and types should be instead
    Metrics(metrics::Metrics),
    /// Run the service discovery of a job, and print what it finds and what relabelling makes of it
    ServiceDiscovery {
        config_file: PathBuf,
        job: String,
        /// The time to wait for discovery results
        #[arg(long, default_value = "30s", value_parser = positive_duration)]
        timeout: Duration,
    },
    /// Read web configuration files and the certificates they name, and say all that is wrong with them
    WebConfig {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Ask a server whether it is healthy
    Healthy(server::Asked),
    /// Ask a server whether it is ready for queries
    Ready(server::Asked),
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let ms = duration::parse(text).map_err(|error| error.to_string())?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|_| "it is negative".to_string())
}

#[derive(Args, Debug)]
pub struct ConfigCheck {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only check the files themselves, not what they name
    #[arg(long)]
    syntax_only: bool,
    /// What else to look for: all, duplicate-rules, too-long-scrape-interval or none, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "duplicate-rules")]
    lint: Vec<String>,
    /// End with code 3 where that finds something
    #[arg(long)]
    lint_fatal: bool,
    /// Let unknown keys of rule groups pass
    #[arg(long)]
    ignore_unknown_fields: bool,
    /// Check for agent mode
    #[arg(long)]
    agent: bool,
    /// The lookback of the server, which a scrape interval should be below
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    lookback_delta: Duration,
}

pub fn run(check: &Check) -> ExitCode {
    match check {
        Check::Config(check) => check.run(),
        Check::Metrics(check) => check.run(),
        Check::ServiceDiscovery { config_file, job, timeout } => service_discovery::run(config_file, job, *timeout),
        Check::WebConfig { files } => web_configs(files),
        Check::Healthy(asked) => asked.run("/-/healthy"),
        Check::Ready(asked) => asked.run("/-/ready"),
    }
}

/// Tells of each file whether it is right.
fn web_configs(files: &[PathBuf]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match access::check(file) {
            Ok(()) => eprintln!("{} SUCCESS", file.display()),
            Err(error) => {
                eprintln!("{} FAILED: {error}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// What became of a file.
enum Outcome {
    Right,
    /// Right, and a linter has something to say.
    Linted,
    Wrong,
}

impl ConfigCheck {
    fn run(&self) -> ExitCode {
        for option in self.lint.iter().filter(|option| !LINTS.contains(&option.as_str())) {
            println!("WARNING: unknown lint option: {option:?}");
        }
        let outcomes: Vec<Outcome> = self.files.iter().map(|file| self.check(file)).collect();
        let linted = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Linted));
        match outcomes.iter().any(|outcome| matches!(outcome, Outcome::Wrong)) {
            true => ExitCode::FAILURE,
            false if linted && self.lint_fatal => ExitCode::from(LINT_FAILURE),
            false => ExitCode::SUCCESS,
        }
    }

    fn check(&self, file: &Path) -> Outcome {
        println!("Checking {}", file.display());
        let options = Options { agent: self.agent, ..Options::default() };
        let config = match Config::load_with(file, &options) {
            Ok(config) => config,
            Err(error) => {
                eprintln!("  FAILED:\n{error}\n");
                return Outcome::Wrong;
            }
        };
        if !self.syntax_only {
            let missing = config.missing_files(&file.display().to_string());
            if !missing.is_empty() {
                eprintln!("  FAILED:\n{}\n", missing.join("\n"));
                return Outcome::Wrong;
            }
            let targets = targets::check(&config);
            targets.warnings.iter().for_each(|warning| println!("  WARNING: {warning}"));
            if !targets.faults.is_empty() {
                eprintln!("  FAILED:\n{}\n", targets.faults.join("\n"));
                return Outcome::Wrong;
            }
            if let Err(missing) = config.not_built() {
                missing.shown(&file.display().to_string()).lines().for_each(|line| println!("  WARNING: {line}"));
            }
            let rules = config.rule_paths();
            if !rules.is_empty() {
                println!("  SUCCESS: {} rule files found", rules.len());
                let ignored =
                    if self.ignore_unknown_fields { ", --ignore-unknown-fields has no effect" } else { "" };
                println!("  WARNING: rule files are not checked yet{ignored}");
            }
        }
        println!(" SUCCESS: {} is valid prometheus config file syntax\n", file.display());
        if self.syntax_only { Outcome::Right } else { self.lint(&config) }
    }

    fn lint(&self, config: &Config) -> Outcome {
        let asked = |option: &str| self.lint.iter().any(|given| given == option);
        if asked("none") || !(asked("all") || asked("too-long-scrape-interval")) {
            return Outcome::Right;
        }
        let lookback_ms = self.lookback_delta.as_millis() as i64;
        // The first one is enough, as promtool has it.
        let Some(job) = config.scrape_configs.iter().find(|job| job.scrape_interval_ms >= lookback_ms) else {
            return Outcome::Right;
        };
        eprintln!(
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.job_name,
            duration::format(job.scrape_interval_ms)
        );
        Outcome::Linted
    }
}

/// `duplicate-rules` is about rule files, which are not read yet.
const LINTS: &[&str] = &["all", "duplicate-rules", "none", "too-long-scrape-interval"];
