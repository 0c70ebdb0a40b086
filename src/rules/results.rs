//! What the rules of one evaluation found, on its way into the store: rows of all of them in one batch, since each batch has a
//! price of its own.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::engine::session::Point;
use crate::error::Error;
use crate::ingest::appender::Appended;
use crate::ingest::labels;
use crate::model::float::format_general;
use crate::model::labels::Labels;
use crate::model::sample::STALE_NAN;
use crate::rules::alert::AlertState;
use crate::storage::types::{Existing, HistogramRow, Rejection, SampleRow, SeriesRef, WriteBatch};

/// So many rows are handed over before more are gathered.
const MOST_ROWS: usize = 8192;

/// A series that a rule wrote.
#[derive(Clone, Debug)]
pub(super) struct Written {
    origin: Origin,
    pub labels: Labels,
    series: SeriesRef,
}

/// What the labels of a result are made of. A rule makes the same of the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// An element of the vector.
    Element(Labels),
    Alerts(Labels, AlertState),
    AlertsForState(Labels),
}

impl Origin {
    pub fn labels(&self) -> &Labels {
        match self {
            Origin::Element(labels) | Origin::Alerts(labels, _) | Origin::AlertsForState(labels) => labels,
        }
    }
}

/// One result of a rule.
#[derive(Debug)]
struct Found {
    origin: Origin,
    labels: Labels,
    point: Point,
    /// Where the last evaluation had it in the same place.
    series: Option<SeriesRef>,
}

/// The results of one rule.
#[derive(Debug)]
pub(super) struct Findings {
    /// What the last evaluation wrote.
    before: Arc<Vec<Written>>,
    found: Vec<Found>,
    /// Whether all of them were there before.
    known: bool,
    /// What keeps them from being all there is.
    pub doubt: Option<Error>,
    /// Series of the last evaluation that are not among them are not ended.
    pub go_on: bool,
}

impl Findings {
    pub fn new(before: Arc<Vec<Written>>) -> Self {
        Self { before, found: Vec::new(), known: true, doubt: None, go_on: false }
    }

    /// Whether all series of the last evaluation are among them.
    pub fn has_all_of_before(&self) -> bool {
        if self.known && self.found.len() == self.before.len() {
            return true;
        }
        let found: HashSet<&Labels> = self.found.iter().map(|found| &found.labels).collect();
        self.before.iter().all(|written| found.contains(&written.labels))
    }

    /// `labels` makes those of a result, where the last evaluation did not.
    pub fn add(&mut self, origin: Origin, point: Point, labels: impl FnOnce(&Origin) -> Labels) {
        let (labels, series) = match self.before.get(self.found.len()).filter(|written| written.origin == origin) {
            Some(written) => (written.labels.clone(), Some(written.series)),
            None => (labels(&origin), None),
        };
        self.known &= series.is_some();
        self.found.push(Found { origin, labels, point, series });
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether two of them have the same labels.
    pub fn has_duplicates(&self) -> bool {
        let mut seen = HashSet::with_capacity(if self.known { 0 } else { self.found.len() });
        // Those of the last evaluation had none.
        !self.known && self.found.iter().any(|found| !seen.insert(&found.labels))
    }

    /// Drops what nobody should find in the lake: arithmetic makes histograms that none can be, and functions labels beyond
    /// all bounds.
    pub fn drop_unstorable(&mut self, mut tell: impl FnMut(&Error)) {
        self.found.retain(|Found { labels, point, series, .. }| {
            let checked = match (series, point) {
                (None, _) => labels::check(labels).map_err(|error| Error::execution(error.to_string())),
                (Some(_), _) => Ok(()),
            };
            let checked = checked.and_then(|()| match point {
                Point::Float(_) => Ok(()),
                Point::Histogram(histogram) => histogram.validate(),
            });
            checked.inspect_err(&mut tell).is_ok()
        });
    }
}

/// The results of one rule with handles, and the series that it does not have any more.
#[derive(Debug)]
pub(super) struct Rows {
    written: Vec<Written>,
    /// Of the series written.
    points: Vec<Point>,
    ended: Vec<Written>,
    /// Series that are not found, and have not ended for that.
    carried: Vec<Written>,
}

impl Findings {
    /// `intern` gives handles to series that are new.
    pub fn into_rows(self, intern: impl FnOnce(&[Labels]) -> Vec<SeriesRef>) -> Rows {
        let Findings { before, found, known, go_on, .. } = self;
        let handles = if known { Handles::default() } else { Handles::of(&before, &found, intern) };
        let results = found.into_iter().map(|Found { origin, labels, point, series }| {
            let series = series.unwrap_or_else(|| handles.of_labels(&labels));
            (Written { origin, labels, series }, point)
        });
        let (written, points): (Vec<Written>, Vec<Point>) = results.unzip();
        let ended = match known && written.len() == before.len() {
            true => Vec::new(),
            false => {
                let current: HashSet<SeriesRef> = written.iter().map(|written| written.series).collect();
                before.iter().filter(|written| !current.contains(&written.series)).cloned().collect()
            }
        };
        let (ended, carried) = if go_on { (vec![], ended) } else { (ended, vec![]) };
        Rows { written, points, ended, carried }
    }
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.ended.is_empty()
    }

    fn series(&self) -> impl Iterator<Item = SeriesRef> {
        self.written.iter().chain(&self.ended).map(|written| written.series)
    }
}

/// Results of rules that the store does not have yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    batch: WriteBatch,
    parts: Vec<Part>,
    places: HashSet<usize>,
    /// All that are in the batch.
    series: HashSet<SeriesRef>,
}

/// Those of one rule.
#[derive(Debug)]
pub(super) struct Part {
    /// Of the rule in its group.
    pub place: usize,
    /// Places in the batch.
    samples: Range<usize>,
    histograms: Range<usize>,
    at: i64,
    /// The series of the results.
    written: Vec<Written>,
    /// Series that end here.
    ended: Vec<Written>,
    /// Series that go on without a sample here.
    carried: Vec<Written>,
}

impl Gathered {
    pub fn has(&self, place: usize) -> bool {
        self.places.contains(&place)
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether they must be handed over before these rows are taken: there are enough of them, or another rule has a series of
    /// these, and the store would not say that the second one is refused.
    pub fn is_full_for(&self, rows: &Rows) -> bool {
        let enough = self.batch.samples.len() + self.batch.histograms.len() > MOST_ROWS;
        enough || !self.is_empty() && rows.series().any(|series| self.series.contains(&series))
    }

    /// Takes the results of a rule at a time.
    pub fn add(&mut self, place: usize, rows: Rows, at: i64) {
        self.series.extend(rows.series());
        self.places.insert(place);
        let Rows { written, points, ended, carried } = rows;
        let first = (self.batch.samples.len(), self.batch.histograms.len());
        for (Written { series, .. }, point) in written.iter().zip(points) {
            let series = *series;
            match point {
                Point::Float(value) => {
                    self.batch.samples.push(SampleRow { series, timestamp: at, value, start_timestamp: 0 });
                }
                Point::Histogram(histogram) => {
                    self.batch.histograms.push(HistogramRow {
                        series,
                        timestamp: at,
                        histogram,
                        start_timestamp: 0,
                    });
                }
            }
        }
        let (samples, histograms) = (first.0..self.batch.samples.len(), first.1..self.batch.histograms.len());
        self.batch.samples.extend(ended.iter().map(|Written { series, .. }| end_of(*series, at)));
        self.parts.push(Part { place, samples, histograms, at, written, ended, carried });
    }

    /// Takes everything out, as a batch and what it is made of.
    pub fn take(&mut self) -> (WriteBatch, Vec<Part>) {
        let Gathered { batch, parts, .. } = std::mem::take(self);
        (batch, parts)
    }
}

/// The row that ends a series at a time.
pub(super) fn end_of(series: SeriesRef, at: i64) -> SampleRow {
    SampleRow { series, timestamp: at, value: STALE_NAN, start_timestamp: 0 }
}

/// The labels of the handles in a batch, for the appender; it asks for few of them, and seldom.
pub(super) fn labels_of(parts: &[Part]) -> impl FnMut(SeriesRef) -> Option<Labels> + Send + '_ {
    let mut known: Option<HashMap<SeriesRef, &Labels>> = None;
    move |series| {
        let known = known.get_or_insert_with(|| {
            let all = parts.iter().flat_map(|part| part.written.iter().chain(&part.ended));
            all.map(|written| (written.series, &written.labels)).collect()
        });
        known.get(&series).map(|labels| (*labels).clone())
    }
}

/// Handles of the results of a rule that were not where they were before.
#[derive(Default)]
struct Handles {
    before: HashMap<Labels, SeriesRef>,
    fresh: HashMap<Labels, SeriesRef>,
}

impl Handles {
    fn of(before: &[Written], found: &[Found], intern: impl FnOnce(&[Labels]) -> Vec<SeriesRef>) -> Self {
        let before: HashMap<Labels, SeriesRef> =
            before.iter().map(|written| (written.labels.clone(), written.series)).collect();
        let is_fresh = |found: &&Found| found.series.is_none() && !before.contains_key(&found.labels);
        let fresh: Vec<Labels> = found.iter().filter(is_fresh).map(|found| found.labels.clone()).collect();
        let handles = intern(&fresh);
        Self { fresh: fresh.into_iter().zip(handles).collect(), before }
    }

    fn of_labels(&self, labels: &Labels) -> SeriesRef {
        *self.before.get(labels).or_else(|| self.fresh.get(labels)).expect("it was there before, or is fresh")
    }
}

impl Part {
    /// What the store refused of the results, with Prometheus' words for it and how often. Ends of series are refused where
    /// another rule writes them, which is fine.
    pub fn refusals(&self, appended: &Appended) -> Vec<(String, Rejection, usize)> {
        let mut counts: Vec<(Rejection, usize)> = Vec::new();
        for (_, rejection) in self.rejected(appended) {
            match counts.iter_mut().find(|(known, _)| *known == rejection) {
                Some((_, count)) => *count += 1,
                None => counts.push((rejection, 1)),
            }
        }
        let words = |rejection| self.words(rejection, appended);
        counts.into_iter().map(|(rejection, count)| (words(rejection), rejection, count)).collect()
    }

    fn rejected(&self, appended: &Appended) -> Vec<(SeriesRef, Rejection)> {
        let (report, batch) = (&appended.report, &appended.batch);
        let samples =
            within(&report.rejected_samples, &self.samples).map(|(row, why)| (batch.samples[row].series, why));
        let histograms = within(&report.rejected_histograms, &self.histograms)
            .map(|(row, why)| (batch.histograms[row].series, why));
        samples.chain(histograms).collect()
    }

    /// For a duplicate they name the first one.
    fn words(&self, rejection: Rejection, appended: &Appended) -> String {
        let mut existing = within(&appended.report.existing, &self.samples);
        match existing.next().filter(|_| rejection == Rejection::Duplicate) {
            Some((row, Existing::Float(existing))) => format!(
                "{} {}; overrides not allowed: existing {}, new value {}",
                rejection.as_str(),
                self.at,
                format_general(existing),
                format_general(appended.batch.samples[row].value)
            ),
            _ => rejection.as_str().to_string(),
        }
    }

    /// The series that the rule has now.
    pub fn written(self, appended: &Appended) -> Arc<Vec<Written>> {
        let refused: HashSet<SeriesRef> = self.rejected(appended).into_iter().map(|(series, _)| series).collect();
        let mut written = self.written;
        written.retain(|written| !refused.contains(&written.series));
        if !appended.renewed.is_empty() {
            written.iter_mut().for_each(|written| written.series = appended.current(written.series));
        }
        written.extend(self.carried);
        Arc::new(written)
    }
}

/// Those of rows in a range. They are sorted by row.
fn within<T: Copy>(rows: &[(usize, T)], range: &Range<usize>) -> impl Iterator<Item = (usize, T)> {
    let first = rows.partition_point(|(row, _)| *row < range.start);
    let end = range.end;
    rows[first..].iter().copied().take_while(move |(row, _)| *row < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(slot: u32) -> SeriesRef {
        SeriesRef { slot, generation: 0 }
    }

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("a", name)])
    }

    /// Results of a vector with these labels, written as they are.
    fn findings(before: &Arc<Vec<Written>>, names: &[&str]) -> Findings {
        let mut findings = Findings::new(before.clone());
        for name in names {
            findings.add(Origin::Element(labels(name)), Point::Float(1.0), |origin| origin.labels().clone());
        }
        findings
    }

    /// Handles are places in the alphabet.
    fn intern(fresh: &[Labels]) -> Vec<SeriesRef> {
        fresh.iter().map(|labels| series(u32::from(labels.get("a").unwrap().as_bytes()[0] - b'a'))).collect()
    }

    /// An evaluation whose rows the store took, but for these rows; and the slots of its rows.
    fn evaluated(before: &Arc<Vec<Written>>, names: &[&str], refused: &[usize]) -> (Arc<Vec<Written>>, Vec<u32>) {
        let mut gathered = Gathered::default();
        gathered.add(0, findings(before, names).into_rows(intern), 5);
        let (batch, mut parts) = gathered.take();
        let slots = batch.samples.iter().map(|row| row.series.slot).collect();
        let mut appended = Appended::default();
        appended.batch = batch;
        appended.report.rejected_samples = refused.iter().map(|row| (*row, Rejection::Duplicate)).collect();
        appended.report.existing = refused.iter().map(|row| (*row, Existing::Float(2.0))).collect();
        (parts.pop().unwrap().written(&appended), slots)
    }

    #[test]
    fn series_are_known_by_place_or_by_labels_and_end() {
        let (first, slots) = evaluated(&Arc::default(), &["a", "b", "c"], &[]);
        assert_eq!(slots, [0, 1, 2]);
        let untouched = |_: &[Labels]| -> Vec<SeriesRef> { panic!("all are known") };
        let rows = findings(&first, &["a", "b", "c"]).into_rows(untouched);
        assert_eq!(rows.series().map(|series| series.slot).collect::<Vec<_>>(), [0, 1, 2]);
        // One ends, one is in another place, one is new.
        let (second, slots) = evaluated(&first, &["c", "d", "a"], &[]);
        assert_eq!(slots, [2, 3, 0, 1]);
        let (third, slots) = evaluated(&second, &[], &[]);
        assert_eq!((slots, third.len()), (vec![2, 3, 0], 0));
        assert!(findings(&third, &[]).into_rows(intern).is_empty());
    }

    #[test]
    fn series_that_go_on_are_not_ended_and_not_forgotten() {
        let (first, _) = evaluated(&Arc::default(), &["a", "b"], &[]);
        assert!(findings(&first, &["b", "a", "c"]).has_all_of_before());
        let doubtful = findings(&first, &["b"]);
        assert!(!doubtful.has_all_of_before());
        let mut gathered = Gathered::default();
        gathered.add(0, Findings { go_on: true, ..doubtful }.into_rows(intern), 5);
        let (batch, mut parts) = gathered.take();
        assert_eq!(batch.samples.iter().map(|row| row.series.slot).collect::<Vec<_>>(), [1]);
        let second = parts.pop().unwrap().written(&Appended::default());
        let (third, slots) = evaluated(&second, &["b"], &[]);
        assert_eq!((slots, third.len()), (vec![1, 0], 1), "it ends when nothing is in doubt any more");
    }

    #[test]
    fn what_is_refused_is_told_and_not_the_rules() {
        let (kept, _) = evaluated(&Arc::default(), &["a", "b", "c"], &[1]);
        let kept: Vec<u32> = kept.iter().map(|written| written.series.slot).collect();
        assert_eq!(kept, [0, 2]);
        let mut gathered = Gathered::default();
        let (before, _) = evaluated(&Arc::default(), &["c"], &[]);
        gathered.add(0, findings(&Arc::default(), &["a"]).into_rows(intern), 5);
        gathered.add(1, findings(&before, &["b"]).into_rows(intern), 5);
        let (batch, parts) = gathered.take();
        let mut appended = Appended::default();
        appended.batch = batch;
        // The row behind the result of the second rule ends a series.
        appended.report.rejected_samples =
            vec![(0, Rejection::TooOld), (1, Rejection::Duplicate), (2, Rejection::OutOfOrder)];
        appended.report.existing = vec![(1, Existing::Float(2.0))];
        let words =
            |part: &Part| part.refusals(&appended).into_iter().map(|(words, _, n)| (words, n)).collect::<Vec<_>>();
        assert_eq!(words(&parts[0]), [("too old sample".to_string(), 1)]);
        let duplicate = "duplicate sample for timestamp 5; overrides not allowed: existing 2, new value 1";
        assert_eq!(words(&parts[1]), [(duplicate.to_string(), 1)]);
    }

    /// The store would drop the second one without a word.
    #[test]
    fn a_series_of_two_rules_is_not_in_one_batch() {
        let none = Arc::default();
        let mut gathered = Gathered::default();
        let rows = |names: &[&str]| findings(&none, names).into_rows(intern);
        assert!(!gathered.is_full_for(&rows(&["a"])));
        gathered.add(3, rows(&["a", "b"]), 5);
        assert!(gathered.has(3) && !gathered.has(2));
        assert!(gathered.is_full_for(&rows(&["c", "b"])));
        assert!(!gathered.is_full_for(&rows(&["c"])));
        // Nor where one of them ends it.
        let (before, _) = evaluated(&none, &["b"], &[]);
        assert!(gathered.is_full_for(&findings(&before, &["d"]).into_rows(intern)));
        gathered.take();
        assert!(!gathered.is_full_for(&rows(&["a"])) && !gathered.has(3));
    }

    #[test]
    fn duplicates() {
        let (before, _) = evaluated(&Arc::default(), &["a", "b"], &[]);
        for (names, expected) in
            [(&["a", "b"][..], false), (&["a", "a"], true), (&["b", "a"], false), (&["c", "d", "c"], true)]
        {
            assert_eq!(findings(&before, names).has_duplicates(), expected, "{names:?}");
        }
    }
}
