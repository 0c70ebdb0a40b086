//! A list that is kept up to date: listed once, page by page, then watched from the version of that list on. A version
//! that the API has forgotten, as it does after some minutes, means to list anew; anything else to go on from the last one.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use memchr::memchr;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::client::Request;
use crate::discovery::api::{Api, refused};
use crate::discovery::kinds::kubernetes::objects::Meta;
use crate::discovery::kinds::kubernetes::stores::{Change, Delta, Resource};
use crate::discovery::stats::{Stats, add_one};
use crate::error::{Error, ErrorKind, Result};

/// Objects of a page, and of a list.
const PAGE: &str = "500";
const MAX_OBJECTS: usize = 1_000_000;
/// How long the API is asked to go on with a watch, in seconds, and how much longer is waited for it. Within the first it
/// may be silent, but for a bookmark every minute.
const WATCH_SECONDS: u64 = 300;
const GRACE: Duration = Duration::from_secs(30);
/// An event; an object has at most 1.5 MiB.
const MAX_EVENT_BYTES: usize = 16 << 20;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Watches of one version that may fail before all is listed anew.
const MAX_FAILURES: u32 = 3;
/// Of a list, whatever is in them.
const MAX_PAGES: usize = 10_000;

pub(super) struct Watch {
    pub(super) api: Api,
    pub(super) path: String,
    /// Selectors.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) stats: Arc<Stats>,
}

#[derive(Deserialize)]
#[serde(bound = "T: Resource")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

/// What an event is, read before its object.
#[derive(Deserialize)]
struct EventType {
    r#type: String,
}

#[derive(Deserialize)]
struct Event<T> {
    object: T,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bookmark {
    metadata: Meta,
}

/// What the API says of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// How a watch ended.
enum End {
    /// It may be taken up where it ended.
    Over,
    /// Nobody knows its version any more.
    Expired,
    /// Nobody listens.
    Unheard,
}

impl Watch {
    /// Sends changes until nobody takes them.
    pub(super) async fn run<T: Resource>(self, sender: mpsc::Sender<Change>) {
        let mut pause = FIRST_RETRY;
        loop {
            let mut version = match self.list::<T>().await {
                Ok((objects, version)) => {
                    if sender.send(T::change(Delta::List(objects))).await.is_err() {
                        return;
                    }
                    version
                }
                Err(error) => {
                    self.failed("listing", &error);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_RETRY);
                    continue;
                }
            };
            pause = FIRST_RETRY;
            let mut failures = 0;
            loop {
                let before = version.clone();
                match self.follow::<T>(&mut version, &sender).await {
                    Ok(End::Unheard) => return,
                    Ok(End::Expired) => {
                        tracing::debug!(
                            discovery = "kubernetes",
                            path = self.path,
                            "the version is gone, listing anew"
                        );
                        break;
                    }
                    Ok(End::Over) if version != before => (pause, failures) = (FIRST_RETRY, 0),
                    // An API that ends a watch at once is not to be asked all the time.
                    Ok(End::Over) => {
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_RETRY);
                    }
                    Err(error) => {
                        self.failed("watching", &error);
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_RETRY);
                        failures = if version == before { failures + 1 } else { 0 };
                        // As after an API was put back from a copy, whose versions are older than ours.
                        if failures >= MAX_FAILURES {
                            // Who may list and not watch must not list all the time.
                            sleep(LONGEST_RETRY).await;
                            break;
                        }
                    }
                }
            }
            // Not to list all the time where versions are forgotten at once.
            sleep(FIRST_RETRY).await;
        }
    }

    /// All objects, and the version as of which they are.
    async fn list<T: Resource>(&self) -> Result<(Vec<T>, String)> {
        let (mut objects, mut next) = (vec![], String::new());
        for _ in 0..MAX_PAGES {
            let mut query: Vec<(&str, &str)> = self.query.iter().map(|(key, text)| (*key, text.as_str())).collect();
            query.push(("limit", PAGE));
            if !next.is_empty() {
                query.push(("continue", &next));
            }
            let page: Page<T> = self.api.json(&self.path, &query).await?;
            for mut object in page.items.unwrap_or_default() {
                object.meta().resource_version.clear();
                objects.push(object);
            }
            if objects.len() > MAX_OBJECTS {
                return Err(Error::bad_input(format!("there are more than {MAX_OBJECTS} objects")));
            }
            next = page.metadata.r#continue;
            if next.is_empty() {
                return Ok((objects, page.metadata.resource_version));
            }
        }
        Err(Error::bad_input(format!("the list has more than {MAX_PAGES} pages")))
    }

    /// Takes over events until the API ends them.
    async fn follow<T: Resource>(&self, version: &mut String, sender: &mpsc::Sender<Change>) -> Result<End> {
        let seconds = WATCH_SECONDS.to_string();
        let mut query: Vec<(&str, &str)> = self.query.iter().map(|(key, text)| (*key, text.as_str())).collect();
        query.extend([("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", &seconds)]);
        query.push(("resourceVersion", version));
        let request = Request::get(self.api.url(&self.path, &query));
        let mut response = self.api.send(request, self.api.timeout()).await?;
        if response.status() == http::StatusCode::GONE {
            return Ok(End::Expired);
        }
        if !response.status().is_success() {
            let status = response.status();
            let body = response.bytes(MAX_EVENT_BYTES).await.unwrap_or_default();
            return Err(refused(status, &body));
        }
        let patience = Duration::from_secs(WATCH_SECONDS) + GRACE;
        let mut buffer = BytesMut::new();
        loop {
            let chunk = match timeout(patience, response.chunk()).await {
                Err(_) => return Ok(End::Over),
                Ok(chunk) => chunk.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?,
            };
            let Some(chunk) = chunk else { return Ok(End::Over) };
            // Only what is new has to be looked through for the end of a line.
            let mut looked = buffer.len();
            buffer.extend_from_slice(&chunk);
            while let Some(end) = memchr(b'\n', &buffer[looked..]) {
                let line = buffer.split_to(looked + end + 1);
                looked = 0;
                let change = match event::<T>(&line, version)? {
                    None => continue,
                    Some(Told::Expired) => return Ok(End::Expired),
                    Some(Told::Change(change)) => change,
                };
                if sender.send(change).await.is_err() {
                    return Ok(End::Unheard);
                }
            }
            if buffer.len() > MAX_EVENT_BYTES {
                return Err(Error::bad_input(format!("an event has more than {} MiB", MAX_EVENT_BYTES >> 20)));
            }
        }
    }

    fn failed(&self, doing: &str, error: &Error) {
        add_one(&self.stats.kubernetes_failures);
        tracing::error!(discovery = "kubernetes", path = self.path, %error, "{doing} failed");
    }
}

enum Told {
    Change(Change),
    Expired,
}

/// Reads an event, and moves the version on.
fn event<T: Resource>(line: &[u8], version: &mut String) -> Result<Option<Told>> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let wrong = |error: serde_json::Error| Error::bad_input(format!("an event is not as expected: {error}"));
    let kind: EventType = serde_json::from_slice(line).map_err(wrong)?;
    let change = match kind.r#type.as_str() {
        "BOOKMARK" => {
            let event: Event<Bookmark> = serde_json::from_slice(line).map_err(wrong)?;
            *version = event.object.metadata.resource_version;
            return Ok(None);
        }
        "ERROR" => {
            let status = serde_json::from_slice::<Event<Status>>(line).map_err(wrong)?.object;
            return match status.code {
                410 => Ok(Some(Told::Expired)),
                code => Err(Error::new(ErrorKind::Unavailable, format!("error {code}: {}", status.message))),
            };
        }
        "ADDED" | "MODIFIED" | "DELETED" => {
            let mut object = serde_json::from_slice::<Event<T>>(line).map_err(wrong)?.object;
            *version = std::mem::take(&mut object.meta().resource_version);
            match kind.r#type.as_str() {
                "DELETED" => Delta::Delete(object.meta().key()),
                _ => Delta::Put(Box::new(object)),
            }
        }
        other => return Err(Error::bad_input(format!("there is no event {other:?}"))),
    };
    Ok(Some(Told::Change(T::change(change))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::kinds::kubernetes::objects::Pod;

    #[test]
    fn events() {
        let check = |line: &str, want: &str| {
            let mut version = "5".to_string();
            let told = match event::<Pod>(line.as_bytes(), &mut version) {
                Ok(None) => "nothing".to_string(),
                Ok(Some(Told::Expired)) => "expired".to_string(),
                Ok(Some(Told::Change(Change::Pod(Delta::Put(pod))))) => format!("put {}", pod.metadata.key()),
                Ok(Some(Told::Change(Change::Pod(Delta::Delete(key))))) => format!("delete {key}"),
                Ok(Some(Told::Change(_))) => "another change".to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(format!("{told} {version}"), want, "{line}");
        };
        let meta = r#"{"metadata": {"namespace": "n", "name": "p", "resourceVersion": "7"}}"#;
        check(&format!(r#"{{"type": "ADDED", "object": {meta}}}"#), "put n/p 7");
        check(&format!(r#"{{"type": "MODIFIED", "object": {meta}}}"#), "put n/p 7");
        check(&format!(r#"{{"type": "DELETED", "object": {meta}}}"#), "delete n/p 7");
        check(&format!(r#"{{"type": "BOOKMARK", "object": {meta}}}"#), "nothing 7");
        check(r#"{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}"#, "expired 5");
        check(
            r#"{"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "no"}}"#,
            "error 500: no 5",
        );
        check(&format!(r#"{{"type": "NEW", "object": {meta}}}"#), "there is no event \"NEW\" 5");
        check("\n", "nothing 5");
    }
}
