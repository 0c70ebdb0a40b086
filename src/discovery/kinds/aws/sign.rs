//! Signature Version 4 of Amazon's APIs: a keyed hash over the request shows who asks, without the secret.

use std::fmt::Write;

use aws_lc_rs::{digest, hmac};
use chrono::DateTime;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use url::Url;

use crate::client::Request;
use crate::discovery::kinds::aws::credentials::Credentials;
use crate::error::{Error, Result};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What a signature is good for.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) time_ms: i64,
}

/// Adds the date, the session's token and the signature. All headers that are there are signed.
pub(super) fn sign(request: &mut Request, credentials: &Credentials, scope: &Scope<'_>) -> Result<()> {
    let time = DateTime::from_timestamp_millis(scope.time_ms)
        .ok_or_else(|| Error::internal("the clock is out of range"))?;
    let (stamp, day) = (time.format("%Y%m%dT%H%M%SZ").to_string(), time.format("%Y%m%d").to_string());
    let value = |text: &str| {
        HeaderValue::from_str(text)
            .map_err(|_| Error::bad_input("the AWS credentials have letters that they may not have"))
    };
    request.headers.insert(DATE, value(&stamp)?);
    if !credentials.token.is_empty() {
        let mut token = value(&credentials.token)?;
        token.set_sensitive(true);
        request.headers.insert(TOKEN, token);
    }
    let (canonical, signed) = canonical(request);
    let scoped = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "{ALGORITHM}\n{stamp}\n{scoped}\n{}",
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [day.as_str(), scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let id = &credentials.access_key;
    let shown = format!("{ALGORITHM} Credential={id}/{scoped}, SignedHeaders={signed}, Signature={signature}");
    let mut shown = value(&shown)?;
    shown.set_sensitive(true);
    request.headers.insert(AUTHORIZATION, shown);
    Ok(())
}

/// The request as it is hashed, and the names of its headers.
fn canonical(request: &Request) -> (String, String) {
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_string(), String::from_utf8_lossy(value.as_bytes()).trim().to_string())
        })
        .collect();
    if !request.headers.contains_key(HOST) {
        headers.push(("host".to_string(), host(&request.url)));
    }
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let signed = names.join(";");
    let mut query: Vec<(String, String)> =
        request.url.query_pairs().map(|(name, value)| (escaped(&name), escaped(&value))).collect();
    query.sort_unstable();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = format!("{}\n{}\n{}\n", request.method, request.url.path(), query.join("&"));
    for (name, value) in &headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    let body = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    let _ = write!(text, "\n{signed}\n{body}");
    (text, signed)
}

/// As it is in the header: with its port unless that is the scheme's own.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of Amazon's published test suite (`aws-sig-v4-test-suite`), with the signatures that it gives them.
    #[test]
    fn signatures() {
        let check =
            |mut request: Request, headers: &[(&'static str, &str)], token: &str, signed: &str, want: &str| {
                for (name, value) in headers {
                    request.headers.insert(*name, value.parse().unwrap());
                }
                let credentials = Credentials {
                    access_key: "AKIDEXAMPLE".to_string(),
                    secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_string(),
                    token: token.to_string(),
                };
                // 2015-08-30 12:36:00 UTC.
                let scope = Scope { region: "us-east-1", service: "service", time_ms: 1_440_938_160_000 };
                let url = request.url.clone();
                sign(&mut request, &credentials, &scope).unwrap();
                let want = format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={signed}, Signature={want}"
                );
                assert_eq!(request.headers[AUTHORIZATION], want, "{url}");
            };
        let get =
            |query: &str| Request::get(Url::parse(&format!("https://example.amazonaws.com/{query}")).unwrap());
        let post =
            |body: &str| Request::post(Url::parse("https://example.amazonaws.com/").unwrap(), body.to_string());
        let plain = "host;x-amz-date";
        check(get(""), &[], "", plain, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        check(
            get("?Param2=value2&Param1=value1"),
            &[],
            "",
            plain,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(post(""), &[], "", plain, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        check(
            post("Param1=value1"),
            &[("content-type", "application/x-www-form-urlencoded")],
            "",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
    }
}
