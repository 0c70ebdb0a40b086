//! Servers that answer as tests say, and what an entry finds at them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::file::Config;
use crate::discovery::manager::{LONGEST_WAIT, Manager};
use crate::discovery::way::Context;
use crate::model::labels::Labels;

pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    /// Decoded, in the order of the URL.
    pub(super) query: Vec<(String, String)>,
    pub(super) head: String,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn param(&self, name: &str) -> &str {
        self.query.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

pub(super) enum Reply {
    /// Status, further headers, body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// Parts as they come; the answer ends with them.
    Parts(mpsc::Receiver<String>),
}

impl Reply {
    pub(super) fn json(body: impl Into<String>) -> Self {
        Reply::Whole(200, vec![("Content-Type", "application/json".to_string())], body.into())
    }
}

/// Serves until the test ends; yields `127.0.0.1:PORT`.
pub(super) async fn serve(answer: impl Fn(Asked) -> BoxFuture<'static, Reply> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let (reading, writing) = stream.into_split();
                let mut reader = BufReader::new(reading);
                if let Some(asked) = read(&mut reader).await {
                    let _ = write(writing, answer(asked).await).await;
                }
            });
        }
    });
    address
}

async fn read(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).await.ok()?;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let url = url::Url::parse("http://x").unwrap().join(&target).unwrap();
    let query = url.query_pairs().into_owned().collect();
    let body = String::from_utf8(body).ok()?;
    Some(Asked { method, path: url.path().to_string(), query, head, body })
}

async fn write(mut stream: impl AsyncWrite + Unpin, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Whole(status, headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = format!(
                "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await
        }
        Reply::Parts(mut parts) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            while let Some(part) = parts.recv().await {
                stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).await?;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
    }
}

/// An entry that runs, and what it found last.
pub(super) struct Running {
    pub(super) manager: Manager,
    found: Arc<Mutex<Vec<Labels>>>,
}

impl Running {
    /// Of `KIND_sd_configs: [ENTRY]`.
    pub(super) fn start(kind: &str, entry: &str) -> Self {
        Self::start_with(kind, entry, |_| None)
    }

    pub(super) fn start_with(kind: &str, entry: &str, env: fn(&str) -> Option<String>) -> Self {
        let text = format!("scrape_configs: [{{job_name: j, {kind}_sd_configs: [{entry}]}}]");
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{}", mistakes.shown("config")));
        let found: Arc<Mutex<Vec<Labels>>> = Arc::default();
        let into = found.clone();
        // 2024-01-01.
        let context = Context { clock: Arc::new(|| 1_704_067_200_000), stats: Arc::default(), env };
        let manager = Manager::new(
            context,
            Arc::new(move |jobs| {
                for (_, groups) in jobs {
                    let targets = groups.iter().flat_map(|group| {
                        group.targets.iter().map(|target| Labels::from_sorted(group.labels_of(target)))
                    });
                    let mut all: Vec<Labels> = targets.collect();
                    all.sort();
                    *into.lock() = all;
                }
            }),
            LONGEST_WAIT,
        );
        manager.apply(config.scrape_configs.iter().map(|job| (job.job_name.as_str(), job.discoveries.as_slice())));
        Self { manager, found }
    }

    /// All targets, as soon as these are their values of a label, in the order of all labels.
    pub(super) async fn found(&self, label: &str, want: &[&str]) -> Vec<Labels> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.found.lock().clone();
            let values: Vec<&str> = found.iter().map(|target| target.get(label).unwrap_or("")).collect();
            if values == want {
                return found;
            }
            assert!(Instant::now() < deadline, "{found:#?}\nwanted {label} {want:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits for something that has to happen.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
