//! `ExportMetricsServiceRequest` and what is in it, read in place. What is below a message stays bytes until somebody
//! asks; how many messages a request has is limited, since an empty one takes two bytes of it and many more here.

use crate::ingest::otlp::value::text;
use crate::ingest::wire::{Malformed, Reader, Value};

/// Messages of each kind within one, and points, buckets and series of a request.
pub const MAX_ITEMS: usize = 1 << 20;

/// Why a request is refused as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Malformed,
    TooMany,
    /// There is no memory for what it becomes.
    NoRoom,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Unreadable::Malformed
    }
}

type Result<T> = std::result::Result<T, Unreadable>;

/// Messages in a message.
pub type Messages<'a> = Vec<&'a [u8]>;

fn push<'a>(messages: &mut Messages<'a>, message: &'a [u8]) -> Result<()> {
    if messages.len() >= MAX_ITEMS {
        return Err(Unreadable::TooMany);
    }
    messages.push(message);
    Ok(())
}

/// The `ResourceMetrics` of a request.
pub fn resources(request: &[u8]) -> Result<Messages<'_>> {
    let mut found = Messages::new();
    let mut reader = Reader::new(request);
    while let Some(field) = reader.field()? {
        if let (1, Value::Bytes(message)) = field {
            push(&mut found, message)?;
        }
    }
    Ok(found)
}

#[derive(Debug, Default)]
pub struct ResourceMetrics<'a> {
    /// `KeyValue` messages.
    pub attributes: Messages<'a>,
    pub scopes: Messages<'a>,
}

impl<'a> ResourceMetrics<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(resource)) => found.attributes = attributes(resource, 1)?,
                (2, Value::Bytes(scope)) => push(&mut found.scopes, scope)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

#[derive(Debug, Default)]
pub struct ScopeMetrics<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub schema_url: &'a str,
    pub attributes: Messages<'a>,
    pub metrics: Messages<'a>,
}

impl<'a> ScopeMetrics<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let mut found = Self::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(scope)) => found.read_scope(scope)?,
                (2, Value::Bytes(metric)) => push(&mut found.metrics, metric)?,
                (3, Value::Bytes(url)) => found.schema_url = text(url)?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn read_scope(&mut self, scope: &'a [u8]) -> Result<()> {
        let mut reader = Reader::new(scope);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(name)) => self.name = text(name)?,
                (2, Value::Bytes(version)) => self.version = text(version)?,
                _ => {}
            }
        }
        self.attributes = attributes(scope, 3)?;
        Ok(())
    }
}

#[derive(Debug)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub data: Data<'a>,
}

/// What kind of points a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Gauge,
    Sum {
        monotonic: bool,
    },
    Histogram,
    Exponential,
    Summary,
    /// Of a kind that is unknown here, or of none.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    Unspecified,
    Delta,
    Cumulative,
}

#[derive(Debug)]
pub struct Data<'a> {
    pub shape: Shape,
    /// `None` of kinds that have none.
    pub temporality: Option<Temporality>,
    pub points: Messages<'a>,
}

impl<'a> Metric<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let nothing = Data { shape: Shape::None, temporality: None, points: Messages::new() };
        let mut found = Self { name: "", description: "", unit: "", data: nothing };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(name)) => found.name = text(name)?,
                (2, Value::Bytes(description)) => found.description = text(description)?,
                (3, Value::Bytes(unit)) => found.unit = text(unit)?,
                (5, Value::Bytes(data)) => found.data = Data::read(Shape::Gauge, data)?,
                (7, Value::Bytes(data)) => found.data = Data::read(Shape::Sum { monotonic: false }, data)?,
                (9, Value::Bytes(data)) => found.data = Data::read(Shape::Histogram, data)?,
                (10, Value::Bytes(data)) => found.data = Data::read(Shape::Exponential, data)?,
                (11, Value::Bytes(data)) => found.data = Data::read(Shape::Summary, data)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

impl<'a> Data<'a> {
    fn read(mut shape: Shape, message: &'a [u8]) -> Result<Self> {
        let (mut points, mut temporality) = (Messages::new(), Temporality::Unspecified);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Bytes(point)) => push(&mut points, point)?,
                (2, number) => {
                    temporality = match number.int64() {
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Unspecified,
                    }
                }
                (3, number) => {
                    if let Shape::Sum { monotonic } = &mut shape {
                        *monotonic = number.int64() != 0;
                    }
                }
                _ => {}
            }
        }
        let has_temporality = matches!(shape, Shape::Sum { .. } | Shape::Histogram | Shape::Exponential);
        Ok(Self { shape, temporality: has_temporality.then_some(temporality), points })
    }
}

/// What points of all kinds have. Field numbers differ from kind to kind, those of times do not.
#[derive(Debug, Default)]
pub struct Common<'a> {
    pub attributes: Messages<'a>,
    pub exemplars: Messages<'a>,
    /// Nanoseconds since the epoch; 0 for none.
    pub start_ns: u64,
    pub time_ns: u64,
    /// The point says that there is nothing any more.
    pub no_value: bool,
}

/// Bit of the flags of a point.
const NO_RECORDED_VALUE: i64 = 1;

/// Where the common parts of a kind of points are.
struct Numbers {
    attributes: u32,
    exemplars: u32,
    flags: u32,
}

impl<'a> Common<'a> {
    /// Takes a field that is one of the common ones.
    fn take(&mut self, numbers: &Numbers, number: u32, value: Value<'a>) -> Result<()> {
        match (number, value) {
            (2, Value::Fixed64(time)) => self.start_ns = time,
            (3, Value::Fixed64(time)) => self.time_ns = time,
            (n, Value::Bytes(message)) if n == numbers.attributes => push(&mut self.attributes, message)?,
            (n, Value::Bytes(message)) if n == numbers.exemplars => push(&mut self.exemplars, message)?,
            (n, Value::Varint(_)) if n == numbers.flags => self.no_value = value.int64() & NO_RECORDED_VALUE != 0,
            _ => {}
        }
        Ok(())
    }
}

/// A point of a gauge or a sum.
#[derive(Debug, Default)]
pub struct NumberPoint<'a> {
    pub common: Common<'a>,
    pub value: f64,
}

impl<'a> NumberPoint<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        const NUMBERS: Numbers = Numbers { attributes: 7, exemplars: 5, flags: 8 };
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (4, Value::Fixed64(_)) => point.value = value.double(),
                (6, Value::Fixed64(bits)) => point.value = bits.cast_signed() as f64,
                _ => point.common.take(&NUMBERS, number, value)?,
            }
        }
        Ok(point)
    }
}

/// A point of a histogram with bounds of its own.
#[derive(Debug, Default)]
pub struct HistogramPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: Option<f64>,
    pub counts: Vec<u64>,
    pub bounds: Vec<f64>,
}

impl<'a> HistogramPoint<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        const NUMBERS: Numbers = Numbers { attributes: 9, exemplars: 8, flags: 10 };
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (4, Value::Fixed64(count)) => point.count = count,
                (5, Value::Fixed64(_)) => point.sum = Some(value.double()),
                (6, _) => repeated(value, &mut point.counts, fixed, |value| value)?,
                (7, _) => repeated(value, &mut point.bounds, fixed, f64::from_bits)?,
                _ => point.common.take(&NUMBERS, number, value)?,
            }
        }
        Ok(point)
    }
}

/// Buckets side by side from an index on.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

/// A point of a histogram with exponential buckets.
#[derive(Debug, Default)]
pub struct ExponentialPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub positive: Buckets,
    pub negative: Buckets,
}

impl<'a> ExponentialPoint<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        const NUMBERS: Numbers = Numbers { attributes: 1, exemplars: 11, flags: 10 };
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (4, Value::Fixed64(count)) => point.count = count,
                (5, Value::Fixed64(_)) => point.sum = Some(value.double()),
                (6, Value::Varint(_)) => point.scale = i32::try_from(value.zigzag()).map_err(|_| Malformed)?,
                (7, Value::Fixed64(count)) => point.zero_count = count,
                (8, Value::Bytes(buckets)) => point.positive = Buckets::read(buckets)?,
                (9, Value::Bytes(buckets)) => point.negative = Buckets::read(buckets)?,
                _ => point.common.take(&NUMBERS, number, value)?,
            }
        }
        Ok(point)
    }
}

impl Buckets {
    fn read(message: &[u8]) -> Result<Self> {
        let mut buckets = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (1, Value::Varint(_)) => buckets.offset = i32::try_from(value.zigzag()).map_err(|_| Malformed)?,
                (2, _) => repeated(value, &mut buckets.counts, |reader| reader.varint(), |value| value)?,
                _ => {}
            }
        }
        Ok(buckets)
    }
}

/// A point of a summary.
#[derive(Debug, Default)]
pub struct SummaryPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: f64,
    /// Quantiles and their values.
    pub quantiles: Vec<(f64, f64)>,
}

impl<'a> SummaryPoint<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        // There are no exemplars, and no field has the number 0.
        const NUMBERS: Numbers = Numbers { attributes: 7, exemplars: 0, flags: 8 };
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (4, Value::Fixed64(count)) => point.count = count,
                (5, Value::Fixed64(_)) => point.sum = value.double(),
                (6, Value::Bytes(message)) => {
                    if point.quantiles.len() >= MAX_ITEMS {
                        return Err(Unreadable::TooMany);
                    }
                    point.quantiles.push(quantile(message)?);
                }
                _ => point.common.take(&NUMBERS, number, value)?,
            }
        }
        Ok(point)
    }
}

fn quantile(message: &[u8]) -> Result<(f64, f64)> {
    let (mut quantile, mut found) = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (1, number) => quantile = number.double(),
            (2, number) => found = number.double(),
            _ => {}
        }
    }
    Ok((quantile, found))
}

#[derive(Debug, Default)]
pub struct Exemplar<'a> {
    pub attributes: Messages<'a>,
    pub time_ns: u64,
    pub value: Option<f64>,
    pub span_id: &'a [u8],
    pub trace_id: &'a [u8],
}

impl<'a> Exemplar<'a> {
    pub fn read(message: &'a [u8]) -> Result<Self> {
        let mut exemplar = Self::default();
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match (number, value) {
                (7, Value::Bytes(message)) => push(&mut exemplar.attributes, message)?,
                (2, Value::Fixed64(time)) => exemplar.time_ns = time,
                (3, Value::Fixed64(_)) => exemplar.value = Some(value.double()),
                (6, Value::Fixed64(bits)) => exemplar.value = Some(bits.cast_signed() as f64),
                (4, Value::Bytes(id)) => exemplar.span_id = id,
                (5, Value::Bytes(id)) => exemplar.trace_id = id,
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

/// The `KeyValue` messages of a field.
fn attributes(message: &[u8], number: u32) -> Result<Messages<'_>> {
    let mut found = Messages::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if let (n, Value::Bytes(attribute)) = field
            && n == number
        {
            push(&mut found, attribute)?;
        }
    }
    Ok(found)
}

/// A repeated number, packed or not.
fn repeated<'a, T>(
    value: Value<'a>,
    list: &mut Vec<T>,
    next: impl Fn(&mut Reader<'a>) -> std::result::Result<u64, Malformed>,
    of: impl Fn(u64) -> T,
) -> Result<()> {
    let mut push = |bits: u64| {
        if list.len() >= MAX_ITEMS {
            return Err(Unreadable::TooMany);
        }
        list.push(of(bits));
        Ok(())
    };
    match value {
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while !reader.rest.is_empty() {
                push(next(&mut reader)?)?;
            }
            Ok(())
        }
        Value::Varint(bits) | Value::Fixed64(bits) => push(bits),
        Value::Skipped => Ok(()),
    }
}

fn fixed(reader: &mut Reader<'_>) -> std::result::Result<u64, Malformed> {
    reader.fixed64()
}
