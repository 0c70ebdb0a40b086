//! `/api/v1/query_exemplars`. Exemplars are accepted and kept, but the store has no door to read them yet: the
//! parameters are checked, the list is empty, and a warning says why.

use axum::routing::get;

use crate::engine::promql::parse;
use crate::error::Error;
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult};
use crate::server::http::params::Params;
use crate::server::http::router::{Route, read};
use crate::server::http::routes::syntax;
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/query_exemplars", get(query_exemplars).post(query_exemplars))]
}

async fn query_exemplars(Ready(parts): Ready, params: Params) -> ApiResult {
    let range = params.time_range()?;
    if range.is_empty() {
        return Err(ApiError(Error::bad_input("end timestamp must not be before start timestamp")));
    }
    parse::parse(params.get("query"), &syntax::options(&parts.engine.options.features)).map_err(Error::from)?;
    let nothing: [(); 0] = [];
    Ok(envelope::success_with(&nothing, vec!["exemplars cannot be queried yet".into()]))
}
