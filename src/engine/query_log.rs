//! The log of queries (`query_log_file`): a line of JSON for each PromQL query that was evaluated, in Prometheus' form.
//!
//! Lines go to the file by a thread of its own. What waits for it is bounded, so a disk that is slow or stuck keeps no query
//! waiting: lines that find no room are left out and counted. While the log is off a query pays a look at a flag.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::engine::door::canceled;
use crate::engine::stats::QueryStats;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::store::Clock;
use crate::telemetry::notice::Notice;
use crate::telemetry::spans;

/// Lines that wait for the disk, and their bytes: a query may be as long as a request.
const MAX_LINES: usize = 4096;
const MAX_BYTES: usize = 8 << 20;
/// Threads that write. More than one is there only while an old one has lines left; so many that do not end have a disk
/// that does not answer.
const MAX_WRITERS: usize = 4;
/// How long a stop waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of the HTTP API.
    Http {
        client: Option<IpAddr>,
        method: String,
        path: String,
        /// It says that it is a dashboard.
        dashboard: bool,
    },
    /// A group of rules.
    Rules { file: String, group: String },
}

/// What is asked, when: milliseconds, of which an instant query has one twice and no step.
#[derive(Clone, Debug)]
pub struct Asked {
    pub query: String,
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub origin: Option<Arc<Origin>>,
}

pub struct QueryLog {
    is_on: AtomicBool,
    writer: Mutex<Option<Writer>>,
    clock: Clock,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Lines that are not in the file.
    failures: AtomicU64,
    writers: AtomicUsize,
    failed: Notice,
}

/// A file that is open and not yet written to.
pub struct Opened(Option<(File, String)>);

impl QueryLog {
    pub fn new(clock: Clock) -> Self {
        Self { is_on: AtomicBool::new(false), writer: Mutex::new(None), clock, counts: Arc::default() }
    }

    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Lines that are missing in the file, since the start.
    pub fn failures(&self) -> u64 {
        self.counts.failures.load(Ordering::Relaxed)
    }

    /// Opens the file of a configuration, which is empty for none, to append to it.
    ///
    /// # Errors
    /// `BadInput` where it cannot be opened, or too many files before it are not done with.
    pub fn open(&self, path: &str) -> Result<Opened> {
        if path.is_empty() {
            return Ok(Opened(None));
        }
        if self.counts.writers.load(Ordering::Relaxed) >= MAX_WRITERS {
            let message = format!("global.query_log_file: {path}: lines of before wait for their disk still");
            return Err(Error::bad_input(message));
        }
        let file = File::options().append(true).create(true).open(Path::new(path));
        let file = file.context(ErrorKind::BadInput, || format!("global.query_log_file: cannot open {path}"))?;
        Ok(Opened(Some((file, path.to_string()))))
    }

    /// Lines go to this file from now on. Those that wait for the one before are written there.
    pub fn install(&self, opened: Opened) {
        let writer = opened.0.and_then(|(file, path)| match Writer::start(file, path, &self.counts) {
            Ok(writer) => Some(writer),
            Err(error) => {
                tracing::error!(%error, "queries are not logged: no thread can be started");
                None
            }
        });
        let mut current = self.writer.lock();
        self.is_on.store(writer.is_some(), Ordering::Relaxed);
        *current = writer;
    }

    /// Writes what waits, for two seconds at most; there are no more lines from now on.
    pub async fn shutdown(&self) {
        self.is_on.store(false, Ordering::Relaxed);
        let Some(Writer { lines, done, .. }) = self.writer.lock().take() else { return };
        drop(lines);
        if tokio::time::timeout(LAST_LINES, done).await.is_err() {
            tracing::warn!("the last lines of the log of queries are not written: the disk does not answer");
        }
    }

    /// The line of a query that begins now. It is written when it is dropped, unless it says how it ended before.
    pub fn begin(self: &Arc<Self>, asked: Asked) -> Entry {
        let ids = spans::current_ids();
        Entry { log: Some(self.clone()), asked, ids, started: Instant::now() }
    }

    fn write(&self, line: String) {
        let is_taken = self.writer.lock().as_ref().is_none_or(|writer| writer.take(line));
        if !is_taken {
            self.counts.failed("lines of the log of queries are left out: the disk is too slow");
        }
    }
}

impl Counts {
    fn failed(&self, what: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failed.tell(|left_out| tracing::error!(left_out, "{what}"));
    }
}

/// The way to a thread that writes; the thread ends when this is dropped and it has written what waits.
struct Writer {
    lines: SyncSender<String>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Answered with an error when the thread is gone.
    done: oneshot::Receiver<()>,
}

impl Writer {
    fn start(file: File, path: String, counts: &Arc<Counts>) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(MAX_LINES);
        let (ended, done) = oneshot::channel();
        let (waiting_bytes, counts) = (Arc::<AtomicUsize>::default(), counts.clone());
        let left = waiting_bytes.clone();
        counts.writers.fetch_add(1, Ordering::Relaxed);
        let counted = counts.clone();
        let thread = std::thread::Builder::new().name("query-log".to_string()).spawn(move || {
            write_all(&waiting, file, &path, &left, &counted);
            counted.writers.fetch_sub(1, Ordering::Relaxed);
            drop(ended);
        });
        if let Err(error) = thread {
            counts.writers.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        Ok(Self { lines, waiting_bytes, done })
    }

    /// Whether there was room.
    fn take(&self, line: String) -> bool {
        let bytes = line.len();
        // Lines are taken under a lock, so nobody adds in between.
        if self.waiting_bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES {
            return false;
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_taken = self.lines.try_send(line).is_ok();
        if !is_taken {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_taken
    }
}

fn write_all(lines: &Receiver<String>, mut file: File, path: &str, waiting_bytes: &AtomicUsize, counts: &Counts) {
    for line in lines {
        // One write a line, so that lines of two processes do not mix.
        let written = file.write_all(line.as_bytes());
        waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        if let Err(error) = written {
            counts.failed(&format!("queries cannot be logged to {path}: {error}"));
        }
    }
}

/// A query that runs, and its line.
pub struct Entry {
    /// `None` once the line is written.
    log: Option<Arc<QueryLog>>,
    asked: Asked,
    ids: spans::Ids,
    started: Instant,
}

impl Entry {
    /// Writes the line. Prometheus logs what is evaluated, so a query that is wrong has none.
    pub fn finish(mut self, outcome: Result<&QueryStats, &Error>) {
        let Some(log) = self.log.take() else { return };
        if !outcome.is_err_and(|error| matches!(error.kind, ErrorKind::BadInput | ErrorKind::Unsupported)) {
            log.write(self.line((log.clock)(), outcome));
        }
    }

    fn line(&self, now_ms: i64, outcome: Result<&QueryStats, &Error>) -> String {
        let Asked { query, start, end, step, origin } = &self.asked;
        let text = |text: &str| Value::from(text).to_string();
        let mut line = format!(
            "{{\"time\":\"{}\",\"level\":\"INFO\",\"source\":\"engine\",\"msg\":\"promql query logged\",\
             \"params\":{{\"end\":\"{}\",\"query\":{},\"start\":\"{}\",\"step\":{}}}",
            time(now_ms),
            time(*end),
            text(query),
            time(*start),
            step / 1000,
        );
        if let Err(error) = outcome {
            let _ = write!(line, ",\"error\":{}", text(&error.to_string()));
        }
        // Of a query that failed it is known only how long it took.
        let taken = || QueryStats { execute: self.started.elapsed(), ..QueryStats::default() };
        line.push_str(",\"stats\":");
        outcome.map_or_else(|_| taken(), QueryStats::clone).write_json(&mut line, None);
        let _ = write!(line, ",\"spanID\":\"{}\",\"traceID\":\"{}\"", self.ids.span, self.ids.trace);
        match origin.as_deref() {
            None => {}
            Some(Origin::Http { client, method, path, .. }) => {
                let client = client.map(|client| client.to_string()).unwrap_or_default();
                let request = json!({ "clientIP": client, "method": method, "path": path });
                let _ = write!(line, ",\"httpRequest\":{request}");
            }
            Some(Origin::Rules { file, group }) => {
                let group = json!({ "file": file, "name": group });
                let _ = write!(line, ",\"ruleGroup\":{group}");
            }
        }
        line.push_str("}\n");
        line
    }
}

/// A query that nobody waits for any more.
impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            log.write(self.line((log.clock)(), Err(&canceled())));
        }
    }
}

/// As Prometheus writes it, with three decimals.
fn time(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests;
