//! `/api/v1/labels`, `/api/v1/label/<name>/values` and `/api/v1/series`.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use percent_encoding::percent_decode_str;

use crate::engine::names::{Listed, Wanted};
use crate::error::{Error, Result};
use crate::model::labels::Labels;
use crate::promql::strings::quote;
use crate::server::http::describe::{About, END, Kind, LABELS, LIMIT, MATCH, Parameter, Reply, START, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::json::write_labels;
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::selectors;
use crate::server::http::server::Ready;

const TRUNCATED: &str = "results truncated due to limit";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/labels").within_limits().get(label_names).post(label_names).of_samples().about(NAMES),
        read("/api/v1/label/{name}/values").within_limits().get(label_values).of_samples().about(VALUES),
        read("/api/v1/series").within_limits().get(series).post(series).of_samples().about(SERIES),
    ]
}

const TEXTS: Reply = Reply::Data(Shape::List(&Shape::Text));

const NAMES: About =
    About::new(Tag::Labels, "labels", "Names of labels").takes(&[MATCH, START, END, LIMIT]).answers(TEXTS);
const VALUES: About = About::new(Tag::Labels, "label-values", "Values of a label")
    .takes(&[
        Parameter::new("name", Kind::Text, "The name of the label; with U__ in front one that is escaped")
            .of_path(),
        MATCH,
        START,
        END,
        LIMIT,
    ])
    .answers(TEXTS);
const SERIES: About = About::new(Tag::Labels, "series", "Labels of series")
    .takes(&[MATCH.required(), START, END, LIMIT])
    .answers(Reply::Data(Shape::List(&LABELS)));

async fn label_names(Ready(parts): Ready, params: Params) -> ApiResult {
    let wanted = wanted(&params)?;
    Ok(list(parts.engine.label_names(wanted).await?))
}

async fn label_values(
    Ready(parts): Ready,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    params: Params,
) -> ApiResult {
    let Ok(Path(name)) = name else {
        let message = format!("invalid label name: {}", quoted(&name_in(uri.path())));
        return Err(ApiError(Error::bad_input(message)));
    };
    let name = if name.starts_with("U__") { unescape(&name) } else { name };
    if name.is_empty() {
        return Err(ApiError(Error::bad_input(format!("invalid label name: {name:?}"))));
    }
    let wanted = wanted(&params)?;
    Ok(list(parts.engine.label_values(name, wanted).await?))
}

fn wanted(params: &Params) -> Result<Wanted, ApiError> {
    let limit = params.limit("limit")?;
    let range = params.time_range()?;
    let matchers = selectors::parse_all(&params.all("match[]"))?;
    Ok(Wanted { range, matchers, limit })
}

fn list(listed: Listed<String>) -> Response {
    envelope::success_with(&listed.items, truncated(listed.cut))
}

fn truncated(cut: bool) -> Vec<String> {
    if cut { vec![TRUNCATED.into()] } else { vec![] }
}

async fn series(Ready(parts): Ready, params: Params) -> ApiResult {
    let selectors = params.checked()?.all("match[]");
    if selectors.is_empty() {
        return Err(ApiError(Error::bad_input("no match[] parameter provided")));
    }
    let limit = params.limit("limit")?;
    let range = params.time_range()?;
    let matchers = selectors::parse_all(&selectors).map_err(|e| invalid_parameter("match[]", e))?;
    let body = parts.engine.series(Wanted { range, matchers, limit }, series_body).await?;
    Ok(envelope::json_response(StatusCode::OK, body))
}

fn series_body(found: Listed<Labels>) -> String {
    let mut body = String::from(envelope::OPEN);
    body.push('[');
    for (i, labels) in found.items.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        write_labels(&mut body, labels);
    }
    body.push(']');
    envelope::close(&mut body, truncated(found.cut), vec![]);
    body
}

/// The name in a path that ends with `/<name>/values`, which may be no text.
fn name_in(path: &str) -> Vec<u8> {
    percent_decode_str(path.rsplit('/').nth(1).unwrap_or("")).collect()
}

/// Bytes as Go quotes them (`%q`).
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let text = quote(chunk.valid());
        out.push_str(&text[1..text.len() - 1]);
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
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
    fn names_that_are_no_text() {
        assert_eq!(quoted(&name_in("/api/v1/label/a%ff%22%C3%B6/values")), r#""a\xff\"ö""#);
    }

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
