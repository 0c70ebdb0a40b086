//! `/api/v1/notifications` and `/api/v1/notifications/live`: what is wrong with this server, now and as it happens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::server::http::describe::{About, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::notifications::Notification;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Server;

/// How often a comment is sent where there is nothing to tell: a client that is gone is noticed by it, and gives back its
/// place, and no proxy takes the silence for an end.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/notifications").get(now).about(NOW),
        read("/api/v1/notifications/live").get(live).about(LIVE),
    ]
}

const NOTIFICATION: Shape = Shape::Object(&[("text", Shape::Text), ("date", Shape::Time), ("active", Shape::Flag)]);
const NOW: About = About::new(Tag::Status, "notifications", "What is wrong with this server at the moment")
    .answers(Reply::Data(Shape::List(&NOTIFICATION)));
const LIVE: About = About::new(
    Tag::Status,
    "notifications-live",
    "The same as server-sent events, as it changes; 204 where there are too many who listen",
)
.answers(Reply::Sequence("text/event-stream", Shape::Object(&[("data", Shape::Text)])));

/// Before the store is open, too, which is one of the things to tell.
async fn now(State(server): State<Arc<Server>>) -> Response {
    envelope::success(&server.notifications.current())
}

async fn live(State(server): State<Arc<Server>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let Some(receiver) = server.notifications.subscribe() else {
        return (StatusCode::NO_CONTENT, headers).into_response();
    };
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = next(&mut receiver, SIGN_OF_LIFE).await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    (headers, Body::from_stream(events.fuse())).into_response()
}

async fn next(receiver: &mut mpsc::Receiver<Notification>, patience: Duration) -> Option<Bytes> {
    match timeout(patience, receiver.recv()).await {
        Ok(notification) => notification.as_ref().map(event),
        Err(_) => Some(Bytes::from_static(b":\n\n")),
    }
}

fn event(notification: &Notification) -> Bytes {
    let json = serde_json::to_string(notification).expect("texts and flags have a JSON form");
    format!("data: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::notifications::{Condition, Notifications};

    #[tokio::test]
    async fn events_and_signs_of_life() {
        let notifications = Notifications::new(1);
        notifications.add(Condition::ReloadFailed, 1_500);
        let mut receiver = notifications.subscribe().unwrap();
        let text = |event: Option<Bytes>| String::from_utf8(event.unwrap().to_vec()).unwrap();
        let expected = "data: {\"text\":\"Configuration reload has failed.\",\"date\":\"1970-01-01T00:00:01.500Z\",\
                        \"active\":true}\n\n";
        assert_eq!(text(next(&mut receiver, SIGN_OF_LIFE).await), expected);
        assert_eq!(text(next(&mut receiver, Duration::from_millis(1)).await), ":\n\n");
        notifications.remove(Condition::ReloadFailed);
        assert_eq!(text(next(&mut receiver, SIGN_OF_LIFE).await), expected.replace("true", "false"));
        notifications.close();
        assert_eq!(next(&mut receiver, SIGN_OF_LIFE).await, None);
    }
}
