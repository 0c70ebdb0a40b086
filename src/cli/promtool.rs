//! The name promtool: who calls promlake by it, through a link, gets promtool's command line for the commands that there are.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, FromArgMatches, Subcommand};

use crate::cli::{check, test, version};

const NAME: &str = "promtool";
/// Commands of promtool that promlake has under another name, or not at all.
const OTHERS: &[(&str, &str)] = &[
    ("debug", "promlake shows its numbers at /metrics, and has no profiles"),
    ("promql", "there is no command that changes expressions"),
    ("push", "there is no command that sends samples"),
    ("query", "`promlake query` asks servers"),
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
    /// Unit testing
    Test(test::Testing),
}

/// Whether that is what the program was called by.
pub fn is_name(program: Option<&OsString>) -> bool {
    program.and_then(|program| Path::new(program).file_name()).is_some_and(|name| name == NAME)
}

/// The exit code of a wrong command line is 1, as promtool's.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if let Some((name, instead)) = missing(&args) {
        eprintln!("{NAME}: error: this is promlake, which has no `{NAME} {name}`: {instead}");
        return ExitCode::FAILURE;
    }
    if args.get(1).is_some_and(|arg| arg == "--version") {
        println!("{}", version::text(NAME));
        return ExitCode::SUCCESS;
    }
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => error.exit(),
        Err(error) => {
            let text = match error.get(ContextKind::InvalidSubcommand) {
                Some(ContextValue::String(given)) => format!("expected command but got {given:?}, try --help"),
                _ => error.to_string(),
            };
            eprintln!("{NAME}: error: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end());
            return ExitCode::FAILURE;
        }
    };
    match Tool::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()) {
        Tool::Check(checking) => check::run(&checking),
        Tool::Test(testing) => test::run(&testing),
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
        .help("Features of PromQL that rules may use")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .global(true);
    let experimental = Arg::new("experimental")
        .long("experimental")
        .help("Has no effect: no command needs it")
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
        assert_eq!(of(&["promtool", "--experimental", "promql", "format", "up"]), Some("promql"));
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
}
