//! `tracing`: where spans of what the server does are sent.

use std::time::Duration;

use crate::config::http::{self, Secret, TlsConfig, is_set, section};
use crate::config::mistake::Found;
use crate::config::remote;
use crate::config::schema::{Kind, Schema, field, with};
use crate::config::values;
use crate::config::yaml::Node;

/// What OpenTelemetry's exporters wait for an answer.
const DEFAULT_TIMEOUT_MS: i64 = 10_000;

pub static TRACING: Schema = Schema {
    name: "tracing",
    fields: &[&[
        with("client_type", Kind::OneOf(&["", "grpc", "http"]), "grpc"),
        field("endpoint", Kind::Text),
        field("sampling_fraction", Kind::Float),
        field("insecure", Kind::Bool),
        field("tls_config", Kind::Section(&http::TLS)),
        // Keys of those who take spans for money are among them.
        field("headers", Kind::Map(&Kind::Secret)),
        field("compression", Kind::OneOf(&["", "gzip"])),
        field("timeout", Kind::Duration),
    ]],
};

/// How spans are sent: OTLP over gRPC or over HTTP, as protobuf.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingConfig {
    pub protocol: Protocol,
    /// `HOST:PORT`.
    pub endpoint: String,
    /// Of the traces that begin here; others follow whoever began them. 0 to 1, and what is beyond counts as these.
    pub sampling_fraction: f64,
    /// Without TLS.
    pub insecure: bool,
    pub tls: TlsConfig,
    pub headers: Vec<(String, Secret)>,
    pub gzip: bool,
    /// Of each attempt.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

impl TracingConfig {
    /// Of a section that is there. An endpoint that is missing was told.
    pub(super) fn read(node: &Node, found: &Found) -> Self {
        check(node, found);
        let headers = node.get("headers").map(Node::entries).unwrap_or_default().iter();
        let timeout_ms = values::duration_ms(node, "timeout", DEFAULT_TIMEOUT_MS);
        Self {
            protocol: match values::text(node, "client_type") {
                Some("http") => Protocol::Http,
                _ => Protocol::Grpc,
            },
            endpoint: values::text(node, "endpoint").unwrap_or_default().to_string(),
            sampling_fraction: values::float(node, "sampling_fraction").unwrap_or(0.0),
            insecure: values::is_true(node, "insecure", false),
            tls: section(node, "tls_config").map(TlsConfig::read).unwrap_or_default(),
            headers: headers
                .filter_map(|(name, value)| Some((name.text.clone(), Secret::Text(value.text()?.to_string()))))
                .collect(),
            gzip: values::text(node, "compression") == Some("gzip"),
            timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
        }
    }
}

fn check(node: &Node, found: &Found) {
    if !is_set(node, "endpoint") {
        found.add(node.line, "tracing", "tracing endpoint must be set");
    }
    if let Some(tls) = node.get("tls_config") {
        http::check_tls(tls, "tracing.tls_config", found);
    }
    let instead = "custom authorization header configuration is not yet supported";
    remote::check_headers(node, "tracing", instead, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    #[test]
    fn settings() {
        let read = |text: &str| Config::parse(text).unwrap().tracing;
        assert_eq!(read(""), None);
        assert_eq!(read("tracing:"), None);
        let got = read("tracing: {endpoint: 'a:4317'}").unwrap();
        assert_eq!((got.protocol, got.endpoint.as_str(), got.sampling_fraction), (Protocol::Grpc, "a:4317", 0.0));
        assert_eq!((got.insecure, got.gzip, got.timeout), (false, false, Duration::from_secs(10)));
        let got = read(
            "tracing:\n  client_type: http\n  endpoint: b:4318\n  sampling_fraction: 0.25\n  insecure: true\n  \
             headers: {X-Key: word}\n  compression: gzip\n  timeout: 3s\n",
        )
        .unwrap();
        assert_eq!((got.protocol, got.sampling_fraction, got.insecure), (Protocol::Http, 0.25, true));
        assert_eq!(got.headers, vec![("X-Key".to_string(), Secret::Text("word".to_string()))]);
        assert_eq!((got.gzip, got.timeout), (true, Duration::from_secs(3)));
    }

    #[test]
    fn mistakes() {
        let told = |text: &str| Config::parse(text).unwrap_err().into_error("f").to_string();
        assert!(told("tracing: {}").contains("tracing endpoint must be set"));
        assert!(
            told("tracing: {endpoint: a, headers: {Authorization: x}}").contains("custom authorization header")
        );
        assert!(told("tracing: {endpoint: a, headers: {Content-Type: x}}").contains("is a reserved header"));
        assert!(told("tracing: {endpoint: a, compression: zstd}").contains("compression"));
        assert!(told("tracing: {endpoint: a, tls_config: {cert: x}}").contains("tls_config"));
    }

    /// Whoever takes spans for money knows us by a header.
    #[test]
    fn headers_are_not_shown() {
        let config = Config::parse("tracing: {endpoint: a, headers: {X-Key: hidden-word}}").unwrap();
        assert!(!config.to_yaml().contains("hidden-word"), "{}", config.to_yaml());
        assert!(!format!("{:?}", config.tracing).contains("hidden-word"));
    }
}
