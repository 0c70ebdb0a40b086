//! `/api/v1/query` and `/api/v1/query_range`: parameters to a [`QueryRequest`], its response to JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts as RequestHead;
use axum::http::{HeaderMap, StatusCode, header};

use crate::engine::query_log::Origin;
use crate::engine::session::{EvalTime, QueryRequest, QueryResponse, QueryValue};
use crate::error::{Error, ErrorKind};
use crate::server::http::describe::{About, END, Kind, LIMIT, Parameter, QUERY, Reply, START, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::json;
use crate::server::http::params::{Params, parse_bool, parse_nanoseconds};
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Parts, Ready, Server};
use crate::server::http::via::Via;
use crate::telemetry::spans::{self, Span};

/// Steps of a range query, less one: enough for a week by the minute or a year by the hour.
const MAX_STEPS: i64 = 11_000;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/query").within_limits().get(instant).post(instant).of_samples().about(INSTANT),
        read("/api/v1/query_range").within_limits().get(range).post(range).of_samples().about(RANGE),
    ]
}

const TIMEOUT: Parameter =
    Parameter::new("timeout", Kind::Duration, "How long it may take; --query.timeout at most");
const LOOKBACK: Parameter =
    Parameter::new("lookback_delta", Kind::Duration, "How old a sample may be; by default --query.lookback-delta");
const STATS: Parameter = Parameter::new(
    "stats",
    Kind::OneOf(&["true", "all"]),
    "With times and counts of samples; with all of them for each step",
);
const STARTS: Parameter = Parameter::new(
    START_TIMESTAMPS,
    Kind::Flag,
    "Whether rates look at start timestamps; by default --enable-feature=use-start-timestamps",
)
.of_header();

/// A value of any of the result types.
const RESULT: Reply = Reply::Data(Shape::Object(&[
    ("resultType", Shape::Text),
    ("result", Shape::List(&Shape::Any)),
    ("stats?", Shape::Any),
]));

const INSTANT: About = About::new(Tag::Query, "query", "Evaluates an expression at one time")
    .takes(&[
        QUERY,
        Parameter::new("time", Kind::Time, "When it is evaluated; now by default"),
        TIMEOUT,
        LOOKBACK,
        LIMIT,
        STATS,
        STARTS,
    ])
    .answers(RESULT);
const RANGE: About =
    About::new(Tag::Query, "query-range", "Evaluates an expression at the steps of a range of time")
        .takes(&[
            QUERY,
            START.required(),
            END.required(),
            Parameter::new("step", Kind::Duration, "From one step to the next").required(),
            TIMEOUT,
            LOOKBACK,
            LIMIT,
            STATS,
            STARTS,
        ])
        .answers(RESULT);

async fn instant(State(server): State<Arc<Server>>, Ready(parts): Ready, head: Head, params: Params) -> ApiResult {
    let limit = params.limit("limit")?;
    let at = params.time_or("time", server.now_ms())?;
    run(parts, &params, head, EvalTime::Instant { at }, limit).await
}

async fn range(Ready(parts): Ready, head: Head, params: Params) -> ApiResult {
    let limit = params.limit("limit")?;
    let time = range_of(&params)?;
    run(parts, &params, head, time, limit).await
}

/// What of a request is not in its parameters.
struct Head {
    /// The header, if there is one.
    start_timestamps: Option<String>,
    origin: Arc<Origin>,
}

impl FromRequestParts<Arc<Server>> for Head {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut RequestHead, server: &Arc<Server>) -> Result<Self, Infallible> {
        let start_timestamps =
            head.headers.get(START_TIMESTAMPS).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let origin = Origin::Http {
            client: head.extensions.get::<Via>().and_then(|via| via.client),
            method: head.method.to_string(),
            // The router has cut the prefix off.
            path: format!("{}{}", server.settings.route_prefix, head.uri.path()),
            dashboard: is_dashboard(&head.headers),
        };
        Ok(Self { start_timestamps, origin: Arc::new(origin) })
    }
}

/// Grafana's data sources say so by their name, and of which dashboard they are where they are told to.
fn is_dashboard(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    headers.contains_key("X-Dashboard-Uid") || agent.is_some_and(|agent| agent.starts_with("Grafana/"))
}

/// Overrides `--enable-feature=use-start-timestamps` for one query, either way. An empty header is none, as in Prometheus.
const START_TIMESTAMPS: &str = "X-Prometheus-Use-Start-Timestamps";

fn use_start_timestamps(header: Option<&str>) -> Result<Option<bool>, ApiError> {
    match header {
        None | Some("") => Ok(None),
        Some(text) => parse_bool(text).map(Some).map_err(|error| {
            ApiError(Error::bad_input(format!("error parsing {START_TIMESTAMPS} header: {}", error.message)))
        }),
    }
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

async fn run(parts: Parts, params: &Params, head: Head, time: EvalTime, limit: Option<usize>) -> ApiResult {
    let timeout = params.optional_duration("timeout")?.map(|ms| Duration::from_millis(ms.max(0) as u64));
    let request = QueryRequest {
        lookback_delta_ms: lookback_delta(params)?,
        timeout: timeout.map(|t| t.min(parts.engine.options.timeout)),
        stats: !params.get("stats").is_empty(),
        use_start_timestamps: use_start_timestamps(head.start_timestamps.as_deref())?,
        origin: Some(head.origin),
        ..QueryRequest::new(params.get("query"), time)
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
        // What is below a millisecond is one of 0, in which there is nothing.
        text => match parse_nanoseconds(text) {
            Ok(..=0) => Ok(None),
            Ok(nanoseconds) => Ok(Some(nanoseconds / 1_000_000)),
            Err(error) => {
                let text = format!("error parsing lookback delta duration: {}", error.message);
                Err(ApiError(Error::bad_input(text)))
            }
        },
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
        // For the samples of each step Prometheus wants `--enable-feature=promql-per-step-stats` besides.
        let step_time = |step: usize| step_time(time, step);
        body.push_str(",\"stats\":");
        response.stats.write_json(&mut body, (stats == "all").then_some(&step_time));
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

fn step_time(time: EvalTime, k: usize) -> i64 {
    match time {
        EvalTime::Instant { at } => at,
        EvalTime::Range { start, step, .. } => start + k as i64 * step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::session::{Point, ResultSeries};
    use crate::engine::stats::QueryStats;
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

    /// Go's truth values, and Prometheus' error.
    #[test]
    fn start_timestamps() {
        let check = |header: Option<&str>, expected: Result<Option<bool>, &str>| {
            let got = use_start_timestamps(header).map_err(|e| e.0.message);
            assert_eq!(got.as_ref().map_err(|e| e.as_str()).copied(), expected, "{header:?}");
        };
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("T"), Ok(Some(true)));
        check(Some("0"), Ok(Some(false)));
        check(
            Some("yes"),
            Err(
                "error parsing X-Prometheus-Use-Start-Timestamps header: strconv.ParseBool: parsing \"yes\": invalid \
                 syntax",
            ),
        );
    }
}
