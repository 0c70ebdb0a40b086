//! Users with verifiers of SCRAM, made by `promlake user`: clients of Postgres that prove what they know, HTTP's that tell
//! it, and those who guess.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::postgres::{SSL_REQUEST, log_in, password, read_session, request, startup};
use super::*;
use crate::skip::skip;

const SECRET: &str = "open-sesame \u{e4}";
/// Asks with a driver, and tells its answer or what went wrong.
const PSYCOPG: &str = "
import os, sys
import psycopg
try:
    with psycopg.connect(sys.argv[1], password=os.environ['PGPASSWORD'], connect_timeout=50) as connection:
        print(connection.execute('SELECT 1 + 1').fetchone()[0])
except psycopg.Error as error:
    print(error)
";

/// What `promlake user` prints.
fn line(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
    command.arg("user").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting promlake");
    // It may have refused already.
    let _ = child.stdin.take().expect("an input").write_all(input.as_bytes());
    child.wait_with_output().expect("its end")
}

fn users(names: &[&str]) -> String {
    let lines = names.iter().map(|name| {
        let output = line(&[name], &format!("{SECRET}\n"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    });
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

#[test]
fn promlake_user_prints_a_verifier() {
    let output = line(&["ada", "--iterations=5000"], "secret\n");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("  \"ada\": SCRAM-SHA-256$5000:") && text.ends_with('\n'), "{output:?}");
    assert!(!text.contains("secret") && output.stderr.is_empty(), "{output:?}");
    assert_ne!(line(&["ada", "--iterations=5000"], "secret\n").stdout, output.stdout, "the salt is another one");
    for (args, input) in [
        (&["ada"][..], ""),
        (&["ada"], "\n"),
        (&["ada", "secret"], "secret\n"),
        (&["ada", "--password=secret"], "secret\n"),
        (&["ada", "--iterations=1000"], "secret\n"),
        (&["a:b"], "secret\n"),
        (&[], "secret\n"),
    ] {
        let output = line(args, input);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn psql_and_psycopg_prove_what_they_know() {
    let home = Home::on_disk();
    let mut server = start(&home, &(tls("") + &users(&["ada"])), &[]);
    let (host, port) = server.pg.split_once(':').expect("an address");
    let root = tests_tls("ca.crt");
    let options = |mode: &str, more: &str| {
        format!(
            "host={host} port={port} user=ada dbname=promlake sslmode={mode} sslrootcert={} {more}",
            root.display()
        )
    };
    let psql = |options: &str, with: &str| {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-w", options, "-c", "SELECT 1 + 1"]).env("PGPASSWORD", with).output()
    };
    let venv = std::env::var("PROMLAKE_VENV")
        .unwrap_or_else(|_| format!("{}/.cache/promlake/venv", std::env::var("HOME").unwrap_or_default()));
    let python = |options: &str, with: &str| {
        let mut python = Command::new(Path::new(&venv).join("bin/python"));
        python.args(["-c", PSYCOPG, options]).env("PGPASSWORD", with).output()
    };
    type Client<'a> = &'a dyn Fn(&str, &str) -> std::io::Result<Output>;
    let clients: [(&str, Client<'_>); 2] = [("psql", &psql), ("psycopg", &python)];
    for (name, client) in clients {
        if let Err(reason) = client(&options("disable", ""), "") {
            skip(name, &reason.to_string());
            continue;
        }
        let ask = |options: String, with: &str| {
            let output = client(&options, with).expect("it was there before");
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
        };
        // From this machine one may do without encryption; then there is nothing to bind to.
        assert_eq!(ask(options("disable", "channel_binding=disable"), SECRET), "2\n", "{name}");
        for binding in ["disable", "prefer", "require"] {
            let said = ask(options("verify-full", &format!("channel_binding={binding}")), SECRET);
            assert_eq!(said, "2\n", "{name} {binding}");
        }
        let said = ask(options("disable", "channel_binding=require"), SECRET);
        assert!(said.contains("channel binding"), "{name}: {said}");
        for (mode, with) in [("disable", "guess-1"), ("verify-full", "guess-2"), ("verify-full", "open-sesame")] {
            let said = ask(options(mode, ""), with);
            assert!(said.contains("password authentication failed for user \"ada\""), "{name}: {said}");
        }
        // As PostgreSQL's clients prepare it.
        assert_eq!(ask(options("require", ""), "open-sesame a\u{308}"), "2\n", "{name}");
    }
    let log = server.log().join("\n");
    assert!(log.contains("a wrong password") && log.contains("ada"), "{log}");
    assert!(!log.contains("open-sesame") && !log.contains("guess-"));
}

/// The same user at both doors; nobody is told who there is.
#[test]
fn verifiers_hold_for_http_and_tell_no_names() {
    let home = Home::on_disk();
    let server = start(&home, &users(&["ada", "bob"]), &[]);
    let basic = |user: &str, password: &str| {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        status(&server, QUERY, &[&format!("Authorization: Basic {pair}")])
    };
    assert_eq!(basic("ada", SECRET), 200);
    assert_eq!(basic("bob", SECRET), 200);
    assert_eq!(basic("ada", "guess"), 401);
    assert_eq!(basic("nobody", SECRET), 401);

    let asked = |user: &str| {
        let mut stream = connect(&server.pg);
        stream.write_all(&startup(user)).expect("starting");
        assert_eq!(read_session(&mut stream, b'R'), "R10", "{user}");
        stream
    };
    let said = |stream: &mut TcpStream, mechanism: &str, first: &str| {
        let body = [mechanism.as_bytes(), b"\0", &(first.len() as i32).to_be_bytes(), first.as_bytes()].concat();
        stream.write_all(&[&b"p"[..], &(body.len() as i32 + 4).to_be_bytes(), &body].concat()).expect("telling");
        read_session(stream, b'R')
    };
    for user in ["ada", "nobody", ""] {
        let user = if user.is_empty() { "x".repeat(300) } else { user.to_string() };
        let mut stream = asked(&user);
        assert_eq!(said(&mut stream, "SCRAM-SHA-256", "n,,n=,r=abc"), "R11", "{user}");
        // What is no proof, and what is one of nothing.
        let proof = b"c=biws,r=abc,p=AAAA";
        stream.write_all(&[&b"p"[..], &(proof.len() as i32 + 4).to_be_bytes(), proof].concat()).expect("telling");
        assert_eq!(read_session(&mut stream, 0), "E08P01", "{user}");
    }
    for (mechanism, first, expected) in [
        ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", "E08P01"),
        ("SCRAM-SHA-1", "n,,n=,r=abc", "E08P01"),
        ("SCRAM-SHA-256", "n,a=root,n=,r=abc", "E0A000"),
        ("SCRAM-SHA-256", "p=tls-unique,,n=,r=abc", "E08P01"),
        ("SCRAM-SHA-256", "", "E08P01"),
    ] {
        assert_eq!(said(&mut asked("ada"), mechanism, first), expected, "{mechanism} {first}");
    }
    // The password itself is nothing that was asked for, and messages are short.
    let mut stream = asked("ada");
    stream.write_all(&password(SECRET.as_bytes())).expect("telling");
    assert_eq!(read_session(&mut stream, 0), "E08P01");
    let mut stream = asked("ada");
    stream.write_all(b"p\0\0\x10\0").expect("telling");
    assert_eq!(read_session(&mut stream, 0), "E08P01");
    // Nor does a client learn more by encryption that is not there.
    let mut stream = connect(&server.pg);
    assert_eq!(request(&mut stream, SSL_REQUEST), b'N');
}

/// Once, wrong passwords were told of as fast as they could be checked, to as many as asked at once.
#[test]
fn guesses_wait() {
    let home = Home::on_disk();
    let server = start(&home, &super::users(), &[]);
    let start = Instant::now();
    let guess = |n: u32| format!("guess {n}").into_bytes();
    for n in 0..5 {
        assert_eq!(log_in(&mut connect(&server.pg), "grafana", &guess(n)), "E28P01");
    }
    // To say the same again is no guess.
    for _ in 0..5 {
        assert_eq!(log_in(&mut connect(&server.pg), "grafana", &guess(0)), "E28P01");
    }
    // 0.1, 0.2, 0.4, 0.8 and 1.6 seconds.
    assert!(start.elapsed() >= Duration::from_millis(3_100), "{:?}", start.elapsed());
    // Who knows it is not kept waiting by what others have guessed before, and another user not at all.
    let start = Instant::now();
    assert_eq!(log_in(&mut connect(&server.pg), "grafana", b"open-sesame"), "R0KZ");
    assert_eq!(log_in(&mut connect(&server.pg), "admin", b"case-secret"), "R0KZ");
    assert!(start.elapsed() < Duration::from_millis(3_000), "{:?}", start.elapsed());
    // Many at once gain nothing: they wait for each other, or are told that there are too many.
    let start = Instant::now();
    let guesses: Vec<_> = (12..24)
        .map(|n| {
            let (pg, guess) = (server.pg.clone(), guess(n));
            std::thread::spawn(move || log_in(&mut connect(&pg), "grafana", &guess))
        })
        .collect();
    let said: Vec<String> = guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect();
    let wrong = said.iter().filter(|said| *said == "E28P01").count() as u32;
    assert!(said.iter().all(|said| ["E28P01", "E53300"].contains(&said.as_str())), "{said:?}");
    assert!(wrong < 12 && start.elapsed() >= wrong * Duration::from_millis(1_500), "{wrong} {:?}", start.elapsed());
    assert_eq!(status(&server, QUERY, &[AS_ADMIN]), 200);
}
