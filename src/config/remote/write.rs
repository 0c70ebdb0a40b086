//! One entry of `remote_write`, read from a section that was checked.

use std::time::Duration;

use url::Url;

use crate::config::http::{self, HttpConfig};
use crate::config::mistake::Found;
use crate::config::protocol::NameValidation;
use crate::config::relabel;
use crate::config::schema::below;
use crate::config::values;
use crate::config::yaml::Node;
use crate::model::relabel::Rule;

/// What requests are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`, Remote Write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, Remote Write 2.0.
    V2,
}

/// A remote that samples are sent to.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWrite {
    /// `remote_write[0]`, for errors.
    pub path: String,
    /// `None` where it has no scheme or no host, which is a mistake only once it is used.
    pub url: Option<Url>,
    /// As it is written, empty for none.
    pub name: String,
    pub message: Message,
    pub timeout: Duration,
    pub headers: Vec<(String, String)>,
    pub relabel: Vec<Rule>,
    pub send_exemplars: bool,
    pub send_native_histograms: bool,
    pub round_robin_dns: bool,
    pub failed_request_logging: bool,
    pub http: HttpConfig,
    pub queue: QueueConfig,
    pub metadata: MetadataConfig,
}

/// How a remote's samples wait and go out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueConfig {
    /// Samples that a shard holds.
    pub capacity: usize,
    pub min_shards: usize,
    pub max_shards: usize,
    pub max_samples_per_send: usize,
    pub batch_send_deadline: Duration,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    pub retry_on_http_429: bool,
    /// Older samples are dropped; zero for none.
    pub sample_age_limit: Duration,
}

/// Metadata in requests of its own, with Remote Write 1.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetadataConfig {
    pub send: bool,
    pub send_interval: Duration,
    pub max_samples_per_send: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self::read(&Node::nothing())
    }
}

impl RemoteWrite {
    /// The rules' mistakes are told by the check of the section.
    pub(super) fn read(node: &Node, path: &str, names: NameValidation) -> Self {
        let headers = node.get("headers").map(Node::entries).unwrap_or_default().iter();
        let section = |key: &str| node.get(key).filter(|node| !node.is_null());
        let nothing = Node::nothing();
        let is_v2 = values::text(node, "protobuf_message") == Some("io.prometheus.write.v2.Request");
        Self {
            path: path.to_string(),
            url: url_of(node),
            name: values::text(node, "name").unwrap_or("").to_string(),
            message: if is_v2 { Message::V2 } else { Message::V1 },
            timeout: duration(node, "remote_timeout", 30_000),
            headers: headers
                .map(|(name, node)| (name.text.clone(), node.text().unwrap_or("").to_string()))
                .collect(),
            relabel: relabel::read(node, "write_relabel_configs", path, names, &Found::default()),
            send_exemplars: values::is_true(node, "send_exemplars", false),
            send_native_histograms: values::is_true(node, "send_native_histograms", false),
            round_robin_dns: values::is_true(node, "round_robin_dns", false),
            failed_request_logging: values::is_true(node, "failed_request_logging", false),
            // Unlike all others.
            http: HttpConfig { no_http2: !values::is_true(node, "enable_http2", false), ..HttpConfig::read(node) },
            queue: QueueConfig::read(section("queue_config").unwrap_or(&nothing)),
            metadata: MetadataConfig::read(section("metadata_config").unwrap_or(&nothing)),
        }
    }

    /// The URL without its password, as metrics and logs show it.
    pub fn shown_url(&self) -> String {
        let Some(mut url) = self.url.clone() else { return String::new() };
        if url.password().is_some() {
            // Fails only for URLs that can have none.
            let _ = url.set_password(Some("xxxxx"));
        }
        url.to_string()
    }
}

fn url_of(node: &Node) -> Option<Url> {
    let url = Url::parse(values::text(node, "url")?).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

impl QueueConfig {
    fn read(node: &Node) -> Self {
        Self {
            capacity: count(node, "capacity", 10_000),
            min_shards: count(node, "min_shards", 1),
            max_shards: count(node, "max_shards", 50),
            max_samples_per_send: count(node, "max_samples_per_send", 2_000),
            batch_send_deadline: duration(node, "batch_send_deadline", 5_000),
            min_backoff: duration(node, "min_backoff", 30),
            max_backoff: duration(node, "max_backoff", 5_000),
            retry_on_http_429: values::is_true(node, "retry_on_http_429", false),
            sample_age_limit: duration(node, "sample_age_limit", 0),
        }
    }
}

impl MetadataConfig {
    fn read(node: &Node) -> Self {
        Self {
            send: values::is_true(node, "send", true),
            send_interval: duration(node, "send_interval", 60_000),
            max_samples_per_send: count(node, "max_samples_per_send", 2_000),
        }
    }
}

fn duration(node: &Node, key: &str, default_ms: i64) -> Duration {
    Duration::from_millis(values::duration_ms(node, key, default_ms).unsigned_abs())
}

/// Above zero.
fn count(node: &Node, key: &str, default: usize) -> usize {
    let given = values::count(node, key).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    given.unwrap_or(default).max(1)
}

/// What a remote asks for that nothing here does yet.
pub(in crate::config) fn not_built(items: &[Node], found: &Found) {
    for (position, node) in items.iter().enumerate() {
        let path = format!("remote_write[{position}]");
        for key in ["sigv4", "azuread", "google_iam"] {
            // An empty section of them asks for what the environment says.
            if node.get(key).is_some_and(|section| !section.is_null()) {
                found.add(http::line_of(node, key), &below(&path, key), "is not supported yet");
            }
        }
        if url_of(node).is_none() {
            let message = "expected http:// or https:// and a host";
            found.add(http::line_of(node, "url"), &below(&path, "url"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    fn read(text: &str) -> Config {
        Config::parse_with_env(text, &|_| None).unwrap()
    }

    #[test]
    fn settings_and_defaults() {
        let config = read(
            "remote_write:\n\
             - url: http://user:secret@a:1/write\n\
             - url: https://b/\n\
             \x20 name: second\n\
             \x20 protobuf_message: io.prometheus.write.v2.Request\n\
             \x20 remote_timeout: 5s\n\
             \x20 headers: {X-Scope-OrgID: me}\n\
             \x20 enable_http2: true\n\
             \x20 write_relabel_configs: [{action: labeldrop, regex: pod}]\n\
             \x20 queue_config: {capacity: 7, min_backoff: 1s, retry_on_http_429: true, sample_age_limit: 1h}\n\
             \x20 metadata_config: {send: false}\n",
        );
        let [first, second] = &config.remote_writes[..] else { panic!("{:?}", config.remote_writes) };
        assert_eq!(first.shown_url(), "http://user:xxxxx@a:1/write");
        assert_eq!((first.message, first.http.no_http2, first.queue.capacity), (Message::V1, true, 10_000));
        assert_eq!((first.metadata.send, first.timeout), (true, Duration::from_secs(30)));
        assert_eq!(first.queue.sample_age_limit, Duration::ZERO);
        assert_eq!((second.message, second.http.no_http2, second.queue.capacity), (Message::V2, false, 7));
        assert_eq!((second.queue.min_backoff, second.queue.max_backoff).0, Duration::from_secs(1));
        assert_eq!((second.relabel.len(), second.headers.len(), second.metadata.send), (1, 1, false));
        assert!(second.queue.retry_on_http_429);
        assert!(config.not_built().is_ok());
    }

    #[test]
    fn what_is_not_built_is_named() {
        let config = read("remote_write:\n- url: http://a/\n  sigv4: {region: x}\n- url: a:9090/write\n");
        let told = config.not_built().unwrap_err().0;
        let lines: Vec<(Option<usize>, &str)> = told.iter().map(|m| (m.line, m.path.as_str())).collect();
        assert_eq!(lines, [(Some(3), "remote_write[0].sigv4"), (Some(4), "remote_write[1].url")]);
    }
}
