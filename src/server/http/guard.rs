//! Requests that change something must not come from a page of another site: a browser sends them with the network
//! position of its reader, who did not ask for it. Browsers say where a request comes from in `Sec-Fetch-Site`, which no
//! page can set, and older ones in `Origin`; what has neither is no page. The rules are those of Go's
//! `http.CrossOriginProtection`, and stricter for sister sites.

use axum::http::{HeaderMap, HeaderName, Method, header};
use url::Url;

use crate::server::http::hosts::split_port;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request changes something. Routes that only read take POST for parameters that are too long for a URL.
pub fn changes(reads_only: bool, method: &Method) -> bool {
    !(method.is_safe() || reads_only && method == Method::POST)
}

/// Whether a page sent this.
pub fn from_page(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(header::ORIGIN)
}

/// An error for a request of a foreign page. `authorities` are what the request calls this server.
pub fn check(headers: &HeaderMap, authorities: &[&str], external_url: &str) -> Result<(), String> {
    let origin = Value::of(headers, &header::ORIGIN);
    let own_origin = || matches!(origin, Value::One(origin) if is_own(origin, authorities, external_url));
    let allowed = match Value::of(headers, &SEC_FETCH_SITE) {
        Value::One("same-origin" | "none") => true,
        // A sister site is another site here: ports and subdomains have owners of their own.
        Value::One("same-site") => own_origin(),
        Value::One(_) | Value::Unclear => false,
        Value::Absent => matches!(origin, Value::Absent) || own_origin(),
    };
    if allowed {
        return Ok(());
    }
    let from = match origin {
        Value::One(origin) => format!(" from {origin:?}"),
        Value::Absent | Value::Unclear => String::new(),
    };
    Err(format!("cross-site request{from} refused: pages of other sites may not change anything here"))
}

/// The value of a header that may be there once.
#[derive(Clone, Copy)]
enum Value<'a> {
    Absent,
    One(&'a str),
    /// More than one, or no text.
    Unclear,
}

impl<'a> Value<'a> {
    fn of(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Value::Absent,
            (Some(value), None) => value.to_str().map_or(Value::Unclear, |text| Value::One(text.trim())),
            (Some(_), Some(_)) => Value::Unclear,
        }
    }
}

/// Whether an origin is this server, by the name of the request or by the external URL. `null`, the origin of sandboxed
/// pages and files, is nobody's.
fn is_own(origin: &str, authorities: &[&str], external_url: &str) -> bool {
    let Ok(origin) = Url::parse(origin) else { return false };
    let (Some(host), Some(port)) = (origin.host_str(), origin.port_or_known_default()) else { return false };
    let called = |authority: &&str| {
        let (name, own_port) = split_port(authority);
        // The scheme of the request is not known behind a proxy, so a missing port is that of the origin's scheme.
        name.eq_ignore_ascii_case(host) && own_port.or(default_port(&origin)) == Some(port)
    };
    let external = Url::parse(external_url).is_ok_and(|url| url.origin() == origin.origin());
    external || authorities.iter().any(called)
}

fn default_port(url: &Url) -> Option<u16> {
    match url.scheme() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something() {
        let check = |reads_only, method: Method, expected| {
            assert_eq!(changes(reads_only, &method), expected, "{reads_only} {method}");
        };
        for safe in [Method::GET, Method::HEAD, Method::OPTIONS] {
            check(true, safe.clone(), false);
            check(false, safe, false);
        }
        check(true, Method::POST, false);
        check(true, Method::PUT, true);
        check(true, Method::DELETE, true);
        for other in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            check(false, other, true);
        }
        check(false, Method::from_bytes(b"BREW").unwrap(), true);
    }

    #[test]
    fn pages() {
        let check = |given: &[(&str, &'static str)], host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let got = super::check(&headers, &[host], "https://metrics.example/lake/");
            assert_eq!(got.is_ok(), expected, "{given:?} {host}: {got:?}");
            assert_eq!(from_page(&headers), !given.is_empty());
        };
        let local = "127.0.0.1:9090";
        check(&[], local, true);
        check(&[("sec-fetch-site", "same-origin")], local, true);
        check(&[("sec-fetch-site", "none")], local, true);
        check(&[("sec-fetch-site", "cross-site")], local, false);
        check(&[("sec-fetch-site", "same-site")], local, false);
        check(&[("sec-fetch-site", "")], local, false);
        check(&[("sec-fetch-site", "new-kind")], local, false);
        check(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], local, false);
        // The browser knows better than we do what a proxy made of the name.
        check(&[("sec-fetch-site", "same-origin"), ("origin", "https://front.example")], local, true);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:9090")], local, false);
        check(&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9090")], local, true);
        check(&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")], local, false);
        check(&[("origin", "http://127.0.0.1:9090")], local, true);
        check(&[("origin", "http://127.0.0.1:3000")], local, false);
        check(&[("origin", "http://127.0.0.1")], local, false);
        check(&[("origin", "http://localhost:9090")], local, false);
        check(&[("origin", "https://evil.example")], local, false);
        check(&[("origin", "null")], local, false);
        check(&[("origin", "")], local, false);
        check(&[("origin", "http://127.0.0.1:9090"), ("origin", "https://evil.example")], local, false);
        check(&[("origin", "http://lake.example")], "lake.example", true);
        check(&[("origin", "https://lake.example")], "LAKE.example", true);
        check(&[("origin", "https://lake.example")], "lake.example:443", true);
        check(&[("origin", "https://lake.example")], "lake.example:80", false);
        check(&[("origin", "http://[::1]:9090")], "[::1]:9090", true);
        check(&[("origin", "https://metrics.example")], "inner:9090", true);
        check(&[("origin", "http://metrics.example")], "inner:9090", false);
        check(&[("origin", "https://metrics.example.evil")], "inner:9090", false);
    }
}
