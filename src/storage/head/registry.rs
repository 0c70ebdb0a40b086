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
use crate::storage::head::block::IdHasher;
use crate::storage::types::{
    LogExemplar, LogHistogram, LogRows, Rejection, Series, SeriesRef, WriteBatch, WriteReport,
};

/// What is accepted; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Samples later than this are out of bounds.
    pub newest_allowed_ms: i64,
    /// How far behind the newest sample of its series a sample may be.
    pub out_of_order_window_ms: i64,
}

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

const NONE: i64 = i64::MIN;

#[derive(Debug)]
struct Cold {
    /// `None` in a free slot.
    series: Option<Arc<Series>>,
    newest_histogram: Option<Arc<FloatHistogram>>,
    newest_exemplar: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
    free: Vec<u32>,
    by_id: HashMap<i64, u32, IdHasher>,
    /// The first id a label set asks for; a parameter so that tests can make ids collide.
    hash: fn(&Labels) -> i64,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with_hash(Labels::hash_id)
    }
}

enum Verdict {
    /// Newer than everything of its series.
    Newest,
    /// Behind the newest, within the window.
    Behind,
    /// The newest sample again.
    Same,
    Rejected(Rejection),
}

/// What a row changed, to take it back.
struct Undo {
    slot: u32,
    hot: Hot,
    newest_histogram: Option<Arc<FloatHistogram>>,
}

impl Registry {
    pub fn with_hash(hash: fn(&Labels) -> i64) -> Self {
        Self { hot: Vec::new(), cold: Vec::new(), free: Vec::new(), by_id: HashMap::default(), hash }
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
            let cold = &mut self.cold[row.slot as usize];
            cold.newest_exemplar = cold.newest_exemplar.max(row.timestamp);
        }
    }

    /// Checks the rows of a batch, reserves the good ones and adds them to `out`. With `all_or_nothing` a bad
    /// row takes back the rows before it and ends the check.
    pub fn accept(&mut self, batch: &WriteBatch, rules: Rules, generation: u32, out: &mut LogRows) -> WriteReport {
        let mark = (out.series.len(), out.samples.timestamps.len(), out.histograms.len());
        let mut undo = batch.all_or_nothing.then(Vec::new);
        let mut report = WriteReport::default();
        self.accept_samples(batch, rules, generation, out, &mut report, &mut undo);
        if !batch.all_or_nothing || report.rejected_samples.is_empty() {
            self.accept_histograms(batch, rules, generation, out, &mut report, &mut undo);
        }
        let rejected = !report.rejected_samples.is_empty() || !report.rejected_histograms.is_empty();
        if let Some(undo) = undo
            && rejected
        {
            self.take_back(undo);
            out.series.truncate(mark.0);
            out.samples.truncate(mark.1);
            out.histograms.truncate(mark.2);
            (report.samples_written, report.histograms_written) = (0, 0);
            return report;
        }
        self.accept_exemplars(batch, rules, generation, out, &mut report);
        report
    }

    fn accept_samples(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
        undo: &mut Option<Vec<Undo>>,
    ) {
        for (index, row) in batch.samples.iter().enumerate() {
            let verdict = match self.hot_of(row.series) {
                None => Verdict::Rejected(Rejection::UnknownSeries),
                Some(hot) => judge(hot, row.timestamp, rules, || {
                    !hot.newest_is_histogram && hot.newest_bits == row.value.to_bits()
                }),
            };
            let slot = row.series.slot;
            match verdict {
                Verdict::Rejected(rejection) => {
                    report.rejected_samples.push((index, rejection));
                    if undo.is_some() {
                        return;
                    }
                    continue;
                }
                Verdict::Same => {}
                Verdict::Newest | Verdict::Behind => {
                    self.remember(slot, undo);
                    self.log_labels(slot, generation, out);
                    if matches!(verdict, Verdict::Newest) {
                        self.set_newest(slot, row.timestamp, row.value.to_bits());
                    }
                    let id = self.hot[slot as usize].series_id;
                    out.samples.push(slot, id, row.timestamp, row.value, row.start_timestamp);
                }
            }
            report.samples_written += 1;
        }
    }

    fn accept_histograms(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
        undo: &mut Option<Vec<Undo>>,
    ) {
        for (index, row) in batch.histograms.iter().enumerate() {
            let slot = row.series.slot;
            let verdict = match self.hot_of(row.series) {
                None => Verdict::Rejected(Rejection::UnknownSeries),
                Some(hot) => judge(hot, row.timestamp, rules, || {
                    let newest = self.cold[slot as usize].newest_histogram.as_ref();
                    hot.newest_is_histogram && newest.is_some_and(|h| same_histogram(h, &row.histogram))
                }),
            };
            match verdict {
                Verdict::Rejected(rejection) => {
                    report.rejected_histograms.push((index, rejection));
                    if undo.is_some() {
                        return;
                    }
                    continue;
                }
                Verdict::Same => {}
                Verdict::Newest | Verdict::Behind => {
                    self.remember(slot, undo);
                    self.log_labels(slot, generation, out);
                    if matches!(verdict, Verdict::Newest) {
                        self.set_newest_histogram(slot, row.timestamp, &row.histogram);
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

    /// Exemplars that are not newer than the last one of their series are left out without an error, as are
    /// those of unknown series and from the future: they are samples of samples.
    fn accept_exemplars(
        &mut self,
        batch: &WriteBatch,
        rules: Rules,
        generation: u32,
        out: &mut LogRows,
        report: &mut WriteReport,
    ) {
        for row in &batch.exemplars {
            let slot = row.series.slot;
            if self.hot_of(row.series).is_none()
                || row.timestamp > rules.newest_allowed_ms
                || row.timestamp <= self.cold[slot as usize].newest_exemplar
            {
                continue;
            }
            self.cold[slot as usize].newest_exemplar = row.timestamp;
            self.log_labels(slot, generation, out);
            out.exemplars.push(LogExemplar {
                slot,
                series_id: self.hot[slot as usize].series_id,
                timestamp: row.timestamp,
                value: row.value,
                labels: row.labels.clone(),
            });
            report.exemplars_written += 1;
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
            cold.newest_histogram = None;
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
        let cold = Cold { series: Some(series), newest_histogram: None, newest_exemplar: NONE };
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

    fn remember(&self, slot: u32, undo: &mut Option<Vec<Undo>>) {
        if let Some(undo) = undo {
            let newest_histogram = self.cold[slot as usize].newest_histogram.clone();
            undo.push(Undo { slot, hot: self.hot[slot as usize], newest_histogram });
        }
    }

    fn take_back(&mut self, undo: Vec<Undo>) {
        for Undo { slot, hot, newest_histogram } in undo.into_iter().rev() {
            self.hot[slot as usize] = hot;
            self.cold[slot as usize].newest_histogram = newest_histogram;
        }
    }
}

/// Prometheus' order rules (`tsdb/head_append.go`), per series.
fn judge(hot: &Hot, timestamp: i64, rules: Rules, same: impl FnOnce() -> bool) -> Verdict {
    if timestamp > rules.newest_allowed_ms {
        return Verdict::Rejected(Rejection::OutOfBounds);
    }
    if hot.newest == NONE || timestamp > hot.newest {
        return Verdict::Newest;
    }
    if timestamp == hot.newest {
        return if same() { Verdict::Same } else { Verdict::Rejected(Rejection::Duplicate) };
    }
    match rules.out_of_order_window_ms {
        ..=0 => Verdict::Rejected(Rejection::OutOfOrder),
        window if timestamp >= hot.newest.saturating_sub(window) => Verdict::Behind,
        _ => Verdict::Rejected(Rejection::TooOld),
    }
}

/// Equality by bits, since a stale histogram has a NaN for its sum. The counter reset hint is no part of it.
fn same_histogram(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let bits =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
    a.schema == b.schema
        && bits(
            &[a.zero_threshold, a.zero_count, a.count, a.sum],
            &[b.zero_threshold, b.zero_count, b.count, b.sum],
        )
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && bits(&a.positive_buckets, &b.positive_buckets)
        && bits(&a.negative_buckets, &b.negative_buckets)
        && bits(&a.custom_values, &b.custom_values)
}

#[cfg(test)]
mod tests;
