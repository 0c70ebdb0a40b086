//! The file of a job that gets a line for each scrape that failed (`scrape_failure_log_file`): JSON in Prometheus' form.
//! Like there, an answer that cannot be read is a failure of the target that `up` and `/api/v1/targets` tell of, and is
//! not in the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;

use crate::config::scrape::ScrapeConfig;
use crate::error::{Context, ErrorKind, Result};

#[derive(Debug)]
pub struct FailureLog {
    path: PathBuf,
    file: Mutex<File>,
    /// Told once, as it would be told again with every scrape.
    is_broken: AtomicBool,
}

impl FailureLog {
    /// Opens the file to append to it, or makes it.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), is_broken: AtomicBool::new(false) })
    }

    /// Opens it anew, since it may have been moved away.
    pub fn reopen(&self) -> Result<()> {
        *self.file.lock() = open(&self.path)?;
        self.is_broken.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub fn record(&self, now_ms: i64, job: &str, target: &str, error: &str) {
        let time = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default();
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let line = format!(
            "{{\"time\":\"{}\",\"level\":\"ERROR\",\"source\":\"scrape\",\"msg\":{},\"job_name\":{},\"target\":{}}}\n",
            time.to_rfc3339_opts(SecondsFormat::Millis, true),
            text(error),
            text(job),
            text(target),
        );
        // One write a line, so that lines of two processes do not mix.
        if let Err(error) = self.file.lock().write_all(line.as_bytes())
            && !self.is_broken.swap(true, Ordering::Relaxed)
        {
            let path = self.path.display();
            tracing::error!(%path, %error, "failures of scrapes cannot be logged");
        }
    }
}

/// The files of all jobs. Those that are open already are opened anew, as every reload does.
pub(super) fn open_all(
    jobs: &[ScrapeConfig],
    open: &HashMap<PathBuf, Arc<FailureLog>>,
) -> Result<HashMap<PathBuf, Arc<FailureLog>>> {
    let mut logs = HashMap::new();
    for file in jobs.iter().map(|job| &job.scrape_failure_log_file).filter(|file| !file.is_empty()) {
        let path = PathBuf::from(file);
        if logs.contains_key(&path) {
            continue;
        }
        let log = match open.get(&path) {
            Some(log) => {
                log.reopen()?;
                log.clone()
            }
            None => Arc::new(FailureLog::open(&path)?),
        };
        logs.insert(path, log);
    }
    Ok(logs)
}

fn open(path: &Path) -> Result<File> {
    let message = || format!("scrape_failure_log_file: cannot open {}", path.display());
    File::options().append(true).create(true).open(path).context(ErrorKind::BadInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_the_file_may_move() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failures.json");
        std::fs::write(&path, "before\n").unwrap();
        let log = FailureLog::open(&path).unwrap();
        log.record(1_700_000_000_123, "a \"b\"", "http://c", "Get \"http://c\": refused");
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            first.strip_prefix("before\n").unwrap(),
            "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"ERROR\",\"source\":\"scrape\",\
             \"msg\":\"Get \\\"http://c\\\": refused\",\"job_name\":\"a \\\"b\\\"\",\"target\":\"http://c\"}\n"
        );
        let moved = folder.path().join("old.json");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen().unwrap();
        log.record(0, "j", "t", "e");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), first);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        let missing = folder.path().join("no/such");
        assert!(FailureLog::open(&missing).unwrap_err().message.contains("scrape_failure_log_file"));
    }
}
