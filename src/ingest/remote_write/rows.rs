//! The second pass: samples, histograms and exemplars of the series that have a handle, as rows of one batch. What is
//! wrong with a histogram or an exemplar is its own problem; only a message that is malformed costs all of it.

use std::sync::Arc;

use crate::ingest::labels::MAX_EXEMPLAR_CHARS;
use crate::ingest::remote_write::decode::{
    DecodeError, Fields, Pairs, Request, SAMPLES_FIELD, SAMPLES_TAG, SeriesMessage, read_label,
};
use crate::ingest::remote_write::histogram::{self, HistogramError};
use crate::ingest::remote_write::negotiate::Message;
use crate::ingest::remote_write::outcome::{Part, Place, Problems, series_text};
use crate::ingest::remote_write::symbols::refs_of;
use crate::ingest::wire::{Malformed, Reader, Value, varint_of};
use crate::model::labels::Labels;
use crate::storage::types::{ExemplarRow, HistogramRow, SampleRow, SeriesRef, WriteBatch};

/// A label has a character, unless it is empty; more labels than characters are allowed are too many in any case.
const MAX_EXEMPLAR_LABELS: usize = MAX_EXEMPLAR_CHARS;

/// Rows and where they come from.
#[derive(Debug, Default)]
pub struct Rows {
    pub batch: WriteBatch,
    /// Places of the histograms and exemplars. Samples are found by counting.
    pub histograms: Vec<Place>,
    pub exemplars: Vec<Place>,
    pub invalid_histograms: usize,
}

impl Rows {
    /// Adds those of a request.
    pub fn read(&mut self, request: &Request<'_>, problems: &mut Problems) -> Result<(), DecodeError> {
        let fields = Fields::of(request.message);
        let known = || request.series.iter().filter(|series| series.handle.is_some());
        self.batch.samples.reserve(known().map(|series| series.samples as usize).sum());
        let mut pairs = Vec::new();
        for (at, series) in request.series.iter().enumerate() {
            if let Some(handle) = series.handle {
                self.read_series(request, (at, series, handle), fields, problems, &mut pairs)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn read_series<'a>(
        &mut self,
        request: &Request<'a>,
        (at, series, handle): (usize, &SeriesMessage<'a>, SeriesRef),
        fields: Fields,
        problems: &mut Problems,
        pairs: &mut Pairs<'a>,
    ) -> Result<(), DecodeError> {
        let (mut histograms, mut exemplars) = (0, 0);
        let mut reader = Reader::new(series.rest());
        loop {
            while let Some(row) = usual_sample(handle, &mut reader) {
                self.batch.samples.push(row);
            }
            let Some((number, value)) = reader.field()? else { break };
            let Value::Bytes(message) = value else { continue };
            if number == SAMPLES_FIELD {
                self.batch.samples.push(read_sample(handle, message, request.message)?);
            } else if number == fields.histograms {
                let place = Place { series: at, part: Part::Histogram, row: histograms };
                histograms += 1;
                match histogram::decode(message) {
                    Ok(decoded) => {
                        self.histograms.push(place);
                        self.batch.histograms.push(HistogramRow {
                            series: handle,
                            timestamp: decoded.timestamp,
                            histogram: Arc::new(decoded.histogram),
                            start_timestamp: decoded.start_timestamp,
                        });
                    }
                    Err(HistogramError::Malformed) => return Err(DecodeError::Malformed),
                    Err(HistogramError::Invalid(why)) => {
                        self.invalid_histograms += 1;
                        problems.add(place, || refused(request, series, &why));
                    }
                }
            } else if number == fields.exemplars {
                let place = Place { series: at, part: Part::Exemplar, row: exemplars };
                exemplars += 1;
                match read_exemplar(request, handle, message, pairs)? {
                    Ok(Some(row)) => {
                        self.exemplars.push(place);
                        self.batch.exemplars.push(row);
                    }
                    // Prometheus logs that it is too long, and tells nobody.
                    Ok(None) => tracing::debug!("the labels of an exemplar are too long, it is left out"),
                    Err(why) if request.message == Message::WriteRequest => {
                        tracing::debug!(why, "an exemplar is left out");
                    }
                    Err(why) => problems.add(place, || {
                        format!("parsing exemplar for series {}: {why}", series_text(&request.labels(series)))
                    }),
                }
            }
        }
        Ok(())
    }

    /// Rows there is memory for.
    pub fn capacity(&self) -> usize {
        let batch = &self.batch;
        batch.samples.capacity() + batch.histograms.capacity() + batch.exemplars.capacity()
    }

    /// Gives the memory back for another request, empty.
    pub fn recycled(mut self, batch: WriteBatch) -> Self {
        self.batch = batch;
        self.batch.samples.clear();
        self.batch.histograms.clear();
        self.batch.exemplars.clear();
        self.batch.metadata.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.invalid_histograms = 0;
        self
    }
}

/// Where samples come from; asked for one row after the other.
#[derive(Debug)]
pub struct SamplePlaces<'r, 'a> {
    request: &'r Request<'a>,
    series: usize,
    /// Rows before those of the series.
    before: usize,
}

impl<'r, 'a> SamplePlaces<'r, 'a> {
    pub fn of(request: &'r Request<'a>) -> Self {
        Self { request, series: 0, before: 0 }
    }

    pub fn find(&mut self, row: usize) -> Place {
        loop {
            let series = &self.request.series[self.series];
            let samples = if series.handle.is_some() { series.samples as usize } else { 0 };
            if row < self.before + samples {
                return Place { series: self.series, part: Part::Sample, row: row - self.before };
            }
            self.before += samples;
            self.series += 1;
        }
    }
}

/// What is said of a row: version 1.0 names no series.
pub fn refused<'a>(request: &Request<'a>, series: &SeriesMessage<'a>, why: &str) -> String {
    match request.message {
        Message::WriteRequest => why.to_string(),
        Message::Request => format!("{why} for series {}", series_text(&request.labels(series))),
    }
}

/// A sample as all known senders write it, if one stands here: a value that is not left out for being 0, and a time of
/// this century, which takes 6 bytes.
#[inline]
fn usual_sample(series: SeriesRef, reader: &mut Reader<'_>) -> Option<SampleRow> {
    let (bytes, rest) = reader.rest.split_first_chunk::<18>()?;
    let [SAMPLES_TAG, 16, VALUE_TAG, v0, v1, v2, v3, v4, v5, v6, v7, TIMESTAMP_TAG, t0, t1, t2, t3, t4, t5] =
        *bytes
    else {
        return None;
    };
    let (time, 6) = varint_of(u64::from_le_bytes([t0, t1, t2, t3, t4, t5, 0, 0]))? else { return None };
    reader.rest = rest;
    let value = f64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]);
    Some(SampleRow { series, timestamp: time as i64, value, start_timestamp: 0 })
}

fn read_sample(series: SeriesRef, message: &[u8], version: Message) -> Result<SampleRow, Malformed> {
    let mut row = SampleRow { series, timestamp: 0, value: 0.0, start_timestamp: 0 };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Fixed64(bits)) => row.value = f64::from_bits(bits),
            (2, Value::Varint(time)) => row.timestamp = time as i64,
            (3, _) if version == Message::WriteRequest => {}
            (3, Value::Varint(time)) => row.start_timestamp = time as i64,
            (1..=3, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(row)
}

const VALUE_TAG: u8 = 1 << 3 | 1;
const TIMESTAMP_TAG: u8 = 2 << 3;

/// `None` where the labels are too long, an error where they are wrong.
fn read_exemplar<'a>(
    request: &Request<'a>,
    series: SeriesRef,
    message: &'a [u8],
    pairs: &mut Pairs<'a>,
) -> Result<Result<Option<ExemplarRow>, String>, DecodeError> {
    let (mut value, mut timestamp, mut refs) = (0.0, 0, Vec::new());
    pairs.clear();
    let mut too_many = false;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, field) if request.message == Message::Request => refs_of(field, |symbol| {
                too_many |= refs.len() > 2 * MAX_EXEMPLAR_LABELS;
                if !too_many {
                    refs.push(symbol);
                }
            })?,
            (1, Value::Bytes(label)) => {
                let label = read_label(label)?;
                too_many |= pairs.len() > MAX_EXEMPLAR_LABELS;
                if !too_many {
                    pairs.push(label);
                }
            }
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Value::Varint(time)) => timestamp = time as i64,
            (1..=3, _) => return Err(DecodeError::Malformed),
            _ => {}
        }
    }
    if too_many {
        return Ok(Ok(None));
    }
    if request.message == Message::Request
        && let Err(why) = request.symbols.exemplar_pairs(&refs, pairs)
    {
        return Ok(Err(why));
    }
    // A character has at most four bytes. Longer texts are looked at no further.
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > 4 * MAX_EXEMPLAR_CHARS {
        return Ok(Ok(None));
    }
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs.iter() {
        match std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()) {
            Some(text) => texts.push(text),
            None => return Ok(Err(format!("labels {} are not valid UTF-8", series_text(pairs)))),
        }
    }
    let mut names: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Ok(Err(format!("labels {}, duplicated label {}", series_text(pairs), pair[0])));
    }
    let chars: usize = texts.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if chars > MAX_EXEMPLAR_CHARS {
        return Ok(Ok(None));
    }
    Ok(Ok(Some(ExemplarRow { series, timestamp, has_timestamp: true, value, labels: Labels::from_pairs(texts) })))
}
