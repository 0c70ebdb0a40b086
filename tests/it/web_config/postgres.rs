//! Users, TLS and client certificates of the Postgres listener.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;

use super::*;
use crate::skip::skip;

/// What a server of Postgres says, up to ReadyForQuery or the end: kinds of messages, with the code of errors.
pub fn read_session(stream: &mut dyn Stream, last: u8) -> String {
    let mut said = String::new();
    let mut header = [0; 5];
    while stream.read_exact(&mut header).is_ok() {
        let [kind, length @ ..] = header;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut body).expect("a whole message");
        said.push(char::from(kind));
        match kind {
            b'R' => said += &body[3].to_string(),
            b'E' => {
                let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
                said += &String::from_utf8_lossy(code.unwrap_or_default());
            }
            _ => {}
        }
        if kind == last {
            break;
        }
    }
    said.retain(|c| c != 'S');
    said
}

pub fn startup(user: &str) -> Vec<u8> {
    let body = [&196_608i32.to_be_bytes()[..], format!("user\0{user}\0database\0promlake\0\0").as_bytes()].concat();
    [&(body.len() as i32 + 4).to_be_bytes()[..], &body].concat()
}

pub fn password(text: &[u8]) -> Vec<u8> {
    [&b"p"[..], &(text.len() as i32 + 5).to_be_bytes(), text, b"\0"].concat()
}

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// Asks for encryption, as drivers do; the answer, of one byte.
pub fn request(stream: &mut TcpStream, request: [u8; 8]) -> u8 {
    stream.write_all(&request).expect("asking");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("an answer");
    answer[0]
}

/// A session with a password, which may be wrong.
pub fn log_in(stream: &mut dyn Stream, user: &str, with: &[u8]) -> String {
    stream.write_all(&startup(user)).expect("starting");
    let asked = read_session(stream, b'R');
    if asked != "R3" {
        return asked;
    }
    stream.write_all(&password(with)).expect("telling");
    read_session(stream, b'Z')
}

#[test]
fn postgres_asks_for_the_password() {
    let home = Home::on_disk();
    let mut server = start(&home, &users(), &["--pg.max-connections=6"]);
    let session = |user: &str, with: &[u8]| log_in(&mut connect(&server.pg), user, with);
    assert_eq!(session("grafana", b"open-sesame"), "R0KZ");
    for (user, with) in [
        ("grafana", &b"case-secret"[..]),
        ("grafana", &b""[..]),
        ("grafana", &b"open-sesame\xff"[..]),
        ("nobody", &b"open-sesame"[..]),
        ("Grafana", &b"open-sesame"[..]),
    ] {
        assert_eq!(session(user, with), "E28P01", "{user}");
    }
    // Without TLS there is no encryption, and on this machine no need of it.
    let mut stream = connect(&server.pg);
    assert_eq!(request(&mut stream, SSL_REQUEST), b'N');
    assert_eq!(request(&mut stream, GSS_REQUEST), b'N');
    assert_eq!(log_in(&mut stream, "admin", b"case-secret"), "R0KZ");
    stream.write_all(b"Q\0\0\0\x0dSELECT 1\0").expect("asking");
    assert_eq!(read_session(&mut stream, b'Z'), "TDCZ");

    // Nothing but a password is taken, of a length that one may have.
    for (said, expected) in [
        (&b"Q\0\0\0\x0dSELECT 1\0"[..], "E08P01"),
        (&b"p\xff\xff\xff\xff"[..], "E08P01"),
        (&b"p\0\0\0\x04"[..], "E08P01"),
        (&b"p\0\0\0\x08open"[..], "E08P01"),
        (&b"p\0\0\0\x09op\0n\0"[..], "E08P01"),
        (&b"p\0\0\0"[..], ""),
    ] {
        let mut stream = connect(&server.pg);
        stream.write_all(&startup("grafana")).expect("starting");
        assert_eq!(read_session(&mut stream, b'R'), "R3");
        stream.write_all(said).expect("telling");
        stream.shutdown(Shutdown::Write).expect("no more");
        assert_eq!(read_session(&mut stream, 0), expected, "{said:?}");
    }
    // Those who have not told their password take no session from those who have.
    let waiting: Vec<TcpStream> = (0..7)
        .map(|_| {
            let mut stream = connect(&server.pg);
            stream.write_all(&startup("grafana")).expect("starting");
            assert_eq!(read_session(&mut stream, b'R'), "R3");
            stream
        })
        .collect();
    assert_eq!(session("grafana", b"open-sesame"), "R0KZ");
    drop((waiting, stream));

    write(&home, "basic_auth_users: {");
    eventually("nobody is let in", || log_in(&mut connect(&server.pg), "grafana", b"open-sesame") == "EF0000");
    write(&home, "");
    eventually("everyone is let in", || log_in(&mut connect(&server.pg), "grafana", b"") == "R0");
    let log = server.log().join("\n");
    assert!(!log.contains("open-sesame") && !log.contains("case-secret"));
}

#[test]
fn postgres_over_tls() {
    let home = Home::on_disk();
    let server = start(&home, &(tls("") + &users()), &[]);
    let encrypted = || {
        let mut stream = connect(&server.pg);
        assert_eq!(request(&mut stream, SSL_REQUEST), b'S');
        stream
    };
    for protocols in [&[][..], &[&b"postgresql"[..]]] {
        assert_eq!(log_in(&mut secure(encrypted(), None, protocols), "grafana", b"open-sesame"), "R0KZ");
    }
    let mut stream = secure(encrypted(), None, &[]);
    assert_eq!(log_in(&mut stream, "grafana", b"open"), "E28P01");

    // Large answers, and the next request behind them.
    let mut stream = secure(encrypted(), None, &[]);
    assert_eq!(log_in(&mut stream, "grafana", b"open-sesame"), "R0KZ");
    let sql = b"SELECT generate_series FROM generate_series(1, 200000)\0";
    let query = [&b"Q"[..], &(sql.len() as i32 + 4).to_be_bytes(), sql].concat();
    for _ in 0..2 {
        stream.write_all(&query).expect("asking");
        let said = read_session(&mut stream, b'Z');
        assert_eq!(said.len(), "TCZ".len() + 200_000, "{}", &said[..10]);
    }
    stream.write_all(b"X\0\0\0\x04").expect("good-bye");
    assert_eq!(read_session(&mut stream, 0), "");

    // TLS from the first byte, of which the protocol has to be named.
    let direct = |protocols: &[&[u8]]| {
        let mut stream = secure(connect(&server.pg), None, protocols);
        stream.conn.complete_io(&mut stream.sock).ok()?;
        stream.write_all(&startup("grafana")).ok()?;
        Some(read_session(&mut stream, b'R'))
    };
    assert_eq!(direct(&[b"postgresql"]).as_deref(), Some("R3"));
    assert_eq!(direct(&[]).unwrap_or_default(), "");
    assert_eq!(direct(&[b"http/1.1"]), None);

    // What was sent before the handshake is no part of what comes after it.
    let mut stream = connect(&server.pg);
    stream.write_all(&[&SSL_REQUEST[..], &startup("grafana")].concat()).expect("writing");
    let mut said = vec![];
    let _ = stream.read_to_end(&mut said);
    assert!(said.starts_with(b"S") && !said[1..].starts_with(b"R"), "{said:?}");
    // Nor is there encryption within encryption.
    for again in [SSL_REQUEST, GSS_REQUEST] {
        let mut stream = secure(encrypted(), None, &[]);
        stream.write_all(&again).expect("asking");
        assert!(read_session(&mut stream, 0).starts_with('E'));
    }
    // From this machine one may do without.
    assert_eq!(log_in(&mut connect(&server.pg), "grafana", b"open-sesame"), "R0KZ");
    for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x16", &[0x16; 70_000]] {
        let mut stream = connect(&server.pg);
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut vec![]);
    }
    assert_eq!(log_in(&mut connect(&server.pg), "grafana", b"open-sesame"), "R0KZ");
}

#[test]
fn client_certificates_hold_for_both() {
    let home = Home::on_disk();
    let server = start(&home, &wants_certificate(), &[]);
    let http = |certificate: Option<&str>| {
        let mut stream = secure(connect(address(&server)), certificate, &[]);
        send(&mut stream, "localhost", QUERY, &[]).map(|answer| answer.status)
    };
    let postgres = |certificate: Option<&str>| {
        let mut stream = connect(&server.pg);
        assert_eq!(request(&mut stream, SSL_REQUEST), b'S');
        let mut stream = secure(stream, certificate, &[]);
        stream.conn.complete_io(&mut stream.sock).ok()?;
        stream.write_all(&startup("anyone")).ok()?;
        Some(read_session(&mut stream, b'R')).filter(|said| !said.is_empty())
    };
    assert_eq!(http(Some("client")), Some(200));
    assert_eq!(postgres(Some("client")).as_deref(), Some("R0"));
    for other in [None, Some("stranger"), Some("alone")] {
        assert_eq!(http(other), None, "{other:?}");
        assert_eq!(postgres(other), None, "{other:?}");
    }
    // There is no way around it, also from this machine.
    assert_eq!(log_in(&mut connect(&server.pg), "anyone", b""), "E28000");
}

#[test]
fn psql_and_its_modes() {
    let home = Home::on_disk();
    let server = start(&home, &(tls("") + &users()), &[]);
    let (host, port) = server.pg.split_once(':').expect("an address");
    let psql = |mode: &str, with: &str| {
        let options = format!(
            "host={host} port={port} user=grafana dbname=promlake sslmode={mode} sslrootcert={}",
            tests_tls("ca.crt").display()
        );
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-w", &options, "-c", "SELECT 1 + 1"]).env("PGPASSWORD", with).output()
    };
    if let Err(reason) = psql("disable", "") {
        return skip("psql", &reason.to_string());
    }
    for mode in ["disable", "prefer", "require", "verify-ca", "verify-full"] {
        let output = psql(mode, "open-sesame").expect("psql was there before");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{mode}: {output:?}");
        let output = psql(mode, "guess").expect("psql was there before");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("password authentication failed for user \"grafana\""), "{mode}: {told}");
    }
}
