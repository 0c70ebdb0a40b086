//! The arguments of the server as Prometheus reads them (`kingpin`): `--flag=value` and `--flag value`, `--switch` and
//! `--no-switch`, each flag once but for those that take a list, `@file` for a file with one argument a line. What comes
//! out is `--flag=value` alone. Errors are in Prometheus' words, with a hint where there is one.

use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};

/// Files of arguments may name others; more of them than this name each other in a circle.
const MAX_FILES: usize = 100;
/// Of one file of arguments.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Flags of older Prometheus', and what became of them.
const GONE: &[(&str, &str)] = &[
    ("alertmanager.timeout", "it is `timeout` below `alerting.alertmanagers` of the configuration file"),
    ("alertmanager.url", "it is `alerting.alertmanagers` of the configuration file"),
    ("query.staleness-delta", "it is --query.lookback-delta"),
    ("storage.local.path", "it is --storage.tsdb.path"),
    ("storage.local.retention", "it is --storage.tsdb.retention.time"),
    ("storage.tsdb.allow-overlapping-blocks", "samples may overlap in any case"),
    ("storage.tsdb.retention", "it is --storage.tsdb.retention.time"),
    ("write-documentation", "it prints Prometheus' own documentation; --help has that of promlake"),
];

/// A token that is not a flag.
enum Token {
    /// The name, and the value behind `=`.
    Long(String, Option<String>),
    Short(char),
    Plain(String),
}

/// `args` without the name of the program; `command` knows the flags.
pub fn read(command: &Command, args: Vec<String>) -> Result<Vec<String>, String> {
    let mut reader = Reader { args: args.into_iter().rev().collect(), files: 0, plain_only: false };
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    while let Some(token) = reader.next()? {
        let (name, value) = match token {
            // What ends with the text of help or of the version, whatever comes behind it.
            Token::Short('h') => return Ok(vec!["--help".into()]),
            Token::Long(name, None) if matches!(name.as_str(), "help" | "version") => {
                return Ok(vec![format!("--{name}")]);
            }
            Token::Long(name, value) => (name, value),
            Token::Short(letter) => return Err(unknown_short(letter, reader.args.last())),
            Token::Plain(text) => return Err(format!("unexpected {text}")),
        };
        let flag = |name: &str| command.get_arguments().find(|arg| arg.get_long() == Some(name));
        let negated = name.strip_prefix("no-").and_then(flag).filter(|arg| is_switch(arg));
        let arg = flag(&name).or(negated).ok_or_else(|| unknown_long(&name))?;
        let known = arg.get_long().unwrap_or(&name).to_string();
        let value = match (is_switch(arg), value) {
            (true, None) => if negated.is_some() { "false" } else { "true" }.to_string(),
            (true, Some(value)) => {
                return Err(format!("unexpected {value}: --{known} is a switch, and --no-{known} its end"));
            }
            (false, Some(value)) => value,
            (false, None) => match reader.next()? {
                Some(Token::Plain(value)) => value,
                _ => return Err(format!("expected argument for flag '--{known}'")),
            },
        };
        if seen.contains(&known) && !matches!(arg.get_action(), ArgAction::Append) {
            return Err(format!("flag '{known}' cannot be repeated"));
        }
        out.push(format!("--{known}={value}"));
        seen.push(known);
    }
    Ok(out)
}

/// On or off, and nothing behind it.
fn is_switch(arg: &Arg) -> bool {
    arg.is_require_equals_set()
}

fn unknown_long(name: &str) -> String {
    let plain = name.strip_prefix("no-").unwrap_or(name);
    match GONE.iter().find(|(gone, _)| *gone == plain) {
        Some((_, hint)) => format!("unknown long flag '--{name}': {hint}"),
        None => format!("unknown long flag '--{name}'"),
    }
}

/// `rest` is what stood behind the letter.
fn unknown_short(letter: char, rest: Option<&String>) -> String {
    let rest = rest.and_then(|rest| rest.strip_prefix('-')).filter(|rest| !rest.starts_with('-'));
    match rest {
        Some(rest) => format!("unknown short flag '-{letter}' in -{letter}{rest}: flags begin with two dashes"),
        None => format!("unknown short flag '-{letter}'"),
    }
}

struct Reader {
    /// The next one last.
    args: Vec<String>,
    files: usize,
    /// Behind `--`.
    plain_only: bool,
}

impl Reader {
    fn next(&mut self) -> Result<Option<Token>, String> {
        let Some(arg) = self.args.pop() else { return Ok(None) };
        if self.plain_only {
            return Ok(Some(Token::Plain(arg)));
        }
        if arg == "--" {
            self.plain_only = true;
            return self.next();
        }
        if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (long, None),
            };
            return Ok(Some(Token::Long(name.to_string(), value)));
        }
        if let Some(short) = arg.strip_prefix('-') {
            let mut letters = short.chars();
            let letter = letters.next().unwrap_or(' ');
            if !letters.as_str().is_empty() {
                self.args.push(format!("-{}", letters.as_str()));
            }
            return Ok(Some(Token::Short(letter)));
        }
        match arg.strip_prefix('@') {
            Some(path) => {
                self.files += 1;
                if self.files > MAX_FILES {
                    return Err(format!("arguments file {path:?}: more than {MAX_FILES} of them"));
                }
                self.args.extend(lines(Path::new(path))?.into_iter().rev());
                self.next()
            }
            None => Ok(Some(Token::Plain(arg))),
        }
    }
}

/// The arguments in a file: its lines, but for empty ones and comments.
fn lines(path: &Path) -> Result<Vec<String>, String> {
    let failed = |why: String| format!("failed to open arguments file {:?}: {why}", path.display().to_string());
    let length = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(format!("it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().filter(wanted).map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let switch = |name: &'static str| Arg::new(name).long(name).num_args(0..=1).require_equals(true);
        Command::new("x")
            .arg(Arg::new("query.timeout").long("query.timeout"))
            .arg(Arg::new("web.listen-address").long("web.listen-address").action(ArgAction::Append))
            .arg(switch("web.enable-lifecycle"))
    }

    fn given(args: &[&str]) -> Result<String, String> {
        read(&command(), args.iter().map(|arg| arg.to_string()).collect()).map(|args| args.join(" "))
    }

    #[test]
    fn forms() {
        let check = |args: &[&str], expected: &str| assert_eq!(given(args).as_deref(), Ok(expected), "{args:?}");
        check(&["--query.timeout=1m"], "--query.timeout=1m");
        check(&["--query.timeout", "1m"], "--query.timeout=1m");
        check(&["--query.timeout="], "--query.timeout=");
        check(&["--query.timeout", "--", "-1m"], "--query.timeout=-1m");
        check(&["--web.enable-lifecycle"], "--web.enable-lifecycle=true");
        check(&["--no-web.enable-lifecycle"], "--web.enable-lifecycle=false");
        check(
            &["--web.listen-address=a", "--web.listen-address", "b"],
            "--web.listen-address=a --web.listen-address=b",
        );
        check(&["--"], "");
        check(&["--query.timeout=1m", "-h"], "--help");
        check(&["--version", "surplus"], "--version");
    }

    /// The words of Prometheus 3.5.3.
    #[test]
    fn refusals() {
        let check = |args: &[&str], expected: &str| {
            let error = given(args).unwrap_err();
            assert!(error.starts_with(expected), "{args:?}: {error:?}");
        };
        check(&["--web.enable-lifecycle=true"], "unexpected true");
        check(&["--no-web.enable-lifecycle=x"], "unexpected x");
        check(&["--no-query.timeout"], "unknown long flag '--no-query.timeout'");
        check(&["--foo.bar"], "unknown long flag '--foo.bar'");
        check(&["-web.x"], "unknown short flag '-w' in -web.x");
        check(&["-c"], "unknown short flag '-c'");
        check(&["surplus"], "unexpected surplus");
        check(&["--", "--query.timeout=1m"], "unexpected --query.timeout=1m");
        check(&["--query.timeout"], "expected argument for flag '--query.timeout'");
        check(&["--query.timeout", "-1m"], "expected argument for flag '--query.timeout'");
        check(&["--query.timeout", "--web.enable-lifecycle"], "expected argument for flag '--query.timeout'");
        check(&["--query.timeout=1m", "--query.timeout=2m"], "flag 'query.timeout' cannot be repeated");
        check(
            &["--web.enable-lifecycle", "--no-web.enable-lifecycle"],
            "flag 'web.enable-lifecycle' cannot be repeated",
        );
        check(
            &["--storage.tsdb.retention=1d"],
            "unknown long flag '--storage.tsdb.retention': it is --storage.tsdb.retention.time",
        );
        check(&["--query.timeout 1m"], "unknown long flag '--query.timeout 1m'");
        check(&["@/nowhere"], "failed to open arguments file \"/nowhere\"");
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("args");
        let named = format!("@{}", path.display());
        let check = |text: &str, expected: Result<&str, &str>| {
            fs::write(&path, text).unwrap();
            let got = given(&[&named]);
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text:?}");
        };
        check("--query.timeout\n\n# comment\n1m\n", Ok("--query.timeout=1m"));
        check("--web.enable-lifecycle", Ok("--web.enable-lifecycle=true"));
        check(" --web.enable-lifecycle", Err("unexpected  --web.enable-lifecycle"));
        fs::write(&path, &named).unwrap();
        assert!(given(&[&named]).unwrap_err().contains("more than 100"), "a circle ends");
    }
}
