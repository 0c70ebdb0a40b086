//! Native histograms on the wire, alike in both messages but for the start timestamp. What counts whole observations
//! and adds up goes out as an integer histogram, which is what a target exposed; the rest, as of rules, in floats: receivers
//! refuse integers that do not add up, and take such floats.

use crate::model::histogram::{FloatHistogram, Span};
use crate::model::protobuf;

/// Whole numbers up to here are exact.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The fields of a `Histogram` but for the start timestamp of Remote Write 2.0.
pub fn encode(out: &mut Vec<u8>, histogram: &FloatHistogram, timestamp: i64) {
    let h = histogram;
    let whole = is_whole(h);
    match whole {
        true => protobuf::int_of_choice(out, 1, h.count as u64),
        false => protobuf::double_of_choice(out, 2, h.count),
    }
    protobuf::double(out, 3, h.sum);
    protobuf::signed(out, 4, i64::from(h.schema));
    protobuf::double(out, 5, h.zero_threshold);
    match whole {
        true => protobuf::int_of_choice(out, 6, h.zero_count as u64),
        false => protobuf::double_of_choice(out, 7, h.zero_count),
    }
    spans(out, 8, &h.negative_spans);
    buckets(out, 9, &h.negative_buckets, whole);
    spans(out, 11, &h.positive_spans);
    buckets(out, 12, &h.positive_buckets, whole);
    protobuf::int(out, 14, h.counter_reset_hint as i64);
    protobuf::int(out, 15, timestamp);
    protobuf::packed_doubles(out, 16, &h.custom_values);
}

fn is_whole(h: &FloatHistogram) -> bool {
    let whole = |value: &f64| (0.0..=MAX_WHOLE).contains(value) && value.fract() == 0.0;
    let counts = || h.positive_buckets.iter().chain(&h.negative_buckets).chain([&h.zero_count]);
    let found: f64 = counts().sum();
    // Observations that are no number are in no bucket.
    let adds_up = if h.sum.is_nan() { found <= h.count } else { found == h.count };
    whole(&h.count) && counts().all(whole) && adds_up
}

fn spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        protobuf::nested(out, field, |out| {
            protobuf::signed(out, 1, i64::from(span.offset));
            protobuf::int(out, 2, i64::from(span.length));
        });
    }
}

/// Whole counts as differences to the one before, the first to 0; others, in the field behind, as they are.
fn buckets(out: &mut Vec<u8>, field: u32, counts: &[f64], whole: bool) {
    if !whole {
        return protobuf::packed_doubles(out, field + 1, counts);
    }
    if counts.is_empty() {
        return;
    }
    protobuf::nested(out, field, |out| {
        let mut before = 0;
        for count in counts {
            let count = *count as i64;
            protobuf::varint(out, protobuf::zigzag(count - before));
            before = count;
        }
    });
}
