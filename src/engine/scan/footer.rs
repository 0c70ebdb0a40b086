//! Parquet footers with their page indexes. They are read once per file, kept in the runtime's bounded metadata
//! cache, and handed to the reader through the plan, so that opening a file costs no request of its own and a
//! cache eviction between planning and running costs nothing.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use crate::storage::types::{SampleFile, Snapshot};

/// Read from the end of a file at first: footer and page index of most files in one request.
const SIZE_HINT_BYTES: usize = 256 << 10;
/// Footers read at the same time.
const CONCURRENCY: usize = 32;

/// A file and its parsed footer.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    pub file: Arc<SampleFile>,
    pub meta: ObjectMeta,
    pub parquet: Arc<ParquetMetaData>,
}

/// The footers of all files of a snapshot, in the snapshot's order.
pub(super) async fn read_all(snapshot: &Snapshot, cache: Arc<FileMetadataCache>) -> Result<Vec<Footer>> {
    stream::iter(snapshot.files.iter().cloned())
        .map(|file| read(&snapshot.objects, file, cache.clone()))
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

async fn read(
    objects: &Arc<dyn ObjectStore>,
    file: Arc<SampleFile>,
    cache: Arc<FileMetadataCache>,
) -> Result<Footer> {
    let meta = object_meta(&file)?;
    let parquet = DFParquetMetadata::new(objects.as_ref(), &meta)
        .with_file_metadata_cache(Some(cache))
        .with_metadata_size_hint(Some(SIZE_HINT_BYTES.min(file.size_bytes as usize)))
        .with_page_index_policy(Some(PageIndexPolicy::Optional))
        .fetch_metadata()
        .await
        .map_err(|e| e.context(format!("reading the footer of {}", file.path)))?;
    Ok(Footer { file, meta, parquet })
}

fn object_meta(file: &SampleFile) -> Result<ObjectMeta> {
    let location = Path::parse(&file.path).map_err(|e| DataFusionError::External(e.into()))?;
    let last_modified = DateTime::<Utc>::from_timestamp_millis(file.modified_ms).unwrap_or_default();
    Ok(ObjectMeta { location, last_modified, size: file.size_bytes, e_tag: None, version: None })
}

/// Readers that know their footer: it travels as an extension of the `PartitionedFile`.
#[derive(Debug)]
pub(super) struct ReaderFactory {
    pub objects: Arc<dyn ObjectStore>,
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let path = file.object_meta.location.clone();
        let parquet = file
            .extension::<Footer>()
            .map(|footer| footer.parquet.clone())
            .ok_or_else(|| exec_datafusion_err!("no footer was planned for {path}"))?;
        let metrics = ParquetFileMetrics::new(partition, path.as_ref(), metrics);
        Ok(Box::new(Reader { objects: self.objects.clone(), path, parquet, metrics }))
    }
}

struct Reader {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    parquet: Arc<ParquetMetaData>,
    metrics: ParquetFileMetrics,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.get_byte_ranges(vec![range]).map_ok(|mut bytes| bytes.pop().expect("one range was asked for")).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.metrics.bytes_scanned.add(total as usize);
        async move {
            let bytes = self.objects.get_ranges(&self.path, &ranges).await;
            bytes.map_err(|e| ParquetError::External(Box::new(e)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let parquet = self.parquet.clone();
        async move { Ok(parquet) }.boxed()
    }
}
