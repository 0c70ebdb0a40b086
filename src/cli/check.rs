//! `promlake check`, in promtool's words and with its exit codes: 0 where all is right, 1 where something is not. Where a linter
//! has something to say it is 3, of configurations and rules only with `--lint-fatal`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::check::outcome::{Outcome, exit_code};
use crate::cli::check::rules::Reading;
use crate::cli::language::Language;
use crate::cli::print::{errln, outln};
use crate::cli::values;
use crate::config::file::{Config, Options};
use crate::model::duration;
use crate::promql::parse::ParseOptions;
use crate::server::access::door as access;

/// Names and types of an exposition.
mod metrics;
/// What becomes of files.
mod outcome;
/// Rule files.
mod rules;
/// What a job finds.
mod service_discovery;
/// Targets that are written down.
mod targets;
/// What a running server says of itself.
mod server;

#[derive(Args, Debug)]
pub struct Checking {
    #[command(subcommand)]
    check: Check,
    #[command(flatten)]
    language: Language,
    /// The lookback of the server, which a scrape interval should be below
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = values::duration,
        global = true
    )]
    lookback_delta: Duration,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Read configuration files, and say all that is wrong with them and with the files they name
    Config(ConfigCheck),
    /// Read rule files, or standard input, and say all that is wrong with them
    Rules(rules::RulesCheck),
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
struct ConfigCheck {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only check the files themselves, not what they name
    #[arg(long)]
    syntax_only: bool,
    /// What else to look for: all, duplicate-rules, too-long-scrape-interval or none, separated by commas
    #[arg(long, default_value = "duplicate-rules")]
    lint: String,
    /// End with code 3 where that finds something
    #[arg(long)]
    lint_fatal: bool,
    /// Let unknown keys of rule groups pass
    #[arg(long)]
    ignore_unknown_fields: bool,
    /// Check for agent mode
    #[arg(long)]
    agent: bool,
}

pub fn run(checking: &Checking) -> ExitCode {
    let language = checking.language.features().language();
    match &checking.check {
        Check::Config(check) => exit_code(&check.run(&language, checking.lookback_delta), check.lint_fatal),
        Check::Rules(check) => exit_code(&check.run(&language), check.lint_fatal),
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
            Ok(()) => errln!("{} SUCCESS", file.display()),
            Err(error) => {
                errln!("{} FAILED: {error}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// What a check of configurations looks for beside mistakes.
struct Lints {
    /// `None` where scrape intervals may be as long as they are.
    lookback_ms: Option<i64>,
    duplicates: bool,
}

impl Lints {
    fn of(options: &str, lookback: Duration) -> Self {
        let options: Vec<&str> = options.split(',').collect();
        if options.contains(&"none") {
            return Self { lookback_ms: None, duplicates: false };
        }
        let intervals = options.iter().any(|option| matches!(*option, "all" | "too-long-scrape-interval"));
        let of_rules = options.iter().copied().filter(|option| *option != "too-long-scrape-interval");
        Self {
            lookback_ms: intervals.then(|| i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX)),
            duplicates: rules::looks_for_duplicates(of_rules),
        }
    }
}

impl ConfigCheck {
    fn run(&self, language: &ParseOptions, lookback: Duration) -> Vec<Outcome> {
        let lints = Lints::of(&self.lint, lookback);
        self.files.iter().flat_map(|file| self.check(file, language, &lints)).collect()
    }

    fn check(&self, file: &Path, language: &ParseOptions, lints: &Lints) -> Vec<Outcome> {
        outln!("Checking {}", file.display());
        let config = match self.read(file) {
            Ok(config) => config,
            Err(message) => {
                errln!("  FAILED:\n{message}");
                outln!();
                return vec![Outcome::Wrong];
            }
        };
        let rule_files = if self.syntax_only { Vec::new() } else { config.rule_paths() };
        if !rule_files.is_empty() {
            outln!("  SUCCESS: {} rule files found", rule_files.len());
        }
        outln!(" SUCCESS: {} is valid prometheus config file syntax\n", file.display());
        if self.syntax_only {
            return vec![Outcome::Right];
        }
        let reading = Reading {
            names: config.global.name_validation,
            language,
            ignore_unknown: self.ignore_unknown_fields,
            duplicates: lints.duplicates,
        };
        let mut outcomes = vec![lint_intervals(&config, lints)];
        outcomes.extend(rules::check_files(&rule_files, &reading));
        outcomes
    }

    /// The configuration, and what it names looked at.
    fn read(&self, file: &Path) -> Result<Config, String> {
        let options = Options { agent: self.agent, ..Options::default() };
        let config = Config::load_with(file, &options).map_err(|error| error.to_string())?;
        if self.syntax_only {
            return Ok(config);
        }
        let missing = config.missing_files(&file.display().to_string());
        if !missing.is_empty() {
            return Err(missing.join("\n"));
        }
        let targets = targets::check(&config);
        targets.warnings.iter().for_each(|warning| outln!("  WARNING: {warning}"));
        if !targets.faults.is_empty() {
            return Err(targets.faults.join("\n"));
        }
        if let Err(missing) = config.not_built() {
            missing.shown(&file.display().to_string()).lines().for_each(|line| outln!("  WARNING: {line}"));
        }
        Ok(config)
    }
}

fn lint_intervals(config: &Config, lints: &Lints) -> Outcome {
    let too_long = |interval_ms: i64| lints.lookback_ms.is_some_and(|lookback_ms| interval_ms >= lookback_ms);
    // The first one is enough, as promtool has it.
    let Some(job) = config.scrape_configs.iter().find(|job| too_long(job.scrape_interval_ms)) else {
        return Outcome::Right;
    };
    errln!(
        "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
        job.job_name,
        duration::format(job.scrape_interval_ms)
    );
    Outcome::Linted
}
