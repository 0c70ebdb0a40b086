//! Runs in key order to uploaded files of one day: the async side of [`SampleWriter`]. Splits at the target size,
//! between series, so that the files of one call do not overlap.

use std::sync::Arc;

use object_store::ObjectStore;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::Result;
use crate::storage::lake::files;
use crate::storage::lake::table::AddFile;
use crate::storage::lake::upload::Upload;
use crate::storage::lake::writer::{FileStats, SampleWriter};
use crate::storage::types::RunSlice;

/// A file is closed when it is about this large.
pub const FILE_BYTES: u64 = 256 << 20;

/// Where output files go and what they are called.
#[derive(Clone, Debug)]
pub struct Target {
    pub day: i32,
    /// See [`crate::storage::types::SampleFile::commit`].
    pub commit: i64,
    /// How often the rows have been merged.
    pub level: u8,
    pub histograms: bool,
    pub start_timestamps: bool,
    pub now_ms: i64,
    pub file_bytes: u64,
}

pub struct Output {
    store: Arc<dyn ObjectStore>,
    target: Target,
    current: Option<(SampleWriter, Upload, String)>,
    done: Vec<AddFile>,
}

impl Output {
    pub fn new(store: Arc<dyn ObjectStore>, target: Target) -> Self {
        Self { store, target, current: None, done: Vec::new() }
    }

    pub async fn push(&mut self, metric: &str, series_id: i64, run: RunSlice<'_>) -> Result<()> {
        if run.timestamps.is_empty() {
            return Ok(());
        }
        if self.current.is_none() {
            let (histograms, starts) = (self.target.histograms, self.target.start_timestamps);
            let name = files::sample_file_name(&self.target, Uuid::new_v4());
            let upload = Upload::new(Arc::clone(&self.store), &format!("samples/{name}"));
            self.current = Some((SampleWriter::new(histograms, starts), upload, name));
        }
        let Some((writer, upload, _)) = &mut self.current else { return Ok(()) };
        writer.push(metric, series_id, run);
        if writer.is_full() {
            heavy(|| writer.encode())?;
            upload.write(writer.take()).await?;
            if writer.bytes_written() >= self.target.file_bytes {
                self.close().await?;
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let Some((mut writer, mut upload, path)) = self.current.take() else { return Ok(()) };
        let Some(stats) = heavy(|| writer.finish())? else { return Ok(()) };
        upload.write(writer.take()).await?;
        let size_bytes = upload.finish().await?;
        self.done.push(AddFile {
            path,
            size_bytes,
            day: Some(files::day_text(self.target.day)),
            modified_ms: self.target.now_ms,
            stats: delta_stats(&stats),
        });
        Ok(())
    }

    /// Closes the last file and returns all of them, uploaded and durable.
    pub async fn finish(mut self) -> Result<Vec<AddFile>> {
        self.close().await?;
        Ok(self.done)
    }

    /// Drops what has not been finished.
    pub async fn abort(mut self) {
        if let Some((_, upload, _)) = self.current.take() {
            upload.abort().await;
        }
    }
}

/// Delta's statistics of a file.
fn delta_stats(stats: &FileStats) -> Value {
    json!({
        "numRecords": stats.rows,
        "minValues": {
            "metric": stats.min_metric,
            "series_id": stats.min_series_id,
            "timestamp": files::timestamp_text(stats.min_timestamp),
        },
        "maxValues": {
            "metric": stats.max_metric,
            "series_id": stats.max_series_id,
            "timestamp": files::timestamp_text(stats.max_timestamp),
        },
        "nullCount": {"metric": 0, "series_id": 0, "timestamp": 0},
    })
}

/// Runs work that keeps a core busy for long without holding up the runtime's other tasks.
pub fn heavy<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
