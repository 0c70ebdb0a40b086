//! `storage`: how samples are taken. Where they are kept is a flag.

use serde_yaml::Value as Yaml;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, field};
use crate::config::values;
use crate::config::yaml::{Node, Value};
use crate::model::duration;

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
}

impl Default for StorageConfig {
    /// Prometheus' default is 0; here an hour, as late samples cost no more than others.
    fn default() -> Self {
        Self { out_of_order_time_window_ms: 3_600_000 }
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
        let default = Self::default().out_of_order_time_window_ms;
        Self { out_of_order_time_window_ms: window.unwrap_or(default) }
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
