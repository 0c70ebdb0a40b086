//! `--web.config.file` of the real binary, for both listeners: TLS, client certificates, users, headers, rates, changes
//! while it runs, and clients that mean no good.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Home, NO_TARGETS, Promlake};

/// Who may come from where.
mod access;
/// What a role is limited to.
mod limits;
/// Files as tables.
mod external;
/// The same of Postgres.
mod postgres;
/// What users may do.
mod roles;
/// Passwords that are proved instead of told.
mod scram;

/// How long an answer may take before the test fails. Generous, since the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);
/// Of `open-sesame` and `case-secret`, made by htpasswd; cost 5 and 10.
const GRAFANA: &str = "$2a$05$vwFRG6OzxfFomXpbT6lELemLOmUd5C8TM32HCl0ZkPC31iVTQ3HPG";
const ADMIN: &str = "$2y$10$rC4X9ThyEhQeRO4qQUqPbOqT1X63lbM61QZWFhm3uUxuOhx5nd8sy";
/// `grafana:open-sesame` and `admin:case-secret`.
const AS_GRAFANA: &str = "Authorization: Basic Z3JhZmFuYTpvcGVuLXNlc2FtZQ==";
const AS_ADMIN: &str = "Authorization: Basic YWRtaW46Y2FzZS1zZWNyZXQ=";
const QUERY: &str = "GET /api/v1/query?query=1";

fn tests_tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn users() -> String {
    format!("basic_auth_users:\n  grafana: {GRAFANA}\n  admin: '{ADMIN}'\n")
}

fn tls(more: &str) -> String {
    let (cert, key) = (tests_tls("server.crt"), tests_tls("server.key"));
    format!("tls_server_config:\n  cert_file: {}\n  key_file: {}\n{more}", cert.display(), key.display())
}

fn wants_certificate() -> String {
    let ca = tests_tls("ca.crt");
    tls(&format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {}\n", ca.display()))
}

fn write(home: &Home, text: &str) -> String {
    let path = home.dir.path().join("web.yml");
    std::fs::write(&path, text).expect("writing the web configuration");
    format!("--web.config.file={}", path.display())
}

fn start(home: &Home, text: &str, flags: &[&str]) -> Promlake {
    home.start(NO_TARGETS, &[&[write(home, text).as_str()], flags].concat())
}

fn address(server: &Promlake) -> &str {
    server.http.split_once("://").expect("a URL").1
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connecting");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// TLS with the certificate of this name, if any.
fn secure(
    stream: TcpStream,
    certificate: Option<&str>,
    protocols: &[&[u8]],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tests_tls("ca.crt")).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_file(tests_tls(&format!("{name}.crt"))).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(tests_tls(&format!("{name}.key"))).expect("a key");
            builder.with_client_auth_cert(vec![chain], key).expect("a pair")
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), stream)
}

struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

/// A whole request on a connection of its own; `None` where there is no answer.
fn send(stream: &mut dyn Stream, host: &str, line: &str, headers: &[&str]) -> Option<Answer> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request =
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n");
    // The server may refuse, and close, before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    // What came before a connection broke counts.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() })
}

/// Over TLS where the server speaks it.
fn ask(server: &Promlake, line: &str, headers: &[&str]) -> Option<Answer> {
    let stream = connect(address(server));
    if server.http.starts_with("https") {
        send(&mut secure(stream, None, &[b"h2", b"http/1.1"]), address(server), line, headers)
    } else {
        send(&mut { stream }, address(server), line, headers)
    }
}

fn status(server: &Promlake, line: &str, headers: &[&str]) -> u16 {
    ask(server, line, headers).map_or(0, |answer| answer.status)
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_path_asks_for_user_and_password() {
    let home = Home::on_disk();
    let mut server = start(&home, &users(), &["--web.enable-lifecycle"]);
    for line in ["GET /", "GET /-/healthy", "GET /-/ready", "GET /metrics", QUERY, "POST /-/reload", "GET /nothing"]
    {
        let answer = ask(&server, line, &[]).expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (401, "Unauthorized\n"), "{line}");
        assert!(answer.head.contains("www-authenticate: basic\r\n"), "{line}: {}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{line}: {}", answer.head);
    }
    for (credentials, expected) in [
        (AS_GRAFANA, 200),
        (AS_ADMIN, 200),
        ("Authorization: basic Z3JhZmFuYTpvcGVuLXNlc2FtZQ==", 200),
        // grafana with the password of admin, nobody with grafana's, and what is neither.
        ("Authorization: Basic Z3JhZmFuYTpjYXNlLXNlY3JldA==", 401),
        ("Authorization: Basic bm9ib2R5Om9wZW4tc2VzYW1l", 401),
        ("Authorization: Basic Og==", 401),
        ("Authorization: Basic Z3JhZmFuYQ==", 401),
        ("Authorization: Basic ====", 401),
        ("Authorization: Bearer open-sesame", 401),
        ("Authorization: Basic", 401),
    ] {
        for _ in 0..2 {
            assert_eq!(status(&server, QUERY, &[credentials]), expected, "{credentials}");
        }
    }
    // What else is looked at is looked at all the same.
    let page = [AS_GRAFANA, "Sec-Fetch-Site: cross-site"];
    assert_eq!(status(&server, "POST /-/reload", &page), 403);
    assert_eq!(status(&server, "POST /-/reload", &[AS_GRAFANA]), 200);
    assert_eq!(status(&server, QUERY, &["Sec-Fetch-Site: cross-site"]), 401);

    let shown = ["/api/v1/status/flags", "/api/v1/status/config", "/api/v1/targets", "/metrics"].map(|path| {
        let answer = ask(&server, &format!("GET {path}"), &[AS_GRAFANA]).expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    });
    assert!(shown[0].contains("web.yml"), "{}", shown[0]);
    let metrics = &shown[3];
    assert!(metrics.contains("promlake_password_checks_total{result=\"right\"}"), "{metrics}");
    assert!(metrics.contains("promlake_web_config_valid 1"), "{metrics}");
    let log = server.log().join("\n");
    for secret in [GRAFANA, ADMIN, &GRAFANA[7..], "open-sesame", "case-secret", "Z3JhZmFuYTp"] {
        assert!(!shown.concat().contains(secret) && !log.contains(secret), "{secret}");
    }
}

#[test]
fn headers_and_rates() {
    let home = Home::on_disk();
    let text = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n\
                rate_limit:\n  burst: 2\n  interval: 1h\n";
    let server = start(&home, text, &[]);
    for line in [QUERY, "GET /nothing"] {
        let answer = ask(&server, line, &[]).expect("an answer");
        assert!(answer.head.contains("x-frame-options: deny\r\n"), "{line}: {}", answer.head);
        assert!(answer.head.contains("strict-transport-security: max-age=1\r\n"), "{line}: {}", answer.head);
    }
    let answer = ask(&server, "GET /-/healthy", &[]).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (429, "Too Many Requests\n"));
}

#[test]
fn a_file_that_is_wrong_is_not_started_with() {
    let home = Home::on_disk();
    let flag = write(&home, "basic_auth_users:\n  ada: hunter2\nno_such: key\n");
    let path = home.dir.path().join("web.yml").display().to_string();
    let mut server = home.launch(NO_TARGETS, &[&flag]);
    let first = server.wait_for_line(&format!("{path}:2: basic_auth_users.ada: crypto/bcrypt:"));
    assert_eq!(first, "");
    server.wait_for_line(&format!("{path}:3: no_such:"));
    assert!(!server.log().join("\n").contains("hunter2"));
    assert_eq!(server.wait().code(), Some(1));

    let check = |files: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
        let output = command.args(["check", "web-config"]).args(files).output().expect("running the binary");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = check(&[&path]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with(&format!("{path} FAILED: {path}:2: basic_auth_users.ada: ")), "{told}");
    let right = home.dir.path().join("right.yml");
    std::fs::write(&right, users() + &tls("")).expect("writing");
    let right = right.display().to_string();
    assert_eq!(check(&[&right]), (Some(0), format!("{right} SUCCESS\n")));
    let (code, told) = check(&["/nowhere.yml", &right]);
    assert_eq!(code, Some(1));
    let nowhere = "/nowhere.yml FAILED: open /nowhere.yml: no such file or directory\n";
    assert_eq!(told, format!("{nowhere}{right} SUCCESS\n"));
}

#[test]
fn https() {
    let home = Home::on_disk();
    let server = start(&home, &(tls("") + &users()), &["--web.enable-lifecycle"]);
    assert!(server.http.starts_with("https://127.0.0.1:"), "{}", server.http);
    assert_eq!(status(&server, QUERY, &[AS_GRAFANA]), 200);
    assert_eq!(status(&server, QUERY, &[]), 401);
    // The guard knows the server's own pages by the scheme they have now, and those of others.
    let origin = |scheme: &str| format!("Origin: {scheme}://{}", address(&server));
    let reload = |headers: &[&str]| status(&server, "POST /-/reload", &[&[AS_GRAFANA], headers].concat());
    assert_eq!(reload(&[&origin("https")]), 200);
    assert_eq!(reload(&["Origin: https://evil.example"]), 403);
    assert_eq!(reload(&["Sec-Fetch-Site: cross-site"]), 403);
    // So does the check of names.
    let mut stream = secure(connect(address(&server)), None, &[]);
    let answer = send(&mut stream, "evil.example", QUERY, &[AS_GRAFANA]).expect("an answer");
    assert_eq!(answer.status, 421);

    let mut plain = connect(address(&server));
    let answer = send(&mut plain, address(&server), QUERY, &[AS_GRAFANA]).expect("an answer");
    let told = "Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, told));
    // One that offers nothing but HTTP/2 is told that there is none.
    let mut stream = secure(connect(address(&server)), None, &[b"h2"]);
    assert!(send(&mut stream, "localhost", QUERY, &[AS_GRAFANA]).is_none());
}

/// Silent ones, garbage, handshakes that stop and requests too large: others are served meanwhile, and afterwards.
#[test]
fn bad_clients_of_https() {
    let home = Home::on_disk();
    let flags = ["--web.max-connections=20", "--web.read-timeout=2s"];
    let server = start(&home, &(tls("") + &users()), &flags);
    let mut held = vec![];
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", b"\x16\x03\x01\xff\xff"] {
        for _ in 0..3 {
            let mut stream = connect(address(&server));
            stream.write_all(begun).expect("writing");
            held.push(stream);
        }
    }
    // A handshake, and then nothing.
    for _ in 0..3 {
        let mut stream = secure(connect(address(&server)), None, &[]);
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        held.push(stream.sock);
    }
    assert_eq!(status(&server, QUERY, &[AS_GRAFANA]), 200, "beside those that are slow");
    for stream in &mut held {
        let closed = stream.read_to_end(&mut vec![]);
        let in_time = |kind| !matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(closed.is_ok() || closed.is_err_and(|error| in_time(error.kind())), "it has its end");
    }
    for garbage in
        [&b"\x16\x03\x01\x00\x05hello"[..], b"\0\0\0\0", &[0xff; 70_000], b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x03"]
    {
        let mut stream = connect(address(&server));
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut vec![]);
        assert_eq!(status(&server, QUERY, &[AS_GRAFANA]), 200, "after {:?}", &garbage[..4]);
    }
    let padding = "QUFB".repeat(20 << 10);
    assert_eq!(status(&server, QUERY, &[&format!("Authorization: Basic {padding}")]), 401);
    let answer = ask(&server, QUERY, &[&format!("Authorization: Basic {}", padding.repeat(2))]);
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert_eq!(status(&server, QUERY, &[AS_GRAFANA]), 200);
}

#[test]
fn files_are_read_again() {
    let home = Home::on_disk();
    let (cert, key) = (home.dir.path().join("a.crt"), home.dir.path().join("a.key"));
    let copy = |name: &str| {
        std::fs::copy(tests_tls(&format!("{name}.crt")), &cert).expect("copying");
        std::fs::copy(tests_tls(&format!("{name}.key")), &key).expect("copying");
    };
    copy("server");
    let text = "tls_server_config:\n  cert_file: a.crt\n  key_file: a.key\n".to_string() + &users();
    let mut server = start(&home, &text, &[]);
    let shown = |server: &Promlake| -> Option<Vec<u8>> {
        let mut stream = secure(connect(address(server)), None, &[]);
        stream.conn.complete_io(&mut stream.sock).ok()?;
        Some(stream.conn.peer_certificates()?.first()?.to_vec())
    };
    let expected = |name: &str| CertificateDer::from_pem_file(tests_tls(&format!("{name}.crt"))).unwrap().to_vec();
    assert_eq!(shown(&server), Some(expected("server")));
    let mut open = secure(connect(address(&server)), None, &[]);
    open.conn.complete_io(&mut open.sock).expect("a handshake");
    copy("renewed");
    eventually("the renewed certificate", || shown(&server) == Some(expected("renewed")));
    assert_eq!(status(&server, QUERY, &[AS_ADMIN]), 200);

    write(&home, &text.replace("admin", "root"));
    eventually("admin is no user", || status(&server, QUERY, &[AS_ADMIN]) == 401);
    assert_eq!(status(&server, QUERY, &[AS_GRAFANA]), 200);

    write(&home, &text.replace(GRAFANA, "hunter2"));
    eventually("nobody is let in", || shown(&server).is_none());
    // Who is connected is told that it is the server's fault.
    let answer = send(&mut open, "localhost", QUERY, &[AS_GRAFANA]).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (500, "Internal Server Error\n"));
    server.wait_for_line("web.yml:5: basic_auth_users.grafana: ");
    assert!(!server.log().join("\n").contains("hunter2"));
    write(&home, &text);
    eventually("all are back", || status(&server, QUERY, &[AS_ADMIN]) == 200);
    assert!(server.stop().success());
}

/// In promtool's words.
#[test]
fn check_healthy_and_ready() {
    let home = Home::on_disk();
    let server = start(&home, &(tls("") + &users()), &[]);
    let file = home.dir.path().join("http.yml");
    let right = format!(
        "basic_auth: {{username: grafana, password: open-sesame}}\ntls_config: {{ca_file: {}}}\n",
        tests_tls("ca.crt").display()
    );
    let check = |what: &str, url: &str, config: &str| {
        std::fs::write(&file, config).expect("writing the configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_promlake"));
        command.args(["check", what, "--url", url, "--http.config.file"]).arg(&file);
        let output = command.output().expect("running the binary");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (what, url) in [("healthy", server.http.clone()), ("ready", format!("{}/", server.http))] {
        let (code, told) = check(what, &url, &right);
        assert!(code == Some(0) && told.starts_with("  SUCCESS:  "), "{what}: {code:?} {told}");
        let wrong = right.replace("open-sesame", "guess");
        assert_eq!(
            check(what, &url, &wrong),
            (Some(1), format!("check failed: URL={}, status=401\n", server.http))
        );
        let (code, told) = check(what, &url, "");
        assert!(code == Some(1) && told.contains("tls: failed to verify certificate"), "{told}");
    }
    let (code, told) = check("healthy", "localhost:1", "");
    assert!(code == Some(1) && told.starts_with("Get \"http://localhost:1/-/healthy\": dial tcp "), "{told}");
    let (code, told) = check("ready", "https://localhost:1", "basic_auths: {}\n");
    assert!(code == Some(1) && told.contains("http.yml:1: basic_auths: "), "{told}");
}
