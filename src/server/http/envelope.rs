//! The envelope of every answer below `/api/v1`.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::engine::promql::annotations::{Level, shorten};
use crate::server::http::json::write_string;

/// A successful answer around anything serde can write.
pub fn success(data: &impl Serialize) -> Response {
    success_with(data, Vec::new())
}

pub fn success_with(data: &impl Serialize, warnings: Vec<String>) -> Response {
    let data = serde_json::to_string(data).expect("the data of our answers has only string keys");
    success_json(&data, warnings, Vec::new())
}

/// A successful answer around data that is JSON already.
pub fn success_json(data: &str, warnings: Vec<String>, infos: Vec<String>) -> Response {
    let mut body = String::with_capacity(data.len() + 64);
    body.push_str(OPEN);
    body.push_str(data);
    close(&mut body, warnings, infos);
    json_response(StatusCode::OK, body)
}

/// What a successful answer begins with, for those who write its data in place and then [`close`] it.
pub const OPEN: &str = "{\"status\":\"success\",\"data\":";

pub fn close(body: &mut String, warnings: Vec<String>, infos: Vec<String>) {
    write_annotations(body, "warnings", Level::Warning, warnings);
    write_annotations(body, "infos", Level::Info, infos);
    body.push('}');
}

fn write_annotations(body: &mut String, key: &str, level: Level, mut texts: Vec<String>) {
    if texts.is_empty() {
        return;
    }
    shorten(&mut texts, level);
    body.push_str(",\"");
    body.push_str(key);
    body.push_str("\":[");
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        write_string(body, text);
    }
    body.push(']');
}

pub fn error(status: StatusCode, error_type: &str, message: &str) -> Response {
    let mut body = String::from("{\"status\":\"error\",\"errorType\":");
    write_string(&mut body, error_type);
    body.push_str(",\"error\":");
    write_string(&mut body, message);
    body.push('}');
    json_response(status, body)
}

pub fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Plain text, for what is not below `/api/v1`.
pub fn text_response(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(warnings: usize, infos: usize) -> String {
        let texts = |n: usize| (0..n).map(|i| format!("t{i}")).collect();
        let mut body = String::from("{\"status\":\"success\"");
        close(&mut body, texts(warnings), texts(infos));
        body
    }

    #[test]
    fn annotations_are_left_out_written_or_counted() {
        assert_eq!(annotations(0, 0), r#"{"status":"success"}"#);
        assert_eq!(annotations(1, 2), r#"{"status":"success","warnings":["t0"],"infos":["t0","t1"]}"#);
        assert!(annotations(10, 0).ends_with(r#""t9"]}"#));
        assert!(annotations(13, 0).ends_with(r#""t9","3 more warning annotations omitted"]}"#));
        assert!(annotations(0, 11).ends_with(r#""t9","1 more info annotations omitted"]}"#));
    }
}
