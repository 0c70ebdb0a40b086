//! `/api/v1/labels`, `/api/v1/label/<name>/values` and `/api/v1/series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;

use crate::error::{Error, Result};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::json::write_labels;
use crate::server::http::params::Params;
use crate::server::http::router::{Route, read};
use crate::server::http::selectors;
use crate::server::http::server::{Ready, Server};
use crate::storage::store::Store;

const TRUNCATED: &str = "results truncated due to limit";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/labels", get(label_names).post(label_names)),
        read("/api/v1/label/{name}/values", get(label_values)),
        read("/api/v1/series", get(series).post(series)),
    ]
}

async fn label_names(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = params.limit("limit")?;
    let range = params.time_range()?;
    let sets = selectors::parse_all(&params.all("match[]"))?;
    let names = server.on_queries(async move { names_of(&parts.store, range, &sets).await }).await?;
    Ok(list(names, limit))
}

async fn names_of(store: &Store, range: TimeRange, sets: &[Vec<Matcher>]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for series in store.series(range, sets).await? {
        for (name, _) in series.labels.iter() {
            if !names.contains(name) {
                names.insert(name.to_string());
            }
        }
    }
    Ok(names)
}

async fn label_values(
    State(server): State<Arc<Server>>,
    Ready(parts): Ready,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult {
    let name = if name.starts_with("U__") { unescape(&name) } else { name };
    if name.is_empty() {
        return Err(ApiError(Error::bad_input(format!("invalid label name: {name:?}"))));
    }
    let limit = params.limit("limit")?;
    let range = params.time_range()?;
    let sets = selectors::parse_all(&params.all("match[]"))?;
    let values = server.on_queries(async move { values_of(&parts.store, &name, range, &sets).await }).await?;
    Ok(list(values, limit))
}

async fn values_of(store: &Store, name: &str, range: TimeRange, sets: &[Vec<Matcher>]) -> Result<BTreeSet<String>> {
    if name == METRIC_NAME && sets.is_empty() {
        return Ok(store.metric_names(range).await?.into_iter().collect());
    }
    let mut values = BTreeSet::new();
    for series in store.series(range, sets).await? {
        if let Some(value) = series.labels.get(name).filter(|v| !values.contains(*v)) {
            values.insert(value.to_string());
        }
    }
    Ok(values)
}

fn list(items: BTreeSet<String>, limit: Option<usize>) -> axum::response::Response {
    let cut = limit.is_some_and(|limit| items.len() > limit);
    let kept: Vec<_> = items.into_iter().take(limit.unwrap_or(usize::MAX)).collect();
    envelope::success_with(&kept, if cut { vec![TRUNCATED.into()] } else { vec![] })
}

async fn series(State(server): State<Arc<Server>>, Ready(parts): Ready, params: Params) -> ApiResult {
    let selectors = params.all("match[]");
    if selectors.is_empty() {
        return Err(ApiError(Error::bad_input("no match[] parameter provided")));
    }
    let limit = params.limit("limit")?;
    let range = params.time_range()?;
    let sets = selectors::parse_all(&selectors).map_err(|e| invalid_parameter("match[]", e))?;
    let body = server.on_queries(async move { series_body(&parts.store, range, &sets, limit).await }).await?;
    Ok(envelope::json_response(StatusCode::OK, body))
}

async fn series_body(
    store: &Store,
    range: TimeRange,
    sets: &[Vec<Matcher>],
    limit: Option<usize>,
) -> Result<String> {
    let found = store.series(range, sets).await?;
    let kept = limit.unwrap_or(usize::MAX).min(found.len());
    let mut body = String::from(envelope::OPEN);
    body.push('[');
    for (i, series) in found[..kept].iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        write_labels(&mut body, &series.labels);
    }
    body.push(']');
    let warnings = if kept < found.len() { vec![TRUNCATED.into()] } else { vec![] };
    envelope::close(&mut body, warnings, vec![]);
    Ok(body)
}

/// Undoes the "values" escaping of names that are no legacy names (`escaping_schemes.md`): behind `U__`, `__` is
/// an underscore and `_<hex>_` a code point. A name that is not well escaped stays as it is.
fn unescape(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.to_string() };
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let code = rest.split_once('_').filter(|(hex, _)| (1..=6).contains(&hex.len()));
        let decoded =
            code.and_then(|(hex, tail)| Some((u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?, tail)));
        let Some((c, tail)) = decoded else { return name.to_string() };
        out.push(c);
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        let check = |escaped: &str, plain: &str| assert_eq!(unescape(escaped), plain);
        check("U__http_2e_status", "http.status");
        check("U__no__change", "no_change");
        check("U__a_1F600_b", "a😀b");
        check("U__a_zz_b", "U__a_zz_b");
        check("U__a_2e", "U__a_2e");
        check("U__a_d800_b", "U__a_d800_b");
        check("plain_name", "plain_name");
    }
}
