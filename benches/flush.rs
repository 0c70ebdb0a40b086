//! What a sample costs in the lake: bytes in its Parquet file, nanoseconds to write and to merge. Prints a table by
//! kind of series; ratios between its rows count, absolute times are the machine's.
//!
//! `cargo bench --bench flush`

use std::sync::Arc;
use std::time::Instant;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use promlake::storage::lake::reader::RunStream;
use promlake::storage::lake::writer::SampleWriter;
use promlake::storage::types::Run;

const DAY_START: i64 = 1_767_225_600_000;

fn run(kind: &str, rows: usize, jitter_ms: i64, random: &mut fastrand::Rng) -> Run {
    let mut run = Run::default();
    let mut level = (random.f64() * 1e4).round();
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

fn main() {
    // A plain `cargo test --benches` only wants to see that it starts.
    let series = if std::env::args().any(|a| a == "--bench") { 400 } else { 4 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
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
