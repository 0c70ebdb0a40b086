//! Rules of access, at both doors.

use super::postgres::{SSL_REQUEST, log_in, read_session, request, startup};
use super::*;
use crate::skip::skip;

fn verifies_certificates() -> String {
    let ca = tests_tls("ca.crt");
    tls(&format!("  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {}\n", ca.display()))
}

#[test]
fn the_first_rule_that_fits_decides() {
    let home = Home::on_disk();
    let rules = "promlake:
  access:
    - {type: local, users: [grafana], method: trust}
    - {type: host, address: 127.0.0.0/8, users: [admin], method: reject}
    - {type: host, address: 127.0.0.0/8, users: [admin], method: password}
    - {type: host, address: 10.0.0.0/8, method: password}
";
    let server = start(&home, &(users() + rules), &[]);
    let session = |user: &str, with: &[u8]| log_in(&mut connect(&server.pg), user, with);
    assert_eq!(session("grafana", b""), "R0");
    assert_eq!(session("admin", b"case-secret"), "E28000");
    assert_eq!(session("nobody", b"x"), "E28000");
    assert_eq!(status(&server, QUERY, &["Authorization: Basic Z3JhZmFuYTp3cm9uZw=="]), 200);
    assert_eq!(status(&server, QUERY, &[AS_ADMIN]), 403);
    // Who does not say who he is is asked.
    assert_eq!(status(&server, QUERY, &[]), 401);

    // Bcrypt is no verifier, and what changes holds for who comes next.
    let changed = rules.replace("users: [admin], method: reject", "users: [admin], method: scram-sha-256");
    write(&home, &(users() + &changed));
    eventually("a password is not proved", || {
        let mut stream = connect(&server.pg);
        stream.write_all(&startup("admin")).expect("starting");
        let told = read_error(&mut stream);
        told.contains("no verifier of SCRAM-SHA-256")
    });
    let changed = rules.replace("    - {type: host, address: 127.0.0.0/8, users: [admin], method: reject}\n", "");
    write(&home, &(users() + &changed));
    eventually("a password is asked for", || session("admin", b"case-secret") == "R0KZ");
    assert_eq!(session("admin", b"wrong"), "E28P01");
    assert_eq!(status(&server, QUERY, &[AS_ADMIN]), 200);
    assert_eq!(status(&server, QUERY, &[]), 401);
}

fn read_error(stream: &mut dyn Stream) -> String {
    let mut header = [0; 5];
    stream.read_exact(&mut header).expect("a message");
    let [_, length @ ..] = header;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).expect("a whole message");
    String::from_utf8_lossy(&body).into_owned()
}

#[test]
fn a_certificate_tells_who_comes() {
    let home = Home::on_disk();
    let rules = "promlake:
  roles:
    admin: {users: [client.example]}
    reader: {users: [grafana, admin]}
  access:
    - {type: hostssl, users: [client.example, other.example], method: cert}
    - {type: hostssl, users: [grafana], method: password}
";
    // Whoever is named by a rule of certificates needs a role as well.
    let text = verifies_certificates() + &users() + rules;
    let text =
        text.replace("reader: {users: [grafana, admin]}", "reader: {users: [grafana, admin, other.example]}");
    let server = start(&home, &text, &[]);
    let postgres = |certificate: Option<&str>, user: &str| {
        let mut stream = connect(&server.pg);
        assert_eq!(request(&mut stream, SSL_REQUEST), b'S');
        let mut stream = secure(stream, certificate, &[]);
        stream.conn.complete_io(&mut stream.sock).ok()?;
        stream.write_all(&startup(user)).ok()?;
        Some(read_session(&mut stream, b'R'))
    };
    assert_eq!(postgres(Some("client"), "client.example").as_deref(), Some("R0"));
    assert_eq!(postgres(Some("client"), "other.example").as_deref(), Some("E28000"));
    assert_eq!(postgres(None, "client.example").as_deref(), Some("E28000"));
    assert_eq!(postgres(Some("client"), "grafana").as_deref(), Some("R3"));
    assert_eq!(log_in(&mut connect(&server.pg), "grafana", b"open-sesame"), "E28000");
    let http = |certificate: Option<&str>, line: &str, headers: &[&str]| {
        let mut stream = secure(connect(address(&server)), certificate, &[]);
        send(&mut stream, "localhost", line, headers).map(|answer| answer.status)
    };
    assert_eq!(http(Some("client"), QUERY, &[]), Some(200));
    assert_eq!(http(Some("client"), "GET /api/v1/status/config", &[]), Some(200));
    assert_eq!(http(None, QUERY, &[]), Some(401));
    assert_eq!(http(None, QUERY, &[AS_GRAFANA]), Some(200));
    // `client.example:x`, which is not who the certificate says, since there is none.
    assert_eq!(http(None, QUERY, &["Authorization: Basic Y2xpZW50LmV4YW1wbGU6eA=="]), Some(403));
    assert_eq!(http(None, QUERY, &[AS_ADMIN]), Some(403));

    let (host, port) = server.pg.split_once(':').expect("an address");
    let options = format!(
        "host={host} port={port} user=client.example dbname=promlake sslmode=verify-full sslrootcert={} sslcert={} \
         sslkey={}",
        tests_tls("ca.crt").display(),
        tests_tls("client.crt").display(),
        key_for_psql(&home).display()
    );
    let sql = "SELECT ssl, version LIKE 'TLSv1.%', bits >= 128 FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    match Command::new("psql").args(["-X", "-A", "-t", "-w", &options, "-c", sql]).output() {
        Err(reason) => skip("psql", &reason.to_string()),
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "t|t|t\n", "{output:?}"),
    }
}

/// psql takes no key that others may read.
fn key_for_psql(home: &Home) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = home.dir.path().join("client.key");
    std::fs::copy(tests_tls("client.key"), &path).expect("a copy");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    path
}
