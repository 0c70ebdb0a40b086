//! `promlake query instant|range <server> <query>`: asks over HTTP and prints a table, one line per sample.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

use crate::app;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::model::labels::Labels;

#[derive(Debug, Subcommand)]
pub enum Query {
    /// Evaluate at one time
    Instant(Instant),
    /// Evaluate over a range, an hour up to now by default
    Range(Range),
}

#[derive(Args, Debug)]
pub struct Instant {
    /// For example http://127.0.0.1:9090
    server: String,
    query: String,
    /// Unix seconds or RFC 3339; now by default
    #[arg(long)]
    time: Option<String>,
}

#[derive(Args, Debug)]
pub struct Range {
    /// For example http://127.0.0.1:9090
    server: String,
    query: String,
    /// Unix seconds or RFC 3339
    #[arg(long)]
    start: Option<String>,
    #[arg(long)]
    end: Option<String>,
    /// Seconds or a duration
    #[arg(long, default_value = "15s")]
    step: String,
}

pub fn run(query: Query) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(ErrorKind::Internal, || "cannot start a runtime".into())?;
    app::install_crypto();
    let answer = runtime.block_on(async {
        match query {
            Query::Instant(q) => {
                let time = q.time.map(|time| ("time", time));
                ask(&q.server, "query", [("query", q.query)].into_iter().chain(time).collect()).await
            }
            Query::Range(q) => {
                let now = app::system_clock()();
                let seconds = |ms: i64| format!("{}", ms as f64 / 1000.0);
                let start = q.start.unwrap_or_else(|| seconds(now - 3_600_000));
                let end = q.end.unwrap_or_else(|| seconds(now));
                let params = vec![("query", q.query), ("start", start), ("end", end), ("step", q.step)];
                ask(&q.server, "query_range", params).await
            }
        }
    })?;
    for note in answer.warnings.iter().chain(&answer.infos) {
        eprintln!("{note}");
    }
    print!("{}", table(&answer.data)?);
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    status: String,
    data: Value,
    error_type: String,
    error: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

async fn ask(server: &str, endpoint: &str, params: Vec<(&str, String)>) -> Result<Answer> {
    let url = format!("{}/api/v1/{endpoint}", server.trim_end_matches('/'));
    let shown = app::without_secrets(server);
    let failed = || format!("cannot query {shown}");
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let response = reqwest::Client::new()
        .post(&url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .context(ErrorKind::Unavailable, failed)?;
    let status = response.status();
    let body = response.bytes().await.context(ErrorKind::Unavailable, failed)?;
    let answer: Answer = serde_json::from_slice(&body)
        .context(ErrorKind::Unavailable, || format!("{shown} answered {status}, which is no answer of this API"))?;
    if answer.status != "success" {
        return Err(Error::execution(format!("{}: {}", answer.error_type, answer.error)));
    }
    Ok(answer)
}

/// Lines of time, value and series.
fn table(data: &Value) -> Result<String> {
    let odd = || Error::internal("the server's answer has no result");
    let result = data.get("result").ok_or_else(odd)?;
    let mut rows: Vec<[String; 3]> = Vec::new();
    match data["resultType"].as_str().unwrap_or("") {
        "scalar" | "string" => rows.push(row(result, String::new())),
        _ => {
            for series in result.as_array().ok_or_else(odd)? {
                let name = series_name(&series["metric"]);
                for key in ["value", "histogram"] {
                    rows.extend(series.get(key).map(|point| row(point, name.clone())));
                }
                for key in ["values", "histograms"] {
                    let points = series.get(key).and_then(Value::as_array).into_iter().flatten();
                    rows.extend(points.map(|point| row(point, name.clone())));
                }
            }
        }
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let (time_width, value_width) = (width(0), width(1));
    let mut out = String::new();
    for [time, value, name] in &rows {
        let line = format!("{time:<time_width$}  {value:>value_width$}  {name}");
        writeln!(out, "{}", line.trim_end()).expect("writing to a string cannot fail");
    }
    Ok(out)
}

fn row(point: &Value, name: String) -> [String; 3] {
    let time_ms = point[0].as_f64().map_or(0, |seconds| (seconds * 1000.0).round() as i64);
    let value = match &point[1] {
        Value::String(text) => text.clone(),
        histogram => format!("count={} sum={}", plain(&histogram["count"]), plain(&histogram["sum"])),
    };
    [crate::server::http::json::rfc3339(time_ms), value, name]
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn series_name(metric: &Value) -> String {
    let pairs = metric.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), plain(value)))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables() {
        let data = json!({ "resultType": "matrix", "result": [
            { "metric": { "__name__": "up", "job": "a" }, "values": [[0, "1"], [1.5, "10"]] },
        ] });
        assert_eq!(
            table(&data).unwrap(),
            "1970-01-01T00:00:00Z       1  up{job=\"a\"}\n1970-01-01T00:00:01.500Z  10  up{job=\"a\"}\n"
        );
        let scalar = json!({ "resultType": "scalar", "result": [0, "3"] });
        assert_eq!(table(&scalar).unwrap(), "1970-01-01T00:00:00Z  3\n");
        assert_eq!(table(&json!({ "resultType": "vector", "result": [] })).unwrap(), "");
        assert!(table(&json!({})).is_err());
    }
}
