//! Readers behind the writer: every row that became durable, in the order of the log, for those who send it on.
//!
//! A reader that keeps up gets the rows that the writer had in its hands, one that lags reads the objects of the log,
//! and one for which those are gone is told so and finds the rest in the lake by time. The writer waits for none of
//! them. Where each of them is, is kept beside the log; what it has not read yet is not deleted, up to
//! `--storage.wal.retain-bytes`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::error::Result;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::storage::object::Kind;
use crate::storage::store::durability::Log;
use crate::storage::store::{Inner, Store, stopped};
use crate::storage::types::{LogRows, Series};
use crate::storage::wal::codec::Content;
use crate::storage::wal::log::Following;
use crate::storage::wal::objects::Kept;
use crate::storage::wal::readers::{self, Place, Places, Position};

/// Objects that a reader behind the log is handed at once, and of them read beside each other.
const MAX_BYTES: u64 = 4 << 20;
const MAX_OBJECTS: usize = 512;
const PARALLEL_READS: usize = 8;
/// Series looked up under one lock, which appends wait for.
const IDS_PER_LOCK: usize = 4096;
/// Rows in memory take more than their object, roughly by this for each.
const EXTRA_ROW_BYTES: usize = 8;
/// How often positions are saved that have changed: what is sent twice after a crash is what was sent since.
const SAVE: Duration = Duration::from_secs(2);
const SAVE_TO_BUCKET: Duration = Duration::from_secs(10);

/// What all readers share.
pub struct Tails {
    room_bytes: usize,
    state: Mutex<State>,
    /// Of readers; without one nothing is kept for them.
    readers: AtomicUsize,
    /// The last number that is durable.
    last: watch::Sender<u64>,
    /// There is a new reader, whose place is to be saved before much happens.
    begun: Notify,
    /// The newest timestamp of a row that became durable while there were readers.
    newest_ms: AtomicI64,
}

#[derive(Default)]
struct State {
    readers: BTreeMap<String, Reader>,
    /// The newest objects' rows, in order and without a gap.
    recent: VecDeque<Recent>,
    recent_bytes: usize,
    unsaved: bool,
}

#[derive(Clone, Copy)]
struct Reader {
    place: Place,
    /// The last number that was handed out.
    handed_out: u64,
    /// Times of samples in what was deleted behind that.
    ahead: Option<TimeRange>,
    /// As it was saved: what is behind it is needed no more, whatever happens.
    saved: Position,
}

struct Recent {
    part: Part,
    bytes: usize,
}

/// The rows of one object. Slots are those of the registry only in some, and of use to nobody outside of the store.
#[derive(Clone, Debug)]
pub struct Part {
    pub position: Position,
    pub rows: Arc<LogRows>,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Parts in order, at least one.
    Parts(Vec<Part>),
    /// Objects are gone that were not read. Their rows are in the lake.
    Gone(Gone),
}

/// See [`Next::Gone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The times of their samples.
    pub times: TimeRange,
    /// The last number that is gone, and when the object behind it was put.
    pub through: Position,
}

/// One reader. Where it has come to outlives it, see [`Tail::done`].
pub struct Tail {
    inner: Arc<Inner>,
    name: String,
    last: watch::Receiver<u64>,
    /// All up to here was handed out.
    read: Position,
}

impl Store {
    /// The reader of a name, behind what it was done with. A name that is not known begins with what comes from now on.
    pub fn tail(&self, name: &str) -> Tail {
        let tails = &self.inner.tails;
        let read = {
            let mut state = tails.state.lock();
            let now = Position { sequence: *tails.last.borrow(), put_ms: (self.inner.clock)() };
            match state.readers.get_mut(name) {
                // What another one had in its hands comes again.
                Some(reader) => *reader = Reader { saved: reader.saved, ..Reader::at(reader.place) },
                None => {
                    state.readers.insert(name.to_string(), Reader::at(Place { position: now, missed: None }));
                    state.unsaved = true;
                    tails.begun.notify_one();
                }
            }
            tails.readers.store(state.readers.len(), Ordering::Relaxed);
            state.readers[name].place.position
        };
        Tail { inner: self.inner.clone(), name: name.to_string(), last: tails.last.subscribe(), read }
    }

    /// Forgets the readers that are not `wanted`, and what was kept for them.
    pub fn keep_tails(&self, wanted: impl Fn(&str) -> bool) {
        let tails = &self.inner.tails;
        let mut state = tails.state.lock();
        let before = state.readers.len();
        state.readers.retain(|name, _| wanted(name));
        state.unsaved |= state.readers.len() < before;
        tails.readers.store(state.readers.len(), Ordering::Relaxed);
        if state.readers.is_empty() {
            (state.recent, state.recent_bytes) = (VecDeque::new(), 0);
        }
    }

    /// Saves where the readers are.
    pub async fn save_tails(&self) -> Result<()> {
        self.inner.save_tails().await
    }

    /// The newest timestamp that became durable while there were readers; `None` before the first.
    pub fn newest_ms(&self) -> Option<i64> {
        self.inner.tails.newest_ms()
    }
}

impl Reader {
    fn at(place: Place) -> Self {
        let ahead = place.missed.map(|missed| missed.times());
        Self { place, handed_out: place.position.sequence, ahead, saved: place.position }
    }
}

impl Tails {
    /// `last` is the last number of older epochs.
    pub fn new(saved: Places, last: u64, room_bytes: usize) -> Self {
        let readers: BTreeMap<String, Reader> = saved
            .into_iter()
            .map(|(name, mut place)| {
                // A log that was put back from a copy may end earlier.
                place.position.sequence = place.position.sequence.min(last);
                (name, Reader::at(place))
            })
            .collect();
        Self {
            room_bytes,
            readers: AtomicUsize::new(readers.len()),
            state: Mutex::new(State { readers, ..State::default() }),
            last: watch::Sender::new(last),
            begun: Notify::new(),
            newest_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Takes the rows of an object that became durable, with samples of these times.
    pub fn push(&self, position: Position, rows: LogRows, times: TimeRange, object_bytes: usize) {
        if self.readers.load(Ordering::Relaxed) == 0 {
            self.last.send_replace(position.sequence);
            return;
        }
        self.newest_ms.fetch_max(times.end_inclusive, Ordering::Relaxed);
        let bytes = object_bytes + rows.rows() * EXTRA_ROW_BYTES;
        let mut dropped = Vec::new();
        {
            let mut state = self.state.lock();
            if state.recent.back().is_some_and(|newest| newest.part.position.sequence + 1 != position.sequence) {
                // There was nobody to keep them for meanwhile.
                (state.recent, state.recent_bytes) = (VecDeque::new(), 0);
            }
            state.recent.push_back(Recent { part: Part { position, rows: Arc::new(rows) }, bytes });
            state.recent_bytes += bytes;
            let read = state.readers.values().map(|reader| reader.handed_out).min().unwrap_or(u64::MAX);
            let room_bytes = self.room_bytes;
            while let Some(oldest) = state.recent.front()
                && (oldest.part.position.sequence <= read || state.recent_bytes > room_bytes)
            {
                state.recent_bytes -= oldest.bytes;
                // Freed when the lock is gone.
                dropped.extend(state.recent.pop_front());
            }
            self.last.send_replace(position.sequence);
        }
    }

    fn newest_ms(&self) -> Option<i64> {
        Some(self.newest_ms.load(Ordering::Relaxed)).filter(|ms| *ms != i64::MIN)
    }

    /// All that may be needed is behind this number.
    pub fn read_through(&self) -> u64 {
        let state = self.state.lock();
        state.readers.values().map(|reader| reader.saved.sequence).min().unwrap_or(u64::MAX)
    }

    /// The parts behind a number, if they are in memory.
    fn recent(&self, read: u64) -> Option<Vec<Part>> {
        let state = self.state.lock();
        let first = state.recent.front()?.part.position.sequence;
        let from = usize::try_from((read + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let parts = state.recent.range(from.min(state.recent.len())..).take(MAX_OBJECTS).take_while(|recent| {
            let fits = bytes == 0 || bytes + recent.bytes <= MAX_BYTES as usize;
            bytes += recent.bytes.max(1);
            fits
        });
        let parts: Vec<Part> = parts.map(|recent| recent.part.clone()).collect();
        (!parts.is_empty()).then_some(parts)
    }
}

impl Tail {
    /// Waits for what comes next. Once dropped before it is there, nothing was handed out.
    pub async fn next(&mut self) -> Result<Next> {
        loop {
            let last = *self.last.borrow_and_update();
            if self.read.sequence >= last {
                self.last.changed().await.map_err(|_| stopped())?;
                continue;
            }
            if let Some(parts) = self.inner.tails.recent(self.read.sequence) {
                return Ok(self.hand_out(parts));
            }
            let through = match self.inner.log.following(self.read.sequence, MAX_BYTES, MAX_OBJECTS) {
                Following::Objects(objects) => match self.inner.read_parts(objects).await? {
                    Some(parts) => return Ok(self.hand_out(parts)),
                    // They went away meanwhile; now the log knows.
                    None => continue,
                },
                Following::Gone { through, next_put_ms } => {
                    let put_ms = next_put_ms.unwrap_or_else(|| (self.inner.clock)());
                    Position { sequence: through, put_ms }
                }
                Following::Nothing => Position { sequence: last, put_ms: (self.inner.clock)() },
            };
            let gone = Gone { times: self.skip(through), through };
            return Ok(Next::Gone(gone));
        }
    }

    /// Goes behind what is gone, and returns the times of its samples.
    fn skip(&mut self, through: Position) -> TimeRange {
        // Where nobody kept them: it was deleted by a process that had been paused, or by hand. Most samples are put when
        // they are made.
        let put = TimeRange::new(self.read.put_ms.saturating_add(1), through.put_ms);
        self.read = through;
        let mut state = self.inner.tails.state.lock();
        let Some(reader) = state.readers.get_mut(&self.name) else { return put };
        reader.handed_out = through.sequence;
        match (reader.ahead.take(), reader.place.missed) {
            (Some(times), Some(missed)) if missed.through >= through.sequence => times,
            (times, _) => times.map_or(put, |times| times.union(&put)),
        }
    }

    fn hand_out(&mut self, parts: Vec<Part>) -> Next {
        self.read = parts.last().map_or(self.read, |part| part.position);
        if let Some(reader) = self.inner.tails.state.lock().readers.get_mut(&self.name) {
            reader.handed_out = self.read.sequence;
        }
        Next::Parts(parts)
    }

    /// What was handed out up to here is done with, and is not handed out again after a restart, once that was saved.
    pub fn done(&self, position: Position) {
        let mut state = self.inner.tails.state.lock();
        let state = &mut *state;
        if let Some(reader) = state.readers.get_mut(&self.name)
            && reader.place.position.sequence < position.sequence
        {
            reader.place.reach(position);
            reader.ahead = reader.ahead.filter(|_| reader.place.missed.is_some());
            state.unsaved = true;
        }
    }

    /// Where it begins: all up to here was done with before.
    pub fn position(&self) -> Position {
        self.read
    }

    /// As [`Store::newest_ms`].
    pub fn newest_ms(&self) -> Option<i64> {
        self.inner.tails.newest_ms()
    }

    /// The last number that is durable.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// A handle for [`Tail::done`] beside the one that reads.
    pub fn handle(&self) -> Tail {
        Tail { inner: self.inner.clone(), name: self.name.clone(), last: self.last.clone(), read: self.read }
    }

    /// The series of ids, each with the day of a sample of it; `None` for one that the lake does not have any more. Those
    /// of the head are found at once, all others are looked for in the lake's lists of these days.
    pub async fn series(&self, ids: &[(i64, i32)]) -> Result<Vec<Option<Arc<Series>>>> {
        let mut found: Vec<Option<Arc<Series>>> = Vec::with_capacity(ids.len());
        for part in ids.chunks(IDS_PER_LOCK) {
            let gate = self.inner.gate.lock();
            found.extend(part.iter().map(|(id, _)| gate.registry.series_of(*id).cloned()));
        }
        let mut days: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, (_, day)) in ids.iter().enumerate().filter(|(at, _)| found[*at].is_none()) {
            days.entry(*day).or_default().push(at);
        }
        for (day, missing) in days {
            if self.inner.lake.files().series_version(day).is_none() {
                continue;
            }
            let wanted: BTreeMap<i64, usize> = missing.into_iter().map(|at| (ids[at].0, at)).collect();
            for series in self.inner.lake.read_series(day).await? {
                if let Some(at) = wanted.get(&series.id) {
                    found[*at] = Some(Arc::new(series));
                }
            }
        }
        Ok(found)
    }

    /// Metadata of all metric families.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.inner.gate.lock().metadata.iter().map(|(family, m)| (family.clone(), m.clone())).collect()
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tail({:?}, {:?})", self.name, self.read)
    }
}

impl Inner {
    /// The rows of objects; `None` where one is gone.
    async fn read_parts(&self, objects: Vec<Kept>) -> Result<Option<Vec<Part>>> {
        let reads = stream::iter(objects).map(|object| self.read_part(object)).buffered(PARALLEL_READS);
        let parts: Vec<Option<Part>> = reads.try_collect().await?;
        // Behind a gap the rest is in order too, but the gap comes first.
        let parts: Vec<Part> = parts.into_iter().map_while(|part| part).collect();
        Ok((!parts.is_empty()).then_some(parts))
    }

    async fn read_part(&self, object: Kept) -> Result<Option<Part>> {
        let position = Position { sequence: object.key.sequence, put_ms: object.put_ms };
        let rows = match self.log.read(object.key).await? {
            None => return Ok(None),
            Some(Ok(decoded)) => match decoded.content {
                Content::Rows(rows) => *rows,
                Content::Seal { .. } | Content::Void => LogRows::default(),
            },
            // Reading it again would not help, and what is behind it can still be had.
            Some(Err(error)) => {
                let path = self.log.objects().path(object.key);
                tracing::error!("{path} cannot be read and is not sent to remotes: {error}");
                LogRows::default()
            }
        };
        Ok(Some(Part { position, rows: Arc::new(rows) }))
    }

    /// Saves where the readers are, and then deletes what they do not need.
    async fn save_tails(&self) -> Result<()> {
        if !self.tails.state.lock().unsaved {
            return Ok(());
        }
        let _alone = self.trimming.lock().await;
        self.save_places().await?;
        self.trim_alone().await
    }

    pub async fn trim(&self) -> Result<()> {
        let _alone = self.trimming.lock().await;
        self.trim_alone().await
    }

    async fn save_places(&self) -> Result<()> {
        // Another process has the node, and its readers.
        if let Log::Ended { .. } = self.durability.now() {
            return Ok(());
        }
        let places: Places = {
            let mut state = self.tails.state.lock();
            state.unsaved = false;
            state.readers.iter().map(|(name, reader)| (name.clone(), reader.place)).collect()
        };
        if let Err(error) = readers::save(self.log.objects(), &places).await {
            self.tails.state.lock().unsaved = true;
            return Err(error);
        }
        let mut state = self.tails.state.lock();
        for (name, place) in places {
            if let Some(reader) = state.readers.get_mut(&name) {
                reader.saved = place.position;
            }
        }
        Ok(())
    }

    /// Deletes the objects that neither the lake nor a reader needs, and those for which a reader has had its time: of
    /// these is kept what the lake has to be asked for. One at a time, as places are saved one after the other.
    async fn trim_alone(&self) -> Result<()> {
        let flushed = self.flushed_through.load(Ordering::Relaxed);
        let longest = self.options.log_only.map(|longest| i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
        let retain_from_ms = longest.map_or(i64::MIN, |longest| (self.clock)().saturating_sub(longest));
        let retain_bytes = self.options.wal_retain_bytes as u64;
        let deletable = self.log.deletable(flushed, self.tails.read_through(), retain_bytes, retain_from_ms);
        if self.tails.read_through() < deletable {
            self.miss(deletable).await?;
        }
        self.log.delete(deletable).await
    }

    /// Keeps the times of what is about to be deleted for the readers that have not read it.
    async fn miss(&self, through: u64) -> Result<()> {
        let mut objects = self.log.between(self.tails.read_through(), through);
        for object in &mut objects {
            if object.times.is_none() {
                let part = self.read_part(*object).await?;
                object.times = Some(part.map_or(TimeRange::NONE, |part| part.rows.times()));
            }
        }
        {
            let mut state = self.tails.state.lock();
            for reader in state.readers.values_mut() {
                let read = reader.place.position.sequence.min(reader.saved.sequence);
                let missed = objects.iter().filter(|object| object.key.sequence > read);
                let Some(last) = missed.clone().map(|object| object.key.sequence).max() else { continue };
                let times = missed.filter_map(|object| object.times).fold(TimeRange::NONE, |a, b| a.union(&b));
                reader.place.miss(last, times);
                let ahead = objects.iter().filter(|object| object.key.sequence > reader.handed_out);
                let ahead = ahead.filter_map(|object| object.times).reduce(|a, b| a.union(&b));
                reader.ahead = match (reader.ahead, ahead) {
                    (Some(before), Some(more)) => Some(before.union(&more)),
                    (before, more) => before.or(more),
                };
            }
        }
        self.save_places().await
    }
}

/// Runs for the life of the store: saves positions that have changed.
pub(super) async fn run(inner: Arc<Inner>) {
    let period = if inner.objects.kind == Kind::Bucket { SAVE_TO_BUCKET } else { SAVE };
    let mut fails = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = inner.tails.begun.notified() => {}
        }
        let saved = inner.save_tails().await;
        if let Err(error) = &saved
            && !fails
        {
            tracing::warn!("the positions of remote write are not saved for now: {error}");
        }
        fails = saved.is_err();
    }
}

#[cfg(test)]
mod tests;
