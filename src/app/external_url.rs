//! `--web.external-url` as Prometheus reads it: whatever Go takes for a URL, a path alone included.

use url::Url;

/// Where users reach the server, as far as it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Without a slash at the end, and without a user. A path alone has no scheme and no host.
    pub text: String,
    /// Of `http` and `https`.
    pub host: Option<String>,
    /// Empty, or with a slash in front and none at the end.
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
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("a URL has no blanks and no control characters".into());
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

/// A path as a prefix of routes: empty, or with a slash in front and none at the end.
pub fn prefix(path: &str) -> Result<String, String> {
    // Routes have patterns in braces, and paths are matched as they are sent.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()+,;=:@".contains(c);
    if let Some(odd) = path.chars().find(|c| !plain(*c)) {
        return Err(format!("a path of letters, digits and -._~!$&'()+,;=:@ is expected, not {odd:?}"));
    }
    match path.trim_matches('/') {
        "" => Ok(String::new()),
        path if path.contains("//") => Err("an empty part between two slashes".into()),
        path => Ok(format!("/{path}")),
    }
}

fn with_host(scheme: &str, rest: &str) -> Result<ExternalUrl, String> {
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
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
        check("http://a b/", "blanks");
        check("http://a:port/", "port");
        check("/{x}", "not '{'");
        check("/a//b", "two slashes");
    }
}
