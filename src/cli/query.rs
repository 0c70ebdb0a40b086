//! `promlake query`: asks a running server over Prometheus' HTTP API, and prints its answer as promtool does, since scripts read
//! that. Notes of the server, which promtool mostly passes over, are on standard error.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use crate::cli::access::{self, Access};
use crate::cli::print::{errln, out, outln};
use crate::cli::query::api::{Answer, Api, Problem};
use crate::cli::query::labels::LabelSet;
use crate::cli::query::times::{Moment, NS_IN_SECOND, seconds_text};
use crate::cli::query::value::Value;
use crate::cli::values;

/// How buckets of histograms are used.
mod analyze;
/// Requests, and what answers mean.
mod api;
/// Answers as JSON.
mod json;
/// Labels of series as text.
mod labels;
/// Answers as text.
mod text;
/// Times of queries.
mod times;
/// Values of expressions, from JSON.
mod value;

/// Points of a range, unless a step is given.
const POINTS: i128 = 250;
/// Of a range without a start.
const DEFAULT_RANGE_NS: i128 = 300 * NS_IN_SECOND;
/// Series and labels are looked for so far around now: 9999 hours.
const AROUND_NS: i128 = 9_999 * 3600 * NS_IN_SECOND;

#[derive(Args, Debug)]
pub struct Querying {
    #[command(subcommand)]
    query: Query,
    /// The form of the answer
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "promql", global = true)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Promql,
    Json,
}

#[derive(Debug, Subcommand)]
enum Query {
    /// Evaluate an expression at one time
    Instant(Instant),
    /// Evaluate an expression over a range of time, the last five minutes by default
    Range(Range),
    /// Find series
    Series(Series),
    /// List the values of a label
    Labels(LabelValues),
    /// Tell how many buckets of histograms are used
    Analyze(analyze::Analyze),
}

#[derive(Args, Debug)]
struct Instant {
    #[command(flatten)]
    asked: Asked,
    /// RFC 3339 or Unix seconds; now by default
    #[arg(long)]
    time: Option<String>,
}

#[derive(Args, Debug)]
struct Range {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    span: Span,
    /// A duration; by default there are 250 steps, and a second at least between them
    #[arg(long, value_parser = values::go_duration)]
    step: Option<i64>,
}

/// An expression, and where it is evaluated.
#[derive(Args, Debug)]
struct Asked {
    /// For example http://127.0.0.1:9090
    #[arg(value_parser = access::url)]
    server: Url,
    expr: String,
    /// A header of the request, NAME=VALUE; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = access::pair)]
    headers: Vec<(String, String)>,
}

#[derive(Args, Debug)]
struct Span {
    /// RFC 3339 or Unix seconds
    #[arg(long)]
    start: Option<String>,
    /// RFC 3339 or Unix seconds
    #[arg(long)]
    end: Option<String>,
}

#[derive(Args, Debug)]
struct Series {
    /// For example http://127.0.0.1:9090
    #[arg(value_parser = access::url)]
    server: Url,
    /// A selector; repeatable
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    selectors: Vec<String>,
    #[command(flatten)]
    span: Span,
}

#[derive(Args, Debug)]
struct LabelValues {
    /// For example http://127.0.0.1:9090
    #[arg(value_parser = access::url)]
    server: Url,
    /// Of the label
    name: String,
    /// Only of series that match; repeatable
    #[arg(long = "match", value_name = "SELECTOR")]
    selectors: Vec<String>,
    #[command(flatten)]
    span: Span,
}

/// Prints the answer, or what went wrong.
pub fn run(querying: &Querying) -> ExitCode {
    let result = match &querying.query {
        Query::Instant(query) => query.run(querying),
        Query::Range(query) => query.run(querying),
        Query::Series(query) => query.run(querying),
        Query::Labels(query) => query.run(querying),
        Query::Analyze(query) => return query.run(&querying.access),
    };
    match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Problem::Input(text)) => errln!("{text}"),
        Err(Problem::Query(failure)) => errln!("query error: {failure}"),
    }
    ExitCode::FAILURE
}

impl Instant {
    fn run(&self, querying: &Querying) -> Result<(), Problem> {
        let api = self.asked.api(querying)?;
        let at = given(&self.time, "evaluation")?.unwrap_or_else(Moment::now);
        let answer = api.query(&self.asked.expr, at);
        print(&answer.map_err(Problem::Query)?, querying.format);
        Ok(())
    }
}

impl Range {
    fn run(&self, querying: &Querying) -> Result<(), Problem> {
        let api = self.asked.api(querying)?;
        let end = given(&self.span.end, "end")?.unwrap_or_else(Moment::now);
        let start = given(&self.span.start, "start")?.unwrap_or(Moment(end.0 - DEFAULT_RANGE_NS));
        if start >= end {
            return Err(Problem::Input("start time is not before end time".to_string()));
        }
        let step = match self.step {
            None | Some(0) => ((end.0 - start.0) / NS_IN_SECOND / POINTS).max(1) * NS_IN_SECOND,
            Some(step) => i128::from(step),
        };
        let answer = api.ask::<Value>(
            "query_range",
            &[
                ("end", end.to_string()),
                ("query", self.asked.expr.clone()),
                ("start", start.to_string()),
                ("step", seconds_text(step)),
            ],
        );
        print(&answer.map_err(Problem::Query)?, querying.format);
        Ok(())
    }
}

impl Series {
    fn run(&self, querying: &Querying) -> Result<(), Problem> {
        let api = Api::new(&querying.access, &self.server, &[])?;
        let params = self.span.params(&self.selectors)?;
        let answer = api.ask::<Option<Vec<LabelSet>>>("series", &params).map_err(Problem::Query)?;
        answer.tell();
        match (querying.format, &answer.data) {
            (Format::Json, found) => outln!("{}", json::series(found.as_deref())),
            (Format::Promql, found) => {
                let lines = found.iter().flatten().map(|labels| format!("{labels}\n"));
                out!("{}", lines.collect::<String>());
            }
        }
        Ok(())
    }
}

impl LabelValues {
    fn run(&self, querying: &Querying) -> Result<(), Problem> {
        let api = Api::new(&querying.access, &self.server, &[])?;
        let params = self.span.params(&self.selectors)?;
        let answer = api.label_values(&self.name, &params).map_err(Problem::Query)?;
        answer.tell();
        match (querying.format, &answer.data) {
            (Format::Json, found) => outln!("{}", json::texts(found.as_deref())),
            (Format::Promql, found) => {
                out!("{}", found.iter().flatten().map(|value| value.clone() + "\n").collect::<String>());
            }
        }
        Ok(())
    }
}

impl Asked {
    fn api(&self, querying: &Querying) -> Result<Api, Problem> {
        Api::new(&querying.access, &self.server, &self.headers)
    }
}

impl Span {
    /// Parameters of a request for series, in the order of their names.
    fn params(&self, selectors: &[String]) -> Result<Vec<(&'static str, String)>, Problem> {
        let now = Moment::now().0;
        let start = given(&self.start, "start")?.unwrap_or(Moment(now - AROUND_NS));
        let end = given(&self.end, "end")?.unwrap_or(Moment(now + AROUND_NS));
        let matches = selectors.iter().map(|selector| ("match[]", selector.clone()));
        let mut params = vec![("end", end.to_string())];
        params.extend(matches);
        params.push(("start", start.to_string()));
        Ok(params)
    }
}

/// A time that may be given.
fn given(text: &Option<String>, what: &str) -> Result<Option<Moment>, Problem> {
    Moment::given(text).map_err(|error| Problem::Input(format!("error parsing {what} time: {error}")))
}

fn print(answer: &Answer<Value>, format: Format) {
    answer.tell();
    match format {
        Format::Promql => outln!("{}", text::value(&answer.data)),
        Format::Json => outln!("{}", json::value(&answer.data)),
    }
}
