//! `promtool push metrics`: sends an exposition to a server by remote write, to try things out.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use url::Url;

use crate::app;
use crate::cli::access::{self, Access};
use crate::cli::print::{errln, out, outln};
use crate::cli::push::page::Page;
use crate::cli::values;
use crate::config::remote::write::{Message, MetadataConfig, QueueConfig, RemoteWrite};
use crate::forward::encode::Buffers;
use crate::forward::item::Counts;
use crate::forward::send::{Outcome, Sender};

/// An exposition as samples of a request.
mod page;

/// Of an exposition.
const MAX_BYTES: u64 = 64 << 20;
const DEFAULT_PATH: &str = "/api/v1/write";
const MESSAGE_1: &str = "prometheus.WriteRequest";
const MESSAGE_2: &str = "io.prometheus.write.v2.Request";

#[derive(Args, Debug)]
pub struct Pushing {
    #[command(subcommand)]
    push: Push,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Subcommand)]
enum Push {
    /// Send metrics by remote write, to try things out
    Metrics(Metrics),
}

#[derive(Args, Debug)]
struct Metrics {
    /// The server's remote write; /api/v1/write of one that is named without a path
    #[arg(value_parser = access::url)]
    remote_write_url: Url,
    /// Files in Prometheus' text format; standard input without any
    #[arg(value_parser = access::existing)]
    files: Vec<PathBuf>,
    /// A label that all series get, NAME=VALUE; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", default_value = "job=promtool", value_parser = access::pair)]
    labels: Vec<(String, String)>,
    /// How long a request may take
    #[arg(long, default_value = "30s", value_parser = values::go_duration)]
    timeout: i64,
    /// A header of the requests, NAME=VALUE; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = access::pair)]
    headers: Vec<(String, String)>,
    /// prometheus.WriteRequest (1.0) or io.prometheus.write.v2.Request (2.0)
    #[arg(long = "protobuf_message", value_name = "MESSAGE", default_value = MESSAGE_1, value_parser = message)]
    message: Message,
    /// The path below that of the URL
    #[arg(long = "remote-write.path", value_name = "PATH")]
    path: Option<String>,
}

fn message(text: &str) -> Result<Message, String> {
    match text {
        MESSAGE_1 => Ok(Message::V1),
        MESSAGE_2 => Ok(Message::V2),
        _ => Err(format!("invalid protobuf message {text:?}, must be {MESSAGE_1} or {MESSAGE_2}")),
    }
}

/// Pushes each file by itself; tells what becomes of it.
pub fn run(pushing: &Pushing) -> ExitCode {
    let Push::Metrics(metrics) = &pushing.push;
    let sender = match metrics.sender(&pushing.access) {
        Ok(sender) => sender,
        Err(error) => {
            errln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if metrics.files.is_empty() {
        outln!("Parsing standard input");
        return code([metrics.push(&sender, &mut io::stdin().lock(), "metrics")]);
    }
    code(metrics.files.iter().map(|file| {
        let name = file.display();
        outln!("Parsing metrics file {name}");
        let mut opened = File::open(file).map_err(|error| format!("open {name}: {error}"))?;
        metrics.push(&sender, &mut opened, &format!("metrics file {name}"))
    }))
}

fn code(results: impl IntoIterator<Item = Result<(), String>>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for error in results.into_iter().filter_map(Result::err) {
        errln!("  FAILED: {error}");
        code = ExitCode::FAILURE;
    }
    code
}

impl Metrics {
    fn sender(&self, access: &Access) -> Result<Sender, String> {
        let timeout = u64::try_from(self.timeout).ok().filter(|ns| *ns > 0).map(Duration::from_nanos);
        let settings = RemoteWrite {
            path: "push".to_string(),
            url: Some(self.url()),
            name: String::new(),
            message: self.message,
            timeout: timeout.ok_or("--timeout: expected a duration above zero")?,
            headers: self.headers.clone(),
            relabel: Vec::new(),
            send_exemplars: false,
            send_native_histograms: false,
            round_robin_dns: false,
            failed_request_logging: false,
            http: access.config(&self.remote_write_url).map_err(|error| error.to_string())?,
            queue: QueueConfig::default(),
            metadata: MetadataConfig { send: true, send_interval: Duration::ZERO, max_samples_per_send: 0 },
        };
        app::install_crypto();
        Sender::new(&settings, app::system_clock()).map_err(|error| error.to_string())
    }

    fn url(&self) -> Url {
        let mut url = self.remote_write_url.clone();
        let path = match (&self.path, url.path()) {
            (Some(path), given) => format!("{}/{}", given.trim_end_matches('/'), path.trim_start_matches('/')),
            (None, "/") => DEFAULT_PATH.to_string(),
            (None, given) => given.to_string(),
        };
        url.set_path(&path);
        url
    }

    fn push(&self, sender: &Sender, input: &mut dyn Read, name: &str) -> Result<(), String> {
        let body = read(input)?;
        let page = Page::read(&body, &self.labels, app::system_clock()())?;
        let encoded = Buffers::default().encode_with_metadata(self.message, &page.items, &page.families);
        let encoded = encoded.map_err(|error| error.to_string())?;
        let sent = Counts::of(&page.items);
        let runtime = access::runtime().map_err(|error| error.to_string())?;
        match runtime.block_on(sender.post(encoded, 0, sent)) {
            Outcome::Written(written) if written.total() < sent.total() => {
                Err(format!("the server wrote {} of {} samples", written.total(), sent.total()))
            }
            Outcome::Written(_) => {
                out!("  SUCCESS: {name} pushed to remote write.\n");
                Ok(())
            }
            Outcome::Refused { why, .. } | Outcome::Retry { why, .. } => Err(why),
        }
    }
}

fn read(input: &mut dyn Read) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut body).map_err(|error| error.to_string())?;
    if body.len() as u64 > MAX_BYTES { Err("more than 64 MiB of metrics".to_string()) } else { Ok(body) }
}
