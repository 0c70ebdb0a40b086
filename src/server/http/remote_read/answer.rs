//! Series → messages of an answer: `TimeSeries` of a `ReadResponse`, or frames of `ChunkedReadResponse`.

use crate::model::histogram::{FloatHistogram, Span};
use crate::model::labels::{Labels, LabelsBuilder};
use crate::server::http::remote_read::chunk::{Chunk, chunks};
use crate::server::http::remote_read::wire;
use crate::storage::types::RunSlice;

/// The labels of a series as others see them: with those of this server that it has not.
pub fn with_external(labels: &Labels, external: &Labels) -> Labels {
    if external.is_empty() {
        return labels.clone();
    }
    let mut all = LabelsBuilder::from_labels(external);
    for (name, value) in labels.iter() {
        all.set(name, value);
    }
    all.build()
}

/// A `TimeSeries` as a field of a `QueryResult`.
pub fn time_series(labels: &Labels, run: RunSlice<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 20 * run.timestamps.len());
    put_labels(&mut out, labels);
    let histogram = |at: usize| run.histograms.get(at).and_then(Option::as_deref);
    for (at, (time, value)) in run.timestamps.iter().zip(run.values).enumerate() {
        match histogram(at) {
            Some(histogram) => wire::message(&mut out, 4, |out| put_histogram(out, *time, histogram)),
            None => wire::message(&mut out, 2, |out| {
                wire::double(out, 1, *value);
                wire::int64(out, 2, *time);
            }),
        }
    }
    let mut field = Vec::with_capacity(out.len() + 8);
    wire::bytes(&mut field, 1, &out);
    field
}

/// The frames of a series: as many chunks as fit one, and at least one; a series without chunks is a frame as well.
pub fn frames(labels: &Labels, run: RunSlice<'_>, query: usize, max_bytes: usize) -> Vec<u8> {
    let mut head = Vec::new();
    put_labels(&mut head, labels);
    let room = max_bytes.saturating_sub(head.len());
    let mut out = Vec::new();
    let mut series = head.clone();
    let chunks = chunks(run);
    let mut used = 0;
    for (at, chunk) in chunks.iter().enumerate() {
        let before = series.len();
        wire::message(&mut series, 2, |out| put_chunk(out, chunk));
        used += series.len() - before;
        if used >= room || at + 1 == chunks.len() {
            put_frame(&mut out, &series, query);
            series.truncate(head.len());
            used = 0;
        }
    }
    if chunks.is_empty() {
        put_frame(&mut out, &series, query);
    }
    out
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels.iter() {
        wire::message(out, 1, |out| {
            wire::text(out, 1, name);
            wire::text(out, 2, value);
        });
    }
}

fn put_chunk(out: &mut Vec<u8>, chunk: &Chunk) {
    wire::int64(out, 1, chunk.start);
    wire::int64(out, 2, chunk.end_inclusive);
    wire::int64(out, 3, chunk.encoding as i64);
    wire::bytes(out, 4, &chunk.data);
}

/// Length, checksum, and a `ChunkedReadResponse` with one `ChunkedSeries`.
fn put_frame(out: &mut Vec<u8>, series: &[u8], query: usize) {
    let mut message = Vec::with_capacity(series.len() + 16);
    wire::bytes(&mut message, 1, series);
    if query > 0 {
        wire::int64(&mut message, 2, query as i64);
    }
    wire::varint(out, message.len() as u64);
    out.extend(crc32c(&message).to_be_bytes());
    out.extend(message);
}

fn put_histogram(out: &mut Vec<u8>, time: i64, histogram: &FloatHistogram) {
    wire::double(out, 2, histogram.count);
    wire::double(out, 3, histogram.sum);
    wire::sint32(out, 4, histogram.schema);
    wire::double(out, 5, histogram.zero_threshold);
    wire::double(out, 7, histogram.zero_count);
    put_spans(out, 8, &histogram.negative_spans);
    wire::packed_doubles(out, 10, &histogram.negative_buckets);
    put_spans(out, 11, &histogram.positive_spans);
    wire::packed_doubles(out, 13, &histogram.positive_buckets);
    wire::int64(out, 14, histogram.counter_reset_hint as i64);
    wire::int64(out, 15, time);
    wire::packed_doubles(out, 16, &histogram.custom_values);
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        wire::message(out, number, |out| {
            wire::sint32(out, 1, span.offset);
            wire::uint64(out, 2, span.length.into());
        });
    }
}

/// The polynomial of Castagnoli, reflected, a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!0, step)
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C, and those of RFC 3720, appendix B.4.
    #[test]
    fn checksums() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn labels_of_the_server_are_added_where_there_are_none() {
        let labels = Labels::from_pairs([("__name__", "up"), ("zone", "a")]);
        let external = Labels::from_pairs([("replica", "1"), ("zone", "b")]);
        assert_eq!(with_external(&labels, &external).to_string(), r#"up{replica="1", zone="a"}"#);
        assert_eq!(with_external(&labels, &Labels::empty()), labels);
    }
}
