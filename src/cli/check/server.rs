//! `promlake check healthy` and `ready`: what a running server, ours or any Prometheus, says of itself.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use url::Url;

use crate::app;
use crate::cli::access::{self, Access};
use crate::cli::print::errln;
use crate::client::Request;
use crate::error::{Error, ErrorKind, Result};

/// As promtool's.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is no answer of these paths.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Args, Debug)]
pub struct Asked {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090", value_parser = access::url)]
    url: Url,
    #[command(flatten)]
    access: Access,
}

impl Asked {
    /// Tells what is wrong, or what the server said.
    pub fn run(&self, path: &str) -> ExitCode {
        match ask(self, path) {
            Ok(said) => {
                errln!("  SUCCESS:  {said}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                errln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn ask(asked: &Asked, path: &str) -> Result<String> {
    let client = asked.access.client(&asked.url)?;
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
    access::runtime()?.block_on(async { timeout(PATIENCE, exchange).await }).map_err(late)?
}
