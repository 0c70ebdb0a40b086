//! `/api/v1/query` and `/api/v1/query_range`: parameters to a [`QueryRequest`], its response to JSON.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::engine::promql::tally::BySteps;
use crate::engine::session::{EvalTime, QueryRequest, QueryResponse, QueryStats, QueryValue};
use crate::error::{Error, ErrorKind};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::json;
use crate::server::http::params::{Params, parse_duration};
use crate::server::http::router::{Route, read};
use crate::server::http::server::{Parts, Ready, Server};
use crate::telemetry::spans::{self, Span};

/// Steps of a range query, less one: enough for a week by the minute or a year by the hour.
const MAX_STEPS: i64 = 11_000;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/query", get(instant).post(instant)).of_samples(),
        read("/api/v1/query_range", get(range).post(range)).of_samples(),
    ]
}

async fn instant(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = params.limit("limit")?;
    let at = params.time_or("time", server.now_ms())?;
    run(parts, &params, EvalTime::Instant { at }, limit).await
}

async fn range(Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = params.limit("limit")?;
    let time = range_of(&params)?;
    run(parts, &params, time, limit).await
}

fn range_of(params: &Params) -> Result<EvalTime, ApiError> {
    let start = params.time("start")?;
    let end_inclusive = params.time("end")?;
    if end_inclusive < start {
        let error = Error::bad_input("end timestamp must not be before start time");
        return Err(invalid_parameter("end", error));
    }
    let step = params.duration("step")?;
    if step <= 0 {
        let error = Error::bad_input(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        );
        return Err(invalid_parameter("step", error));
    }
    if end_inclusive.saturating_sub(start) / step > MAX_STEPS {
        return Err(ApiError(Error::bad_input(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        )));
    }
    Ok(EvalTime::Range { start, end_inclusive, step })
}

async fn run(parts: Parts, params: &Params, time: EvalTime, limit: Option<usize>) -> ApiResult {
    let timeout = params.optional_duration("timeout")?.map(|ms| Duration::from_millis(ms.max(0) as u64));
    let request = QueryRequest {
        query: params.get("query").to_string(),
        parsed: None,
        time,
        lookback_delta_ms: lookback_delta(params)?,
        timeout: timeout.map(|t| t.min(parts.engine.options.timeout)),
        stats: !params.get("stats").is_empty(),
    };
    let stats = params.get("stats").to_string();
    let span = span(&request);
    let work = parts.engine.promql(request, move |response| render(response, time, limit, &stats));
    let body = span.around(work).await;
    if let Err(error) = &body {
        span.failed(|| error.to_string());
    }
    let body = body.map_err(|error| match error.kind {
        ErrorKind::BadInput | ErrorKind::Unsupported => invalid_parameter("query", error),
        _ => ApiError(error),
    })?;
    Ok(envelope::json_response(StatusCode::OK, body))
}

/// Prometheus' names.
fn span(request: &QueryRequest) -> Span {
    let span = match request.time {
        EvalTime::Instant { at } => {
            let span = spans::span("promqlInstantQuery");
            span.number("timestamp", at);
            span
        }
        EvalTime::Range { start, end_inclusive, step } => {
            let span = spans::span("promqlRangeQuery");
            span.number("start", start);
            span.number("end", end_inclusive);
            span.number("step", step);
            span
        }
    };
    span.text("query", &request.query);
    span
}

fn lookback_delta(params: &Params) -> Result<Option<i64>, ApiError> {
    match params.get("lookback_delta") {
        "" => Ok(None),
        text => parse_duration(text).map(Some).map_err(|error| {
            ApiError(Error::bad_input(format!("error parsing lookback delta duration: {}", error.message)))
        }),
    }
}

fn render(mut response: QueryResponse, time: EvalTime, limit: Option<usize>, stats: &str) -> String {
    if truncate(&mut response.value, limit) {
        response.warnings.push("results truncated due to limit".into());
    }
    if !matches!(stats, "" | "true" | "all") {
        response.warnings.push(format!(
            "value {stats:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\""
        ));
    }
    let mut body = String::with_capacity(256 + json::expected_bytes(&response.value));
    body.push_str(envelope::OPEN);
    body.push('{');
    json::write_result(&mut body, &response.value);
    if !stats.is_empty() {
        write_stats(&mut body, &response.stats, time, stats == "all");
    }
    body.push('}');
    envelope::close(&mut body, response.warnings, response.infos);
    body
}

/// Keeps the first `limit` series and says whether there were more.
fn truncate(value: &mut QueryValue, limit: Option<usize>) -> bool {
    let (QueryValue::Vector(series) | QueryValue::Matrix(series), Some(limit)) = (value, limit) else {
        return false;
    };
    let cut = series.len() > limit;
    series.truncate(limit);
    cut
}

/// Prometheus' `stats`, in its order; seconds of timers, samples as [`tally`] counts them. `all` adds the samples of
/// each step, for which Prometheus wants `--enable-feature=promql-per-step-stats` besides.
///
/// [`tally`]: crate::engine::promql::tally
fn write_stats(body: &mut String, stats: &QueryStats, time: EvalTime, by_step: bool) {
    let evaluated = stats.prepare + stats.execute + stats.sort;
    body.push_str(",\"stats\":{\"timings\":{");
    let timings = [
        ("evalTotalTime", evaluated),
        ("resultSortTime", stats.sort),
        ("queryPreparationTime", stats.prepare),
        ("innerEvalTime", stats.execute),
        ("execQueueTime", stats.queue),
        ("execTotalTime", stats.queue + evaluated),
    ];
    for (i, (name, time)) in timings.into_iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(body, "{comma}\"{name}\":{}", time.as_secs_f64());
    }
    body.push('}');
    if let Some(samples) = &stats.samples {
        let BySteps { queryable, read } = &samples.by_step;
        let steps = |values: &[u64]| {
            let step = |(k, samples): (usize, &u64)| format!("[{},{samples}]", step_time(time, k) as f64 / 1000.0);
            values.iter().enumerate().map(step).collect::<Vec<_>>().join(",")
        };
        body.push_str(",\"samples\":{");
        if by_step && !queryable.is_empty() {
            let _ = write!(body, "\"totalQueryableSamplesPerStep\":[{}],", steps(queryable));
        }
        let _ = write!(body, "\"totalQueryableSamples\":{},", queryable.iter().sum::<u64>());
        if by_step && !read.is_empty() {
            let _ = write!(body, "\"samplesReadPerStep\":[{}],", steps(read));
        }
        let _ = write!(body, "\"samplesRead\":{},\"peakSamples\":{}}}", read.iter().sum::<u64>(), samples.peak);
    }
    body.push('}');
}

fn step_time(time: EvalTime, k: usize) -> i64 {
    match time {
        EvalTime::Instant { at } => at,
        EvalTime::Range { start, step, .. } => start + k as i64 * step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::promql::tally::SampleStats;
    use crate::engine::session::{Point, ResultSeries};
    use crate::model::labels::Labels;

    const AT: EvalTime = EvalTime::Instant { at: 0 };

    #[test]
    fn ranges() {
        let check = |query: &str, expected: Result<EvalTime, &str>| {
            let got = range_of(&Params::parse(b"", query)).map_err(|e| e.0.message);
            assert_eq!(got.as_ref().map_err(|e| e.as_str()).copied(), expected, "{query}");
        };
        check("start=0&end=2&step=1", Ok(EvalTime::Range { start: 0, end_inclusive: 2_000, step: 1_000 }));
        check("start=0&end=0&step=5m", Ok(EvalTime::Range { start: 0, end_inclusive: 0, step: 300_000 }));
        check("start=0&end=11000&step=1", Ok(EvalTime::Range { start: 0, end_inclusive: 11_000_000, step: 1_000 }));
        check("end=2&step=1", Err(r#"invalid parameter "start": cannot parse "" to a valid timestamp"#));
        check("start=0&step=1", Err(r#"invalid parameter "end": cannot parse "" to a valid timestamp"#));
        check("start=0&end=2", Err(r#"invalid parameter "step": cannot parse "" to a valid duration"#));
        check(
            "start=2&end=1&step=1",
            Err(r#"invalid parameter "end": end timestamp must not be before start time"#),
        );
        let positive = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
                        Try a positive integer";
        check("start=1&end=2&step=0", Err(positive));
        check("start=1&end=2&step=-1", Err(positive));
        let points = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query \
                      resolution (?step=XX)";
        check("start=0&end=11001&step=1", Err(points));
        check("start=-9223372036854775.808&end=9223372036854775.807&step=1", Err(points));
    }

    #[test]
    fn limits_truncate_with_a_warning() {
        let series = |i: i64| ResultSeries {
            labels: Labels::from_pairs([("i", i.to_string())]),
            points: vec![(0, Point::Float(i as f64))],
        };
        let response = |n: i64| QueryResponse {
            value: QueryValue::Vector((0..n).map(series).collect()),
            warnings: vec![],
            infos: vec![],
            stats: QueryStats::default(),
        };
        assert_eq!(
            render(response(2), AT, Some(1), ""),
            concat!(
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"i":"0"},"value":[0,"0"]}]},"#,
                r#""warnings":["results truncated due to limit"]}"#
            )
        );
        assert!(!render(response(2), AT, Some(2), "").contains("warnings"));
        assert!(!render(response(2), AT, None, "").contains("stats"));
    }

    #[test]
    fn stats_have_the_shape_of_prometheus() {
        let ms = Duration::from_millis;
        let by_step = BySteps { queryable: vec![3, 4], read: vec![3, 1] };
        let samples = Some(SampleStats { by_step, peak: 5 });
        let stats = QueryStats { queue: ms(1), prepare: ms(20), execute: ms(300), sort: ms(4), samples };
        let time = EvalTime::Range { start: 500, end_inclusive: 1500, step: 1000 };
        let written = |by_step| {
            let mut body = String::new();
            write_stats(&mut body, &stats, time, by_step);
            body
        };
        let timings = concat!(
            r#""timings":{"evalTotalTime":0.324,"resultSortTime":0.004,"queryPreparationTime":0.02,"#,
            r#""innerEvalTime":0.3,"execQueueTime":0.001,"execTotalTime":0.325}"#
        );
        let totals = r#""samples":{"totalQueryableSamples":7,"samplesRead":4,"peakSamples":5}"#;
        assert_eq!(written(false), format!(r#","stats":{{{timings},{totals}}}"#));
        let all = concat!(
            r#""samples":{"totalQueryableSamplesPerStep":[[0.5,3],[1.5,4]],"totalQueryableSamples":7,"#,
            r#""samplesReadPerStep":[[0.5,3],[1.5,1]],"samplesRead":4,"peakSamples":5}"#
        );
        assert_eq!(written(true), format!(r#","stats":{{{timings},{all}}}"#));
    }
}
