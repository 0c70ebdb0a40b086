//! How commands ask a server: where it is, and what requests show to be let in.

use std::path::{Path, PathBuf};

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::app;
use crate::client::{Client, Options};
use crate::config::http::{HttpConfig, ProxyConfig};
use crate::error::{Context, Error, ErrorKind, Result};

#[derive(Args, Clone, Debug, Default)]
pub struct Access {
    /// How the server is asked: user, password, certificates and what else requests have, in a file
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = existing, global = true)]
    http_config_file: Option<PathBuf>,
}

impl Access {
    /// A client for a server.
    ///
    /// # Errors
    /// What is wrong with the file, or a user both in there and in the URL.
    pub fn client(&self, server: &Url) -> Result<Client> {
        app::install_crypto();
        Client::new(&self.config(server)?, Options { compressed: false, clock: app::system_clock() })
    }

    pub fn config(&self, server: &Url) -> Result<HttpConfig> {
        match &self.http_config_file {
            Some(_) if !server.username().is_empty() => Err(Error::bad_input(
                "cannot set basic auth in the server URL and use a http.config.file at the same time",
            )),
            Some(file) => HttpConfig::load(file),
            None => {
                let proxy = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
                Ok(HttpConfig { proxy, ..HttpConfig::default() })
            }
        }
    }
}

/// A path that there is.
pub fn existing(text: &str) -> std::result::Result<PathBuf, String> {
    let path = Path::new(text);
    if path.exists() { Ok(path.to_path_buf()) } else { Err(format!("path '{text}' does not exist")) }
}

/// What requests run on.
pub fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context(ErrorKind::Internal, || "cannot start a runtime".to_string())
}

/// The URL of a server. The scheme may be left out.
pub fn url(text: &str) -> std::result::Result<Url, String> {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|e| format!("invalid URL: {e}"))?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err("invalid URL: expected http:// or https:// and a host".to_string()),
    }
}

/// `KEY=VALUE` or `KEY:VALUE`.
pub fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once(['=', ':']).ok_or_else(|| format!("expected KEY=VALUE got '{text}'"))?;
    Ok((key.to_string(), value.to_string()))
}

/// The last value of each name. Values are never shown: they may be credentials.
pub fn headers(pairs: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::bad_input(format!("invalid header field name {name:?}")))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| Error::bad_input(format!("invalid header field value for {:?}", name.as_str())))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(url(text).ok().as_ref().map(Url::as_str), expected, "{text}");
        };
        check("http://localhost:9090", Some("http://localhost:9090/"));
        check("localhost:9090", Some("http://localhost:9090/"));
        check("https://h/p/", Some("https://h/p/"));
        check("ftp://h", None);
        check("", None);
    }

    #[test]
    fn pairs() {
        let check = |text: &str, key: &str, value: &str| {
            assert_eq!(pair(text), Ok((key.to_string(), value.to_string())), "{text}");
        };
        check("a=b", "a", "b");
        check("a:b=c", "a", "b=c");
        check("a=", "a", "");
        assert_eq!(pair("a").unwrap_err(), "expected KEY=VALUE got 'a'");
    }

    #[test]
    fn values_of_headers_are_not_shown() {
        let of = |name: &str, value: &str| headers(&[(name.to_string(), value.to_string())]);
        assert_eq!(of("X-Scope", "a").unwrap()["x-scope"], "a");
        let error = of("X-Secret", "geheim\n").unwrap_err().to_string();
        assert_eq!(error, "invalid header field value for \"x-secret\"");
        assert!(of("a b", "c").is_err());
    }
}
