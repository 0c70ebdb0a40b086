use super::*;
use crate::model::sample::STALE_NAN;

fn run(timestamps: Vec<i64>, values: Vec<f64>) -> Run {
    Run { timestamps, values, ..Run::default() }
}

/// What comes back is what went in, for the whole run and for every window of a few sizes.
#[track_caller]
fn check(run: &Run) {
    let mut builder = Builder::default();
    builder.push(1, RunSlice::from(&Run { timestamps: vec![7], values: vec![0.1], ..Run::default() }));
    builder.push(2, run.into());
    let block = builder.finish();
    let last = run.timestamps.len() - 1;
    for (from, to) in [(0, last), (0, 0), (last, last), (last / 3, last / 2), (1.min(last), last)] {
        let mut read = Run::default();
        block.read(2, TimeRange::new(run.timestamps[from], run.timestamps[to]), &mut read);
        assert_eq!(read.timestamps, run.timestamps[from..=to]);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.values), bits(&run.values[from..=to]));
        assert_eq!(read.histograms, run.histograms.get(from..=to).unwrap_or_default());
        assert_eq!(read.start_timestamps, run.start_timestamps.get(from..=to).unwrap_or_default());
    }
    let mut read = Run::default();
    block.read(2, TimeRange::new(run.timestamps[last].saturating_add(1), i64::MAX), &mut read);
    block.read(3, TimeRange::ALL, &mut read);
    if run.timestamps[last] < i64::MAX {
        assert!(read.timestamps.is_empty());
    }
    assert_eq!(block.samples(), run.timestamps.len() + 1);
}

fn regular(rows: usize) -> Vec<i64> {
    (0..rows as i64).map(|row| 1_700_000_000_000 + row * 15_000).collect()
}

#[test]
fn values_of_every_kind() {
    for rows in [1, 2, 255, 256, 257, 1000] {
        let value = |of: fn(i64) -> f64| run(regular(rows), (0..rows as i64).map(of).collect());
        check(&value(|_| 0.0));
        check(&value(|row| row as f64));
        check(&value(|row| (row * row * 1_000_003) as f64));
        check(&value(|row| -(row as f64) / 100.0));
        check(&value(|row| (row as f64).sqrt()));
        check(&value(|row| if row % 50 == 3 { STALE_NAN } else { 1e9 + row as f64 }));
        check(&value(|row| if row % 2 == 0 { 0.1 + 0.2 } else { row as f64 }));
        check(&value(|row| [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1.0][row as usize % 5]));
        check(&value(|row| if row % 300 < 2 { 9e15 } else { -9e15 }));
    }
}

#[test]
fn timestamps_of_every_kind() {
    let ones = |timestamps: Vec<i64>| run(timestamps.clone(), vec![1.0; timestamps.len()]);
    check(&ones(regular(600)));
    // Jitter, a gap, and a change of interval.
    check(&ones((0..600).map(|row| row * 15_000 + row % 7).collect()));
    check(&ones((0..600).map(|row| row * 15_000 + if row > 300 { 10_000_000 } else { 0 }).collect()));
    check(&ones((0..600).map(|row| if row < 300 { row } else { row * 1000 }).collect()));
    check(&ones(vec![i64::MIN, -1, 0, i64::MAX - 1, i64::MAX]));
}

#[test]
fn histograms_and_start_timestamps_stay_with_their_rows() {
    let histogram = Arc::new(FloatHistogram { count: 3.0, sum: 4.5, ..FloatHistogram::default() });
    let mut mixed = run(regular(5), vec![1.0, 0.0, 2.0, 0.0, 3.0]);
    mixed.histograms = vec![None, Some(histogram.clone()), None, Some(histogram), None];
    mixed.start_timestamps = vec![0, 5, 5, 1_700_000_000_000, 0];
    check(&mixed);
}

#[test]
fn random_runs() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let rows = random.usize(1..700);
        let (step, jitter) = (random.i64(1..100_000), random.i64(1..1000));
        let timestamps = (0..rows as i64).map(|row| row * (step + jitter) + random.i64(0..jitter)).collect();
        let scale = 10f64.powi(random.i32(0..6));
        let width = 1i64 << random.u32(1..50);
        let noise = random.u8(0..4);
        let values = (0..rows).map(|_| match random.u8(0..10) {
            0 if noise == 1 => random.f64(),
            1 if noise == 2 => STALE_NAN,
            _ => random.i64(-width..width) as f64 / scale,
        });
        check(&run(timestamps, values.collect()));
    }
}

#[test]
fn regular_counters_take_little() {
    let rows = 5760;
    let mut builder = Builder::default();
    let counter = run(regular(rows), (0..rows).map(|row| (row * 40) as f64).collect());
    (0..100).for_each(|id| builder.push(id, (&counter).into()));
    let bytes_per_sample = builder.finish().bytes() as f64 / (100 * rows) as f64;
    assert!(bytes_per_sample < 2.5, "{bytes_per_sample}");
}

#[test]
fn series_are_found_in_any_order() {
    let mut builder = Builder::default();
    let one = |id: i64| Run { timestamps: vec![id], values: vec![id as f64 * 2.0], ..Run::default() };
    (0..100).for_each(|id| builder.push(id * 7, RunSlice::from(&one(id * 7))));
    let block = builder.finish();
    let mut random = fastrand::Rng::with_seed(5);
    let orders: [Vec<i64>; 4] = [
        (0..100).collect(),
        (0..100).rev().collect(),
        (0..100).step_by(9).collect(),
        std::iter::repeat_with(|| random.i64(-3..103)).take(500).collect(),
    ];
    for order in orders {
        let ids: Vec<i64> = order.iter().flat_map(|id| [id * 7, id * 7 + 1]).collect();
        let mut places = vec![0; ids.len()];
        block.locate(&ids, TimeRange::ALL, &mut places);
        for (id, place) in ids.into_iter().zip(places) {
            assert_eq!(place != NOWHERE, (0..700).contains(&id) && id % 7 == 0, "{id}");
            if place != NOWHERE {
                let mut read = Run::default();
                block.read_at(place, TimeRange::ALL, &mut read);
                assert_eq!(read.timestamps, [id]);
            }
        }
    }
}
