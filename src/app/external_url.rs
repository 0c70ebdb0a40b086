//! `--web.external-url` as Prometheus reads it: whatever Go takes for a URL, a path alone included.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

/// What is encoded in a path, beside what is not ASCII: what every client encodes there.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// Where users reach the server, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Without a slash at the end, and without a user. A path alone has no scheme and no host.
    pub text: String,
    /// Of `http` and `https`.
    pub host: Option<String>,
    /// Empty, or with a slash in front and none at the end; percent-encoded.
    pub path: String,
}

/// Nothing for an empty text, as the URL is made up from the listen address then.
pub fn parse(text: &str) -> Result<Option<ExternalUrl>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err("URL must not begin or end with quotes".into());
    }
    if text.chars().any(char::is_control) {
        return Err("a URL has no control characters".into());
    }
    let (scheme, rest) = scheme(text)?;
    let rest = rest.split(['?', '#']).next().unwrap_or("");
    if let Some(rest) = rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        return with_host(&scheme, rest).map(Some);
    }
    let path = match rest.starts_with('/') {
        true => rest,
        // As in `localhost:9090`, where Go takes the name for a scheme, and there is no path.
        false if !scheme.is_empty() => {
            return Ok(Some(ExternalUrl { text: text.to_string(), ..ExternalUrl::default() }));
        }
        false if rest.split('/').next().is_some_and(|first| first.contains(':')) => {
            return Err("first path segment in URL cannot contain colon; is http:// missing?".into());
        }
        false => rest,
    };
    let path = prefix(path)?;
    Ok(Some(ExternalUrl { text: path.clone(), host: None, path }))
}

/// The path of a URL as a prefix of routes: empty, or with a slash in front and none at the end. As paths are matched as they
/// are sent, it is encoded in the one way in which clients do it.
pub fn prefix(path: &str) -> Result<String, String> {
    let plain = decoded(path)?;
    // Some clients encode these, and some do not.
    if let Some(odd) = plain.chars().find(|c| "*[]\\^|".contains(*c) || c.is_control()) {
        return Err(format!("a path without any of *[]\\^| and control characters is expected, not {odd:?}"));
    }
    if plain.matches('/').count() != path.matches('/').count() {
        return Err("a path has no encoded slashes".into());
    }
    match plain.trim_matches('/') {
        "" => Ok(String::new()),
        path if path.contains("//") => Err("an empty part between two slashes".into()),
        path => Ok(format!("/{}", utf8_percent_encode(path, ENCODED))),
    }
}

/// What a path stands for.
pub fn decoded(path: &str) -> Result<String, String> {
    let is_escape =
        |escape: &str| escape.get(..2).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if let Some(bad) = path.split('%').skip(1).find(|escape| !is_escape(escape)) {
        return Err(format!("invalid URL escape \"%{}\"", bad.chars().take(2).collect::<String>()));
    }
    let plain = percent_decode_str(path).decode_utf8();
    plain.map(Into::into).map_err(|_| "a path is UTF-8".to_string())
}

fn with_host(scheme: &str, rest: &str) -> Result<ExternalUrl, String> {
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.contains(' ') {
        return Err("invalid character \" \" in host name".into());
    }
    let path = prefix(path)?;
    let text = format!("{scheme}://{host}{path}");
    // A host that a template left out.
    if host.is_empty() {
        return Ok(ExternalUrl { text, host: None, path });
    }
    let url = Url::parse(&format!("{scheme}://{host}")).map_err(|e| e.to_string())?;
    let known = matches!(scheme, "http" | "https");
    Ok(ExternalUrl { text, host: url.host_str().filter(|_| known).map(str::to_string), path })
}

/// What stands before the first colon, if it can be a scheme, in lower case.
fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Prometheus 3.5.3 computes them.
    #[test]
    fn urls() {
        let check = |text: &str, shown: &str, host: Option<&str>, path: &str| {
            let url = parse(text).unwrap().unwrap_or_default();
            assert_eq!((&*url.text, url.host.as_deref(), &*url.path), (shown, host, path), "{text}");
        };
        check("", "", None, "");
        check("http://metrics.example", "http://metrics.example", Some("metrics.example"), "");
        check("http://metrics.example/", "http://metrics.example", Some("metrics.example"), "");
        check("HTTPS://m.example:8443/lake//", "https://m.example:8443/lake", Some("m.example"), "/lake");
        check("http://u:p@m.example/x?a=b#c", "http://m.example/x", Some("m.example"), "/x");
        check("/p", "/p", None, "/p");
        check("/p/q/", "/p/q", None, "/p/q");
        check("p", "/p", None, "/p");
        check("/", "", None, "");
        check("metrics.example/p", "/metrics.example/p", None, "/metrics.example/p");
        check("localhost:9090", "localhost:9090", None, "");
        check("http://", "http://", None, "");
        check(
            "http://m.example/sub/path%20x/",
            "http://m.example/sub/path%20x",
            Some("m.example"),
            "/sub/path%20x",
        );
        check("http://m.example/sub/path x", "http://m.example/sub/path%20x", Some("m.example"), "/sub/path%20x");
        check("/%C3%A9", "/%C3%A9", None, "/%C3%A9");
        check("/é", "/%C3%A9", None, "/%C3%A9");
        check("/{x}", "/%7Bx%7D", None, "/%7Bx%7D");
        check("/100%25", "/100%25", None, "/100%25");
    }

    #[test]
    fn one_way_to_write_a_path() {
        assert_eq!(prefix("/%70/%2d%C3%a9").as_deref(), Ok("/p/-%C3%A9"));
        assert_eq!(decoded("/path%20x").as_deref(), Ok("/path x"));
    }

    #[test]
    fn refusals() {
        let check = |text: &str, part: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("\"http://a\"", "URL must not begin or end with quotes");
        check("'x", "URL must not begin or end with quotes");
        check("127.0.0.1:9090", "first path segment in URL cannot contain colon");
        check(":9090", "missing protocol scheme");
        check("http://a b/", "in host name");
        check("http://a:port/", "port");
        check("/x*", "not '*'");
        check("/x%5b", "not '['");
        check("/%zz", "invalid URL escape \"%zz\"");
        check("/%4", "invalid URL escape \"%4\"");
        check("/%ff", "UTF-8");
        check("/a%2Fb", "encoded slashes");
        check("/a\nb", "control characters");
        check("/a//b", "two slashes");
    }
}
