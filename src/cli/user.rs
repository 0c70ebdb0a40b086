//! `promlake user NAME`: the line of a user for `basic_auth_users` of the web configuration file, with what is kept of his
//! password. The password comes from the terminal, unseen, or as the first line of standard input: never from arguments,
//! which other users of the machine can read and shells remember.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::print::{err, errln, outln};
use crate::config::web::verifier::{ITERATIONS, Scram};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::server::access::scram;

const SALT_BYTES: usize = 16;
/// Of a password; what PostgreSQL's clients take at most.
const MAX_BYTES: usize = 1024;

#[derive(Args, Debug)]
pub struct User {
    /// The user's name
    #[arg(value_parser = name)]
    name: String,
    /// Rounds of PBKDF2; more make guessing dearer for whoever has the file, and each login
    #[arg(long, value_name = "N", default_value_t = *ITERATIONS.start(), value_parser = iterations())]
    iterations: u32,
}

fn iterations() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*ITERATIONS.start())..=i64::from(*ITERATIONS.end()))
}

/// HTTP ends a name at its first colon, Postgres at a zero.
fn name(name: &str) -> std::result::Result<String, String> {
    if name.is_empty() || name.chars().any(|c| c == ':' || c.is_control()) {
        return Err("a name is not empty, and has neither a colon nor control characters".to_string());
    }
    Ok(name.to_string())
}

/// # Errors
/// Where there is no password, or the terminal would show it.
pub fn run(user: &User) -> Result<()> {
    let password = match io::stdin().is_terminal() {
        true => from_terminal(&user.name)?,
        false => first_line(&mut io::stdin().lock())?,
    };
    let mut salt = vec![0; SALT_BYTES];
    getrandom::getrandom(&mut salt).context(ErrorKind::Internal, || "no random numbers".to_string())?;
    outln!("{}", line(&user.name, &scram::verifier(&password, salt, user.iterations)));
    Ok(())
}

/// A line of a mapping in YAML. The name is in quotes, as YAML takes some names for something else than a text.
fn line(name: &str, verifier: &Scram) -> String {
    format!("  {}: {verifier}", serde_json::Value::from(name))
}

/// Without its end.
fn first_line(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut line = vec![];
    let failed = || "the password cannot be read".to_string();
    input.take(MAX_BYTES as u64 + 2).read_until(b'\n', &mut line).context(ErrorKind::Execution, failed)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|last| *last == b'\r');
    }
    match line.len() {
        0 => {
            Err(Error::bad_input("the password is empty: give it on the terminal, or as a line on standard input"))
        }
        1..=MAX_BYTES if line.contains(&0) => Err(Error::bad_input("no password has a zero byte")),
        1..=MAX_BYTES => Ok(line),
        _ => Err(Error::bad_input(format!("the password has more than {MAX_BYTES} bytes"))),
    }
}

fn from_terminal(name: &str) -> Result<Vec<u8>> {
    let _unseen = Unseen::begin()?;
    let ask = |text: &str| {
        err!("{text}: ");
        let line = first_line(&mut io::stdin().lock());
        errln!();
        line
    };
    let password = ask(&format!("Password of {name}"))?;
    if ask("The same again")? != password {
        return Err(Error::bad_input("these were two passwords"));
    }
    Ok(password)
}

/// What is typed is not shown for as long as this is there.
struct Unseen;

impl Unseen {
    fn begin() -> Result<Self> {
        let unseen = || "the terminal would show the password (stty -echo), give it on standard input".to_string();
        match stty("-echo").context(ErrorKind::Unavailable, unseen)? {
            true => Ok(Self),
            false => Err(Error::new(ErrorKind::Unavailable, unseen())),
        }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // There is no other way to set it back; whoever sees it can.
        let _ = stty("echo");
    }
}

/// To ask the terminal ourselves would need code that is not safe.
fn stty(mode: &str) -> io::Result<bool> {
    let terminal = File::open("/dev/tty")?;
    let status =
        Command::new("stty").arg(mode).stdin(terminal).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.map(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::WebConfig;
    use crate::config::web::verifier::Verifier;

    #[test]
    fn a_line_is_one_of_the_file() {
        for name in ["ada", "yes", "5", "a b", "ü\"\\", "# no", "- x", "@", "null"] {
            let verifier = scram::verifier(b"secret", vec![1; SALT_BYTES], 4096);
            let text = format!("basic_auth_users:\n{}\n", line(name, &verifier));
            let config = WebConfig::parse(&text, std::path::Path::new(""), &mut |_| vec![]);
            let config = config.unwrap_or_else(|mistakes| panic!("{text}: {}", mistakes.shown("web.yml")));
            let [(got, Some(Verifier::Scram(read)))] = &config.users[..] else { panic!("{text}") };
            assert_eq!(got, name);
            assert!(*read == verifier && scram::is_password(read, b"secret"), "{text}");
        }
        assert!(self::name("a:b").is_err() && self::name("").is_err() && self::name("a\n").is_err());
    }

    #[test]
    fn passwords_are_lines() {
        let check = |input: &[u8], expected: Option<&[u8]>| {
            assert_eq!(first_line(&mut &input[..]).ok().as_deref(), expected, "{input:?}");
        };
        check(b"secret\n", Some(b"secret"));
        check(b"secret\r\nmore\n", Some(b"secret"));
        check(b"secret", Some(b"secret"));
        check(b" with spaces \n", Some(b" with spaces "));
        check(b"\xff\n", Some(b"\xff"));
        check(b"", None);
        check(b"\n", None);
        check(b"a\0b\n", None);
        check(&[b'a'; MAX_BYTES], Some(&[b'a'; MAX_BYTES]));
        check(&[b'a'; MAX_BYTES + 1], None);
        check(&[b'a'; MAX_BYTES + 9], None);
    }
}
