//! Prometheus' protobuf format: delimited `io.prometheus.client.MetricFamily` messages, read in place. The only format
//! that has native histograms. After Prometheus' `model/textparse/protobufparse.go`, save that each metric of a family
//! is native or classic for itself.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::ingest::exposition::classic::Classic;
use crate::ingest::exposition::event::{self, Event, Exemplar, Options, ParseError, Sample};
use crate::ingest::exposition::histogram::{Histogram, MAX_PARTS};
use crate::ingest::exposition::message::{Family, MessageSeries, Part};
use crate::ingest::exposition::series::{RawLabels, RawSeries};
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::histogram::CounterResetHint;
use crate::model::metadata::MetricType;

pub struct ProtobufParser<'a> {
    rest: &'a [u8],
    options: Options,
    family: Option<Metrics<'a>>,
    /// Events of the metric at hand.
    ready: VecDeque<Event<'a>>,
    histogram: Histogram<'a>,
    classic: Classic,
}

/// A family whose metrics are on their way.
struct Metrics<'a> {
    name: &'a str,
    family: Family<'a>,
    kind: Kind,
    /// Fields of the family.
    rest: Reader<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Kind {
    fn of(number: i64) -> Option<Self> {
        Some(match number {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            2 => Kind::Summary,
            3 => Kind::Untyped,
            4 => Kind::Histogram,
            5 => Kind::GaugeHistogram,
            _ => return None,
        })
    }

    fn metric_type(self) -> MetricType {
        match self {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Summary => MetricType::Summary,
            Kind::Untyped => MetricType::Unknown,
            Kind::Histogram => MetricType::Histogram,
            Kind::GaugeHistogram => MetricType::GaugeHistogram,
        }
    }

    /// The field of a `Metric` that has its value.
    fn field(self) -> u32 {
        match self {
            Kind::Gauge => 2,
            Kind::Counter => 3,
            Kind::Summary => 4,
            Kind::Untyped => 5,
            Kind::Histogram | Kind::GaugeHistogram => 7,
        }
    }
}

/// What all series of one metric have alike.
struct Common<'a> {
    family: Family<'a>,
    labels: Cow<'a, [u8]>,
    timestamp: Option<i64>,
    start_timestamp: i64,
}

impl<'a> Common<'a> {
    fn sample(&self, part: Part, value: event::Value, exemplars: Vec<Exemplar<'a>>) -> Event<'a> {
        let series = MessageSeries { family: self.family, labels: self.labels.clone(), part };
        let (timestamp, start_timestamp) = (self.timestamp, self.start_timestamp);
        Event::Sample(Sample { series: RawSeries::Message(series), value, timestamp, start_timestamp, exemplars })
    }

    fn float(&self, part: Part, value: f64, exemplar: Option<Exemplar<'a>>) -> Event<'a> {
        self.sample(part, event::Value::Float(value), exemplar.into_iter().collect())
    }
}

impl<'a> ProtobufParser<'a> {
    pub fn new(body: &'a [u8], options: Options) -> Self {
        let (ready, histogram, classic) = (VecDeque::new(), Histogram::default(), Classic::default());
        Self { rest: body, options, family: None, ready, histogram, classic }
    }

    fn event(&mut self) -> Result<Option<Event<'a>>, String> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match &mut self.family {
                Some(metrics) => match metrics.next().map_err(|_| malformed(metrics.name))? {
                    Some(metric) => self.metric(metric)?,
                    None => self.family = None,
                },
                None if self.rest.is_empty() => return Ok(None),
                None => self.next_family()?,
            }
        }
    }

    fn next_family(&mut self) -> Result<(), String> {
        let mut reader = Reader::new(self.rest);
        let len = reader.varint().map_err(|_| "the body does not end with a metric family".to_string())?;
        let message = usize::try_from(len).ok().and_then(|len| reader.rest.split_at_checked(len));
        let Some((message, rest)) = message else {
            let left = reader.rest.len();
            return Err(format!("the body ends within a metric family of {len} bytes, of which there are {left}"));
        };
        self.rest = rest;
        let (mut name, mut help, mut unit, mut kind, mut any) = (&b""[..], &b""[..], &b""[..], 0, false);
        let mut reader = Reader::new(message);
        let malformed = |_: Malformed| "the body is no list of metric families".to_string();
        while let Some(field) = reader.field().map_err(malformed)? {
            match field {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Bytes(bytes)) => help = bytes,
                (3, value @ Value::Varint(_)) => kind = value.int64(),
                (4, Value::Bytes(_)) => any = true,
                (5, Value::Bytes(bytes)) => unit = bytes,
                (1..=5, _) => return Err(malformed(Malformed)),
                _ => {}
            }
        }
        // A family without metrics says nothing, not even what it is.
        if !any {
            return Ok(());
        }
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
        let name = name.ok_or("invalid metric name: it is empty or not valid UTF-8")?;
        let text = |bytes: &'a [u8], what: &str| {
            std::str::from_utf8(bytes).map_err(|_| format!("invalid {what} for metric {name:?}: not valid UTF-8"))
        };
        let (help, unit) = (text(help, "help")?, text(unit, "unit")?);
        let kind = Kind::of(kind).ok_or_else(|| format!("unknown metric type for metric {name:?}: {kind}"))?;
        self.ready.push_back(Event::Help { family: Cow::Borrowed(name), text: Cow::Borrowed(help) });
        if !unit.is_empty() {
            self.ready.push_back(Event::Unit { family: Cow::Borrowed(name), unit: Cow::Borrowed(unit) });
        }
        self.ready.push_back(Event::Type { family: Cow::Borrowed(name), kind: kind.metric_type() });
        self.family = Some(Metrics { name, family: Family::new(name), kind, rest: Reader::new(message) });
        Ok(())
    }

    /// Puts the events of a metric into `ready`.
    fn metric(&mut self, metric: &'a [u8]) -> Result<(), String> {
        let Some(metrics) = &self.family else { return Ok(()) };
        let (family, kind, name) = (metrics.family, metrics.kind, metrics.name);
        let malformed = |_: Malformed| malformed(name);
        let (labels, rest) = split_labels(metric).map_err(malformed)?;
        let mut common = Common { family, labels, timestamp: None, start_timestamp: 0 };
        let mut payload = &b""[..];
        let mut reader = Reader::new(rest);
        while let Some(field) = reader.field().map_err(malformed)? {
            match field {
                (6, value @ Value::Varint(_)) => common.timestamp = Some(value.int64()).filter(|ms| *ms != 0),
                (number, Value::Bytes(bytes)) if number == kind.field() => payload = bytes,
                (1..=5 | 7, Value::Bytes(_)) => {}
                (1..=7, _) => return Err(malformed(Malformed)),
                _ => {}
            }
        }
        match kind {
            Kind::Counter | Kind::Gauge | Kind::Untyped => self.simple(common, kind, payload).map_err(malformed),
            Kind::Summary => self.summary(common, payload).map_err(malformed),
            Kind::Histogram | Kind::GaugeHistogram => {
                self.histogram.read(payload).map_err(malformed)?;
                self.histogram(common, kind).map_err(|message| format!("histogram {name:?}: {message}"))
            }
        }
    }

    fn simple(&mut self, mut common: Common<'a>, kind: Kind, payload: &'a [u8]) -> Result<(), Malformed> {
        let (mut value, mut exemplar) = (0.0, None);
        let mut reader = Reader::new(payload);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Fixed64(bits)) => value = f64::from_bits(bits),
                (1, _) => return Err(Malformed),
                (2, Value::Bytes(message)) if kind == Kind::Counter => exemplar = Some(read_exemplar(message)?),
                (3, Value::Bytes(message)) if kind == Kind::Counter && self.options.start_timestamps => {
                    common.start_timestamp = read_timestamp(message)?;
                }
                _ => {}
            }
        }
        self.ready.push_back(common.float(Part::Whole, value, exemplar));
        Ok(())
    }

    fn summary(&mut self, mut common: Common<'a>, payload: &'a [u8]) -> Result<(), Malformed> {
        let (mut count, mut sum) = (0, 0.0);
        // Quantiles come behind what they are printed behind, save from a sender that is free to do otherwise.
        let mut reader = Reader::new(payload);
        while let Some(field) = reader.field()? {
            match field {
                (1, Value::Varint(value)) => count = value,
                (2, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
                (3, Value::Bytes(_)) => {}
                (4, Value::Bytes(message)) if self.options.start_timestamps => {
                    common.start_timestamp = read_timestamp(message)?;
                }
                (1..=3, _) => return Err(Malformed),
                _ => {}
            }
        }
        self.ready.push_back(common.float(Part::Count, count as f64, None));
        self.ready.push_back(common.float(Part::Sum, sum, None));
        let mut reader = Reader::new(payload);
        while let Some(field) = reader.field()? {
            let (3, Value::Bytes(message)) = field else { continue };
            if self.ready.len() >= MAX_PARTS {
                return Err(Malformed);
            }
            let (mut quantile, mut value) = (0.0, 0.0);
            let mut reader = Reader::new(message);
            while let Some((number, field)) = reader.field()? {
                match number {
                    1 => quantile = field.double(),
                    2 => value = field.double(),
                    _ => {}
                }
            }
            self.ready.push_back(common.float(Part::Quantile(quantile), value, None));
        }
        Ok(())
    }

    /// The histogram that was read last, in the forms that are wanted of it.
    fn histogram(&mut self, mut common: Common<'a>, kind: Kind) -> Result<(), String> {
        let (options, gauge) = (self.options, kind == Kind::GaugeHistogram);
        let malformed = |_: Malformed| "no protobuf message".to_string();
        if let Some(start) = self.histogram.start.filter(|_| options.start_timestamps) {
            common.start_timestamp = read_timestamp(start).map_err(malformed)?;
        }
        if options.native_histograms && self.histogram.is_native() {
            let exemplars = self.native_exemplars().map_err(malformed)?;
            let native = event::Value::Histogram(Arc::new(self.histogram.to_native(gauge)?));
            self.ready.push_back(common.sample(Part::Whole, native, exemplars));
            if options.always_classic_histograms && !self.histogram.buckets.is_empty() {
                self.classic_series(&common).map_err(malformed)?;
            }
            return Ok(());
        }
        if !options.convert_classic_histograms || options.always_classic_histograms {
            self.classic_series(&common).map_err(malformed)?;
        }
        if options.convert_classic_histograms
            && let Some(mut converted) = self.histogram.to_custom_buckets(&mut self.classic)
        {
            let exemplars = self.native_exemplars().map_err(malformed)?;
            if gauge {
                converted.counter_reset_hint = CounterResetHint::Gauge;
            }
            self.ready.push_back(common.sample(
                Part::Whole,
                event::Value::Histogram(Arc::new(converted)),
                exemplars,
            ));
        }
        Ok(())
    }

    fn classic_series(&mut self, common: &Common<'a>) -> Result<(), Malformed> {
        let count = self.histogram.count();
        self.ready.push_back(common.float(Part::Count, count, None));
        self.ready.push_back(common.float(Part::Sum, self.histogram.sum, None));
        for bucket in &self.histogram.buckets {
            let exemplar = bucket.exemplar.map(read_exemplar).transpose()?;
            self.ready.push_back(common.float(Part::Bucket(bucket.upper_bound), bucket.count(), exemplar));
            if bucket.upper_bound == f64::INFINITY {
                return Ok(());
            }
        }
        self.ready.push_back(common.float(Part::Bucket(f64::INFINITY), count, None));
        Ok(())
    }

    /// Those of the histogram itself, else those of its buckets; without a time they cannot be told apart and are none.
    fn native_exemplars(&self) -> Result<Vec<Exemplar<'a>>, Malformed> {
        let own = self.histogram.exemplars.iter().copied();
        let of_buckets = self.histogram.buckets.iter().filter_map(|bucket| bucket.exemplar);
        let mut exemplars = match own.len() {
            0 => of_buckets.map(read_exemplar).collect::<Result<Vec<_>, _>>()?,
            _ => own.map(read_exemplar).collect::<Result<Vec<_>, _>>()?,
        };
        exemplars.retain(|exemplar| exemplar.timestamp.is_some());
        Ok(exemplars)
    }
}

impl<'a> Metrics<'a> {
    /// The next `Metric`.
    fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        while let Some(field) = self.rest.field()? {
            if let (4, Value::Bytes(metric)) = field {
                return Ok(Some(metric));
            }
        }
        Ok(None)
    }
}

fn malformed(family: &str) -> String {
    format!("a metric of family {family:?} is no protobuf message")
}

impl<'a> Iterator for ProtobufParser<'a> {
    type Item = Result<Event<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.event();
        if event.is_err() {
            (self.rest, self.family) = (&[], None);
            self.ready.clear();
        }
        event.map_err(|message| ParseError { line: None, message }).transpose()
    }
}

/// The label fields of a `Metric`, and what comes behind the first of them. They come first from every known exporter,
/// and are copied together from one that scatters them.
#[inline]
fn split_labels(metric: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    const LABEL_TAG: u8 = 0x0a;
    let mut reader = Reader::new(metric);
    while reader.rest.first() == Some(&LABEL_TAG) {
        reader.field()?;
    }
    let rest = reader.rest;
    let mut labels = Cow::Borrowed(&metric[..metric.len() - rest.len()]);
    loop {
        let before = reader.rest;
        let Some((number, _)) = reader.field()? else { return Ok((labels, rest)) };
        if number == 1 {
            labels.to_mut().extend_from_slice(&before[..before.len() - reader.rest.len()]);
        }
    }
}

fn read_exemplar(message: &[u8]) -> Result<Exemplar<'_>, Malformed> {
    let (mut value, mut timestamp) = (0.0, None);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match field {
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Value::Bytes(message)) => timestamp = Some(read_timestamp(message)?),
            _ => {}
        }
    }
    Ok(Exemplar { labels: RawLabels::Message(message), value, timestamp })
}

/// A `google.protobuf.Timestamp` in milliseconds.
fn read_timestamp(message: &[u8]) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => seconds = value.int64(),
            2 => nanos = value.int64(),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}
