//! Where a series comes from: resource, scope, metric, point. Each has the hash of what it is made of; what it adds to
//! labels is made once somebody asks, which is for new series only.

use std::cell::OnceCell;

use xxhash_rust::xxh3::xxh3_128;

use crate::config::otlp::OtlpConfig;
use crate::ingest::otlp::labels::{Refusal, ResourceLabels, ScopeLabels};
use crate::ingest::otlp::message::{Common, Messages, ResourceMetrics, ScopeMetrics};
use crate::model::float;
use crate::model::labels::LabelsBuilder;
use crate::model::metadata::Metadata;

/// A resource, and what it adds to its series once somebody asks.
pub(super) struct Resource<'a> {
    pub(super) metrics: ResourceMetrics<'a>,
    pub(super) labels: OnceCell<Result<ResourceLabels, Refusal>>,
}

impl Resource<'_> {
    pub(super) fn labels(&self, config: &OtlpConfig) -> Result<&ResourceLabels, Refusal> {
        let labels = self.labels.get_or_init(|| ResourceLabels::of(&self.metrics.attributes, config));
        labels.as_ref().map_err(Clone::clone)
    }
}

pub(super) struct Scope<'a> {
    pub(super) metrics: ScopeMetrics<'a>,
    pub(super) labels: OnceCell<Result<ScopeLabels, Refusal>>,
}

impl Scope<'_> {
    pub(super) fn labels(&self, config: &OtlpConfig) -> Result<&ScopeLabels, Refusal> {
        let labels = self.labels.get_or_init(|| ScopeLabels::of(&self.metrics, config));
        labels.as_ref().map_err(Clone::clone)
    }
}

/// A metric and what it is in.
pub(super) struct Family<'a> {
    pub(super) resource: &'a Resource<'a>,
    pub(super) scope: &'a Scope<'a>,
    pub(super) name: String,
    pub(super) metadata: Metadata,
    /// The points are stored as they come, although they have delta temporality.
    pub(super) is_delta: bool,
    /// They are summed up.
    pub(super) sums_up: bool,
    /// What its series have in common.
    pub(super) key: u128,
}

impl Family<'_> {
    pub(super) fn point<'p>(&'p self, common: &'p Common<'p>) -> Point<'p> {
        let key = self.point_key(common);
        Point { family: self, attributes: &common.attributes, key, labels: OnceCell::new() }
    }

    pub(super) fn point_key(&self, common: &Common<'_>) -> u128 {
        let mut parts = Vec::with_capacity(256);
        parts.extend(self.key.to_le_bytes());
        put_messages(&mut parts, &common.attributes);
        xxh3_128(&parts)
    }
}

/// A point's series: the hash of what they have in common, and their common labels once somebody asks.
pub(super) struct Point<'a> {
    pub(super) family: &'a Family<'a>,
    pub(super) attributes: &'a Messages<'a>,
    pub(super) key: u128,
    pub(super) labels: OnceCell<LabelsBuilder>,
}

/// Which of the series of a point.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Value,
    Sum,
    Count,
    Bucket(f64),
    Quantile(f64),
}

impl Role {
    pub(super) fn code(self) -> (u8, u64) {
        match self {
            Role::Value => (0, 0),
            Role::Sum => (1, 0),
            Role::Count => (2, 0),
            Role::Bucket(bound) => (3, bound.to_bits()),
            Role::Quantile(quantile) => (4, quantile.to_bits()),
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Role::Value | Role::Quantile(_) => "",
            Role::Sum => "_sum",
            Role::Count => "_count",
            Role::Bucket(_) => "_bucket",
        }
    }

    pub(super) fn label(self) -> Option<(&'static str, String)> {
        match self {
            Role::Value | Role::Sum | Role::Count => None,
            Role::Bucket(bound) => Some(("le", float::format_plain(bound))),
            Role::Quantile(quantile) => Some(("quantile", float::format_plain(quantile))),
        }
    }
}

/// 128 bits: two of one key will not be met by accident. One who crafts them may write to either anyway.
pub(super) fn key_of(messages: &Messages<'_>, texts: &[&str]) -> u128 {
    let mut parts = Vec::with_capacity(256);
    texts.iter().for_each(|text| put_text(&mut parts, text));
    put_messages(&mut parts, messages);
    xxh3_128(&parts)
}

pub(super) fn put_text(parts: &mut Vec<u8>, text: &str) {
    parts.extend((text.len() as u64).to_le_bytes());
    parts.extend_from_slice(text.as_bytes());
}

fn put_messages(parts: &mut Vec<u8>, messages: &Messages<'_>) {
    for message in messages {
        parts.extend((message.len() as u64).to_le_bytes());
        parts.extend_from_slice(message);
    }
}
