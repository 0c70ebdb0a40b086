//! Flags that Prometheus has and that decide nothing here: known, checked, shown, and told of once at the start, so that
//! a command line of Prometheus' works and nobody believes that one of them does something.

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::cli::values;

/// What a flag takes; see [`values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Switch,
    Text,
    Duration,
    Whole,
    /// Larger than 0 and up to 1.
    Share,
    Size,
    OneOf(&'static [&'static str]),
}

/// Why a flag decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Agent,
    Blocks,
    Consoles,
    Go,
}

impl Why {
    /// Behind the names of the flags.
    fn text(self) -> &'static str {
        match self {
            Why::Agent => "it tunes Prometheus' own log; the one here deletes what all remotes have",
            Why::Blocks => "it tunes Prometheus' own storage, and samples are kept in a lake here",
            Why::Consoles => "there are no console templates here",
            Why::Go => "it tunes Go's runtime; memory and threads have flags of their own, see --help",
        }
    }
}

struct Row {
    name: &'static str,
    kind: Kind,
    /// Prometheus' own; empty for none.
    default: &'static str,
    why: Why,
}

const fn row(name: &'static str, kind: Kind, default: &'static str, why: Why) -> Row {
    Row { name, kind, default, why }
}

const COMPRESSION: Kind = Kind::OneOf(&["snappy", "zstd"]);

/// The defaults are those of Prometheus 3.16.
static ROWS: &[Row] = &[
    row("auto-gomaxprocs", Kind::Switch, "true", Why::Go),
    row("auto-gomemlimit", Kind::Switch, "true", Why::Go),
    row("auto-gomemlimit.ratio", Kind::Share, "0.9", Why::Go),
    row("auto-gomemlimit.refresh-interval", Kind::Duration, "0s", Why::Go),
    row("storage.agent.checkpoint-batch-size", Kind::Whole, "1000", Why::Agent),
    row("storage.agent.checkpoint-from-in-memory-series", Kind::Switch, "false", Why::Agent),
    row("storage.agent.no-lockfile", Kind::Switch, "false", Why::Agent),
    row("storage.agent.retention.min-time", Kind::Duration, "5m", Why::Agent),
    row("storage.agent.wal-compression", Kind::Switch, "true", Why::Agent),
    row("storage.agent.wal-compression-type", COMPRESSION, "snappy", Why::Agent),
    row("storage.agent.wal-segment-size", Kind::Size, "0B", Why::Agent),
    row("storage.agent.wal-truncate-frequency", Kind::Duration, "0s", Why::Agent),
    row("storage.tsdb.allow-overlapping-compaction", Kind::Switch, "true", Why::Blocks),
    row("storage.tsdb.block-reload-interval", Kind::Duration, "1m", Why::Blocks),
    row("storage.tsdb.delay-compact-file.path", Kind::Text, "", Why::Blocks),
    row("storage.tsdb.delayed-compaction.max-percent", Kind::Whole, "10", Why::Blocks),
    row("storage.tsdb.head-chunks-write-queue-size", Kind::Whole, "0", Why::Blocks),
    row("storage.tsdb.max-block-chunk-segment-size", Kind::Size, "0B", Why::Blocks),
    row("storage.tsdb.max-block-duration", Kind::Duration, "0s", Why::Blocks),
    row("storage.tsdb.min-block-duration", Kind::Duration, "2h", Why::Blocks),
    row("storage.tsdb.no-lockfile", Kind::Switch, "false", Why::Blocks),
    row("storage.tsdb.samples-per-chunk", Kind::Whole, "120", Why::Blocks),
    row("storage.tsdb.wal-compression", Kind::Switch, "true", Why::Blocks),
    row("storage.tsdb.wal-compression-type", COMPRESSION, "snappy", Why::Blocks),
    row("storage.tsdb.wal-segment-size", Kind::Size, "0B", Why::Blocks),
    row("web.console.libraries", Kind::Text, "console_libraries", Why::Consoles),
    row("web.console.templates", Kind::Text, "consoles", Why::Consoles),
    // Debian's own.
    row("web.local-assets", Kind::Text, "", Why::Consoles),
];

/// The flags of the table that were given.
#[derive(Debug, Default)]
pub struct Accepted {
    given: Vec<(&'static str, Why)>,
}

impl Accepted {
    /// For the end of `--help`.
    pub fn help() -> String {
        let names: Vec<String> = ROWS.iter().map(|row| format!("--{}", row.name)).collect();
        format!("Flags of Prometheus that are taken and have no effect here:\n  {}", names.join(" "))
    }

    /// A line for each reason: which flags decide nothing, and why.
    pub fn notes(&self) -> Vec<String> {
        let mut reasons: Vec<Why> = Vec::new();
        for (_, why) in &self.given {
            if !reasons.contains(why) {
                reasons.push(*why);
            }
        }
        let flags = |why: Why| -> Vec<String> {
            self.given.iter().filter(|(_, w)| *w == why).map(|(name, _)| format!("--{name}")).collect()
        };
        reasons.into_iter().map(|why| format!("{} has no effect: {}", flags(why).join(", "), why.text())).collect()
    }
}

impl Args for Accepted {
    fn augment_args(command: Command) -> Command {
        ROWS.iter().fold(command, |command, row| command.arg(row.arg()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Accepted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_given = |row: &&Row| matches.value_source(row.name) == Some(ValueSource::CommandLine);
        Ok(Self { given: ROWS.iter().filter(is_given).map(|row| (row.name, row.why)).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Row {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.name).long(self.name).default_value(self.default).hide(true);
        match self.kind {
            Kind::Switch => arg.num_args(0..=1).require_equals(true).value_parser(clap::value_parser!(bool)),
            Kind::Text => arg,
            Kind::Duration => arg.value_parser(values::duration),
            Kind::Whole => arg.value_parser(values::whole),
            Kind::Share => arg.value_parser(values::share),
            Kind::Size => arg.value_parser(values::size),
            Kind::OneOf(words) => arg.value_parser(PossibleValuesParser::new(words.iter().copied())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(args: &[&str]) -> Result<Accepted, String> {
        let command = Accepted::augment_args(Command::new("x"));
        let args = ["x"].iter().chain(args);
        let matches = command.try_get_matches_from(args).map_err(|e| e.to_string())?;
        Accepted::from_arg_matches(&matches).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_of_one_reason_share_a_line() {
        assert!(given(&[]).unwrap().notes().is_empty());
        let accepted = given(&[
            "--web.console.templates=/etc/prometheus/consoles",
            "--storage.tsdb.min-block-duration=2h",
            "--web.console.libraries=/x",
            "--storage.tsdb.wal-compression=false",
        ]);
        assert_eq!(
            accepted.unwrap().notes(),
            [
                "--storage.tsdb.min-block-duration, --storage.tsdb.wal-compression has no effect: it tunes Prometheus' \
                 own storage, and samples are kept in a lake here",
                "--web.console.libraries, --web.console.templates has no effect: there are no console templates here",
            ]
        );
    }

    #[test]
    fn values_are_checked() {
        let check = |flag: &str, bad: &str| {
            let error = given(&[&format!("--{flag}={bad}")]).unwrap_err();
            assert!(error.contains(flag), "{error}");
        };
        check("auto-gomemlimit.ratio", "0");
        check("auto-gomemlimit.ratio", "1.1");
        check("storage.agent.wal-truncate-frequency", "1");
        check("storage.tsdb.samples-per-chunk", "many");
        check("storage.tsdb.wal-segment-size", "100");
        check("storage.tsdb.wal-compression-type", "lz4");
        check("storage.tsdb.wal-compression", "maybe");
        for good in ["--storage.tsdb.samples-per-chunk=0x10", "--storage.tsdb.wal-segment-size=1.5GB"] {
            assert!(given(&[good]).is_ok(), "{good}");
        }
    }

    /// Sorted, so that one finds them, and each once.
    #[test]
    fn names_are_sorted() {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
