//! `/api/v1/query_exemplars`: the exemplars of the series that a query reads, by series.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::engine::exemplars::Exemplars;
use crate::error::Error;
use crate::promql::{parse, selectors};
use crate::server::http::describe::{About, END, LABELS, QUERY, Reply, START, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::json;
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/query_exemplars")
            .within_limits()
            .get(query_exemplars)
            .post(query_exemplars)
            .of_samples()
            .about(EXEMPLARS),
    ]
}

const EXEMPLARS: About =
    About::new(Tag::Query, "query-exemplars", "Exemplars of the series that an expression reads")
        .takes(&[QUERY, START, END])
        .answers(Reply::Data(Shape::List(&Shape::Object(&[
            ("seriesLabels", LABELS),
            (
                "exemplars",
                Shape::List(&Shape::Object(&[
                    ("labels", LABELS),
                    ("value", Shape::Text),
                    ("timestamp", Shape::Number),
                ])),
            ),
        ]))));

async fn query_exemplars(Ready(parts): Ready, params: Params) -> ApiResult {
    let range = params.time_range()?;
    if range.is_empty() {
        return Err(ApiError(Error::bad_input("end timestamp must not be before start timestamp")));
    }
    let options = parts.engine.options.features.language();
    let expr = parse::parse(params.get("query"), &options).map_err(Error::from)?;
    let mut matchers = vec![];
    selectors::for_each(&expr, &mut |selector| matchers.push(selector.matchers.clone()));
    // A query that reads nothing has none, for which Prometheus has no words; no matchers at all would mean all series.
    if matchers.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let data = parts.engine.exemplars(range, matchers, |found| render(&found)).await.map_err(ApiError)?;
    Ok(envelope::success_json(&data, Vec::new(), Vec::new()))
}

fn render(exemplars: &Exemplars) -> String {
    let mut out = String::from("[");
    for (at, (labels, (_, exemplars))) in exemplars.by_series.iter().enumerate() {
        out.push_str(if at == 0 { "{\"seriesLabels\":" } else { ",{\"seriesLabels\":" });
        json::write_labels(&mut out, labels);
        out.push_str(",\"exemplars\":[");
        for (at, exemplar) in exemplars.iter().enumerate() {
            out.push_str(if at == 0 { "{\"labels\":" } else { ",{\"labels\":" });
            json::write_labels(&mut out, &exemplar.labels);
            out.push_str(",\"value\":");
            json::write_value(&mut out, exemplar.value());
            out.push_str(",\"timestamp\":");
            json::write_timestamp(&mut out, exemplar.timestamp);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
    out
}
