//! Kernels against values worked out by hand from the rules of Prometheus 3.16.

use std::sync::Arc;

use super::aggregate::Accumulator;
use super::binary::{self, Operand};
use super::buckets::{self, Bucket, BucketRow, EvalTimes, HistogramRows};
use super::functions::{Compute, compute, over_windows};
use super::instant::{self, Take};
use super::math;
use super::native;
use super::quantile::quantile;
use super::range::{RangeKernel, evaluate};
use super::select::{self, TopK};
use super::types::*;
use crate::engine::promql::annotations::Annotations;
use crate::model::histogram::{self, CounterResetHint, FloatHistogram};
use crate::model::sample::STALE_NAN;
use crate::promql::functions;
use crate::promql::operators::{AggregateOp, BinaryOp};
use crate::promql::span::Span;

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

type Steps = Vec<Option<f64>>;

fn notes<'a>(annotations: &'a Annotations, metric: &'a str) -> Notes<'a> {
    Notes { annotations, metric, span: Span::default(), arg_span: Span::default(), type_label: None }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn assert_steps(name: &str, got: &Steps, expected: &[Option<f64>]) {
    let same = got.len() == expected.len()
        && got.iter().zip(expected).all(|(g, e)| match (g, e) {
            (Some(g), Some(e)) => close(*g, *e),
            (g, e) => g.is_none() && e.is_none(),
        });
    assert!(same, "{name}: {got:?} for {expected:?}");
}

/// A series with a sample every `interval` seconds from 0 on; `None` is no sample.
struct Series {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<Option<Arc<FloatHistogram>>>,
    start_timestamps: Vec<i64>,
}

impl Series {
    fn floats(interval: i64, values: &[Option<f64>]) -> Self {
        let samples = values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i as i64 * interval * 1000, v)));
        let (timestamps, values) = samples.unzip();
        Self { timestamps, values, histograms: vec![], start_timestamps: vec![] }
    }

    fn all(interval: i64, values: &[f64]) -> Self {
        Self::floats(interval, &values.iter().map(|v| Some(*v)).collect::<Vec<_>>())
    }

    fn values(interval: i64, values: &[Value]) -> Self {
        let mut series = Self::all(interval, &vec![0.0; values.len()]);
        for (i, value) in values.iter().enumerate() {
            series.histograms.push(None);
            match value {
                Value::Float(value) => series.values[i] = *value,
                Value::Histogram(histogram) => series.histograms[i] = Some(histogram.clone()),
            }
        }
        series
    }

    fn input(&self) -> SeriesIn<'_> {
        SeriesIn {
            timestamps: &self.timestamps,
            values: &self.values,
            histograms: &self.histograms,
            start_timestamps: &self.start_timestamps,
        }
    }
}

/// Owns a row to be filled.
struct Row {
    values: Vec<f64>,
    present: Vec<bool>,
    histograms: Vec<Option<Arc<FloatHistogram>>>,
}

impl Row {
    fn new(steps: usize) -> Self {
        Self { values: vec![0.0; steps], present: vec![false; steps], histograms: vec![None; steps] }
    }

    fn of(values: &[Option<f64>]) -> Self {
        let mut row = Self::new(values.len());
        for (k, value) in values.iter().enumerate() {
            row.values[k] = value.unwrap_or(0.0);
            row.present[k] = value.is_some();
        }
        row
    }

    fn out(&mut self) -> VectorOut<'_> {
        VectorOut { values: &mut self.values, present: &mut self.present, histograms: Some(&mut self.histograms) }
    }

    fn input(&self) -> VectorIn<'_> {
        VectorIn { values: &self.values, present: Mask::Bools(&self.present), histograms: &self.histograms }
    }

    fn steps(&self) -> Steps {
        self.values.iter().zip(&self.present).map(|(v, p)| p.then_some(*v)).collect()
    }
}

fn windows(start: i64, step: i64, steps: usize, range: i64) -> Windows {
    let [start, step, range] = [start, step, range].map(|seconds| seconds * 1000);
    Windows { start, step, steps, range, eval_start: start, eval_step: step }
}

fn kernel(name: &str) -> &'static RangeKernel {
    functions::get(name).and_then(over_windows).unwrap().kernel
}

fn run(name: &str, params: &[f64], series: &Series, windows: Windows, options: RangeOptions) -> (Row, Vec<String>) {
    let annotations = Annotations::new();
    let params: Vec<_> = params.iter().map(|p| Param::Constant(*p)).collect();
    let mut row = Row::new(windows.steps);
    evaluate(
        kernel(name),
        &params,
        &series.input(),
        &windows,
        &options,
        &notes(&annotations, "m_total"),
        &mut row.out(),
    )
    .unwrap();
    let (mut texts, infos) = annotations.render("");
    texts.extend(infos);
    (row, texts)
}

/// Checks a function over floats, and that the path for mixed series agrees with the sliding one.
fn check(name: &str, params: &[f64], series: &Series, windows: Windows, expected: &[Option<f64>]) {
    let (row, texts) = run(name, params, series, windows, RangeOptions::default());
    assert_steps(name, &row.steps(), expected);
    assert_eq!(texts, Vec::<String>::new(), "{name}");
    let (row, _) = run(name, params, &mixed(series), windows, RangeOptions::default());
    assert_steps(&format!("{name} beside histograms"), &row.steps(), expected);
}

/// The same with a histogram far behind the windows, which switches the sliding paths off.
fn mixed(series: &Series) -> Series {
    let mut mixed = Series {
        timestamps: series.timestamps.clone(),
        values: series.values.clone(),
        histograms: vec![None; series.values.len()],
        start_timestamps: vec![],
    };
    mixed.timestamps.push(i64::MAX);
    mixed.values.push(0.0);
    mixed.histograms.push(Some(Arc::new(FloatHistogram::default())));
    mixed
}

#[test]
fn windows_side_by_side() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut noise = |special: &[f64]| -> Vec<Option<f64>> {
        let value = |rng: &mut fastrand::Rng| match rng.usize(..40) {
            i if i < special.len() => special[i],
            _ => (rng.f64() - 0.5) * 10f64.powi(rng.i32(-3..12)),
        };
        // Gaps make windows of different length, and empty ones.
        let mut value = |i: usize| (rng.usize(..9) > 0 && i % 83 > 20).then(|| value(&mut rng));
        (0..300).map(&mut value).collect()
    };
    let plain = noise(&[]);
    let mut cases =
        vec![noise(&[-0.0, INF]), noise(&[NAN]), noise(&[f64::MAX, f64::MAX, -f64::MAX]), noise(&[-0.0])];
    cases.push(plain.iter().map(|v| v.map(|_| -0.0)).collect());
    cases.push(plain.iter().map(|v| v.map(|_| 0.1)).collect());
    cases.push(plain);
    for values in cases {
        let series = Series::floats(10, &values);
        for name in ["sum_over_time", "avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv"] {
            for w in [windows(0, 35, 100, 200), windows(300, 10, 21, 1000), windows(50, 10, 7, 20)] {
                let steps = |series: &Series| run(name, &[], series, w, RangeOptions::default()).0.steps();
                let bits = |steps: Vec<Option<f64>>| -> Vec<_> {
                    steps.into_iter().map(|v| v.map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() })).collect()
                };
                assert_eq!(bits(steps(&series)), bits(steps(&mixed(&series))), "{name} {values:?}");
            }
        }
    }
}

#[test]
fn rates() {
    // 0 10 20 … every 10 s.
    let counter = Series::all(10, &(0..13).map(|i| f64::from(i) * 10.0).collect::<Vec<_>>());
    // (60,120] holds 70 … 120: 50 in 50 s, extrapolated by 10 s to the start.
    check("rate", &[], &counter, windows(120, 0, 1, 60), &[Some(1.0)]);
    check("increase", &[], &counter, windows(120, 0, 1, 60), &[Some(60.0)]);
    check("delta", &[], &counter, windows(120, 0, 1, 60), &[Some(60.0)]);
    // (-10,20]: the counter was zero at 0, so it is not extrapolated to the left.
    check("increase", &[], &counter, windows(20, 0, 1, 30), &[Some(20.0)]);
    check("delta", &[], &counter, windows(20, 0, 1, 30), &[Some(30.0)]);
    // A single sample gives nothing; an `@` window repeats; windows slide.
    check("rate", &[], &counter, windows(60, 0, 2, 10), &[None, None]);
    check("rate", &[], &counter, windows(60, 30, 3, 30), &[Some(1.0), Some(1.0), Some(1.0)]);
    check("rate", &[], &counter, windows(600, 30, 2, 30), &[None, None]);
    // Reset between 20 and 5: 0 → 20, 5 → 15 makes 35 in 40 s.
    let reset = Series::all(10, &[0.0, 10.0, 20.0, 5.0, 15.0]);
    check("increase", &[], &reset, windows(40, 0, 1, 50), &[Some(35.0)]);
    check("irate", &[], &reset, windows(30, 10, 2, 50), &[Some(0.5), Some(1.0)]);
    check("idelta", &[], &reset, windows(30, 10, 2, 50), &[Some(-15.0), Some(10.0)]);
    // Samples end long before the window: half an interval more on the right, to the start on the left.
    check("increase", &[], &counter, windows(200, 0, 1, 100), &[Some(10.0 * (10.0 + 10.0 + 5.0) / 10.0)]);
}

#[test]
fn over_time() {
    let series =
        Series::floats(10, &[Some(1.0), Some(3.0), Some(STALE_NAN), Some(2.0), None, Some(-4.0), Some(2.0)]);
    let w = windows(30, 30, 2, 40);
    // (-10,30] holds 1 3 2; (20,60] holds 2 -4 2.
    for (name, params, expected) in [
        ("sum_over_time", vec![], [6.0, 0.0]),
        ("avg_over_time", vec![], [2.0, 0.0]),
        ("min_over_time", vec![], [1.0, -4.0]),
        ("max_over_time", vec![], [3.0, 2.0]),
        ("count_over_time", vec![], [3.0, 3.0]),
        ("last_over_time", vec![], [2.0, 2.0]),
        ("first_over_time", vec![], [1.0, 2.0]),
        ("present_over_time", vec![], [1.0, 1.0]),
        ("stdvar_over_time", vec![], [2.0 / 3.0, 8.0]),
        ("stddev_over_time", vec![], [(2.0f64 / 3.0).sqrt(), 8f64.sqrt()]),
        ("quantile_over_time", vec![0.75], [2.5, 2.0]),
        ("mad_over_time", vec![], [1.0, 0.0]),
        ("changes", vec![], [2.0, 2.0]),
        ("resets", vec![], [1.0, 1.0]),
        ("ts_of_min_over_time", vec![], [0.0, 50.0]),
        ("ts_of_max_over_time", vec![], [10.0, 60.0]),
        ("ts_of_first_over_time", vec![], [0.0, 30.0]),
        ("ts_of_last_over_time", vec![], [30.0, 60.0]),
    ] {
        check(name, &params, &series, w, &expected.map(Some));
    }
}

#[test]
fn over_time_of_special_values() {
    let w = windows(30, 0, 1, 60);
    for (name, values, expected) in [
        ("sum_over_time", vec![1.0, 1e100, 1.0, -1e100], 2.0),
        ("avg_over_time", vec![f64::MAX, f64::MAX], f64::MAX),
        ("avg_over_time", vec![1.0, 1e100, 1.0, -1e100], 0.5),
        ("sum_over_time", vec![INF, 1.0], INF),
        ("sum_over_time", vec![INF, -INF], NAN),
        ("sum_over_time", vec![0.1, 0.2, 0.3], 0.6),
        ("min_over_time", vec![NAN, 2.0, NAN], 2.0),
        ("max_over_time", vec![NAN, NAN], NAN),
        ("ts_of_max_over_time", vec![NAN, NAN], 10.0),
        ("mad_over_time", vec![1.0, NAN], NAN),
        ("changes", vec![NAN, NAN, 1.0], 1.0),
        ("quantile_over_time", vec![5.0], 5.0),
    ] {
        let params = if name == "quantile_over_time" { vec![0.5] } else { vec![] };
        check(name, &params, &Series::all(10, &values), w, &[Some(expected)]);
    }
    let (row, texts) = run("quantile_over_time", &[1.5], &Series::all(10, &[1.0]), w, RangeOptions::default());
    assert_eq!(row.steps(), [Some(INF)]);
    assert_eq!(texts, ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:1)"]);
}

#[test]
fn trends() {
    // 2 per second.
    let line = Series::all(10, &[5.0, 25.0, 45.0, 65.0]);
    check("deriv", &[], &line, windows(30, 0, 1, 60), &[Some(2.0)]);
    check("predict_linear", &[100.0], &line, windows(30, 0, 1, 60), &[Some(265.0)]);
    check("deriv", &[], &Series::all(10, &[3.0, 3.0]), windows(30, 0, 1, 60), &[Some(0.0)]);
    check("deriv", &[], &Series::all(10, &[3.0]), windows(30, 0, 1, 60), &[None]);
    // level 10, slope 10; then 0.5·20 + 0.5·(10+10) = 20, and so on along the line.
    check(
        "double_exponential_smoothing",
        &[0.5, 0.1],
        &Series::all(10, &[10.0, 20.0, 30.0, 40.0]),
        windows(30, 0, 1, 60),
        &[Some(40.0)],
    );
    let annotations = Annotations::new();
    let mut row = Row::new(1);
    let params = [Param::Constant(0.0), Param::Constant(0.5)];
    let error = evaluate(
        kernel("double_exponential_smoothing"),
        &params,
        &line.input(),
        &windows(30, 0, 1, 60),
        &RangeOptions::default(),
        &notes(&annotations, ""),
        &mut row.out(),
    );
    assert_eq!(error.unwrap_err().to_string(), "invalid smoothing factor. Expected: 0 < sf < 1, got: 0.000000");
}

#[test]
fn non_counters_are_noted() {
    let series = Series::all(10, &[1.0, 2.0]);
    let check = |metric: &str, type_label: Option<&str>, expected: Option<&str>| {
        let annotations = Annotations::new();
        let mut row = Row::new(1);
        let notes = Notes { type_label, ..notes(&annotations, metric) };
        let (w, options) = (windows(10, 0, 1, 60), RangeOptions::default());
        evaluate(kernel("rate"), &[], &series.input(), &w, &options, &notes, &mut row.out()).unwrap();
        assert_eq!(annotations.render("").1, expected.into_iter().collect::<Vec<_>>(), "{metric}");
    };
    check("a_total", None, None);
    check("", None, None);
    check(
        "a",
        None,
        Some(
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"a\" (1:1)",
        ),
    );
    check("a", Some("counter"), None);
    check(
        "a_total",
        Some("gauge"),
        Some(
            "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got \"gauge\": \"a_total\" (1:1)",
        ),
    );
}

#[test]
fn anchored_and_smoothed() {
    let series = Series::all(15, &[0.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
    let options = |extension| RangeOptions { extension, ..RangeOptions::default() };
    let check = |name: &str, extension, w, expected: &[Option<f64>]| {
        assert_steps(name, &run(name, &[], &series, w, options(extension)).0.steps(), expected);
    };
    // (10,50]: the sample before 10 is 0 (at 0), the last 3 (at 45).
    check("increase", Extension::Anchored, windows(50, 0, 1, 40), &[Some(3.0)]);
    // At 10 the line is at 2/3, at 50 at 10/3.
    check("increase", Extension::Smoothed, windows(50, 0, 1, 40), &[Some(10.0 / 3.0 - 2.0 / 3.0)]);
    check("rate", Extension::Smoothed, windows(50, 0, 1, 40), &[Some((10.0 / 3.0 - 2.0 / 3.0) / 40.0)]);
    // A reset at 75: 1 at 15, 4 before, 2 after; 2 - 1 + 4.
    check("increase", Extension::Anchored, windows(90, 0, 1, 75), &[Some(5.0)]);
    check("delta", Extension::Anchored, windows(90, 0, 1, 75), &[Some(1.0)]);
    check("resets", Extension::Anchored, windows(90, 0, 1, 20), &[Some(1.0)]);
    check("changes", Extension::Anchored, windows(90, 0, 1, 20), &[Some(2.0)]);
    check("increase", Extension::Anchored, windows(200, 0, 1, 60), &[None]);
    // Inside of the interval of the reset, 60 to 75, a smoothed counter begins at 0.
    check("increase", Extension::Smoothed, windows(70, 0, 1, 5), &[Some(1.0 / 3.0)]);
}

#[test]
fn start_timestamps() {
    let mut series = Series::all(10, &[0.0, 5.0, 8.0, 9.0]);
    // Born at 5 s; begun anew at 15 s although the value rose.
    series.start_timestamps = vec![0, 5_000, 15_000, 15_000];
    let options = RangeOptions { use_start_timestamps: true, ..RangeOptions::default() };
    let run = |name, w| run(name, &[], &series, w, options);
    // 5 and 8 in (0,20]: zero at 5 s, 5 before the reset, 8 after; no extrapolation to the left.
    let (row, texts) = run("increase", windows(20, 0, 1, 20));
    assert_steps("increase", &row.steps(), &[Some(8.0 - 5.0 + 5.0 + 5.0)]);
    assert!(texts.is_empty(), "{texts:?}");
    // One sample is enough with a start in the window.
    assert_steps("increase", &run("increase", windows(10, 0, 1, 10)).0.steps(), &[Some(5.0)]);
    assert_steps("resets", &run("resets", windows(30, 0, 1, 40)).0.steps(), &[Some(2.0)]);
    assert_steps("irate", &run("irate", windows(20, 0, 1, 40)).0.steps(), &[Some(0.8)]);
    let mut overlapping = Series::all(10, &[1.0, 2.0, 3.0]);
    overlapping.start_timestamps = vec![-5_000, -4_000, -4_000];
    let (_, texts) = super::tests::run("rate", &[], &overlapping, windows(20, 0, 2, 40), options);
    assert_eq!(
        texts,
        [
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m_total\" (1:1)"
        ]
    );
}

#[test]
fn instant_selectors() {
    let mut series = Series::all(60, &[1.0, 2.0, STALE_NAN, 4.0]);
    series.start_timestamps = vec![0, 30_000, 0, 0];
    let select = |take, w: Windows| {
        let mut row = Row::new(w.steps);
        instant::select(take, &series.input(), &w, &mut row.out());
        row.steps()
    };
    // The lookback is left-open: at 480 s the sample of 180 s is out of sight.
    let w = Windows { range: 300_000, ..windows(30, 30, 6, 0) };
    let values = [Some(1.0), Some(2.0), Some(2.0), None, None, Some(4.0)];
    assert_steps("values", &select(Take::Value, w), &values);
    let times = [Some(0.0), Some(60.0), Some(60.0), None, None, Some(180.0)];
    assert_steps("timestamps", &select(Take::Timestamp, w), &times);
    assert_steps("starts", &select(Take::StartTimestamp, w)[..2].to_vec(), &[Some(0.0), Some(30.0)]);
    let late = Windows { range: 300_000, ..windows(479, 1, 2, 0) };
    assert_steps("lookback", &select(Take::Value, late), &[Some(4.0), None]);

    let annotations = Annotations::new();
    let mut row = Row::new(4);
    let smooth = Series::all(60, &[1.0, 2.0]);
    let w = windows(0, 30, 4, 0);
    instant::select_smoothed(&smooth.input(), &w, 300_000, &notes(&annotations, ""), &mut row.out());
    assert_steps("smoothed", &row.steps(), &[Some(1.0), Some(1.5), Some(2.0), Some(2.0)]);
}

#[test]
fn elementwise() {
    const INPUT: [f64; 4] = [-2.5, 0.0, NAN, 7.0];
    let check = |name: &str, found: [f64; 4], expected: [f64; 4]| {
        assert_steps(name, &found.map(Some).into(), &expected.map(Some));
    };
    for (name, expected) in [
        ("abs", [2.5, 0.0, NAN, 7.0]),
        ("ceil", [-2.0, 0.0, NAN, 7.0]),
        ("sgn", [-1.0, 0.0, NAN, 1.0]),
        ("exp", [(-2.5f64).exp(), 1.0, NAN, 7f64.exp()]),
        ("ln", [NAN, -INF, NAN, 7f64.ln()]),
    ] {
        let Compute::Math(function) = compute(functions::get(name).unwrap()) else { panic!("{name}") };
        check(name, INPUT.map(function), expected);
    }
    let with = |function: fn(f64, &[f64]) -> Option<f64>, scalars: &[f64]| {
        INPUT.map(|value| function(value, scalars).unwrap())
    };
    check("round", with(math::round, &[]), [-2.0, 0.0, NAN, 7.0]);
    check("round 5", with(math::round, &[5.0]), [-0.0, 0.0, NAN, 5.0]);
    check("clamp", with(math::clamp, &[-1.0, 3.0]), [-1.0, 0.0, NAN, 3.0]);
    check("clamp_min", with(math::clamp_min, &[-1.0]), [-1.0, 0.0, NAN, 7.0]);
    check("clamp_max", with(math::clamp_max, &[-1.0]), [-2.5, -1.0, NAN, -1.0]);
    check("clamp to NaN", with(math::clamp, &[NAN, 3.0]), [NAN; 4]);
    assert_eq!(INPUT.map(|value| math::clamp(value, &[1.0, 0.0])), [None; 4], "crossed bounds");
    assert_eq!((math::larger(NAN, INF), math::smaller(-INF, NAN)), (INF, -INF));
    assert!(math::larger(NAN, 1.0).is_nan() && math::larger(-0.0, 0.0).is_sign_positive());
}

#[test]
fn dates() {
    use super::date::*;
    // 2024-02-29T23:59:58Z, 1969-12-31T23:59:59Z.
    for (time, expected) in [
        (1_709_251_198.0, [29.0, 29.0, 4.0, 60.0, 23.0, 59.0, 2.0, 2024.0]),
        (-1.0, [31.0, 31.0, 3.0, 365.0, 23.0, 59.0, 12.0, 1969.0]),
        (0.9, [31.0, 1.0, 4.0, 1.0, 0.0, 0.0, 1.0, 1970.0]),
    ] {
        let functions = [days_in_month, day_of_month, day_of_week, day_of_year, hour, minute, month, year];
        assert_eq!(functions.map(|f: fn(f64) -> f64| f(time)), expected, "{time}");
    }
    assert!(year(f64::MAX) > 0.0);
}

fn native_histogram(count: f64, buckets: &[f64]) -> FloatHistogram {
    FloatHistogram {
        count,
        sum: count,
        positive_spans: vec![histogram::Span { offset: 0, length: buckets.len() as u32 }],
        positive_buckets: buckets.to_vec(),
        ..FloatHistogram::default()
    }
}

#[test]
fn operators() {
    let h = |count: f64| Value::from(native_histogram(count, &[count]));
    let f = Value::Float;
    let check = |op: BinaryOp, left: Value, right: Value, expected: Option<(Value, bool)>, text: &str| {
        let annotations = Annotations::new();
        let got = binary::combine(op, left, right, &notes(&annotations, ""));
        let got = got.map(|e| (e.value, e.keep));
        let same = match (&got, &expected) {
            (Some((Value::Histogram(a), x)), Some((Value::Histogram(b), y))) => a.equals(b) && x == y,
            (a, b) => a == b,
        };
        assert!(same, "{op:?}: {got:?} for {expected:?}");
        let (warnings, infos) = annotations.render("");
        assert_eq!(warnings.into_iter().chain(infos).next().unwrap_or_default(), text);
    };
    check(BinaryOp::Mod, f(-5.0), f(3.0), Some((f(-2.0), true)), "");
    check(BinaryOp::Div, f(1.0), f(0.0), Some((f(INF), true)), "");
    check(BinaryOp::Greater, f(1.0), f(2.0), Some((f(1.0), false)), "");
    check(BinaryOp::Mul, f(2.0), h(3.0), Some((h(6.0), true)), "");
    check(BinaryOp::Div, h(6.0), f(2.0), Some((h(3.0), true)), "");
    check(BinaryOp::Add, h(1.0), h(2.0), Some((h(3.0), true)), "");
    check(BinaryOp::Equal, h(1.0), h(1.0), Some((h(1.0), true)), "");
    check(BinaryOp::NotEqual, h(1.0), h(1.0), Some((h(1.0), false)), "");
    let incompatible = |what: &str, op: &str| {
        let (l, r) = what.split_once(' ').unwrap();
        format!(
            "PromQL info: incompatible sample types encountered for binary operator \"{op}\": {l} {op} {r} (1:1)"
        )
    };
    check(BinaryOp::Add, f(1.0), h(2.0), None, &incompatible("float histogram", "+"));
    check(BinaryOp::Greater, h(1.0), f(2.0), None, &incompatible("histogram float", ">"));
    check(BinaryOp::Mul, h(1.0), h(2.0), None, &incompatible("histogram histogram", "*"));
    check(BinaryOp::TrimUpper, f(1.0), f(2.0), None, &incompatible("float float", "</"));
    let custom = FloatHistogram { schema: -53, custom_values: vec![1.0], ..native_histogram(1.0, &[1.0]) };
    let text = "PromQL warning: incompatible bucket layout encountered for binary operator - (1:1)";
    check(BinaryOp::Sub, h(1.0), custom.into(), None, text);
}

#[test]
fn operators_on_rows() {
    let annotations = Annotations::new();
    let notes = notes(&annotations, "");
    let (left, right) = (Row::of(&[Some(1.0), None, Some(3.0)]), Row::of(&[Some(2.0), Some(2.0), Some(2.0)]));
    let (l, r) = (Operand::Vector(left.input()), Operand::Vector(right.input()));
    let two = Operand::Scalar(Param::Steps(&[2.0, 2.0, 2.0]));
    let mut row = Row::new(3);
    let mut check = |op, return_bool, left: &Operand<'_>, right: &Operand<'_>, expected: [Option<f64>; 3]| {
        binary::evaluate(op, return_bool, left, right, &notes, &mut row.out());
        assert_steps(op.as_str(), &row.steps(), &expected);
    };
    check(BinaryOp::Sub, false, &l, &r, [Some(-1.0), None, Some(1.0)]);
    check(BinaryOp::Less, false, &l, &r, [Some(1.0), None, None]);
    check(BinaryOp::Less, true, &l, &r, [Some(1.0), None, Some(0.0)]);
    // With the scalar on the left the vector's value is kept.
    check(BinaryOp::Less, false, &two, &l, [None, None, Some(3.0)]);
    check(BinaryOp::Equal, false, &two, &two, [Some(1.0), Some(1.0), Some(1.0)]);
    binary::negate(&left.input(), &mut row.out());
    assert_steps("negate", &row.steps(), &[Some(-1.0), None, Some(-3.0)]);
}

#[test]
fn aggregations() {
    let rows = [
        Row::of(&[Some(1.0), None, Some(INF)]),
        Row::of(&[Some(3.0), None, Some(2.0)]),
        Row::of(&[Some(8.0), Some(NAN), Some(3.0)]),
        Row::of(&[Some(0.0), Some(5.0), None]),
    ];
    for (op, expected) in [
        (AggregateOp::Sum, [12.0, NAN, INF]),
        (AggregateOp::Avg, [3.0, NAN, INF]),
        (AggregateOp::Count, [4.0, 2.0, 3.0]),
        (AggregateOp::Min, [0.0, 5.0, 2.0]),
        (AggregateOp::Max, [8.0, 5.0, INF]),
        (AggregateOp::Group, [1.0, 1.0, 1.0]),
        (AggregateOp::Stdvar, [9.5, NAN, NAN]),
        (AggregateOp::Stddev, [9.5f64.sqrt(), NAN, NAN]),
        // 3·1 + Inf·0
        (AggregateOp::Quantile, [2.0, NAN, NAN]),
    ] {
        // All in one, and in two halves that travel as bytes.
        for split in [4, 2, 1] {
            let annotations = Annotations::new();
            let notes = notes(&annotations, "");
            let mut total = Accumulator::new(op, 3);
            for part in rows.chunks(split) {
                let mut partial = Accumulator::new(op, 3);
                part.iter().for_each(|row| partial.update(&row.input(), &notes));
                let mut bytes = Vec::new();
                partial.encode(&mut bytes);
                total.merge(Accumulator::decode(&bytes).unwrap(), &notes);
                assert!(Accumulator::decode(&bytes[..bytes.len() - 1]).is_err());
            }
            let mut row = Row::new(3);
            total.finish(Some(&Param::Constant(0.5)), &notes, &mut row.out());
            assert_steps(&format!("{op:?} by {split}"), &row.steps(), &expected.map(Some));
        }
    }
    let annotations = Annotations::new();
    let mut sum = Accumulator::new(AggregateOp::Sum, 1);
    sum.update(&VectorIn { values: &[1e100], present: Mask::All, histograms: &[] }, &notes(&annotations, ""));
    sum.update(&VectorIn { values: &[1.0], present: Mask::All, histograms: &[] }, &notes(&annotations, ""));
    let bits = Mask::Bits { bits: &[0b100], offset: 2 };
    sum.update(&VectorIn { values: &[-1e100], present: bits, histograms: &[] }, &notes(&annotations, ""));
    let mut row = Row::new(1);
    sum.finish(None, &notes(&annotations, ""), &mut row.out());
    assert_eq!(row.steps(), [Some(1.0)]);
}

#[test]
fn aggregations_of_histograms() {
    let row = |value: Value| {
        let mut row = Row::new(1);
        row.out().set_value(0, value);
        row
    };
    let h = |count: f64, hint| {
        row(FloatHistogram { counter_reset_hint: hint, ..native_histogram(count, &[count, 0.0]) }.into())
    };
    let check = |op, rows: &[Row], expected: Option<f64>, text: &str| {
        let annotations = Annotations::new();
        let notes = notes(&annotations, "m");
        let mut total = Accumulator::new(op, 1);
        for row in rows {
            let mut partial = Accumulator::new(op, 1);
            partial.update(&row.input(), &notes);
            let mut bytes = Vec::new();
            partial.encode(&mut bytes);
            total.merge(Accumulator::decode(&bytes).unwrap(), &notes);
        }
        let mut out = Row::new(1);
        total.finish(None, &notes, &mut out.out());
        let got = out.histograms[0].as_ref().map(|h| h.count).or(out.steps()[0]);
        assert_eq!(got, expected, "{op:?}");
        let (warnings, infos) = annotations.render("");
        assert_eq!(warnings.into_iter().chain(infos).next().unwrap_or_default(), text);
    };
    use CounterResetHint::*;
    check(AggregateOp::Sum, &[h(1.0, Unknown), h(2.0, Unknown)], Some(3.0), "");
    check(AggregateOp::Avg, &[h(1.0, Unknown), h(2.0, Unknown)], Some(1.5), "");
    check(AggregateOp::Count, &[h(1.0, Unknown), row(Value::Float(1.0))], Some(2.0), "");
    let text = "PromQL warning: conflicting counter resets during histogram aggregation (1:1)";
    check(AggregateOp::Sum, &[h(1.0, Reset), h(2.0, NotReset)], Some(3.0), text);
    let text = "PromQL warning: encountered a mix of histograms and floats for aggregation (1:1)";
    check(AggregateOp::Avg, &[h(1.0, Unknown), row(Value::Float(1.0))], None, text);
    let text = "PromQL info: ignored histogram in max aggregation (1:1)";
    check(AggregateOp::Max, &[h(1.0, Unknown), row(Value::Float(1.0))], Some(1.0), text);
    let custom = FloatHistogram { schema: -53, custom_values: vec![1.0], ..native_histogram(1.0, &[1.0]) };
    let text = "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"m\" (1:1)";
    check(AggregateOp::Sum, &[h(1.0, Unknown), row(custom.into())], None, text);
}

#[test]
fn selection() {
    let best = |op, k, values: &[f64]| {
        let mut top = TopK::new(op, k);
        values.iter().enumerate().for_each(|(i, v)| top.offer(*v, i));
        top.into_best().into_iter().map(|(_, series)| series).collect::<Vec<_>>()
    };
    let values = [3.0, NAN, 7.0, 1.0, 7.0];
    assert_eq!(best(AggregateOp::TopK, 3, &values), [2, 4, 0]);
    assert_eq!(best(AggregateOp::BottomK, 2, &values), [3, 0]);
    assert_eq!(best(AggregateOp::BottomK, 9, &values), [3, 0, 2, 4, 1]);
    assert_eq!(best(AggregateOp::TopK, 0, &values), Vec::<usize>::new());
    assert_eq!((select::limit(0.9), select::limit(2.9), select::limit(-1.0)), (0, 2, 0));
    assert_eq!(select::count_values_label(&Value::Float(1e7)), "10000000");

    // The two sides of a ratio are complements.
    let hash = select::label_hash([("__name__", "up"), ("job", "a")]);
    for ratio in [0.0, 0.1, 0.5, 0.9] {
        assert_ne!(select::in_ratio(ratio, hash), select::in_ratio(ratio - 1.0, hash));
    }
    assert!(select::in_ratio(2.0, hash) && select::in_ratio(-2.0, hash));
    // xxHash64 of nothing, from its specification.
    assert_eq!(select::label_hash([]), 0xEF46_DB37_51D8_E999);

    let annotations = Annotations::new();
    let check = |op, value: f64| {
        let notes = notes(&annotations, "");
        select::check_param(op, &Param::Constant(value), Span::default(), &notes).map_err(|e| e.to_string())
    };
    assert_eq!(check(AggregateOp::TopK, NAN), Err("Parameter value is NaN".into()));
    assert_eq!(check(AggregateOp::TopK, 0.5), Ok(false));
    assert_eq!(check(AggregateOp::TopK, 1e30), Err("Scalar value 1e+30 overflows int64".into()));
    assert_eq!(check(AggregateOp::LimitRatio, 1.1), Ok(true));
    assert_eq!(
        annotations.render("").0,
        ["PromQL warning: ratio value should be between -1 and 1, got 1.1, capping to 1 (1:1)"]
    );
    assert_eq!(quantile(0.5, &mut [3.0, NAN, 1.0]), 1.0);
}

#[test]
fn classic_histograms() {
    let buckets = |pairs: &[(f64, f64)]| {
        pairs
            .iter()
            .map(|(upper_bound, count)| Bucket { upper_bound: *upper_bound, count: *count })
            .collect::<Vec<_>>()
    };
    let plain = [(0.1, 10.0), (0.5, 30.0), (1.0, 40.0), (INF, 50.0)];
    for (q, pairs, expected) in [
        (0.2, &plain[..], 0.1),
        (0.1, &plain, 0.05),
        (0.4, &plain, 0.3),
        (0.99, &plain, 1.0),
        (-1.0, &plain, -INF),
        (2.0, &plain, INF),
        (0.5, &plain[..3], NAN),
        (0.5, &[(INF, 5.0)], NAN),
        (0.5, &[(1.0, 0.0), (INF, 0.0)], NAN),
        (0.5, &[(-1.0, 10.0), (INF, 10.0)], -1.0),
        // Unsorted, and twice the same bound.
        (0.5, &[(INF, 4.0), (2.0, 1.0), (1.0, 2.0), (2.0, 3.0)], 1.0),
    ] {
        let got = buckets::bucket_quantile(q, &mut buckets(pairs)).0;
        assert!(close(got, expected), "{q} of {pairs:?}: {got} for {expected}");
    }
    for (lower, upper, expected) in
        [(0.1, 0.5, 0.4), (0.0, 0.3, 0.4), (-INF, INF, 1.0), (0.5, 0.1, 0.0), (0.75, 5.0, 0.1)]
    {
        let got = buckets::bucket_fraction(lower, upper, &mut buckets(&plain));
        assert!(close(got, expected), "{lower}..{upper}: {got} for {expected}");
    }
}

#[test]
fn classic_histogram_rows() {
    let annotations = Annotations::new();
    let notes = notes(&annotations, "m");
    let (low, high) = (Row::of(&[Some(20.0), None, Some(5.0)]), Row::of(&[Some(10.0), None, Some(10.0)]));
    let mut native_row = Row::new(3);
    for k in [1, 2] {
        native_row.out().set_value(k, native_histogram(4.0, &[0.0, 4.0]).into());
    }
    let classic =
        [BucketRow { upper_bound: 1.0, counts: low.input() }, BucketRow { upper_bound: INF, counts: high.input() }];
    let rows = HistogramRows { classic: &classic, native: Some(native_row.input()) };
    let mut row = Row::new(3);
    let times = EvalTimes { start: 60_000, step: 60_000 };
    buckets::quantile(&Param::Constant(0.5), &rows, times, &notes, &mut row.out());
    assert_steps("quantile", &row.steps(), &[Some(0.5), Some(2f64.sqrt()), None]);
    let (warnings, infos) = annotations.render("");
    assert_eq!(
        warnings,
        ["PromQL warning: vector contains a mix of classic and native histograms for metric name \"m\" (1:1)"]
    );
    assert_eq!(
        infos,
        [
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name \"m\", from buckets +Inf to +Inf, with a max diff of 10, over 1 samples from 1970-01-01T00:01:00Z to 1970-01-01T00:01:00Z (1:1)"
        ]
    );
    assert_eq!(buckets::quantile_label(1.0), "1.0");
    assert_eq!(buckets::parse_bound("+Inf", &notes), Some(INF));
    assert_eq!(buckets::parse_bound("", &notes), None);
    let Compute::Statistic(avg) = compute(functions::get("histogram_avg").unwrap()) else { panic!("no statistic") };
    assert_eq!(avg(&native_histogram(4.0, &[0.0, 4.0])), 1.0);
}

#[test]
fn histogram_ranges() {
    let gauge = |h: FloatHistogram| FloatHistogram { counter_reset_hint: CounterResetHint::Gauge, ..h };
    let h = |count: f64| native_histogram(count, &[count / 2.0, count / 2.0]);
    let counters: Vec<Value> = [2.0, 4.0, 6.0, 2.0].map(|c| h(c).into()).to_vec();
    let check = |name: &str, values: &[Value], w: Windows, expected: Option<f64>, text: &str| {
        let (row, texts) = run(name, &[], &Series::values(10, values), w, RangeOptions::default());
        let got = row.histograms[0].as_ref().map(|h| h.count).or(row.steps()[0]);
        assert!(
            got.is_none() == expected.is_none() && close(got.unwrap_or(0.0), expected.unwrap_or(0.0)),
            "{name}: {got:?}"
        );
        assert_eq!(texts.first().map(String::as_str).unwrap_or(""), text, "{name}");
    };
    // 4 and 6 in (0,20]: 2 in 10 s, extrapolated to 20 s.
    check("increase", &counters, windows(20, 0, 1, 20), Some(4.0), "");
    check("rate", &counters, windows(20, 0, 1, 20), Some(0.2), "");
    // 6 → 2 is a reset: 2 - 4 + 6, over 30 s.
    check("increase", &counters, windows(30, 0, 1, 30), Some(4.0 / 20.0 * 30.0), "");
    check("irate", &counters, windows(30, 0, 1, 30), Some(0.2), "");
    check("sum_over_time", &counters, windows(30, 0, 1, 30), Some(12.0), "");
    check("avg_over_time", &counters, windows(30, 0, 1, 30), Some(4.0), "");
    check("count_over_time", &counters, windows(30, 0, 1, 30), Some(3.0), "");
    check("last_over_time", &counters, windows(20, 0, 1, 30), Some(6.0), "");
    check("resets", &counters, windows(30, 0, 1, 30), Some(1.0), "");
    check("changes", &counters, windows(30, 0, 1, 30), Some(2.0), "");
    check("max_over_time", &counters, windows(30, 0, 1, 30), None, "");
    let not_gauge = "PromQL warning: this native histogram metric is not a gauge: \"m_total\" (1:1)";
    check("delta", &counters, windows(20, 0, 1, 20), Some(4.0), not_gauge);
    check("idelta", &counters, windows(20, 0, 1, 20), Some(2.0), not_gauge);
    let gauges: Vec<Value> = [2.0, 4.0].map(|c| gauge(h(c)).into()).to_vec();
    check("delta", &gauges, windows(10, 0, 1, 20), Some(4.0), "");
    let not_counter = "PromQL warning: this native histogram metric is not a counter: \"m_total\" (1:1)";
    // Extrapolated to zero: 10 s before the first sample.
    check("increase", &gauges, windows(10, 0, 1, 20), Some(4.0), not_counter);
    let mixed = [Value::from(h(2.0)), Value::Float(1.0), Value::Float(3.0)];
    let mix = "PromQL warning: encountered a mix of histograms and floats for metric name \"m_total\" (1:1)";
    check("rate", &mixed, windows(20, 0, 1, 30), None, mix);
    check("sum_over_time", &mixed, windows(20, 0, 1, 30), None, mix);
    let ignored = "PromQL info: ignored histograms in a range containing both floats and histograms for metric name \"m_total\" (1:1)";
    check("max_over_time", &mixed, windows(20, 0, 1, 30), Some(3.0), ignored);
    check("deriv", &mixed, windows(20, 0, 1, 30), Some(0.2), ignored);
    check("count_over_time", &mixed, windows(20, 0, 1, 30), Some(3.0), "");
    check("changes", &mixed, windows(20, 0, 1, 30), Some(2.0), "");
}

#[test]
fn histogram_ends_and_statistics() {
    let h = |count: f64| native_histogram(count, &[count]);
    let series = Series::values(10, &[2.0, 4.0, 6.0, 2.0].map(|c| h(c).into()));
    let change = |name: &str, extension, w| {
        let options = RangeOptions { extension, ..RangeOptions::default() };
        let (row, texts) = run(name, &[], &series, w, options);
        assert!(texts.is_empty(), "{texts:?}");
        row.histograms[0].as_ref().map(|h| h.count)
    };
    // (5,20]: from 2 at 0 to 6; smoothed from 3 at 5.
    assert_eq!(change("increase", Extension::Anchored, windows(20, 0, 1, 15)), Some(4.0));
    assert_eq!(change("increase", Extension::Smoothed, windows(20, 0, 1, 15)), Some(3.0));
    // Over the reset: 2 - 2 + 6.
    assert_eq!(change("increase", Extension::Anchored, windows(30, 0, 1, 25)), Some(6.0));
    let plain: Vec<_> = series.histograms.clone();
    let hints: Vec<_> = native::statistics(&plain).into_iter().map(|h| h.unwrap().counter_reset_hint).collect();
    use CounterResetHint::*;
    assert_eq!(hints, [Unknown, NotReset, NotReset, Reset]);
}
