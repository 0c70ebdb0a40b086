use std::path::PathBuf;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::web::WebConfig;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls")
}

/// What a section with the server's certificate and these lines comes to; an error is as the file's check tells it.
fn built(more: &str) -> Result<(Served, Vec<String>), String> {
    let lines: String = more.lines().map(|line| format!("  {line}\n")).collect();
    built_of(&format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{lines}"))
}

fn built_of(text: &str) -> Result<(Served, Vec<String>), String> {
    let mut built = None;
    let parsed = WebConfig::parse(text, &folder(), &mut |tls| match build(tls, &mut |path| std::fs::read(path)) {
        Ok(served) => {
            built = Some(served);
            vec![]
        }
        Err(wrong) => wrong,
    });
    let folder = format!("{}/", folder().display());
    parsed.map_err(|mistakes| mistakes.shown("w.yml").replace(&folder, ""))?;
    Ok(built.expect("a section with a certificate"))
}

/// The words are those of Prometheus 3.5.3, but for what it can do and we cannot.
#[test]
fn what_is_refused() {
    let check = |text: &str, expected: &str| {
        let told = built_of(&format!("tls_server_config:\n{text}")).err().unwrap_or_default();
        assert_eq!(told, expected, "{text}");
    };
    check(
        "  cert_file: nowhere.crt\n  key_file: nowhere.key\n",
        "w.yml:2: tls_server_config.cert_file: failed to read cert_file (nowhere.crt): open nowhere.crt: no such file \
         or directory\n\
         w.yml:3: tls_server_config.key_file: failed to read key_file (nowhere.key): open nowhere.key: no such file or \
         directory",
    );
    check(
        "  cert: abc\n  key: def\n",
        "w.yml:2: tls_server_config.cert: failed to load X509KeyPair: tls: failed to find any PEM data in certificate \
         input\n\
         w.yml:3: tls_server_config.key: failed to load X509KeyPair: tls: failed to find any PEM data in key input",
    );
    check(
        "  cert_file: server.crt\n  key_file: client.key\n",
        "w.yml:2: tls_server_config.cert_file: failed to load X509KeyPair: tls: private key does not match public key",
    );
    let check = |more: &str, expected: &str| {
        let told = built(more).err().unwrap_or_default();
        assert!(told.ends_with(expected) && !expected.is_empty(), "{more}: {told}");
    };
    check("max_version: TLS11", "max_version: TLS 1.0 and 1.1 are not supported, clients need at least TLS 1.2");
    check(
        "min_version: TLS13\nmax_version: TLS12",
        "max_version: no version of TLS is left between min_version and max_version",
    );
    check(
        "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]",
        "cipher_suites: not supported, and nothing else is named: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    );
    check(
        "cipher_suites: [TLS_AES_128_GCM_SHA256]\nmax_version: TLS12",
        "cipher_suites: there is no cipher suite of TLS 1.2, the newest of max_version",
    );
    check(
        "curve_preferences: [CurveP521]",
        "curve_preferences: not supported, and nothing else is named: CurveP521",
    );
    check(
        "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: README.md",
        "client_ca_file: there is no certificate of an authority",
    );
    check(
        "client_auth_type: RequestClientCert\nclient_ca_file: nowhere",
        "failed to read client_ca_file (nowhere): open nowhere: no such file or directory",
    );
}

#[test]
fn what_is_left_out_is_told() {
    let check = |more: &str, expected: &[&str]| {
        let (_, notices) = built(more).unwrap();
        assert_eq!(notices, expected, "{more}");
    };
    check("", &[]);
    check("min_version: TLS13", &[]);
    check(
        "min_version: TLS10",
        &["TLS 1.0 and 1.1 are not supported, clients need at least TLS 1.2 (min_version)"],
    );
    check(
        "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",
        &["cipher_suites: not supported and left out: TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"],
    );
    check("cipher_suites: [TLS_AES_128_GCM_SHA256]", &[]);
    check(
        "curve_preferences: [CurveP521, CurveP384]",
        &["curve_preferences: not supported and left out: CurveP521"],
    );
}

fn client(certificate: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let file = |name: &str| folder().join(name);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.crt"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A handshake and a byte each way: with TLS 1.3 a client learns of its refusal only then.
async fn meet(served: &Served, client: ClientConfig) -> bool {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serving = async {
        let mut stream = TlsAcceptor::from(served.http.clone()).accept(near).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.shutdown().await
    };
    let asking = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, far).await?;
        stream.write_u8(7).await?;
        stream.read_u8().await
    };
    let (served, asked) = tokio::join!(serving, asking);
    let _: (io::Result<()>, &io::Result<u8>) = (served, &asked);
    asked.is_ok_and(|byte| byte == 7)
}

/// As Go has it for each policy: without a certificate, with one of the authority, of nobody's, and one that is its own
/// authority and named as such.
#[tokio::test]
async fn client_certificates() {
    let both = &[&version::TLS13, &version::TLS12];
    let clients = [None, Some("client"), Some("stranger"), Some("alone")];
    let authorities = std::fs::read_to_string(folder().join("ca.crt")).unwrap()
        + &std::fs::read_to_string(folder().join("alone.crt")).unwrap();
    let authorities: String = authorities.lines().map(|line| format!("  {line}\n")).collect();
    let ca = format!("client_ca: |\n{authorities}");
    for (policy, more, expected) in [
        ("NoClientCert", "", [true, true, true, true]),
        ("RequestClientCert", "", [true, true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true, true]),
        ("RequireClientCert", "", [false, true, true, true]),
        ("VerifyClientCertIfGiven", ca.as_str(), [true, true, false, true]),
        ("RequireAndVerifyClientCert", ca.as_str(), [false, true, false, true]),
        ("RequireAndVerifyClientCert", "client_ca_file: ca.crt\n", [false, true, false, false]),
        (
            "RequireAndVerifyClientCert",
            "client_ca_file: ca.crt\nclient_allowed_sans: [other.example]\n",
            [false; 4],
        ),
        (
            "RequireAndVerifyClientCert",
            "client_ca_file: ca.crt\nclient_allowed_sans: [other.example, client.example]\n",
            [false, true, false, false],
        ),
        ("RequireAnyClientCert", "client_allowed_sans: ['2001:db8::1']\n", [false, true, true, false]),
        ("RequestClientCert", "client_allowed_sans: ['spiffe://example.org/client']\n", [false, true, true, false]),
        ("NoClientCert", "client_allowed_sans: [other.example]\n", [true, true, true, true]),
    ] {
        let (served, _) = built(&format!("client_auth_type: {policy}\n{more}")).unwrap();
        assert_eq!(served.wants_certificate, !expected[0], "{policy} {more}");
        for version in both {
            for (name, expected) in clients.iter().zip(expected) {
                let got = meet(&served, client(*name, &[version])).await;
                assert_eq!(got, expected, "{policy} {more} {name:?} {version:?}");
            }
        }
    }
}

#[tokio::test]
async fn versions_and_suites_that_are_served() {
    for (more, older, newer) in [
        ("", true, true),
        ("min_version: TLS13", false, true),
        ("max_version: TLS12", true, false),
        ("min_version: TLS10", true, true),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", false, true),
        ("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]", true, true),
        // Of certificates with an RSA key, which this is not.
        ("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]", false, true),
        ("curve_preferences: [CurveP384]\nprefer_server_cipher_suites: false", true, true),
    ] {
        let (served, _) = built(more).unwrap();
        for (version, expected) in [(&version::TLS12, older), (&version::TLS13, newer)] {
            assert_eq!(meet(&served, client(None, &[version])).await, expected, "{more} {version:?}");
        }
    }
    // A client that speaks HTTP/2 only, and one that speaks Postgres.
    let (served, _) = built("").unwrap();
    for (name, expected) in [(&b"h2"[..], false), (&b"http/1.1"[..], true), (POSTGRESQL, false)] {
        let mut client = client(None, &[&version::TLS13]);
        client.alpn_protocols = vec![name.to_vec()];
        assert_eq!(meet(&served, client).await, expected, "{name:?}");
    }
}
