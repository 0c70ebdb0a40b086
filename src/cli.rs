//! The command line: flags and subcommands to settings. `promlake` alone serves. Prometheus' flags keep their
//! names and meaning, and are read as Prometheus reads them ([`arguments`]). Those that decide nothing here are taken and
//! told of ([`accepted`]).

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use regex::Regex;

use crate::app;
use crate::app::budget::Machine;
use crate::cli::accepted::Accepted;
use crate::cli::print::{errln, outln};

/// Flags of Prometheus that decide nothing here.
mod accepted;
/// Arguments as Prometheus reads them.
mod arguments;
/// `promlake check`: says what is wrong with files.
mod check;
/// `promlake demo`: a shop that is measured, and the server beside it.
mod demo;
/// `--enable-feature`.
mod features;
/// The flags of the server.
pub mod flags;
/// `promlake import`: history from elsewhere into the lake.
mod import;
/// `promtool promql`: changes of expressions.
mod promql;
/// `promtool push`: sends samples.
mod push;
/// Features of PromQL, for commands that read rules.
mod language;
/// How far a long task is.
mod progress;
/// The name promtool, and its command line.
mod promtool;
/// Texts on standard output and standard error.
mod print;
/// How commands ask a server.
mod access;
/// `promlake query`: asks a running server, and prints its answer as promtool does.
mod query;
/// `promlake rules`: results of recording rules for the past.
mod rules;
/// `promlake test`: evaluates rules on series that a file describes.
mod test;
/// `promlake user`: what is kept of a password.
mod user;
/// Values of flags.
mod values;
/// `--version`.
mod version;

/// The exit code of a command line that is wrong, and of one whose flags are for the other mode, as in Prometheus.
const WRONG: u8 = 2;
const WRONG_MODE: u8 = 3;

#[derive(Debug, Parser)]
#[command(name = "promlake", about, long_about = None, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    serve: flags::Serve,
    /// Print the version
    #[arg(long)]
    version: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Ask a running server, or any server that speaks Prometheus' HTTP API
    Query(query::Querying),
    /// Check files
    Check(check::Checking),
    /// Test rules
    Test(test::Testing),
    /// Put the history of a Prometheus, or a file, into the lake
    #[command(subcommand)]
    Import(import::Import),
    /// Serve, with a small shop to look at
    Demo(demo::Demo),
    /// Work on rules
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Print the line of a user for the web configuration file
    User(user::User),
}

/// Runs the command line; the exit code is 0, 1 for a failure, 2 for a wrong command line, 3 for flags of the other mode.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if promtool::is_name(args.first()) {
        return promtool::main(args);
    }
    let command = command();
    let args = match arguments(&command, args) {
        Ok(args) => args,
        Err(error) => {
            errln!("promlake: error: {error}\nTry promlake --help.");
            return ExitCode::from(WRONG);
        }
    };
    if args[1..] == ["--help"] {
        outln!("{}", help(command));
        return ExitCode::SUCCESS;
    }
    let matches = match command.clone().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    if let Err(error) = flags::check_mode(&matches, &command) {
        errln!("promlake: error: {error}");
        return ExitCode::from(WRONG_MODE);
    }
    let flags = flags::as_given(&command, &matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.version {
        outln!("{}", version::text("promlake"));
        return ExitCode::SUCCESS;
    }
    let result = match cli.command {
        None => cli.serve.into_settings(flags, Machine::read(Path::new("/"))).and_then(app::run),
        Some(Task::Query(querying)) => return query::run(&querying),
        Some(Task::Check(checking)) => return check::run(&checking),
        Some(Task::Test(testing)) => return test::run(&testing, "promlake"),
        Some(Task::Import(command)) => import::run(command, Machine::read(Path::new("/"))),
        Some(Task::Demo(demo)) => match demo::open(demo) {
            Ok(args) => return main(args),
            Err(error) => Err(error),
        },
        Some(Task::Rules(command)) => rules::run(command, Machine::read(Path::new("/"))),
        Some(Task::User(user)) => user::run(&user),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("promlake: error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// With flags grouped by what they are about.
fn command() -> Command {
    let heading = |name: &str| {
        Some(match name.split('.').next().filter(|_| name.contains('.'))? {
            "config" => "Configuration",
            "web" => "HTTP",
            "pg" => "Postgres protocol",
            "storage" => "Storage",
            "scrape" => "Scraping",
            "query" => "Queries",
            "log" => "Logs",
            _ => return None,
        })
    };
    let command = Cli::command().mut_args(|arg| {
        let heading = arg.get_long().and_then(heading);
        arg.help_heading(heading)
    });
    command.after_help(Accepted::help())
}

/// The text of `--help`, with switches in the form in which they are read.
fn help(mut command: Command) -> String {
    let switch = Regex::new(r"--([a-z.-]+)\[=<[^>]*>\]").expect("a pattern of ours");
    let text = command.render_help().to_string();
    switch.replace_all(&text, "--[no-]$1").replace(" [possible values: true, false]", "")
}

/// What clap is to read: the arguments of subcommands as they are, those of the server as Prometheus means them.
fn arguments(command: &Command, args: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let is_task = |arg: &OsString| command.get_subcommands().any(|task| arg == task.get_name()) || arg == "help";
    if args.get(1).is_some_and(is_task) {
        return Ok(args);
    }
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| "promlake".into());
    let texts = args.map(|arg| arg.into_string().map_err(|arg| format!("{arg:?} is not UTF-8")));
    let read = arguments::read(command, texts.collect::<Result<_, _>>()?)?;
    Ok(std::iter::once(program).chain(read.into_iter().map(OsString::from)).collect())
}

#[cfg(test)]
mod tests {
    use clap::ArgMatches;

    use super::*;
    use crate::app::budget::{Budget, Source, of};

    fn matches(args: &[&str]) -> Result<(Command, ArgMatches), String> {
        let command = command();
        let args = std::iter::once("promlake").chain(args.iter().copied()).map(OsString::from).collect();
        let args = arguments(&command, args)?;
        let matches = command.clone().try_get_matches_from(&args).map_err(|e| e.to_string())?;
        Ok((command, matches))
    }

    /// In a container of 512 MiB.
    fn parse(args: &[&str]) -> Result<app::Settings, String> {
        let (command, matches) = matches(args)?;
        flags::check_mode(&matches, &command).map_err(|e| e.to_string())?;
        let given = flags::as_given(&command, &matches);
        let cli = Cli::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        let machine = Machine { memory_bytes: 512 << 20, from: Source::Cgroup, cores: 4 };
        cli.serve.into_settings(given, machine).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn defaults() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.web.listen_addresses, ["127.0.0.1:9090"]);
        assert_eq!(settings.pg_listen_address, "127.0.0.1:9432");
        assert_eq!(settings.storage.url, "./data");
        assert_eq!(settings.engine.timeout.as_secs(), 120);
        assert_eq!(settings.engine.lookback_delta_ms, 300_000);
        assert_eq!(settings.web.remote_write, None);
        assert!(!settings.engine.features.experimental_functions);
        let flag = |name: &str| settings.web.flags.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(flag("query.timeout"), Some("2m"));
        assert_eq!(flag("config.file"), Some(""));
    }

    /// Each share is that of the container unless its flag says otherwise, reaches the part it is for, and is shown among
    /// the flags.
    #[test]
    fn budgets() {
        let settings = parse(&[]).unwrap();
        let shares = of(settings.machine);
        assert_eq!(settings.budget, shares);
        let check =
            |flag: &str, shown: &str, expected: Budget, in_force: fn(&app::Settings) -> usize, value: usize| {
                let settings = parse(&[&format!("--{flag}={shown}")]).unwrap();
                assert_eq!(settings.budget, expected, "{flag}");
                assert_eq!(in_force(&settings), value, "{flag}");
                let all = &settings.web.flags;
                assert!(all.contains(&(flag.to_string(), shown.to_string())), "{all:?}");
            };
        let mib = 1 << 20;
        check(
            "query.memory-bytes",
            "64MB",
            Budget { pool_bytes: 64 * mib, ..shares },
            |s| s.engine.memory_bytes,
            64 * mib,
        );
        check(
            "query.spill-bytes",
            "3MB",
            Budget { spill_bytes: 3 * mib, ..shares },
            |s| s.engine.spill_bytes,
            3 * mib,
        );
        check(
            "query.footer-bytes",
            "6MB",
            Budget { footer_bytes: 6 * mib, ..shares },
            |s| s.engine.footer_bytes,
            6 * mib,
        );
        check(
            "pg.message-bytes",
            "2MB",
            Budget { message_bytes: 2 * mib, ..shares },
            |s| s.budget.message_bytes,
            2 * mib,
        );
        check("storage.cache-bytes", "0", Budget { cache_bytes: 0, ..shares }, |s| s.storage.cache_bytes, 0);
        check(
            "storage.flush-bytes",
            "9MB",
            Budget { flush_bytes: 9 * mib, ..shares },
            |s| s.storage.flush_bytes,
            9 * mib,
        );
        check(
            "storage.wal.queue-bytes",
            "2GB",
            Budget { queue_bytes: 2048 * mib, ..shares },
            |s| s.storage.queue_bytes,
            2048 * mib,
        );
        check(
            "storage.wal.buffer-bytes",
            "7MB",
            Budget { wal_buffer_bytes: 7 * mib, ..shares },
            |s| s.storage.wal_buffer_bytes,
            7 * mib,
        );
        check(
            "storage.index-bytes",
            "5MB",
            Budget { index_bytes: 5 * mib, ..shares },
            |s| s.storage.index_bytes,
            5 * mib,
        );
        check("web.max-connections", "7", Budget { web_connections: 7, ..shares }, |s| s.web.max_connections, 7);
        check("pg.max-connections", "3", Budget { pg_connections: 3, ..shares }, |s| s.pg_max_connections, 3);
        check("runtime.threads", "9", Budget { threads: 9, ..shares }, |s| s.engine.threads, 9);
        let flag = |name: &str| settings.web.flags.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(flag("query.memory-bytes"), Some("128MB"));
        assert_eq!(flag("runtime.threads"), Some("4"));
    }

    #[test]
    fn a_command_line_of_prometheus() {
        let settings = parse(&[
            "--config.file=/etc/prometheus.yml",
            "--web.listen-address=0.0.0.0:9090",
            "--web.listen-address=[::1]:9091",
            "--storage.tsdb.path=/var/lib/prom",
            "--web.config.file=web.yml",
            "--web.enable-lifecycle",
            "--web.external-url=https://metrics.example/lake/",
            "--web.allowed-hosts=a.example,*.b.example",
            "--web.allowed-hosts=*",
            "--enable-feature=promql-experimental-functions,promql-delayed-name-removal",
            "--query.max-concurrency",
            "4",
        ])
        .unwrap();
        assert_eq!(settings.web.listen_addresses, ["0.0.0.0:9090", "[::1]:9091"]);
        assert_eq!(settings.web.config_file.as_deref(), Some(Path::new("web.yml")));
        assert_eq!(parse(&["--web.config.file="]).unwrap().web.config_file, None);
        assert_eq!(settings.storage.url, "/var/lib/prom/promlake");
        assert_eq!(settings.web.route_prefix, "/lake");
        assert_eq!(settings.web.external_url.map(|url| url.text).as_deref(), Some("https://metrics.example/lake"));
        assert_eq!(settings.web.allowed_hosts, ["a.example", "*.b.example", "*"]);
        assert!(settings.web.lifecycle);
        assert!(settings.engine.features.experimental_functions);
        assert!(settings.engine.features.delayed_name_removal);
        assert_eq!(settings.engine.max_concurrency, 4);
    }

    #[test]
    fn refusals_name_the_flag() {
        let check = |args: &[&str], part: &str| {
            let error = parse(args).unwrap_err();
            assert!(error.contains(part), "{error:?} does not contain {part:?}");
        };
        check(&["--no.such-flag"], "--no.such-flag");
        check(&["--storage.tsdb.retention=15d"], "--storage.tsdb.retention.time");
        check(&["--storage.tsdb.retention.time=5min"], "--storage.tsdb.retention.time");
        check(&["--storage.tsdb.retention.size=50G"], "--storage.tsdb.retention.size");
        check(&["--log.level=warning"], "unrecognized log level warning");
        check(&["--log.format=JSON"], "--log.format");
        check(&["--web.enable-lifecycle=true"], "unexpected true");
        check(&["--web.external-url=127.0.0.1:9090"], "parse external URL \"127.0.0.1:9090\"");
        check(&["--web.route-prefix=/x*"], "--web.route-prefix");
        check(
            &["--storage.agent.path=x"],
            "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
        );
        check(
            &["--agent", "--storage.tsdb.path=x", "--query.timeout=1m"],
            "The following flag(s) can not be used in agent mode: [\"--storage.tsdb.path\", \"--query.timeout\"]",
        );
        check(&["--query.timeout=x"], "--query.timeout");
        check(&["--storage.flush-bytes=lots"], "--storage.flush-bytes");
        check(&["--storage.url=a", "--storage.tsdb.path=b"], "--storage.tsdb.path");
        check(&["--storage.tsdb.path=s3://bucket"], "--storage.url");
        check(&["--storage.tsdb.path=~/data"], "--storage.tsdb.path starts with \"~\"");
        check(&["--storage.url=s3:/bucket"], "starts with \"s3:\"");
        check(&["--storage.url=http://127.0.0.1:9000/bucket"], "AWS_ENDPOINT_URL");
        check(&["--storage.wal.queue-bytes=3GB"], "--storage.wal.queue-bytes");
        check(&["--storage.wal.queue-bytes=0"], "--storage.wal.queue-bytes");
        check(&["--pg.max-connections=0"], "--pg.max-connections");
        check(&["--web.max-connections=100000"], "--web.max-connections");
        check(&["--query.max-concurrency=9000000000000000000"], "--query.max-concurrency");
        check(&["--runtime.threads=5000"], "--runtime.threads");
        check(&["--query.max-concurrency=0"], "--query.max-concurrency");
        check(&["--web.cors.origin=("], "--web.cors.origin");
        check(&["--web.allowed-hosts=http://a"], "--web.allowed-hosts");
        check(&["--web.allowed-hosts=a:9090"], "--web.allowed-hosts");
        check(&["--web.allowed-hosts=a.*"], "--web.allowed-hosts");
        check(&["--web.allowed-hosts="], "--web.allowed-hosts");
        check(&["surplus"], "surplus");
    }

    #[test]
    fn help_shows_switches_as_they_are_written() {
        let text = help(command());
        for part in
            ["--[no-]web.enable-lifecycle\n", "--[no-]agent ", "--config.file <FILE>", "--storage.tsdb.no-lockfile"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("[=") && !text.contains("true, false"), "{text}");
    }

    /// What Prometheus' users write, and what comes of it.
    #[test]
    fn what_decides_nothing_is_told() {
        let settings = parse(&[
            "--web.console.templates=/etc/prometheus/consoles",
            "--web.console.libraries",
            "/usr/share/prometheus/console_libraries",
            "--storage.tsdb.max-block-duration=2h",
            "--no-auto-gomaxprocs",
            "--enable-feature=exemplar-storage,no-such-feature",
            "--log.level=WARN",
        ])
        .unwrap();
        assert_eq!(settings.log_level, "warn");
        let told = |part: &str| settings.notes.iter().filter(|note| note.contains(part)).count();
        for part in [
            "--web.console.libraries, --web.console.templates has no effect",
            "--storage.tsdb.max-block-duration has no effect",
            "--auto-gomaxprocs has no effect",
            "exemplar-storage",
            "no-such-feature",
        ] {
            assert_eq!(told(part), 1, "{part}: {:?}", settings.notes);
        }
        assert!(parse(&[]).unwrap().notes.is_empty());
    }

    #[test]
    fn retention() {
        let of = |args: &[&str]| parse(args).unwrap().retention.to_string();
        assert_eq!(of(&[]), "unlimited");
        let both = ["--storage.tsdb.retention.time=200h", "--storage.tsdb.retention.size=1.5GB"];
        assert_eq!(of(&both), "8d8h or 1GiB512MiB");
    }

    #[test]
    fn timestamps_and_reloads() {
        let settings = parse(&[]).unwrap();
        assert_eq!((settings.scrape.timestamp_tolerance_ms, settings.auto_reload), (2, None));
        let tolerance = |args: &[&str]| parse(args).unwrap().scrape.timestamp_tolerance_ms;
        assert_eq!(tolerance(&["--scrape.timestamp-tolerance=30ms"]), 30);
        assert_eq!(tolerance(&["--scrape.timestamp-tolerance=30ms", "--no-scrape.adjust-timestamps"]), 0);
        let every = |args: &[&str]| parse(args).unwrap().auto_reload.map(|every| every.as_secs());
        assert_eq!(every(&["--config.auto-reload"]), Some(30));
        assert_eq!(every(&["--config.auto-reload", "--config.auto-reload-interval=100ms"]), Some(1));
        assert_eq!(every(&["--enable-feature=auto-reload-config"]), Some(30));
    }

    /// Every flag of Prometheus 3.5.3, as its `/api/v1/status/flags` lists them.
    #[test]
    fn all_flags_of_prometheus_are_known() {
        const FLAGS: &str = include_str!("cli/prometheus-flags.txt");
        let (command, matches) = matches(&[]).unwrap();
        let shown = flags::as_given(&command, &matches);
        for line in FLAGS.lines().filter(|line| !line.starts_with('#')) {
            let (name, default) = line.split_once('=').expect("name=default");
            let value = shown.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str());
            let value = value.unwrap_or_else(|| panic!("--{name} is not known"));
            assert!(default == "*" || default == value, "--{name} is {value:?}, not {default:?}");
        }
    }
}
