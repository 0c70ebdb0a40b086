//! Attributes → labels. What a resource and a scope add to all their series is made once for each of them, and only
//! where a series is new.

use crate::config::otlp::OtlpConfig;
use crate::ingest::labels::{InvalidLabels, MAX_LABELS, checked};
use crate::ingest::otlp::message::{ScopeMetrics, Unreadable};
use crate::ingest::otlp::{names, value};
use crate::ingest::wire::Malformed;
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::metadata::{Metadata, MetricType};

/// Attributes of a resource that say which one it is.
pub const SERVICE_NAME: &str = "service.name";
pub const SERVICE_NAMESPACE: &str = "service.namespace";
pub const SERVICE_INSTANCE: &str = "service.instance.id";

/// Why something has no series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be read.
    Unreadable(Unreadable),
    /// A time that no sample may have.
    OutOfBounds,
    /// Read and refused, with the reason.
    Invalid(String),
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        Refusal::Unreadable(unreadable)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Refusal::Unreadable(malformed.into())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal::Invalid(reason)
    }
}

/// What a resource adds to its series.
#[derive(Debug, Default)]
pub struct ResourceLabels {
    /// Empty where the resource has none.
    job: String,
    instance: String,
    promoted: LabelsBuilder,
}

impl ResourceLabels {
    /// `attributes` are `KeyValue` messages.
    pub fn of(attributes: &[&[u8]], config: &OtlpConfig) -> Result<Self, Refusal> {
        check_count(attributes)?;
        let (mut found, mut service, mut namespace) = (Self::default(), None, None);
        for attribute in attributes {
            let (key, value) = value::attribute(attribute)?;
            let mut text = String::new();
            value.write(&mut text)?;
            if config.promoted.has(key) {
                found.promoted.set(&names::label(config, key)?, &text);
            }
            match key {
                SERVICE_NAME => service = Some(text),
                SERVICE_NAMESPACE => namespace = Some(text),
                SERVICE_INSTANCE => found.instance = text,
                _ => {}
            }
        }
        found.job = match (service, namespace) {
            (Some(service), Some(namespace)) => format!("{namespace}/{service}"),
            (Some(service), None) => service,
            (None, _) => String::new(),
        };
        Ok(found)
    }

    pub fn has_identity(&self) -> bool {
        !self.job.is_empty() || !self.instance.is_empty()
    }
}

/// What a scope adds to its series; nothing where it has no name, or is not asked for.
#[derive(Debug, Default)]
pub struct ScopeLabels(Vec<(String, String)>);

impl ScopeLabels {
    pub fn of(scope: &ScopeMetrics<'_>, config: &OtlpConfig) -> Result<Self, Refusal> {
        if !config.promote_scope || scope.name.is_empty() {
            return Ok(Self::default());
        }
        check_count(&scope.attributes)?;
        let mut found = LabelsBuilder::new();
        for attribute in &scope.attributes {
            let (key, value) = value::attribute(attribute)?;
            let mut text = String::new();
            value.write(&mut text)?;
            found.set(&names::label(config, &format!("otel_scope_{key}"))?, &text);
        }
        let mut pairs: Vec<_> = found.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        // An empty one takes an attribute of that name away.
        for (name, value) in [
            ("otel_scope_name", scope.name),
            ("otel_scope_version", scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ] {
            pairs.push((name.to_string(), value.to_string()));
        }
        Ok(Self(pairs))
    }
}

/// Everything around the attributes of a point.
#[derive(Clone, Copy)]
pub struct Around<'c> {
    pub config: &'c OtlpConfig,
    pub resource: &'c ResourceLabels,
    /// Whether attributes of the resource are promoted here.
    pub promote: bool,
    pub scope: Option<&'c ScopeLabels>,
    /// Where type and unit are labels.
    pub metadata: Option<&'c Metadata>,
}

/// Attributes that became one label, by its name.
pub type Collisions = Vec<String>;

/// The labels of a point but for its name: its attributes save those to `ignore`, in the order of their keys, and what is
/// around it. Attributes whose names become the same share a label, with semicolons between their values.
pub fn of_point(
    attributes: &[&[u8]],
    ignore: &[&str],
    around: Around<'_>,
    collisions: &mut Collisions,
) -> Result<LabelsBuilder, Refusal> {
    check_count(attributes)?;
    let config = around.config;
    let mut sorted = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let (key, value) = value::attribute(attribute)?;
        if !ignore.contains(&key) {
            let mut text = String::new();
            value.write(&mut text)?;
            sorted.push((key, text));
        }
    }
    sorted.sort_by_key(|(key, _)| *key);
    let mut labels = LabelsBuilder::new();
    for (key, text) in sorted {
        // As it is, also where it would be no name by our own rules: the labels are checked as a whole.
        if !config.strategy.escape {
            labels.set(key, &text);
            continue;
        }
        let name = names::label(config, key)?;
        let joined = labels.get(&name).map(|before| format!("{before};{text}"));
        if joined.is_some() && !collisions.contains(&name) {
            collisions.push(name.clone());
        }
        labels.set(&name, &joined.unwrap_or(text));
    }
    let resource = around.resource;
    if around.promote {
        for (name, value) in resource.promoted.iter() {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
    }
    for (name, value) in [("job", &resource.job), ("instance", &resource.instance)] {
        if !value.is_empty() {
            labels.set(name, value);
        }
    }
    for (name, value) in around.scope.map(|scope| scope.0.as_slice()).unwrap_or_default() {
        labels.set(name, value);
    }
    if let Some(metadata) = around.metadata {
        if metadata.kind != MetricType::Unknown {
            labels.set("__type__", metadata.kind.as_str());
        }
        if !metadata.unit.is_empty() {
            labels.set("__unit__", &metadata.unit);
        }
    }
    Ok(labels)
}

/// Before they are looked at, one beside the other: there are no more labels than this.
fn check_count(attributes: &[&[u8]]) -> Result<(), Refusal> {
    match attributes.len() {
        0..=MAX_LABELS => Ok(()),
        many => Err(Refusal::Invalid(format!("{}: invalid attributes", InvalidLabels::TooMany(many)))),
    }
}

/// The labels of a series, checked: those of its point, another one, and its name.
pub fn finish(point: &LabelsBuilder, metric: &str, extra: Option<(&str, &str)>) -> Result<Labels, Refusal> {
    let mut labels = point.clone();
    if let Some((name, value)) = extra {
        labels.set(name, value);
    }
    labels.set(METRIC_NAME, metric);
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    checked(&pairs).map_err(|invalid| Refusal::Invalid(format!("{invalid}: invalid sample")))
}
