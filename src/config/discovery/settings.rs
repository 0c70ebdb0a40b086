//! What an entry says, value by value, with the defaults of its schema.

use std::time::Duration;

use crate::config::discovery::Discovery;
use crate::config::http::HttpConfig;
use crate::config::schema::{Kind, Schema};
use crate::config::yaml::{Node, Scalar, Value};
use crate::model::duration;

/// A section that was checked against its schema. As in Prometheus a key with nothing behind it is empty, 0 or false
/// rather than its default.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    schema: &'static Schema,
    node: &'a Node,
}

impl Discovery {
    pub fn settings(&self) -> Settings<'_> {
        Settings { schema: self.kind.schema, node: &self.node }
    }
}

impl<'a> Settings<'a> {
    fn default(&self, key: &str) -> &'static str {
        self.schema.field(key).map_or("", |field| field.default)
    }

    fn scalar(&self, key: &str) -> Option<Scalar> {
        match self.node.get(key).map(|node| &node.value) {
            None => Some(Scalar { text: self.default(key).to_string(), plain: true }),
            Some(Value::Scalar(scalar)) => Some(scalar.clone()),
            Some(_) => None,
        }
    }

    pub fn text(&self, key: &str) -> &'a str {
        match self.node.get(key) {
            None => self.default(key),
            Some(node) => node.text().unwrap_or_default(),
        }
    }

    /// 0 counts as not given.
    pub fn duration(&self, key: &str) -> Duration {
        let given = duration::parse(self.text(key)).ok().filter(|ms| *ms > 0);
        let ms = given.or_else(|| duration::parse(self.default(key)).ok()).unwrap_or_default();
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    pub fn integer(&self, key: &str) -> i64 {
        self.scalar(key).and_then(|scalar| scalar.integer()).unwrap_or_default()
    }

    pub fn is_true(&self, key: &str) -> bool {
        self.scalar(key).and_then(|scalar| scalar.bool()).unwrap_or_default()
    }

    /// Of a list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let items = self.node.get(key).map(Node::items).unwrap_or_default();
        items.iter().map(|item| item.text().unwrap_or_default().to_string()).collect()
    }

    /// Of a mapping of texts.
    pub fn pairs(&self, key: &str) -> Vec<(String, String)> {
        let entries = self.node.get(key).map(Node::entries).unwrap_or_default();
        entries.iter().map(|(key, node)| (key.text.clone(), node.text().unwrap_or_default().to_string())).collect()
    }

    /// A section within, which may not be there.
    pub fn section(&self, key: &str) -> Settings<'a> {
        static NOTHING: Node = Node { line: 0, value: Value::Null };
        static NO_SCHEMA: Schema = Schema { name: "", fields: &[] };
        let schema = match self.schema.field(key).map(|field| &field.kind) {
            Some(Kind::Section(schema)) => *schema,
            _ => &NO_SCHEMA,
        };
        Settings { schema, node: self.node.get(key).unwrap_or(&NOTHING) }
    }

    /// The sections of a list.
    pub fn sections(&self, key: &str) -> Vec<Settings<'a>> {
        let Some(Kind::List(Kind::Section(schema))) = self.schema.field(key).map(|field| &field.kind) else {
            return vec![];
        };
        let items = self.node.get(key).map(Node::items).unwrap_or_default();
        items.iter().map(|node| Settings { schema, node }).collect()
    }

    /// How its requests are sent.
    pub fn http(&self) -> HttpConfig {
        HttpConfig::read(self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    #[test]
    fn values_and_defaults() {
        let job = "job_name: j, docker_sd_configs: [{host: 'unix:///s', port: 9100, refresh_interval: 0s, \
                   match_first_network: no, filters: [{name: label, values: [a, 'b']}]}]";
        let config = Config::parse(&format!("scrape_configs: [{{{job}}}]")).unwrap();
        let settings = config.scrape_configs[0].discoveries[0].settings();
        assert_eq!(settings.text("host"), "unix:///s");
        assert_eq!(settings.text("host_networking_host"), "localhost");
        assert_eq!(settings.integer("port"), 9100);
        assert_eq!(settings.duration("refresh_interval"), Duration::from_secs(60));
        assert!(!settings.is_true("match_first_network"));
        let filters = settings.sections("filters");
        assert_eq!((filters.len(), filters[0].text("name")), (1, "label"));
        assert_eq!(filters[0].texts("values"), ["a", "b"]);
    }

    #[test]
    fn sections_that_are_not_there_have_their_defaults() {
        let job = "job_name: j, kubernetes_sd_configs: [{role: pod, attach_metadata: {node: true}}]";
        let config = Config::parse(&format!("scrape_configs: [{{{job}}}]")).unwrap();
        let settings = config.scrape_configs[0].discoveries[0].settings();
        assert!(settings.section("attach_metadata").is_true("node"));
        assert!(!settings.section("attach_metadata").is_true("namespace"));
        assert!(!settings.section("namespaces").is_true("own_namespace"));
        assert_eq!(settings.section("namespaces").texts("names"), Vec::<String>::new());
    }
}
