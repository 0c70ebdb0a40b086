//! A request → its series, rows and metadata. A pure function of the request and the settings, save that it asks whether
//! a series is known: then its labels are not made.

use std::cell::OnceCell;
use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::otlp::delta::{Outcome, Streams};
use crate::ingest::otlp::exemplars::{Made, exemplars};
use crate::ingest::otlp::histogram;
use crate::ingest::otlp::labels::{
    self, Around, Collisions, Refusal, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_NAMESPACE,
};
use crate::ingest::otlp::message::{
    self, Common, ExponentialPoint, HistogramPoint, MAX_ITEMS, Messages, Metric, NumberPoint, ResourceMetrics,
    ScopeMetrics, Shape, SummaryPoint, Temporality, Unreadable,
};
use crate::ingest::otlp::parts::{Family, Point, Resource, Role, Scope, key_of, put_text};
use crate::ingest::otlp::times::{NANOS_PER_MILLI, Span, Times, millis};
use crate::ingest::otlp::translated::{Delta, Entry, Found, Settings, Translated, Warning};
use crate::ingest::otlp::{names, value};
use crate::ingest::raw_series::HashedMap;
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};
use crate::model::sample::STALE_NAN;
use crate::storage::types::{SampleRow, SeriesRef};

/// Errors of a request that are told; it is refused for the first.
const MAX_ERRORS: usize = 100;

/// Rows that memory is asked for at a time, and what one takes until it is stored.
const ROWS_AT_ONCE: usize = 1024;
const ROW_BYTES: usize = 2 * size_of::<SampleRow>() + 64;

/// `__name__` comes from the metric, whatever attributes say.
const RESERVED: &[&str] = &[METRIC_NAME];
const IDENTIFYING: &[&str] = &[SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE];
const TARGET_INFO: &str = "target_info";

/// `streams` are what points with delta temporality are summed up in; without them they stay as they are.
///
/// # Errors
/// A request that cannot be read. What is in it and wrong is among `errors` of the result.
pub fn translate(
    request: &[u8],
    settings: &Settings,
    known: &mut dyn FnMut(u128) -> Option<SeriesRef>,
    streams: Option<&mut Streams>,
) -> Result<Translated, Unreadable> {
    translate_within(request, settings, known, streams, &mut |_| true)
}

/// The same with memory that is asked for before it is taken, in bytes; where `reserve` refuses it the request is
/// [`Unreadable::NoRoom`].
pub fn translate_within(
    request: &[u8],
    settings: &Settings,
    known: &mut dyn FnMut(u128) -> Option<SeriesRef>,
    streams: Option<&mut Streams>,
    reserve: &mut dyn FnMut(usize) -> bool,
) -> Result<Translated, Unreadable> {
    let (by_key, out) = (HashedMap::default(), Translated::default());
    let mut translation = Translation { settings, known, streams, reserve, reserved_rows: 0, by_key, out };
    for message in message::resources(request)? {
        let resource = Resource { metrics: ResourceMetrics::read(message)?, labels: OnceCell::new() };
        translation.resource(&resource)?;
        if translation.out.errors.len() >= MAX_ERRORS {
            break;
        }
    }
    Ok(translation.out)
}

struct Translation<'s> {
    settings: &'s Settings,
    known: &'s mut dyn FnMut(u128) -> Option<SeriesRef>,
    streams: Option<&'s mut Streams>,
    reserve: &'s mut dyn FnMut(usize) -> bool,
    /// There is memory for so many.
    reserved_rows: usize,
    by_key: HashedMap<usize>,
    out: Translated,
}

impl Translation<'_> {
    fn resource(&mut self, resource: &Resource<'_>) -> Result<(), Unreadable> {
        let resource_key = key_of(&resource.metrics.attributes, &[]);
        let mut span = None;
        for message in &resource.metrics.scopes {
            let scope = Scope { metrics: ScopeMetrics::read(message)?, labels: OnceCell::new() };
            let of_scope = [scope.metrics.name, scope.metrics.version, scope.metrics.schema_url];
            let scope_key = key_of(&scope.metrics.attributes, &of_scope);
            for message in &scope.metrics.metrics {
                let metric = Metric::read(message)?;
                let done = self.metric(resource, &scope, (resource_key, scope_key), &metric, &mut span);
                self.settle(done)?;
                if self.out.errors.len() >= MAX_ERRORS {
                    return Ok(());
                }
            }
        }
        let done = self.target_info(resource, resource_key, span);
        self.settle(done)
    }

    /// Keeps an error that concerns a part of the request.
    fn settle(&mut self, done: Result<(), Refusal>) -> Result<(), Unreadable> {
        match done {
            Err(Refusal::Unreadable(unreadable)) => Err(unreadable),
            Err(refusal) => {
                self.out.errors.push(refusal);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn metric(
        &mut self,
        resource: &Resource<'_>,
        scope: &Scope<'_>,
        around: (u128, u128),
        metric: &Metric<'_>,
        span: &mut Span,
    ) -> Result<(), Refusal> {
        let data = &metric.data;
        let (is_delta, sums_up) = match (data.temporality, self.settings.delta) {
            (Some(Temporality::Delta), Delta::Native) => (true, false),
            (Some(Temporality::Delta), Delta::Summed) => (false, true),
            _ => (false, false),
        };
        let accepted = matches!(data.temporality, None | Some(Temporality::Cumulative)) || is_delta || sums_up;
        if data.shape == Shape::None {
            let text = "could not get aggregation temporality for";
            return Err(format!("{text} {} as it has unsupported metric type Empty", metric.name).into());
        }
        if !accepted {
            return Err(format!("invalid temporality and type combination for metric {:?}", metric.name).into());
        }
        let kind = match data.shape {
            Shape::Gauge => names::Kind::Gauge,
            Shape::Sum { monotonic: true } => names::Kind::Counter,
            _ => names::Kind::Other,
        };
        let name = names::metric(self.settings.config.strategy, metric.name, metric.unit, kind)?;
        if data.points.is_empty() {
            self.out.warnings.push(Warning::NoPoints(metric.name.to_string()));
            return Ok(());
        }
        let metadata = Metadata {
            kind: metric_type(data.shape, is_delta),
            help: metric.description.to_string(),
            unit: names::unit(metric.unit),
        };
        let mut parts = Vec::with_capacity(64);
        parts.extend(around.0.to_le_bytes());
        parts.extend(around.1.to_le_bytes());
        parts.push(metadata.kind as u8);
        put_text(&mut parts, &name);
        put_text(&mut parts, &metadata.unit);
        let family = Family { resource, scope, name, metadata, is_delta, sums_up, key: xxh3_128(&parts) };
        self.out.metadata.push((family.name.clone(), family.metadata.clone()));
        self.points(&family, data.shape, &data.points, span)
    }

    fn points(
        &mut self,
        family: &Family<'_>,
        shape: Shape,
        points: &Messages<'_>,
        span: &mut Span,
    ) -> Result<(), Refusal> {
        for message in points {
            match shape {
                Shape::Gauge | Shape::Sum { .. } => {
                    let mut point = NumberPoint::read(message)?;
                    let no_value = point.common.no_value;
                    let key = |point: &NumberPoint<'_>| family.point_key(&point.common);
                    if self.sum_up(family, no_value, |streams| streams.number(key(&point), &mut point))? {
                        self.number(family, point, shape != Shape::Gauge, span)?;
                    }
                }
                Shape::Histogram => {
                    let mut point = HistogramPoint::read(message)?;
                    let no_value = point.common.no_value;
                    let key = |point: &HistogramPoint<'_>| family.point_key(&point.common);
                    if !self.sum_up(family, no_value, |streams| streams.explicit(key(&point), &mut point))? {
                        continue;
                    }
                    if self.settings.config.histograms_to_nhcb {
                        let converted = histogram::of_explicit(&point, family.is_delta)?;
                        self.native(family, &point.common, converted, span)?;
                    } else {
                        self.classic(family, point, span)?;
                    }
                }
                Shape::Exponential => {
                    let mut point = ExponentialPoint::read(message)?;
                    let no_value = point.common.no_value;
                    let key = |point: &ExponentialPoint<'_>| family.point_key(&point.common);
                    if self.sum_up(family, no_value, |streams| streams.exponential(key(&point), &mut point))? {
                        let converted = histogram::of_exponential(&point, family.is_delta)?;
                        self.native(family, &point.common, converted, span)?;
                    }
                }
                Shape::Summary => self.summary(family, SummaryPoint::read(message)?, span)?,
                Shape::None => {}
            }
        }
        Ok(())
    }

    /// Puts the sum of its stream in the place of a point with delta temporality; `false` where there is none.
    fn sum_up(
        &mut self,
        family: &Family<'_>,
        no_value: bool,
        sum_up: impl FnOnce(&mut Streams) -> Outcome,
    ) -> Result<bool, Refusal> {
        let Some(streams) = self.streams.as_deref_mut().filter(|_| family.sums_up && !no_value) else {
            return Ok(true);
        };
        match sum_up(streams) {
            Outcome::Summed => Ok(true),
            Outcome::Dropped => {
                self.warn(Warning::OldDelta(family.name.clone()));
                Ok(false)
            }
            Outcome::NoRoom => {
                let text = "there is no memory to sum up more streams with delta temporality, as of metric";
                Err(format!("{text} {:?}", family.name).into())
            }
        }
    }

    fn number(
        &mut self,
        family: &Family<'_>,
        number: NumberPoint<'_>,
        has_exemplars: bool,
        span: &mut Span,
    ) -> Result<(), Refusal> {
        let times = Times::of(&number.common, span)?;
        let point = family.point(&number.common);
        let value = if number.common.no_value { STALE_NAN } else { number.value };
        let series = self.series(&point, Role::Value)?;
        self.sample(series, times, value)?;
        if has_exemplars {
            for exemplar in exemplars(&number.common, times)? {
                self.exemplar(series, exemplar)?;
            }
        }
        Ok(())
    }

    fn native(
        &mut self,
        family: &Family<'_>,
        common: &Common<'_>,
        (histogram, sum_of_nothing): histogram::Converted,
        span: &mut Span,
    ) -> Result<(), Refusal> {
        let times = Times::of(common, span)?;
        let point = family.point(common);
        let series = self.series(&point, Role::Value)?;
        self.room()?;
        if sum_of_nothing {
            self.warn(Warning::SumOfNothing(family.name.clone()));
        }
        self.out.histograms.push((times.sample(series, 0.0), histogram));
        for exemplar in exemplars(common, times)? {
            self.exemplar(series, exemplar)?;
        }
        Ok(())
    }

    /// Sum, count, and a series for each bucket, which counts those below it as well.
    fn classic(
        &mut self,
        family: &Family<'_>,
        histogram: HistogramPoint<'_>,
        span: &mut Span,
    ) -> Result<(), Refusal> {
        let common = &histogram.common;
        let times = Times::of(common, span)?;
        let point = family.point(common);
        let shown = |value: f64| if common.no_value { STALE_NAN } else { value };
        if let Some(sum) = histogram.sum {
            let series = self.series(&point, Role::Sum)?;
            self.sample(series, times, shown(sum))?;
        }
        let count = shown(histogram.count as f64);
        let series = self.series(&point, Role::Count)?;
        self.sample(series, times, count)?;
        // They go to the first bucket they fit into; both come in ascending order.
        let mut exemplars = exemplars(common, times)?.into_iter().peekable();
        let mut below = 0u64;
        for (bound, in_bucket) in histogram.bounds.iter().zip(&histogram.counts) {
            below = below.wrapping_add(*in_bucket);
            let series = self.series(&point, Role::Bucket(*bound))?;
            self.sample(series, times, shown(below as f64))?;
            // One whose value is NaN is above no bound.
            let fits = |value: &f64| value.partial_cmp(bound) != Some(Ordering::Greater);
            while let Some(exemplar) = exemplars.next_if(|(_, value, _)| fits(value)) {
                self.exemplar(series, exemplar)?;
            }
        }
        let series = self.series(&point, Role::Bucket(f64::INFINITY))?;
        self.sample(series, times, count)?;
        for exemplar in exemplars {
            self.exemplar(series, exemplar)?;
        }
        Ok(())
    }

    fn summary(&mut self, family: &Family<'_>, summary: SummaryPoint<'_>, span: &mut Span) -> Result<(), Refusal> {
        let times = Times::of(&summary.common, span)?;
        let point = family.point(&summary.common);
        let shown = |value: f64| if summary.common.no_value { STALE_NAN } else { value };
        let values = [(Role::Sum, summary.sum), (Role::Count, summary.count as f64)];
        let quantiles = summary.quantiles.iter().map(|(quantile, value)| (Role::Quantile(*quantile), *value));
        for (role, value) in values.into_iter().chain(quantiles) {
            let series = self.series(&point, role)?;
            self.sample(series, times, shown(value))?;
        }
        Ok(())
    }

    /// What is known of a resource beyond its identity, for as long as its points are.
    fn target_info(&mut self, resource: &Resource<'_>, resource_key: u128, span: Span) -> Result<(), Refusal> {
        let Some((first, last)) = span else { return Ok(()) };
        let mut parts = Vec::from(resource_key.to_le_bytes());
        put_text(&mut parts, TARGET_INFO);
        let key = xxh3_128(&parts);
        let series = match self.known_series(key) {
            Some(series) => series,
            None => match self.target_info_labels(resource)? {
                Some(labels) => self.add_new(key, labels)?,
                None => return Ok(()),
            },
        };
        let metadata = Metadata { kind: MetricType::Gauge, help: "Target metadata".into(), unit: String::new() };
        self.out.metadata.push((TARGET_INFO.to_string(), metadata));
        let lookback = if self.settings.lookback_delta_ms > 0 { self.settings.lookback_delta_ms } else { 300_000 };
        let interval = lookback.unsigned_abs().saturating_mul(NANOS_PER_MILLI) / 2;
        let mut time = first;
        // As many as there is room for rows at most.
        while time < last {
            let times = Times { timestamp: millis(time), start: 0 };
            self.sample(series, times, 1.0)?;
            time = time.saturating_add(interval.max(1));
        }
        self.sample(series, Times { timestamp: millis(last), start: 0 }, 1.0)
    }

    /// `None` for a resource that has nothing but its identity, or none.
    fn target_info_labels(&mut self, resource: &Resource<'_>) -> Result<Option<Labels>, Refusal> {
        let attributes = &resource.metrics.attributes;
        let mut more = false;
        for attribute in attributes {
            more |= !IDENTIFYING.contains(&value::attribute(attribute)?.0);
        }
        let config = &self.settings.config;
        let around =
            Around { config, resource: resource.labels(config)?, promote: false, scope: None, metadata: None };
        if !more {
            return Ok(None);
        }
        let ignore = if config.keep_identifying { &[] } else { IDENTIFYING };
        let mut collisions = Collisions::new();
        let labels = labels::of_point(attributes, ignore, around, &mut collisions)?;
        self.warn_of(collisions);
        let identity = ["job", "instance"].iter().any(|name| labels.get(name).is_some());
        if !identity {
            return Ok(None);
        }
        labels::finish(&labels, TARGET_INFO, None).map(Some)
    }

    /// The place of a series of a point.
    fn series(&mut self, point: &Point<'_>, role: Role) -> Result<usize, Refusal> {
        let (code, bits) = role.code();
        let mut parts = [0; 25];
        parts[..16].copy_from_slice(&point.key.to_le_bytes());
        parts[16] = code;
        parts[17..].copy_from_slice(&bits.to_le_bytes());
        let key = xxh3_128(&parts);
        if let Some(place) = self.known_series(key) {
            return Ok(place);
        }
        let common = match point.labels.get() {
            Some(labels) => labels,
            None => {
                let labels = self.point_labels(point)?;
                point.labels.get_or_init(|| labels)
            }
        };
        let name = format!("{}{}", point.family.name, role.suffix());
        let extra = role.label();
        let labels = labels::finish(common, &name, extra.as_ref().map(|(name, value)| (*name, value.as_str())))?;
        self.add_new(key, labels)
    }

    fn point_labels(&mut self, point: &Point<'_>) -> Result<LabelsBuilder, Refusal> {
        let (config, family) = (&self.settings.config, point.family);
        let around = Around {
            config,
            resource: family.resource.labels(config)?,
            promote: true,
            scope: Some(family.scope.labels(config)?),
            metadata: self.settings.type_and_unit_labels.then_some(&family.metadata),
        };
        let mut collisions = Collisions::new();
        let labels = labels::of_point(point.attributes, RESERVED, around, &mut collisions)?;
        self.warn_of(collisions);
        Ok(labels)
    }

    /// The place of a series that was met before, in this request or an earlier one.
    fn known_series(&mut self, key: u128) -> Option<usize> {
        if let Some(place) = self.by_key.get(&key) {
            return Some(*place);
        }
        let series = (self.known)(key)?;
        Some(self.add_series(key, Found::Known(series)))
    }

    fn add_new(&mut self, key: u128, labels: Labels) -> Result<usize, Refusal> {
        self.take(labels.as_bytes().len() + 2 * size_of::<Entry>())?;
        Ok(self.add_series(key, Found::New(labels)))
    }

    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        if (self.reserve)(bytes) { Ok(()) } else { Err(Unreadable::NoRoom.into()) }
    }

    fn add_series(&mut self, key: u128, series: Found) -> usize {
        let place = self.out.series.len();
        self.out.series.push(Entry { key, series });
        self.by_key.insert(key, place);
        place
    }

    fn sample(&mut self, series: usize, times: Times, value: f64) -> Result<(), Refusal> {
        self.room()?;
        self.out.samples.push(times.sample(series, value));
        Ok(())
    }

    fn exemplar(&mut self, series: usize, (timestamp, value, labels): Made) -> Result<(), Refusal> {
        self.room()?;
        self.out.exemplars.push((series, timestamp, value, labels));
        Ok(())
    }

    fn room(&mut self) -> Result<(), Refusal> {
        let rows = self.out.samples.len() + self.out.histograms.len() + self.out.exemplars.len();
        if rows >= MAX_ITEMS {
            return Err(Unreadable::TooMany.into());
        }
        if rows >= self.reserved_rows {
            self.take(ROWS_AT_ONCE * ROW_BYTES)?;
            self.reserved_rows += ROWS_AT_ONCE;
        }
        Ok(())
    }

    fn warn(&mut self, warning: Warning) {
        if self.out.warnings.len() < MAX_ERRORS && !self.out.warnings.contains(&warning) {
            self.out.warnings.push(warning);
        }
    }

    fn warn_of(&mut self, collisions: Collisions) {
        collisions.into_iter().for_each(|label| self.warn(Warning::Collision(label)));
    }
}

/// There is no type for what has delta temporality.
fn metric_type(shape: Shape, is_delta: bool) -> MetricType {
    match shape {
        _ if is_delta => MetricType::Unknown,
        Shape::Gauge | Shape::Sum { monotonic: false } => MetricType::Gauge,
        Shape::Sum { monotonic: true } => MetricType::Counter,
        Shape::Histogram | Shape::Exponential => MetricType::Histogram,
        Shape::Summary => MetricType::Summary,
        Shape::None => MetricType::Unknown,
    }
}
