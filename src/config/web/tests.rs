use super::*;

const HASH: &str = "$2y$10$rC4X9ThyEhQeRO4qQUqPbOqT1X63lbM61QZWFhm3uUxuOhx5nd8sy";
const KEYS: &str = "tls_server_config:\n  cert_file: a.crt\n  key_file: /k/a.key\n";

fn parse(text: &str) -> Result<WebConfig, String> {
    WebConfig::parse(text, Path::new("/etc/prom"), &mut |_| vec![]).map_err(|mistakes| mistakes.shown("w.yml"))
}

/// The words are those of Prometheus 3.5.3 for each of these files.
#[test]
fn what_is_refused() {
    let check = |text: &str, expected: &str| {
        let told = parse(text).err().unwrap_or_default();
        assert_eq!(told, expected, "{text}");
    };
    let tls = |more: &str, expected: &str| check(&format!("{KEYS}  {more}\n"), expected);
    check("hello", "w.yml:1: expected a mapping, got `hello`");
    check(
        "basic_auth:\n  username: admin",
        "w.yml:1: basic_auth: field basic_auth not found in the web configuration",
    );
    tls("min_version: TLS14", "w.yml:4: tls_server_config.min_version: unknown TLS version: TLS14");
    tls("min_version: ''", "w.yml:4: tls_server_config.min_version: unknown TLS version: ");
    tls("max_version: '1.3'", "w.yml:4: tls_server_config.max_version: unknown TLS version: 1.3");
    tls("cipher_suites: [foo]", "w.yml:4: tls_server_config.cipher_suites: unknown cipher: foo");
    tls(
        "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
        "w.yml:4: tls_server_config.cipher_suites: unknown cipher: TLS_RSA_WITH_AES_128_CBC_SHA",
    );
    tls("curve_preferences: [X25519, foo]", "w.yml:4: tls_server_config.curve_preferences: unknown curve: foo");
    tls("client_auth_type: Foo", "w.yml:4: tls_server_config.client_auth_type: invalid ClientAuth: Foo");
    for key in ["client_ca_file: ca.crt", "client_ca: text"] {
        let name = key.split(':').next().unwrap();
        tls(
            key,
            &format!(
                "w.yml:4: tls_server_config.{name}: client CA's have been configured without a Client Auth Policy"
            ),
        );
    }
    check("tls_server_config:\n  cert_file: a", "w.yml:2: tls_server_config: missing one of key or key_file");
    check("tls_server_config:\n  key: a", "w.yml:2: tls_server_config: missing one of cert or cert_file");
    let header = |header: &str, expected: &str| {
        let expected = format!("w.yml:3: http_server_config.headers: {expected}");
        check(&format!("http_server_config:\n  headers:\n    {header}"), &expected);
    };
    header("Foo: bar", "HTTP header \"Foo\" can not be configured");
    header("x-frame-options: deny", "HTTP header \"x-frame-options\" can not be configured");
    header(
        "X-Frame-Options: ''",
        "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"\"",
    );
    header(
        "X-Content-Type-Options: sniff",
        "invalid value for X-Content-Type-Options. Expected one of: [\"nosniff\"], but got: \"sniff\"",
    );
    check(
        "rate_limit:\n  burst: x\n  interval: 1d",
        "w.yml:2: rate_limit.burst: expected a whole number, got `x`\n\
         w.yml:3: rate_limit.interval: expected a duration as 500ms, 1s or 1m30s, got `1d`",
    );
    check(
        "http_server_config:\n  http2: foo",
        "w.yml:2: http_server_config.http2: expected true or false, got `foo`",
    );
}

/// What stands where a secret belongs is one, more likely than not.
#[test]
fn secrets_are_not_told() {
    let check = |text: &str, expected: &str| {
        assert_eq!(parse(text).err().unwrap_or_default(), expected, "{text}");
        assert!(!expected.contains("hunter2"));
    };
    check("basic_auth_users: hunter2", "w.yml:1: basic_auth_users: expected a mapping");
    check("basic_auth_users: [hunter2]", "w.yml:1: basic_auth_users: expected a mapping");
    check("basic_auth_users: {a: [hunter2]}", "w.yml:1: basic_auth_users.a: expected a text");
    check(
        "tls_server_config:\n  cert: a\n  key: {hunter2: a}",
        "w.yml:2: tls_server_config: missing one of key or key_file\nw.yml:3: tls_server_config.key: expected a text",
    );
    check(
        "basic_auth_users:\n  a: hunter2",
        "w.yml:2: basic_auth_users.a: crypto/bcrypt: hashedSecret too short to be a bcrypted password",
    );
}

#[test]
fn what_is_taken() {
    let config =
        parse(&format!("{KEYS}  min_version: TLS13\nbasic_auth_users:\n  5: {HASH}\n  'a:b': {HASH}\n")).unwrap();
    let tls = config.tls.unwrap();
    assert!(matches!(&tls.cert, Pem::File(path) if path == Path::new("/etc/prom/a.crt")));
    assert!(matches!(&tls.key, Pem::File(path) if path == Path::new("/k/a.key")));
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls13, TlsVersion::Tls13));
    assert_eq!((tls.client_auth, tls.client_allowed_sans), (ClientAuth::No, None));
    assert!(tls.prefer_server_cipher_suites);
    let names: Vec<&str> = config.users.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["5", "a:b"]);

    for (name, expected) in [
        ("''", ClientAuth::No),
        ("NoClientCert", ClientAuth::No),
        ("RequestClientCert", ClientAuth::Request),
        ("RequireClientCert", ClientAuth::RequireAny),
        ("RequireAnyClientCert", ClientAuth::RequireAny),
        ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
        ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
    ] {
        let config = parse(&format!("{KEYS}  client_auth_type: {name}")).unwrap();
        assert_eq!(config.tls.unwrap().client_auth, expected, "{name}");
    }
    for empty in ["", "tls_server_config: {}", "tls_server_config:\nbasic_auth_users:\nrate_limit:\n"] {
        let config = parse(empty).unwrap();
        assert!(config.tls.is_none() && config.users.is_empty() && config.rate_limit.is_none(), "{empty}");
        assert!(config.notices.is_empty());
    }
    let config = parse("tls_server_config:\n  min_version: TLS13\n").unwrap();
    assert!(config.tls.is_none() && config.notices.len() == 1, "{:?}", config.notices);
}

#[test]
fn the_headers_of_answers() {
    let text = "http_server_config:\n  headers:\n    X-XSS-Protection: ''\n    Strict-Transport-Security: |\n      \
                max-age=1\n      b\n";
    let expected = vec![("Strict-Transport-Security".to_string(), "max-age=1 b".to_string())];
    assert_eq!(parse(text).unwrap().headers, expected);
}

#[test]
fn rates() {
    let check = |burst: &str, interval: &str, expected: Option<(u64, u64)>| {
        let config = parse(&format!("rate_limit:\n  burst: {burst}\n  interval: {interval}\n")).unwrap();
        let got = config.rate_limit.map(|limit| (limit.burst, limit.interval.as_nanos() as u64));
        assert_eq!(got, expected, "{burst} {interval}");
        assert_eq!(config.notices.len(), usize::from(expected.is_some_and(|(burst, _)| burst == 0)));
    };
    check("5", "1s", Some((5, 1_000_000_000)));
    check("5", "1m30.5s", Some((5, 90_500_000_000)));
    check("1", "250us", Some((1, 250_000)));
    // A number is one of nanoseconds.
    check("1", "5", Some((1, 5)));
    check("-1", "1h", Some((0, 3_600_000_000_000)));
    check("1", "0", None);
    check("1", "0s", None);
    check("1", "-1s", None);
    check("1", "", None);
}
