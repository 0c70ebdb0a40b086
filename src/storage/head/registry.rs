//! The registry of series: labels to a slot, and per slot what an append has to know (newest sample, whether the
//! log has the labels). It decides which rows are accepted and reserves them; the caller holds its lock, logs the
//! accepted rows in the order they were accepted, and so log order is check order.
//!
//! A series unknown here is not unknown to the lake: after a restart, or after a series was idle for hours, its
//! newest sample is forgotten and older samples are accepted again. Merging resolves what they overlap with.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::storage::head::packed::IdHasher;
use crate::storage::types::{
    LogExemplar, LogHistogram, LogRows, Rejection, SampleRow, Series, SeriesRef, WriteBatch, WriteReport,
};

pub use verdict::Rules;
use verdict::{Before, NONE, Newest, NewestExemplar, Verdict, judge, out_of_bounds, rises, same_histogram};

/// What becomes of a row.
mod verdict;

/// Read by every row of every append, so it is small and apart from the rest.
#[derive(Clone, Copy, Debug)]
struct Hot {
    series_id: i64,
    /// Timestamp of the newest sample, [`NONE`] before the first.
    newest: i64,
    newest_bits: u64,
    /// Of the handle; a handle with another generation is stale.
    handle: u32,
    /// Memtable generation in whose log the labels were last written.
    logged: u32,
    /// Memtable generation in which the series was last written to or interned.
    touched: u32,
    newest_is_histogram: bool,
    /// Shares its hash with another series; kept for good, so that probing always meets the other one.
    collided: bool,
}

#[derive(Debug)]
struct Cold {
    /// `None` in a free slot.
    series: Option<Arc<Series>>,
    newest_histogram: Option<Arc<FloatHistogram>>,
    newest_exemplar: Option<Box<NewestExemplar>>,
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    free: Vec<u32>,
    before: Before,
    by_id: HashMap<i64, u32, IdHasher>,
    /// The first id a label set asks for; a parameter so that tests can make ids collide.
    hash: fn(&Labels) -> i64,
    pub late: Late,
}

/// Rows accepted behind the newest of their series since the start, those of batches that were taken back included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    pub samples: u64,
    pub histograms: u64,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with_hash(Labels::hash_id)
    }
}

impl Registry {
    pub fn with_hash(hash: fn(&Labels) -> i64) -> Self {
        Self {
            hot: Vec::new(),
            cold: Vec::new(),
            free: Vec::new(),
            before: Before::default(),
            by_id: HashMap::default(),
            hash,
            late: Late::default(),
        }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Slots in use and free; [`Registry::evict`] walks them.
    pub fn slots(&self) -> usize {
        self.hot.len()
    }

    /// The handle of a series, registered if it is new. `hash` is that of the labels, taken outside of the lock.
    pub fn intern(&mut self, labels: &Labels, hash: i64, generation: u32) -> SeriesRef {
        let mut id = hash;
        while let Some(&slot) = self.by_id.get(&id) {
            if self.labels_at(slot) == labels {
                self.hot[slot as usize].touched = generation;
                return self.handle(slot);
            }
            self.hot[slot as usize].collided = true;
            id = id.wrapping_add(1);
        }
        let slot = self.insert(Arc::new(Series { id, labels: labels.clone() }), id != hash, generation);
        self.handle(slot)
    }

    /// Registers a series of the log under the id it has there; returns its slot.
    pub fn restore(&mut self, series: &Arc<Series>, generation: u32) -> u32 {
        let slot = match self.by_id.get(&series.id) {
            Some(&slot) => slot,
            None => {
                let hash = (self.hash)(&series.labels);
                if let Some(&other) = self.by_id.get(&hash) {
                    self.hot[other as usize].collided = true;
                }
                self.insert(series.clone(), series.id != hash, generation)
            }
        };
        let hot = &mut self.hot[slot as usize];
        (hot.logged, hot.touched) = (generation, generation);
        slot
    }

    /// The slot of a series id.
    pub fn slot_of(&self, series_id: i64) -> Option<u32> {
        self.by_id.get(&series_id).copied()
    }

    /// The series of an id.
    pub fn series_of(&self, series_id: i64) -> Option<&Arc<Series>> {
        self.cold[self.slot_of(series_id)? as usize].series.as_ref()
    }

    /// Takes over the newest samples of rows that were accepted before a restart.
    pub fn replay(&mut self, rows: &LogRows) {
        for (row, &slot) in rows.samples.slots.iter().enumerate() {
            let timestamp = rows.samples.timestamps[row];
            if timestamp >= self.hot[slot as usize].newest {
                self.set_newest(slot, timestamp, rows.samples.values[row].to_bits());
            }
        }
        for row in &rows.histograms {
            if row.timestamp >= self.hot[row.slot as usize].newest {
                self.set_newest_histogram(row.slot, row.timestamp, &row.histogram);
            }
        }
        for row in &rows.exemplars {
            // The log does not say whose time it is.
            let exemplar = NewestExemplar::new(row.timestamp, true, row.value, &row.labels);
            let newest = &mut self.cold[row.slot as usize].newest_exemplar;
            if newest.as_ref().is_none_or(|newest| !exemplar.is_before(newest)) {
                *newest = Some(Box::new(exemplar));
            }
        }
    }

    /// Checks the rows of a batch, reserves the good ones and adds them to `out`.
    pub fn accept(&mut self, batch: &WriteBatch, rules: Rules, generation: u32, out: &mut LogRows) -> WriteReport {
        let mut report = WriteReport::default();
        let mut before = std::mem::take(&mut self.before);
        before.begin(out);
        self.accept_samples(batch, rules, generation, out, &mut report, &mut before);
        self.accept_histograms(batch, rules, generation, out, &mut report, &mut before);
        self.accept_exemplars(batch, rules, generation, out, &mut report);
        self.before = before;
        report
    }

    fn accept_samples(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
        before: &mut Before,
    ) {
        let mut first = 0;
        for run in batch.samples.chunk_by(|a, b| a.series == b.series) {
            let rows = first..first + run.len();
            first = rows.end;
            let series = run[0].series;
            let slot = series.slot;
            let Some(hot) = self.hot_of(series) else {
                report.rejected_samples.extend(rows.map(|row| (row, Rejection::UnknownSeries)));
                continue;
            };
            let (newest, id) = (hot.newest, hot.series_id);
            if rises(run, newest, rules) {
                let last = run[run.len() - 1];
                before.newest.push((slot, self.newest(slot)));
                self.log_labels(slot, generation, out);
                self.set_newest(slot, last.timestamp, last.value.to_bits());
                out.samples.extend(slot, id, run);
                report.samples_written += run.len();
                continue;
            }
            for (index, row) in rows.zip(run) {
                self.accept_sample(index, row, rules, generation, out, report, before);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one append, which has no name of its own")]
    fn accept_sample(
        &mut self,
        index: usize,
        row: &SampleRow,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
        before: &mut Before,
    ) {
        let slot = row.series.slot;
        let same = |newest: &Newest| !newest.is_histogram && newest.bits == row.value.to_bits();
        let newest = self.newest(slot);
        match judge(&newest, row.timestamp, rules, same) {
            Verdict::Rejected(_) => {
                let committed = before.of(slot).unwrap_or(&newest);
                match judge(committed, row.timestamp, rules, same) {
                    Verdict::Rejected(rejection) => {
                        report.rejected_samples.push((index, rejection));
                        if rejection == Rejection::Duplicate {
                            report.existing.push((index, committed.existing()));
                        }
                    }
                    Verdict::Same => report.samples_written += 1,
                    Verdict::Newest | Verdict::Behind => report.dropped_samples.push(index),
                }
                return;
            }
            Verdict::Same => {}
            Verdict::Behind if before.has_sample(&out.samples, slot, row.timestamp) => {
                report.dropped_samples.push(index);
                return;
            }
            verdict @ (Verdict::Newest | Verdict::Behind) => {
                self.log_labels(slot, generation, out);
                match verdict {
                    Verdict::Newest => {
                        before.newest.push((slot, newest));
                        self.set_newest(slot, row.timestamp, row.value.to_bits());
                    }
                    _ => self.late.samples += 1,
                }
                let id = self.hot[slot as usize].series_id;
                out.samples.push(slot, id, row.timestamp, row.value, row.start_timestamp);
            }
        }
        report.samples_written += 1;
    }

    fn accept_histograms(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
        before: &mut Before,
    ) {
        for (index, row) in batch.histograms.iter().enumerate() {
            let slot = row.series.slot;
            if self.hot_of(row.series).is_none() {
                report.rejected_histograms.push((index, Rejection::UnknownSeries));
                continue;
            }
            let same = |newest: &Newest| {
                let histogram = newest.histogram.as_ref();
                newest.is_histogram && histogram.is_some_and(|h| same_histogram(h, &row.histogram))
            };
            let newest = self.newest(slot);
            match judge(&newest, row.timestamp, rules, same) {
                Verdict::Rejected(_) => {
                    match judge(before.of(slot).unwrap_or(&newest), row.timestamp, rules, same) {
                        Verdict::Rejected(rejection) => report.rejected_histograms.push((index, rejection)),
                        Verdict::Same => report.histograms_written += 1,
                        Verdict::Newest | Verdict::Behind => report.dropped_histograms.push(index),
                    }
                    continue;
                }
                Verdict::Same => {}
                verdict @ (Verdict::Newest | Verdict::Behind) => {
                    self.log_labels(slot, generation, out);
                    match verdict {
                        Verdict::Newest => {
                            before.newest.push((slot, newest));
                            self.set_newest_histogram(slot, row.timestamp, &row.histogram);
                        }
                        _ => self.late.histograms += 1,
                    }
                    out.histograms.push(LogHistogram {
                        slot,
                        series_id: self.hot[slot as usize].series_id,
                        timestamp: row.timestamp,
                        histogram: row.histogram.clone(),
                        start_timestamp: row.start_timestamp,
                    });
                }
            }
            report.histograms_written += 1;
        }
    }

    /// Prometheus' order of exemplars (`tsdb/exemplar.go`): by time, value and labels, behind the newest one that the
    /// series had before this batch, which may come again and again.
    fn accept_exemplars(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
    ) {
        let mut committed: HashMap<u32, Option<NewestExemplar>> = HashMap::new();
        for (index, row) in batch.exemplars.iter().enumerate() {
            let slot = row.series.slot;
            let rejected = &mut report.rejected_exemplars;
            if self.hot_of(row.series).is_none() {
                rejected.push((index, Rejection::UnknownSeries));
                continue;
            }
            if let Some(rejection) = out_of_bounds(row.timestamp, rules) {
                rejected.push((index, rejection));
                continue;
            }
            let exemplar = NewestExemplar::new(row.timestamp, row.has_timestamp, row.value, &row.labels);
            let newest = self.cold[slot as usize].newest_exemplar.as_deref();
            let committed = committed.entry(slot).or_insert_with(|| newest.cloned());
            if committed.as_ref().is_some_and(|c| exemplar != *c && exemplar.is_refused_behind(c, rules)) {
                rejected.push((index, Rejection::OutOfOrder));
                continue;
            }
            report.exemplars_written += 1;
            if committed.as_ref() == Some(&exemplar) || newest == Some(&exemplar) {
                continue;
            }
            if newest.is_none_or(|newest| !exemplar.is_before(newest)) {
                self.cold[slot as usize].newest_exemplar = Some(Box::new(exemplar));
            }
            self.log_labels(slot, generation, out);
            out.exemplars.push(LogExemplar {
                slot,
                series_id: self.hot[slot as usize].series_id,
                timestamp: row.timestamp,
                value: row.value,
                labels: row.labels.clone(),
            });
        }
    }

    /// Forgets series of the slots `from..to` that nothing touched since generation `touched_before`; returns
    /// them. The caller has made sure that no memtable and no queue holds rows of such old generations.
    pub fn evict(&mut self, from: usize, to: usize, touched_before: u32) -> Vec<Arc<Series>> {
        let mut evicted = Vec::new();
        for slot in from..to.min(self.hot.len()) {
            let hot = &mut self.hot[slot];
            if hot.touched >= touched_before || hot.collided {
                continue;
            }
            let cold = &mut self.cold[slot];
            let Some(series) = cold.series.take() else { continue };
            (cold.newest_histogram, cold.newest_exemplar) = (None, None);
            hot.handle = hot.handle.wrapping_add(1);
            self.by_id.remove(&series.id);
            self.free.push(slot as u32);
            evicted.push(series);
        }
        evicted
    }

    fn insert(&mut self, series: Arc<Series>, collided: bool, generation: u32) -> u32 {
        let id = series.id;
        let mut hot = Hot {
            series_id: id,
            newest: NONE,
            newest_bits: 0,
            handle: 0,
            logged: 0,
            touched: generation,
            newest_is_histogram: false,
            collided,
        };
        let cold = Cold { series: Some(series), newest_histogram: None, newest_exemplar: None };
        let slot = match self.free.pop() {
            Some(slot) => {
                hot.handle = self.hot[slot as usize].handle;
                self.hot[slot as usize] = hot;
                self.cold[slot as usize] = cold;
                slot
            }
            None => {
                self.hot.push(hot);
                self.cold.push(cold);
                u32::try_from(self.hot.len() - 1).expect("memory ends before four billion series")
            }
        };
        self.by_id.insert(id, slot);
        slot
    }

    fn handle(&self, slot: u32) -> SeriesRef {
        SeriesRef { slot, generation: self.hot[slot as usize].handle }
    }

    fn hot_of(&self, series: SeriesRef) -> Option<&Hot> {
        self.hot.get(series.slot as usize).filter(|hot| hot.handle == series.generation)
    }

    fn labels_at(&self, slot: u32) -> &Labels {
        &self.cold[slot as usize].series.as_ref().expect("ids lead to used slots").labels
    }

    fn log_labels(&mut self, slot: u32, generation: u32, out: &mut LogRows) {
        let hot = &mut self.hot[slot as usize];
        hot.touched = generation;
        if hot.logged != generation {
            hot.logged = generation;
            let series = self.cold[slot as usize].series.as_ref().expect("handles lead to used slots");
            out.series.push((slot, series.clone()));
        }
    }

    fn set_newest(&mut self, slot: u32, timestamp: i64, bits: u64) {
        let hot = &mut self.hot[slot as usize];
        (hot.newest, hot.newest_bits) = (timestamp, bits);
        if hot.newest_is_histogram {
            hot.newest_is_histogram = false;
            self.cold[slot as usize].newest_histogram = None;
        }
    }

    fn set_newest_histogram(&mut self, slot: u32, timestamp: i64, histogram: &Arc<FloatHistogram>) {
        let hot = &mut self.hot[slot as usize];
        (hot.newest, hot.newest_bits, hot.newest_is_histogram) = (timestamp, 0, true);
        self.cold[slot as usize].newest_histogram = Some(histogram.clone());
    }

    fn newest(&self, slot: u32) -> Newest {
        let hot = &self.hot[slot as usize];
        let histogram =
            if hot.newest_is_histogram { self.cold[slot as usize].newest_histogram.clone() } else { None };
        Newest { timestamp: hot.newest, bits: hot.newest_bits, is_histogram: hot.newest_is_histogram, histogram }
    }
}

#[cfg(test)]
mod tests;
