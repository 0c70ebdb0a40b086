//! Records of a write-ahead log, all kinds there are in Prometheus 3.16 (`tsdb/record`).

use crate::ingest::tsdb::bytes::{Cursor, Fault};
use crate::ingest::tsdb::chunk::histogram::{sound, summed};
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::metadata::MetricType;
use crate::model::sample::is_stale;

/// What a record is about; the numbers are those of `record.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Series,
    Samples,
    Tombstones,
    Exemplars,
    /// Where samples of a log of late samples are also in a chunk, which needs no marker here.
    Markers,
    Metadata,
    Histograms {
        floats: bool,
    },
}

/// One sample of a record.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The series, as a series record names it.
    pub series: u64,
    pub timestamp: i64,
    /// 0 for none.
    pub start_timestamp: i64,
}

/// Of one record, without its first byte.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    with_starts: bool,
    body: Cursor<'a>,
}

pub type Pairs<'a> = Vec<(&'a str, &'a str)>;

impl<'a> Record<'a> {
    pub fn of(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut body = Cursor::new(bytes);
        let (kind, with_starts) = match body.u8()? {
            1 => (Kind::Series, false),
            2 => (Kind::Samples, false),
            3 => (Kind::Tombstones, false),
            4 => (Kind::Exemplars, false),
            5 => (Kind::Markers, false),
            6 => (Kind::Metadata, false),
            7 | 9 => (Kind::Histograms { floats: false }, false),
            8 | 10 => (Kind::Histograms { floats: true }, false),
            11 => (Kind::Samples, true),
            12 => (Kind::Histograms { floats: false }, true),
            13 => (Kind::Histograms { floats: true }, true),
            other => return Err(Fault::of(format!("a record of unknown type {other}"))),
        };
        Ok(Self { kind, with_starts, body })
    }

    /// New series and their labels.
    pub fn series(self, mut visit: impl FnMut(u64, &Pairs<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut body = self.body;
        let mut pairs = Vec::new();
        while !body.is_empty() {
            let series = body.u64()?;
            labels(&mut body, &mut pairs)?;
            visit(series, &pairs)?;
        }
        Ok(())
    }

    pub fn samples(self, mut visit: impl FnMut(Place, f64) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut body = self.body;
        let mut places = Places::new(self.with_starts);
        while let Some(place) = places.next(&mut body)? {
            visit(place, body.f64()?)?;
        }
        Ok(())
    }

    pub fn histograms(
        self,
        floats: bool,
        mut visit: impl FnMut(Place, FloatHistogram) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut body = self.body;
        let mut places = Places::new(self.with_starts);
        while let Some(place) = places.next(&mut body)? {
            visit(place, histogram(&mut body, floats)?)?;
        }
        Ok(())
    }

    /// Series and the times that were deleted, both included.
    pub fn tombstones(self, mut visit: impl FnMut(u64, i64, i64)) -> Result<(), Fault> {
        let mut body = self.body;
        while !body.is_empty() {
            visit(body.u64()?, body.varint()?, body.varint()?);
        }
        Ok(())
    }

    pub fn exemplars(
        self,
        mut visit: impl FnMut(Place, f64, &Pairs<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut body = self.body;
        let mut places = Places::new(false);
        let mut pairs = Vec::new();
        while let Some(place) = places.next(&mut body)? {
            let value = body.f64()?;
            labels(&mut body, &mut pairs)?;
            visit(place, value, &pairs)?;
        }
        Ok(())
    }

    /// Type, unit and help of the families of series.
    pub fn metadata(self, mut visit: impl FnMut(u64, MetricType, &str, &str)) -> Result<(), Fault> {
        let mut body = self.body;
        while !body.is_empty() {
            let series = body.uvarint()?;
            let kind = MetricType::from_number(i32::from(body.u8()?));
            let (mut unit, mut help) = ("", "");
            for _ in 0..body.count(2)? {
                match (body.text()?, body.text()?) {
                    ("UNIT", text) => unit = text,
                    ("HELP", text) => help = text,
                    _ => {}
                }
            }
            visit(series, kind, unit, help);
        }
        Ok(())
    }
}

fn labels<'a>(body: &mut Cursor<'a>, pairs: &mut Pairs<'a>) -> Result<(), Fault> {
    pairs.clear();
    for _ in 0..body.count(2)? {
        let name = body.text()?;
        pairs.push((name, body.text()?));
    }
    Ok(())
}

/// Series and timestamps from sample to sample.
enum Places {
    /// As differences from those in front of all.
    FromFirst { first: Option<(u64, i64)> },
    /// Series as differences from the one before, times from the first.
    WithStarts { before: Option<Place>, first: Place },
}

impl Places {
    fn new(with_starts: bool) -> Self {
        match with_starts {
            false => Self::FromFirst { first: None },
            true => Self::WithStarts { before: None, first: Place { series: 0, timestamp: 0, start_timestamp: 0 } },
        }
    }

    fn next(&mut self, body: &mut Cursor<'_>) -> Result<Option<Place>, Fault> {
        if body.is_empty() {
            return Ok(None);
        }
        match self {
            Self::FromFirst { first } => {
                let (series, timestamp) = match first {
                    Some(first) => *first,
                    None => *first.insert((body.u64()?, body.i64()?)),
                };
                // A record of nothing but what is in front.
                if body.is_empty() {
                    return Ok(None);
                }
                let series = series.wrapping_add(body.varint()?.cast_unsigned());
                Ok(Some(Place { series, timestamp: timestamp.wrapping_add(body.varint()?), start_timestamp: 0 }))
            }
            Self::WithStarts { before, first } => {
                let place = match before {
                    None => {
                        *first = Place {
                            series: body.varint()?.cast_unsigned(),
                            timestamp: body.varint()?,
                            start_timestamp: body.varint()?,
                        };
                        *first
                    }
                    Some(before) => {
                        let series = before.series.wrapping_add(body.varint()?.cast_unsigned());
                        let timestamp = first.timestamp.wrapping_add(body.varint()?);
                        let start_timestamp = match body.u8()? {
                            0 => 0,
                            1 => before.start_timestamp,
                            _ => first.start_timestamp.wrapping_add(body.varint()?),
                        };
                        Place { series, timestamp, start_timestamp }
                    }
                };
                *before = Some(place);
                Ok(Some(place))
            }
        }
    }
}

fn histogram(body: &mut Cursor<'_>, floats: bool) -> Result<FloatHistogram, Fault> {
    let counter_reset_hint = CounterResetHint::from_code(body.u8()?);
    let schema = body.varint()?;
    let schema = i32::try_from(schema).map_err(|_| Fault::of(format!("a histogram of schema {schema}")))?;
    let zero_threshold = body.f64()?;
    let number = |body: &mut Cursor<'_>| if floats { body.f64() } else { Ok(body.uvarint()? as f64) };
    let (zero_count, count, sum) = (number(body)?, number(body)?, body.f64()?);
    let (positive_spans, negative_spans) = (spans(body)?, spans(body)?);
    let (positive_buckets, negative_buckets) = (buckets(body, floats)?, buckets(body, floats)?);
    let custom_values = if schema == CUSTOM_BUCKETS_SCHEMA { numbers(body)? } else { Vec::new() };
    if is_stale(sum) {
        return Ok(FloatHistogram { sum, ..FloatHistogram::default() });
    }
    let mut histogram = FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values,
    };
    sound(&mut histogram)?;
    Ok(histogram)
}

fn spans(body: &mut Cursor<'_>) -> Result<Vec<Span>, Fault> {
    let count = body.count(2)?;
    (0..count)
        .map(|_| {
            let (offset, length) = (body.varint()?, body.uvarint()?);
            match (i32::try_from(offset), u32::try_from(length)) {
                (Ok(offset), Ok(length)) => Ok(Span { offset, length }),
                _ => Err(Fault::of(format!("a span of {length} buckets at an offset of {offset}"))),
            }
        })
        .collect()
}

fn buckets(body: &mut Cursor<'_>, floats: bool) -> Result<Vec<f64>, Fault> {
    if floats {
        return numbers(body);
    }
    let count = body.count(1)?;
    let differences = (0..count).map(|_| body.varint()).collect::<Result<Vec<_>, _>>()?;
    Ok(summed(differences.into_iter()))
}

fn numbers(body: &mut Cursor<'_>) -> Result<Vec<f64>, Fault> {
    let count = body.count(8)?;
    (0..count).map(|_| body.f64()).collect()
}

#[cfg(test)]
mod tests;
