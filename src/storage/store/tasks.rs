//! The store's background tasks, supervised. A task that panics is logged with its name, counted, and started again
//! after a pause. The writer is not: what it left undone cannot be known, so its end is the end of writing, and the
//! process is told to end so that a supervisor starts it again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind};
use crate::storage::store::{Inner, flusher, merger, refresher, tails, warmer, writer};
use crate::storage::wal::claim::{Lease, RENEWAL};

/// Between the end of a task and its next start.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts all of them. `sequence` is the number of the first log object to write.
pub fn start(inner: &Arc<Inner>, sequence: u64, lease: Option<Lease>) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(write(inner.clone(), sequence)),
        supervised("flusher", inner, flusher::run),
        supervised("merger", inner, merger::run),
        supervised("refresher", inner, refresher::run),
        supervised("warmer", inner, warmer::run),
        supervised("tails", inner, tails::run),
    ];
    tasks.extend(lease.map(|lease| supervised("lease", inner, move |inner| renew(inner, lease.clone()))));
    tasks
}

fn supervised<F>(
    name: &'static str,
    inner: &Arc<Inner>,
    run: impl Fn(Arc<Inner>) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let inner = inner.clone();
    tokio::spawn(async move {
        loop {
            let how = match AssertUnwindSafe(run(inner.clone())).catch_unwind().await {
                Ok(()) => "ended",
                Err(_) => "panicked",
            };
            inner.counters.task_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a background task of the store {how}; it is started again");
            tokio::time::sleep(PAUSE).await;
        }
    })
}

async fn write(inner: Arc<Inner>, sequence: u64) {
    match AssertUnwindSafe(writer::run(inner.clone(), sequence)).catch_unwind().await {
        Ok(error) => {
            inner.end_writing(&error.to_string());
            if error.kind != ErrorKind::Poisoned {
                inner.fatal.send_replace(Some(Arc::new(error)));
            }
        }
        Err(_) => {
            inner.counters.task_failures.fetch_add(1, Ordering::Relaxed);
            let message = "the writer of the write-ahead log panicked";
            inner.end_writing(message);
            inner.fatal.send_replace(Some(Arc::new(Error::new(ErrorKind::Internal, message))));
        }
    }
}

/// Keeps the lease until another process has it.
async fn renew(inner: Arc<Inner>, lease: Lease) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        match lease.renew((inner.clock)()).await {
            Ok(true) => {}
            Ok(false) => {
                inner.end_writing("another process has the lease of this node");
                // Nothing is left to do, but ending would start it again.
                std::future::pending::<()>().await;
            }
            // The log and its retries tell of a bucket that is away.
            Err(error) => tracing::debug!(%error, "the lease was not renewed"),
        }
    }
}
