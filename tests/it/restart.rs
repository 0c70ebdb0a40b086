//! `kill -9` in the middle of a remote-write load: after the restart every acknowledged sample is there, once and
//! with its value. What was sent but never acknowledged may be there or not, but not with another value.
//!
//! `PROMLAKE_KILLS` sets how often each storage is killed (5 by default); `PROMLAKE_KILL_SEED` repeats a run.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Home, NO_TARGETS, Promlake, S3Server, get_json, with_params, write};
use crate::write_request::{Series, encode};

const WRITERS: usize = 4;
const SERIES_PER_WRITER: usize = 10;

#[tokio::test]
async fn killed_on_disk() {
    check(Home::on_disk()).await;
}

#[tokio::test]
async fn killed_on_s3() {
    let Some(s3) = S3Server::start() else { return };
    check(Home::on_s3(&s3, "restart")).await;
}

/// A stop that is asked for writes everything to the lake, and nothing is left to replay.
#[tokio::test]
async fn stopped() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let sent = Ledger::default();
    let load = Load::start(&server, &sent, now_ms());
    wait_for_acknowledged(&sent, 50).await;
    load.stop().await;
    assert!(server.stop().success());
    let server = home.start(NO_TARGETS, &[]);
    verify(&server, &sent).await;
}

/// As Prometheus tells the segments of its log: the first, the last, and where the replay is.
#[tokio::test]
async fn a_replay_is_told() {
    let home = Home::on_disk();
    let replay = async |server: &Promlake| {
        let (status, body) = get_json(&server.url("/api/v1/status/walreplay")).await;
        assert_eq!(status, 200, "{body}");
        ["min", "max", "current"].map(|key| body["data"][key].as_u64().expect("a number"))
    };
    let server = home.start(NO_TARGETS, &[]);
    assert_eq!(replay(&server).await, [0; 3], "nothing was written yet");
    let client = reqwest::Client::new();
    for n in 0..7 {
        assert_eq!(write(&client, &server.http, request(now_ms() + n, &[(0, 1.0)])).await, Some(204));
    }
    server.kill();
    let server = home.start(NO_TARGETS, &[]);
    let [min, max, current] = replay(&server).await;
    assert!(min > 0 && max - min + 1 >= 7, "{min} to {max}");
    assert_eq!(current, max);
    assert!(server.stop().success());
    let server = home.start(NO_TARGETS, &[]);
    assert_eq!(replay(&server).await, [0; 3], "all of it is in the lake");
}

async fn check(home: Home) {
    let kills = std::env::var("PROMLAKE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let seed =
        std::env::var("PROMLAKE_KILL_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("PROMLAKE_KILLS={kills} PROMLAKE_KILL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let sent = Ledger::default();
    // Each round begins where time has got to, so that no sample is behind one that was not acknowledged.
    let base = now_ms() - 3_600_000;
    // A short flush interval, so that kills also hit flushes.
    let flags = ["--storage.flush-interval=1s"];
    let mut server = home.start(NO_TARGETS, &flags);
    for round in 0..kills {
        let load = Load::start(&server, &sent, base + round * 60_000);
        wait_for_acknowledged(&sent, sent.acknowledged() + 5).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
        server.kill();
        load.stop().await;
        server = home.start(NO_TARGETS, &flags);
        verify(&server, &sent).await;
    }
    assert!(server.stop().success());
    let server = home.start(NO_TARGETS, &flags);
    verify(&server, &sent).await;
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}

/// What was sent, and which of it was acknowledged: value by series and timestamp.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<(usize, i64), Sent>>>);

#[derive(Clone, Copy)]
struct Sent {
    value: f64,
    acknowledged: bool,
}

impl Ledger {
    fn acknowledged(&self) -> usize {
        self.0.lock().unwrap().values().filter(|sent| sent.acknowledged).count() / SERIES_PER_WRITER
    }

    fn put(&self, timestamp: i64, values: &[(usize, f64)], acknowledged: bool) {
        let mut ledger = self.0.lock().unwrap();
        for (series, value) in values {
            ledger.insert((*series, timestamp), Sent { value: *value, acknowledged });
        }
    }
}

/// Writers that send one sample of each of their series after the other until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(server: &Promlake, sent: &Ledger, from_ms: i64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write_until_stopped(server.http.clone(), writer, from_ms, sent.clone(), stop.clone()))
            })
            .collect();
        Self { stop, writers }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.expect("a writer panicked");
        }
    }
}

async fn write_until_stopped(url: String, writer: usize, from_ms: i64, sent: Ledger, stop: Arc<AtomicBool>) {
    let client = reqwest::Client::new();
    for i in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let timestamp = from_ms + i;
        let values: Vec<(usize, f64)> = (0..SERIES_PER_WRITER)
            .map(|n| writer * SERIES_PER_WRITER + n)
            .map(|series| (series, (timestamp % 1_000_000) as f64 + series as f64 / 128.0))
            .collect();
        sent.put(timestamp, &values, false);
        match write(&client, &url, request(timestamp, &values)).await {
            Some(204) => sent.put(timestamp, &values, true),
            // The server is gone, or going.
            None | Some(500..=599) => return,
            Some(status) => panic!("status {status} for a good request"),
        }
    }
}

fn request(timestamp: i64, values: &[(usize, f64)]) -> Vec<u8> {
    let names: Vec<String> = values.iter().map(|(series, _)| series.to_string()).collect();
    let labels: Vec<_> = names.iter().map(|name| [("__name__", "crash_test"), ("n", name.as_str())]).collect();
    let samples: Vec<_> = values.iter().map(|(_, value)| [(timestamp, *value)]).collect();
    let series: Vec<Series<'_>> =
        labels.iter().zip(&samples).map(|(labels, samples)| Series { labels, samples }).collect();
    encode(&series)
}

async fn wait_for_acknowledged(sent: &Ledger, requests: usize) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while sent.acknowledged() < requests {
        assert!(std::time::Instant::now() < deadline, "no {requests} requests were acknowledged in a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads every sample back as it is stored, with a range selector.
async fn verify(server: &Promlake, sent: &Ledger) {
    let ledger = sent.0.lock().unwrap().clone();
    let (first, last) = ledger.keys().fold((i64::MAX, i64::MIN), |(a, b), (_, t)| (a.min(*t), b.max(*t)));
    let query = format!("crash_test[{}ms]", last - first + 1);
    let time = format!("{}", last as f64 / 1000.0);
    let url = with_params(&server.url("/api/v1/query"), &[("query", &query), ("time", &time)]);
    let (status, body) = get_json(&url).await;
    assert_eq!(status, 200, "{body}");
    let mut stored: HashMap<(usize, i64), f64> = HashMap::new();
    for series in body["data"]["result"].as_array().expect("a matrix") {
        let n: usize = series["metric"]["n"].as_str().and_then(|n| n.parse().ok()).expect("a number");
        for point in series["values"].as_array().expect("values") {
            let timestamp = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
            let value = point[1].as_str().and_then(|v| v.parse().ok()).expect("a value");
            assert!(stored.insert((n, timestamp), value).is_none(), "series {n} has {timestamp} twice");
        }
    }
    for (key, found) in &stored {
        let sent = ledger.get(key).unwrap_or_else(|| panic!("{key:?} was never sent"));
        assert_eq!(sent.value, *found, "value of {key:?}");
    }
    let missing: Vec<_> = ledger
        .iter()
        .filter(|(key, sent)| sent.acknowledged && !stored.contains_key(key))
        .map(|(k, _)| k)
        .collect();
    assert!(missing.is_empty(), "{} acknowledged samples are gone, first {:?}", missing.len(), missing.first());
}
