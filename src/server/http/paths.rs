//! Paths that mean a route and are not written like it: `//api/v1/query`, `/federate/`. Their clients are led to the one
//! that is meant, as Go's multiplexer and Prometheus' router do it.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use crate::server::http::envelope::text_response;

/// A path without empty parts, `.` and `..`; `None` for one that is so already. What ends with `/` goes on doing so.
pub fn cleaned(path: &str) -> Option<String> {
    let is_dirty = |part: &str| matches!(dots(part), "" | "." | "..");
    let parts = || path.split('/').skip(1);
    // The last may be empty, as in `/user/`.
    let last = parts().count().saturating_sub(1);
    if path.starts_with('/')
        && !parts().enumerate().any(|(i, part)| is_dirty(part) && (i < last || !part.is_empty()))
    {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match dots(part) {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", kept.join("/")))
}

/// A part that is written with `%2e` and means `.` or `..` is that.
fn dots(part: &str) -> &str {
    const DOT: &str = "%2e";
    let is = |dots: &[&str]| {
        let mut rest = part;
        dots.iter().all(|dot| match rest.get(..dot.len()).filter(|begin| begin.eq_ignore_ascii_case(dot)) {
            Some(begin) => {
                rest = &rest[begin.len()..];
                true
            }
            None => false,
        }) && rest.is_empty()
    };
    match part.len() {
        3 if is(&[DOT]) => ".",
        4 if is(&[DOT, "."]) || is(&[".", DOT]) => "..",
        6 if is(&[DOT, DOT]) => "..",
        _ => part,
    }
}

/// Of these routes the one that a path means which is none of them: it may have a `/` too much or too little at its end,
/// and letters of the other case.
pub fn meant<'a>(path: &str, routes: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bare = |path: &'a str| path.strip_suffix('/').unwrap_or(path);
    let asked = path.strip_suffix('/').unwrap_or(path);
    let mut near =
        routes.filter(|route| !route.contains('{') && !asked.is_empty() && bare(route).eq_ignore_ascii_case(asked));
    near.next()
}

/// The answer that leads elsewhere, with Go's page for those who do not follow.
pub fn redirect(status: StatusCode, method: &Method, location: &str) -> Response {
    let page = match *method {
        Method::GET => {
            format!("<a href=\"{}\">{}</a>.\n\n", escaped(location), status.canonical_reason().unwrap_or(""))
        }
        _ => String::new(),
    };
    let mut response = text_response(status, page);
    match *method {
        Method::GET | Method::HEAD => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
        }
        _ => drop(response.headers_mut().remove(header::CONTENT_TYPE)),
    }
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        // Made of a target, which has no such bytes, or of a prefix of ours, which has none either.
        Err(_) => text_response(StatusCode::BAD_REQUEST, "400 Bad Request\n"),
    }
}

/// As Go writes a text into a page.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&#34;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_what_means_nothing() {
        let check = |path: &str, expected: &str| assert_eq!(cleaned(path).as_deref(), Some(expected), "{path}");
        check("//api/v1/query", "/api/v1/query");
        check("/api//v1/", "/api/v1/");
        check("/api/v1/./query", "/api/v1/query");
        check("/api/v1/x/../query", "/api/v1/query");
        check("/../../a", "/a");
        check("/a/..", "/");
        check("/a/.", "/a");
        check("//", "/");
        check("/a//", "/a/");
        check("", "/");
        check("/user/%2e%2E/a", "/a");
        check("/user/.%2e/%2e/a", "/a");
        for clean in ["/", "/a", "/a/", "/a/b.c", "/.../..a", "/a%2F%2Fb", "/%2ea", "/a%2e", "/%2e%2e%2e"] {
            assert_eq!(cleaned(clean), None, "{clean}");
        }
    }

    #[test]
    fn routes_that_are_meant() {
        let routes = ["/", "/federate", "/-/ready", "/api/v1/label/{name}/values"];
        let check =
            |path: &str, expected: Option<&str>| assert_eq!(meant(path, routes.into_iter()), expected, "{path}");
        check("/federate/", Some("/federate"));
        check("/Federate", Some("/federate"));
        check("/-/READY/", Some("/-/ready"));
        check("/federate/x", None);
        check("/api/v1/label/{name}/values/", None);
        check("/", None);
        check("/absent", None);
    }

    #[tokio::test]
    async fn pages() {
        let of = |method: Method, location: &str| redirect(StatusCode::FOUND, &method, location);
        let answer = of(Method::GET, "/query?a=\"b\"&c");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["location"]),
            (302, &HeaderValue::from_static("/query?a=\"b\"&c"))
        );
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        assert_eq!(body, "<a href=\"/query?a=&#34;b&#34;&amp;c\">Found</a>.\n\n");
        assert!(!of(Method::POST, "/a").headers().contains_key("content-type"));
        assert_eq!(of(Method::GET, "/a\nb").status(), StatusCode::BAD_REQUEST);
    }
}
