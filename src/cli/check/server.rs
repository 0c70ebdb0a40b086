//! `promlake check healthy` and `ready`: what a running server, ours or any Prometheus, says of itself.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use url::Url;

use crate::app;
use crate::client::{Client, Options, Request};
use crate::config::http::HttpConfig;
use crate::error::{Context, Error, ErrorKind, Result};

/// As promtool's.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is no answer of these paths.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Args, Debug)]
pub struct Asked {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", value_parser = parse_url)]
    url: Url,
    /// How it is asked: user, password, certificates and what else requests have, in a file
    #[arg(long = "http.config.file", value_name = "FILE")]
    http_config_file: Option<PathBuf>,
}

/// A scheme may be left out.
fn parse_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let url = Url::parse(&whole).map_err(|e| e.to_string())?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err("expected http:// or https:// and a host".to_string()),
    }
}

impl Asked {
    /// Tells what is wrong, or what the server said.
    pub fn run(&self, path: &str) -> ExitCode {
        match ask(self, path) {
            Ok(said) => {
                eprintln!("  SUCCESS:  {said}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn ask(asked: &Asked, path: &str) -> Result<String> {
    let config = match &asked.http_config_file {
        Some(_) if !asked.url.username().is_empty() => {
            let text = "cannot set basic auth in the server URL and use a http.config.file at the same time";
            return Err(Error::bad_input(text));
        }
        Some(file) => HttpConfig::load(file)?,
        None => HttpConfig::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(ErrorKind::Internal, || "cannot start a runtime".into())?;
    app::install_crypto();
    let client = Client::new(&config, Options { compressed: false, clock: app::system_clock() })?;
    let mut url = asked.url.clone();
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    let shown = app::without_secrets(url.as_str());
    let exchange = async {
        let response =
            client.send(Request::get(url)).await.map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
        let status = response.status();
        if status != http::StatusCode::OK {
            let server = app::without_secrets(asked.url.as_str());
            let server = server.trim_end_matches('/');
            return Err(Error::execution(format!("check failed: URL={server}, status={}", status.as_u16())));
        }
        let body = response.bytes(MAX_ANSWER_BYTES).await;
        let body = body.map_err(|e| Error::new(ErrorKind::Unavailable, e.to_string()))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    let late = |_| Error::new(ErrorKind::Timeout, format!("Get {shown:?}: context deadline exceeded"));
    runtime.block_on(async { timeout(PATIENCE, exchange).await }).map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_url(text).ok().as_ref().map(Url::as_str), expected, "{text}");
        };
        check("http://localhost:9090", Some("http://localhost:9090/"));
        check("localhost:9090", Some("http://localhost:9090/"));
        check("https://h/p/", Some("https://h/p/"));
        check("ftp://h", None);
        check("", None);
    }
}
