//! Groups of targets, as a source knows them: labels of each target and labels of all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::scrape::StaticConfig;
use crate::model::labels::Labels;

/// Where a target is scraped.
pub const ADDRESS: &str = "__address__";

/// Targets that come and go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Which part of what a kind finds this is; a later group with the same source stands in its place.
    pub source: String,
    /// Labels of each target; an address is among them.
    pub targets: Vec<Labels>,
    /// Labels of all targets, where these have no other value.
    pub labels: Labels,
}

impl Group {
    /// What takes the place of a group that is gone.
    pub fn empty(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    /// Targets that a configuration names.
    pub fn of_static(position: usize, config: &StaticConfig) -> Self {
        let targets = config.targets.iter().map(|address| Labels::from_pairs([(ADDRESS, address)]));
        Self {
            source: position.to_string(),
            targets: targets.collect(),
            labels: Labels::from_pairs(config.labels.iter().map(|(name, value)| (name, value))),
        }
    }

    /// All labels of one of the targets, by name.
    pub fn labels_of<'a>(&'a self, target: &'a Labels) -> Vec<(&'a str, &'a str)> {
        let mut own = target.iter().peekable();
        let mut all = vec![];
        for (name, value) in self.labels.iter() {
            while let Some(label) = own.next_if(|(own_name, _)| *own_name < name) {
                all.push(label);
            }
            match own.next_if(|(own_name, _)| *own_name == name) {
                Some(label) => all.push(label),
                None => all.push((name, value)),
            }
        }
        all.extend(own);
        all
    }
}

/// Labels that are being collected: the last value of a name counts, and an empty one is none.
#[derive(Clone, Debug, Default)]
pub struct Collected(Vec<(Cow<'static, str>, String)>);

impl Collected {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.0.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// If there is a value.
    pub fn maybe(&mut self, name: &'static str, value: Option<impl Into<String>>) -> &mut Self {
        if let Some(value) = value {
            self.set(name, value);
        }
        self
    }

    /// A name that is made up of what a source says.
    pub fn named(&mut self, name: String, value: impl Into<String>) -> &mut Self {
        self.0.push((Cow::Owned(name), value.into()));
        self
    }

    /// Labels by names that a source chose: `PREFIX` and the name, with `_` for what may not be in one.
    pub fn prefixed<'a, V: Into<String>>(
        &mut self,
        prefix: &str,
        pairs: impl IntoIterator<Item = (&'a str, V)>,
    ) -> &mut Self {
        for (name, value) in pairs {
            self.named(format!("{prefix}{}", sanitized(name)), value);
        }
        self
    }

    pub fn extend(&mut self, others: &Collected) -> &mut Self {
        self.0.extend(others.0.iter().cloned());
        self
    }

    /// The value that counts.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn build(&self) -> Labels {
        let mut pairs: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (&**name, value.as_str())).collect();
        pairs.sort_by_key(|(name, _)| *name);
        let last_of_its_name =
            |(at, _): &(usize, &(&str, &str))| pairs.get(at + 1).is_none_or(|next| next.0 != pairs[*at].0);
        Labels::from_sorted(pairs.iter().enumerate().filter(last_of_its_name).map(|(_, pair)| *pair))
    }
}

/// The pairs of a mapping that an answer may lack.
pub fn pairs(map: &Option<BTreeMap<String, String>>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// What may stand in a label's name behind a prefix.
pub fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// `host:port`, with brackets around what has colons, as Go joins them.
pub fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The values between separators, and one at each end, so that expressions need not care for places.
pub fn separated<S: AsRef<str>>(values: &[S], separator: &str) -> String {
    let mut text = separator.to_string();
    for value in values {
        text.push_str(value.as_ref());
        text.push_str(separator);
    }
    if values.is_empty() {
        text.push_str(separator);
    }
    text
}

/// The address before the slash of `10.0.0.1/24`, if it is one.
pub fn address_of_network(network: &str) -> Option<IpAddr> {
    network.split_once('/').and_then(|(address, _)| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_targets_labels_come_before_the_groups() {
        let check = |target: &[(&str, &str)], group: &[(&str, &str)], want: &[(&str, &str)]| {
            let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
            let group = Group { labels: labels(group), ..Group::default() };
            assert_eq!(group.labels_of(&labels(target)), want);
        };
        check(&[], &[], &[]);
        check(&[("b", "1")], &[], &[("b", "1")]);
        check(&[("b", "1")], &[("a", "2"), ("c", "3")], &[("a", "2"), ("b", "1"), ("c", "3")]);
        check(&[("a", "1"), ("d", "4")], &[("a", "2"), ("c", "3")], &[("a", "1"), ("c", "3"), ("d", "4")]);
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let mut labels = Collected::new();
        labels.set("a", "1").set("b", "2").set("a", "3").set("c", "").maybe("d", None::<String>);
        labels.prefixed("label_", [("x-y.z/é", "v")]);
        assert_eq!(labels.get("a"), "3");
        assert_eq!(labels.build().to_string(), r#"{a="3", b="2", label_x_y_z__="v"}"#);
        labels.set("a", "");
        assert_eq!(labels.build().to_string(), r#"{b="2", label_x_y_z__="v"}"#);
    }

    #[test]
    fn texts_of_labels() {
        assert_eq!(host_port("a", 1), "a:1");
        assert_eq!(host_port("::1", 80), "[::1]:80");
        assert_eq!(host_port("", 80), ":80");
        assert_eq!(separated(&["a", "b"], ","), ",a,b,");
        assert_eq!(separated::<&str>(&[], ","), ",,");
        assert_eq!(address_of_network("10.0.0.3/24").map(|ip| ip.to_string()).as_deref(), Some("10.0.0.3"));
        assert_eq!(address_of_network("10.0.0.3"), None);
    }
}
