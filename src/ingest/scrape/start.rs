//! Start timestamps of targets that tell none (`--enable-feature=st-synthesis`), after Prometheus'
//! `scrape/st_synthesis.go`: the first sample of a counter is the point to count from. It is not stored itself; what
//! follows is stored less its value, and began when it was taken. After a reset a counter began a moment ago.

use std::sync::Arc;

use crate::ingest::exposition::event::Value;
use crate::model::histogram::FloatHistogram;
use crate::model::metadata::MetricType;

/// One series.
#[derive(Debug, Default)]
pub struct Synthesis {
    /// 0 before the first sample.
    start: i64,
    float: Float,
    histogram: Histogram,
}

#[derive(Debug, Default)]
struct Float {
    previous: f64,
    first: f64,
}

#[derive(Debug, Default)]
struct Histogram {
    previous: Option<Arc<FloatHistogram>>,
    first: Option<Arc<FloatHistogram>>,
}

impl Synthesis {
    /// The value to store and when it began; `None` for a first sample.
    pub fn observe(&mut self, value: Value, timestamp: i64) -> Option<(Value, i64)> {
        let is_first = self.start == 0;
        if is_first {
            self.start = timestamp;
        }
        let value = match value {
            Value::Float(value) => Value::Float(self.observe_float(value, timestamp, is_first)),
            Value::Histogram(histogram) => Value::Histogram(self.observe_histogram(histogram, timestamp, is_first)),
        };
        (!is_first).then_some((value, self.start))
    }

    fn observe_float(&mut self, value: f64, timestamp: i64, is_first: bool) -> f64 {
        let float = &mut self.float;
        if is_first {
            float.first = value;
        } else if value < float.previous {
            float.first = 0.0;
            self.start = timestamp - 1;
        }
        float.previous = value;
        value - float.first
    }

    fn observe_histogram(
        &mut self,
        now: Arc<FloatHistogram>,
        timestamp: i64,
        is_first: bool,
    ) -> Arc<FloatHistogram> {
        let histogram = &mut self.histogram;
        let previous = histogram.previous.replace(now.clone());
        if is_first {
            histogram.first = Some(now.clone());
            return now;
        }
        if previous.is_some_and(|previous| now.detect_reset(&previous)) {
            histogram.first = None;
            self.start = timestamp - 1;
        }
        let Some(first) = &histogram.first else { return now };
        let mut less = (*now).clone();
        // Two kinds of buckets cannot be subtracted, and are a reset.
        if less.sub(first).is_err() {
            return now;
        }
        less.counter_reset_hint = now.counter_reset_hint;
        less.compact(0);
        Arc::new(less)
    }
}

/// Whether a series counts up from a start: by its family, and its name within that.
pub fn counts(metric: &str, family: &str, kind: MetricType) -> bool {
    let without = |suffixes: &[&str]| suffixes.iter().find_map(|s| metric.strip_suffix(s)).unwrap_or(metric);
    match kind {
        MetricType::Counter => without(&["_total"]) == family.strip_suffix("_total").unwrap_or(family),
        MetricType::Histogram => without(&["_bucket", "_sum", "_count"]) == family,
        MetricType::Summary => metric != family && without(&["_sum", "_count"]) == family,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_start_at_their_first_sample() {
        let mut series = Synthesis::default();
        let mut float = |value, timestamp| match series.observe(Value::Float(value), timestamp) {
            Some((Value::Float(value), start)) => Some((value, start)),
            _ => None,
        };
        assert_eq!(float(10.0, 1000), None);
        assert_eq!(float(10.0, 2000), Some((0.0, 1000)));
        assert_eq!(float(15.0, 3000), Some((5.0, 1000)));
        assert_eq!(float(2.0, 4000), Some((2.0, 3999)));
        assert_eq!(float(3.0, 5000), Some((3.0, 3999)));
    }

    #[test]
    fn histograms_start_at_their_first_sample() {
        let of = |counts: &[f64]| {
            let spans = vec![crate::model::histogram::Span { offset: 0, length: counts.len() as u32 }];
            let (positive_buckets, count) = (counts.to_vec(), counts.iter().sum());
            Arc::new(FloatHistogram { positive_spans: spans, positive_buckets, count, ..Default::default() })
        };
        let mut series = Synthesis::default();
        let mut counts = |counts: &[f64], timestamp| match series.observe(Value::Histogram(of(counts)), timestamp) {
            Some((Value::Histogram(h), start)) => Some((h.positive_buckets.clone(), h.count, start)),
            _ => None,
        };
        assert_eq!(counts(&[1.0, 2.0], 1000), None);
        assert_eq!(counts(&[1.0, 5.0], 2000), Some((vec![3.0], 3.0, 1000)));
        assert_eq!(counts(&[1.0, 1.0], 3000), Some((vec![1.0, 1.0], 2.0, 2999)));
        assert_eq!(counts(&[2.0, 1.0], 4000), Some((vec![2.0, 1.0], 3.0, 2999)));
    }

    #[test]
    fn what_counts() {
        let check =
            |metric: &str, family: &str, kind, want| assert_eq!(counts(metric, family, kind), want, "{metric}");
        check("a_total", "a", MetricType::Counter, true);
        check("a_total", "a_total", MetricType::Counter, true);
        check("a", "a", MetricType::Counter, true);
        check("b", "a", MetricType::Counter, false);
        check("a_bucket", "a", MetricType::Histogram, true);
        check("a", "a", MetricType::Histogram, true);
        check("a_created", "a", MetricType::Histogram, false);
        check("a_sum", "a", MetricType::Summary, true);
        check("a", "a", MetricType::Summary, false);
        check("a", "a", MetricType::Gauge, false);
    }
}
