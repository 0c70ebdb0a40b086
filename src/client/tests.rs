use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::file::Config;

/// A request as a server saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `GET /path HTTP/1.1`.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Answers each request with what `answer` says: a status line's rest, headers and a body.
#[derive(Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

type Answer = Arc<dyn Fn(&Seen) -> String + Send + Sync>;

impl Peer {
    pub async fn start(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    pub async fn start_with(
        tls: Option<ServerConfig>,
        answer: impl Fn(&Seen) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (answer, seen): (Answer, _) = (Arc::new(answer), peer.seen.clone());
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen, acceptor) = (answer.clone(), seen.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                talk(stream, answer, seen).await;
                            }
                        }
                        None => talk(stream, answer, seen).await,
                    }
                });
            }
        });
        peer
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    fn https(&self, host: &str) -> Url {
        Url::parse(&format!("https://{host}:{}/metrics", self.address.port())).unwrap()
    }

    pub fn last(&self) -> Seen {
        self.seen.lock().last().cloned().unwrap()
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer, seen: Arc<Mutex<Vec<Seen>>>) {
    let Some(request) = read(&mut stream).await else { return };
    seen.lock().push(request.clone());
    let answer = answer(&request);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n").map(str::to_string);
    let line = lines.next()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_string(), v.to_string()))).collect();
    let mut seen = Seen { line, headers, body: String::new() };
    let length: usize = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    Some(seen)
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub fn status(line: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

pub fn options() -> Options {
    Options { compressed: true, clock: Arc::new(|| 1_700_000_000_000) }
}

/// A client from the keys of a job, as people write them.
pub fn client(job: &str) -> Client {
    Client::new(&http_config(job), options()).unwrap()
}

pub fn http_config(job: &str) -> HttpConfig {
    let text = format!("scrape_configs: [{{job_name: j, {job}}}]");
    let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{text}: {}", mistakes.shown("")));
    config.scrape_configs[0].http.clone()
}

async fn get(client: &Client, url: Url) -> Result<String, String> {
    let response = client.send(Request::get(url)).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = response.bytes(1 << 20).await.map_err(|e| e.to_string())?;
    let body = String::from_utf8_lossy(&body).into_owned();
    if status == StatusCode::OK { Ok(body) } else { Err(format!("{status} {body}")) }
}

#[tokio::test]
async fn a_request_shows_what_its_section_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let peer = Peer::start(|_| ok("up 1")).await;
    for (job, expected) in [
        ("basic_auth: {username: ann, password: 'a:b'}", "Basic YW5uOmE6Yg=="),
        ("authorization: {type: Token, credentials: x}", "Token x"),
        ("authorization: {credentials: x}", "Bearer x"),
        ("bearer_token: y", "Bearer y"),
    ] {
        assert_eq!(get(&client(job), peer.url("/metrics")).await.unwrap(), "up 1");
        assert_eq!(peer.last().header("authorization"), Some(expected), "{job}");
    }
    let read_each_time = client(&format!("authorization: {{credentials_file: {file:?}}}"));
    for (text, expected) in [("first\n", "Bearer first"), ("  second ", "Bearer second")] {
        std::fs::write(&file, text).unwrap();
        get(&read_each_time, peer.url("/")).await.unwrap();
        assert_eq!(peer.last().header("authorization"), Some(expected));
    }
    std::fs::remove_file(&file).unwrap();
    let error = get(&read_each_time, peer.url("/m")).await.unwrap_err();
    let (url, path) = (peer.url("/m"), file.display());
    assert_eq!(
        error,
        format!(
            "Get \"{url}\": unable to read authorization credentials: unable to read file {path}: open {path}: no such file or directory"
        )
    );
    let endless = client("authorization: {credentials_file: /dev/zero}");
    let error = get(&endless, peer.url("/")).await.unwrap_err();
    assert!(error.ends_with("unable to read file /dev/zero: it has more than 1048576 bytes"), "{error}");
    let with_headers = client("http_headers: {X-Scope: {values: [a], secrets: [b]}}");
    get(&with_headers, peer.url("/")).await.unwrap();
    let scopes: Vec<String> =
        peer.last().headers.iter().filter(|(name, _)| name == "x-scope").map(|(_, value)| value.clone()).collect();
    assert_eq!(scopes, ["a", "b"]);
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    // By another name, so that it is another host.
    let other = Peer::start(|_| ok("other")).await;
    let port = other.address.port();
    let first = Peer::start(move |seen| match seen.line.split(' ').nth(1).unwrap() {
        "/away" => to(302, &format!("http://localhost:{port}/x")),
        "/here" => to(301, "/there"),
        "/again" => to(302, "/again"),
        "/odd" => to(302, "ftp://x/"),
        "/post" => to(302, "/got"),
        "/keep" => to(307, "/got"),
        _ => ok("here"),
    })
    .await;
    let sender = client("basic_auth: {username: a, password: b}, http_headers: {X-Key: {secrets: [k]}}");
    assert_eq!(get(&sender, first.url("/away")).await.unwrap(), "other");
    let seen = other.last();
    assert_eq!((seen.header("authorization"), seen.header("x-key")), (None, None));
    // Nor what a caller puts there by himself, as a token of Consul's.
    let mut request = Request::get(first.url("/away"));
    request.headers.insert("x-consul-token", HeaderValue::from_static("k"));
    request.headers.insert("accept", HeaderValue::from_static("text/plain"));
    sender.send(request).await.unwrap();
    let seen = other.last();
    assert_eq!((seen.header("x-consul-token"), seen.header("accept")), (None, Some("text/plain")));
    assert_eq!(get(&sender, first.url("/here")).await.unwrap(), "here");
    let seen = first.last();
    assert!(seen.header("authorization").is_some() && seen.header("x-key") == Some("k"), "{seen:?}");
    let error = get(&sender, first.url("/again")).await.unwrap_err();
    assert_eq!(error, format!("Get \"{}\": stopped after 10 redirects", first.url("/again")));
    assert_eq!(first.seen.lock().iter().filter(|seen| seen.line.contains("/again")).count(), 11);
    let error = get(&sender, first.url("/odd")).await.unwrap_err();
    assert_eq!(error, format!("Get \"{}\": unsupported protocol scheme \"ftp\"", first.url("/odd")));
    for (path, line, body) in [("/post", "GET /got HTTP/1.1", ""), ("/keep", "POST /got HTTP/1.1", "text")] {
        sender.send(Request::post(first.url(path), "text")).await.unwrap();
        let seen = first.last();
        assert_eq!((seen.line.as_str(), seen.body.as_str()), (line, body));
    }
    let stays = client("follow_redirects: false");
    assert_eq!(get(&stays, first.url("/here")).await.unwrap_err(), "301 Moved Permanently ");
}

#[test]
fn sub_domains_are_the_same_side() {
    for (host, other, expected) in [
        ("a.example", "a.example", true),
        ("b.a.example", "a.example", true),
        ("ba.example", "a.example", false),
        ("example", "a.example", false),
        ("1.10.0.0.1", "10.0.0.1", false),
        ("10.0.0.1", "10.0.0.1", true),
    ] {
        assert_eq!(is_same_or_below(host, other), expected, "{host} {other}");
    }
}

struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.authority.pem()
    }

    /// A certificate and its key in PEM.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn server(certificate: &str, key: &str, clients: Option<&str>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    format!("{path:?}")
}

#[tokio::test]
async fn servers_are_verified_as_the_section_says() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let ca = write(dir.path(), "ca", &certificates.pem());
    let (cert, key) = certificates.issue(|_| {});
    let peer = Peer::start_with(Some(server(&cert, &key, None)), |_| ok("up 1")).await;
    let trusting = client(&format!("tls_config: {{ca_file: {ca}}}"));
    assert_eq!(get(&trusting, peer.https("localhost")).await.unwrap(), "up 1");
    let unverified =
        |url: &Url, why: &str| format!("Get \"{url}\": tls: failed to verify certificate: x509: {why}");
    let by_address = peer.https("127.0.0.1");
    let error = get(&trusting, by_address.clone()).await.unwrap_err();
    assert_eq!(error, unverified(&by_address, "certificate is not valid for 127.0.0.1"));
    let named = client(&format!("tls_config: {{ca_file: {ca}, server_name: localhost}}"));
    assert_eq!(get(&named, by_address.clone()).await.unwrap(), "up 1");
    assert_eq!(peer.last().header("host"), Some(by_address.authority()));
    let stranger = client("tls_config: {}");
    let error = get(&stranger, peer.https("localhost")).await.unwrap_err();
    assert_eq!(error, unverified(&peer.https("localhost"), "certificate signed by unknown authority"));
    let careless = client("tls_config: {insecure_skip_verify: true}");
    assert_eq!(get(&careless, by_address).await.unwrap(), "up 1");
    let newer = client(&format!("tls_config: {{ca_file: {ca}, min_version: TLS13}}"));
    assert_eq!(get(&newer, peer.https("localhost")).await.unwrap(), "up 1");
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", plain.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(status("400 Bad Request", "").as_bytes()).await;
        }
    });
    let error = get(&trusting, url).await.unwrap_err();
    assert!(error.ends_with("http: server gave HTTP response to HTTPS client"), "{error}");

    let (old, key) = certificates.issue(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let expired = Peer::start_with(Some(server(&old, &key, None)), |_| ok("up 1")).await;
    let error = get(&trusting, expired.https("localhost")).await.unwrap_err();
    assert_eq!(error, unverified(&expired.https("localhost"), "certificate has expired or is not yet valid"));
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_taken_where_it_is_the_trusted_one() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (pem, key) = make();
    let peer = Peer::start_with(Some(server(&pem, &key, None)), |_| ok("up 1")).await;
    let ca = write(dir.path(), "ca", &pem);
    let trusting = client(&format!("tls_config: {{ca_file: {ca}}}"));
    assert_eq!(get(&trusting, peer.https("localhost")).await.unwrap(), "up 1");
    let error = get(&trusting, peer.https("127.0.0.1")).await.unwrap_err();
    assert!(error.ends_with("certificate is not valid for 127.0.0.1"), "{error}");
    let other = write(dir.path(), "other", &make().0);
    let error =
        get(&client(&format!("tls_config: {{ca_file: {other}}}")), peer.https("localhost")).await.unwrap_err();
    assert!(error.contains("x509"), "{error}");
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Certificates::new(), Certificates::new());
    let (cert, key) = new.issue(|_| {});
    let peer = Peer::start_with(Some(server(&cert, &key, Some(&new.pem()))), |_| ok("up 1")).await;
    let path = |name: &str, text: &str| write(dir.path(), name, text);
    let sections = |certificates: &Certificates| {
        let (cert, key) = certificates.issue(|_| {});
        let (ca, cert, key) = (path("ca", &certificates.pem()), path("cert", &cert), path("key", &key));
        format!("tls_config: {{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}")
    };
    let both_ways = client(&sections(&old));
    let error = get(&both_ways, peer.https("localhost")).await.unwrap_err();
    assert!(error.contains("unknown authority"), "{error}");
    sections(&new);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(get(&both_ways, peer.https("localhost")).await.unwrap(), "up 1");
    let without = client(&format!("tls_config: {{ca_file: {:?}}}", dir.path().join("ca")));
    let error = get(&without, peer.https("localhost")).await.unwrap_err();
    assert!(error.contains("certificate required"), "{error}");
    path("ca", "no certificate");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let error = get(&both_ways, peer.https("localhost")).await.unwrap_err();
    assert!(error.contains("unable to use specified CA cert"), "{error}");
}

#[test]
fn what_can_never_work_is_told_at_once() {
    for (job, expected) in [
        ("tls_config: {max_version: TLS11}", "TLS 1.0 and 1.1 are not supported"),
        ("tls_config: {ca_ref: x}", "cannot use secret ref without manager"),
        ("proxy_url: 'ftp://user:secret@x'", "proxy_url is not a URL of an HTTP, HTTPS or SOCKS5 proxy"),
        ("oauth2: {client_id: a, token_url: 'host/token'}", "oauth2 token_url \"host/token\""),
    ] {
        let error = Client::new(&http_config(job), options()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("secret@"), "{error}");
    }
}

#[tokio::test]
async fn requests_go_through_their_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let ca = write(dir.path(), "ca", &certificates.pem());
    let (cert, key) = certificates.issue(|params| {
        *params = CertificateParams::new(vec!["inside.example".to_string()]).unwrap();
    });
    let target = Peer::start_with(Some(server(&cert, &key, None)), |_| ok("inside")).await;
    let asked: Arc<Mutex<VecDeque<Seen>>> = Arc::default();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = proxy.local_addr().unwrap();
    let (log, inside) = (asked.clone(), target.address);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let Some(seen) = read(&mut stream).await else { continue };
            log.lock().push_back(seen.clone());
            if seen.line.starts_with("CONNECT") {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut onward = TcpStream::connect(inside).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            } else {
                stream.write_all(ok("proxied").as_bytes()).await.unwrap();
            }
        }
    });
    let through = client(&format!(
        "proxy_url: 'http://u:p@{at}', proxy_connect_header: {{X-Via: [one]}}, tls_config: {{ca_file: {ca}}}"
    ));
    let inside = Url::parse("https://inside.example/metrics").unwrap();
    assert_eq!(get(&through, inside).await.unwrap(), "inside");
    let seen = asked.lock().pop_front().unwrap();
    assert_eq!(seen.line, "CONNECT inside.example:443 HTTP/1.1");
    assert_eq!(seen.header("x-via"), Some("one"));
    assert_eq!(seen.header("proxy-authorization"), Some("Basic dTpw"));
    assert_eq!(get(&through, Url::parse("http://plain.example/m").unwrap()).await.unwrap(), "proxied");
    let seen = asked.lock().pop_front().unwrap();
    assert_eq!(seen.line, "GET http://plain.example/m HTTP/1.1");
    assert_eq!(seen.header("x-via"), None);
}

#[tokio::test]
async fn http2_is_offered_where_it_is_enabled() {
    let certificates = Certificates::new();
    let dir = tempfile::tempdir().unwrap();
    let ca = write(dir.path(), "ca", &certificates.pem());
    let (cert, key) = certificates.issue(|_| {});
    for (job, expected) in [("", "h2"), (", enable_http2: false", "none")] {
        let mut config = server(&cert, &key, None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://localhost:{}/", listener.local_addr().unwrap().port())).unwrap();
        let accepted = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            let mut first = [0; 14];
            stream.read_exact(&mut first).await.unwrap();
            let chosen = stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            (chosen.unwrap_or_else(|| "none".to_string()), first.starts_with(b"PRI * HTTP/2.0"))
        });
        let asking = client(&format!("tls_config: {{ca_file: {ca}}}{job}"));
        let _ = get(&asking, url).await;
        let (chosen, preface) = accepted.await.unwrap();
        assert_eq!((chosen.as_str(), preface), (expected, expected == "h2"));
    }
}

#[tokio::test]
async fn a_socket_stands_in_for_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, Arc::new(|seen: &Seen| ok(&seen.line)), Arc::default()));
        }
    });
    let plain = client("scheme: http");
    let request = Request { unix_socket: Some(path), ..Request::get(Url::parse("http://app/metrics").unwrap()) };
    let answer = plain.send(request).await.unwrap().bytes(100).await.unwrap();
    assert_eq!(answer, "GET /metrics HTTP/1.1");
}

#[tokio::test]
async fn errors_are_in_the_words_people_search_for() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let plain = client("scheme: http");
    let error = get(&plain, Url::parse(&format!("http://{address}/m")).unwrap()).await.unwrap_err();
    assert_eq!(error, format!("Get \"http://{address}/m\": dial tcp {address}: connect: connection refused"));
    let error = get(&plain, Url::parse("http://no-such-host.invalid/").unwrap()).await.unwrap_err();
    assert!(
        error.starts_with("Get \"http://no-such-host.invalid/\": dial tcp: lookup no-such-host.invalid: "),
        "{error}"
    );
    let silent = Peer::start(|_| String::new()).await;
    let error = get(&plain, silent.url("/")).await.unwrap_err();
    assert_eq!(error, format!("Get \"{}\": EOF", silent.url("/")));
    let peer = Peer::start(|_| ok("1234567890")).await;
    let long = plain.send(Request::get(peer.url("/"))).await.unwrap().bytes(9).await.unwrap_err().to_string();
    assert_eq!(long, format!("Get \"{}\": the answer has more than 9 bytes", peer.url("/")));
    let with_password = Url::parse(&format!("http://u:secret@{address}/")).unwrap();
    let error = get(&plain, with_password).await.unwrap_err();
    assert!(error.contains("u:***@") && !error.contains("secret"), "{error}");
}

/// A clock that a test sets, and a count of what happened.
#[derive(Clone, Default)]
pub struct Hand {
    pub now_ms: Arc<AtomicI64>,
    pub count: Arc<AtomicUsize>,
}

impl Hand {
    pub fn options(&self) -> Options {
        let now_ms = self.now_ms.clone();
        Options { compressed: true, clock: Arc::new(move || now_ms.load(Ordering::SeqCst)) }
    }
}
