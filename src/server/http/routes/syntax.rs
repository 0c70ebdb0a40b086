//! `/api/v1/format_query` and `/api/v1/parse_query`: the parser and the printer, without evaluating anything.

use crate::engine::session::Features;
use crate::error::Error;
use crate::promql::ast::Expr;
use crate::promql::parse;
use crate::promql::{json, print};
use crate::server::http::describe::{About, QUERY, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/format_query")
            .within_limits()
            .get(format_query)
            .post(format_query)
            .of_samples()
            .about(FORMAT),
        read("/api/v1/parse_query").within_limits().get(parse_query).post(parse_query).of_samples().about(PARSE),
    ]
}

const FORMAT: About =
    About::new(Tag::Query, "format-query", "Formats an expression, over several lines where it is long")
        .takes(&[QUERY])
        .answers(Reply::Data(Shape::Text));
const PARSE: About = About::new(Tag::Query, "parse-query", "Parses an expression to its tree")
    .takes(&[QUERY])
    .answers(Reply::Data(Shape::Any));

async fn format_query(Ready(parts): Ready, params: Params) -> ApiResult {
    let expr = parse(&params, &parts.engine.options.features)?;
    Ok(envelope::success(&print::pretty(&expr)))
}

async fn parse_query(Ready(parts): Ready, params: Params) -> ApiResult {
    let expr = parse(&params, &parts.engine.options.features)?;
    Ok(envelope::success(&json::ast_json(&expr)))
}

fn parse(params: &Params, features: &Features) -> Result<Expr, ApiError> {
    parse::parse(params.get("query"), &features.language()).map_err(|e| invalid_parameter("query", Error::from(e)))
}
