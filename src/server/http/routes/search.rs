//! `/api/v1/search/*`: names of metrics and labels and values of labels that are like some words, a line of JSON for each
//! batch of them and one that says how it ended. Prometheus' experimental API (`web/api/v1/search.go`), behind
//! `--enable-feature=search-api`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use serde_json::json;

use crate::engine::door::Answer;
use crate::engine::names::Wanted;
use crate::engine::search::{Algorithm, Filter, Hit, MAX_TERM_BYTES, Order, Part, Search, Subject};
use crate::error::{Error, ErrorKind, Result};
use crate::model::float;
use crate::model::labels::METRIC_NAME;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::promql::strings::quote;
use crate::server::http::describe::{About, Kind, MATCH, Parameter, Reply, Shape, Tag};
use crate::server::http::errors::{ApiError, ApiResult, classify};
use crate::server::http::json::write_string;
use crate::server::http::params::{Params, parse_bool};
use crate::server::http::route::{Route, read};
use crate::server::http::selectors;
use crate::server::http::server::{Parts as Opened, Ready, SearchLimits, Server};

/// The media type of the answers.
pub const LINES: &str = "application/x-ndjson";

const DEFAULT_LIMIT: usize = 100;
const DEFAULT_BATCH: usize = 100;
/// Results of a batch; more is asked for in vain.
const MAX_BATCH: usize = 1000;
/// Words of a request, each of which every value is compared with.
const MAX_TERMS: usize = 32;
const DEFAULT_RANGE_MS: i64 = 3_600_000;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/search/metric_names")
            .within_limits()
            .get(metric_names)
            .post(metric_names)
            .of_samples()
            .about(METRIC_NAMES),
        read("/api/v1/search/label_names")
            .within_limits()
            .get(label_names)
            .post(label_names)
            .of_samples()
            .about(LABEL_NAMES),
        read("/api/v1/search/label_values")
            .within_limits()
            .get(label_values)
            .post(label_values)
            .of_samples()
            .about(LABEL_VALUES),
    ]
}

const SEARCH: Parameter =
    Parameter::new("search[]", Kind::Texts, "Words, of which one has to be alike; everything is by default");
const THRESHOLD: Parameter =
    Parameter::new("fuzz_threshold", Kind::Whole, "How like it has to be, of 100; 0 by default");
const ALGORITHM: Parameter =
    Parameter::new("fuzz_alg", Kind::OneOf(&["subsequence", "jarowinkler"]), "How it is compared");
const CASE: Parameter = Parameter::new("case_sensitive", Kind::Flag, "Whether case counts; true by default");
const SORT: Parameter = Parameter::new("sort_by", Kind::OneOf(&["alpha", "score"]), "The order of results");
const DIRECTION: Parameter =
    Parameter::new("sort_dir", Kind::OneOf(&["asc", "dsc"]), "The direction of sort_by=alpha");
const SCORE: Parameter = Parameter::new("include_score", Kind::Flag, "Adds scores to results");
const FROM: Parameter = Parameter::new("start", Kind::Time, "The begin of the time range; an hour ago by default");
const TO: Parameter = Parameter::new("end", Kind::Time, "The end of the time range; now by default");
const MOST: Parameter =
    Parameter::new("limit", Kind::Whole, "Results at most; 100 by default, and up to --web.search.max-limit");
const BATCH: Parameter = Parameter::new("batch_size", Kind::Whole, "Results of a line; 100 by default, up to 1000");
const METADATA: Parameter = Parameter::new("include_metadata", Kind::Flag, "Adds types, help texts and units");
const LABEL: Parameter = Parameter::new("label", Kind::Text, "The name of the label").required();

const LINE: Reply = Reply::Sequence(
    LINES,
    Shape::Object(&[
        ("results?", Shape::List(&Shape::Map(&Shape::Any))),
        ("status?", Shape::Text),
        ("has_more?", Shape::Flag),
        ("errorType?", Shape::Text),
        ("error?", Shape::Text),
        ("warnings?", Shape::List(&Shape::Text)),
    ]),
);

const METRIC_NAMES: About = About::new(Tag::Labels, "search-metric-names", "Searches names of metrics")
    .takes(&[SEARCH, MATCH, THRESHOLD, ALGORITHM, CASE, SORT, DIRECTION, SCORE, METADATA, FROM, TO, MOST, BATCH])
    .answers(LINE);
const LABEL_NAMES: About = About::new(Tag::Labels, "search-label-names", "Searches names of labels")
    .takes(&[SEARCH, MATCH, THRESHOLD, ALGORITHM, CASE, SORT, DIRECTION, SCORE, FROM, TO, MOST, BATCH])
    .answers(LINE);
const LABEL_VALUES: About = About::new(Tag::Labels, "search-label-values", "Searches values of a label")
    .takes(&[LABEL, SEARCH, MATCH, THRESHOLD, ALGORITHM, CASE, SORT, DIRECTION, SCORE, FROM, TO, MOST, BATCH])
    .answers(LINE);

async fn metric_names(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let subject = Subject::LabelValues(METRIC_NAME.to_string());
    let (search, mut line) = request(&server, &params, "metric_names", subject)?;
    if flag(&params, "include_metadata", false)? {
        line.metadata = metadata(&parts).await?;
    }
    respond(&parts, search, line).await
}

async fn label_names(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let (search, line) = request(&server, &params, "label_names", Subject::LabelNames)?;
    respond(&parts, search, line).await
}

async fn label_values(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let label = params.get("label").to_string();
    let (search, line) = request(&server, &params, "label_values", Subject::LabelValues(label))?;
    if params.get("label").is_empty() {
        return Err(ApiError(Error::bad_input("missing required parameter \"label\"")));
    }
    respond(&parts, search, Line { key: "value", ..line }).await
}

fn request(server: &Server, params: &Params, endpoint: &str, subject: Subject) -> Result<(Search, Line)> {
    let Some(limits) = server.settings.search else {
        return Err(Error::new(ErrorKind::Unavailable, "search API disabled"));
    };
    let search = search_of(params.checked()?, server.now_ms(), limits, endpoint, subject)?;
    let with_score = flag(params, "include_score", false)?;
    Ok((search, Line { key: "name", with_score, metadata: HashMap::new() }))
}

/// What is asked for. Errors are Prometheus', in its order.
fn search_of(
    params: &Params,
    now_ms: i64,
    limits: SearchLimits,
    endpoint: &str,
    subject: Subject,
) -> Result<Search> {
    let bad = |message: String| Err(Error::bad_input(message));
    let start = params.optional_time("start", now_ms.saturating_sub(DEFAULT_RANGE_MS))?;
    let end = params.optional_time("end", now_ms)?;
    if end < start {
        return bad("end timestamp must not be before start timestamp".into());
    }
    let matchers = selectors::parse_all(&params.all("match[]"))?;
    let terms = params.all("search[]");
    if terms.len() > MAX_TERMS {
        return bad(format!("too many search[] terms: got {}, maximum is {MAX_TERMS}", terms.len()));
    }
    if let Some(long) = terms.iter().map(|term| term.len()).find(|bytes| *bytes > MAX_TERM_BYTES) {
        return bad(format!("search[] term too long: {long} bytes, maximum is {MAX_TERM_BYTES}"));
    }
    let threshold = match params.get("fuzz_threshold") {
        "" => 0,
        text => match text.parse::<u8>() {
            Ok(threshold) if threshold <= 100 => threshold,
            _ => return bad(format!("invalid fuzz_threshold {}: must be 0-100", quote(text))),
        },
    };
    let algorithm = match params.get("fuzz_alg") {
        "" => Algorithm::Subsequence,
        text => match Algorithm::ALL.iter().find(|algorithm| algorithm.name() == text) {
            Some(algorithm) => *algorithm,
            None => {
                let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
                return bad(format!("unsupported fuzz_alg {}: must be one of [{}]", quote(text), names.join(" ")));
            }
        },
    };
    let case_sensitive = flag(params, "case_sensitive", true)?;
    flag(params, "include_score", false)?;
    let (sort, direction) = (params.get("sort_by"), params.get("sort_dir"));
    match (sort, direction) {
        (_, "") => {}
        ("", _) => return bad("sort_dir is only valid when sort_by is set".into()),
        ("score", _) => return bad("sort_dir is not supported for sort_by=score".into()),
        (_, "asc" | "dsc") => {}
        (_, other) => return bad(format!("invalid sort_dir {}: must be \"asc\" or \"dsc\"", quote(other))),
    }
    if sort == "score" && terms.is_empty() {
        return bad("sort_by=score requires search[] to be set".into());
    }
    let most = if limits.max_limit == 0 { usize::MAX } else { limits.max_limit };
    let limit = match params.get("limit") {
        "" => DEFAULT_LIMIT.min(most),
        text => match positive(text) {
            None => return bad(format!("invalid limit {}: must be a positive integer", quote(text))),
            Some(limit) if limit > most => {
                return bad(format!(
                    "limit {limit} exceeds the configured maximum ({most}, see --web.search.max-limit)"
                ));
            }
            Some(limit) => limit,
        },
    };
    let batch = match params.get("batch_size") {
        "" => DEFAULT_BATCH,
        text => match positive(text) {
            Some(batch) => batch.min(MAX_BATCH),
            None => return bad(format!("invalid batch_size {}: must be a positive integer", quote(text))),
        },
    };
    let order = match (sort, direction) {
        ("" | "alpha", "dsc") => Order::ValueDescending,
        ("" | "alpha", _) => Order::Value,
        ("score", _) => Order::Score,
        (other, _) => {
            let message =
                format!("invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"", quote(other));
            return bad(message);
        }
    };
    Ok(Search {
        subject,
        wanted: Wanted { range: TimeRange::new(start, end), matchers, limit: Some(limit) },
        filter: Filter::new(&terms, algorithm, threshold, case_sensitive),
        order,
        batch,
    })
}

fn positive(text: &str) -> Option<usize> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0)?;
    usize::try_from(number).ok()
}

fn flag(params: &Params, name: &str, default: bool) -> Result<bool> {
    match params.get(name) {
        "" => Ok(default),
        text => parse_bool(text)
            .map_err(|_| Error::bad_input(format!("invalid {name} {}: must be boolean", quote(text)))),
    }
}

/// Metadata by metric family: what targets say, and of others what is stored.
async fn metadata(parts: &Opened) -> Result<HashMap<String, Metadata>> {
    let limits = parts.engine.limits(None);
    let (scrape, visible) = (parts.scrape.clone(), parts.engine.visible().clone());
    let gather = |pass| async move {
        let _pass = pass;
        let told = scrape.metadata().into_iter().flat_map(|(_, families)| families);
        let (seen, stored) = (visible.families().await?, visible.metadata().await?);
        let told = told.map(|told| (told.family, told.metadata)).filter(|(family, _)| seen.has(family));
        let mut all: HashMap<String, Metadata> = HashMap::new();
        for (family, metadata) in told.chain(stored) {
            all.entry(family).or_insert(metadata);
        }
        Ok::<_, Error>(all)
    };
    parts.engine.run(&limits, gather).await
}

/// An error before the first line has a status, a later one a line.
async fn respond(parts: &Opened, search: Search, line: Line) -> ApiResult {
    let mut answer = parts.engine.search(search);
    let first = match answer.next().await {
        Some(first) => first?,
        None => return Err(ApiError(Error::internal("a search ended before its first line"))),
    };
    let lines = stream::unfold((Some(Ok(first)), answer, line), |(first, mut answer, line): Lines| async move {
        let part = match first {
            Some(part) => part,
            None => answer.next().await?,
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line.write(part))), (None, answer, line)))
    });
    let content_type = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(lines.fuse())).into_response())
}

type Lines = (Option<Result<Part>>, Answer<Part, Error>, Line);

/// How results are written.
struct Line {
    /// Of the value.
    key: &'static str,
    with_score: bool,
    metadata: HashMap<String, Metadata>,
}

impl Line {
    fn write(&self, part: Result<Part>) -> String {
        let mut line = match part {
            Ok(Part::Batch(hits)) => self.batch(&hits),
            Ok(Part::End { has_more }) => format!("{{\"status\":\"success\",\"has_more\":{has_more}}}"),
            Err(error) => {
                json!({ "status": "error", "errorType": classify(error.kind).0, "error": error.to_string() })
                    .to_string()
            }
        };
        line.push('\n');
        line
    }

    fn batch(&self, hits: &[Hit]) -> String {
        let mut line = String::from("{\"results\":[");
        for (at, hit) in hits.iter().enumerate() {
            line.push_str(if at == 0 { "{\"" } else { ",{\"" });
            line.push_str(self.key);
            line.push_str("\":");
            write_string(&mut line, &hit.value);
            if self.with_score {
                line.push_str(",\"score\":");
                float::write_json(&mut line, hit.score);
            }
            if let Some(metadata) = self.metadata.get(&hit.value) {
                let texts = [("type", metadata.kind.as_str()), ("help", &metadata.help), ("unit", &metadata.unit)];
                for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                    line.push_str(",\"");
                    line.push_str(key);
                    line.push_str("\":");
                    write_string(&mut line, text);
                }
            }
            line.push('}');
        }
        line.push_str("]}");
        line
    }
}

#[cfg(test)]
mod tests;
