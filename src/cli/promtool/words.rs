//! What is wrong with a command line, in the words of promtool (`kingpin`), since scripts and people know them.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Without what stands around it.
pub fn of(error: &Error, command: &Command, args: &[OsString]) -> String {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
        _ => "",
    };
    let given = text(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!("expected command but got {:?}", text(ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            missing_command(command, args)
        }
        ErrorKind::UnknownArgument if given.starts_with("--") => format!("unknown long flag '{given}'"),
        ErrorKind::UnknownArgument if given.starts_with('-') => format!("unknown short flag '{given}'"),
        ErrorKind::UnknownArgument => format!("unexpected {given}"),
        ErrorKind::ArgumentConflict => format!("flag '{}' cannot be repeated", flag(given).trim_start_matches('-')),
        ErrorKind::MissingRequiredArgument => match flag(given) {
            flag if flag.starts_with("--") => format!("required flag(s) '{flag}' not provided"),
            argument => {
                let name = argument.trim_matches(['<', '>', '.', '[', ']']).to_ascii_lowercase().replace('_', "-");
                format!("required argument '{name}' not provided")
            }
        },
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
            format!("expected argument for flag '{}'", flag(given))
        }
        ErrorKind::InvalidValue => {
            let known = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(known)) => known.join(","),
                _ => String::new(),
            };
            format!("enum value must be one of {known}, got '{}'", text(ContextKind::InvalidValue))
        }
        ErrorKind::ValueValidation => error.source().map_or_else(|| plain(error), ToString::to_string),
        _ => plain(error),
    }
}

/// `--step <STEP>` without its value, or the argument as it is.
fn flag(shown: &str) -> &str {
    let end = if shown.starts_with('-') { shown.find([' ', '=', '[']) } else { None };
    &shown[..end.unwrap_or(shown.len())]
}

/// The commands that were given end too early.
fn missing_command(command: &Command, args: &[OsString]) -> String {
    let (mut command, mut path) = (command, Vec::new());
    for arg in args.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(arg) {
            path.push(inner.get_name());
            command = inner;
        }
    }
    match &path[..] {
        [] => "command not specified".to_string(),
        path => format!("must select a subcommand of '{}'", path.join(" ")),
    }
}

/// What clap says.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    text.strip_prefix("error: ").unwrap_or(&text).lines().next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of promtool 3.5.3, but for what is wrong with a URL.
    #[test]
    fn words() {
        let check = |args: &str, expected: &str| {
            let command = super::super::command();
            let args: Vec<OsString> =
                std::iter::once("promtool").chain(args.split(' ')).map(OsString::from).collect();
            let error = command.clone().try_get_matches_from(&args).unwrap_err();
            assert_eq!(of(&error, &command, &args), expected, "{args:?}");
        };
        check("foo", "expected command but got \"foo\"");
        check("query foo", "expected command but got \"foo\"");
        check("query", "must select a subcommand of 'query'");
        check("check", "must select a subcommand of 'check'");
        check("--experimental promql label-matchers", "must select a subcommand of 'promql label-matchers'");
        check("query instant", "required argument 'server' not provided");
        check("query instant http://a", "required argument 'expr' not provided");
        check("query instant http://a up more", "unexpected more");
        check("query instant --odd http://a up", "unknown long flag '--odd'");
        check("query instant http://a -1", "unknown short flag '-1'");
        check("query series http://a", "required flag(s) '--match' not provided");
        check("query -o xml instant http://a up", "enum value must be one of promql,json, got 'xml'");
        check("query range --step=1m --step=1m http://a up", "flag 'step' cannot be repeated");
        check("query range --step=5 http://a up", "time: missing unit in duration \"5\"");
        check("query range http://a up --step", "expected argument for flag '--step'");
        check("query range --header=a http://a up", "expected KEY=VALUE got 'a'");
        check("query instant ftp://a up", "invalid URL: expected http:// or https:// and a host");
        check("promql label-matchers set -t x up a b", "enum value must be one of =,!=,=~,!~, got 'x'");
        check("query --http.config.file=/no/such instant http://a 1", "path '/no/such' does not exist");
        check("push metrics", "required argument 'remote-write-url' not provided");
        check("push metrics http://a /no/such", "path '/no/such' does not exist");
        check("--odd", "unknown long flag '--odd'");
    }
}
