//! The command line: flags and subcommands to settings. `promlake` alone serves. Prometheus' flags keep their
//! names and meaning; those of its flags that are not built yet are refused by name, see [`unsupported`].

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app;
use crate::app::budget::Machine;

/// `promlake check`: says what is wrong with files.
mod check;
/// The flags of the server.
pub mod flags;
/// `promlake query`: asks a running server and prints a table.
pub mod query;
/// Flags of Prometheus without an implementation here.
pub mod unsupported;

#[derive(Debug, Parser)]
#[command(name = "promlake", about, long_about = None, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: flags::Serve,
    /// Print the version
    #[arg(long)]
    version: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a running server, or any server that speaks Prometheus' HTTP API
    #[command(subcommand)]
    Query(query::Query),
    /// Check files
    #[command(subcommand)]
    Check(check::Check),
}

/// Runs the command line; the exit code is 0, 1 for a failure, 2 for a wrong command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Err(error) = unsupported::check(&args) {
        eprintln!("promlake: error: {error}");
        return ExitCode::from(2);
    }
    let command = Cli::command();
    let matches = match command.clone().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let flags = flags::as_given(&command, &matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.version {
        println!("{}", version_text());
        return ExitCode::SUCCESS;
    }
    let result = match cli.command {
        None => cli.serve.into_settings(flags, Machine::read(Path::new("/"))).and_then(app::run),
        Some(Command::Query(query)) => query::run(query),
        Some(Command::Check(check)) => return check::run(&check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("promlake: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn version_text() -> String {
    let build = app::build_info();
    format!(
        "promlake, version {} (revision: {})\n  rustc:    {}\n  platform: {}/{}\n  speaks:   Prometheus {}",
        build.version,
        build.revision,
        build.rustc,
        std::env::consts::OS,
        std::env::consts::ARCH,
        crate::server::http::routes::status::PROMETHEUS_VERSION,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::budget::{Budget, Source, of};

    /// In a container of 512 MiB.
    fn parse(args: &[&str]) -> Result<app::Settings, String> {
        let args: Vec<&str> = std::iter::once("promlake").chain(args.iter().copied()).collect();
        let os: Vec<OsString> = args.iter().map(OsString::from).collect();
        unsupported::check(&os).map_err(|e| e.to_string())?;
        let command = Cli::command();
        let matches = command.clone().try_get_matches_from(&args).map_err(|e| e.to_string())?;
        let given = flags::as_given(&command, &matches);
        let cli = Cli::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        let machine = Machine { memory_bytes: 512 << 20, from: Source::Cgroup, cores: 4 };
        cli.serve.into_settings(given, machine).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
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
        assert!(settings.engine.features.duration_expressions);
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
        assert_eq!(settings.storage.url, "/var/lib/prom/promlake");
        assert_eq!(settings.web.route_prefix, "/lake");
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
        check(&["--web.config.file=x"], "--web.config.file");
        check(&["--storage.tsdb.retention.time", "15d"], "--storage.tsdb.retention.time");
        check(&["--agent"], "--agent");
        check(&["--no.such-flag"], "--no.such-flag");
        check(&["--enable-feature=no-such"], "no-such");
        check(&["--enable-feature=otlp-deltatocumulative"], "otlp-deltatocumulative");
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
}
