//! A shard: samples of its series in order, and the loop that sends them batch by batch. One batch is under way at a
//! time, so that a series' samples arrive in their order.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::remote::write::Message;
use crate::error::Result;
use crate::forward::item::{Counts, Item};
use crate::forward::remote::Remote;
use crate::forward::send::{Backoff, Outcome};
use crate::forward::stats::Reason;
use crate::telemetry::spans;

/// Series of a refused request that are shown with `failed_request_logging`.
const MAX_SHOWN: usize = 20;

/// Times that what is left of a batch is sent in halves: enough for a few bad samples among two thousand.
const MAX_SPLITS: usize = 64;

/// What became of a part of a batch.
enum Sent {
    Done,
    /// It is to be sent in halves.
    Apart(Vec<Item>),
    /// Not sent.
    Halted(Vec<Item>),
}

/// What waits for a sender.
#[derive(Debug, Default)]
pub struct Shard {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Samples and exemplars in them.
    size: usize,
    /// When the oldest of them came.
    since: Option<Instant>,
    /// The first object of the batch under way.
    under_way: Option<u64>,
    /// Nothing more comes.
    closed: bool,
}

/// How a shard is told to end.
#[derive(Clone, Debug, Default)]
pub struct Halt {
    /// The next batch is not begun.
    pub batches: CancellationToken,
    /// The next attempt is not made, and a pause ends.
    pub attempts: CancellationToken,
}

impl Shard {
    /// Takes from the front of `items` what there is room for.
    pub fn push(&self, items: &mut VecDeque<Item>, capacity: usize, batch: usize) {
        let mut state = self.state.lock();
        let before = state.size;
        while state.size < capacity
            && let Some(item) = items.pop_front()
        {
            state.size += item.size();
            state.items.push_back(item);
        }
        if before == 0 && state.size > 0 {
            state.since = Some(Instant::now());
        }
        let wakes = (before == 0 && state.size > 0) || (before < batch && state.size >= batch);
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// A batch, once there are enough samples or the oldest has waited long enough. `None` when there is none to come.
    async fn take(&self, batch: usize, deadline: Duration, halt: &Halt) -> Option<Vec<Item>> {
        loop {
            let due = {
                let mut state = self.state.lock();
                if halt.batches.is_cancelled() || state.closed && state.items.is_empty() {
                    return None;
                }
                let due = state.since.map(|since| since + deadline);
                let ready = state.closed || state.size >= batch || due.is_some_and(|due| due <= Instant::now());
                if ready && !state.items.is_empty() {
                    return Some(state.take(batch));
                }
                due
            };
            let passed = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.filled.notified() => {}
                () = passed => {}
                () = halt.batches.cancelled() => {}
            }
        }
    }

    /// A batch that was not sent.
    fn put_back(&self, items: Vec<Item>) {
        let mut state = self.state.lock();
        state.under_way = None;
        state.size += items.iter().map(Item::size).sum::<usize>();
        items.into_iter().rev().for_each(|item| state.items.push_front(item));
    }

    fn done(&self) {
        self.state.lock().under_way = None;
    }

    /// The first object with rows that are not done with.
    pub fn first(&self) -> Option<u64> {
        let state = self.state.lock();
        state.under_way.or_else(|| state.items.front().map(|item| item.sequence))
    }

    /// What is there is sent without waiting for more, and then the shard ends.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// All that waits; nothing is under way.
    pub fn drain(&self) -> VecDeque<Item> {
        std::mem::take(&mut *self.state.lock()).items
    }
}

impl State {
    fn take(&mut self, batch: usize) -> Vec<Item> {
        let (mut size, mut count) = (0, 0);
        for item in &self.items {
            if count > 0 && size + item.size() > batch {
                break;
            }
            size += item.size();
            count += 1;
        }
        let items: Vec<Item> = self.items.drain(..count).collect();
        self.size -= size;
        self.since = (!self.items.is_empty()).then(Instant::now);
        debug_assert!(items.is_sorted_by_key(|item| item.sequence), "the oldest is in front");
        self.under_way = items.first().map(|item| item.sequence);
        items
    }
}

/// Sends what the shard gets until it is closed and empty, or halted. What is not sent then is in the shard.
pub async fn run(remote: Arc<Remote>, shard: Arc<Shard>, batch: usize, halt: Halt) {
    let deadline = remote.settings.queue.batch_send_deadline;
    while let Some(items) = shard.take(batch, deadline, &halt).await {
        remote.room.notify_one();
        let counts = Counts::of(&items);
        match AssertUnwindSafe(remote.send(items, &halt)).catch_unwind().await {
            Ok(Ok(())) => shard.done(),
            Ok(Err(items)) => {
                shard.put_back(items);
                return;
            }
            // A defect; what is behind it is none of its business.
            Err(_) => {
                tracing::error!(
                    remote = remote.stats.name,
                    ?counts,
                    "sending panicked, what was to be sent is dropped"
                );
                remote.stats.pending.take(counts);
                remote.stats.failed.add(counts);
                shard.done();
            }
        }
    }
}

impl Remote {
    /// Sends a batch, as often as it takes. Gives back what was not sent where it is halted before that. What a receiver
    /// refuses since something of it is bad is sent in halves, down to what is bad.
    async fn send(&self, items: Vec<Item>, halt: &Halt) -> Result<(), Vec<Item>> {
        let (mut parts, mut splits) = (vec![items], MAX_SPLITS);
        while let Some(part) = parts.pop() {
            let may_split = splits > 0 && part.len() > 1 && self.settings.message == Message::V1;
            match self.send_part(part, may_split, halt).await {
                Sent::Done => {}
                Sent::Apart(mut first) => {
                    splits -= 1;
                    let second = first.split_off(first.len() / 2);
                    // The first half goes first, so that series stay in order.
                    parts.extend([second, first]);
                }
                Sent::Halted(mut left) => {
                    parts.into_iter().rev().for_each(|part| left.extend(part));
                    return Err(left);
                }
            }
        }
        Ok(())
    }

    async fn send_part(&self, mut items: Vec<Item>, may_split: bool, halt: &Halt) -> Sent {
        let mut backoff = Backoff::new(self.settings.queue.min_backoff, self.settings.queue.max_backoff);
        let mut request: Option<(Bytes, Counts)> = None;
        for attempt in 0.. {
            if self.drop_old(&mut items) {
                request = None;
            }
            if items.is_empty() {
                return Sent::Done;
            }
            let (body, counts) = match &request {
                Some(request) => request.clone(),
                None => match self.encode(&items) {
                    Ok(body) => request.insert((body, Counts::of(&items))).clone(),
                    Err(error) => {
                        self.refused(&items, Counts::of(&items), Counts::default(), &error.to_string());
                        self.stats.pending.take(Counts::of(&items));
                        return Sent::Done;
                    }
                },
            };
            let bytes = body.len() as u64;
            self.stats.sent.add(counts);
            let began = Instant::now();
            let span = spans::client_span("Remote Send Batch");
            span.text("remote_name", &self.stats.name);
            span.text("remote_url", &self.stats.url);
            span.number("request_size", bytes as i64);
            span.number("samples", counts.samples as i64);
            span.number("histograms", counts.histograms as i64);
            span.number("exemplars", counts.exemplars as i64);
            span.number("try", attempt.into());
            let outcome = span.around(self.sender.post(body, attempt, counts)).await;
            if let Outcome::Retry { why, .. } | Outcome::Refused { why, .. } = &outcome {
                span.failed(|| why.clone());
            }
            drop(span);
            self.stats.observe(began.elapsed());
            match outcome {
                Outcome::Retry { why, after } => {
                    let pause = backoff.pause(after);
                    // More senders would only make it worse.
                    self.hold_shards(pause * 2);
                    self.notices.retried.tell(|left_out| {
                        let (remote, url) = (&self.stats.name, &self.stats.url);
                        tracing::warn!(remote, url, left_out, "a remote takes no samples, trying again: {why}");
                    });
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = halt.attempts.cancelled() => return Sent::Halted(items),
                    }
                    self.stats.retried.add(counts);
                    continue;
                }
                Outcome::Written(written) => {
                    if counts.minus(written).total() > 0 {
                        self.refused(&items, counts, written, "the server took it and did not write all of it");
                    }
                }
                Outcome::Refused { whole: true, .. } if may_split => {
                    self.stats.retried.add(counts);
                    return Sent::Apart(items);
                }
                Outcome::Refused { why, written, .. } => self.refused(&items, counts, written, &why),
            }
            self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.stats.pending.take(counts);
            self.sent_now();
            if let Some(newest) = items.iter().map(|item| item.timestamp).max() {
                self.stats.highest_sent_ms.fetch_max(newest, Ordering::Relaxed);
            }
            return Sent::Done;
        }
        unreachable!("attempts have no end")
    }

    fn encode(&self, items: &[Item]) -> Result<Bytes> {
        self.pool.with(|buffers| buffers.encode(self.settings.message, items, &self.external))
    }

    /// Drops what has become too old; whether there was any.
    fn drop_old(&self, items: &mut Vec<Item>) -> bool {
        let Some(oldest) = self.oldest_ms() else { return false };
        if items.iter().all(|item| item.timestamp >= oldest) {
            return false;
        }
        items.retain(|item| {
            let keeps = item.timestamp >= oldest;
            if !keeps {
                self.stats.count_dropped(Reason::TooOld, item.counts());
                self.stats.pending.take(item.counts());
            }
            keeps
        });
        true
    }

    /// Counts and tells what a remote will not take.
    fn refused(&self, items: &[Item], sent: Counts, written: Counts, why: &str) {
        let failed = sent.minus(written);
        self.stats.failed.add(failed);
        let (remote, url) = (&self.stats.name, &self.stats.url);
        self.notices.refused.tell(|left_out| {
            let Counts { samples, histograms, exemplars } = failed;
            tracing::error!(
                remote,
                url,
                samples,
                histograms,
                exemplars,
                left_out,
                "a remote refused what was sent, which is dropped: {why}"
            );
        });
        if self.settings.failed_request_logging && self.settings.message == Message::V2 {
            let shown = items.iter().take(MAX_SHOWN);
            let shown: Vec<String> =
                shown.map(|i| format!("{} {:?} @{}", i.series.labels, i.sample, i.timestamp)).collect();
            tracing::debug!(remote, url, rows = items.len(), "refused: {}", shown.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::item::Sample;
    use crate::forward::series::Outgoing;
    use crate::model::labels::Labels;

    fn item(sequence: u64) -> Item {
        let series = Outgoing { id: 1, labels: Labels::empty(), lacks_external: false, metadata: None };
        let (series, sample) = (Arc::new(series), Sample::Float(0.5));
        Item { series, sequence, timestamp: 0, start_timestamp: 0, sample, exemplars: vec![] }
    }

    fn push(shard: &Shard, sequences: std::ops::Range<u64>, capacity: usize) -> usize {
        let mut items = sequences.map(item).collect();
        shard.push(&mut items, capacity, 3);
        items.len()
    }

    fn sequences(items: &[Item]) -> Vec<u64> {
        items.iter().map(|item| item.sequence).collect()
    }

    #[tokio::test]
    async fn batches_by_size_and_by_time() {
        let (shard, halt, deadline) = (Shard::default(), Halt::default(), Duration::from_millis(500));
        assert_eq!(push(&shard, 1..9, 7), 1, "there is room for seven");
        assert_eq!(shard.first(), Some(1));
        let batch = shard.take(3, deadline, &halt).await.unwrap();
        assert_eq!((sequences(&batch), shard.first()), (vec![1, 2, 3], Some(1)));
        shard.put_back(batch);
        for expected in [vec![1, 2, 3], vec![4, 5, 6]] {
            assert_eq!(sequences(&shard.take(3, deadline, &halt).await.unwrap()), expected);
            shard.done();
        }
        assert_eq!(shard.first(), Some(7));
        // The rest waits for company.
        let taken = Instant::now();
        assert_eq!(sequences(&shard.take(3, deadline, &halt).await.unwrap()), [7]);
        assert!(taken.elapsed() >= deadline / 2);
        shard.done();
        assert_eq!(shard.first(), None);
        // What is closed does not wait, and ends.
        push(&shard, 9..10, 7);
        shard.close();
        let forever = Duration::from_secs(3600);
        assert_eq!(sequences(&shard.take(3, forever, &halt).await.unwrap()), [9]);
        assert!(shard.take(3, forever, &halt).await.is_none());
    }

    #[tokio::test]
    async fn a_halt_leaves_what_is_there() {
        let (shard, halt) = (Shard::default(), Halt::default());
        push(&shard, 1..3, 7);
        let halted = halt.batches.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            halted.cancel();
        });
        assert!(shard.take(3, Duration::from_secs(3600), &halt).await.is_none());
        assert_eq!(sequences(&shard.drain().into_iter().collect::<Vec<_>>()), [1, 2]);
    }
}
