//! `/api/v1/format_query` and `/api/v1/parse_query`: the parser and the printer, without evaluating anything.

use axum::routing::get;

use crate::engine::promql::ast::Expr;
use crate::engine::promql::parse::{self, ParseOptions};
use crate::engine::promql::print;
use crate::engine::session::Features;
use crate::error::Error;
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::params::Params;
use crate::server::http::router::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/format_query", get(format_query).post(format_query)),
        read("/api/v1/parse_query", get(parse_query).post(parse_query)),
    ]
}

async fn format_query(Ready(parts): Ready, params: Params) -> ApiResult {
    let expr = parse(&params, &parts.engine.options.features)?;
    Ok(envelope::success(&print::pretty(&expr)))
}

async fn parse_query(Ready(parts): Ready, params: Params) -> ApiResult {
    let expr = parse(&params, &parts.engine.options.features)?;
    Ok(envelope::success(&print::ast_json(&expr)))
}

fn parse(params: &Params, features: &Features) -> Result<Expr, ApiError> {
    parse::parse(params.get("query"), &options(features)).map_err(|e| invalid_parameter("query", Error::from(e)))
}

/// The parts of the language that the feature flags allow.
pub fn options(features: &Features) -> ParseOptions {
    ParseOptions {
        experimental_functions: features.experimental_functions,
        duration_expressions: features.duration_expressions,
        extended_range_selectors: features.extended_range_selectors,
        binop_fill_modifiers: features.binop_fill_modifiers,
    }
}
