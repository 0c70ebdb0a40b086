//! What scrapes of the real binary show to be let in, with a token server that believes nothing it has not verified; and that none
//! of it is in a log, an error, a metric or an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;

use crate::support::{Home, Promlake, get_json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN: &str = "hush-this-is-the-token";

/// A server on a thread for each connection; `answer` gets head and body and yields all of the answer.
fn serve(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || talk(stream, &*answer));
        }
    });
    address
}

fn talk(mut stream: TcpStream, answer: &dyn Fn(&str, &str) -> String) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length =
        head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_ok() {
        let _ = stream.write_all(answer(&head, &String::from_utf8_lossy(&body)).as_bytes());
    }
}

fn response(status: &str, body: &str) -> String {
    let kind = "Content-Type: text/plain; version=0.0.4";
    format!("HTTP/1.1 {status}\r\n{kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn field(body: &str, name: &str) -> String {
    let pairs = url::form_urlencoded::parse(body.as_bytes());
    pairs.into_owned().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
}

/// The token's answer, or why there is none.
fn verify(body: &str, public: &str) -> Result<(), String> {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&["the tests"]);
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let key = DecodingKey::from_rsa_pem(public.as_bytes()).expect("a public key");
    let token = jsonwebtoken::decode::<Value>(field(body, "assertion"), &key, &rules).map_err(|e| e.to_string())?;
    match (field(body, "grant_type").as_str(), token.header.kid.as_deref(), token.claims["sub"].as_str()) {
        (GRANT, Some("k1"), Some("promlake")) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The health of the only target, as soon as it is `wanted`, and its last error.
async fn target(server: &Promlake, wanted: &str) -> String {
    for _ in 0..200 {
        let answer = get_json(&server.url("/api/v1/targets")).await.1;
        let target = &answer["data"]["activeTargets"][0];
        if target["health"] == wanted {
            return target["lastError"].as_str().unwrap_or_default().to_string();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the target is not {wanted}: {:?}", get_json(&server.url("/api/v1/targets")).await);
}

#[tokio::test]
async fn a_jwt_gets_a_token_and_nobody_sees_either() {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let (private, public) = (pair.serialize_pem(), pair.public_key_pem());
    let mode = Arc::new(Mutex::new("right"));
    let (asked, seen_mode) = (Arc::new(Mutex::new(0)), mode.clone());
    let count = asked.clone();
    let tokens = serve(move |_, body| {
        *count.lock().expect("nobody panicked") += 1;
        let right = format!(r#"{{"access_token": "{TOKEN}", "token_type": "bearer", "expires_in": 11}}"#);
        match *seen_mode.lock().expect("nobody panicked") {
            "right" => match verify(body, &public) {
                Ok(()) => response("200 OK", &right),
                Err(why) => response("400 Bad Request", &why),
            },
            "unauthorized" => response("401 Unauthorized", "no"),
            "standard" => {
                response("400 Bad Request", r#"{"error": "invalid_grant", "error_description": "expired"}"#)
            }
            "echo" => response("403 Forbidden", body),
            "broken" => response("500 Internal Server Error", &right),
            "html" => response("200 OK", "<html>"),
            "list" => response("200 OK", "[]"),
            "empty" => response("200 OK", ""),
            "without" => response("200 OK", r#"{"token_type": "bearer"}"#),
            "number" => response("200 OK", r#"{"access_token": 1}"#),
            "soon" => response("200 OK", &right.replace("11", "\"soon\"")),
            "long" => response("200 OK", &"x".repeat(2 << 20)),
            "silent" => String::new(),
            _ => {
                std::thread::sleep(Duration::from_secs(3));
                String::new()
            }
        }
    });
    let exporter = serve(|head, _| match head.contains(&format!("authorization: Bearer {TOKEN}\r\n")) {
        true => response("200 OK", "up_and_running 1\n"),
        false => response("403 Forbidden", ""),
    });
    let home = Home::on_disk();
    std::fs::write(home.dir.path().join("key.pem"), &private).expect("a key file");
    let key = home.dir.path().join("key.pem");
    let config = format!(
        "scrape_configs:\n- job_name: j\n  scrape_interval: 200ms\n  oauth2:\n    client_id: promlake\n    \
         grant_type: {GRANT}\n    token_url: http://{tokens}/token\n    client_certificate_key_file: {}\n    \
         client_certificate_key_id: k1\n    audience: the tests\n  static_configs: [{{targets: ['{exporter}']}}]\n",
        key.display()
    );
    let mut server = home.start(&config, &["--log.level=debug", "--web.enable-lifecycle"]);
    target(&server, "up").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(*asked.lock().expect("nobody panicked"), 1, "a token is kept");

    let failures = [
        ("unauthorized", "oauth2: cannot fetch token: 401 Unauthorized"),
        ("standard", r#"oauth2: "invalid_grant" "expired""#),
        ("echo", "oauth2: cannot fetch token: 403 Forbidden"),
        ("broken", "oauth2: cannot fetch token: 500 Internal Server Error"),
        ("html", "oauth2: cannot fetch token: the answer is not JSON"),
        ("list", "oauth2: cannot fetch token: the answer is not a JSON object"),
        ("empty", "oauth2: cannot fetch token: the answer is not JSON"),
        ("without", "oauth2: server response missing access_token"),
        ("number", "oauth2: cannot fetch token: access_token is not a text"),
        ("soon", "oauth2: cannot fetch token: expires_in is not a number"),
        ("long", "the answer has more than 1048576 bytes"),
        ("silent", "oauth2: cannot fetch token"),
        ("stalling", "context deadline exceeded"),
    ];
    let mut errors = vec![];
    for (kind, expected) in failures {
        *mode.lock().expect("nobody panicked") = kind;
        // Each life of the job begins without a token.
        let changed = config
            .replace("scrape_interval: 200ms", &format!("scrape_interval: 200ms\n  params: {{kind: [{kind}]}}"));
        std::fs::write(home.dir.path().join("prometheus.yml"), changed).expect("a configuration");
        let reload = reqwest::Client::new().post(server.url("/-/reload"));
        assert!(reload.send().await.expect("an answer").status().is_success());
        let error = target(&server, "down").await;
        assert!(error.contains(expected) && error.contains(kind), "{kind}: {error}");
        errors.push(error);
    }
    *mode.lock().expect("nobody panicked") = "right";
    target(&server, "up").await;

    let paths = [
        "/api/v1/targets",
        "/api/v1/status/config",
        "/api/v1/scrape_pools/config?scrapePool=j",
        "/api/v1/status/flags",
    ];
    let mut shown = errors;
    for path in paths {
        shown.push(get_json(&server.url(path)).await.1.to_string());
    }
    shown.push(reqwest::get(server.url("/metrics")).await.expect("an answer").text().await.expect("a body"));
    shown.extend(server.log().iter().cloned());
    assert!(shown.iter().any(|text| text.contains("client_certificate_key_file")));
    for hidden in [TOKEN, &private[100..140], "eyJ0eXAiOiJKV1Qi"] {
        let place = shown.iter().find(|text| text.contains(hidden));
        assert!(place.is_none(), "{hidden} is in {}", place.expect("it was found"));
    }
}
