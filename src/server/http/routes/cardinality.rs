//! `/api/v1/status/tsdb`: how many series there are, and what they are made of. Prometheus describes its head,
//! the last two or three hours; here it is the series with samples on the UTC days those hours touch.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use crate::error::Error;
use crate::model::labels::METRIC_NAME;
use crate::model::sample::TimeRange;
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::params::Params;
use crate::server::http::router::{Route, read};
use crate::server::http::server::{Ready, Server};
use crate::storage::types::Series;

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 10_000;
const WINDOW_MS: i64 = 2 * 3_600_000;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/status/tsdb", get(tsdb))]
}

async fn tsdb(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = limit_of(params.get("limit"))?;
    let now = server.now_ms();
    let range = TimeRange::new(now - WINDOW_MS, now);
    let data = server
        .on_queries(async move {
            let series = parts.store.series(range, &[]).await?;
            Ok(describe(&series, range, limit))
        })
        .await?;
    Ok(envelope::success(&data))
}

fn limit_of(text: &str) -> Result<usize, ApiError> {
    let invalid = |message: String| invalid_parameter("limit", Error::bad_input(message));
    if text.is_empty() {
        return Ok(DEFAULT_LIMIT);
    }
    match text.parse::<usize>() {
        Ok(limit) if limit >= 1 => Ok(limit.min(MAX_LIMIT)),
        _ => Err(invalid("limit must be a positive number".into())),
    }
}

#[derive(Default)]
struct LabelCounts<'a> {
    series_by_value: HashMap<&'a str, u64>,
    value_bytes: u64,
}

fn describe(series: &[Arc<Series>], range: TimeRange, limit: usize) -> Value {
    let mut labels: HashMap<&str, LabelCounts<'_>> = HashMap::new();
    for (name, value) in series.iter().flat_map(|s| s.labels.iter()) {
        let counts = labels.entry(name).or_default();
        *counts.series_by_value.entry(value).or_default() += 1;
        counts.value_bytes += value.len() as u64;
    }
    let metrics = labels.get(METRIC_NAME).map(|counts| &counts.series_by_value);
    let by_metric = metrics.into_iter().flatten().map(|(metric, n)| (metric.to_string(), *n)).collect();
    let pairs = labels
        .iter()
        .flat_map(|(name, counts)| counts.series_by_value.iter().map(move |(v, n)| (format!("{name}={v}"), *n)));
    let per_label = |f: fn(&LabelCounts<'_>) -> u64| labels.iter().map(|(n, c)| (n.to_string(), f(c))).collect();
    json!({
        "headStats": {
            "numSeries": series.len(),
            "numLabelPairs": labels.values().map(|c| c.series_by_value.len()).sum::<usize>(),
            // Samples are not kept in chunks here.
            "chunkCount": 0,
            "minTime": range.start_inclusive,
            "maxTime": range.end_inclusive,
        },
        "seriesCountByMetricName": top(by_metric, limit),
        "labelValueCountByLabelName": top(per_label(|c| c.series_by_value.len() as u64), limit),
        "memoryInBytesByLabelName": top(per_label(|c| c.value_bytes), limit),
        "seriesCountByLabelValuePair": top(pairs.collect(), limit),
    })
}

/// The largest values first, equal ones by name.
fn top(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<Value> {
    counts.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    counts.truncate(limit);
    counts.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::Labels;

    #[test]
    fn counts() {
        let series =
            |pairs: &[(&str, &str)]| Arc::new(Series { id: 0, labels: Labels::from_pairs(pairs.iter().copied()) });
        let all = [
            series(&[("__name__", "up"), ("job", "a")]),
            series(&[("__name__", "up"), ("job", "bb")]),
            series(&[("__name__", "x"), ("job", "a")]),
        ];
        let data = describe(&all, TimeRange::new(1, 2), 1);
        assert_eq!(data["headStats"]["numSeries"], 3);
        assert_eq!(data["headStats"]["numLabelPairs"], 4);
        assert_eq!(data["seriesCountByMetricName"], json!([{ "name": "up", "value": 2 }]));
        assert_eq!(data["labelValueCountByLabelName"], json!([{ "name": "__name__", "value": 2 }]));
        assert_eq!(data["memoryInBytesByLabelName"], json!([{ "name": "__name__", "value": 5 }]));
        assert_eq!(data["seriesCountByLabelValuePair"], json!([{ "name": "__name__=up", "value": 2 }]));
    }

    #[test]
    fn limits() {
        assert_eq!(limit_of("").unwrap(), 10);
        assert_eq!(limit_of("3").unwrap(), 3);
        assert_eq!(limit_of("99999").unwrap(), 10_000);
        assert!(limit_of("0").is_err());
        assert!(limit_of("x").is_err());
    }
}
