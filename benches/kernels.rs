//! One family of PromQL kernels after the other, each over one series of a day at 15 s (5,760 samples) on a grid of 288
//! steps, as a day-long panel asks for. The unit is a sample that went in.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use promlake::engine::promql::annotations::Annotations;
use promlake::engine::promql::kernel::aggregate::Accumulator;
use promlake::engine::promql::kernel::buckets::{self, BucketRow, EvalTimes, HistogramRows};
use promlake::engine::promql::kernel::functions::over_windows;
use promlake::engine::promql::kernel::instant::{self, Take};
use promlake::engine::promql::kernel::range::{self, RangeKernel};
use promlake::engine::promql::kernel::types::{
    Mask, Notes, Param, RangeOptions, SeriesIn, VectorIn, VectorOut, Windows,
};
use promlake::engine::promql::kernel::{binary, math};
use promlake::model::histogram::{FloatHistogram, Span as BucketSpan};
use promlake::model::sample::TimeRange;
use promlake::promql::functions;
use promlake::promql::operators::{AggregateOp, BinaryOp};
use promlake::promql::span::Span;
use promlake::storage::head::packed::{Builder, PackedBlock};
use promlake::storage::types::{MemorySource, Run};

const SAMPLES: usize = 5_760;
const INTERVAL_MS: i64 = 15_000;
const STEPS: usize = 288;
const STEP_MS: i64 = 300_000;

fn notes(annotations: &Annotations) -> Notes<'_> {
    let span = Span::default();
    Notes { annotations, metric: "requests_total", span, arg_span: span, type_label: None }
}

/// A counter that starts anew three times a day, or a gauge with two decimals.
fn run(counter: bool) -> Run {
    let value = |i: usize| match counter {
        true => (i % 2_000 * 37) as f64,
        false => ((i * 7_919) % 10_000) as f64 / 100.0,
    };
    Run {
        timestamps: (0..SAMPLES as i64).map(|i| i * INTERVAL_MS).collect(),
        values: (0..SAMPLES).map(value).collect(),
        ..Run::default()
    }
}

fn windows(range_ms: i64) -> Windows {
    // Between samples, as queries are.
    let start = 7_000;
    Windows { start, step: STEP_MS, steps: STEPS, range: range_ms, eval_start: start, eval_step: STEP_MS }
}

fn kernel(name: &str) -> &'static RangeKernel {
    functions::get(name).and_then(over_windows).expect("a range function").kernel
}

fn range_functions(group: &mut BenchmarkGroup<'_, WallTime>) {
    let families: [(&str, bool, &[f64]); 12] = [
        ("rate", true, &[]),
        ("irate", true, &[]),
        ("sum_over_time", false, &[]),
        ("avg_over_time", false, &[]),
        ("max_over_time", false, &[]),
        ("count_over_time", false, &[]),
        ("stddev_over_time", false, &[]),
        ("quantile_over_time", false, &[0.9]),
        ("resets", true, &[]),
        ("deriv", false, &[]),
        ("predict_linear", false, &[3600.0]),
        ("double_exponential_smoothing", false, &[0.5, 0.5]),
    ];
    let annotations = Annotations::new();
    for (name, counter, parameters) in families {
        let kernel = kernel(name);
        let run = run(counter);
        let parameters: Vec<Param<'_>> = parameters.iter().map(|p| Param::Constant(*p)).collect();
        let (mut values, mut present) = (vec![0.0; STEPS], vec![false; STEPS]);
        group.bench_function(name, |b| {
            b.iter(|| {
                let series = SeriesIn { timestamps: &run.timestamps, values: &run.values, ..SeriesIn::default() };
                let mut out = VectorOut { values: &mut values, present: &mut present, histograms: None };
                evaluate(kernel, &parameters, &series, &annotations, &mut out);
            });
        });
    }
    let histograms = native_run();
    let (mut values, mut present) = (vec![0.0; STEPS], vec![false; STEPS]);
    let mut results = vec![None; STEPS];
    group.bench_function("rate of native histograms", |b| {
        b.iter(|| {
            let series = SeriesIn {
                timestamps: &histograms.timestamps,
                values: &histograms.values,
                histograms: &histograms.histograms,
                start_timestamps: &[],
            };
            let mut out = VectorOut { values: &mut values, present: &mut present, histograms: Some(&mut results) };
            evaluate(kernel("rate"), &[], &series, &annotations, &mut out);
        });
    });
}

/// Over windows of ten minutes.
fn evaluate(
    kernel: &RangeKernel,
    parameters: &[Param<'_>],
    series: &SeriesIn<'_>,
    annotations: &Annotations,
    out: &mut VectorOut<'_>,
) {
    let (windows, options) = (windows(600_000), RangeOptions::default());
    let notes = notes(annotations);
    range::evaluate(kernel, parameters, black_box(series), &windows, &options, &notes, out).expect("evaluated");
}

/// Eight buckets that grow.
fn native_run() -> Run {
    let mut run = run(true);
    let histogram = |i: usize| {
        let count = (i + 1) as f64;
        Some(Arc::new(FloatHistogram {
            count: 8.0 * count,
            sum: 20.0 * count,
            positive_spans: vec![BucketSpan { offset: 0, length: 8 }],
            positive_buckets: vec![count; 8],
            ..FloatHistogram::default()
        }))
    };
    run.histograms = (0..SAMPLES).map(histogram).collect();
    run
}

fn selectors(group: &mut BenchmarkGroup<'_, WallTime>) {
    let run = run(false);
    let (mut values, mut present) = (vec![0.0; STEPS], vec![false; STEPS]);
    group.bench_function("instant selector", |b| {
        b.iter(|| {
            let series = SeriesIn { timestamps: &run.timestamps, values: &run.values, ..SeriesIn::default() };
            let mut out = VectorOut { values: &mut values, present: &mut present, histograms: None };
            instant::select(Take::Value, black_box(&series), &windows(300_000), &mut out);
        });
    });
    let mut builder = Builder::default();
    builder.push(1, (&run).into());
    let block: PackedBlock = builder.finish();
    let mut read = Run::default();
    group.bench_function("packed run", |b| {
        b.iter(|| {
            read.timestamps.clear();
            read.values.clear();
            black_box(&block).read(1, TimeRange::ALL, &mut read);
        });
    });
}

/// Here the unit is a step of a series.
fn vectors(group: &mut BenchmarkGroup<'_, WallTime>) {
    let values: Vec<f64> = (0..SAMPLES).map(|i| i as f64 * 1.5).collect();
    let row = VectorIn { values: &values, present: Mask::All, histograms: &[] };
    let annotations = Annotations::new();
    use AggregateOp::*;
    for op in [Sum, Avg, Max, Count, Stddev, Quantile] {
        group.bench_function(format!("aggregate {}", op.as_str()), |b| {
            b.iter_batched(
                || Accumulator::new(op, SAMPLES),
                |mut group| {
                    group.update(black_box(&row), &notes(&annotations));
                    group
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
    let (mut results, mut present) = (vec![0.0; SAMPLES], vec![false; SAMPLES]);
    group.bench_function("vector / vector", |b| {
        b.iter(|| {
            let pairs = black_box(&values).iter().zip(black_box(&values));
            for (result, (l, r)) in results.iter_mut().zip(pairs) {
                *result = binary::arithmetic(BinaryOp::Div, *l, *r);
            }
        });
    });
    group.bench_function("clamp", |b| {
        b.iter(|| {
            for (result, value) in results.iter_mut().zip(black_box(&values)) {
                *result = math::clamp(*value, &[1.0, 100.0]).expect("the bounds are not crossed");
            }
        });
    });
    let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, f64::INFINITY];
    let counts: Vec<Vec<f64>> = (1..=bounds.len()).map(|i| values.iter().map(|v| v * i as f64).collect()).collect();
    let classic: Vec<BucketRow<'_>> = bounds
        .iter()
        .zip(&counts)
        .map(|(bound, counts)| BucketRow {
            upper_bound: *bound,
            counts: VectorIn { values: counts, present: Mask::All, histograms: &[] },
        })
        .collect();
    let rows = HistogramRows { classic: &classic, native: None };
    group.bench_function("histogram_quantile of 11 buckets", |b| {
        b.iter(|| {
            let mut out = VectorOut { values: &mut results, present: &mut present, histograms: None };
            let times = EvalTimes { start: 0, step: STEP_MS };
            buckets::quantile(&Param::Constant(0.9), black_box(&rows), times, &notes(&annotations), &mut out);
        });
    });
}

fn kernels(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    range_functions(&mut group);
    selectors(&mut group);
    vectors(&mut group);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = kernels
}
criterion_main!(benches);
