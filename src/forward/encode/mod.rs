//! Batches to the bytes of a request: a protobuf message in one snappy block.
//!
//! Buffers are reused from batch to batch; a batch whose samples are of several scrapes has its series' samples beside
//! each other, so that labels are written once for each series.

/// `prometheus.WriteRequest`.
mod v1;
/// `io.prometheus.write.v2.Request`.
mod v2;
/// Native histograms, alike in both.
mod histogram;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::config::remote::write::Message;
use crate::error::{Context, ErrorKind, Result};
use crate::forward::item::Item;
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;

/// A buffer that grew beyond this for one batch is not kept.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// Scratch memory of one batch.
#[derive(Default)]
pub struct Buffers {
    message: Vec<u8>,
    series: Vec<u8>,
    compressed: Vec<u8>,
    order: Vec<u32>,
    snappy: Snappy,
}

/// The compressor, whose table is worth keeping.
struct Snappy(snap::raw::Encoder);

impl Default for Snappy {
    fn default() -> Self {
        Self(snap::raw::Encoder::new())
    }
}

/// Buffers that are not in use. Shards come and go, and few of them encode at a time.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Buffers>>);

impl Pool {
    pub fn with<T>(&self, run: impl FnOnce(&mut Buffers) -> T) -> T {
        let mut buffers = self.0.lock().pop().unwrap_or_default();
        let result = run(&mut buffers);
        if buffers.bytes() <= MAX_KEPT_BYTES {
            self.0.lock().push(buffers);
        }
        result
    }
}

impl Buffers {
    fn bytes(&self) -> usize {
        self.message.capacity() + self.series.capacity() + self.compressed.capacity() + 4 * self.order.capacity()
    }

    /// The body of a request with samples. `external` are added to labels that lack them.
    pub fn encode(&mut self, message: Message, items: &[Item], external: &Labels) -> Result<Bytes> {
        group_by_series(items, &mut self.order);
        self.message.clear();
        match message {
            Message::V1 => v1::encode(items, &self.order, external, &mut self.message),
            Message::V2 => {
                self.series.clear();
                v2::encode(items, &self.order, external, &mut self.series, &mut self.message);
            }
        }
        self.compress()
    }

    /// The body of a request with samples, and with the metadata of their families, which 2.0 has beside each series.
    pub fn encode_with_metadata(
        &mut self,
        message: Message,
        items: &[Item],
        families: &[(String, Metadata)],
    ) -> Result<Bytes> {
        let samples = self.encode(message, items, &Labels::default())?;
        if message == Message::V2 {
            return Ok(samples);
        }
        v1::encode_metadata(families, &mut self.message);
        self.compress()
    }

    /// The body of a request with metadata, of Remote Write 1.0.
    pub fn encode_metadata(&mut self, families: &[(String, Metadata)]) -> Result<Bytes> {
        self.message.clear();
        v1::encode_metadata(families, &mut self.message);
        self.compress()
    }

    fn compress(&mut self) -> Result<Bytes> {
        let room = snap::raw::max_compress_len(self.message.len());
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let bytes = self
            .snappy
            .0
            .compress(&self.message, &mut self.compressed)
            .context(ErrorKind::Internal, || "a request cannot be compressed".to_string())?;
        Ok(Bytes::copy_from_slice(&self.compressed[..bytes]))
    }
}

/// The places of items, those of one series beside each other and in their order.
fn group_by_series(items: &[Item], order: &mut Vec<u32>) {
    order.clear();
    order.extend(0..u32::try_from(items.len()).expect("batches are bounded"));
    // Rows of one object are of a scrape or a request, where a series hardly ever comes twice.
    if items.first().map(|item| item.sequence) != items.last().map(|item| item.sequence) {
        order.sort_unstable_by_key(|at| (items[*at as usize].series.id, *at));
    }
}

/// The labels of a series with external ones where it has none of that name, in the order of their names.
fn pairs<'a>(item: &'a Item, external: &'a Labels) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut own = item.series.labels.iter_bytes().peekable();
    let external = if item.series.lacks_external { Some(external) } else { None };
    let mut added = external.into_iter().flat_map(Labels::iter_bytes).peekable();
    std::iter::from_fn(move || match (own.peek(), added.peek()) {
        (Some((name, _)), Some((other, _))) if name == other => {
            added.next();
            own.next()
        }
        (Some((name, _)), Some((other, _))) if name > other => added.next(),
        (Some(_), _) => own.next(),
        (None, _) => added.next(),
    })
}

/// Runs of items of one series; of one kind of sample where a message needs that.
fn runs<'a>(
    items: &'a [Item],
    order: &'a [u32],
    is_same: impl Fn(&Item, &Item) -> bool + 'a,
) -> impl Iterator<Item = impl Iterator<Item = &'a Item> + Clone> {
    let at = |place: &u32| &items[*place as usize];
    order.chunk_by(move |a, b| is_same(at(a), at(b))).map(move |run| run.iter().map(at))
}

#[cfg(test)]
mod tests;
