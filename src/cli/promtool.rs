//! The name promtool: who calls promlake by it, through a link, gets promtool's command line for the commands that there are.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, FromArgMatches, Subcommand};

use crate::cli::print::{errln, outln};
use crate::cli::{check, promql, push, query, test, version};

/// What is wrong with a command line, in promtool's words.
mod words;

pub const NAME: &str = "promtool";
/// Commands of promtool that promlake has under another name, or not at all.
const OTHERS: &[(&str, &str)] = &[
    ("debug", "promlake shows its numbers at /metrics, and has no profiles"),
    (
        "tsdb",
        "promlake keeps samples in a lake; `promlake import tsdb` and `promlake import openmetrics` bring them there",
    ),
    ("write-documentation", "--help has it"),
];

#[derive(Debug, Subcommand)]
enum Tool {
    /// Check the resources for validity
    Check(check::Checking),
    /// Run query against a Prometheus server
    Query(query::Querying),
    /// Push to a Prometheus server
    Push(push::Pushing),
    /// Unit testing
    Test(test::Testing),
    /// PromQL formatting and editing. Requires the --experimental flag
    Promql(promql::Editing),
}

/// Whether that is what the program was called by.
pub fn is_name(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME)
}

/// The exit code of a wrong command line is 1, as promtool's.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if let Some((name, instead)) = missing(&args) {
        errln!("{NAME}: error: this is promlake, which has no `{NAME} {name}`: {instead}");
        return ExitCode::FAILURE;
    }
    if args.get(1).is_some_and(|arg| arg == "--version") {
        outln!("{}", version::text(NAME));
        return ExitCode::SUCCESS;
    }
    let command = command();
    if args.len() < 2 {
        outln!("{}", command.clone().render_help());
        return ExitCode::SUCCESS;
    }
    let matches = match command.clone().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => error.exit(),
        Err(error) => {
            errln!("{NAME}: error: {}, try --help", words::of(&error, &command, &args));
            return ExitCode::FAILURE;
        }
    };
    match Tool::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()) {
        Tool::Check(checking) => check::run(&checking),
        Tool::Query(querying) => query::run(&querying),
        Tool::Push(pushing) => push::run(&pushing),
        Tool::Test(testing) => test::run(&testing, NAME),
        Tool::Promql(editing) => promql::run(&editing),
    }
}

/// A command that is promtool's and not promlake's.
fn missing(args: &[OsString]) -> Option<(&'static str, &'static str)> {
    let command = args.iter().skip(1).find(|arg| !arg.to_string_lossy().starts_with('-'))?;
    OTHERS.iter().find(|(name, _)| command == name).copied()
}

/// Flags stand before the command or behind it.
fn command() -> Command {
    // Behind the commands they are arguments of theirs under the same name, which take what is given here.
    let features = Arg::new("enable_feature")
        .long("enable-feature")
        .value_name("NAME")
        .help("Features of PromQL that rules and expressions may use")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .global(true);
    let experimental = Arg::new("experimental")
        .long("experimental")
        .help("Enable experimental commands")
        .action(ArgAction::SetTrue)
        .global(true);
    let command = Command::new(NAME)
        .about("Tooling for the Prometheus monitoring system, in promlake")
        .disable_version_flag(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(features)
        .arg(experimental)
        .arg(Arg::new("version").long("version").help("Print the version").action(ArgAction::SetTrue));
    Tool::augment_subcommands(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn names() {
        let check =
            |program: &str, expected: bool| assert_eq!(is_name(Some(&program.into())), expected, "{program}");
        check("promtool", true);
        check("/usr/bin/promtool", true);
        check("promlake", false);
        check("/promtool/promlake", false);
        assert!(!is_name(None));
    }

    #[test]
    fn missing_commands() {
        let of = |given: &[&str]| missing(&args(given)).map(|(name, _)| name);
        assert_eq!(of(&["promtool", "tsdb", "list"]), Some("tsdb"));
        assert_eq!(of(&["promtool", "--experimental", "debug", "all", "http://a"]), Some("debug"));
        assert_eq!(of(&["promtool", "--experimental", "promql", "format", "up"]), None);
        assert_eq!(of(&["promtool", "check", "rules", "tsdb"]), None);
        assert_eq!(of(&["promtool"]), None);
    }

    /// Wherever they stand.
    #[test]
    fn features() {
        for given in [
            &["promtool", "--enable-feature=a,b", "check", "rules", "f"][..],
            &["promtool", "check", "--enable-feature=a", "rules", "--enable-feature", "b", "f"],
            &["promtool", "test", "rules", "f", "--enable-feature=a,b"],
        ] {
            let matches = command().try_get_matches_from(args(given)).unwrap();
            let (_, task) = matches.subcommand().unwrap();
            let features: Vec<&String> = task.get_many("enable_feature").unwrap().collect();
            assert!(features.contains(&&"b".to_string()), "{given:?}: {features:?}");
        }
    }

    #[test]
    fn experimental() {
        for given in [
            &["promtool", "--experimental", "promql", "format", "up"][..],
            &["promtool", "promql", "--experimental", "format", "up"],
            &["promtool", "promql", "format", "up", "--experimental"],
        ] {
            let matches = command().try_get_matches_from(args(given)).unwrap();
            let (_, task) = matches.subcommand().unwrap();
            assert!(task.get_flag("experimental"), "{given:?}");
        }
    }
}
