use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::model::labels::Labels;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::{DAY_MS, day_of};
use crate::storage::lake::reader::RunStream;
use crate::storage::lake::{Lake, merge};
use crate::storage::object::{self, Objects};
use crate::storage::runs::combine;
use crate::storage::store::Options;
use crate::storage::types::{ExemplarRow, Run, SampleRow, WriteBatch};

/// The start of a day.
const START_MS: i64 = 1_700_006_400_000;
/// Of the second one.
const NEXT_MS: i64 = START_MS + DAY_MS;

/// A store on objects that outlive it, and what it should have.
struct Case {
    objects: Objects,
    cache_bytes: usize,
    now_ms: Arc<AtomicI64>,
    starts: u64,
    store: Arc<Store>,
    expected: BTreeMap<(String, i64), f64>,
}

impl Case {
    async fn new(cache_bytes: usize) -> Self {
        let objects = object::open("memory://").unwrap();
        let now_ms = Arc::new(AtomicI64::new(NEXT_MS + DAY_MS / 2));
        let store = open(&objects, cache_bytes, &now_ms, 1).await;
        Self { objects, cache_bytes, now_ms, starts: 1, store, expected: BTreeMap::new() }
    }

    async fn restart(&mut self) {
        self.store.stop().await;
        self.starts += 1;
        self.store = open(&self.objects, self.cache_bytes, &self.now_ms, self.starts).await;
    }

    /// A sample for each of some times, each with an exemplar.
    async fn write(&mut self, name: &str, times: &[i64], value: f64) {
        let labels = labels(name);
        let series = self.store.intern(&labels);
        let mut batch = WriteBatch::default();
        for timestamp in times {
            batch.samples.push(SampleRow { series, timestamp: *timestamp, value, start_timestamp: 0 });
            let labels = Labels::from_pairs([("trace", timestamp.to_string().as_str())]);
            let row = ExemplarRow { series, timestamp: *timestamp, has_timestamp: true, value, labels };
            batch.exemplars.push(row);
            self.expected.insert((name.to_string(), *timestamp), value);
        }
        let report = self.store.append(batch).await.unwrap();
        assert_eq!(report.samples_written, times.len(), "{report:?}");
    }

    async fn delete(&mut self, names: &[&str], start_ms: i64, end_ms: i64) -> DeleteReport {
        let sets: Vec<Vec<Matcher>> = names.iter().map(|name| vec![named(name)]).collect();
        let texts = names.iter().map(|name| name.to_string()).collect();
        let report = self.store.delete(TimeRange::new(start_ms, end_ms), &sets, texts).await.unwrap();
        let is_kept = |(name, timestamp): &(String, i64)| {
            !names.contains(&name.as_str()) || *timestamp < start_ms || *timestamp > end_ms
        };
        self.expected.retain(|key, _| is_kept(key));
        report
    }

    /// Queries see what is expected, samples and exemplars alike, and who looks for series finds those that have any.
    async fn check(&self, when: &str) {
        let snapshot = self.store.snapshot(TimeRange::ALL, &[]).await.unwrap();
        let mut seen = BTreeMap::new();
        for series in snapshot.series.iter() {
            let mut runs = Vec::new();
            for file in &snapshot.files {
                let mut stream = RunStream::of(snapshot.objects.clone(), file).await.unwrap();
                while let Some(found) = stream.next().await.unwrap() {
                    runs.extend((found.series_id == series.id).then_some(found.run));
                }
            }
            for source in &snapshot.memory {
                let mut run = Run::default();
                source.read(series.id, TimeRange::ALL, &mut run);
                runs.push(run);
            }
            let run = combine(runs);
            let name = series.labels.metric().to_string();
            seen.extend(
                run.timestamps.iter().zip(&run.values).map(|(time, value)| ((name.clone(), *time), *value)),
            );
        }
        assert_eq!(seen, self.expected, "{when}");
        let mut exemplars = BTreeMap::new();
        let visit = self.store.visit_exemplars(TimeRange::ALL, &[], |exemplar| {
            exemplars.insert((exemplar.series.labels.metric().to_string(), exemplar.timestamp), exemplar.value);
            Ok(())
        });
        visit.await.unwrap();
        assert_eq!(exemplars, self.expected, "{when}: exemplars");
    }

    /// Names of the metrics that a day lists.
    async fn listed(&self, day_ms: i64) -> Vec<String> {
        let listed = self.store.lake().read_series(day_of(day_ms)).await.unwrap();
        let mut names: Vec<String> = listed.iter().map(|series| series.labels.metric().to_string()).collect();
        names.sort();
        names
    }

    /// All that live files have of a metric, whoever reads them.
    async fn in_files(&self, name: &str) -> usize {
        let mut samples = 0;
        for file in &self.store.lake().files().samples {
            let store = self.objects.store.clone();
            let mut stream = RunStream::open(store, &file.path, file.size_bytes).await.unwrap();
            while let Some(found) = stream.next().await.unwrap() {
                samples += if *found.metric == *name { found.run.timestamps.len() } else { 0 };
            }
        }
        samples
    }
}

async fn open(objects: &Objects, cache_bytes: usize, now_ms: &Arc<AtomicI64>, writer: u64) -> Arc<Store> {
    let options = Options {
        url: "memory://".to_string(),
        node: "deleting".to_string(),
        wal_flush_interval: Some(Duration::ZERO),
        flush_interval: Duration::ZERO,
        cache_bytes,
        out_of_order_window_ms: 10 * DAY_MS,
        ..Options::default()
    };
    let now_ms = now_ms.clone();
    let clock: crate::storage::store::Clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
    Store::open_on(objects.clone(), options, clock, writer).await.unwrap()
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

fn named(name: &str) -> Matcher {
    Matcher::new("__name__", MatchOp::Equal, name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_gone_and_what_comes_later_stays() {
    for cache_bytes in [0, 1 << 20] {
        let mut case = Case::new(cache_bytes).await;
        let times: Vec<i64> = (0..20).map(|at| START_MS + at * 1_000).collect();
        for name in ["a", "b", "c"] {
            case.write(name, &times[..10], 1.0).await;
        }
        case.store.flush().await.unwrap();
        for name in ["a", "b", "c"] {
            case.write(name, &times[10..], 2.0).await;
        }
        case.check("before").await;
        // Nobody has it; a range without samples; all of one and a part of another.
        assert_eq!(case.delete(&["none"], 0, i64::MAX).await, DeleteReport::default());
        assert_eq!(
            case.delete(&["a"], START_MS + 50_000, i64::MAX).await.files,
            2,
            "exemplars are looked at by the day"
        );
        let report = case.delete(&["a"], i64::MIN, i64::MAX).await;
        assert_eq!((report.series, report.files > 0), (1, true));
        case.delete(&["b"], times[5], times[14]).await;
        case.check("deleted").await;
        case.write("a", &[times[3], times[19] + 1_000], 7.0).await;
        case.write("b", &[times[7]], 8.0).await;
        case.check("written again").await;
        case.restart().await;
        case.check("after a start").await;
        case.store.flush().await.unwrap();
        assert_eq!(case.listed(START_MS).await, ["a", "b", "c"]);
        assert!(case.in_files("a").await > 2);
        case.store.clean_deleted().await.unwrap();
        case.check("cleaned").await;
        assert_eq!((case.in_files("a").await, case.in_files("b").await, case.in_files("c").await), (2, 11, 20));
        assert!(case.store.deletes().iter().all(|of| of.files_left == 0));
        case.restart().await;
        case.check("at last").await;
        // Records go when they were done for a day.
        assert!(!case.store.deletes().is_empty());
        case.now_ms.fetch_add(2 * DAY_MS, Ordering::Relaxed);
        case.store.clean_deleted().await.unwrap();
        assert!(case.store.deletes().is_empty());
        case.check("forgotten").await;
        case.store.stop().await;
    }
}

/// A series that is deleted is in no list, until it has samples again.
#[tokio::test(flavor = "multi_thread")]
async fn lists_follow() {
    let mut case = Case::new(1 << 20).await;
    case.write("a", &[START_MS, NEXT_MS], 1.0).await;
    case.write("b", &[START_MS, NEXT_MS], 1.0).await;
    case.store.flush().await.unwrap();
    // The first day as a whole, of the second a part.
    case.delete(&["a"], i64::MIN, NEXT_MS + 5).await;
    assert_eq!(case.listed(START_MS).await, ["b"]);
    assert_eq!(case.listed(NEXT_MS).await, ["a", "b"]);
    case.delete(&["a", "b"], i64::MIN, i64::MAX).await;
    assert_eq!(case.listed(START_MS).await, Vec::<String>::new());
    // The flusher knew that both days list both.
    case.write("a", &[START_MS + 1, NEXT_MS + 1], 2.0).await;
    case.store.flush().await.unwrap();
    assert_eq!(case.listed(START_MS).await, ["a"]);
    assert_eq!(case.listed(NEXT_MS).await, ["a"]);
    case.restart().await;
    case.check("listed again").await;
    case.store.clean_deleted().await.unwrap();
    assert_eq!(case.listed(START_MS).await, ["a"]);
    case.check("cleaned").await;
    case.store.stop().await;
}

/// What was planned before a delete does not bring samples back, by this process or another one.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_do_not_know_it_are_refused() {
    let mut case = Case::new(0).await;
    let now_ms = case.now_ms.load(Ordering::Relaxed);
    for at in 0..3 {
        case.write("a", &[START_MS + at], 1.0).await;
        case.write("b", &[START_MS + at], 1.0).await;
        case.store.flush().await.unwrap();
    }
    let other = Lake::open(&case.objects, "other", Arc::new(move || now_ms)).await.unwrap();
    let limits = merge::Limits { closed_after_ms: 0, ..merge::Limits::default() };
    let plan = |lake: &Lake| lake.plan_merges(&limits).pop().expect("files of a day that is over");
    let (own, others) = (plan(case.store.lake()), plan(&other));
    let late = other.import_day(day_of(START_MS));
    case.delete(&["a"], i64::MIN, i64::MAX).await;
    for (lake, job) in [(case.store.lake(), &own), (&other, &others)] {
        assert_eq!(lake.run_merge(job).await.unwrap_err().kind, ErrorKind::Conflict);
    }
    let done = [crate::storage::lake::import::Done { application: "import-x".to_string(), number: 1 }];
    assert_eq!(late.commit(&[], &done).await.unwrap_err().kind, ErrorKind::Conflict);
    case.check("refused").await;
    // With what is known now they go through.
    other.refresh().await.unwrap();
    other.run_merge(&plan(&other)).await.unwrap();
    case.store.see_lake().await.unwrap();
    case.check("merged").await;
    assert_eq!((case.in_files("a").await, case.in_files("b").await), (0, 3));
    case.store.stop().await;
}

/// Whatever is done in whichever order, queries see what was written and not deleted.
#[tokio::test(flavor = "multi_thread")]
async fn at_random() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut case = Case::new(if seed % 2 == 0 { 0 } else { 1 << 20 }).await;
        let mut next_ms = START_MS + DAY_MS - 40_000;
        for step in 0..40 {
            let name = ["a", "b", "c"][random.usize(..3)];
            match random.u32(..10) {
                0..=3 => {
                    let times: Vec<i64> = (0..random.i64(1..6)).map(|at| next_ms + at * 700).collect();
                    next_ms += 4_000;
                    case.write(name, &times, step as f64).await;
                }
                4 => case.store.flush().await.unwrap(),
                5 | 6 => {
                    let start_ms = next_ms - random.i64(0..60_000);
                    let end_ms = if random.bool() { i64::MAX } else { start_ms + random.i64(0..30_000) };
                    let names = if random.bool() { vec![name] } else { vec!["a", "c"] };
                    case.delete(&names, start_ms, end_ms).await;
                }
                7 => drop(case.store.merge().await.unwrap()),
                8 => drop(case.store.clean_deleted().await.unwrap()),
                _ => case.restart().await,
            }
            if step % 4 == 3 {
                case.check(&format!("seed {seed}, step {step}")).await;
            }
        }
        case.store.clean_deleted().await.unwrap();
        case.check(&format!("seed {seed}, at the end")).await;
        case.store.stop().await;
    }
}
