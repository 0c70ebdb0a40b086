//! `promlake test rules`: evaluates rules and expressions on series that a file describes, and says where they yield something
//! else than the file expects; with promtool's files, words and exit codes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use futures::{StreamExt, stream};
use regex::Regex;

use crate::app;
use crate::cli::language::Language;
use crate::cli::print::{err, errln, outln};
use crate::cli::test::evaluate::{Common, Outcome};
use crate::cli::test::junit::{Case, Suite};
use crate::config::glob;
use crate::config::protocol::NameValidation;
use crate::config::rule_tests::RuleTests;
use crate::config::rules::{RuleFile, RuleGroup};
use crate::engine::runtime::STACK_BYTES;
use crate::engine::session::Features;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::pattern;

/// Two lists of alerts as one, with what differs in colours.
mod diff;
/// One test from its beginning to its end.
mod evaluate;
/// The series that a test begins with.
mod input;
/// Results as JUnit has them.
mod junit;
/// Alerts and samples as text.
mod shown;
/// A store and an engine in memory, at a time that a test sets.
mod world;

#[derive(Args, Debug)]
pub struct Testing {
    #[command(subcommand)]
    test: Test,
    #[command(flatten)]
    language: Language,
    /// Write the results into this file, as JUnit has them in XML
    #[arg(long, global = true)]
    junit: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Test rules as files of tests say
    Rules(RulesTest),
}

#[derive(Args, Debug)]
struct RulesTest {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Run only tests whose name this regular expression finds something in; may be given several times
    #[arg(long)]
    run: Vec<String>,
    /// Print when tests begin and end, and all samples that there are then
    #[arg(long)]
    debug: bool,
    /// Print what differs in colours
    #[arg(long)]
    diff: bool,
    /// Let unknown keys of rule files pass
    #[arg(long)]
    ignore_unknown_fields: bool,
}

/// `program` is the name that promlake was called by.
pub fn run(testing: &Testing, program: &str) -> ExitCode {
    let Test::Rules(test) = &testing.test;
    match test.run(testing.language.features(), testing.junit.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            errln!("{program}: error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl RulesTest {
    /// Whether all went well.
    fn run(&self, features: Features, junit: Option<&Path>) -> Result<bool> {
        let wanted = self.wanted()?;
        // Before anything runs, as it would be for nothing otherwise.
        let report = junit.map(|path| created(path).map(|file| (path, file))).transpose()?;
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(threads)
            .thread_name("promlake-test")
            .thread_stack_size(STACK_BYTES)
            .build()
            .context(ErrorKind::Internal, || "cannot start the runtime".to_string())?;
        let mut suites = Vec::new();
        for file in &self.files {
            let mut suite = Suite::new(&file.display().to_string());
            let errors = runtime.block_on(self.file(file, &features, wanted.as_ref(), threads, &mut suite));
            match errors.is_empty() {
                true => outln!("  SUCCESS"),
                false => {
                    errln!("  FAILED:");
                    for error in &errors {
                        errln!("{error}");
                        outln!();
                    }
                }
            }
            outln!();
            suites.push(suite);
        }
        if let Some((path, mut file)) = report {
            let written = file.write_all(junit::document(&suites).as_bytes());
            written
                .context(ErrorKind::Unavailable, || format!("failed to write JUnit XML to {}", path.display()))?;
        }
        Ok(suites.iter().all(Suite::is_good))
    }

    fn wanted(&self) -> Result<Option<Regex>> {
        if self.run.is_empty() {
            return Ok(None);
        }
        let joined = self.run.join("|");
        pattern::anchored(&joined)?;
        pattern::anchored(&format!("(?s:.*)(?:{joined})(?s:.*)")).map(Some)
    }

    /// Runs the tests of a file side by side; yields what went wrong, in their order.
    async fn file(
        &self,
        path: &Path,
        features: &Features,
        wanted: Option<&Regex>,
        threads: usize,
        suite: &mut Suite,
    ) -> Vec<String> {
        let (file, common) = match self.read(path, features) {
            Ok(read) => read,
            Err(error) => {
                suite.abort(error.to_string());
                return vec![error.to_string()];
            }
        };
        suite.begin(app::system_clock()());
        let common = Arc::new(common);
        let tests = file.tests.into_iter().enumerate();
        let tests = tests.filter(|(_, test)| wanted.is_none_or(|wanted| wanted.is_match(&test.name)));
        let mut outcomes = stream::iter(tests)
            .map(|(place, test)| {
                let name = if test.name.is_empty() { format!("unnamed#{place}") } else { test.name.clone() };
                let (common, of) = (common.clone(), name.clone());
                let task = tokio::spawn(async move { evaluate::run(&of, &test, &common).await });
                async move { (name, task.await) }
            })
            .buffered(threads);
        let mut errors = Vec::new();
        while let Some((name, outcome)) = outcomes.next().await {
            let outcome =
                outcome.unwrap_or_else(|_| Outcome::of_error("the test panicked; this is a defect of promlake"));
            err!("{}", outcome.notes);
            suite.cases.push(Case { name, failures: outcome.errors.clone(), error: None });
            errors.extend(outcome.errors);
        }
        errors
    }

    /// The tests, and the rules that they are about.
    fn read(&self, path: &Path, features: &Features) -> Result<(RuleTests, Common)> {
        let file = RuleTests::load(path)?;
        let mut rule_files = Vec::new();
        for pattern in &file.rule_files {
            if glob::is_malformed(pattern) {
                return Err(Error::bad_input(format!("syntax error in pattern {pattern:?}")));
            }
            let found = glob::files(pattern);
            if found.is_empty() {
                errln!("  WARNING: no file match pattern {pattern}");
            }
            rule_files.extend(found);
        }
        let starts = file.tests.iter().map(evaluate::start_ms).collect::<Result<Vec<_>>>();
        starts
            .map_err(|error| Error::bad_input(format!("{}: start_timestamp: {}", path.display(), error.message)))?;
        let common = Common {
            interval_ms: file.evaluation_interval_ms,
            fuzzy: file.fuzzy,
            groups: self.groups(&rule_files, &file.group_order, features).map_err(|error| error.to_string()),
            features: features.clone(),
            diff: self.diff,
            debug: self.debug,
        };
        Ok((file, common))
    }

    /// All groups with their files, in the order of evaluation: as promtool has it, those without a place come with the first.
    fn groups(&self, files: &[PathBuf], order: &[String], features: &Features) -> Result<Vec<(String, RuleGroup)>> {
        let mut groups: Vec<(String, RuleGroup)> = Vec::new();
        for path in files {
            let language = features.language();
            let read = RuleFile::load_with(path, NameValidation::Utf8, &language, self.ignore_unknown_fields)?;
            let name = path.display().to_string();
            // One that several patterns name counts once.
            groups.retain(|(file, _)| *file != name);
            groups.extend(read.groups.into_iter().map(|group| (name.clone(), group)));
        }
        groups.sort_by_key(|(_, group)| order.iter().position(|name| *name == group.name).unwrap_or(0));
        Ok(groups)
    }
}

fn created(path: &Path) -> Result<File> {
    File::create(path).context(ErrorKind::BadInput, || format!("--junit={}", path.display()))
}
