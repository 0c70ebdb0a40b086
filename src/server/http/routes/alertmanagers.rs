//! `/api/v1/alertmanagers`: whom alerts are sent to, and whom relabelling leaves out.

use axum::response::Response;
use serde_json::{Value, json};

use crate::server::http::describe::{About, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/alertmanagers").get(alertmanagers).of_samples().about(ALERTMANAGERS)]
}

const URLS: Shape = Shape::List(&Shape::Object(&[("url", Shape::Text)]));
const ALERTMANAGERS: About =
    About::new(Tag::Rules, "alertmanagers", "Whom alerts are sent to, and whom relabelling leaves out")
        .answers(Reply::Data(Shape::Object(&[("activeAlertmanagers", URLS), ("droppedAlertmanagers", URLS)])));

async fn alertmanagers(Ready(parts): Ready) -> Response {
    let urls = |all: Vec<String>| all.into_iter().map(|url| json!({ "url": url })).collect::<Vec<Value>>();
    envelope::success(&json!({
        "activeAlertmanagers": urls(parts.notifier.alertmanagers()),
        "droppedAlertmanagers": urls(parts.notifier.dropped_alertmanagers()),
    }))
}
