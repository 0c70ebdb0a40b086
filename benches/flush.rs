//! What a sample costs in the lake: bytes in its Parquet file, nanoseconds to write and to merge. Prints a table by
//! kind of series; ratios between its rows count, absolute times are the machine's.
//!
//! `cargo bench --bench flush`

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use promlake::model::labels::Labels;
use promlake::storage::head::sorted::Builder;
use promlake::storage::lake::Lake;
use promlake::storage::lake::merge::Limits;
use promlake::storage::lake::reader::RunStream;
use promlake::storage::lake::writer::SampleWriter;
use promlake::storage::object;
use promlake::storage::types::{Run, Series};

const DAY_START: i64 = 1_767_225_600_000;

fn run(kind: &str, rows: usize, jitter_ms: i64, random: &mut fastrand::Rng) -> Run {
    let level = (random.f64() * 1e4).round();
    run_from(kind, rows, jitter_ms, level, random)
}

fn run_from(kind: &str, rows: usize, jitter_ms: i64, mut level: f64, random: &mut fastrand::Rng) -> Run {
    let mut run = Run::default();
    let rate = 10f64.powi(random.i32(-1..3));
    for at in 0..rows {
        let jitter = if jitter_ms > 0 { random.i64(0..jitter_ms) } else { 0 };
        run.timestamps.push(DAY_START + at as i64 * 15_000 + jitter);
        let value = match kind {
            "constant" => level,
            "counter" => {
                level += (random.f64() * rate * 15.0).round();
                level
            }
            "seconds" => {
                level += (random.f64() * 100.0).round() / 100.0;
                (level * 100.0).round() / 100.0
            }
            "gauge" => (random.f64() * 1e4).round() / 100.0,
            "memory" => {
                level += (random.f64() * 64.0 - 32.0).round() * 4096.0;
                level
            }
            _ => random.f64() * 100.0,
        };
        run.values.push(value);
    }
    run
}

/// A day of ten-minute flushes into a folder, merged as it goes and once more when the day is over.
async fn whole_day(series: usize) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let objects = object::open(folder.path().to_str().expect("a plain path")).expect("a folder opens");
    let now_ms = Arc::new(AtomicI64::new(DAY_START));
    let time = Arc::clone(&now_ms);
    let lake =
        Lake::open(&objects, "bench", Arc::new(move || time.load(Ordering::Relaxed))).await.expect("it opens");
    let kinds = ["counter", "counter", "counter", "counter", "constant", "constant", "gauge", "seconds", "memory"];
    let mut listed: Vec<Arc<Series>> = (0..series)
        .map(|at| {
            let (metric, instance) = (format!("metric_{:03}", at % 200), at.to_string());
            let labels = Labels::from_pairs([("__name__", metric), ("instance", instance)]);
            Arc::new(Series { id: labels.hash_id(), labels })
        })
        .collect();
    listed.sort_by(|a, b| (a.labels.metric(), a.id).cmp(&(b.labels.metric(), b.id)));
    let mut levels: Vec<f64> = listed.iter().map(|s| (s.id % 10_000) as f64).collect();
    let (mut flushing, mut merging, mut merges) = (Duration::ZERO, Duration::ZERO, 0);
    let mut random = fastrand::Rng::with_seed(3);
    for flush in 0..144i64 {
        let mut sorted = Builder::default();
        for (at, series) in listed.iter().enumerate() {
            let mut run = run_from(kinds[at % kinds.len()], 40, 0, levels[at], &mut random);
            run.timestamps.iter_mut().for_each(|t| *t += flush * 600_000);
            levels[at] = run.values[39];
            sorted.push(series, (&run).into());
        }
        let sorted = sorted.finish();
        now_ms.store(DAY_START + (flush + 1) * 600_000, Ordering::Relaxed);
        let begun = Instant::now();
        let day = (DAY_START / 86_400_000) as i32;
        let new = if flush == 0 { listed.clone() } else { Vec::new() };
        lake.commit_flush(flush as u64 + 1, lake.deletes_seen(), &sorted, &[(day, new)], &[], &[])
            .await
            .expect("a flush commits");
        flushing += begun.elapsed();
        if flush == 143 {
            now_ms.store(DAY_START + 2 * 86_400_000, Ordering::Relaxed);
        }
        loop {
            let jobs = lake.plan_merges(&Limits::default());
            let begun = Instant::now();
            for job in &jobs {
                lake.run_merge(job).await.expect("a merge commits");
            }
            merging += begun.elapsed();
            merges += jobs.len();
            if jobs.is_empty() {
                break;
            }
        }
    }
    let samples = (series * 40 * 144) as f64;
    let bytes: u64 = lake.files().samples.iter().map(|file| file.size_bytes).sum();
    println!(
        "a day, {:.1} M samples: {:.3} B/sample in {} files, flush {:.1} ns, {merges} merges {:.1} ns each sample, {}",
        samples / 1e6,
        bytes as f64 / samples,
        lake.files().samples.len(),
        flushing.as_nanos() as f64 / samples,
        merging.as_nanos() as f64 / samples,
        std::fs::read_to_string("/proc/self/status")
            .unwrap_or_default()
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap_or_default()
    );
}

fn main() {
    // A plain `cargo test --benches` only wants to see that it starts.
    let series = if std::env::args().any(|a| a == "--bench") { 400 } else { 4 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(whole_day(series * 16));
    println!("{:<22} {:>9} {:>9} {:>9} {:>9}", "series", "rows each", "B/sample", "write ns", "read ns");
    for rows in [40usize, 480, 5760] {
        for kind in ["constant", "counter", "seconds", "gauge", "memory", "noise", "mix", "jitter"] {
            let mut random = fastrand::Rng::with_seed(1);
            let kinds =
                ["counter", "counter", "counter", "counter", "constant", "constant", "gauge", "seconds", "memory"];
            let count = series * 5760 / rows;
            let mut runs: Vec<(String, i64, Run)> = (0..count)
                .map(|at| {
                    let jitter = if kind == "jitter" { 3 } else { 0 };
                    let kind = if matches!(kind, "mix" | "jitter") { kinds[at % kinds.len()] } else { kind };
                    (format!("metric_{:03}", at % 200), random.i64(..), run(kind, rows, jitter, &mut random))
                })
                .collect();
            runs.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            let samples = (count * rows) as f64;
            let begun = Instant::now();
            let mut writer = SampleWriter::new(false, false);
            let mut bytes = Vec::new();
            for (metric, id, run) in &runs {
                writer.push(metric, *id, run.into());
                if writer.is_full() {
                    writer.encode().expect("rows can be encoded");
                    bytes.extend(writer.take());
                }
            }
            writer.finish().expect("a file can be closed");
            bytes.extend(writer.take());
            let write = begun.elapsed();
            let size = bytes.len();
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let begun = Instant::now();
            runtime.block_on(async {
                store.put(&Path::from("f"), bytes.into()).await.expect("memory takes a file");
                let mut stream =
                    RunStream::open(Arc::clone(&store), "f", size as u64).await.expect("the file opens");
                while stream.next().await.expect("the file is read").is_some() {}
            });
            let read = begun.elapsed();
            let each = |time: std::time::Duration| time.as_nanos() as f64 / samples;
            println!(
                "{kind:<22} {rows:>9} {:>9.3} {:>9.1} {:>9.1}",
                size as f64 / samples,
                each(write),
                each(read)
            );
        }
    }
}
