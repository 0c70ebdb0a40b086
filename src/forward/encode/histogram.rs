//! Native histograms on the wire, alike in both messages but for the start timestamp. What counts whole observations
//! goes out as an integer histogram, which is what a target exposed; the rest, as of rules, in floats.

use crate::forward::encode::wire;
use crate::model::histogram::{FloatHistogram, Span};

/// Whole numbers up to here are exact.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The fields of a `Histogram` but for the start timestamp of Remote Write 2.0.
pub fn encode(out: &mut Vec<u8>, histogram: &FloatHistogram, timestamp: i64) {
    let h = histogram;
    let whole = is_whole(h);
    match whole {
        true => wire::int_of_choice(out, 1, h.count as u64),
        false => wire::double_of_choice(out, 2, h.count),
    }
    wire::double(out, 3, h.sum);
    wire::signed(out, 4, i64::from(h.schema));
    wire::double(out, 5, h.zero_threshold);
    match whole {
        true => wire::int_of_choice(out, 6, h.zero_count as u64),
        false => wire::double_of_choice(out, 7, h.zero_count),
    }
    spans(out, 8, &h.negative_spans);
    buckets(out, 9, &h.negative_buckets, whole);
    spans(out, 11, &h.positive_spans);
    buckets(out, 12, &h.positive_buckets, whole);
    wire::int(out, 14, h.counter_reset_hint as i64);
    wire::int(out, 15, timestamp);
    wire::packed(out, 16, &h.custom_values, |out, value| out.extend_from_slice(&value.to_le_bytes()));
}

fn is_whole(h: &FloatHistogram) -> bool {
    let whole = |value: &f64| (0.0..=MAX_WHOLE).contains(value) && value.fract() == 0.0;
    [h.count, h.zero_count].iter().chain(&h.positive_buckets).chain(&h.negative_buckets).all(whole)
}

fn spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        wire::nested(out, field, |out| {
            wire::signed(out, 1, i64::from(span.offset));
            wire::int(out, 2, i64::from(span.length));
        });
    }
}

/// Whole counts as differences to the one before, the first to 0; others, in the field behind, as they are.
fn buckets(out: &mut Vec<u8>, field: u32, counts: &[f64], whole: bool) {
    if !whole {
        return wire::packed(out, field + 1, counts, |out, count| out.extend_from_slice(&count.to_le_bytes()));
    }
    if counts.is_empty() {
        return;
    }
    wire::nested(out, field, |out| {
        let mut before = 0;
        for count in counts {
            let count = *count as i64;
            wire::varint(out, wire::zigzag(count - before));
            before = count;
        }
    });
}
