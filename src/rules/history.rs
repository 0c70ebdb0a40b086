//! Changes of the states of alerts, on their way to the lake.
//!
//! Evaluation hands them over and waits for nobody. A task writes what has gathered every few seconds, and again for as long
//! as the bucket is away; when too much waits, the oldest go. A state that goes on after a restart is no change: the first
//! change of each alert behind a start is held against what the history ended with, and what is not there any more when its
//! group has settled has become inactive.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind};
use crate::model::labels::Labels;
use crate::rules::alert::Change;
use crate::storage::lake::alerts::{AlertChange, INACTIVE, LastState};
use crate::storage::store::Store;
use crate::telemetry::metrics::Family;
use crate::telemetry::notice::Notice;

/// Changes are gathered for this long, since each write is a file and a commit, which costs as much as the evaluation of a
/// hundred rules; and where they do not cease, for so long from one write to the next.
const PERIOD: Duration = Duration::from_secs(3);
const LONG_PERIOD: Duration = Duration::from_secs(10);
/// Memory of changes that wait, besides those that are being written.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Of a change besides its texts, roughly.
const CHANGE_BYTES: usize = 256;
/// Between two attempts, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a stop waits for the last write.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// Between a panic of the task and its next start.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
pub struct History {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    work: Notify,
    stopped: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    /// The number of the last batch.
    sequence: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    full: Notice,
    failed: Notice,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    /// Taken, and not yet in the lake.
    under_way: usize,
}

/// What is told to the task, in the order of events.
#[derive(Debug)]
enum Item {
    Changed(AlertChange),
    /// The first groups, by file and name: of others nobody tells any more.
    Began {
        groups: HashSet<(String, String)>,
        at: i64,
    },
    /// A group was evaluated often enough to have all of its alerts again.
    Settled {
        file: String,
        group: String,
        at: i64,
    },
}

impl History {
    /// Begins to write to a store. Must be called within the runtime that is to do so.
    pub fn start(store: Arc<Store>) -> Arc<Self> {
        let history = Self::new();
        let task = history.clone();
        *history.task.lock() = Some(tokio::spawn(async move { task.keep_writing(&store).await }));
        history
    }

    /// One that forgets what it is told, for tests of rules.
    pub fn forgetful() -> Arc<Self> {
        let history = Self::new();
        history.stopped.cancel();
        history
    }

    fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            work: Notify::new(),
            stopped: CancellationToken::new(),
            task: Mutex::default(),
            sequence: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            full: Notice::default(),
            failed: Notice::default(),
        })
    }

    /// Takes changes of the alerts of a rule, in the order in which they were made. Never waits.
    pub fn tell(&self, file: &str, group: &str, alert: &str, changes: Vec<Change>) {
        if changes.is_empty() || self.stopped.is_cancelled() {
            return;
        }
        let row = |change: Change| AlertChange {
            time: change.at,
            alert: alert.to_string(),
            labels: change.labels,
            annotations: change.annotations,
            from_state: Cow::Borrowed(change.from.as_str()),
            to_state: Cow::Borrowed(change.to.as_str()),
            value: Some(change.value),
            rule_group: group.to_string(),
            file: file.to_string(),
        };
        let dropped = self.waiting.lock().add(changes.into_iter().map(row), MAX_WAITING_BYTES);
        self.work.notify_one();
        if dropped > 0 {
            self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            self.full.tell(|left_out| {
                tracing::warn!(
                    dropped,
                    left_out,
                    "too many changes of alerts wait for the lake, the oldest are dropped"
                );
            });
        }
    }

    /// The first groups are in force.
    pub fn begin<'a>(&self, groups: impl Iterator<Item = (&'a str, &'a str)>, at: i64) {
        let groups = groups.map(|(file, group)| (file.to_string(), group.to_string())).collect();
        self.mark(Item::Began { groups, at });
    }

    /// A group has all of its alerts again that went on.
    pub fn settle(&self, file: &str, group: &str, at: i64) {
        self.mark(Item::Settled { file: file.to_string(), group: group.to_string(), at });
    }

    fn mark(&self, item: Item) {
        if self.stopped.is_cancelled() {
            return;
        }
        self.waiting.lock().items.push_back(item);
        self.work.notify_one();
    }

    /// Writes what there is, for as long as that may take. Call it when nobody tells anything any more.
    pub async fn shutdown(&self) {
        self.stopped.cancel();
        let Some(mut task) = self.task.lock().take() else { return };
        if timeout(LAST_WRITE, &mut task).await.is_err() {
            task.abort();
            let changes = self.waiting.lock().changes();
            tracing::warn!(changes, "the last changes of alerts did not come to the lake");
        }
    }

    pub fn families(&self) -> Vec<Family> {
        let counter = |name, help, of: &AtomicU64| Family::counter(name, help, of.load(Ordering::Relaxed) as f64);
        let waiting = self.waiting.lock().changes();
        let help = "Changes of alerts that wait for the lake";
        vec![
            counter("promlake_alert_history_rows", "Changes of alerts written to the lake", &self.written),
            counter(
                "promlake_alert_history_dropped",
                "Changes of alerts that did not come to the lake: too many waited, or they could not be written",
                &self.dropped,
            ),
            Family::gauge("promlake_alert_history_waiting", help, waiting as f64),
        ]
    }

    /// The task. A panic is a defect of ours, and no reason to end the history.
    async fn keep_writing(&self, store: &Store) {
        while AssertUnwindSafe(self.write_all(store)).catch_unwind().await.is_err() {
            tracing::error!("the task that writes the history of alerts panicked; it is started again");
            let lost = std::mem::take(&mut self.waiting.lock().under_way);
            self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
            self.work.notify_one();
            sleep(RESTART_PAUSE).await;
        }
    }

    async fn write_all(&self, store: &Store) {
        tokio::select! {
            () = self.work.notified() => {}
            () = self.stopped.cancelled() => {}
        }
        let mut before = Before::new(self.last_states(store).await);
        let mut written: Option<Instant> = None;
        loop {
            let rows = before.follow(self.take());
            self.waiting.lock().under_way = rows.len();
            if !rows.is_empty() {
                self.write(store, &rows).await;
                written = Some(Instant::now());
            }
            self.waiting.lock().under_way = 0;
            if self.stopped.is_cancelled() && self.waiting.lock().items.is_empty() {
                return;
            }
            tokio::select! {
                () = self.stopped.cancelled() => {}
                () = self.work.notified() => tokio::select! {
                    () = self.stopped.cancelled() => {}
                    () = sleep(gathering(written.map(|written| written.elapsed()))) => {}
                },
            }
        }
    }

    fn take(&self) -> VecDeque<Item> {
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.items)
    }

    async fn last_states(&self, store: &Store) -> Vec<LastState> {
        let mut pause = PAUSE;
        loop {
            match store.lake().last_alert_states().await {
                Ok(states) => return states,
                // What cannot be read now cannot be read later either; the history goes on without it.
                Err(error) if error.kind == ErrorKind::Internal => {
                    tracing::error!(%error, "the history of alerts cannot be read: alerts that go on appear as new");
                    return Vec::new();
                }
                Err(error) => self.tell_of(&error),
            }
            self.pause(&mut pause).await;
        }
    }

    /// Until it is done, or will never be.
    async fn write(&self, store: &Store, rows: &[AlertChange]) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut pause, mut again) = (PAUSE, false);
        loop {
            let error = match store.lake().commit_alert_changes(sequence, rows, again).await {
                Ok(()) => {
                    self.written.fetch_add(rows.len() as u64, Ordering::Relaxed);
                    return;
                }
                Err(error) => error,
            };
            if matches!(error.kind, ErrorKind::Internal | ErrorKind::Poisoned) {
                self.dropped.fetch_add(rows.len() as u64, Ordering::Relaxed);
                self.failed.tell(|left_out| {
                    let dropped = rows.len();
                    tracing::error!(dropped, left_out, %error, "changes of alerts cannot be written, they are dropped");
                });
                return;
            }
            self.tell_of(&error);
            again = true;
            self.pause(&mut pause).await;
        }
    }

    fn tell_of(&self, error: &Error) {
        self.failed.tell(|left_out| {
            let changes = self.waiting.lock().changes();
            tracing::warn!(changes, left_out, %error, "changes of alerts wait for the lake");
        });
    }

    /// Longer each time, and not for long once there is a stop.
    async fn pause(&self, pause: &mut Duration) {
        if self.stopped.is_cancelled() {
            return sleep(PAUSE).await;
        }
        tokio::select! {
            () = sleep(*pause) => {}
            () = self.stopped.cancelled() => {}
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }
}

impl Waiting {
    /// Returns how many changes had to go.
    fn add(&mut self, changes: impl Iterator<Item = AlertChange>, max_bytes: usize) -> usize {
        for change in changes {
            self.bytes += bytes_of(&change);
            self.items.push_back(Item::Changed(change));
        }
        let mut dropped = 0;
        while self.bytes > max_bytes {
            let is_change = |item: &Item| matches!(item, Item::Changed(_));
            let oldest = self.items.iter().position(is_change).and_then(|place| self.items.remove(place));
            let Some(Item::Changed(oldest)) = oldest else { break };
            self.bytes -= bytes_of(&oldest);
            dropped += 1;
        }
        dropped
    }

    fn changes(&self) -> usize {
        self.under_way + self.items.iter().filter(|item| matches!(item, Item::Changed(_))).count()
    }
}

fn bytes_of(change: &AlertChange) -> usize {
    let annotations: usize = change.annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = change.alert.len() + change.rule_group.len() + change.file.len();
    CHANGE_BYTES + change.labels.as_bytes().len() + annotations + texts
}

/// How long changes are gathered, by how long ago others were written.
fn gathering(written_ago: Option<Duration>) -> Duration {
    written_ago.map_or(PERIOD, |ago| LONG_PERIOD.saturating_sub(ago).max(PERIOD))
}

/// Alerts that were not inactive at the end of the history, and that nobody has told anything of since the start.
struct Before(HashMap<(String, String, Labels), LastState>);

impl Before {
    fn new(states: Vec<LastState>) -> Self {
        let key = |last: &LastState| (last.file.clone(), last.rule_group.clone(), last.labels.clone());
        Self(states.into_iter().map(|last| (key(&last), last)).collect())
    }

    /// The rows that the history goes on with.
    fn follow(&mut self, items: VecDeque<Item>) -> Vec<AlertChange> {
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Changed(change) => rows.extend(self.first(change)),
                Item::Began { groups, at } => {
                    rows.extend(
                        self.end(at, |last| !groups.contains(&(last.file.clone(), last.rule_group.clone()))),
                    );
                }
                Item::Settled { file, group, at } => {
                    rows.extend(self.end(at, |last| last.file == file && last.rule_group == group));
                }
            }
        }
        rows
    }

    /// A change as it goes on with the history; `None` where the state is what it was.
    fn first(&mut self, mut change: AlertChange) -> Option<AlertChange> {
        if self.0.is_empty() {
            return Some(change);
        }
        let key = (change.file.clone(), change.rule_group.clone(), change.labels.clone());
        let Some(last) = self.0.remove(&key) else { return Some(change) };
        change.from_state = Cow::Owned(last.state);
        (change.from_state != change.to_state).then_some(change)
    }

    /// Those that became inactive when nobody looked.
    fn end(&mut self, at: i64, is_over: impl Fn(&LastState) -> bool) -> Vec<AlertChange> {
        let mut ended: Vec<_> = self.0.extract_if(|_, last| is_over(last)).map(|(_, last)| last).collect();
        ended.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let row = |last: LastState| AlertChange {
            time: at,
            alert: last.alert,
            labels: last.labels,
            annotations: Vec::new(),
            from_state: Cow::Owned(last.state),
            to_state: Cow::Borrowed(INACTIVE),
            value: None,
            rule_group: last.rule_group,
            file: last.file,
        };
        ended.into_iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::alert::AlertState;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("alertname", name)])
    }

    fn last(name: &str, group: &str, state: &str) -> LastState {
        let (alert, rule_group, file) = (name.to_string(), group.to_string(), "f".to_string());
        LastState { alert, labels: labels(name), state: state.to_string(), rule_group, file }
    }

    fn changed(name: &str, from: &'static str, to: &'static str) -> Item {
        Item::Changed(AlertChange {
            time: 5,
            alert: name.to_string(),
            labels: labels(name),
            annotations: vec![],
            from_state: from.into(),
            to_state: to.into(),
            value: Some(1.0),
            rule_group: "g".to_string(),
            file: "f".to_string(),
        })
    }

    #[test]
    fn changes_that_do_not_cease_are_written_less_often() {
        let seconds = |ago: Option<u64>| gathering(ago.map(Duration::from_secs)).as_secs();
        assert_eq!([None, Some(0), Some(2), Some(7), Some(8), Some(60)].map(seconds), [3, 10, 8, 3, 3, 3]);
    }

    #[test]
    fn a_state_that_goes_on_is_no_change() {
        let mut before = Before::new(vec![
            last("Same", "g", "firing"),
            last("Anew", "g", "firing"),
            last("Elsewhere", "h", "firing"),
            last("Over", "g", "pending"),
            last("GroupGone", "i", "firing"),
        ]);
        let mut check = |items: Vec<Item>, expected: &[&str]| {
            let rows = before.follow(items.into());
            let shown: Vec<_> =
                rows.iter().map(|r| format!("{} {} {}>{}", r.time, r.alert, r.from_state, r.to_state)).collect();
            assert_eq!(shown, expected);
        };
        let groups = ["g", "h"].map(|group| ("f".to_string(), group.to_string())).into();
        check(vec![Item::Began { groups, at: 1 }], &["1 GroupGone firing>inactive"]);
        let first = ["Same", "Anew", "Elsewhere", "New"];
        check(
            first
                .into_iter()
                .map(|name| changed(name, "inactive", if name == "Anew" { "pending" } else { "firing" }))
                .collect(),
            &["5 Anew firing>pending", "5 Elsewhere inactive>firing", "5 New inactive>firing"],
        );
        check(vec![changed("Same", "firing", "inactive")], &["5 Same firing>inactive"]);
        let settled = || Item::Settled { file: "f".to_string(), group: "g".to_string(), at: 9 };
        check(vec![settled()], &["9 Over pending>inactive"]);
        check(vec![settled(), changed("Over", "inactive", "pending")], &["5 Over inactive>pending"]);
    }

    #[test]
    fn the_oldest_changes_go_when_too_many_wait() {
        let mut waiting = Waiting::default();
        waiting.items.push_back(Item::Settled { file: "f".to_string(), group: "g".to_string(), at: 1 });
        let rows = |names: &[&str]| {
            let rows = names.iter().map(|name| match changed(name, "inactive", "firing") {
                Item::Changed(change) => change,
                _ => unreachable!(),
            });
            rows.collect::<Vec<_>>().into_iter()
        };
        let one = bytes_of(&rows(&["A"]).next().unwrap());
        assert_eq!(waiting.add(rows(&["A", "B"]), 3 * one), 0);
        assert_eq!(waiting.add(rows(&["C", "D", "E"]), 3 * one), 2);
        assert_eq!((waiting.changes(), waiting.bytes), (3, 3 * one));
        let left = waiting.items.iter().map(|item| match item {
            Item::Changed(change) => change.alert.as_str(),
            _ => "mark",
        });
        assert_eq!(left.collect::<Vec<_>>(), ["mark", "C", "D", "E"]);
        assert_eq!(AlertState::Inactive.as_str(), INACTIVE);
    }
}
