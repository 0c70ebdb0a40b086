//! The open window: one vector of points per series, appended to by one writer and read by many queries.
//!
//! Appending is O(1) and keeps arrival order; a series that got a sample behind its newest is sorted when it is
//! read. One lock covers the table: the writer holds it for a thousand rows at a time, a reader while it copies
//! one series, so neither waits long for the other. A frozen memtable is never written again and leaves packed, as
//! [`Sorted`].

use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::model::histogram::FloatHistogram;
use crate::model::metadata::Metadata;
use crate::model::sample::{TimeRange, day_of};
use crate::storage::head::packed::{IdHasher, histogram_bytes};
use crate::storage::head::sorted::{self, Sorted};
use crate::storage::types::{LogExemplar, LogRows, MemorySource, NOWHERE, Run, Series};

/// Rows applied under one lock.
const ROWS_PER_LOCK: usize = 1024;
/// Exemplars kept until the flush; as many as Prometheus' ring holds.
const MAX_EXEMPLARS: usize = 100_000;
const UNUSED: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub struct Memtable {
    pub generation: u32,
    table: RwLock<Table>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    /// Slot of the registry to position in `series`.
    by_slot: Vec<u32>,
    by_id: HashMap<i64, u32, IdHasher>,
    series: Vec<Points>,
    samples: usize,
    bounds: Option<TimeRange>,
    has_histograms: bool,
    has_start_timestamps: bool,
    exemplars: Vec<LogExemplar>,
    metadata: Vec<(String, Metadata)>,
}

/// The samples of one series in arrival order.
#[derive(Debug)]
struct Points {
    series: Arc<Series>,
    points: Vec<Point>,
    /// Timestamps are strictly increasing.
    sorted: bool,
    /// Day of the last row; tells when the index has to learn of another one.
    day: i32,
    extras: Option<Box<Extras>>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    timestamp: i64,
    value: f64,
}

/// What most series do not have; each is empty or parallel to the points.
#[derive(Default, Debug)]
struct Extras {
    histograms: Vec<Option<Arc<FloatHistogram>>>,
    start_timestamps: Vec<i64>,
}

/// A series and a day on which it has a row.
pub type SeriesDay = (Arc<Series>, i32);

impl Memtable {
    pub fn new(generation: u32) -> Self {
        Self { generation, table: RwLock::default(), bytes: AtomicUsize::new(0) }
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        let table = self.table.read();
        table.samples == 0 && table.exemplars.is_empty() && table.metadata.is_empty()
    }

    pub fn series(&self) -> usize {
        self.table.read().series.len()
    }

    /// Appends rows whose series are held already or come with them. Returns the series that got a row on another
    /// day than their row before; the caller tells the index before it acknowledges.
    pub fn apply(&self, rows: &LogRows) -> Vec<SeriesDay> {
        let mut days = Vec::new();
        let mut grown = 0;
        {
            let mut table = self.table.write();
            for (slot, series) in &rows.series {
                grown += table.register(*slot, series);
            }
        }
        let samples = &rows.samples;
        for start in (0..samples.slots.len()).step_by(ROWS_PER_LOCK) {
            let mut table = self.table.write();
            for row in start..(start + ROWS_PER_LOCK).min(samples.slots.len()) {
                let point = Point { timestamp: samples.timestamps[row], value: samples.values[row] };
                grown += table.push(samples.slots[row], point, None, samples.start_timestamp(row), &mut days);
            }
        }
        let mut table = self.table.write();
        for row in &rows.histograms {
            // The float beside a histogram is its sum, so that nothing uninitialised is ever read.
            let point = Point { timestamp: row.timestamp, value: row.histogram.sum };
            grown += histogram_bytes(&row.histogram);
            grown += table.push(row.slot, point, Some(&row.histogram), row.start_timestamp, &mut days);
        }
        let room = MAX_EXEMPLARS.saturating_sub(table.exemplars.len());
        table.exemplars.extend(rows.exemplars.iter().take(room).cloned());
        table.metadata.extend_from_slice(&rows.metadata);
        drop(table);
        self.bytes.fetch_add(grown, Ordering::Relaxed);
        days
    }

    /// Everything held, in the order of the series.
    pub fn sorted(&self) -> Sorted {
        let table = self.table.read();
        let mut order: Vec<&Points> = table.series.iter().filter(|s| !s.points.is_empty()).collect();
        order.sort_by_cached_key(|s| (s.series.labels.metric().to_string(), s.series.id));
        let (mut sorted, mut run) = (sorted::Builder::default(), Run::default());
        for points in order {
            run.clear();
            points.read(TimeRange::ALL, &mut run);
            sorted.push(&points.series, (&run).into());
        }
        sorted.finish()
    }

    /// Exemplars and the series they belong to.
    pub fn exemplars(&self) -> Vec<(Arc<Series>, LogExemplar)> {
        self.exemplars_where(|_| true)
    }

    /// Those that are wanted.
    pub fn exemplars_where(&self, wanted: impl Fn(&LogExemplar) -> bool) -> Vec<(Arc<Series>, LogExemplar)> {
        let table = self.table.read();
        let with_series = |row: &LogExemplar| {
            let position = table.position(row.slot).expect("labels are logged before rows");
            (table.series[position].series.clone(), row.clone())
        };
        table.exemplars.iter().filter(|row| wanted(row)).map(with_series).collect()
    }

    /// Metadata set in this window, the last of each family winning.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        self.table.read().metadata.clone()
    }
}

impl MemorySource for Memtable {
    fn locate(&self, ids: &[i64], range: TimeRange, places: &mut [u32]) {
        let table = self.table.read();
        for (id, place) in ids.iter().zip(places) {
            let found = table.by_id.get(id).copied();
            *place = found.filter(|at| table.series[*at as usize].reaches(range)).unwrap_or(NOWHERE);
        }
    }

    fn read_at(&self, place: u32, range: TimeRange, run: &mut Run) {
        self.table.read().series[place as usize].read(range, run);
    }

    fn bounds(&self) -> Option<TimeRange> {
        self.table.read().bounds
    }

    fn samples(&self) -> usize {
        self.table.read().samples
    }

    fn has_histograms(&self) -> bool {
        self.table.read().has_histograms
    }

    fn has_start_timestamps(&self) -> bool {
        self.table.read().has_start_timestamps
    }
}

impl Table {
    fn position(&self, slot: u32) -> Option<usize> {
        let position = *self.by_slot.get(slot as usize)?;
        (position != UNUSED).then_some(position as usize)
    }

    /// Returns the memory added.
    fn register(&mut self, slot: u32, series: &Arc<Series>) -> usize {
        if self.position(slot).is_some() {
            return 0;
        }
        if self.by_slot.len() <= slot as usize {
            self.by_slot.resize(slot as usize + 1, UNUSED);
        }
        let position = u32::try_from(self.series.len()).expect("slots are u32");
        self.by_slot[slot as usize] = position;
        self.by_id.insert(series.id, position);
        self.series.push(Points {
            series: series.clone(),
            points: Vec::new(),
            sorted: true,
            day: i32::MIN,
            extras: None,
        });
        size_of::<Points>() + size_of::<(i64, u32)>() + size_of::<u32>()
    }

    /// Returns the memory added.
    fn push(
        &mut self,
        slot: u32,
        point: Point,
        histogram: Option<&Arc<FloatHistogram>>,
        start_timestamp: i64,
        days: &mut Vec<SeriesDay>,
    ) -> usize {
        let points = &mut self.series[self.by_slot[slot as usize] as usize];
        let before = points.points.capacity();
        points.push(point, histogram, start_timestamp);
        let day = day_of(point.timestamp);
        if points.day != day {
            points.day = day;
            days.push((points.series.clone(), day));
        }
        let grown = (points.points.capacity() - before) * size_of::<Point>();
        self.samples += 1;
        self.has_histograms |= histogram.is_some();
        self.has_start_timestamps |= start_timestamp != 0;
        let at = TimeRange::new(point.timestamp, point.timestamp);
        self.bounds = Some(self.bounds.map_or(at, |bounds| bounds.union(&at)));
        grown
    }
}

impl Points {
    fn push(&mut self, point: Point, histogram: Option<&Arc<FloatHistogram>>, start_timestamp: i64) {
        if let Some(last) = self.points.last() {
            self.sorted &= last.timestamp < point.timestamp;
        }
        if self.points.len() == self.points.capacity() {
            // By half, not by double: the vectors are most of the memory of the process.
            self.points.reserve_exact((self.points.len() / 2).max(8));
        }
        if histogram.is_some() || start_timestamp != 0 || self.extras.is_some() {
            let extras = self.extras.get_or_insert_default();
            let len = self.points.len();
            if histogram.is_some() || !extras.histograms.is_empty() {
                extras.histograms.resize(len, None);
                extras.histograms.push(histogram.cloned());
            }
            if start_timestamp != 0 || !extras.start_timestamps.is_empty() {
                extras.start_timestamps.resize(len, 0);
                extras.start_timestamps.push(start_timestamp);
            }
        }
        self.points.push(point);
    }

    /// Whether a sample may be within the range.
    fn reaches(&self, range: TimeRange) -> bool {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return false };
        !self.sorted || range.overlaps(first.timestamp, last.timestamp)
    }

    fn read(&self, range: TimeRange, run: &mut Run) {
        if self.sorted {
            let to = end_of(&self.points, |timestamp| timestamp <= range.end_inclusive);
            let from = end_of(&self.points[..to], |timestamp| timestamp < range.start_inclusive);
            run.timestamps.extend(self.points[from..to].iter().map(|p| p.timestamp));
            run.values.extend(self.points[from..to].iter().map(|p| p.value));
            self.copy_extras(from..to, run);
            return;
        }
        let mut rows: Vec<usize> =
            (0..self.points.len()).filter(|i| range.contains(self.points[*i].timestamp)).collect();
        rows.sort_by_key(|i| self.points[*i].timestamp);
        // The sort is stable: of equal timestamps the one that arrived last is last, and wins.
        let mut kept = 0;
        for i in 0..rows.len() {
            let last =
                rows.get(i + 1).is_none_or(|next| self.points[*next].timestamp != self.points[rows[i]].timestamp);
            if last {
                rows[kept] = rows[i];
                kept += 1;
            }
        }
        rows.truncate(kept);
        run.timestamps.extend(rows.iter().map(|i| self.points[*i].timestamp));
        run.values.extend(rows.iter().map(|i| self.points[*i].value));
        self.copy_extras(rows.into_iter(), run);
    }

    fn copy_extras(&self, rows: impl Iterator<Item = usize> + Clone, run: &mut Run) {
        let Some(extras) = &self.extras else { return };
        if rows.clone().any(|i| extras.histograms.get(i).is_some_and(Option::is_some)) {
            run.histograms.extend(rows.clone().map(|i| extras.histograms[i].clone()));
        }
        if rows.clone().any(|i| extras.start_timestamps.get(i).is_some_and(|t| *t != 0)) {
            run.start_timestamps.extend(rows.map(|i| extras.start_timestamps[i]));
        }
    }
}

/// Where those that are `before` end. Looked for from the newest on, which most queries ask for: a bisection would meet
/// ten cache lines of every series that is in none of the caches.
fn end_of(points: &[Point], before: impl Fn(i64) -> bool) -> usize {
    let mut end = points.len();
    let mut stride = 1;
    loop {
        let start = end.saturating_sub(stride);
        match points[start..end].first() {
            Some(first) if !before(first.timestamp) => (end, stride) = (start, stride * 2),
            _ => return start + points[start..end].partition_point(|p| before(p.timestamp)),
        }
    }
}

#[cfg(test)]
mod tests;
