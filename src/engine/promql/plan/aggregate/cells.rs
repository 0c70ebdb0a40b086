//! What one group has gathered at one step, per aggregate. The rules (compensated sums, the overflow rule of
//! `avg`, what NaN and histograms do) are those of `aggregation` in Prometheus' `promql/engine.go`.

use datafusion::error::Result;

use super::{Aggregation, RowArguments, Settings};
use crate::engine::promql::plan::layout::Sample;
use crate::engine::promql::plan::samples::{decode, encode, report};
use crate::model::float;
use crate::model::histogram::FloatHistogram;
use crate::model::histogram::sum::HistogramSum;
use crate::model::kahan::KahanSum;

/// A result.
pub enum Owned {
    Float(f64),
    Histogram(Vec<u8>),
}

/// See the module. `Default` is a cell without a sample.
pub trait Cell: Default + Send + 'static {
    /// How many numbers a partial state has; at least one.
    const NUMBERS: usize;
    /// Whether a partial state has bytes, too.
    const BYTES: bool = false;

    fn is_empty(&self) -> bool;
    fn add(&mut self, sample: Sample<'_>, row: &RowArguments<'_>, settings: &Settings) -> Result<()>;
    fn numbers(&self) -> Vec<f64>;
    fn bytes(&self) -> Option<Vec<u8>> {
        None
    }
    fn from_state(numbers: &[f64], bytes: Option<&[u8]>) -> Result<Self>;
    /// Neither is empty.
    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()>;
    fn finish(self, settings: &Settings) -> Result<Option<Owned>>;
    fn heap_bytes(&self) -> usize {
        0
    }
}

fn ignore_histogram(settings: &Settings) {
    let name = settings.aggregation.name().trim_start_matches("prom_");
    settings.sink.info(format!("ignored histogram in {name} aggregation"));
}

fn warn_mixed(settings: &Settings) {
    settings.sink.warn("encountered a mix of histograms and floats for aggregation");
}

/// The histograms of a group at a step, for `sum` and `avg`.
#[derive(Default)]
enum HistogramTotal {
    #[default]
    None,
    Sum(Box<HistogramSum>),
    /// Exponential and custom buckets met; the group has no result.
    Incompatible,
}

impl HistogramTotal {
    fn add(&mut self, histogram: &FloatHistogram, settings: &Settings) {
        match self {
            HistogramTotal::None => *self = HistogramTotal::Sum(Box::new(HistogramSum::new(histogram))),
            HistogramTotal::Sum(sum) => match sum.add(histogram) {
                Ok(combined) => report(combined, "aggregation", &settings.sink),
                Err(_) => {
                    settings.sink.warn(
                        "vector contains a mix of histograms with exponential and custom buckets schemas \
                         for metric name \"\"",
                    );
                    *self = HistogramTotal::Incompatible;
                }
            },
            HistogramTotal::Incompatible => {}
        }
    }

    /// The compensation of the partial sum is rounded away here; carrying it would need a second codec.
    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            HistogramTotal::Sum(sum) => Some(encode(&sum.as_ref().clone().finish())),
            HistogramTotal::None | HistogramTotal::Incompatible => None,
        }
    }

    fn from_state(incompatible: bool, bytes: Option<&[u8]>) -> Result<Self> {
        Ok(match bytes {
            _ if incompatible => HistogramTotal::Incompatible,
            Some(bytes) => HistogramTotal::Sum(Box::new(HistogramSum::new(&decode(bytes)?))),
            None => HistogramTotal::None,
        })
    }

    fn merge(&mut self, other: Self, settings: &Settings) {
        match other {
            HistogramTotal::None => {}
            HistogramTotal::Incompatible => *self = HistogramTotal::Incompatible,
            HistogramTotal::Sum(sum) => self.add(&sum.finish(), settings),
        }
    }
}

/// `sum`.
#[derive(Default)]
pub struct Sum {
    floats: KahanSum,
    has_floats: bool,
    histograms: HistogramTotal,
}

impl Cell for Sum {
    const NUMBERS: usize = 4;
    const BYTES: bool = true;

    fn is_empty(&self) -> bool {
        !self.has_floats && matches!(self.histograms, HistogramTotal::None)
    }

    fn add(&mut self, sample: Sample<'_>, _row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        match sample {
            Sample::Float(value) if self.has_floats => self.floats.add(value),
            Sample::Float(value) => {
                self.floats = KahanSum::new(value);
                self.has_floats = true;
            }
            Sample::Histogram(bytes) => self.histograms.add(&decode(bytes)?, settings),
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        let flag = |set: bool| f64::from(u8::from(set));
        let incompatible = matches!(self.histograms, HistogramTotal::Incompatible);
        vec![self.floats.sum, self.floats.compensation, flag(self.has_floats), flag(incompatible)]
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.histograms.bytes()
    }

    fn from_state(n: &[f64], bytes: Option<&[u8]>) -> Result<Self> {
        let floats = KahanSum { sum: n[0], compensation: n[1] };
        Ok(Self { floats, has_floats: n[2] != 0.0, histograms: HistogramTotal::from_state(n[3] != 0.0, bytes)? })
    }

    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()> {
        match (self.has_floats, other.has_floats) {
            (true, true) => self.floats.merge(&other.floats),
            (false, true) => {
                self.floats = other.floats;
                self.has_floats = true;
            }
            _ => {}
        }
        self.histograms.merge(other.histograms, settings);
        Ok(())
    }

    fn finish(self, settings: &Settings) -> Result<Option<Owned>> {
        Ok(match (self.has_floats, self.histograms) {
            (true, HistogramTotal::None) => Some(Owned::Float(self.floats.value())),
            (true, _) => {
                warn_mixed(settings);
                None
            }
            (false, HistogramTotal::Sum(sum)) => {
                let mut total = sum.finish();
                total.compact(0);
                Some(Owned::Histogram(encode(&total)))
            }
            (false, _) => None,
        })
    }

    fn heap_bytes(&self) -> usize {
        if matches!(self.histograms, HistogramTotal::Sum(_)) { 512 } else { 0 }
    }
}

/// `avg`: a direct mean until the running sum would overflow, an incremental one from then on.
#[derive(Default)]
pub struct Avg {
    /// The sum, or the mean once `incremental`.
    total: KahanSum,
    count: f64,
    incremental: bool,
    histograms: HistogramTotal,
    histogram_count: f64,
}

impl Avg {
    fn add_weighted(&mut self, sum: KahanSum, count: f64, sum_is_mean: bool) {
        if !self.incremental && !sum_is_mean {
            let mut total = self.total;
            total.merge(&sum);
            if total.sum.is_finite() || !self.total.sum.is_finite() || !sum.sum.is_finite() {
                self.total = total;
                self.count += count;
                return;
            }
        }
        if !self.incremental {
            self.total.divide(self.count);
            self.incremental = true;
        }
        let all = self.count + count;
        let mut mean = self.total;
        mean.scale(self.count / all);
        let mut other = sum;
        if sum_is_mean {
            other.scale(count / all);
        } else {
            other.divide(all);
        }
        mean.merge(&other);
        self.total = mean;
        self.count = all;
    }
}

impl Cell for Avg {
    const NUMBERS: usize = 6;
    const BYTES: bool = true;

    fn is_empty(&self) -> bool {
        self.count == 0.0 && self.histogram_count == 0.0
    }

    fn add(&mut self, sample: Sample<'_>, _row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        match sample {
            Sample::Float(value) if self.count > 0.0 => self.add_weighted(KahanSum::new(value), 1.0, false),
            Sample::Float(value) => {
                self.total = KahanSum::new(value);
                self.count = 1.0;
            }
            Sample::Histogram(bytes) => {
                self.histograms.add(&decode(bytes)?, settings);
                self.histogram_count += 1.0;
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        let flag = |set: bool| f64::from(u8::from(set));
        let incompatible = matches!(self.histograms, HistogramTotal::Incompatible);
        vec![
            self.total.sum,
            self.total.compensation,
            self.count,
            flag(self.incremental),
            self.histogram_count,
            flag(incompatible),
        ]
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.histograms.bytes()
    }

    fn from_state(n: &[f64], bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self {
            total: KahanSum { sum: n[0], compensation: n[1] },
            count: n[2],
            incremental: n[3] != 0.0,
            histograms: HistogramTotal::from_state(n[5] != 0.0, bytes)?,
            histogram_count: n[4],
        })
    }

    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()> {
        if self.count == 0.0 {
            (self.total, self.count, self.incremental) = (other.total, other.count, other.incremental);
        } else if other.count > 0.0 {
            self.add_weighted(other.total, other.count, other.incremental);
        }
        self.histograms.merge(other.histograms, settings);
        self.histogram_count += other.histogram_count;
        Ok(())
    }

    fn finish(self, settings: &Settings) -> Result<Option<Owned>> {
        Ok(match (self.count > 0.0, self.histograms) {
            (true, HistogramTotal::None) if self.incremental => Some(Owned::Float(self.total.value())),
            (true, HistogramTotal::None) => {
                let n = self.count;
                Some(Owned::Float(self.total.sum / n + self.total.compensation / n))
            }
            (true, _) => {
                warn_mixed(settings);
                None
            }
            (false, HistogramTotal::Sum(mut sum)) => {
                sum.divide(self.histogram_count);
                let mut mean = sum.finish();
                mean.compact(0);
                Some(Owned::Histogram(encode(&mean)))
            }
            (false, _) => None,
        })
    }

    fn heap_bytes(&self) -> usize {
        if matches!(self.histograms, HistogramTotal::Sum(_)) { 512 } else { 0 }
    }
}

/// `count` and `group`.
#[derive(Default)]
pub struct Count(f64);

impl Cell for Count {
    const NUMBERS: usize = 1;

    fn is_empty(&self) -> bool {
        self.0 == 0.0
    }

    fn add(&mut self, _sample: Sample<'_>, _row: &RowArguments<'_>, _settings: &Settings) -> Result<()> {
        self.0 += 1.0;
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.0]
    }

    fn from_state(n: &[f64], _bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self(n[0]))
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        self.0 += other.0;
        Ok(())
    }

    fn finish(self, settings: &Settings) -> Result<Option<Owned>> {
        let value = if settings.aggregation == Aggregation::Group { 1.0 } else { self.0 };
        Ok((self.0 > 0.0).then_some(Owned::Float(value)))
    }
}

/// `absent()`: 1 where there is no sample.
#[derive(Default)]
pub struct Present(Count);

impl Cell for Present {
    const NUMBERS: usize = 1;

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, sample: Sample<'_>, row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        self.0.add(sample, row, settings)
    }

    fn numbers(&self) -> Vec<f64> {
        self.0.numbers()
    }

    fn from_state(n: &[f64], bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self(Count::from_state(n, bytes)?))
    }

    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()> {
        self.0.merge(other.0, settings)
    }

    fn finish(self, _settings: &Settings) -> Result<Option<Owned>> {
        Ok(self.is_empty().then_some(Owned::Float(1.0)))
    }
}

/// `scalar()`: the value of the only sample, NaN where there is none or more than one. Histograms are no
/// samples here.
#[derive(Default)]
pub struct Single {
    value: f64,
    count: f64,
}

impl Cell for Single {
    const NUMBERS: usize = 2;

    fn is_empty(&self) -> bool {
        self.count == 0.0
    }

    fn add(&mut self, sample: Sample<'_>, _row: &RowArguments<'_>, _settings: &Settings) -> Result<()> {
        if let Sample::Float(value) = sample {
            self.value = value;
            self.count += 1.0;
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.value, self.count]
    }

    fn from_state(n: &[f64], _bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self { value: n[0], count: n[1] })
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        self.count += other.count;
        Ok(())
    }

    fn finish(self, _settings: &Settings) -> Result<Option<Owned>> {
        Ok(Some(Owned::Float(if self.count == 1.0 { self.value } else { f64::NAN })))
    }
}

/// `min` and `max`: NaN only where there is nothing else.
#[derive(Default)]
pub struct Extreme(Option<f64>);

impl Extreme {
    fn offer(&mut self, value: f64, settings: &Settings) {
        let better = |best: f64| match settings.aggregation {
            Aggregation::Min => value < best,
            _ => value > best,
        };
        if self.0.is_none_or(|best| best.is_nan() || better(best)) {
            self.0 = Some(value);
        }
    }
}

impl Cell for Extreme {
    const NUMBERS: usize = 1;

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn add(&mut self, sample: Sample<'_>, _row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        match sample {
            Sample::Float(value) => self.offer(value, settings),
            Sample::Histogram(_) => ignore_histogram(settings),
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.0.unwrap_or(f64::NAN)]
    }

    fn from_state(n: &[f64], _bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self(Some(n[0])))
    }

    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()> {
        if let Some(value) = other.0 {
            self.offer(value, settings);
        }
        Ok(())
    }

    fn finish(self, _settings: &Settings) -> Result<Option<Owned>> {
        Ok(self.0.map(Owned::Float))
    }
}

/// `stddev` and `stdvar`: Welford's sum of squares, merged by Chan's rule.
#[derive(Default)]
pub struct Variance {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Cell for Variance {
    const NUMBERS: usize = 3;

    fn is_empty(&self) -> bool {
        self.count == 0.0
    }

    fn add(&mut self, sample: Sample<'_>, _row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        let Sample::Float(value) = sample else {
            ignore_histogram(settings);
            return Ok(());
        };
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return Ok(());
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.count, self.mean, self.squares]
    }

    fn from_state(n: &[f64], _bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self { count: n[0], mean: n[1], squares: n[2] })
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * self.count * other.count / count;
        self.mean += delta * other.count / count;
        self.count = count;
        Ok(())
    }

    fn finish(self, settings: &Settings) -> Result<Option<Owned>> {
        let variance = self.squares / self.count;
        let value = if settings.aggregation == Aggregation::Stddev { variance.sqrt() } else { variance };
        Ok((self.count > 0.0).then_some(Owned::Float(value)))
    }
}

/// `quantile`: all values of the group.
#[derive(Default)]
pub struct Quantile {
    q: f64,
    values: Vec<f64>,
}

impl Cell for Quantile {
    const NUMBERS: usize = 1;
    const BYTES: bool = true;

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn add(&mut self, sample: Sample<'_>, row: &RowArguments<'_>, settings: &Settings) -> Result<()> {
        self.q = row.parameters[0];
        match sample {
            Sample::Float(value) => self.values.push(value),
            Sample::Histogram(_) => ignore_histogram(settings),
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<f64> {
        vec![self.q]
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        Some(self.values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn from_state(n: &[f64], bytes: Option<&[u8]>) -> Result<Self> {
        Ok(Self { q: n[0], values: read_floats(bytes.unwrap_or_default()) })
    }

    fn merge(&mut self, other: Self, _settings: &Settings) -> Result<()> {
        self.values.extend(other.values);
        Ok(())
    }

    fn finish(mut self, settings: &Settings) -> Result<Option<Owned>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        if self.q.is_nan() || !(0.0..=1.0).contains(&self.q) {
            warn_quantile(self.q, settings);
        }
        Ok(Some(Owned::Float(quantile_of(self.q, &mut self.values))))
    }

    fn heap_bytes(&self) -> usize {
        self.values.capacity() * 8
    }
}

pub fn warn_quantile(q: f64, settings: &Settings) {
    let q = float::format_general(q);
    settings.sink.warn(format!("quantile value should be between 0 and 1, got {q}"));
}

pub fn read_floats(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().expect("chunks are of eight bytes"))).collect()
}

/// The quantile of unsorted values, interpolated; NaN counts as the smallest value.
fn quantile_of(q: f64, values: &mut [f64]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).expect("neither is NaN"),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}
