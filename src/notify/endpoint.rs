//! Where an Alertmanager is: a URL that its labels make, which relabelling may change.

use url::Url;

use crate::config::alerting::Alertmanagers;
use crate::discovery::group::{ADDRESS, Group};
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::relabel;

const SCHEME: &str = "__scheme__";
const ALERTS_PATH: &str = "__alerts_path__";
/// Version 2 of the API is the only one there is.
const ENDPOINT: &str = "api/v2/alerts";

/// Letters that Go leaves as they are in a path and in a host, besides letters, digits and `-_.~`.
const PLAIN_IN_PATH: &[u8] = b"$&+,/:;=@";
const PLAIN_IN_HOST: &[u8] = b"!$&'()*+,;=:[]<>\"";

/// An Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As Prometheus shows it, and what it is known by.
    pub(super) shown: String,
    /// What is asked for, or why nothing can be.
    pub(super) url: Result<Url, String>,
}

/// What became of the targets of a group.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) active: Vec<Endpoint>,
    /// URLs of those that relabelling drops, as they were before it.
    pub(super) dropped: Vec<String>,
}

impl Found {
    /// Adds the targets of a group. What is no address is left out and logged.
    pub(super) fn add(&mut self, config: &Alertmanagers, group: &Group) {
        for target in &group.targets {
            let mut labels = discovered(config, group, target);
            let before = labels.clone();
            if !relabel::apply(&config.relabel_configs, &mut labels) {
                self.dropped.push(shown(&before));
                continue;
            }
            let address = labels.get(ADDRESS).unwrap_or("");
            if address.contains('/') {
                let path = &config.path;
                tracing::error!(config = path, "Alertmanager left out: {address:?} is not a valid hostname");
                continue;
            }
            self.active.push(Endpoint::new(&labels));
        }
    }
}

/// What is known of a target before relabelling. Its group may say where to send, the target itself may not: so it is in
/// Prometheus.
fn discovered(config: &Alertmanagers, group: &Group, target: &Labels) -> LabelsBuilder {
    let mut labels = LabelsBuilder::from_labels(target);
    labels.set(SCHEME, &config.scheme).set(ALERTS_PATH, &alerts_path(&config.path_prefix));
    for (name, value) in group.labels.iter().filter(|(name, _)| target.get(name).is_none()) {
        labels.set(name, value);
    }
    labels
}

/// The path behind a prefix, without empty parts, `.` and `..`, as Go's `path.Join` does it.
fn alerts_path(prefix: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in prefix.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.push(ENDPOINT);
    format!("/{}", parts.join("/"))
}

impl Endpoint {
    fn new(labels: &LabelsBuilder) -> Self {
        let shown = shown(labels);
        let scheme = labels.get(SCHEME).unwrap_or("");
        // Without a host the first part of the path would be taken for one.
        let url = if labels.get(ADDRESS).unwrap_or("").is_empty() {
            Err("http: no Host in request URL".to_string())
        } else if !matches!(scheme, "http" | "https") {
            Err(format!("unsupported protocol scheme {scheme:?}"))
        } else {
            Url::parse(&shown).map_err(|error| format!("parse {shown:?}: {error}"))
        };
        Self { shown, url }
    }
}

/// As Go prints a URL of these parts.
fn shown(labels: &LabelsBuilder) -> String {
    let part = |name| labels.get(name).unwrap_or("");
    let (scheme, host, path) = (part(SCHEME), part(ADDRESS), part(ALERTS_PATH));
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    if !host.is_empty() || !scheme.is_empty() && !path.is_empty() {
        out.push_str("//");
    }
    escape(&mut out, host, PLAIN_IN_HOST);
    if !host.is_empty() && !path.is_empty() && !path.starts_with('/') {
        out.push('/');
    }
    escape(&mut out, path, PLAIN_IN_PATH);
    out
}

fn escape(out: &mut String, text: &str, plain: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let hex = |digit: u8| char::from(HEX[usize::from(digit)]);
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    fn found(text: &str) -> (Vec<(String, bool)>, Vec<String>) {
        let text = format!("alerting: {{alertmanagers: [{{{text}}}]}}");
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{text}: {}", mistakes.shown("")));
        let settings = &config.alerting.alertmanagers[0];
        let mut found = Found::default();
        for (at, group) in settings.static_configs.iter().enumerate() {
            found.add(settings, &Group::of_static(at, group));
        }
        (found.active.iter().map(|at| (at.shown.clone(), at.url.is_ok())).collect(), found.dropped)
    }

    /// The URLs are those that Prometheus 3.5.3 shows for the same configuration.
    #[test]
    fn urls_are_prometheus_own() {
        let check = |text: &str, expected: &str, is_usable: bool| {
            assert_eq!(found(text).0, [(expected.to_string(), is_usable)], "{text}");
        };
        let here = "static_configs: [{targets: ['127.0.0.1:9093']}]";
        check(here, "http://127.0.0.1:9093/api/v2/alerts", true);
        check(&format!("path_prefix: 'am/../x y/', {here}"), "http://127.0.0.1:9093/x%20y/api/v2/alerts", true);
        check(&format!("path_prefix: /../../a//./b, {here}"), "http://127.0.0.1:9093/a/b/api/v2/alerts", true);
        check(&format!("scheme: https, {here}"), "https://127.0.0.1:9093/api/v2/alerts", true);
        // There is no port but that of the scheme.
        check("static_configs: [{targets: [localhost]}]", "http://localhost/api/v2/alerts", true);
        check(
            "static_configs: [{targets: [localhost]}], relabel_configs: [{target_label: __alerts_path__, \
             replacement: 'a?b#c%d*é'}]",
            "http://localhost/a%3Fb%23c%25d%2A%C3%A9",
            true,
        );
        check(
            "static_configs: [{targets: [a.invalid], labels: {__scheme__: ftp, __alerts_path__: /p}}]",
            "ftp://a.invalid/p",
            false,
        );
        check("static_configs: [{targets: ['h:x@y']}]", "http://h:x%40y/api/v2/alerts", false);
        check(
            "static_configs: [{targets: [x]}], relabel_configs: [{target_label: __address__, replacement: ''}]",
            "http:///api/v2/alerts",
            false,
        );
    }

    #[test]
    fn what_is_dropped_is_shown_as_it_was() {
        let (active, dropped) = found(
            "scheme: https, static_configs: [{targets: [drop.me, keep.me]}], relabel_configs: [{target_label: \
             __scheme__, replacement: http}, {source_labels: [__address__], regex: 'drop.*', action: drop}]",
        );
        assert_eq!(active, [("http://keep.me/api/v2/alerts".to_string(), true)]);
        assert_eq!(dropped, ["https://drop.me/api/v2/alerts"]);
    }

    /// Prometheus leaves out all of the group.
    #[test]
    fn what_is_no_address_is_left_out_alone() {
        let (active, dropped) = found(
            "static_configs: [{targets: ['a/b', good]}], relabel_configs: [{source_labels: [none], regex: x, action: \
             drop}]",
        );
        assert_eq!((active, dropped), (vec![("http://good/api/v2/alerts".to_string(), true)], vec![]));
    }
}
