//! What is wrong with this server, or about to happen to it, for those who watch it live: Prometheus' notifications, with
//! its texts (`util/notifications`).
//!
//! There are few conditions and each is told once, so everything here is bounded by their number and that of subscribers.
//! Nobody waits for a subscriber: one that does not read loses what is more than its buffer holds.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::server::http::json::rfc3339;
use crate::telemetry::metrics::Family;

/// Notifications that wait for a subscriber.
const BUFFER: usize = 10;

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Starting,
    ReloadFailed,
    Stopping,
}

impl Condition {
    /// Prometheus' words, which its page and others know.
    fn text(self) -> &'static str {
        match self {
            Condition::Starting => "Prometheus is starting and replaying the write-ahead log (WAL).",
            Condition::ReloadFailed => "Configuration reload has failed.",
            Condition::Stopping => "Prometheus is shutting down and gracefully stopping all operations.",
        }
    }
}

/// A condition, and since when it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    text: &'static str,
    date: String,
    /// Not any more, where it is false.
    active: bool,
}

impl Notification {
    fn new(condition: Condition, since_ms: i64, active: bool) -> Self {
        Self { text: condition.text(), date: rfc3339(since_ms), active }
    }
}

#[derive(Debug)]
pub struct Notifications {
    max_subscribers: usize,
    state: Mutex<State>,
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Each condition once, with the time it was told last.
    current: Vec<(Condition, i64)>,
    subscribers: Vec<mpsc::Sender<Notification>>,
    is_closed: bool,
}

impl Notifications {
    pub fn new(max_subscribers: usize) -> Self {
        let (sent, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { max_subscribers, state: Mutex::default(), sent, dropped }
    }

    /// Tells that something holds, or still does.
    pub fn add(&self, condition: Condition, now_ms: i64) {
        let mut state = self.state.lock();
        match state.current.iter_mut().find(|(known, _)| *known == condition) {
            Some((_, since_ms)) => *since_ms = now_ms,
            None => state.current.push((condition, now_ms)),
        }
        self.tell(&mut state, &Notification::new(condition, now_ms, true));
    }

    /// Tells that it holds no more, if it did.
    pub fn remove(&self, condition: Condition) {
        let mut state = self.state.lock();
        let Some(place) = state.current.iter().position(|(known, _)| *known == condition) else { return };
        let (_, since_ms) = state.current.remove(place);
        self.tell(&mut state, &Notification::new(condition, since_ms, false));
    }

    fn tell(&self, state: &mut State, notification: &Notification) {
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        for subscriber in &state.subscribers {
            let dropped = match subscriber.try_send(notification.clone()) {
                Ok(()) => 0,
                Err(TrySendError::Full(_)) => 1,
                // It went a moment ago.
                Err(TrySendError::Closed(_)) => continue,
            };
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    pub fn current(&self) -> Vec<Notification> {
        current(&self.state.lock())
    }

    /// What holds now and what is told from here on, until the receiver is dropped or the server ends. `None` where there are
    /// as many subscribers as there may be.
    pub fn subscribe(&self) -> Option<mpsc::Receiver<Notification>> {
        let mut state = self.state.lock();
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        if state.is_closed || state.subscribers.len() >= self.max_subscribers {
            return None;
        }
        let (subscriber, receiver) = mpsc::channel(BUFFER);
        for notification in current(&state) {
            subscriber.try_send(notification).expect("there are fewer conditions than places");
        }
        state.subscribers.push(subscriber);
        Some(receiver)
    }

    /// Subscribers read what waits for them, and then the end.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.subscribers.clear();
    }

    /// Under Prometheus' names.
    pub fn families(&self) -> Vec<Family> {
        let live = self.state.lock().subscribers.iter().filter(|subscriber| !subscriber.is_closed()).count();
        let counter = |name: &'static str, help, count: &AtomicU64| {
            Family::counter(name, help, count.load(Ordering::Relaxed) as f64)
        };
        vec![
            Family::gauge(
                "prometheus_api_notification_active_subscribers",
                "The current number of active notification subscribers",
                live as f64,
            ),
            counter(
                "prometheus_api_notification_updates_sent",
                "Total number of notification updates sent",
                &self.sent,
            ),
            counter(
                "prometheus_api_notification_updates_dropped",
                "Total number of notification updates dropped",
                &self.dropped,
            ),
        ]
    }
}

fn current(state: &State) -> Vec<Notification> {
    state.current.iter().map(|(condition, since_ms)| Notification::new(*condition, *since_ms, true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits for a subscriber, as texts and whether they hold.
    fn waiting(receiver: &mut mpsc::Receiver<Notification>) -> Vec<(&'static str, bool)> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|one| (one.text, one.active)).collect()
    }

    fn counts(notifications: &Notifications) -> Vec<f64> {
        let value = |family: &Family| match family.samples[0].value {
            crate::telemetry::metrics::Value::Number(value) => value,
            _ => f64::NAN,
        };
        notifications.families().iter().map(value).collect()
    }

    #[test]
    fn current_ones_first_and_then_what_changes() {
        let notifications = Notifications::new(2);
        let (starting, failed) = (Condition::Starting.text(), Condition::ReloadFailed.text());
        notifications.add(Condition::Starting, 0);
        let mut first = notifications.subscribe().unwrap();
        assert_eq!(waiting(&mut first), [(starting, true)]);
        notifications.add(Condition::ReloadFailed, 1_000);
        notifications.add(Condition::ReloadFailed, 2_000);
        notifications.remove(Condition::Starting);
        notifications.remove(Condition::Starting);
        assert_eq!(waiting(&mut first), [(failed, true), (failed, true), (starting, false)]);
        assert_eq!(
            serde_json::to_string(&notifications.current()).unwrap(),
            r#"[{"text":"Configuration reload has failed.","date":"1970-01-01T00:00:02Z","active":true}]"#
        );
        assert_eq!(counts(&notifications), [1.0, 3.0, 0.0]);
    }

    #[test]
    fn there_is_a_limit_and_places_come_back() {
        let notifications = Notifications::new(2);
        let (first, _second) = (notifications.subscribe().unwrap(), notifications.subscribe().unwrap());
        assert!(notifications.subscribe().is_none());
        drop(first);
        assert_eq!(counts(&notifications)[0], 1.0);
        assert!(notifications.subscribe().is_some());
        assert!(Notifications::new(0).subscribe().is_none());
    }

    #[test]
    fn nobody_waits_for_one_that_does_not_read() {
        let notifications = Notifications::new(2);
        let (mut slow, mut quick) = (notifications.subscribe().unwrap(), notifications.subscribe().unwrap());
        for at in 0..13 {
            notifications.add(Condition::ReloadFailed, at);
            assert_eq!(waiting(&mut quick).len(), 1);
        }
        assert_eq!(waiting(&mut slow).len(), BUFFER);
        assert_eq!(counts(&notifications), [2.0, 26.0, 3.0]);
    }

    #[tokio::test]
    async fn the_last_words_are_read_before_the_end() {
        let notifications = Notifications::new(1);
        let mut receiver = notifications.subscribe().unwrap();
        notifications.add(Condition::Stopping, 0);
        notifications.close();
        assert_eq!(receiver.recv().await.map(|one| one.text), Some(Condition::Stopping.text()));
        assert_eq!(receiver.recv().await, None);
        assert!(notifications.subscribe().is_none());
    }
}
