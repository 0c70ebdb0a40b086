//! `storage`: how samples are taken. Where they are kept is a flag.

use std::fmt;

use serde_yaml::Value as Yaml;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, field};
use crate::config::size;
use crate::config::values;
use crate::config::yaml::{Node, Value};
use crate::model::{duration, float};

pub static STORAGE: Schema = Schema {
    name: "storage",
    fields: &[&[field("tsdb", Kind::Section(&TSDB)), field("exemplars", Kind::Section(&EXEMPLARS))]],
};

static TSDB: Schema = Schema {
    name: "tsdb",
    fields: &[&[
        field("out_of_order_time_window", Kind::Duration),
        field("stale_series_compaction_threshold", Kind::Float),
        field("retention", Kind::Section(&RETENTION)),
        field("chunk_encoding", Kind::Section(&CHUNK_ENCODING)),
    ]],
};

static RETENTION: Schema = Schema {
    name: "retention",
    fields: &[&[field("time", Kind::Duration), field("size", Kind::Size), field("percentage", Kind::Float)]],
};

static CHUNK_ENCODING: Schema =
    Schema { name: "chunk_encoding", fields: &[&[field("floats", Kind::OneOf(&["", "xor", "xor2"]))]] };

static EXEMPLARS: Schema = Schema { name: "exemplars", fields: &[&[field("max_exemplars", Kind::Integer)]] };

#[derive(Clone, Debug, PartialEq)]
pub struct StorageConfig {
    /// How far a sample may be behind the newest one of its series.
    pub out_of_order_time_window_ms: i64,
    /// `None` where the section is not there, and flags decide.
    pub retention: Option<Retention>,
}

/// What is kept, by time, size and share of the disk; each 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    pub time_ms: u64,
    pub bytes: u64,
    pub percentage: f64,
}

impl fmt::Display for Retention {
    /// As `/api/v1/status/runtimeinfo` of Prometheus has it, but for the case that everything is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = (self.time_ms > 0).then(|| duration::format(i64::try_from(self.time_ms).unwrap_or(i64::MAX)));
        let bytes = (self.bytes > 0).then(|| size::format_mixed(self.bytes));
        let percentage = (self.percentage > 0.0).then(|| format!("{}%", float::format_general(self.percentage)));
        let limits: Vec<String> = [time, bytes, percentage].into_iter().flatten().collect();
        f.write_str(if limits.is_empty() { "unlimited" } else { "" })?;
        f.write_str(&limits.join(" or "))
    }
}

impl Retention {
    /// A section that was checked.
    fn read(node: &Node) -> Self {
        let text = |key: &str| node.get(key).and_then(Node::text);
        let percentage = match node.get("percentage").map(|node| &node.value) {
            Some(Value::Scalar(percentage)) => percentage.float().unwrap_or(0.0),
            _ => 0.0,
        };
        Self {
            time_ms: text("time").and_then(|text| duration::parse(text).ok()).map_or(0, i64::unsigned_abs),
            bytes: text("size")
                .and_then(|text| size::of_file(text).ok())
                .map_or(0, |bytes| bytes.max(0).unsigned_abs()),
            percentage,
        }
    }
}

impl Default for StorageConfig {
    /// Prometheus' default is 0; here an hour, as late samples cost no more than others.
    fn default() -> Self {
        Self { out_of_order_time_window_ms: 3_600_000, retention: None }
    }
}

impl StorageConfig {
    pub(super) fn read(node: &Node, found: &Found) -> Self {
        let nothing = Node::nothing();
        let tsdb = node.get("tsdb").unwrap_or(&nothing);
        let window = tsdb.get("out_of_order_time_window").and_then(Node::text);
        let window = window.and_then(|text| duration::parse(text).ok());
        if let Some(retention) = tsdb.get("retention")
            && let Some(Value::Scalar(percentage)) = retention.get("percentage").map(|node| &node.value)
            && percentage.float().is_some_and(|share| !(0.0..=100.0).contains(&share))
        {
            let message = "percentage must be between 0 and 100";
            found.add(line_of(retention, "percentage"), "storage.tsdb.retention.percentage", message);
        }
        if let Some(retention) = tsdb.get("retention")
            && let Some(size) = retention.get("size").and_then(Node::text)
            && size::of_file(size).is_ok_and(|bytes| bytes < 0)
        {
            let message = format!("'storage.tsdb.retention.size' must be greater than or equal to 0, got {size}");
            found.add(line_of(retention, "size"), "storage.tsdb.retention.size", message);
        }
        let default = Self::default().out_of_order_time_window_ms;
        let retention = tsdb.get("retention").filter(|node| !node.is_null()).map(Retention::read);
        Self { out_of_order_time_window_ms: window.unwrap_or(default), retention }
    }

    /// With what is in force.
    pub(super) fn shown(&self, node: &Node) -> Yaml {
        let nothing = Node::nothing();
        let window = duration::format(self.out_of_order_time_window_ms).into();
        let tsdb = TSDB.show(node.get("tsdb").unwrap_or(&nothing), &[("out_of_order_time_window", window)]);
        STORAGE.show(node, &[("tsdb", tsdb)])
    }

    /// Settings of a storage that is not ours.
    pub(super) fn has_tuning(node: &Node) -> bool {
        let tsdb = |key: &str| node.get("tsdb").and_then(|tsdb| tsdb.get(key));
        let all = [tsdb("stale_series_compaction_threshold"), tsdb("chunk_encoding"), node.get("exemplars")];
        all.into_iter().flatten().any(|node| !node.is_null())
    }

    /// Limits on what is kept, which nothing enforces yet.
    pub(super) fn has_retention(node: &Node) -> bool {
        let retention = node.get("tsdb").and_then(|tsdb| tsdb.get("retention"));
        retention
            .is_some_and(|node| ["time", "size", "percentage"].iter().any(|key| values::text(node, key).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::Retention;

    #[test]
    fn retention_as_prometheus_shows_it() {
        let check = |time_ms, bytes, percentage, shown: &str| {
            assert_eq!(Retention { time_ms, bytes, percentage }.to_string(), shown);
        };
        check(0, 0, 0.0, "unlimited");
        check(30 * 86_400_000, 0, 0.0, "30d");
        check(0, 10 << 30, 0.0, "10GiB");
        check(200 * 3_600_000, 3 << 29, 12.5, "8d8h or 1GiB512MiB or 12.5%");
    }
}
