//! The sample count of one query, shared by all its leaves and partitions.

use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Counts samples as they are read; reading past the limit is an error of kind `Limit`.
#[derive(Debug)]
pub struct SampleBudget {
    limit: u64,
    read: AtomicU64,
}

impl SampleBudget {
    pub fn new(limit: u64) -> Self {
        Self { limit, read: AtomicU64::new(0) }
    }

    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub fn add(&self, samples: usize) -> Result<(), DataFusionError> {
        let read = self.read.fetch_add(samples as u64, Ordering::Relaxed) + samples as u64;
        if read <= self.limit {
            return Ok(());
        }
        // Prometheus' words for `--query.max-samples`.
        let message = "query processing would load too many samples into memory in query execution";
        Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Limit, message))))
    }
}

impl Default for SampleBudget {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}
