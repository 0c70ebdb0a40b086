//! The series of one metric as columns: per label name a dictionary of values and one code per series.

use std::collections::BTreeSet;
use std::mem::size_of;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::storage::types::Series;

/// The code of an absent label, which matches as `""`.
const ABSENT: u32 = 0;

/// Codes that are held against the wanted one at once.
const CODES_AT_ONCE: usize = 64;

/// First and last UTC day, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    pub first: i32,
    pub last: i32,
}

impl Days {
    pub fn overlaps(self, other: Days) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The series of one metric that were found so far, sorted by id.
#[derive(Default, Debug)]
pub struct Found(Vec<(i64, Arc<Series>)>);

impl Found {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_series(self) -> impl Iterator<Item = Arc<Series>> {
        self.0.into_iter().map(|(_, series)| series)
    }

    /// Adds those that are not there yet; `more` are different ones, at best in order.
    fn add<'a>(&mut self, more: impl Iterator<Item = (i64, &'a Arc<Series>)>) {
        let known = self.0.len();
        let (mut at, mut before) = (0, i64::MIN);
        for (id, series) in more {
            let is_before = |(other, _): &(i64, Arc<Series>)| *other < id;
            at = if id < before { 0 } else { at };
            before = id;
            // Mostly the next one.
            at += usize::from(self.0[at..known].first().is_some_and(is_before));
            if self.0[at..known].first().is_some_and(is_before) {
                at += self.0[at..known].partition_point(is_before);
            }
            if self.0[at..known].first().is_none_or(|(other, _)| *other != id) {
                self.0.push((id, series.clone()));
            }
        }
        if !self.0.is_sorted_by_key(|(id, _)| *id) {
            // Two sorted parts more often than not, which this sort makes use of.
            self.0.sort_by_key(|(id, _)| *id);
        }
    }
}

/// See the module.
#[derive(Default, Debug)]
pub struct MetricTable {
    series: Vec<Arc<Series>>,
    /// Of each series, so that the series themselves are not touched to tell which they are.
    ids: Vec<i64>,
    /// Between which days each series has samples; empty in an index of one day.
    days: Vec<Days>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: Box<str>,
    /// Distinct values; the code of `values[i]` is `i + 1`.
    values: Vec<Box<str>>,
    lookup: HashMap<Box<str>, u32>,
    /// One per series; rows after the end are absent.
    codes: Vec<u32>,
}

impl MetricTable {
    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub fn series(&self) -> &[Arc<Series>] {
        &self.series
    }

    /// Adds a series; the caller knows that it is new. Returns its row.
    pub fn push(&mut self, series: Arc<Series>, days: Option<Days>) -> u32 {
        let row = self.series.len();
        for (name, value) in series.labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            let column = match self.columns.iter().position(|c| &*c.name == name) {
                Some(position) => &mut self.columns[position],
                None => {
                    self.columns.push(Column::new(name));
                    self.columns.last_mut().expect("just pushed")
                }
            };
            column.set(row, value);
        }
        self.ids.push(series.id);
        self.series.push(series);
        self.days.extend(days);
        u32::try_from(row).expect("a metric has fewer than four billion series")
    }

    /// Widens the days of a row.
    pub fn extend_days(&mut self, row: u32, day: i32) {
        let days = &mut self.days[row as usize];
        (days.first, days.last) = (days.first.min(day), days.last.max(day));
    }

    /// The same table without some series.
    pub fn without(&self, gone: impl Fn(&Series) -> bool) -> MetricTable {
        let mut table = MetricTable::default();
        for (row, series) in self.series.iter().enumerate().filter(|(_, s)| !gone(s)) {
            table.push(series.clone(), self.days.get(row).copied());
        }
        table
    }

    /// Label names, unsorted, without `__name__`.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// Whether any series has samples within the days.
    pub fn has_days(&self, days: Option<Days>) -> bool {
        match days {
            Some(days) if !self.days.is_empty() => self.days.iter().any(|d| d.overlaps(days)),
            _ => !self.series.is_empty(),
        }
    }

    /// Adds the series that satisfy the matchers (those on `__name__` are the caller's) and have samples within
    /// `days`, and their label names without `__name__`.
    pub fn select(
        &self,
        matchers: &[&Matcher],
        days: Option<Days>,
        found: &mut Found,
        names: &mut BTreeSet<Box<str>>,
    ) {
        let mut rows: Option<Vec<u32>> = None;
        for matcher in matchers {
            let column = self.columns.iter().find(|c| *c.name == *matcher.name);
            match column {
                // No series has the label.
                None if matcher.matches("") => continue,
                None => return,
                Some(column) => rows = Some(column.filter(matcher, rows, self.series.len())),
            }
            if rows.as_ref().is_some_and(Vec::is_empty) {
                return;
            }
        }
        if let Some(days) = days.filter(|_| !self.days.is_empty()) {
            let in_days = |row: &u32| self.days[*row as usize].overlaps(days);
            rows = match rows {
                Some(rows) => Some(rows.into_iter().filter(in_days).collect()),
                None if self.days.iter().all(|held| held.overlaps(days)) => None,
                None => Some((0..self.series.len() as u32).filter(in_days).collect()),
            };
        }
        let new_names = self.columns.iter().filter(|column| !names.contains(&column.name));
        let new_names: Vec<_> =
            new_names.filter(|column| column.has_any(rows.as_deref())).map(|column| column.name.clone()).collect();
        names.extend(new_names);
        let row = |row: usize| (self.ids[row], &self.series[row]);
        match rows {
            None => found.add((0..self.series.len()).map(row)),
            Some(rows) => found.add(rows.iter().map(|at| row(*at as usize))),
        }
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        let series: usize = self.series.iter().map(|s| s.labels.as_bytes().len() + size_of::<Series>() + 40).sum();
        columns + series + self.ids.len() * size_of::<i64>() + self.days.len() * size_of::<Days>()
    }
}

impl Column {
    fn new(name: &str) -> Self {
        Self { name: name.into(), values: Vec::new(), lookup: HashMap::new(), codes: Vec::new() }
    }

    fn set(&mut self, row: usize, value: &str) {
        let code = match self.lookup.get(value) {
            Some(code) => *code,
            None => {
                self.values.push(value.into());
                let code = u32::try_from(self.values.len()).expect("fewer values than series");
                self.lookup.insert(value.into(), code);
                code
            }
        };
        self.codes.resize(row, ABSENT);
        self.codes.push(code);
    }

    /// Whether any of the rows (all rows if `None`) has the label.
    fn has_any(&self, rows: Option<&[u32]>) -> bool {
        rows.is_none_or(|rows| rows.iter().any(|row| self.code(*row) != ABSENT))
    }

    fn code(&self, row: u32) -> u32 {
        self.codes.get(row as usize).copied().unwrap_or(ABSENT)
    }

    /// Narrows `rows` (all rows if `None`) to those that match.
    fn filter(&self, matcher: &Matcher, rows: Option<Vec<u32>>, len: usize) -> Vec<u32> {
        if matcher.op == MatchOp::Equal {
            let wanted = match matcher.value.as_str() {
                "" => ABSENT,
                value => match self.lookup.get(value) {
                    Some(code) => *code,
                    None => return Vec::new(),
                },
            };
            return match rows {
                None => self.rows_of(wanted, len),
                rows => self.keep(rows, len, |code| code == wanted),
            };
        }
        let matching: Vec<bool> = std::iter::once("")
            .chain(self.values.iter().map(|v| &**v))
            .map(|value| matcher.matches(value))
            .collect();
        self.keep(rows, len, |code| matching[code as usize])
    }

    /// All rows of one code. Mostly few have it, so that many are looked at together.
    fn rows_of(&self, wanted: u32, len: usize) -> Vec<u32> {
        let mut rows = Vec::new();
        let mut add = |from: usize, codes: &[u32]| {
            let found = codes.iter().enumerate().filter(|(_, code)| **code == wanted);
            rows.extend(found.map(|(at, _)| (from + at) as u32));
        };
        let (blocks, rest) = self.codes.as_chunks::<CODES_AT_ONCE>();
        for (number, codes) in blocks.iter().enumerate() {
            // Without a branch for each of them.
            if codes.iter().fold(0, |found, code| found | u32::from(*code == wanted)) != 0 {
                add(number * CODES_AT_ONCE, codes);
            }
        }
        add(self.codes.len() - rest.len(), rest);
        if wanted == ABSENT {
            rows.extend((self.codes.len()..len).map(|row| row as u32));
        }
        rows
    }

    fn keep(&self, rows: Option<Vec<u32>>, len: usize, good: impl Fn(u32) -> bool) -> Vec<u32> {
        match rows {
            Some(mut rows) => {
                rows.retain(|row| good(self.code(*row)));
                rows
            }
            None => {
                let tail = self.codes.len()..if good(ABSENT) { len } else { self.codes.len() };
                let head =
                    self.codes.iter().enumerate().filter(|(_, code)| good(**code)).map(|(row, _)| row as u32);
                head.chain(tail.map(|row| row as u32)).collect()
            }
        }
    }

    fn bytes(&self) -> usize {
        let text: usize = self.values.iter().map(|v| v.len()).sum();
        self.codes.len() * 4 + 2 * text + self.values.len() * 2 * (size_of::<Box<str>>() + 8)
    }
}
