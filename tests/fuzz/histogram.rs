//! Native histograms with exponential buckets, and how remote write sends them.

use fastrand::Rng;

use crate::write_request::{put_bytes, put_double, put_number};

/// All buckets of a side follow each other from bucket 1 of `schema` on.
#[derive(Clone, Debug)]
pub struct Histogram {
    schema: i32,
    sum: f64,
    zero_count: f64,
    positive: Vec<f64>,
    negative: Vec<f64>,
    /// A gauge histogram says so; of others the reader finds out about resets.
    gauge: bool,
}

impl Histogram {
    pub fn empty(schema: i32, gauge: bool) -> Self {
        Self { schema, sum: 0.0, zero_count: 0.0, positive: vec![0.0; 6], negative: vec![0.0; 2], gauge }
    }

    /// Some observations more, or for a gauge others; now and then a counter starts anew.
    pub fn observe(&mut self, rng: &mut Rng) {
        let anew = self.gauge || rng.f64() < 0.03;
        for bucket in self.positive.iter_mut().chain(&mut self.negative).chain([&mut self.zero_count]) {
            *bucket = if anew { 0.0 } else { *bucket } + f64::from(rng.u8(0..8));
        }
        self.sum = if anew { 0.0 } else { self.sum } + rng.f64() * 50.0;
    }

    /// `prometheus.Histogram` in its form with float counts.
    pub fn message(&self, timestamp: i64) -> Vec<u8> {
        let mut out = Vec::new();
        let count = self.zero_count + self.positive.iter().sum::<f64>() + self.negative.iter().sum::<f64>();
        put_double(&mut out, 2, count);
        put_double(&mut out, 3, self.sum);
        put_number(&mut out, 4, zigzag(self.schema));
        // The zero threshold.
        put_double(&mut out, 5, 0.001);
        put_double(&mut out, 7, self.zero_count);
        for (spans, counts, buckets) in [(8, 10, &self.negative), (11, 13, &self.positive)] {
            let mut span = Vec::new();
            put_number(&mut span, 1, zigzag(1));
            put_number(&mut span, 2, buckets.len() as u64);
            put_bytes(&mut out, spans, &span);
            put_bytes(&mut out, counts, &buckets.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>());
        }
        put_number(&mut out, 14, if self.gauge { 3 } else { 0 });
        put_number(&mut out, 15, timestamp as u64);
        out
    }
}

fn zigzag(number: i32) -> u64 {
    ((i64::from(number) << 1) ^ (i64::from(number) >> 63)) as u64
}
