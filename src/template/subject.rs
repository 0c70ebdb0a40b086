//! What templates are expanded for, and the results of queries.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;

use super::value::{Bytes, Data, Value};

/// What a template is expanded for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Of the sample that the rule's expression gave, with its name.
    pub labels: Labels,
    pub value: SampleValue,
    /// Of the evaluation, also for queries.
    pub timestamp_ms: i64,
    pub server: Arc<Server>,
}

/// What is the same for all alerts.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub external_labels: Labels,
    /// `--web.external-url`
    pub external_url: String,
    /// The path of that URL, decoded.
    pub path_prefix: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(FloatHistogram),
}

/// An element of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    pub value: SampleValue,
}

/// A vector (a scalar is one sample without labels), or why there is none in the words of PromQL's engine.
pub type Answer = std::result::Result<Vec<Sample>, String>;

/// By the text of the query.
pub(super) type Answers = HashMap<String, Answer>;

impl Subject {
    pub(super) fn to_data(&self) -> Value {
        Value::Data(Rc::new(Data {
            labels: Rc::new(to_map(&self.labels)),
            external_labels: Rc::new(to_map(&self.server.external_labels)),
            external_url: self.server.external_url.as_bytes().into(),
            value: self.value.to_template(),
        }))
    }
}

impl SampleValue {
    pub(super) fn to_template(&self) -> Value {
        match self {
            SampleValue::Float(number) => Value::Float(*number),
            SampleValue::Histogram(histogram) => Value::Histogram(Rc::new(histogram.clone())),
        }
    }
}

pub(super) fn to_map(labels: &Labels) -> BTreeMap<Bytes, Bytes> {
    labels.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect()
}
