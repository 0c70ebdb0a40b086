//! A server that is started on the folder of a Prometheus, as its own command line says, leaves every file of it as it
//! was, and finds its own lake again; and a storage URL with a part missing makes no folder of that name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::support::{Home, NO_TARGETS, Promlake, get_json, with_params, write};
use crate::write_request::{Series, encode};

/// What Prometheus 3 has in its folder.
const TSDB: &[&str] = &[
    "01HV5N2QGX7Y5J8K3M4P6R9T0W/meta.json",
    "01HV5N2QGX7Y5J8K3M4P6R9T0W/index",
    "01HV5N2QGX7Y5J8K3M4P6R9T0W/tombstones",
    "01HV5N2QGX7Y5J8K3M4P6R9T0W/chunks/000001",
    "chunks_head/000001",
    "chunks_head/000002",
    "wal/00000002",
    "wal/00000003",
    "wal/checkpoint.00000001/00000000",
    "lock",
    "queries.active",
];

#[tokio::test]
async fn a_tsdb_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tsdb = dir.path().join("data");
    for (i, file) in TSDB.iter().enumerate() {
        let path = tsdb.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Large enough for a slot of the file of queries.
        fs::write(path, format!("{file} {i}\n").repeat(2_000)).unwrap();
    }
    let before = contents(&tsdb);
    let path = tsdb.display();
    // The flag that a Prometheus has, the one of ours, and the default one below the folder it is started in.
    let ways = [format!("--storage.tsdb.path={path}"), format!("--storage.url={path}"), String::new()];
    let mut home = dir;
    for (written, way) in ways.iter().enumerate() {
        let flags: &[&str] = if way.is_empty() { &[] } else { &[way.as_str()] };
        let started = Home::with_flags(home, flags);
        let server = started.start(NO_TARGETS, &[]);
        assert!(server.logged("there is a Prometheus TSDB"), "{way}");
        assert_eq!(samples(&server).await, written, "{way}");
        append(&server, written).await;
        assert_eq!(samples(&server).await, written + 1, "{way}");
        assert!(server.stop().success());
        assert_eq!(contents(&tsdb), before, "{way}");
        home = started.dir;
    }
    let lake = tsdb.join("promlake");
    assert!(lake.join("samples/_delta_log").is_dir() && lake.join("queries.active").is_file());
}

/// `--storage.tsdb.path` used to mean the folder itself.
#[tokio::test]
async fn an_earlier_lake_goes_on_being_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data").display().to_string();
    let home = Home::with_flags(dir, &[&format!("--storage.url={path}")]);
    let server = home.start(NO_TARGETS, &[]);
    append(&server, 0).await;
    assert!(server.stop().success());

    let home = Home::with_flags(home.dir, &[&format!("--storage.tsdb.path={path}")]);
    let server = home.start(NO_TARGETS, &[]);
    assert!(server.logged("goes on being used"));
    assert_eq!(samples(&server).await, 1);
    append(&server, 1).await;
    assert!(server.stop().success());
    assert!(!Path::new(&path).join("promlake").exists());
}

#[test]
fn almost_a_url_makes_no_folder() {
    for url in ["s3:/bucket", "s3:bucket", "~/x", "$HOME/x", "http://127.0.0.1:1/bucket", "file:/x", "s3//bucket"] {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_promlake"))
            .args(["--web.listen-address=127.0.0.1:0", "--pg.listen-address=127.0.0.1:0"])
            .arg(format!("--storage.url={url}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("error: storage url"), "{url}: {said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{url}");
    }
}

/// One more sample of the one series.
async fn append(server: &Promlake, number: usize) {
    let at_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let body = encode(&[Series { labels: &[("__name__", "placed")], samples: &[(at_ms, number as f64)] }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
}

async fn samples(server: &Promlake) -> usize {
    let url = with_params(&server.url("/api/v1/query"), &[("query", "count_over_time(placed[1h]) or vector(0)")]);
    let (status, body) = get_json(&url).await;
    assert_eq!(status, 200, "{body}");
    body["data"]["result"][0]["value"][1].as_str().unwrap().parse().unwrap()
}

/// Everything in the folder but our own: of files the bytes, and when each was changed.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], BTreeMap::new());
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().path()) {
            if entry == folder.join("promlake") {
                continue;
            }
            let changed = fs::metadata(&entry).unwrap().modified().unwrap();
            let bytes = if entry.is_dir() { Vec::new() } else { fs::read(&entry).unwrap() };
            if entry.is_dir() {
                folders.push(entry.clone());
            }
            found.insert(entry, (changed, bytes));
        }
    }
    found
}
