//! `/api/v1/features`: what this server can do, by part.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::server::http::describe::{About, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::route::{Route, read};
use crate::server::http::server::{Ready, Server};

pub fn routes() -> Vec<Route> {
    vec![read("/api/v1/features").within_limits().get(features).about(FEATURES)]
}

const FEATURES: About =
    About::new(Tag::Status, "features", "What this server can do, by part, and whether it is on")
        .answers(Reply::Data(Shape::Map(&Shape::Map(&Shape::Flag))));

async fn features(State(server): State<Arc<Server>>, Ready(_): Ready) -> Response {
    envelope::success(&server.settings.features)
}
