use super::*;
use crate::engine::promql::annotations::Annotations;
use crate::promql::span::Span;

fn slid(kind: Kind, floats: Floats<'_>, windows: &Windows) -> Vec<Option<u64>> {
    let annotations = Annotations::new();
    let notes = Notes {
        annotations: &annotations,
        metric: "",
        span: Span::default(),
        arg_span: Span::default(),
        type_label: None,
    };
    let (mut values, mut present) = (vec![0.0; windows.steps], vec![false; windows.steps]);
    let mut out = VectorOut { values: &mut values, present: &mut present, histograms: None };
    slide(kind, floats, windows, &notes, &mut out);
    values.iter().zip(&present).map(|(value, present)| present.then(|| value.to_bits())).collect()
}

/// A counter or a gauge scraped every 15 s, with some of what goes wrong.
fn series(random: &mut fastrand::Rng) -> (Vec<i64>, Vec<f64>) {
    let samples = random.usize(1..200);
    let (resets, gaps, late) = (random.bool(), random.bool(), random.u8(..4) == 0);
    let (mut time, mut value) = (random.i64(-100_000..100_000), random.f64() * 100.0);
    let mut series = (vec![], vec![]);
    for _ in 0..samples {
        let missed = gaps && random.u8(..30) == 0;
        time += 15_000 * if missed { random.i64(2..50) } else { 1 };
        value = if resets && random.u8(..20) == 0 { random.f64() } else { value + random.f64() * 10.0 };
        series.0.push(time + if late { random.i64(..3) } else { 0 });
        series.1.push(value);
    }
    series
}

/// A window has the same value, to the bit, whether it is one of many or alone.
#[test]
fn many_windows_are_as_one() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut together = 0;
    for _ in 0..2000 {
        let (timestamps, values) = series(&mut random);
        let start_timestamps =
            if random.u8(..8) == 0 { timestamps.iter().map(|t| t - 1).collect() } else { vec![] };
        let floats = Floats { timestamps: &timestamps, values: &values, start_timestamps: &start_timestamps };
        let step = [0, 1000, 15_000, 30_000, 45_000, 60_000, 300_000][random.usize(..7)];
        let windows = Windows {
            start: timestamps[0] + random.i64(-400_000..400_000),
            step,
            steps: random.usize(1..150),
            range: random.i64(1..600_000),
            eval_start: 0,
            eval_step: step,
        };
        together += usize::from(Regular::of(&floats, &windows).is_some());
        for (counter, per_second) in [(true, true), (true, false), (false, false)] {
            let kind = Kind { counter, per_second };
            let one = |k| slid(kind, floats, &Windows { start: windows.end(k), steps: 1, ..windows })[0];
            let alone: Vec<_> = (0..windows.steps).map(one).collect();
            assert_eq!(slid(kind, floats, &windows), alone, "{windows:?} {timestamps:?} {values:?}");
        }
    }
    assert!(together > 300, "{together}");
}

#[test]
fn windows_at_the_ends_of_time() {
    let timestamps: Vec<i64> = (0..20).map(|i| i64::MAX - 19 + i).collect();
    let values: Vec<f64> = (0..20).map(f64::from).collect();
    let floats = Floats { timestamps: &timestamps, values: &values, start_timestamps: &[] };
    let windows = Windows { start: i64::MAX - 15, step: 1, steps: 40, range: 4, eval_start: 0, eval_step: 1 };
    let kind = Kind { counter: true, per_second: false };
    let one = |k| slid(kind, floats, &Windows { start: windows.end(k), steps: 1, ..windows })[0];
    assert_eq!(slid(kind, floats, &windows), (0..40).map(one).collect::<Vec<_>>());
}
