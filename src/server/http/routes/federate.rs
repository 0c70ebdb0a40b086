//! `/federate`: the newest samples of the series that `match[]` names, for another Prometheus to scrape.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::engine::door::Pass;
use crate::engine::session::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::{TimeRange, is_stale};
use crate::promql::parse;
use crate::server::http::bodies::retry_later;
use crate::server::http::envelope::text_response;
use crate::server::http::federate::escape::Escaping;
use crate::server::http::federate::families::{self, Sample, Value};
use crate::server::http::federate::negotiate::{Format, negotiate};
use crate::server::http::federate::{protobuf, text};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server};
use crate::storage::types::RunSlice;

/// Of a series on the page, beside its labels, roughly.
const SAMPLE_BYTES: usize = 128;

pub fn routes() -> Vec<Route> {
    vec![read("/federate").within_limits().unshared().get(federate).of_samples()]
}

async fn federate(
    State(server): State<Arc<Server>>,
    Ready(parts): Ready,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    params: Params,
) -> Response {
    if let Some(wrong) = query.as_deref().and_then(unreadable) {
        return text_response(StatusCode::BAD_REQUEST, format!("error parsing form values: {wrong}\n"));
    }
    let sets = params.all("match[]").into_iter().map(|text| parse::parse_selector(text).map_err(Error::from));
    let sets: Vec<Vec<Matcher>> = match sets.collect::<Result<_>>() {
        Ok(sets) => sets,
        Err(error) => return text_response(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let (format, escaping) = negotiate(accept);
    let now_ms = server.now_ms();
    let engine = parts.engine;
    let page = Page {
        range: TimeRange::new(now_ms.saturating_sub(engine.options.lookback_delta_ms), now_ms),
        sets,
        external: server.config.read().external_labels.clone(),
        format,
        escaping,
    };
    let content_type = format.content_type(escaping);
    let limits = engine.limits(None);
    let made = engine.clone().run(&limits, move |pass| async move { page.make(&engine, pass).await }).await;
    match made {
        Ok(body) => {
            let content_type = HeaderValue::from_str(&content_type).expect("formats and escapings are ASCII");
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(error) => failed(&error),
    }
}

struct Page {
    range: TimeRange,
    sets: Vec<Vec<Matcher>>,
    external: Labels,
    format: Format,
    escaping: Escaping,
}

impl Page {
    async fn make(self, engine: &Engine, pass: Pass) -> Result<Vec<u8>> {
        let memory = pass.memory("federation");
        let raw = engine.raw(&pass, self.range, &self.sets).await?;
        let places: Vec<usize> = (0..raw.series().len()).collect();
        memory.grow(places.len().saturating_mul(size_of::<usize>() * 4))?;
        let mut samples = Vec::new();
        raw.visit(&places, |place, run| {
            let Some((time, value)) = newest(run).filter(|(_, value)| self.shows(value)) else { return Ok(()) };
            let labels = raw.series()[place].labels.clone();
            // Once as it is, and once as text.
            memory.grow(SAMPLE_BYTES + 3 * labels.as_bytes().len() + histogram_bytes(&value))?;
            samples.push(Sample { labels, time, value });
            engine.check_rows(samples.len())
        })
        .await?;
        families::sort(&mut samples);
        pass.check()?;
        let (mut page, mut written) = (String::new(), Vec::new());
        families::each(&samples, &self.external, |family| match self.format {
            Format::Text => text::write(&mut page, family, self.escaping),
            Format::Protobuf => protobuf::write(&mut written, family, self.escaping),
        });
        Ok(if self.format == Format::Text { page.into_bytes() } else { written })
    }

    /// Native histograms have no form in text.
    fn shows(&self, value: &Value) -> bool {
        self.format == Format::Protobuf || !value.has_exponential_buckets()
    }
}

/// The last sample, if it is none that says that the series ended.
fn newest(run: RunSlice<'_>) -> Option<(i64, Value)> {
    let (time, value) = run.timestamps.iter().zip(run.values).next_back()?;
    let histogram = run.histograms.get(run.timestamps.len() - 1).and_then(Option::as_ref);
    match histogram {
        Some(histogram) => (!histogram.is_stale()).then(|| (*time, Value::Histogram(Arc::clone(histogram)))),
        None => (!is_stale(*value)).then_some((*time, Value::Float(*value))),
    }
}

/// Twice: as it is, and on the page.
fn histogram_bytes(value: &Value) -> usize {
    match value {
        Value::Float(_) => 0,
        Value::Histogram(histogram) => 4 * 16 * histogram.size_in_samples(),
    }
}

/// What Go finds wrong with a query string.
fn unreadable(query: &str) -> Option<String> {
    let wrong = |part: &str| {
        if part.contains(';') {
            return Some("invalid semicolon separator in query".to_string());
        }
        let escapes = part.match_indices('%').map(|(at, _)| part.get(at..(at + 3).min(part.len())).unwrap_or("%"));
        let mut broken = escapes
            .filter(|escape| escape.len() < 3 || !escape.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit()));
        broken.next().map(|escape| format!("invalid URL escape {escape:?}"))
    };
    query.split('&').find_map(wrong)
}

fn failed(error: &Error) -> Response {
    let status = match error.kind {
        ErrorKind::Timeout | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR && error.kind != ErrorKind::Limit {
        tracing::error!(%error, "federation failed");
    }
    retry_later(text_response(status, format!("{error}\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_cannot_be_read() {
        let check = |query: &str, expected: Option<&str>| assert_eq!(unreadable(query).as_deref(), expected);
        check("match[]=up&x=%2b", None);
        check("match[]=%zz", Some(r#"invalid URL escape "%zz""#));
        check("a=%2", Some(r#"invalid URL escape "%2""#));
        check("a=1;b=2", Some("invalid semicolon separator in query"));
        check("", None);
    }
}
