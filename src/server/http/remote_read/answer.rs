//! Series → messages of an answer: `TimeSeries` of a `ReadResponse`, or frames of `ChunkedReadResponse`.

use crate::ingest::tsdb::crc32c;
use crate::model::histogram::{FloatHistogram, Span};
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::protobuf;
use crate::server::http::remote_read::chunk::{Chunk, chunks};
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
            Some(histogram) => protobuf::nested(&mut out, 4, |out| put_histogram(out, *time, histogram)),
            None => protobuf::nested(&mut out, 2, |out| {
                protobuf::double(out, 1, *value);
                protobuf::int(out, 2, *time);
            }),
        }
    }
    let mut field = Vec::with_capacity(out.len() + 8);
    protobuf::bytes(&mut field, 1, &out);
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
        protobuf::nested(&mut series, 2, |out| put_chunk(out, chunk));
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
        protobuf::nested(out, 1, |out| {
            protobuf::bytes(out, 1, name.as_bytes());
            protobuf::bytes(out, 2, value.as_bytes());
        });
    }
}

fn put_chunk(out: &mut Vec<u8>, chunk: &Chunk) {
    protobuf::int(out, 1, chunk.start);
    protobuf::int(out, 2, chunk.end_inclusive);
    protobuf::int(out, 3, chunk.encoding as i64);
    protobuf::bytes(out, 4, &chunk.data);
}

/// Length, checksum, and a `ChunkedReadResponse` with one `ChunkedSeries`.
fn put_frame(out: &mut Vec<u8>, series: &[u8], query: usize) {
    let mut message = Vec::with_capacity(series.len() + 16);
    protobuf::bytes(&mut message, 1, series);
    if query > 0 {
        protobuf::int(&mut message, 2, query as i64);
    }
    protobuf::varint(out, message.len() as u64);
    out.extend(crc32c::checksum(&message).to_be_bytes());
    out.extend(message);
}

fn put_histogram(out: &mut Vec<u8>, time: i64, histogram: &FloatHistogram) {
    protobuf::double_of_choice(out, 2, histogram.count);
    protobuf::double(out, 3, histogram.sum);
    protobuf::signed(out, 4, i64::from(histogram.schema));
    protobuf::double(out, 5, histogram.zero_threshold);
    protobuf::double_of_choice(out, 7, histogram.zero_count);
    put_spans(out, 8, &histogram.negative_spans);
    protobuf::packed_doubles(out, 10, &histogram.negative_buckets);
    put_spans(out, 11, &histogram.positive_spans);
    protobuf::packed_doubles(out, 13, &histogram.positive_buckets);
    protobuf::int(out, 14, histogram.counter_reset_hint as i64);
    protobuf::int(out, 15, time);
    protobuf::packed_doubles(out, 16, &histogram.custom_values);
}

fn put_spans(out: &mut Vec<u8>, number: u32, spans: &[Span]) {
    for span in spans {
        protobuf::nested(out, number, |out| {
            protobuf::signed(out, 1, i64::from(span.offset));
            protobuf::int(out, 2, i64::from(span.length));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_the_server_are_added_where_there_are_none() {
        let labels = Labels::from_pairs([("__name__", "up"), ("zone", "a")]);
        let external = Labels::from_pairs([("replica", "1"), ("zone", "b")]);
        assert_eq!(with_external(&labels, &external).to_string(), r#"up{replica="1", zone="a"}"#);
        assert_eq!(with_external(&labels, &Labels::empty()), labels);
    }
}
