//! Samples that change no more, packed: a block of runs in a few bytes a sample instead of sixteen.
//!
//! Integers lie in frames of [`FRAME_ROWS`], as offsets from the frame's smallest one, or their deltas as offsets from
//! the smallest delta, in as many whole bytes as the largest offset needs; a frame decodes in plain loops without those
//! before it. Timestamps are kept as distances from a straight line, which regular scraping makes zeros, and then no
//! frame is kept at all. Values are integers where that is exact (see [`crate::storage::scaled`]), with the few that
//! are not listed beside them. Histograms and start timestamps lie beside the runs that have them.

use std::hash::{BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use multiversion::multiversion;

use crate::model::histogram::FloatHistogram;
use crate::model::sample::TimeRange;
use crate::storage::scaled;
use crate::storage::types::{MemorySource, NOWHERE, Run, RunSlice};

const FRAME_ROWS: usize = 256;
/// Up to so many rows a smaller buffer will do, which is zeroed sooner.
const SHORT_ROWS: usize = 64;
/// Instead of a position: there is nothing.
const NONE: u32 = u32::MAX;
/// A builder takes no more after this, so that positions fit 32 bits with room for a last run.
const MAX_BYTES: usize = 1 << 31;
/// Runs looked at for a series before the map is asked.
const NEIGHBOURS: usize = 8;
/// Distances looked at to find the step of a run's timestamps.
const STEPS_LOOKED_AT: usize = 15;

/// Up to [`FRAME_ROWS`] integers.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// The smallest number; with deltas the first one.
    base: i64,
    /// The smallest delta from one number to the next; `None`: offsets are from `base`.
    step: Option<i64>,
    /// Where the offsets begin.
    start: u32,
    /// Bytes of an offset: 0, 1, 2, 3, 4 or 8.
    width: u8,
}

impl Frame {
    /// The smaller of the two ways, without its offsets.
    fn of(numbers: &[i64], with_deltas: bool) -> Self {
        let base = numbers.iter().copied().min().unwrap_or(0);
        let largest = numbers.iter().map(|n| n.wrapping_sub(base) as u64).max().unwrap_or(0);
        let plain = Frame { base, step: None, start: 0, width: width_of(largest) };
        if !with_deltas || plain.width <= 1 {
            return plain;
        }
        let deltas = || numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        let step = deltas().min().unwrap_or(0);
        let width = width_of(deltas().map(|d| d.wrapping_sub(step) as u64).max().unwrap_or(0));
        if width < plain.width { Frame { base: numbers[0], step: Some(step), start: 0, width } } else { plain }
    }

    /// The offset of every number.
    fn offsets(self, numbers: &[i64]) -> impl Iterator<Item = u64> + '_ {
        let mut before = numbers.first().copied().unwrap_or(0).wrapping_sub(self.step.unwrap_or(0));
        numbers.iter().map(move |number| match self.step {
            None => number.wrapping_sub(self.base) as u64,
            Some(step) => {
                let delta = number.wrapping_sub(before);
                before = *number;
                delta.wrapping_sub(step) as u64
            }
        })
    }
}

/// Many sequences of integers, each beginning with a frame of its own.
#[derive(Default, Debug)]
struct Ints {
    frames: Vec<Frame>,
    bytes: Vec<u8>,
}

impl Ints {
    /// Adds a sequence; returns its first frame. Without deltas any number can be had at once.
    fn push(&mut self, numbers: &[i64], with_deltas: bool) -> u32 {
        let first = position(self.frames.len());
        for numbers in numbers.chunks(FRAME_ROWS) {
            let frame = Frame { start: position(self.bytes.len()), ..Frame::of(numbers, with_deltas) };
            self.frames.push(frame);
            let width = usize::from(frame.width);
            if width > 0 {
                frame.offsets(numbers).for_each(|o| self.bytes.extend_from_slice(&o.to_le_bytes()[..width]));
            }
        }
        first
    }

    /// One number of a sequence without deltas.
    fn get(&self, first: u32, row: usize) -> i64 {
        let mut number = [0];
        self.decode(first, row..row + 1, &mut number);
        number[0]
    }

    /// Calls `visit` with the rows of the sequence that begins with the frame `first`, part by part.
    fn for_each_part(&self, first: u32, rows: Range<usize>, mut visit: impl FnMut(&[i64])) {
        if rows.end <= SHORT_ROWS {
            return visit(self.decode(first, rows, &mut [0; SHORT_ROWS]));
        }
        let mut numbers = [0; FRAME_ROWS];
        let mut row = rows.start;
        while row < rows.end {
            let end = rows.end.min((row / FRAME_ROWS + 1) * FRAME_ROWS);
            visit(self.decode(first, row..end, &mut numbers));
            row = end;
        }
    }

    /// Rows of one frame, in a buffer that has room for all of the frame up to the last of them; without deltas for
    /// the rows alone.
    fn decode<'a>(&self, first: u32, rows: Range<usize>, numbers: &'a mut [i64]) -> &'a [i64] {
        let frame = self.frames[first as usize + rows.start / FRAME_ROWS];
        let (within, count) = (rows.start % FRAME_ROWS, rows.len());
        // Deltas are added up from the frame's first row.
        let skipped = if frame.step.is_some() { within } else { 0 };
        let (from, end) = (within - skipped, within + count);
        let (start, width) = (frame.start as usize, usize::from(frame.width));
        let numbers = &mut numbers[..end - from];
        frame.decode(&self.bytes[start + from * width..start + end * width], numbers);
        &numbers[skipped..]
    }
}

impl Frame {
    /// The numbers whose offsets are `bytes`; of deltas the first ones of the frame.
    fn decode(self, bytes: &[u8], numbers: &mut [i64]) {
        let Some(step) = self.step else { return decode(self.width, self.base, bytes, numbers) };
        decode(self.width, 0, bytes, numbers);
        add_up(numbers, self.base.wrapping_sub(step), step);
    }
}

/// Offsets of `width` bytes, added to `base`. Each loop is plain enough to be vectorised.
#[multiversion(targets("x86_64+avx2"))]
fn decode(width: u8, base: i64, bytes: &[u8], numbers: &mut [i64]) {
    let number = |offset: u64| base.wrapping_add(offset as i64);
    match width {
        0 => numbers.fill(base),
        1 => fill(numbers, bytes.as_chunks(), |[byte]| number(u64::from(byte))),
        2 => fill(numbers, bytes.as_chunks(), |o| number(u64::from(u16::from_le_bytes(o)))),
        3 => fill(numbers, bytes.as_chunks(), |o| number(three_bytes(o))),
        4 => fill(numbers, bytes.as_chunks(), |o| number(u64::from(u32::from_le_bytes(o)))),
        _ => fill(numbers, bytes.as_chunks(), |o| number(u64::from_le_bytes(o))),
    }
}

/// Offsets of deltas to numbers, the first of which follows `before`. Four are added up beside each other, so that the
/// sum is waited for once in four.
#[multiversion(targets("x86_64+avx2"))]
fn add_up(offsets: &mut [i64], mut before: i64, step: i64) {
    let sum = |a: i64, b: i64| a.wrapping_add(b);
    let (fours, rest) = offsets.as_chunks_mut::<4>();
    for [a, b, c, d] in fours {
        let (first, second) = (sum(*a, step), sum(*b, step));
        let (third, fourth) = (sum(*c, step), sum(*d, step));
        let (half, last) = (sum(first, second), sum(third, fourth));
        *a = sum(before, first);
        *b = sum(before, half);
        *c = sum(before, sum(half, third));
        before = sum(before, sum(half, last));
        *d = before;
    }
    for offset in rest {
        before = sum(before, sum(*offset, step));
        *offset = before;
    }
}

/// Appends `count` numbers at one distance.
#[multiversion(targets("x86_64+avx2"))]
fn extend_line(start: i64, step: i64, count: i64, out: &mut Vec<i64>) {
    out.extend((0..count).map(|row| start.wrapping_add(step.wrapping_mul(row))));
}

#[inline(always)]
fn fill<const N: usize>(numbers: &mut [i64], chunks: (&[[u8; N]], &[u8]), number: impl Fn([u8; N]) -> i64) {
    numbers.iter_mut().zip(chunks.0).for_each(|(out, offset)| *out = number(*offset));
}

#[inline(always)]
fn three_bytes(bytes: [u8; 3]) -> u64 {
    u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

fn width_of(largest: u64) -> u8 {
    match largest {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        0x100_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

fn position(length: usize) -> u32 {
    u32::try_from(length).expect("a builder is full before that")
}

/// Series ids are hashes already; hashing them again would only cost time.
pub type IdHasher = BuildHasherDefault<IdentityHasher>;

#[derive(Default, Clone, Copy, Debug)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only i64 keys are hashed");
    }

    fn write_i64(&mut self, id: i64) {
        self.0 = id as u64;
    }
}

/// Memory of one histogram, roughly.
pub fn histogram_bytes(histogram: &Arc<FloatHistogram>) -> usize {
    let numbers = histogram.positive_spans.len()
        + histogram.negative_spans.len()
        + histogram.positive_buckets.len()
        + histogram.negative_buckets.len()
        + histogram.custom_values.len();
    size_of::<FloatHistogram>() + 16 + numbers * 8
}

#[derive(Clone, Copy, Debug)]
enum Values {
    /// `scaled / 10^scale`, but for the exceptions.
    Scaled { scale: u8, first: u32, exceptions: (u32, u32) },
    /// As they are, from this position on.
    Raw(u32),
}

/// Where the columns of a run lie.
#[derive(Clone, Copy, Debug)]
struct PackedRun {
    series_id: i64,
    rows: u32,
    start_ms: i64,
    step_ms: i64,
    /// Distances from the line `start_ms + row * step_ms`, or [`NONE`] where all are 0.
    distances: u32,
    values: Values,
    /// Or [`NONE`].
    histograms: u32,
    /// Or [`NONE`].
    start_timestamps: u32,
}

/// See the module. Immutable.
#[derive(Debug, Default)]
pub struct PackedBlock {
    by_id: HashMap<i64, u32, IdHasher>,
    runs: Vec<PackedRun>,
    ints: Ints,
    raw: Vec<f64>,
    /// Row within its run, and value.
    exceptions: Vec<(u32, f64)>,
    histograms: Vec<Option<Arc<FloatHistogram>>>,
    bounds: Option<TimeRange>,
    samples: usize,
    histogram_bytes: usize,
    has_start_timestamps: bool,
}

impl PackedBlock {
    /// How many series there are; their places are the numbers below.
    pub fn series(&self) -> usize {
        self.runs.len()
    }

    /// From the first to the last sample of the series at a place.
    pub fn times(&self, place: u32) -> TimeRange {
        let run = &self.runs[place as usize];
        TimeRange::new(self.timestamp(run, 0), self.timestamp(run, run.rows as usize - 1))
    }

    /// Memory held, roughly.
    pub fn bytes(&self) -> usize {
        self.by_id.len() * 2 * size_of::<(i64, u32)>()
            + self.runs.len() * size_of::<PackedRun>()
            + self.ints.frames.len() * size_of::<Frame>()
            + self.ints.bytes.len()
            + self.raw.len() * 8
            + self.exceptions.len() * size_of::<(u32, f64)>()
            + self.histograms.len() * size_of::<Option<Arc<FloatHistogram>>>()
            + self.histogram_bytes
    }

    fn timestamp(&self, run: &PackedRun, row: usize) -> i64 {
        let distance = if run.distances == NONE { 0 } else { self.ints.get(run.distances, row) };
        on_line(run, row).wrapping_add(distance)
    }

    /// The rows of a run within a range.
    fn rows(&self, run: &PackedRun, range: TimeRange) -> Range<usize> {
        let rows = run.rows as usize;
        // Most queries end after the last sample, or begin before the first.
        let from = match rows == 0 || self.timestamp(run, 0) >= range.start_inclusive {
            true => 0,
            false => partition_point(rows, |row| self.timestamp(run, row) < range.start_inclusive),
        };
        let to = match rows > 0 && self.timestamp(run, rows - 1) <= range.end_inclusive {
            true => rows,
            false => partition_point(rows, |row| self.timestamp(run, row) <= range.end_inclusive),
        };
        from..to
    }

    fn extend_timestamps(&self, run: &PackedRun, rows: Range<usize>, out: &mut Vec<i64>) {
        let from = out.len();
        match run.distances {
            NONE => extend_line(on_line(run, rows.start), run.step_ms, rows.len() as i64, out),
            distances => {
                let first_row = rows.start;
                self.ints.for_each_part(distances, rows, |distances| out.extend_from_slice(distances));
                for (row, timestamp) in (first_row..).zip(&mut out[from..]) {
                    *timestamp = timestamp.wrapping_add(on_line(run, row));
                }
            }
        }
    }

    fn extend_values(&self, run: &PackedRun, rows: Range<usize>, out: &mut Vec<f64>) {
        let (scale, first, (from, to)) = match run.values {
            Values::Raw(at) => {
                let at = at as usize;
                return out.extend_from_slice(&self.raw[at + rows.start..at + rows.end]);
            }
            Values::Scaled { scale, first, exceptions } => (scale, first, exceptions),
        };
        let start = out.len();
        out.reserve(rows.len());
        self.ints.for_each_part(first, rows.clone(), |part| scaled::unscale_all(part, scale, out));
        let exceptions = &self.exceptions[from as usize..to as usize];
        let next = exceptions.partition_point(|(row, _)| (*row as usize) < rows.start);
        for (row, value) in exceptions[next..].iter().take_while(|(row, _)| (*row as usize) < rows.end) {
            out[start + *row as usize - rows.start] = *value;
        }
    }

    /// Histograms and start timestamps, where the run has them.
    fn extend_rest(&self, run: &PackedRun, rows: Range<usize>, out: &mut Run) {
        if run.histograms != NONE {
            let at = run.histograms as usize;
            out.histograms.extend_from_slice(&self.histograms[at + rows.start..at + rows.end]);
        }
        if run.start_timestamps != NONE {
            let starts = &mut out.start_timestamps;
            self.ints.for_each_part(run.start_timestamps, rows, |part| starts.extend_from_slice(part));
        }
    }
}

fn on_line(run: &PackedRun, row: usize) -> i64 {
    run.start_ms.wrapping_add(run.step_ms.wrapping_mul(row as i64))
}

/// The first row for which `before` is false.
fn partition_point(rows: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl MemorySource for PackedBlock {
    fn locate(&self, ids: &[i64], range: TimeRange, places: &mut [u32]) {
        let mut next = 0;
        for (id, place) in ids.iter().zip(places) {
            // Runs lie in the order series are mostly asked for, and the map is in none of the caches.
            let near = self.runs.iter().skip(next).take(NEIGHBOURS).position(|run| run.series_id == *id);
            let at = near.map(|near| next + near).or_else(|| self.by_id.get(id).map(|at| *at as usize));
            let in_range = |at: &usize| self.runs[*at].start_ms <= range.end_inclusive;
            *place = at.filter(in_range).map_or(NOWHERE, position);
            next = at.map_or(next, |at| at + 1);
        }
    }

    fn read_at(&self, place: u32, range: TimeRange, out: &mut Run) {
        let run = &self.runs[place as usize];
        let rows = self.rows(run, range);
        if !rows.is_empty() {
            self.extend_timestamps(run, rows.clone(), &mut out.timestamps);
            self.extend_values(run, rows.clone(), &mut out.values);
            self.extend_rest(run, rows, out);
        }
    }

    fn bounds(&self) -> Option<TimeRange> {
        self.bounds
    }

    fn samples(&self) -> usize {
        self.samples
    }

    fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    fn has_start_timestamps(&self) -> bool {
        self.has_start_timestamps
    }
}

/// Packs runs one after the other; each series once.
#[derive(Default)]
pub struct Builder {
    block: PackedBlock,
    numbers: Vec<i64>,
    exact: Vec<bool>,
}

impl Builder {
    /// Memory of the block so far, roughly.
    pub fn bytes(&self) -> usize {
        self.block.bytes()
    }

    /// Whether it would be unwise to push more.
    pub fn is_full(&self) -> bool {
        self.bytes() > MAX_BYTES
    }

    pub fn push(&mut self, series_id: i64, run: RunSlice<'_>) {
        let values = self.push_values(run.values);
        self.push_with(series_id, run, values);
    }

    /// The same for values that were pushed already.
    fn push_with(&mut self, series_id: i64, run: RunSlice<'_>, values: Values) {
        let (Some(first), Some(last)) = (run.timestamps.first(), run.timestamps.last()) else { return };
        let held = TimeRange::new(*first, *last);
        self.block.bounds = Some(self.block.bounds.map_or(held, |bounds| bounds.union(&held)));
        self.block.samples += run.timestamps.len();
        let (step_ms, distances) = self.push_timestamps(run.timestamps);
        let packed = PackedRun {
            series_id,
            rows: position(run.timestamps.len()),
            start_ms: *first,
            step_ms,
            distances,
            values,
            histograms: self.push_histograms(run.histograms),
            start_timestamps: match run.start_timestamps.iter().any(|start| *start != 0) {
                false => NONE,
                true => {
                    self.block.has_start_timestamps = true;
                    self.block.ints.push(run.start_timestamps, true)
                }
            },
        };
        self.block.by_id.insert(series_id, position(self.block.runs.len()));
        self.block.runs.push(packed);
    }

    pub fn finish(self) -> PackedBlock {
        let mut block = self.block;
        block.by_id.shrink_to_fit();
        block.runs.shrink_to_fit();
        block.ints.frames.shrink_to_fit();
        block.ints.bytes.shrink_to_fit();
        block.raw.shrink_to_fit();
        block.exceptions.shrink_to_fit();
        block.histograms.shrink_to_fit();
        block
    }

    fn push_timestamps(&mut self, timestamps: &[i64]) -> (i64, u32) {
        let step = step_of(timestamps);
        let line = |row: usize| timestamps[0].wrapping_add(step.wrapping_mul(row as i64));
        self.numbers.clear();
        self.numbers.extend(timestamps.iter().enumerate().map(|(row, t)| t.wrapping_sub(line(row))));
        match self.numbers.iter().all(|distance| *distance == 0) {
            true => (step, NONE),
            false => (step, self.block.ints.push(&self.numbers, false)),
        }
    }

    fn push_values(&mut self, values: &[f64]) -> Values {
        let scale = scaled::encode(values, &mut self.numbers, &mut self.exact);
        let missed = self.exact.iter().filter(|exact| !**exact).count();
        let Some(scale) = scale.filter(|_| missed * 2 <= values.len()) else {
            let at = position(self.block.raw.len());
            self.block.raw.extend_from_slice(values);
            return Values::Raw(at);
        };
        let from = position(self.block.exceptions.len());
        if missed > 0 {
            let mut last = self.exact.iter().position(|exact| *exact).map_or(0, |row| self.numbers[row]);
            for (row, exact) in self.exact.iter().enumerate() {
                // A zero in its place could widen the frame.
                if !exact {
                    self.numbers[row] = last;
                    self.block.exceptions.push((position(row), values[row]));
                }
                last = self.numbers[row];
            }
        }
        let exceptions = (from, position(self.block.exceptions.len()));
        Values::Scaled { scale, first: self.block.ints.push(&self.numbers, true), exceptions }
    }

    fn push_histograms(&mut self, histograms: &[Option<Arc<FloatHistogram>>]) -> u32 {
        if histograms.iter().all(Option::is_none) {
            return NONE;
        }
        let at = position(self.block.histograms.len());
        self.block.histogram_bytes += histograms.iter().flatten().map(histogram_bytes).sum::<usize>();
        self.block.histograms.extend_from_slice(histograms);
        at
    }
}

/// The distance most samples have, going by some of them.
fn step_of(timestamps: &[i64]) -> i64 {
    let pairs = timestamps.len() - 1;
    let every = pairs.div_ceil(STEPS_LOOKED_AT).max(1);
    let mut steps: Vec<i64> =
        (0..pairs).step_by(every).map(|at| timestamps[at + 1].wrapping_sub(timestamps[at])).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}

/// Several blocks as one.
mod join;

pub use join::join;

#[cfg(test)]
mod tests;
