//! The series both servers hold: 40 minutes of counters with resets, gauges, gaps, staleness markers, odd floats,
//! classic and native histograms. What they look like is fixed, their values and gaps come from the seed.

use fastrand::Rng;

use crate::histogram::Histogram;
use crate::write_request::{Series, compress, encode, timeseries};

/// 2026-01-01T00:00:00Z
pub const START_MS: i64 = 1_767_225_600_000;
/// Prometheus takes samples up to an hour older than its newest one, and all series are not sent at once.
pub const LENGTH_MS: i64 = 40 * 60_000;

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Labels in the order of their names.
type Labels = Vec<(&'static str, &'static str)>;

pub struct Data {
    floats: Vec<(Labels, Vec<(i64, f64)>)>,
    histograms: Vec<(Labels, Vec<(i64, Histogram)>)>,
}

impl Data {
    pub fn new(rng: &mut Rng) -> Self {
        let mut data = Self { floats: Vec::new(), histograms: Vec::new() };
        data.counters(rng);
        data.gauges(rng);
        data.classic_histograms(rng);
        data.native_histograms(rng);
        // The order of series decides which of several equal values topk keeps, so it is the same everywhere.
        data.floats.sort_by(|a, b| a.0.cmp(&b.0));
        data.histograms.sort_by(|a, b| a.0.cmp(&b.0));
        data
    }

    /// The bodies of the remote write requests, in the order in which they must arrive.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let floats: Vec<Series<'_>> =
            self.floats.iter().map(|(labels, samples)| Series { labels, samples }).collect();
        let histograms = self.histograms.iter().map(|(labels, samples)| {
            timeseries(labels, 4, samples.iter().map(|(timestamp, h)| h.message(*timestamp)).collect())
        });
        vec![encode(&floats), compress(histograms)]
    }

    fn add(
        &mut self,
        rng: &mut Rng,
        labels: &[(&'static str, &'static str)],
        life: Life,
        mut value: impl FnMut(&mut Rng) -> f64,
    ) {
        let samples = life.times(rng).into_iter().map(|(t, alive)| (t, if alive { value(rng) } else { STALE }));
        let samples = samples.collect();
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        self.floats.push((labels, samples));
    }

    fn counters(&mut self, rng: &mut Rng) {
        let lives = [
            Life::WHOLE,
            Life::LATE,
            Life::ENDED,
            Life::GAPS,
            Life::WHOLE,
            Life::JITTERED,
            Life::SLOW,
            Life::WHOLE,
        ];
        let mut lives = lives.iter().cycle();
        for (job, instance) in [("api", "a"), ("api", "b"), ("web", "a"), ("web", "c")] {
            for code in ["200", "404", "500"] {
                let labels = [("__name__", "requests_total"), ("job", job), ("instance", instance), ("code", code)];
                let counter = counter(rng, 40.0, 0.02);
                self.add(rng, &labels, *lives.next().expect("cycles"), counter);
            }
            let labels = [("__name__", "errors_total"), ("job", job), ("instance", instance)];
            let counter = counter(rng, 3.0, 0.05);
            self.add(rng, &labels, *lives.next().expect("cycles"), counter);
        }
        // Without the label `instance`.
        let counter = counter(rng, 5.0, 0.01);
        self.add(rng, &[("__name__", "errors_total"), ("job", "db")], Life::WHOLE, counter);
    }

    fn gauges(&mut self, rng: &mut Rng) {
        for (job, instance, life) in [
            ("api", "a", Life::WHOLE),
            ("api", "b", Life::GAPS),
            ("web", "a", Life::JITTERED),
            ("web", "c", Life::LATE),
        ] {
            let place = [("job", job), ("instance", instance)];
            let mut value = rng.f64() * 40.0;
            self.add(rng, &[&[("__name__", "temperature")], &place[..]].concat(), life, |rng| {
                value += rng.f64() * 2.0 - 1.0;
                value
            });
            self.add(rng, &[&[("__name__", "up")], &place[..]].concat(), life, |rng| {
                f64::from(u8::from(rng.f64() < 0.9))
            });
            let version = if instance == "a" { "1.2" } else { "1.3" };
            let info = [&[("__name__", "target_info"), ("version", version)], &place[..]].concat();
            self.add(rng, &info, life, |_| 1.0);
        }
        for (instance, life) in [("a", Life::WHOLE), ("b", Life::SLOW), ("c", Life::ENDED)] {
            // Few different values, and often the same one twice.
            let mut value = 0.0;
            self.add(rng, &[("__name__", "queue"), ("instance", instance)], life, |rng| {
                if rng.f64() < 0.3 {
                    value = f64::from(rng.i8(-3..8));
                }
                value
            });
            self.add(rng, &[("__name__", "odd"), ("instance", instance)], life, odd);
        }
        self.add(rng, &[("__name__", "lonely")], Life::GAPS, |rng| rng.f64() * 1e6 - 5e5);
    }

    fn classic_histograms(&mut self, rng: &mut Rng) {
        let bounds = [("0.1", 0.2), ("0.5", 0.5), ("1", 0.75), ("2.5", 0.9), ("10", 0.97), ("+Inf", 1.0)];
        for (job, instance, life) in [("api", "a", Life::WHOLE), ("api", "b", Life::LATE), ("web", "c", Life::GAPS)]
        {
            let place = [("job", job), ("instance", instance)];
            // One observation count for all buckets, so that they are cumulative.
            let times = life.times(rng);
            let mut total = 0.0;
            let counts: Vec<f64> = times
                .iter()
                .map(|_| {
                    total = if rng.f64() < 0.02 { 0.0 } else { total + f64::from(rng.u8(0..50)) };
                    total
                })
                .collect();
            let samples = |share: f64| {
                let sample = |((t, alive), count): (&(i64, bool), &f64)| {
                    (*t, if *alive { (count * share).floor() } else { STALE })
                };
                times.iter().zip(&counts).map(sample).collect::<Vec<_>>()
            };
            for (le, share) in bounds {
                // One instance lacks the last bucket.
                if instance == "c" && le == "+Inf" {
                    continue;
                }
                self.put(
                    &[&[("__name__", "latency_seconds_bucket"), ("le", le)], &place[..]].concat(),
                    samples(share),
                );
            }
            self.put(&[&[("__name__", "latency_seconds_count")], &place[..]].concat(), samples(1.0));
            self.put(&[&[("__name__", "latency_seconds_sum")], &place[..]].concat(), samples(0.8));
        }
    }

    fn native_histograms(&mut self, rng: &mut Rng) {
        let kinds = [
            ("sizes", "a", 1, false),
            ("sizes", "b", 1, false),
            ("sizes", "c", 0, false),
            ("spread", "a", 2, true),
            ("spread", "b", 1, true),
            ("mixed", "a", 1, false),
        ];
        for (name, instance, schema, gauge) in kinds {
            let mut state = Histogram::empty(schema, gauge);
            let life = if name == "mixed" { Life::LATE } else { Life::WHOLE };
            let times = life.times(rng).into_iter().step_by(2);
            let histograms = times.map(|(t, _)| {
                state.observe(rng);
                (t, state.clone())
            });
            let histograms = histograms.collect();
            self.histograms.push((vec![("__name__", name), ("instance", instance)], histograms));
        }
        // One series that was of floats before.
        let counter = counter(rng, 40.0, 0.02);
        self.add(rng, &[("__name__", "mixed"), ("instance", "a")], Life { to: 0.44, ..Life::WHOLE }, counter);
    }

    fn put(&mut self, labels: &[(&'static str, &'static str)], samples: Vec<(i64, f64)>) {
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        self.floats.push((labels, samples));
    }
}

/// When a series has samples.
#[derive(Clone, Copy)]
struct Life {
    interval_ms: i64,
    /// Share of the whole time at which it starts and ends.
    from: f64,
    to: f64,
    /// Chance that a gap begins at a sample; half of the gaps begin with a staleness marker.
    gap: f64,
    jitter_ms: i64,
}

impl Life {
    const WHOLE: Self = Self { interval_ms: 15_000, from: 0.0, to: 1.0, gap: 0.0, jitter_ms: 0 };
    const LATE: Self = Self { from: 0.45, ..Self::WHOLE };
    const ENDED: Self = Self { to: 0.6, ..Self::WHOLE };
    const GAPS: Self = Self { gap: 0.03, ..Self::WHOLE };
    const SLOW: Self = Self { interval_ms: 60_000, ..Self::WHOLE };
    const JITTERED: Self = Self { jitter_ms: 4_000, ..Self::WHOLE };

    /// Timestamps, with `false` at the one where the series is marked stale.
    fn times(self, rng: &mut Rng) -> Vec<(i64, bool)> {
        let (from, to) = ((self.from * LENGTH_MS as f64) as i64, (self.to * LENGTH_MS as f64) as i64);
        let mut times = Vec::new();
        let mut silent_until = from;
        let mut t = from;
        while t < to {
            let jitter = if self.jitter_ms > 0 { rng.i64(0..self.jitter_ms) } else { 0 };
            if t >= silent_until {
                let gap = rng.f64() < self.gap;
                if gap {
                    silent_until = t + self.interval_ms * rng.i64(2..30);
                }
                if !gap || rng.bool() {
                    times.push((START_MS + t + jitter, !gap));
                }
            }
            t += self.interval_ms;
        }
        if self.to < 1.0 {
            times.push((START_MS + t, false));
        }
        times
    }
}

/// Values of a counter: steps up to `most`, sometimes none, resets with a chance.
fn counter(rng: &mut Rng, most: f64, reset: f64) -> impl FnMut(&mut Rng) -> f64 + use<> {
    let mut value = if rng.bool() { 0.0 } else { (rng.f64() * 1e4).floor() };
    move |rng| {
        value = if rng.f64() < reset { 0.0 } else { value + (rng.f64() * most).floor() };
        value
    }
}

/// Floats at which arithmetic goes wrong.
fn odd(rng: &mut Rng) -> f64 {
    let values =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e300, -1e300, 1e-300, 1.0, -1.0, 0.1, 1e15];
    rng.choice(values).expect("not empty")
}
