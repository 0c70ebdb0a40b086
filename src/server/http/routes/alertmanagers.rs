//! `/api/v1/alertmanagers`: whom alerts are sent to, and whom relabelling leaves out.

use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use crate::server::http::envelope;
use crate::server::http::router::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/alertmanagers", get(alertmanagers)).of_samples()]
}

async fn alertmanagers(Ready(parts): Ready) -> Response {
    let urls = |all: Vec<String>| all.into_iter().map(|url| json!({ "url": url })).collect::<Vec<Value>>();
    envelope::success(&json!({
        "activeAlertmanagers": urls(parts.notifier.alertmanagers()),
        "droppedAlertmanagers": urls(parts.notifier.dropped_alertmanagers()),
    }))
}
