//! Metadata in requests of its own, for Remote Write 1.0: every so often that of all families. Version 2.0 has it with
//! each series.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::forward::item::Counts;
use crate::forward::remote::Remote;
use crate::forward::send::{Backoff, Outcome};
use crate::model::metadata::Metadata;
use crate::storage::store::tails::Tail;

/// Runs until it is dropped.
pub async fn run(remote: Arc<Remote>, tail: Tail) {
    let config = remote.settings.metadata;
    loop {
        tokio::time::sleep(config.send_interval).await;
        let families = tail.metadata();
        for part in families.chunks(config.max_samples_per_send) {
            remote.send_metadata(part).await;
        }
    }
}

impl Remote {
    async fn send_metadata(&self, families: &[(String, Metadata)]) {
        let entries = families.len() as u64;
        let body = match self.pool.with(|buffers| buffers.encode_metadata(families)) {
            Ok(body) => body,
            Err(error) => return self.metadata_refused(entries, &error.to_string()),
        };
        let mut backoff = Backoff::new(self.settings.queue.min_backoff, self.settings.queue.max_backoff);
        for attempt in 0.. {
            self.stats.metadata.fetch_add(entries, Ordering::Relaxed);
            match self.sender.post(body.clone(), attempt, Counts::default()).await {
                Outcome::Written(_) => break,
                Outcome::Refused { why, .. } => return self.metadata_refused(entries, &why),
                Outcome::Retry { why, after } => {
                    self.notices.retried.tell(|left_out| {
                        let (remote, url) = (&self.stats.name, &self.stats.url);
                        tracing::warn!(remote, url, left_out, "a remote takes no metadata, trying again: {why}");
                    });
                    tokio::time::sleep(backoff.pause(after)).await;
                    self.stats.metadata_retried.fetch_add(entries, Ordering::Relaxed);
                }
            }
        }
        self.stats.metadata_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    }

    fn metadata_refused(&self, entries: u64, why: &str) {
        self.stats.metadata_failed.fetch_add(entries, Ordering::Relaxed);
        self.notices.metadata.tell(|left_out| {
            let (remote, url) = (&self.stats.name, &self.stats.url);
            tracing::error!(remote, url, entries, left_out, "a remote refused metadata: {why}");
        });
    }
}
