//! Requests to Prometheus' HTTP API, and what answers mean, by the rules of its Go client.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::cli::access::{self, Access};
use crate::cli::print::errln;
use crate::cli::query::times::Moment;
use crate::cli::query::value::Value;
use crate::client::error::SendError;
use crate::client::{Client, Request};
use crate::error::Error;

/// As promtool's.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of an answer. The largest that Prometheus gives at its own limit of samples is some GB, which nobody means to print.
const MAX_ANSWER_BYTES: usize = 512 << 20;
/// Of an answer that is shown as the detail of an error.
const MAX_DETAIL_BYTES: usize = 4096;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// A server, and how it is asked.
pub struct Api {
    runtime: Runtime,
    client: Client,
    server: Url,
    headers: HeaderMap,
}

/// An answer with the server's notes.
#[derive(Debug)]
pub struct Answer<T> {
    pub data: T,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// None came.
    Send(String),
    /// The server's, or one about its answer.
    Api { kind: String, message: String, detail: String },
}

/// Why a command prints no answer. Told in promtool's words.
#[derive(Debug)]
pub enum Problem {
    /// Of the command line.
    Input(String),
    /// Of the request.
    Query(Failure),
}

/// An answer to a request that went well.
#[derive(Deserialize)]
struct Success<T> {
    data: T,
    warnings: Option<Vec<String>>,
    infos: Option<Vec<String>>,
}

/// Whether it did.
#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

impl Api {
    /// # Errors
    /// What is wrong with the headers, or with how the server is to be asked.
    pub fn new(access: &Access, server: &Url, headers: &[(String, String)]) -> Result<Self, Problem> {
        let told = |error: Error| Problem::Input(format!("error creating API client: {error}"));
        Ok(Self {
            runtime: access::runtime().map_err(told)?,
            client: access.client(server).map_err(told)?,
            server: server.clone(),
            headers: access::headers(headers).map_err(told)?,
        })
    }

    /// The value of an expression at one time.
    pub fn query(&self, expr: &str, at: Moment) -> Result<Answer<Value>, Failure> {
        self.ask("query", &[("query", expr.to_string()), ("time", at.to_string())])
    }

    /// Posts parameters, and asks with them where the server takes no posts.
    pub fn ask<T: Checked>(&self, endpoint: &str, params: &[(&str, String)]) -> Result<Answer<T>, Failure> {
        let url = self.endpoint(&[endpoint]);
        let params = encoded(params);
        let mut post = Request::post(url.clone(), params.clone());
        post.headers.insert(CONTENT_TYPE, FORM);
        let (status, body) = self.exchange(post)?;
        let takes_no_posts = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        if takes_no_posts.contains(&status) {
            return self.get(url, &params);
        }
        judge(status, &body)
    }

    pub fn label_values(
        &self,
        label: &str,
        params: &[(&str, String)],
    ) -> Result<Answer<Option<Vec<String>>>, Failure> {
        self.get(self.endpoint(&["label", label, "values"]), &encoded(params))
    }

    fn get<T: Checked>(&self, mut url: Url, params: &str) -> Result<Answer<T>, Failure> {
        let query = url.query().map_or_else(|| params.to_string(), |given| format!("{given}&{params}"));
        url.set_query(Some(&query));
        let (status, body) = self.exchange(Request::get(url))?;
        judge(status, &body)
    }

    /// Below the path of the server, with its query.
    fn endpoint(&self, parts: &[&str]) -> Url {
        let mut url = self.server.clone();
        let mut path = url.path_segments_mut().expect("URLs of HTTP have paths");
        path.pop_if_empty().extend(["api", "v1"]).extend(parts);
        drop(path);
        url
    }

    fn exchange(&self, mut request: Request) -> Result<(StatusCode, Bytes), Failure> {
        request.headers.extend(self.headers.clone());
        let (method, url) = (request.method.clone(), request.url.clone());
        let exchange = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            Ok::<_, SendError>((status, response.bytes(MAX_ANSWER_BYTES).await?))
        };
        let result = self.runtime.block_on(async { timeout(PATIENCE, exchange).await });
        let answer = result.unwrap_or_else(|_| Err(SendError::deadline(&method, &url)));
        answer.map_err(|error| Failure::Send(error.to_string()))
    }
}

impl<T> Answer<T> {
    /// Prints the server's notes.
    pub fn tell(&self) {
        self.warnings.iter().for_each(|warning| errln!("query warning: {warning}"));
        self.infos.iter().for_each(|info| errln!("query info: {info}"));
    }
}

/// Sorted by the caller: the parameters of a request that failed are shown.
fn encoded(params: &[(&str, String)]) -> String {
    Serializer::new(String::new()).extend_pairs(params).finish()
}

/// Data of an answer that is more than its JSON says.
pub trait Checked: DeserializeOwned {
    fn check(&self) -> Result<(), &'static str>;
}

impl Checked for Value {
    fn check(&self) -> Result<(), &'static str> {
        Value::check(self)
    }
}

impl<T: DeserializeOwned> Checked for Option<Vec<T>> {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// What an answer says.
fn judge<T: Checked>(status: StatusCode, body: &[u8]) -> Result<Answer<T>, Failure> {
    let of_api = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    if !status.is_success() && !of_api {
        let code = status.as_u16();
        let (kind, message) = match code / 100 {
            4 => ("client_error", format!("client error: {code}")),
            5 => ("server_error", format!("server error: {code}")),
            _ => ("bad_response", format!("bad response code {code}")),
        };
        let detail = String::from_utf8_lossy(&body[..body.len().min(MAX_DETAIL_BYTES)]).trim().to_string();
        return Err(Failure::Api { kind: kind.to_string(), message, detail });
    }
    let bad = |message: String| Failure::Api { kind: "bad_response".to_string(), message, detail: String::new() };
    let said: Status = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if said.status == "error" {
        return Err(Failure::Api { kind: said.error_type, message: said.error, detail: String::new() });
    }
    if of_api {
        return Err(bad("inconsistent body for response code".to_string()));
    }
    let answer: Success<T> = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    answer.data.check().map_err(|why| bad(why.to_string()))?;
    let (warnings, infos) = (answer.warnings.unwrap_or_default(), answer.infos.unwrap_or_default());
    Ok(Answer { data: answer.data, warnings, infos })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Send(error) => f.write_str(error),
            Failure::Api { kind, message, detail } if detail.is_empty() => write!(f, "{kind}: {message}"),
            Failure::Api { kind, message, detail } => write!(f, "{kind}: {message} (detail: {detail})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures() {
        let check = |code: u16, body: &str, expected: &str| {
            let status = StatusCode::from_u16(code).unwrap();
            let failure = judge::<Value>(status, body.as_bytes()).unwrap_err();
            assert!(failure.to_string().starts_with(expected), "{code} {body}: {failure}");
        };
        check(404, " page not found\n", "client_error: client error: 404 (detail: page not found)");
        check(503, "", "server_error: server error: 503");
        check(302, "", "bad_response: bad response code 302");
        check(200, "<html>", "bad_response: expected value at line 1");
        check(200, r#"{"status":"success"}"#, "bad_response: missing field `data`");
        check(400, r#"{"status":"success","data":{}}"#, "bad_response: inconsistent body for response code");
        check(400, r#"{"status":"error","errorType":"bad_data","error":"x"}"#, "bad_data: x");
        check(200, r#"{"status":"error","errorType":"execution","error":"y"}"#, "execution: y");
        check(
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#,
            "bad_response: a sample has either",
        );
        let long = judge::<Value>(StatusCode::BAD_GATEWAY, &[b'x'; 10_000]).unwrap_err().to_string();
        assert_eq!(long.len(), "server_error: server error: 502 (detail: )".len() + MAX_DETAIL_BYTES);
    }

    #[test]
    fn notes_come_with_the_data() {
        let body = r#"{"status":"success","data":null,"warnings":["w"],"infos":["i"]}"#;
        let answer: Answer<Option<Vec<String>>> = judge(StatusCode::OK, body.as_bytes()).unwrap();
        assert_eq!(
            (answer.data, answer.warnings, answer.infos),
            (None, vec!["w".to_string()], vec!["i".to_string()])
        );
    }

    #[test]
    fn endpoints() {
        let check = |server: &str, parts: &[&str], expected: &str| {
            let api = Api::new(&Access::default(), &Url::parse(server).unwrap(), &[]).unwrap();
            assert_eq!(api.endpoint(parts).as_str(), expected);
        };
        check("http://h:1", &["query"], "http://h:1/api/v1/query");
        check("http://h/p/?token=x", &["query"], "http://h/p/api/v1/query?token=x");
        check("http://h/p", &["label", "a b/c", "values"], "http://h/p/api/v1/label/a%20b%2Fc/values");
    }
}
