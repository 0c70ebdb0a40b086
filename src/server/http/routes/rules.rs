//! `/api/v1/rules`, `/api/v1/alerts` and `/api/v1/alertmanagers`. Rules cannot be configured yet (a `rule_files`
//! section is refused), so there are none; Grafana asks for them all the same.

use axum::routing::get;
use serde_json::json;

use crate::server::http::envelope;
use crate::server::http::router::{Route, read};

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/rules", get(|| async { envelope::success(&json!({ "groups": [] })) })).of_samples(),
        read("/api/v1/alerts", get(|| async { envelope::success(&json!({ "alerts": [] })) })).of_samples(),
        read(
            "/api/v1/alertmanagers",
            get(|| async { envelope::success(&json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] })) }),
        )
        .of_samples(),
    ]
}
