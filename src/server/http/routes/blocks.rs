//! `/api/v1/status/tsdb/blocks`: what the samples lie in. There are no blocks here; each live file of samples is shown as one,
//! of the times it has and as many samples.

use std::path::Path;

use axum::response::Response;
use serde_json::{Value, json};

use crate::server::http::describe::{About, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;
use crate::storage::lake::files::parse_name;
use crate::storage::types::SampleFile;

/// Of Prometheus' `meta.json`.
const VERSION: u32 = 1;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/status/tsdb/blocks").get(blocks).of_samples().about(BLOCKS)]
}

const BLOCKS: About =
    About::new(Tag::Status, "status-tsdb-blocks", "The files that samples lie in, in the form of blocks").answers(
        Reply::Data(Shape::Object(&[(
            "blocks",
            Shape::List(&Shape::Object(&[
                ("ulid", Shape::Text),
                ("minTime", Shape::Whole),
                ("maxTime", Shape::Whole),
                ("stats", Shape::Map(&Shape::Whole)),
                ("compaction", Shape::Map(&Shape::Any)),
                ("version", Shape::Whole),
            ])),
        )])),
    );

async fn blocks(Ready(parts): Ready) -> Response {
    let files = parts.store.lake().files().samples.clone();
    let blocks: Vec<Value> = files.iter().map(|file| block(file)).collect();
    envelope::success(&json!({ "blocks": blocks }))
}

/// Times are half-open, as in Prometheus.
fn block(file: &SampleFile) -> Value {
    let ulid = ulid(&file.path);
    json!({
        "ulid": ulid,
        "minTime": file.min_timestamp,
        "maxTime": file.max_timestamp.saturating_add(1),
        "stats": { "numSamples": file.rows },
        // Files that were never merged are of level 0.
        "compaction": { "level": 1 + u32::from(parse_name(&file.path).level), "sources": [ulid] },
        "version": VERSION,
    })
}

/// The id of a file, which is 128 bits at the end of its name, in the spelling of block ids. A name of another writer, which
/// has none there, stands for itself.
fn ulid(path: &str) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let name = Path::new(path).file_stem().and_then(|name| name.to_str()).unwrap_or(path);
    let id = name.rsplit('-').next().filter(|id| id.len() == 32).and_then(|id| u128::from_str_radix(id, 16).ok());
    match id {
        Some(id) => (0..26).rev().map(|at| char::from(DIGITS[(id >> (5 * at)) as usize & 31])).collect(),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let check = |path: &str, expected: &str| assert_eq!(ulid(path), expected);
        let name = |id: &str| format!("samples/day=2026-11-21/00000000000000000012-0-{id}.parquet");
        check(&name(&"0".repeat(32)), "00000000000000000000000000");
        check(&name(&"f".repeat(32)), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        check(&name(&format!("{}21", "0".repeat(30))), "00000000000000000000000011");
        check("samples/day=2026-11-21/part-0.zstd.parquet", "part-0.zstd");
    }

    #[test]
    fn times_are_half_open() {
        let file = SampleFile {
            path: "a.parquet".into(),
            size_bytes: 10,
            rows: 3,
            day: 0,
            commit: 1,
            min_timestamp: 5,
            max_timestamp: 7,
            min_metric: String::new(),
            max_metric: String::new(),
            has_histograms: false,
            has_start_timestamps: false,
            modified_ms: 0,
            deletes: Default::default(),
        };
        assert_eq!(
            block(&file),
            json!({
                "ulid": "a", "minTime": 5, "maxTime": 8, "stats": { "numSamples": 3 },
                "compaction": { "level": 1, "sources": ["a"] }, "version": 1,
            })
        );
    }
}
