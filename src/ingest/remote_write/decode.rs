//! `prometheus.WriteRequest` → rows, in two passes over the bytes. The first finds each series and the key of
//! its labels; between the passes the caller turns keys into handles, mostly without looking at a label; the
//! second reads samples, histograms and exemplars of the series that have a handle.

use std::borrow::Cow;
use std::sync::Arc;

use crate::ingest::labels::{checked, exemplar_labels};
use crate::ingest::remote_write::cache::SeriesCache;
use crate::ingest::remote_write::histogram::{self, HistogramError};
use crate::ingest::remote_write::wire::{Malformed, Reader, Value};
use crate::model::labels::Labels;
use crate::model::metadata::{Metadata, MetricType};
use crate::storage::types::{ExemplarRow, HistogramRow, SampleRow, SeriesRef, WriteBatch};

/// Tag of `TimeSeries.labels`.
const LABELS_TAG: u8 = 0x0a;

/// The most series, and the most rows, of a request: an empty one takes 2 bytes of it, and up to hundreds in memory.
/// Senders put some thousands into one.
pub const MAX_ROWS: usize = 1 << 20;

/// One `TimeSeries` of a request.
#[derive(Debug)]
pub struct SeriesMessage<'a> {
    pub key: u128,
    /// The label fields with their tags. Copied only from a sender that scatters them.
    labels: Cow<'a, [u8]>,
    /// What comes after the labels.
    rest: &'a [u8],
}

#[derive(Debug, Default)]
pub struct WriteRequest<'a> {
    pub series: Vec<SeriesMessage<'a>>,
    pub metadata: Vec<(String, Metadata)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum DecodeError {
    Malformed,
    /// Understood and refused, with the reason.
    Invalid(String),
}

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        DecodeError::Malformed
    }
}

impl From<HistogramError> for DecodeError {
    fn from(error: HistogramError) -> Self {
        match error {
            HistogramError::Malformed => DecodeError::Malformed,
            HistogramError::Invalid(message) => DecodeError::Invalid(message),
        }
    }
}

impl<'a> WriteRequest<'a> {
    /// The first pass.
    pub fn scan(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut request = WriteRequest::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            limit_rows(request.series.len() + request.metadata.len())?;
            match (number, value) {
                (1, Value::Bytes(series)) => request.series.push(SeriesMessage::scan(series)?),
                (3, Value::Bytes(metadata)) => request.metadata.extend(read_metadata(metadata)?),
                _ => {}
            }
        }
        Ok(request)
    }

    /// The second pass; `handles` are parallel to the series, `None` for one to leave out.
    pub fn rows(&self, handles: &[Option<SeriesRef>]) -> Result<WriteBatch, DecodeError> {
        let mut batch = WriteBatch { all_or_nothing: true, ..WriteBatch::default() };
        batch.samples.reserve(self.series.len());
        for (series, handle) in self.series.iter().zip(handles) {
            if let Some(handle) = handle {
                series.rows(*handle, &mut batch)?;
            }
        }
        Ok(batch)
    }
}

impl<'a> SeriesMessage<'a> {
    #[inline]
    fn scan(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message);
        while reader.rest.first() == Some(&LABELS_TAG) {
            reader.field()?;
        }
        let rest = reader.rest;
        let mut labels = Cow::Borrowed(&message[..message.len() - rest.len()]);
        // Labels come first from every known sender, and may come anywhere by the rules of protobuf.
        loop {
            let before = reader.rest;
            let Some((number, _)) = reader.field()? else { break };
            if number == 1 {
                labels.to_mut().extend_from_slice(&before[..before.len() - reader.rest.len()]);
            }
        }
        Ok(Self { key: SeriesCache::key(&labels), labels, rest })
    }

    /// Decodes and checks the labels.
    pub fn labels(&self) -> Result<Result<Labels, String>, DecodeError> {
        let mut pairs = Vec::new();
        let mut reader = Reader::new(&self.labels);
        while let Some((_, value)) = reader.field()? {
            let Value::Bytes(label) = value else { return Err(DecodeError::Malformed) };
            match read_label(label)? {
                Some(pair) => pairs.push(pair),
                None => return Ok(Err("a label is not valid UTF-8".to_string())),
            }
        }
        Ok(checked(&pairs).map_err(|e| e.to_string()))
    }

    #[inline]
    fn rows(&self, series: SeriesRef, batch: &mut WriteBatch) -> Result<(), DecodeError> {
        let mut reader = Reader::new(self.rest);
        while let Some((number, value)) = reader.field()? {
            let Value::Bytes(message) = value else { continue };
            limit_rows(batch.samples.len() + batch.histograms.len() + batch.exemplars.len())?;
            match number {
                2 => batch.samples.push(read_sample(series, message)?),
                3 => batch.exemplars.extend(read_exemplar(series, message)?),
                4 => {
                    let (histogram, timestamp) = histogram::decode(message)?;
                    let histogram = Arc::new(histogram);
                    batch.histograms.push(HistogramRow { series, timestamp, histogram, start_timestamp: 0 });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[inline]
fn limit_rows(rows: usize) -> Result<(), DecodeError> {
    if rows < MAX_ROWS {
        return Ok(());
    }
    Err(DecodeError::Invalid(format!("the request has too many series or samples: the limit is {MAX_ROWS}")))
}

#[inline]
fn read_sample(series: SeriesRef, message: &[u8]) -> Result<SampleRow, Malformed> {
    let mut row = SampleRow { series, timestamp: 0, value: 0.0, start_timestamp: 0 };
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => row.value = value.double(),
            2 => row.timestamp = value.int64(),
            _ => {}
        }
    }
    Ok(row)
}

/// `None` for a label that is not UTF-8.
fn read_label(message: &[u8]) -> Result<Option<(&str, &str)>, Malformed> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok(std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()))
}

/// `None` for one whose labels Prometheus would not keep.
fn read_exemplar(series: SeriesRef, message: &[u8]) -> Result<Option<ExemplarRow>, Malformed> {
    let (mut pairs, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
    let mut utf8 = true;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(label)) => match read_label(label)? {
                Some((name, value)) => pairs.push((name, value)),
                None => utf8 = false,
            },
            (2, number) => value = number.double(),
            (3, number) => timestamp = number.int64(),
            _ => {}
        }
    }
    let labels = exemplar_labels(&pairs).filter(|_| utf8);
    Ok(labels.map(|labels| ExemplarRow { series, timestamp, value, labels }))
}

/// `None` without a family name or with text that is not UTF-8.
fn read_metadata(message: &[u8]) -> Result<Option<(String, Metadata)>, Malformed> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_string);
    let (mut family, mut metadata, mut utf8) = (None, Metadata::default(), true);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, number) => metadata.kind = MetricType::from_number(i32::try_from(number.int64()).unwrap_or(0)),
            (2, Value::Bytes(bytes)) => family = text(bytes),
            (4, Value::Bytes(bytes)) => {
                metadata.help = text(bytes).unwrap_or_else(|| (utf8 = false, String::new()).1)
            }
            (5, Value::Bytes(bytes)) => {
                metadata.unit = text(bytes).unwrap_or_else(|| (utf8 = false, String::new()).1)
            }
            _ => {}
        }
    }
    Ok(family.filter(|family| utf8 && !family.is_empty()).map(|family| (family, metadata)))
}
