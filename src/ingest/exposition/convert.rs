//! Classic histograms of the text formats → native ones with custom buckets, after Prometheus'
//! `model/textparse/nhcbparse.go`: series of a histogram's family that follow each other and differ in nothing but `le`
//! are one histogram. Whatever comes between ends it, comments too.

use std::borrow::Cow;
use std::sync::Arc;

use crate::ingest::exposition::classic::Classic;
use crate::ingest::exposition::event::{Event, Exemplar, Inner, ParseError, Sample, Value};
use crate::ingest::exposition::number;
use crate::ingest::exposition::series::{ClassicPart, RawSeries, TextSeries};
use crate::model::metadata::MetricType;

type Found<'a> = Option<Result<Event<'a>, ParseError>>;

/// Stands between a parser and its caller.
pub(super) struct Converter<'a> {
    /// Whether the classic series are wanted as well.
    keep_classic: bool,
    /// The family whose type was told last, where it is a histogram.
    family: Option<Cow<'a, str>>,
    collected: Option<Collected<'a>>,
    classic: Classic,
    /// What ended a histogram, and follows it.
    held: Option<Found<'a>>,
    comments: usize,
}

struct Collected<'a> {
    one_of: TextSeries<'a>,
    key: u128,
    timestamp: Option<i64>,
    start_timestamp: i64,
    exemplars: Vec<Exemplar<'a>>,
}

/// A series as a part of a classic histogram.
struct Part<'a> {
    series: TextSeries<'a>,
    key: u128,
    is: Option<Is>,
}

#[derive(Clone, Copy)]
enum Is {
    Bucket(f64),
    Sum,
    Count,
}

impl<'a> Converter<'a> {
    pub fn new(keep_classic: bool) -> Self {
        let classic = Classic::default();
        Self { keep_classic, family: None, collected: None, classic, held: None, comments: 0 }
    }

    pub fn next(&mut self, parser: &mut Inner<'a>) -> Found<'a> {
        loop {
            let found = match self.held.take() {
                Some(held) => held,
                None => parser.next(),
            };
            let part = match &found {
                Some(Ok(Event::Sample(sample))) => match self.part(sample) {
                    Ok(part) => part,
                    Err(message) => {
                        self.collected = None;
                        return Some(Err(parser.error_at_line_start(message)));
                    }
                },
                Some(Ok(Event::Type { family, kind })) => {
                    self.family = (*kind == MetricType::Histogram).then(|| family.clone());
                    None
                }
                Some(Err(_)) => {
                    self.collected = None;
                    return found;
                }
                _ => None,
            };
            let comments = std::mem::replace(&mut self.comments, parser.comments());
            let continues = comments == self.comments
                && self.collected.as_ref().is_some_and(|c| part.as_ref().is_some_and(|part| part.key == c.key));
            if !continues && let Some(histogram) = self.finish() {
                self.held = Some(found);
                return Some(Ok(Event::Sample(histogram)));
            }
            match (found, part) {
                (Some(Ok(Event::Sample(mut sample))), Some(Part { series, key, is: Some(is) })) => {
                    self.collect(series, key, is, &mut sample);
                    if self.keep_classic {
                        return Some(Ok(Event::Sample(sample)));
                    }
                }
                (found, _) => return found,
            }
        }
    }

    /// `None` for a series whose family is no histogram.
    fn part(&self, sample: &Sample<'a>) -> Result<Option<Part<'a>>, String> {
        let (Some(family), RawSeries::Text(series)) = (&self.family, &sample.series) else { return Ok(None) };
        let group = series.group("le", |name| ClassicPart::split(name).1)?;
        let (part, name) = ClassicPart::split(group.metric);
        let bound = || number::parse_label(group.left_out.as_deref()?.as_bytes()).filter(|bound| !bound.is_nan());
        let is = match part.filter(|_| name == family.as_bytes()) {
            Some(ClassicPart::Bucket) => bound().map(Is::Bucket),
            Some(ClassicPart::Sum) => Some(Is::Sum),
            Some(ClassicPart::Count) => Some(Is::Count),
            None => None,
        };
        Ok(Some(Part { series: *series, key: group.key, is }))
    }

    fn collect(&mut self, series: TextSeries<'a>, key: u128, is: Is, sample: &mut Sample<'a>) {
        let collected = self.collected.get_or_insert_with(|| Collected {
            one_of: series,
            key,
            timestamp: sample.timestamp,
            start_timestamp: sample.start_timestamp,
            exemplars: Vec::new(),
        });
        collected.exemplars.append(&mut sample.exemplars);
        let Value::Float(value) = sample.value else { return };
        match is {
            Is::Bucket(bound) => self.classic.bucket(bound, value),
            Is::Sum => self.classic.sum(value),
            Is::Count => self.classic.count(value),
        }
    }

    /// What was collected, if it makes a histogram.
    fn finish(&mut self) -> Option<Sample<'a>> {
        let Collected { one_of, key, timestamp, start_timestamp, exemplars } = self.collected.take()?;
        let histogram = self.classic.take_histogram();
        self.classic.clear();
        let value = Value::Histogram(Arc::new(histogram?));
        Some(Sample { series: RawSeries::Converted { one_of, key }, value, timestamp, start_timestamp, exemplars })
    }
}
