use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::*;
use crate::client::tests::{Hand, Peer, Seen, client, http_config, ok, options, status};

struct Keys {
    private: String,
    public: String,
}

fn keys() -> Keys {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    Keys { private: pair.serialize_pem(), public: pair.public_key_pem() }
}

fn fields(body: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

/// What a verifying server finds in an assertion: header and claims.
fn verified(body: &str, public: &str, algorithm: Algorithm, audience: &str) -> (Json, Json) {
    let form = fields(body);
    assert_eq!(form["grant_type"], JWT_BEARER);
    let mut rules = Validation::new(algorithm);
    rules.set_audience(&[audience]);
    rules.validate_exp = false;
    let key = DecodingKey::from_rsa_pem(public.as_bytes()).unwrap();
    let token = jsonwebtoken::decode::<Json>(&form["assertion"], &key, &rules).unwrap();
    (serde_json::to_value(&token.header).unwrap(), token.claims)
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_signed_assertion_and_kept() {
    let keys = keys();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, &keys.private).unwrap();
    let hand = Hand::default();
    hand.now_ms.store(1_700_000_000_000, Ordering::SeqCst);
    let count = hand.count.clone();
    let tokens = Peer::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        ok(&format!(r#"{{"access_token": "t{number}", "token_type": "bearer", "expires_in": 3600}}"#))
    })
    .await;
    let target = Peer::start(|_| ok("up 1")).await;
    let job = format!(
        "oauth2: {{client_id: me, token_url: '{}', grant_type: '{JWT_BEARER}', client_certificate_key_file: {file:?}, \
         client_certificate_key_id: k7, signature_algorithm: RS384, iss: us, audience: them, scopes: [a, b], \
         claims: {{team: x, level: 3}}, endpoint_params: {{resource: r}}}}",
        tokens.url("/token")
    );
    let asking = Client::new(&http_config(&job), hand.options()).unwrap();
    let ask = || async {
        asking.send(Request::get(target.url("/metrics"))).await.unwrap();
        target.last().header("authorization").unwrap().to_string()
    };
    assert_eq!(ask().await, "Bearer t0");
    let seen = tokens.last();
    assert_eq!(seen.line, "POST /token HTTP/1.1");
    assert_eq!((seen.header("authorization"), fields(&seen.body).contains_key("client_id")), (None, false));
    let (header, claims) = verified(&seen.body, &keys.public, Algorithm::RS384, "them");
    assert_eq!((&header["alg"], &header["typ"], &header["kid"]), (&json!("RS384"), &json!("JWT"), &json!("k7")));
    let jti = claims["jti"].as_str().unwrap().to_string();
    assert_eq!(
        claims,
        json!({"iss": "us", "sub": "me", "aud": "them", "jti": jti, "iat": 1_700_000_000, "exp": 1_700_000_600,
               "scope": "a b", "team": "x", "level": 3})
    );
    let form = fields(&seen.body);
    assert_eq!((form["scope"].as_str(), form["resource"].as_str()), ("a b", "r"));

    assert_eq!(ask().await, "Bearer t0");
    hand.now_ms.fetch_add(3_589_000, Ordering::SeqCst);
    assert_eq!(ask().await, "Bearer t0");
    // Ten seconds before its end it is not trusted any longer.
    hand.now_ms.fetch_add(2_000, Ordering::SeqCst);
    assert_eq!(ask().await, "Bearer t1");
    std::fs::write(&file, format!("{}\n", self::keys().private)).unwrap();
    assert_eq!(ask().await, "Bearer t2");
}

#[tokio::test]
async fn defaults_of_an_assertion_are_prometheus() {
    let keys = keys();
    let tokens = Peer::start(|_| ok(r#"{"access_token": "t"}"#)).await;
    let target = Peer::start(|_| ok("")).await;
    let url = tokens.url("/token");
    let key = keys.private.replace('\n', "\\n");
    let job = format!(
        "oauth2: {{client_id: me, token_url: '{url}', grant_type: '{JWT_BEARER}', client_certificate_key: \"{key}\"}}"
    );
    let asking = client(&job);
    for _ in 0..2 {
        asking.send(Request::get(target.url("/"))).await.unwrap();
    }
    // Without an end it is kept.
    assert_eq!((target.last().header("authorization"), tokens.seen.lock().len()), (Some("Bearer t"), 1));
    let (header, claims) = verified(&tokens.last().body, &keys.public, Algorithm::RS256, url.as_str());
    assert_eq!((header.get("kid"), &claims["iss"], claims.get("scope")), (None, &json!("me"), None));
}

#[tokio::test]
async fn a_secret_is_shown_in_a_header_or_in_the_body() {
    let target = Peer::start(|_| ok("")).await;
    let only_body = |seen: &Seen| match seen.header("authorization") {
        Some(_) => status("401 Unauthorized", r#"{"error": "invalid_client"}"#),
        None => ok(r#"{"access_token": "t", "expires_in": "3600"}"#),
    };
    for header_works in [true, false] {
        let tokens = match header_works {
            true => Peer::start(|_| ok(r#"{"access_token": "t", "token_type": "Bearer"}"#)).await,
            false => Peer::start(only_body).await,
        };
        let url = tokens.url("/t");
        let asking =
            client(&format!("oauth2: {{client_id: 'a b', client_secret: 's&', token_url: '{url}', scopes: [x]}}"));
        asking.send(Request::get(target.url("/"))).await.unwrap();
        assert_eq!(target.last().header("authorization"), Some("Bearer t"));
        let seen = tokens.seen.lock().clone();
        assert_eq!(seen[0].header("authorization"), Some("Basic YStiOnMlMjY="), "{seen:?}");
        assert_eq!(fields(&seen[0].body), fields("grant_type=client_credentials&scope=x"));
        if !header_works {
            assert_eq!(
                fields(&seen[1].body),
                fields("grant_type=client_credentials&client_id=a+b&client_secret=s%26&scope=x")
            );
        }
    }
}

/// Each way for a token server to fail is an error of the target that says what happened, and shows no secret.
#[tokio::test]
async fn failures_are_told_without_secrets() {
    let keys = keys();
    let key = keys.private.replace('\n', "\\n");
    let target = Peer::start(|_| ok("up 1")).await;
    let echo = |seen: &Seen| status("400 Bad Request", &format!("no: {}", seen.body));
    let cases: Vec<(Peer, &str)> = vec![
        (
            Peer::start(|_| status("401 Unauthorized", "go away")).await,
            "oauth2: cannot fetch token: 401 Unauthorized\nResponse: go away",
        ),
        (
            Peer::start(|_| status("500 Internal Server Error", "")).await,
            "oauth2: cannot fetch token: 500 Internal Server Error\nResponse: ",
        ),
        (
            Peer::start(|_| {
                status("400 Bad Request", r#"{"error": "invalid_grant", "error_description": "too old"}"#)
            })
            .await,
            r#"oauth2: "invalid_grant" "too old""#,
        ),
        (Peer::start(echo).await, "400 Bad Request\nResponse: no: grant_type="),
        (
            Peer::start(|_| ok("<html>")).await,
            "oauth2: cannot fetch token: the answer is not JSON (line 1, column 1)",
        ),
        (Peer::start(|_| ok("[1]")).await, "oauth2: cannot fetch token: the answer is not a JSON object"),
        (Peer::start(|_| ok("{}")).await, "oauth2: server response missing access_token"),
        (
            Peer::start(|_| ok(r#"{"access_token": 12345}"#)).await,
            "oauth2: cannot fetch token: access_token is not a text",
        ),
        (
            Peer::start(|_| ok(r#"{"access_token": "hush", "expires_in": "soon"}"#)).await,
            "oauth2: cannot fetch token: expires_in is not a number",
        ),
        (
            Peer::start(|_| status("418 I'm a teapot", r#"{"access_token": "hush"}"#)).await,
            "oauth2: cannot fetch token: 418 I'm a teapot\nResponse: <secret>",
        ),
        (Peer::start(|_| ok(&"x".repeat(MAX_ANSWER_BYTES + 1))).await, "the answer has more than 1048576 bytes"),
        (Peer::start(|_| String::new()).await, "EOF"),
    ];
    for (tokens, expected) in cases {
        let url = tokens.url("/token");
        let job = format!(
            "oauth2: {{client_id: me, token_url: '{url}', grant_type: '{JWT_BEARER}', client_certificate_key: \"{key}\"}}"
        );
        let error = client(&job).send(Request::get(target.url("/m"))).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("Get \"{}\": oauth2: ", target.url("/m"))) && error.contains(expected),
            "{error}"
        );
        for hidden in ["hush", "12345", &keys.private[40..80], "eyJ"] {
            assert!(!error.contains(hidden), "{hidden} is in {error}");
        }
    }
    assert!(target.seen.lock().is_empty());
    for (settings, expected) in [
        (
            ", client_certificate_key: 'no key'",
            "oauth2: client_certificate_key is not an RSA private key in PEM without a passphrase",
        ),
        ("", "oauth2: client_certificate_key is not an RSA private key in PEM without a passphrase"),
        (
            ", client_certificate_key_file: /no/such/key",
            "unable to read oauth2 client secret: unable to read file /no/such/key: open /no/such/key: no such file or directory",
        ),
    ] {
        let job = format!(
            "oauth2: {{client_id: me, token_url: 'http://127.0.0.1:1/', grant_type: '{JWT_BEARER}'{settings}}}"
        );
        let error = client(&job).send(Request::get(target.url("/m"))).await.unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_costs_its_caller_the_deadline_only() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let target = Peer::start(|_| ok("up 1")).await;
    let config = http_config(&format!("oauth2: {{client_id: me, client_secret: s, token_url: '{url}'}}"));
    let asking = Client::new(&config, options()).unwrap();
    for _ in 0..2 {
        let waited =
            tokio::time::timeout(Duration::from_millis(100), asking.send(Request::get(target.url("/")))).await;
        assert!(waited.is_err());
    }
    let _held: Arc<tokio::net::TcpListener> = Arc::new(listener);
    let error = client(
        "oauth2: {client_id: me, token_url: 'http://127.0.0.1:1/', endpoint_params: {scope: x}, scopes: [y]}",
    )
    .send(Request::get(target.url("/")))
    .await
    .unwrap_err();
    assert!(error.to_string().ends_with("oauth2: cannot overwrite parameter \"scope\""), "{error}");
}
