use super::*;
use crate::model::histogram::FloatHistogram;
use crate::model::sample::STALE_NAN;

fn block(runs: &[(i64, Run)]) -> Arc<PackedBlock> {
    let mut builder = Builder::default();
    runs.iter().for_each(|(id, run)| builder.push(*id, run.into()));
    Arc::new(builder.finish())
}

fn read(block: &PackedBlock, series_id: i64) -> Run {
    let mut run = Run::default();
    block.read(series_id, TimeRange::ALL, &mut run);
    run
}

/// The joined block has of each series what [`combine`] makes of its runs, and the series in order.
#[track_caller]
fn check(blocks: &[&[(i64, Run)]], order: &[i64]) -> PackedBlock {
    let packed: Vec<_> = blocks.iter().map(|runs| block(runs)).collect();
    let joined = join(&packed).unwrap();
    assert_eq!(joined.runs.iter().map(|run| run.series_id).collect::<Vec<_>>(), order);
    for id in order {
        let runs = blocks.iter().flat_map(|runs| runs.iter()).filter(|(other, _)| other == id);
        let expected = combine(runs.map(|(_, run)| run.clone()).collect());
        let found = read(&joined, *id);
        let bits = |run: &Run| run.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(found.timestamps, expected.timestamps, "{id}");
        assert_eq!(bits(&found), bits(&expected), "{id}");
        assert_eq!(found.histograms, expected.histograms, "{id}");
        assert_eq!(found.start_timestamps, expected.start_timestamps, "{id}");
    }
    joined
}

fn run(from: i64, values: &[f64]) -> Run {
    let timestamps = (0..values.len() as i64).map(|row| (from + row) * 15_000).collect();
    Run { timestamps, values: values.to_vec(), ..Run::default() }
}

fn counter(from: i64, rows: i64) -> Run {
    run(from, &(from..from + rows).map(|n| n as f64 * 40.0).collect::<Vec<_>>())
}

#[test]
fn values_of_every_kind() {
    let kinds: [&dyn Fn(i64) -> f64; 5] = [
        &|n| n as f64,
        &|n| n as f64 / 100.0,
        &|n| (n as f64).sqrt(),
        &|n| if n % 40 == 3 { STALE_NAN } else { n as f64 / 10.0 },
        &|n| if n % 7 == 3 { f64::INFINITY } else { n as f64 },
    ];
    for (a, b) in kinds.iter().flat_map(|a| kinds.iter().map(move |b| (a, b))) {
        let values = |of: &dyn Fn(i64) -> f64, from: i64| (from..from + 300).map(of).collect::<Vec<_>>();
        let (first, second) = (run(0, &values(a, 0)), run(300, &values(b, 300)));
        check(&[&[(1, first.clone())], &[(1, second.clone())]], &[1]);
        // A gap, and samples of the second block among those of the first.
        check(&[&[(1, first.clone())], &[(1, run(5000, &values(b, 300)))]], &[1]);
        check(&[&[(1, first)], &[(1, run(100, &values(b, 300)))]], &[1]);
    }
}

#[test]
fn series_keep_the_order_of_the_blocks() {
    let runs = |ids: &[i64], from: i64| ids.iter().map(|id| (*id, counter(from, 3))).collect::<Vec<_>>();
    check(&[&runs(&[5, 1, 9], 0), &runs(&[5, 9], 3), &runs(&[1, 7, 9], 6)], &[5, 1, 7, 9]);
    check(&[&runs(&[9], 0), &runs(&[1], 0), &runs(&[2, 9, 1], 3)], &[2, 9, 1]);
    check(&[&runs(&[], 0), &runs(&[4], 0)], &[4]);
    // At odds, which blocks of one store never are.
    check(&[&runs(&[1, 2], 0), &runs(&[2, 1], 3)], &[1, 2]);
}

#[test]
fn histograms_and_start_timestamps_stay_with_their_rows() {
    let histogram = Arc::new(FloatHistogram { count: 3.0, sum: 4.5, ..FloatHistogram::default() });
    let mut with_histogram = counter(2, 2);
    with_histogram.histograms = vec![None, Some(histogram)];
    let mut with_starts = counter(4, 2);
    with_starts.start_timestamps = vec![0, 7];
    let of = |run: &Run| vec![(1, run.clone())];
    let joined = check(&[&of(&counter(0, 2)), &of(&with_histogram), &of(&with_starts), &of(&counter(6, 1))], &[1]);
    assert!(joined.has_histograms() && joined.has_start_timestamps());
}

#[test]
fn random_blocks() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..100 {
        let mut of_block = |block: i64| {
            let mut runs = Vec::new();
            for id in 0..20 {
                let rows = if block == 0 { random.usize(1..300) } else { random.usize(0..300) };
                let scale = [1.0, 10.0, 1000.0][random.usize(0..3)];
                let values: Vec<f64> = (0..rows).map(|_| f64::from(random.i32(-5000..5000)) / scale).collect();
                let from = block * random.i64(200..400);
                if block == 0 || random.u8(0..4) > 0 {
                    runs.push((id, run(from, &values)));
                }
            }
            runs
        };
        let blocks: Vec<_> = (0..3).map(&mut of_block).collect();
        let slices: Vec<&[_]> = blocks.iter().map(Vec::as_slice).collect();
        check(&slices, &(0..20).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_joined_is_smaller() {
    let of = |from: i64| (0..50).map(|id| (id, counter(from, 45))).collect::<Vec<_>>();
    let blocks: Vec<_> = (0..8).map(|part| block(&of(part * 45))).collect();
    let apart: usize = blocks.iter().map(|block| block.bytes()).sum();
    let joined = join(&blocks).unwrap();
    assert!(joined.bytes() * 2 < apart, "{} of {apart}", joined.bytes());
}
