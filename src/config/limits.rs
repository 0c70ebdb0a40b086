//! Limits of a scrape. A 0 in `scrape_configs` takes the value of `global`; a 0 there means no limit.

use serde_yaml::{Mapping, Value};

use crate::config::section::Section;
use crate::config::size;
use crate::error::Result;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Of the uncompressed response.
    pub body_size_limit_bytes: u64,
    pub sample_limit: u64,
    pub target_limit: u64,
    pub label_limit: u64,
    pub label_name_length_limit: u64,
    pub label_value_length_limit: u64,
    /// Without relabelling no target is ever dropped, so this has nothing to keep yet.
    pub keep_dropped_targets: u64,
}

impl ScrapeLimits {
    pub(super) fn read(section: &mut Section, inherited: &ScrapeLimits) -> Result<Self> {
        let or = |own: Option<u64>, inherited: u64| own.filter(|v| *v != 0).unwrap_or(inherited);
        Ok(Self {
            body_size_limit_bytes: or(section.bytes("body_size_limit")?, inherited.body_size_limit_bytes),
            sample_limit: or(section.count("sample_limit")?, inherited.sample_limit),
            target_limit: or(section.count("target_limit")?, inherited.target_limit),
            label_limit: or(section.count("label_limit")?, inherited.label_limit),
            label_name_length_limit: or(
                section.count("label_name_length_limit")?,
                inherited.label_name_length_limit,
            ),
            label_value_length_limit: or(
                section.count("label_value_length_limit")?,
                inherited.label_value_length_limit,
            ),
            keep_dropped_targets: or(section.count("keep_dropped_targets")?, inherited.keep_dropped_targets),
        })
    }

    /// Adds the limits that are set.
    pub(super) fn write(&self, out: &mut Mapping) {
        if self.body_size_limit_bytes != 0 {
            out.insert("body_size_limit".into(), size::format(self.body_size_limit_bytes).into());
        }
        let counts = [
            ("sample_limit", self.sample_limit),
            ("target_limit", self.target_limit),
            ("label_limit", self.label_limit),
            ("label_name_length_limit", self.label_name_length_limit),
            ("label_value_length_limit", self.label_value_length_limit),
            ("keep_dropped_targets", self.keep_dropped_targets),
        ];
        for (key, value) in counts.into_iter().filter(|(_, value)| *value != 0) {
            out.insert(key.into(), Value::from(value));
        }
    }
}
