//! An object written piece by piece: small ones in one put, large ones in parts. Used for files with random names
//! that nobody refers to until a commit does, so a failed upload leaves at worst an orphan for the clean-up.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::error::{Context, ErrorKind, Result};

/// Size of a part; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

pub struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    size_bytes: u64,
}

impl Upload {
    pub fn new(store: Arc<dyn ObjectStore>, path: &str) -> Self {
        Self { store, path: Path::from(path), buffer: Vec::new(), parts: None, size_bytes: 0 }
    }

    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.size_bytes += bytes.len() as u64;
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
        if self.buffer.len() >= PART_BYTES {
            self.put_part().await?;
        }
        Ok(())
    }

    async fn put_part(&mut self) -> Result<()> {
        let message = || format!("cannot upload {}", self.path);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let parts = self.store.put_multipart(&self.path).await.context(ErrorKind::Unavailable, message)?;
                self.parts.insert(parts)
            }
        };
        let bytes = std::mem::take(&mut self.buffer);
        parts.put_part(PutPayload::from(bytes)).await.context(ErrorKind::Unavailable, message)
    }

    /// Makes the object visible; returns its size.
    pub async fn finish(mut self) -> Result<u64> {
        if self.parts.is_some() && !self.buffer.is_empty() {
            self.put_part().await?;
        }
        let message = || format!("cannot upload {}", self.path);
        match &mut self.parts {
            Some(parts) => parts.complete().await.map(|_| ()).context(ErrorKind::Unavailable, message)?,
            None => {
                let payload = PutPayload::from(std::mem::take(&mut self.buffer));
                self.store.put(&self.path, payload).await.map(|_| ()).context(ErrorKind::Unavailable, message)?;
            }
        }
        Ok(self.size_bytes)
    }

    /// Gives up; parts already sent are dropped by the store as far as it can.
    pub async fn abort(mut self) {
        if let Some(parts) = &mut self.parts
            && let Err(error) = parts.abort().await
        {
            tracing::debug!(path = %self.path, %error, "cannot abort an upload");
        }
    }
}
