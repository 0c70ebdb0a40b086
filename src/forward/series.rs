//! Series as they leave the server: with external labels, relabelled, and with metadata where the message has room for
//! it. What was found out once about a series is kept by its id for as long as it is sent.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use crate::config::remote::write::{Message, RemoteWrite};
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::metadata::{Metadata, MetricType};
use crate::model::relabel;
use crate::model::relabel::Rule;
use crate::storage::head::packed::IdHasher;

/// Series without a sample for two of these are forgotten.
const SWEEP: Duration = Duration::from_secs(1800);

/// A series as requests have it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its id in the log.
    pub id: i64,
    pub labels: Labels,
    /// External labels are still to be added, which costs no copy of its labels.
    pub lacks_external: bool,
    pub metadata: Option<Arc<Metadata>>,
}

/// What is known of a series.
#[derive(Debug)]
pub enum Known<'a> {
    Sent(&'a Arc<Outgoing>),
    /// Rules drop it.
    Dropped,
    /// Nobody knows its labels any more.
    Lost,
    /// Its labels have to be looked up.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub struct SeriesCache {
    entries: HashMap<i64, Entry, IdHasher>,
    rules: Vec<Rule>,
    external: Labels,
    /// Only where requests have it for each series.
    families: Option<Families>,
    builder: LabelsBuilder,
    sweep: u32,
    swept: Instant,
}

#[derive(Debug)]
struct Entry {
    /// As they are stored; `None` for one that is lost.
    labels: Option<Labels>,
    outgoing: Option<Arc<Outgoing>>,
    /// Whether its last sample was a histogram.
    is_histogram: bool,
    /// The last sweep before its last use.
    used: u32,
    /// Of the families when its metadata was looked up.
    version: u32,
}

#[derive(Debug, Default)]
struct Families {
    by_name: HashMap<String, Arc<Metadata>>,
    version: u32,
}

impl SeriesCache {
    pub fn new(settings: &RemoteWrite, external: &Labels, metadata: Vec<(String, Metadata)>) -> Self {
        let families = (settings.message == Message::V2).then(|| {
            let by_name = metadata.into_iter().map(|(family, metadata)| (family, Arc::new(metadata))).collect();
            Families { by_name, version: 0 }
        });
        Self {
            entries: HashMap::default(),
            rules: settings.relabel.clone(),
            external: external.clone(),
            families,
            builder: LabelsBuilder::new(),
            sweep: 0,
            swept: Instant::now(),
        }
    }

    /// What is known of a series, which is used now.
    #[inline]
    pub fn get(&mut self, id: i64) -> Known<'_> {
        let (sweep, families) = (self.sweep, &self.families);
        let Some(entry) = self.entries.get_mut(&id) else { return Known::Unknown };
        entry.used = sweep;
        if let Some(families) = families
            && entry.version != families.version
        {
            entry.renew_metadata(families);
        }
        match (&entry.outgoing, &entry.labels) {
            (Some(outgoing), _) => Known::Sent(outgoing),
            (None, Some(_)) => Known::Dropped,
            (None, None) => Known::Lost,
        }
    }

    /// A histogram of a series is sent.
    pub fn saw_histogram(&mut self, id: i64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_histogram = true;
        }
    }

    /// Whether a marker that ends a series ends one of histograms.
    pub fn ends_histograms(&mut self, id: i64) -> bool {
        self.entries.get_mut(&id).is_some_and(|entry| std::mem::take(&mut entry.is_histogram))
    }

    pub fn knows(&self, id: i64) -> bool {
        self.entries.contains_key(&id)
    }

    /// Takes the labels of a series.
    pub fn learn(&mut self, id: i64, labels: &Labels) {
        if self.entries.get(&id).is_some_and(|entry| entry.labels.as_ref() == Some(labels)) {
            return;
        }
        let (metadata, version) = match &self.families {
            Some(families) => (families.find(labels.metric()).cloned(), families.version),
            None => (None, 0),
        };
        let outgoing = self
            .outgoing_labels(labels)
            .map(|(labels, lacks_external)| Arc::new(Outgoing { id, labels, lacks_external, metadata }));
        self.entries.insert(
            id,
            Entry { labels: Some(labels.clone()), outgoing, is_histogram: false, used: self.sweep, version },
        );
    }

    /// There is nobody to ask for the labels of a series.
    pub fn lose(&mut self, id: i64) {
        self.entries
            .insert(id, Entry { labels: None, outgoing: None, is_histogram: false, used: self.sweep, version: 0 });
    }

    /// Takes metadata of families.
    pub fn learn_metadata(&mut self, families: &[(String, Metadata)]) {
        let Some(known) = self.families.as_mut().filter(|_| !families.is_empty()) else { return };
        known.version = known.version.wrapping_add(1);
        for (family, metadata) in families {
            known.by_name.insert(family.clone(), Arc::new(metadata.clone()));
        }
    }

    /// Forgets series that are not used any more, now and then.
    pub fn sweep(&mut self, now: Instant) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        let before = self.sweep;
        self.entries.retain(|_, entry| before.wrapping_sub(entry.used) < 2);
        self.entries.shrink_to(self.entries.len() * 2);
        self.sweep = before.wrapping_add(1);
    }

    /// The labels and whether they lack external ones; `None` where rules drop the series, or leave nothing of it.
    fn outgoing_labels(&mut self, labels: &Labels) -> Option<(Labels, bool)> {
        if self.rules.is_empty() {
            return Some((labels.clone(), !self.external.is_empty()));
        }
        // Rules see external labels.
        self.builder.clear();
        for (name, value) in labels.iter() {
            self.builder.set(name, value);
        }
        let added = self.external.iter().filter(|(name, _)| labels.get(name).is_none());
        let added: Vec<(&str, &str)> = added.collect();
        for (name, value) in &added {
            self.builder.set(name, value);
        }
        if !relabel::apply(&self.rules, &mut self.builder) {
            return None;
        }
        let relabelled = self.builder.build();
        if added.is_empty() && relabelled == *labels {
            // Shares the buffer of the store.
            return Some((labels.clone(), false));
        }
        (!relabelled.is_empty()).then_some((relabelled, false))
    }
}

impl Entry {
    fn renew_metadata(&mut self, families: &Families) {
        self.version = families.version;
        let (Some(outgoing), Some(labels)) = (&mut self.outgoing, &self.labels) else { return };
        let found = families.find(labels.metric());
        if outgoing.metadata.as_deref() != found.map(Arc::as_ref) {
            *outgoing = Arc::new(Outgoing { metadata: found.cloned(), ..(**outgoing).clone() });
        }
    }
}

/// Endings of series' names behind the name of their family, and the types that have them.
const SUFFIXES: &[(&str, &[MetricType])] = &[
    ("_total", &[MetricType::Counter]),
    ("_bucket", &[MetricType::Histogram, MetricType::GaugeHistogram]),
    ("_count", &[MetricType::Histogram, MetricType::Summary]),
    ("_sum", &[MetricType::Histogram, MetricType::Summary]),
    ("_gcount", &[MetricType::GaugeHistogram]),
    ("_gsum", &[MetricType::GaugeHistogram]),
    ("_created", &[MetricType::Counter, MetricType::Histogram, MetricType::Summary]),
    ("_info", &[MetricType::Info]),
];

impl Families {
    /// The metadata of a series' family.
    fn find(&self, metric: &str) -> Option<&Arc<Metadata>> {
        self.by_name.get(metric).or_else(|| {
            SUFFIXES.iter().find_map(|(suffix, types)| {
                let found = self.by_name.get(metric.strip_suffix(suffix)?)?;
                types.contains(&found.kind).then_some(found)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    fn cache(remote: &str, external: &[(&str, &str)]) -> SeriesCache {
        let text = format!("remote_write: [{{url: 'http://x', {remote}}}]");
        let config = Config::parse_with_env(&text, &|_| None).unwrap();
        SeriesCache::new(&config.remote_writes[0], &Labels::from_pairs(external.iter().copied()), vec![])
    }

    fn sent(cache: &mut SeriesCache, labels: &[(&str, &str)]) -> Option<(String, bool)> {
        let labels = Labels::from_pairs(labels.iter().copied());
        cache.learn(labels.hash_id(), &labels);
        match cache.get(labels.hash_id()) {
            Known::Sent(outgoing) => Some((outgoing.labels.to_string(), outgoing.lacks_external)),
            Known::Dropped => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn labels_that_leave() {
        let check =
            |remote: &str, external: &[(&str, &str)], labels: &[(&str, &str)], expected: Option<(&str, bool)>| {
                let found = sent(&mut cache(remote, external), labels);
                assert_eq!(found.as_ref().map(|(labels, lacks)| (labels.as_str(), *lacks)), expected, "{remote}");
            };
        let up = &[("__name__", "up"), ("job", "a")];
        check("", &[], up, Some((r#"up{job="a"}"#, false)));
        check("", &[("dc", "x")], up, Some((r#"up{job="a"}"#, true)));
        let drop = "write_relabel_configs: [{source_labels: [__name__], regex: up, action: drop}]";
        check(drop, &[], up, None);
        check(drop, &[], &[("__name__", "down")], Some(("down", false)));
        // External labels come before the rules, and do not replace what is there.
        let rename = "write_relabel_configs: [{source_labels: [dc, job], target_label: both}]";
        check(rename, &[("dc", "x"), ("job", "b")], up, Some((r#"up{both="x;a", dc="x", job="a"}"#, false)));
        check("write_relabel_configs: [{regex: '.*', action: labeldrop}]", &[], up, None);
        check(
            "write_relabel_configs: [{regex: 'none', action: labeldrop}]",
            &[],
            up,
            Some((r#"up{job="a"}"#, false)),
        );
    }

    #[test]
    fn metadata_of_the_family() {
        let mut cache = cache("protobuf_message: io.prometheus.write.v2.Request", &[]);
        let metadata = |kind| Metadata { kind, help: format!("{kind:?}"), unit: String::new() };
        let kind_of = |cache: &mut SeriesCache, name: &str| {
            let labels = Labels::from_pairs([("__name__", name)]);
            cache.learn(labels.hash_id(), &labels);
            match cache.get(labels.hash_id()) {
                Known::Sent(outgoing) => outgoing.metadata.as_ref().map(|metadata| metadata.kind),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(kind_of(&mut cache, "h_bucket"), None);
        let families = [
            ("h".to_string(), metadata(MetricType::Histogram)),
            ("c".to_string(), metadata(MetricType::Counter)),
            ("c_sum".to_string(), metadata(MetricType::Gauge)),
        ];
        cache.learn_metadata(&families);
        // Also of series that were known before.
        assert_eq!(kind_of(&mut cache, "h_bucket"), Some(MetricType::Histogram));
        assert_eq!(kind_of(&mut cache, "h_total"), None);
        assert_eq!(kind_of(&mut cache, "c_total"), Some(MetricType::Counter));
        assert_eq!(kind_of(&mut cache, "c_sum"), Some(MetricType::Gauge));
    }

    #[test]
    fn what_is_not_used_is_forgotten() {
        let mut cache = cache("", &[]);
        let labels = |n| Labels::from_pairs([("__name__", format!("m{n}"))]);
        for n in 0..2 {
            cache.learn(n, &labels(n));
        }
        for sweeps in 1..=3 {
            assert!(matches!(cache.get(0), Known::Sent(_)));
            cache.sweep(Instant::now() + SWEEP * sweeps);
        }
        assert!(cache.knows(0) && !cache.knows(1));
    }
}
