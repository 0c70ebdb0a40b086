//! What `topk`, `bottomk`, `limitk`, `limit_ratio` and `count_values` decide at one step, and the checks of
//! aggregation parameters.

use super::types::{Notes, Param, Value};
use crate::engine::promql::annotations::text;
use crate::error::{Error, Result};
use crate::model::float;
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;

/// Checks the parameter of an aggregation over all steps, with Prometheus' errors and warnings (placed at
/// `param_span`). `false`: nothing can result.
pub fn check_param(op: AggregateOp, param: &Param<'_>, param_span: Span, notes: &Notes<'_>) -> Result<bool> {
    use super::math::{larger, smaller};
    let (min, max, nan) = match param {
        Param::Constant(value) => (*value, *value, value.is_nan()),
        Param::Steps(values) => (
            values.iter().copied().fold(f64::MAX, smaller),
            values.iter().copied().fold(-f64::MAX, larger),
            values.iter().any(|v| v.is_nan()),
        ),
    };
    let warn = |text: String| notes.annotations.warn(text, param_span);
    match op {
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
            if max < 1.0 {
                return Ok(false);
            }
            if nan {
                return Err(Error::execution("Parameter value is NaN"));
            }
            let got = |value: f64| float::format_general(value);
            if min <= I64_MIN {
                return Err(Error::execution(format!("Scalar value {} underflows int64", got(min))));
            }
            if max >= I64_MAX {
                return Err(Error::execution(format!("Scalar value {} overflows int64", got(max))));
            }
        }
        AggregateOp::LimitRatio => {
            if max == 0.0 && min == 0.0 {
                return Ok(false);
            }
            if nan {
                return Err(Error::execution("Ratio value is NaN"));
            }
            if max > 1.0 {
                warn(text::invalid_ratio(max, 1.0));
            }
            if min < -1.0 {
                warn(text::invalid_ratio(min, -1.0));
            }
        }
        AggregateOp::Quantile => {
            if nan {
                warn(text::invalid_quantile(f64::NAN));
            }
            if max > 1.0 {
                warn(text::invalid_quantile(max));
            }
            if min < 0.0 {
                warn(text::invalid_quantile(min));
            }
        }
        _ => {}
    }
    Ok(true)
}

/// The bounds Prometheus accepts for `k`, which it converts to an int64.
const I64_MAX: f64 = 9_223_372_036_854_774_784.0;
const I64_MIN: f64 = -9_223_372_036_854_775_808.0;

/// How many series `k` asks for; 0 for parameters below one.
pub fn limit(k: f64) -> usize {
    if k < 1.0 { 0 } else { k as usize }
}

/// The best `k` of the values one group has at one step, best first: the largest for `topk`, the smallest for
/// `bottomk`; NaN comes last for both. Keeps values with what identifies their series. Among equal values those
/// offered first win.
#[derive(Clone, Debug)]
pub struct TopK<S> {
    largest: bool,
    k: usize,
    /// Best first, as far as they are sorted: all of them where `k` is small.
    best: Vec<(f64, S)>,
}

/// A place among more than this is not looked for at once, as all that are behind it would move each time.
const INSERTED: usize = 64;

impl<S> TopK<S> {
    pub fn new(op: AggregateOp, k: usize) -> Self {
        Self { largest: op == AggregateOp::TopK, k, best: Vec::new() }
    }

    pub fn offer(&mut self, value: f64, series: S) {
        if self.k > INSERTED {
            if self.best.len() >= self.k.saturating_mul(2) {
                self.sort();
            }
            return self.best.push((value, series));
        }
        let position = self.best.partition_point(|(other, _)| !self.is_better(value, *other));
        if position < self.k {
            self.best.truncate(self.k - 1);
            self.best.insert(position, (value, series));
        }
    }

    /// Leaves the best in order. The sort is stable, so that among equals the first stay.
    fn sort(&mut self) {
        let mut best = std::mem::take(&mut self.best);
        best.sort_by(|(a, _), (b, _)| self.is_better(*b, *a).cmp(&self.is_better(*a, *b)));
        best.truncate(self.k);
        self.best = best;
    }

    fn is_better(&self, value: f64, other: f64) -> bool {
        match (value.is_nan(), other.is_nan()) {
            (true, _) => false,
            (false, true) => true,
            _ if self.largest => value > other,
            _ => value < other,
        }
    }

    pub fn into_best(mut self) -> Vec<(f64, S)> {
        if self.k > INSERTED {
            self.sort();
        }
        self.best
    }
}

/// Tells that a histogram was left out of `topk` or `bottomk`; Prometheus blames the whole aggregation.
pub fn note_ignored_histogram(op: AggregateOp, notes: &Notes<'_>) {
    notes.annotations.info(text::histogram_ignored_in_aggregation(op.as_str()), notes.span);
}

/// The order of `sort` (`descending: false`) and `sort_desc`: NaN last in both.
pub fn sort_order(a: f64, b: f64, descending: bool) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.total_cmp(&a),
        (false, false) => a.total_cmp(&b),
        (a, b) => a.cmp(&b),
    }
}

/// The label value `count_values` gives to a value.
pub fn count_values_label(value: &Value) -> String {
    match value {
        Value::Float(value) => float::format_plain(*value),
        Value::Histogram(histogram) => histogram.to_string(),
    }
}

/// Whether `limit_ratio` keeps a series: `hash` (see [`label_hash`]) as a fraction of all hashes lies below the
/// ratio, or for negative ratios in the complement. Ratios beyond ±1 are capped.
pub fn in_ratio(ratio: f64, hash: u64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    let position = hash as f64 / u64::MAX as f64;
    if ratio >= 0.0 { position < ratio } else { position >= 1.0 + ratio }
}

/// Prometheus' hash of a label set: xxHash64 of its labels in name order, each string after its length.
pub fn label_hash<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    for (name, value) in labels {
        for text in [name, value] {
            // One byte of length, or 255 and three bytes.
            match u8::try_from(text.len()) {
                Ok(length) if length < 255 => bytes.push(length),
                _ => {
                    bytes.push(255);
                    bytes.extend(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            bytes.extend(text.as_bytes());
        }
    }
    xxh64(&bytes)
}

/// xxHash64 with seed 0, after its specification (the crate's dependency is built with XXH3 only).
fn xxh64(bytes: &[u8]) -> u64 {
    const P1: u64 = 0x9E37_79B1_85EB_CA87;
    const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
    const P3: u64 = 0x1656_67B1_9E37_79F9;
    const P4: u64 = 0x85EB_CA77_C2B2_AE63;
    const P5: u64 = 0x27D4_EB2F_1656_67C5;
    let round = |lane: u64, input: u64| lane.wrapping_add(input.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let mut rest = bytes;
    let mut hash = P5;
    if bytes.len() >= 32 {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        while rest.len() >= 32 {
            for (lane, input) in lanes.iter_mut().zip(rest.chunks_exact(8)) {
                *lane = round(*lane, word(input));
            }
            rest = &rest[32..];
        }
        let [a, b, c, d] = lanes;
        hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    while rest.len() >= 8 {
        hash = (hash ^ round(0, word(&rest[..8]))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = &rest[8..];
    }
    if let Some((four, tail)) = rest.split_first_chunk::<4>() {
        let input = u64::from(u32::from_le_bytes(*four));
        hash = (hash ^ input.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = tail;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_the_best_are_those_of_a_stable_sort() {
        let values: Vec<f64> =
            (0..1_000).map(|i| if i % 50 == 0 { f64::NAN } else { f64::from(i * 7919 % 101) }).collect();
        for (op, k) in [(AggregateOp::TopK, 10), (AggregateOp::TopK, 100), (AggregateOp::BottomK, 400)] {
            let mut best = TopK::new(op, k);
            values.iter().enumerate().for_each(|(i, value)| best.offer(*value, i));
            let found: Vec<usize> = best.into_best().into_iter().map(|(_, i)| i).collect();
            let mut expected: Vec<usize> = (0..values.len()).collect();
            expected.sort_by(|a, b| sort_order(values[*a], values[*b], op == AggregateOp::TopK));
            assert_eq!(found, expected[..k], "{op:?} {k}");
        }
        let mut all = TopK::new(AggregateOp::TopK, usize::MAX);
        values.iter().enumerate().for_each(|(i, value)| all.offer(*value, i));
        assert_eq!(all.into_best().len(), values.len());
    }
}
