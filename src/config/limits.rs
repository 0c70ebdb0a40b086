//! Limits of a scrape. A 0 in `scrape_configs` takes the value of `global`; a 0 there means no limit.

use crate::config::schema::{Field, Kind, field};
use crate::config::size;
use crate::config::values;
use crate::config::yaml::Node;

/// Those of samples, targets and labels.
pub const OF_SCRAPES: &[Field] = &[
    field("body_size_limit", Kind::Size),
    field("sample_limit", Kind::Count),
    field("target_limit", Kind::Count),
    field("label_limit", Kind::Count),
    field("label_name_length_limit", Kind::Count),
    field("label_value_length_limit", Kind::Count),
];

pub const DROPPED_TARGETS: Field = field("keep_dropped_targets", Kind::Count);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Of the uncompressed response.
    pub body_size_limit_bytes: u64,
    pub sample_limit: u64,
    pub target_limit: u64,
    pub label_limit: u64,
    pub label_name_length_limit: u64,
    pub label_value_length_limit: u64,
    /// Dropped targets that are kept to be shown; 0 for all.
    pub keep_dropped_targets: u64,
}

impl ScrapeLimits {
    pub(super) fn read(node: &Node, inherited: &ScrapeLimits) -> Self {
        let count = |key: &str, inherited: u64| values::count(node, key).filter(|n| *n != 0).unwrap_or(inherited);
        // Below 0 is no limit, also where the global section has one.
        let body = node.get("body_size_limit").and_then(Node::text).and_then(|text| size::of_file(text).ok());
        Self {
            body_size_limit_bytes: body
                .filter(|n| *n != 0)
                .map_or(inherited.body_size_limit_bytes, |n| u64::try_from(n).unwrap_or(u64::MAX)),
            sample_limit: count("sample_limit", inherited.sample_limit),
            target_limit: count("target_limit", inherited.target_limit),
            label_limit: count("label_limit", inherited.label_limit),
            label_name_length_limit: count("label_name_length_limit", inherited.label_name_length_limit),
            label_value_length_limit: count("label_value_length_limit", inherited.label_value_length_limit),
            keep_dropped_targets: count("keep_dropped_targets", inherited.keep_dropped_targets),
        }
    }

    /// The limits that are set.
    pub(super) fn shown(&self) -> Vec<(&'static str, serde_yaml::Value)> {
        let mut shown = vec![];
        if self.body_size_limit_bytes != 0 {
            shown.push(("body_size_limit", size::format(self.body_size_limit_bytes).into()));
        }
        let counts = [
            ("sample_limit", self.sample_limit),
            ("target_limit", self.target_limit),
            ("label_limit", self.label_limit),
            ("label_name_length_limit", self.label_name_length_limit),
            ("label_value_length_limit", self.label_value_length_limit),
            ("keep_dropped_targets", self.keep_dropped_targets),
        ];
        shown.extend(counts.into_iter().filter(|(_, n)| *n != 0).map(|(key, n)| (key, n.into())));
        shown
    }
}
