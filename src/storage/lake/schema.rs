//! The Parquet schemas of the tables, in one place. Delta's `timestamp` is stored as milliseconds; `day` is the
//! partition and not in the files. Columns that have no value in a file are left out of it: readers of a Delta
//! table fill them with NULL.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use parquet::file::metadata::KeyValue;

/// Version of the files, in their key-value metadata.
pub const FORMAT_VERSION: &str = "1";
/// The key it is under.
pub const FORMAT_KEY: &str = "promlake.format";

pub const METRIC: &str = "metric";
pub const SERIES_ID: &str = "series_id";
pub const TIMESTAMP: &str = "timestamp";
pub const VALUE: &str = "value";
pub const SCALED: &str = "scaled";
pub const SCALE: &str = "scale";
pub const HISTOGRAM: &str = "histogram";
pub const START_TIMESTAMP: &str = "start_timestamp";
pub const TIME: &str = "time";

/// Milliseconds, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(Arc::from("UTC")))
}

/// The children of `histogram`, in order: scalars, then lists.
pub static HISTOGRAM_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let scalar = |name: &str, kind: DataType| Field::new(name, kind, true);
    let list = |name: &str, kind: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new("element", kind, true))), true)
    };
    Fields::from(vec![
        scalar("counter_reset_hint", DataType::Int8),
        scalar("schema", DataType::Int32),
        scalar("zero_threshold", DataType::Float64),
        scalar("zero_count", DataType::Float64),
        scalar("count", DataType::Float64),
        scalar("sum", DataType::Float64),
        list("positive_offsets", DataType::Int32),
        list("positive_lengths", DataType::Int32),
        list("positive_buckets", DataType::Float64),
        list("negative_offsets", DataType::Int32),
        list("negative_lengths", DataType::Int32),
        list("negative_buckets", DataType::Float64),
        list("custom_values", DataType::Float64),
    ])
});

/// The `histogram` column.
pub fn histogram_field() -> Field {
    Field::new(HISTOGRAM, DataType::Struct(HISTOGRAM_FIELDS.clone()), true)
}

/// Which of the optional columns of `samples` a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    pub value: bool,
    /// `scaled` and `scale`.
    pub scaled: bool,
    pub histogram: bool,
    pub start_timestamp: bool,
}

impl Columns {
    pub const ALL: Columns = Columns { value: true, scaled: true, histogram: true, start_timestamp: true };
}

/// `samples` with the chosen columns, in the order of the table.
pub fn samples(columns: Columns) -> Schema {
    let mut fields = vec![
        Field::new(METRIC, DataType::Utf8, false),
        Field::new(SERIES_ID, DataType::Int64, false),
        Field::new(TIMESTAMP, timestamp_type(), false),
    ];
    if columns.value {
        fields.push(Field::new(VALUE, DataType::Float64, true));
    }
    if columns.scaled {
        fields.push(Field::new(SCALED, DataType::Int64, true));
        fields.push(Field::new(SCALE, DataType::Int8, true));
    }
    if columns.histogram {
        fields.push(histogram_field());
    }
    if columns.start_timestamp {
        fields.push(Field::new(START_TIMESTAMP, timestamp_type(), true));
    }
    Schema::new(fields)
}

pub const LABELS: &str = "labels";

/// `labels MAP<STRING, STRING>`.
pub fn labels_field() -> Field {
    map_field(LABELS)
}

/// `MAP<STRING, STRING>` under the names Parquet gives a map.
fn map_field(name: &str) -> Field {
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)]);
    let entries = Field::new("key_value", DataType::Struct(entries), false);
    Field::new(name, DataType::Map(Arc::new(entries), false), false)
}

/// Sorted by (metric, series_id).
pub static SERIES: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(METRIC, DataType::Utf8, false),
        Field::new(SERIES_ID, DataType::Int64, false),
        labels_field(),
    ]))
});

/// Sorted by (metric, series_id, timestamp).
pub static EXEMPLARS: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(METRIC, DataType::Utf8, false),
        Field::new(SERIES_ID, DataType::Int64, false),
        Field::new(TIMESTAMP, timestamp_type(), false),
        Field::new(VALUE, DataType::Float64, false),
        labels_field(),
    ]))
});

/// Sorted by family.
pub static METADATA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("family", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("unit", DataType::Utf8, false),
        Field::new("help", DataType::Utf8, false),
    ]))
});

/// Sorted by time.
pub static ALERT_HISTORY: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        Field::new(TIME, timestamp_type(), false),
        text("alert"),
        labels_field(),
        map_field("annotations"),
        text("from_state"),
        text("to_state"),
        Field::new(VALUE, DataType::Float64, true),
        text("rule_group"),
        text("file"),
        text("node"),
    ]))
});

/// A delete in each row.
pub static DELETES: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let time = |name: &str| Field::new(name, timestamp_type(), false);
    let list = |name: &str, kind: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new("element", kind, true))), false)
    };
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        time(TIME),
        list("matchers", DataType::Utf8),
        time("start_time"),
        time("end_time"),
        list("series_ids", DataType::Int64),
        list("files", DataType::Utf8),
    ]))
});

/// What every file says of itself.
pub fn key_values() -> Vec<KeyValue> {
    vec![KeyValue::new(FORMAT_KEY.to_string(), FORMAT_VERSION.to_string())]
}
