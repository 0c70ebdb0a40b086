//! Native histograms with custom buckets made from the classic series of a `load_with_nhcb`: the buckets of
//! one time become one histogram, named without the suffix.

use std::collections::BTreeMap;

use promlake::model::histogram::CUSTOM_BUCKETS_SCHEMA;
use promlake::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use promlake::promql::numbers::parse_float;

use super::histogram::Sparse;
use super::script::{LoadSeries, LoadedSample, Value};

/// What is known of one histogram at one time.
#[derive(Default)]
struct Classic {
    /// Upper bound and cumulative count, in order of bounds.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// The histograms of a load's classic series. Parts without a usable `le` are skipped; counts that do not
/// add up are an error, as Prometheus' own tests take them.
pub fn convert(series: &[LoadSeries]) -> Result<Vec<LoadSeries>, String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for line in series {
        let Some((base, part)) = classify(&line.labels)? else {
            continue;
        };
        let by_time = histograms.entry(base).or_default();
        for sample in &line.samples {
            if let Value::Float(value) = sample.value {
                by_time.entry(sample.timestamp).or_default().set(&part, value)?;
            }
        }
    }
    histograms.into_iter().map(|(labels, by_time)| to_series(labels, by_time)).collect()
}

fn to_series(labels: Labels, by_time: BTreeMap<i64, Classic>) -> Result<LoadSeries, String> {
    let sample = |(timestamp, classic): (i64, Classic)| {
        let value = Value::Histogram(classic.finish()?);
        Ok(LoadedSample { timestamp, value, start_timestamp: 0 })
    };
    Ok(LoadSeries { labels, samples: by_time.into_iter().map(sample).collect::<Result<_, String>>()? })
}

/// The labels of the histogram a series belongs to, and which part of it the series is.
fn classify(labels: &Labels) -> Result<Option<(Labels, Part)>, String> {
    let metric = labels.metric();
    let (name, part) = if let Some(name) = metric.strip_suffix("_bucket") {
        let le = labels.get("le").ok_or(format!("{labels} has no le"))?;
        match parse_float(le) {
            Ok(le) if !le.is_nan() => (name, Part::Bucket(le)),
            _ => return Ok(None),
        }
    } else if let Some(name) = metric.strip_suffix("_sum") {
        (name, Part::Sum)
    } else if let Some(name) = metric.strip_suffix("_count") {
        (name, Part::Count)
    } else {
        return Ok(None);
    };
    let base = LabelsBuilder::from_labels(labels).set(METRIC_NAME, name).remove("le").build();
    Ok(Some((base, part)))
}

impl Classic {
    fn set(&mut self, part: &Part, value: f64) -> Result<(), String> {
        match part {
            Part::Sum => self.sum = value,
            Part::Count | Part::Bucket(_) if value < 0.0 => return Err(format!("negative count {value}")),
            Part::Count => self.count = Some(value),
            Part::Bucket(le) => {
                let at = self.buckets.partition_point(|(bound, _)| bound < le);
                // Of equal bounds (`1` and `1.0`) the first wins.
                if self.buckets.get(at).is_none_or(|(bound, _)| bound != le) {
                    self.buckets.insert(at, (*le, value));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Sparse, String> {
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut h = Sparse { schema: CUSTOM_BUCKETS_SCHEMA, count, sum: self.sum, ..Default::default() };
        let mut below = 0.0;
        for (i, (bound, cumulative)) in self.buckets.iter().enumerate() {
            if *cumulative < below {
                return Err(format!("count {cumulative} of le={bound} is not cumulative"));
            }
            if *cumulative > below {
                h.positive.insert(i as i32, cumulative - below);
            }
            below = *cumulative;
            if bound.is_finite() {
                h.custom_values.push(*bound);
            }
        }
        if below != count {
            return Err(format!("count is {count}, but the buckets hold {below}"));
        }
        Ok(h)
    }
}
