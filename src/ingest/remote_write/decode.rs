//! The first pass over a message of either version: each series, the key of its labels, and how many rows it has.
//! Nothing is copied and nothing decoded that is known; what the second pass ([`super::rows`]) makes of it is known in
//! size, so that room for it can be asked for.

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::labels::{InvalidLabels, MAX_LABELS, MAX_NAME_BYTES, MAX_VALUE_BYTES, checked};
use crate::ingest::remote_write::negotiate::Message;
use crate::ingest::remote_write::outcome::series_text;
use crate::ingest::remote_write::symbols::{self, MetadataRefs, SymbolError, Symbols};
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::histogram::FloatHistogram;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};
use crate::storage::types::{ExemplarRow, HistogramRow, SampleRow, SeriesRef};

/// Tag of the first field of a series: its labels, or references to them.
const LABELS_TAG: u8 = 1 << 3 | 2;
/// Of its samples, in both versions.
pub const SAMPLES_FIELD: u32 = 2;
pub const SAMPLES_TAG: u8 = 2 << 3 | 2;

/// The most series, and the most rows, of a request: an empty one takes 2 bytes of it, and up to hundreds in memory.
/// Senders put some thousands into one.
pub const MAX_ROWS: usize = 1 << 20;

/// A bucket on the wire takes a byte or more, and in memory a count, and a difference while it is decoded.
const BYTES_PER_WIRE_BYTE: usize = 16;
/// What there is besides; an exemplar has 128 characters of labels at most.
const HISTOGRAM_BYTES: usize = size_of::<HistogramRow>() + size_of::<FloatHistogram>();
const EXEMPLAR_BYTES: usize = size_of::<ExemplarRow>() + 640;

/// Names and values of labels, which need be no text.
pub type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Numbers of the fields of a series that are not the same in both versions.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub histograms: u32,
    pub exemplars: u32,
    /// Of version 2.0.
    pub metadata: Option<u32>,
}

impl Fields {
    pub fn of(message: Message) -> Self {
        match message {
            Message::WriteRequest => Self { exemplars: 3, histograms: 4, metadata: None },
            Message::Request => Self { histograms: 3, exemplars: 4, metadata: Some(5) },
        }
    }
}

/// One `TimeSeries` of a request.
#[derive(Debug)]
pub struct SeriesMessage<'a> {
    /// Stands for the labels. Meaningless where `fault` has something.
    pub key: u128,
    /// The handle of the series, once it is known; without one its rows are left out.
    pub handle: Option<SeriesRef>,
    pub samples: u32,
    pub histograms: u32,
    pub exemplars: u32,
    pub metadata: MetadataRefs,
    pub fault: Option<SymbolError>,
    message: &'a [u8],
    /// Where the labels end that stand in front, as all known senders write them.
    labels_end: u32,
    /// There are others behind.
    scattered: bool,
}

#[derive(Debug)]
pub struct Request<'a> {
    pub message: Message,
    pub series: Vec<SeriesMessage<'a>>,
    /// By family, of version 1.0.
    pub metadata: Vec<(String, Metadata)>,
    /// Of version 2.0.
    pub symbols: Symbols<'a>,
    /// Bytes that the rows of all series take at most.
    rows_bytes: usize,
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

impl<'a> Request<'a> {
    /// The first pass. `series` is empty, and brings the memory of an earlier request.
    pub fn scan(
        message: Message,
        bytes: &'a [u8],
        mut series: Vec<SeriesMessage<'a>>,
        mut symbols: Symbols<'a>,
    ) -> Result<Self, DecodeError> {
        let (fields, mut metadata, mut rows, mut rows_bytes) = (Fields::of(message), Vec::new(), 0, 0);
        let series_field = match message {
            Message::WriteRequest => 1,
            Message::Request => {
                symbols.read(bytes)?;
                5
            }
        };
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (number, Value::Bytes(bytes)) if number == series_field => {
                    let one = SeriesMessage::scan(bytes, fields, &mut symbols, &mut rows_bytes)?;
                    rows += 1 + one.rows();
                    series.push(one);
                }
                (3, Value::Bytes(bytes)) if message == Message::WriteRequest => {
                    metadata.extend(read_metadata(bytes)?);
                    rows += 1;
                }
                (3, _) if message == Message::WriteRequest => return Err(DecodeError::Malformed),
                (number, _) if number == series_field => return Err(DecodeError::Malformed),
                _ => {}
            }
            limit_rows(rows)?;
        }
        Ok(Self { message, series, metadata, symbols, rows_bytes })
    }

    /// Bytes that are taken by what the first pass found and the second will make of it.
    pub fn bytes(&self) -> usize {
        let samples: usize = self.series.iter().map(|series| series.samples as usize).sum();
        self.series.len() * size_of::<SeriesMessage<'_>>()
            + self.symbols.bytes()
            + samples * size_of::<SampleRow>()
            + self.rows_bytes
    }

    /// The labels of a series, names and values as they are, which may be no text.
    pub fn read_labels(&self, series: &SeriesMessage<'a>, pairs: &mut Pairs<'a>) -> Result<(), DecodeError> {
        pairs.clear();
        match self.message {
            Message::WriteRequest => {
                for label in series.label_fields() {
                    let Value::Bytes(label) = label? else { return Err(DecodeError::Malformed) };
                    let pair = read_label(label)?;
                    // One too many is enough to be refused for it.
                    if pairs.len() <= MAX_LABELS {
                        pairs.push(pair);
                    }
                }
            }
            Message::Request => self.symbols.pairs(series.label_fields(), pairs)?,
        }
        Ok(())
    }

    /// The same for a text about a series whose labels were read before.
    pub fn labels(&self, series: &SeriesMessage<'a>) -> Pairs<'a> {
        let mut pairs = Vec::new();
        let read = self.read_labels(series, &mut pairs);
        debug_assert!(read.is_ok(), "they were read before");
        pairs
    }

    /// Bytes of the labels of a series once they are written out.
    pub fn label_bytes(&self, series: &SeriesMessage<'a>) -> Result<usize, DecodeError> {
        match self.message {
            // Each is there in full.
            Message::WriteRequest => Ok(series.labels_end as usize),
            Message::Request => Ok(self.symbols.text_bytes(series.label_fields())?),
        }
    }
}

impl<'a> SeriesMessage<'a> {
    #[inline]
    fn scan(
        message: &'a [u8],
        fields: Fields,
        symbols: &mut Symbols<'a>,
        rows_bytes: &mut usize,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        while reader.rest.first() == Some(&LABELS_TAG) {
            if reader.short(LABELS_TAG).is_none() {
                reader.field()?;
            }
        }
        let labels_end = message.len() - reader.rest.len();
        let mut series = Self {
            key: 0,
            handle: None,
            samples: 0,
            histograms: 0,
            exemplars: 0,
            metadata: MetadataRefs::default(),
            fault: None,
            message,
            labels_end: u32::try_from(labels_end).map_err(|_| DecodeError::Malformed)?,
            scattered: false,
        };
        loop {
            while reader.short(SAMPLES_TAG).is_some() {
                series.samples += 1;
            }
            let Some((number, value)) = reader.field()? else { break };
            let Value::Bytes(bytes) = value else {
                // References may come one by one.
                match number {
                    1 if fields.metadata.is_some() => series.scattered = true,
                    number if fields.has(number) => return Err(DecodeError::Malformed),
                    _ => {}
                }
                continue;
            };
            if number == SAMPLES_FIELD {
                series.samples += 1;
            } else if number == fields.histograms {
                series.histograms += 1;
                *rows_bytes += HISTOGRAM_BYTES + BYTES_PER_WIRE_BYTE * bytes.len();
            } else if number == fields.exemplars {
                series.exemplars += 1;
                *rows_bytes += EXEMPLAR_BYTES + BYTES_PER_WIRE_BYTE * bytes.len();
            } else if number == 1 {
                series.scattered = true;
            } else if Some(number) == fields.metadata {
                series.metadata.read(bytes)?;
            }
        }
        series.find_key(fields, symbols)?;
        Ok(series)
    }

    #[inline]
    fn find_key(&mut self, fields: Fields, symbols: &mut Symbols<'a>) -> Result<(), DecodeError> {
        if fields.metadata.is_none() && !self.scattered {
            self.key = xxh3_128(&self.message[..self.labels_end as usize]);
        } else if fields.metadata.is_none() {
            let mut labels = Vec::new();
            let mut rest = Reader::new(self.message);
            loop {
                let before = rest.rest;
                let Some((number, _)) = rest.field()? else { break };
                if number == 1 {
                    labels.extend_from_slice(&before[..before.len() - rest.rest.len()]);
                }
            }
            self.key = xxh3_128(&labels);
        } else {
            let message = self.message;
            let fields = LabelFields::new(message, self.labels_end, self.scattered);
            match symbols.key(fields)? {
                Ok(key) => self.key = key,
                Err(fault) => self.fault = Some(fault),
            }
            if self.fault.is_none() {
                let labels = || symbols::refs_text(LabelFields::new(message, self.labels_end, self.scattered));
                self.fault = symbols.check_metadata(self.metadata, labels);
            }
        }
        Ok(())
    }

    pub fn rows(&self) -> usize {
        (self.samples + self.histograms + self.exemplars) as usize
    }

    /// What comes after the labels in front.
    pub fn rest(&self) -> &'a [u8] {
        &self.message[self.labels_end as usize..]
    }

    fn label_fields(&self) -> LabelFields<'a> {
        LabelFields::new(self.message, self.labels_end, self.scattered)
    }
}

impl Fields {
    fn has(self, number: u32) -> bool {
        number == 1
            || number == SAMPLES_FIELD
            || number == self.histograms
            || number == self.exemplars
            || Some(number) == self.metadata
    }
}

/// Payloads of the first field of a series, wherever they stand.
#[derive(Clone, Debug)]
pub struct LabelFields<'a>(Reader<'a>);

impl<'a> LabelFields<'a> {
    fn new(message: &'a [u8], labels_end: u32, scattered: bool) -> Self {
        Self(Reader::new(if scattered { message } else { &message[..labels_end as usize] }))
    }
}

impl<'a> Iterator for LabelFields<'a> {
    type Item = Result<Value<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.field() {
                Ok(Some((1, value))) => return Some(Ok(value)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(malformed) => return Some(Err(malformed)),
            }
        }
    }
}

/// The label set, or why there is none, in the words of 2.0.
pub fn valid_labels(pairs: &Pairs<'_>) -> Result<Labels, String> {
    let invalid = || format!("invalid metric name or labels, got {}", series_text(pairs));
    // Before anything looks at all of their bytes, which many series may share.
    if let Some(limit) = beyond_limits(pairs) {
        return Err(format!("invalid labels for series, labels {}: {limit}", series_text(pairs)));
    }
    let texts: Option<Vec<(&str, &str)>> = pairs
        .iter()
        .map(|(name, value)| std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()))
        .collect();
    let texts = texts.ok_or_else(invalid)?;
    if !texts.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty()) {
        return Err(invalid());
    }
    checked(&texts).map_err(|why| match why {
        InvalidLabels::NoMetricName | InvalidLabels::EmptyName => invalid(),
        InvalidLabels::Repeated(name) => {
            format!("invalid labels for series, labels {}, duplicated label {name}", series_text(pairs))
        }
        limit => format!("invalid labels for series, labels {}: {limit}", series_text(pairs)),
    })
}

fn beyond_limits(pairs: &Pairs<'_>) -> Option<InvalidLabels> {
    if pairs.len() > MAX_LABELS {
        return Some(InvalidLabels::TooMany(pairs.len()));
    }
    pairs.iter().find_map(|(name, value)| match (name.len(), value.len()) {
        (bytes, _) if bytes > MAX_NAME_BYTES => Some(InvalidLabels::NameTooLong(bytes)),
        (_, bytes) if bytes > MAX_VALUE_BYTES => {
            Some(InvalidLabels::ValueTooLong(String::from_utf8_lossy(name).into_owned(), bytes))
        }
        _ => None,
    })
}

fn limit_rows(rows: usize) -> Result<(), DecodeError> {
    if rows <= MAX_ROWS {
        return Ok(());
    }
    Err(DecodeError::Invalid(format!("the request has too many series and samples: the limit is {MAX_ROWS}")))
}

/// Name and value, which need not be text.
pub fn read_label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            (1 | 2, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok((name, value))
}

/// `None` without a family name or with text that is not UTF-8.
fn read_metadata(message: &[u8]) -> Result<Option<(String, Metadata)>, Malformed> {
    let (mut kind, mut family, mut help, mut unit) = (MetricType::Unknown, &b""[..], &b""[..], &b""[..]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(number)) => kind = MetricType::from_number(number as i32),
            (2, Value::Bytes(bytes)) => family = bytes,
            (4, Value::Bytes(bytes)) => help = bytes,
            (5, Value::Bytes(bytes)) => unit = bytes,
            (1 | 2 | 4 | 5, _) => return Err(Malformed),
            _ => {}
        }
    }
    let text = |bytes| std::str::from_utf8(bytes).ok().map(str::to_string);
    let metadata = text(help).zip(text(unit)).map(|(help, unit)| Metadata { kind, help, unit });
    Ok(text(family).filter(|family| !family.is_empty()).zip(metadata))
}
