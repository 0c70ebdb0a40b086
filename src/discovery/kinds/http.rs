//! A list that a server answers with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::client::Request;
use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::group::Group;
use crate::discovery::list;
use crate::discovery::stats::{Stats, add_one};
use crate::discovery::way::{Context, Polled, Way};
use crate::error::{Error, ErrorKind, Result};

const URL_LABEL: &str = "__meta_url";
const INTERVAL_HEADER: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let url = settings.text("url").to_string();
    let api = Api::new(&settings.http(), &url, interval, &context.clock)?;
    let source = Source { api, url, interval, stats: context.stats.clone() };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    api: Api,
    /// As it is written, for labels and sources.
    url: String,
    interval: Duration,
    stats: Arc<Stats>,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let asked = self.ask().await;
        if asked.is_err() {
            add_one(&self.stats.http_failures);
        }
        asked
    }
}

impl Source {
    async fn ask(&self) -> Result<Vec<Group>> {
        let mut request = Request::get(self.api.url("", &[]));
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let seconds = self.interval.as_secs_f64().to_string();
        let seconds = HeaderValue::from_str(&seconds).expect("a number is a header's value");
        request.headers.insert(INTERVAL_HEADER, seconds);
        let answer = self.api.exchange(request, self.interval).await?;
        if answer.status != http::StatusCode::OK {
            let message = format!("server returned HTTP status {}", answer.status);
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let content_type = answer.header(CONTENT_TYPE.as_str()).unwrap_or("");
        if !is_json(content_type) {
            return Err(Error::bad_input(format!("unsupported content type {content_type:?}")));
        }
        groups(&answer.body, &self.url)
    }
}

fn groups(body: &[u8], url: &str) -> Result<Vec<Group>> {
    let mut groups = list::of_json(body, (URL_LABEL, url))?;
    for (position, group) in groups.iter_mut().enumerate() {
        group.source = format!("{url}:{position}");
    }
    Ok(groups)
}

/// `application/json`, with UTF-8 or nothing said of the charset.
fn is_json(content_type: &str) -> bool {
    let text = content_type.trim().to_ascii_lowercase();
    let Some(rest) = text.strip_prefix("application/json") else { return false };
    let charset = rest.strip_prefix(';').map(str::trim_start);
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use parking_lot::Mutex;

    use super::*;
    use crate::discovery::fake::{Reply, Running, serve, until};

    #[test]
    fn content_types() {
        let check = |text: &str, want: bool| assert_eq!(is_json(text), want, "{text}");
        check("application/json", true);
        check("application/json; charset=utf-8", true);
        check("application/json;charset=\"UTF-8\"", true);
        check(" application/JSON ", true);
        check("application/json; charset=latin1", false);
        check("application/json;", false);
        check("application/jsonx", false);
        check("text/json", false);
        check("", false);
    }

    /// A list that comes, changes, and then is none of several kinds, which keep the targets there are.
    #[tokio::test]
    async fn a_server_and_its_lists() {
        let json = |status, body: &str| {
            Reply::Whole(status, vec![("Content-Type", "application/json".to_string())], body.to_string())
        };
        let reply: Arc<Mutex<Box<dyn Fn() -> Reply + Send>>> = Arc::new(Mutex::new(Box::new(move || {
            json(200, r#"[{"targets": ["a:1", "b:1"], "labels": {"x": "y"}}]"#)
        })));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, heads) = (reply.clone(), asked.clone());
        let address = serve(move |asked| {
            heads.lock().push(format!("{} {}", asked.path, asked.head.to_lowercase()));
            let reply = answer.lock()();
            Box::pin(async move { reply })
        })
        .await;
        let running =
            Running::start("http", &format!("{{url: 'http://{address}/t?k=v', refresh_interval: 100ms}}"));
        let all = running.found("__address__", &["a:1", "b:1"]).await;
        let url = format!("http://{address}/t?k=v");
        assert_eq!((all[0].get("__meta_url"), all[0].get("x")), (Some(url.as_str()), Some("y")));
        let head = asked.lock()[0].clone();
        for part in ["/t get /t?k=v ", "x-prometheus-refresh-interval-seconds: 0.1", "accept: application/json"] {
            assert!(head.contains(part), "{part}: {head}");
        }
        let stats = &running.manager.context().stats;
        let bad: [fn() -> Reply; 4] = [
            || Reply::Whole(503, vec![], "no".to_string()),
            || Reply::Whole(200, vec![("Content-Type", "text/html".to_string())], "[]".to_string()),
            || Reply::json("[null]"),
            || Reply::json("{"),
        ];
        for make in bad {
            let before = stats.http_failures.load(Ordering::Relaxed);
            *reply.lock() = Box::new(make);
            until("a failure", || stats.http_failures.load(Ordering::Relaxed) > before + 1).await;
        }
        running.found("__address__", &["a:1", "b:1"]).await;
        let failures = running.manager.numbers().refresh_failures;
        assert!(failures[&("http", "j".to_string())] >= 4, "{failures:?}");
        *reply.lock() = Box::new(|| Reply::json(r#"[{"targets": ["b:1"]}]"#));
        running.found("__address__", &["b:1"]).await;
        *reply.lock() = Box::new(|| Reply::json("[]"));
        running.found("__address__", &[]).await;
    }

    #[test]
    fn sources_are_places_in_the_list() {
        let groups = groups(br#"[{"targets": ["a:1"]}, {"targets": ["b:1"]}]"#, "http://sd/t?x=1").unwrap();
        let sources: Vec<&str> = groups.iter().map(|group| group.source.as_str()).collect();
        assert_eq!(sources, ["http://sd/t?x=1:0", "http://sd/t?x=1:1"]);
        assert_eq!(groups[0].labels.get("__meta_url"), Some("http://sd/t?x=1"));
    }
}
