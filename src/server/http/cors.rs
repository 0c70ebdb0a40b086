//! Cross-origin headers, as `--web.cors.origin` allows. Only what reads carries them: a page of another origin
//! may look at metrics where Prometheus lets it, but neither write samples nor reload or stop the server.

use axum::http::{HeaderMap, HeaderValue, header};
use regex::Regex;

/// Adds the headers for a request of `origin`, when there is one and it may read the answer.
pub fn allow(headers: &mut HeaderMap, origin: Option<&HeaderValue>, allowed: &Regex) {
    // Also without an origin: a cache between would give that answer to one who has an origin.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else { return };
    let any = allowed.as_str() == ANY;
    if !any && !origin.to_str().is_ok_and(|o| allowed.is_match(o)) {
        return;
    }
    let value = if any { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The default pattern `.*` as [`crate::model::pattern::anchored`] compiles it.
const ANY: &str = "^(?s:.*)$";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pattern::anchored;

    #[test]
    fn origins() {
        let check = |pattern: &str, origin: Option<&'static str>, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            let origin = origin.map(HeaderValue::from_static);
            allow(&mut headers, origin.as_ref(), &anchored(pattern).unwrap());
            let got = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|v| v.to_str().unwrap().to_string());
            assert_eq!(got.as_deref(), expected, "{pattern} {origin:?}");
            assert_eq!(headers[header::VARY], "Origin");
        };
        check(".*", None, None);
        check(".*", Some("https://a.example"), Some("*"));
        check("https?://(a|b)\\.example", Some("https://a.example"), Some("https://a.example"));
        check("https?://(a|b)\\.example", Some("https://c.example"), None);
        check("https?://a\\.example", Some("https://a.example.evil"), None);
    }
}
