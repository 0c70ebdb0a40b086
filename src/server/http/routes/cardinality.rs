//! `/api/v1/status/tsdb`: how many series there are, and what they are made of. Prometheus describes its head,
//! the last two or three hours; here it is the series with samples on the UTC days those hours touch.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::engine::cardinality::Cardinality;
use crate::error::Error;
use crate::model::sample::TimeRange;
use crate::server::http::describe::{About, Kind, Parameter, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server};

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 10_000;
const WINDOW_MS: i64 = 2 * 3_600_000;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/status/tsdb").within_limits().get(tsdb).of_samples().about(TSDB)]
}

const COUNTS: Shape = Shape::List(&Shape::Object(&[("name", Shape::Text), ("value", Shape::Whole)]));
const TSDB: About = About::new(Tag::Status, "status-tsdb", "How many series there are, and what they are made of")
    .takes(&[Parameter::new("limit", Kind::Whole, "Entries of each list at most; 10 by default, and up to 10000")])
    .answers(Reply::Data(Shape::Object(&[
        ("headStats", Shape::Map(&Shape::Whole)),
        ("seriesCountByMetricName", COUNTS),
        ("labelValueCountByLabelName", COUNTS),
        ("memoryInBytesByLabelName", COUNTS),
        ("seriesCountByLabelValuePair", COUNTS),
    ])));

async fn tsdb(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = limit_of(params.get("limit"))?;
    let now = server.now_ms();
    let range = TimeRange::new(now - WINDOW_MS, now);
    let found = parts.engine.cardinality(range, limit).await?;
    Ok(envelope::success(&describe(found, range)))
}

fn limit_of(text: &str) -> Result<usize, ApiError> {
    let invalid = |message: String| Err(ApiError(Error::bad_input(message)));
    if text.is_empty() {
        return Ok(DEFAULT_LIMIT);
    }
    match text.parse::<i64>().map(usize::try_from) {
        Ok(Ok(limit @ 1..=MAX_LIMIT)) => Ok(limit),
        Ok(Ok(limit)) if limit > MAX_LIMIT => invalid(format!("limit must not exceed {MAX_LIMIT}")),
        _ => invalid("limit must be a positive number".into()),
    }
}

fn describe(found: Cardinality, range: TimeRange) -> Value {
    json!({
        "headStats": {
            "numSeries": found.series,
            "numLabelPairs": found.label_pairs,
            // Samples are not kept in chunks here.
            "chunkCount": 0,
            "minTime": range.start_inclusive,
            "maxTime": range.end_inclusive,
        },
        "seriesCountByMetricName": list(found.series_by_metric),
        "labelValueCountByLabelName": list(found.values_by_label),
        "memoryInBytesByLabelName": list(found.value_bytes_by_label),
        "seriesCountByLabelValuePair": list(found.series_by_pair),
    })
}

fn list(counts: Vec<(String, u64)>) -> Vec<Value> {
    counts.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let found = Cardinality {
            series: 3,
            label_pairs: 4,
            series_by_metric: vec![("up".into(), 2)],
            ..Cardinality::default()
        };
        let data = describe(found, TimeRange::new(1, 2));
        assert_eq!(data["headStats"]["numSeries"], 3);
        assert_eq!(data["headStats"]["numLabelPairs"], 4);
        assert_eq!(data["headStats"]["maxTime"], 2);
        assert_eq!(data["seriesCountByMetricName"], json!([{ "name": "up", "value": 2 }]));
        assert_eq!(data["labelValueCountByLabelName"], json!([]));
    }

    #[test]
    fn limits() {
        assert_eq!(limit_of("").unwrap(), 10);
        assert_eq!(limit_of("3").unwrap(), 3);
        assert_eq!(limit_of("10000").unwrap(), 10_000);
        let error = |text: &str| limit_of(text).unwrap_err().0.message;
        assert_eq!(error("10001"), "limit must not exceed 10000");
        for wrong in ["0", "-1", "x", "99999999999999999999"] {
            assert_eq!(error(wrong), "limit must be a positive number");
        }
    }
}
