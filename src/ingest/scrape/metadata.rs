//! What a target told about its metric families, remembered for ten scrapes after it last said so. Targets of a job
//! mostly say the same, so the texts are shared by all of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::ingest::exposition::event::Event;
use crate::model::metadata::{Metadata, MetricType};

const KEPT_SCRAPES: u64 = 10;

/// More families than any exporter has; further ones are not remembered.
const MAX_FAMILIES: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FamilyMetadata {
    pub family: String,
    pub metadata: Metadata,
}

/// One copy of each, for all targets.
#[derive(Debug, Default)]
pub struct SharedMetadata(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: HashSet<Arc<FamilyMetadata>>,
    /// As many were left after the last look for those that nobody has any more.
    left: usize,
}

impl SharedMetadata {
    fn share(&self, metadata: FamilyMetadata) -> Arc<FamilyMetadata> {
        let mut shared = self.0.lock();
        if let Some(known) = shared.known.get(&metadata) {
            return known.clone();
        }
        if shared.known.len() > 2 * shared.left + 1000 {
            shared.known.retain(|metadata| Arc::strong_count(metadata) > 1);
            shared.left = shared.known.len();
        }
        let metadata = Arc::new(metadata);
        shared.known.insert(metadata.clone());
        metadata
    }

    pub fn len(&self) -> usize {
        self.0.lock().known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Of one target.
#[derive(Debug, Default)]
pub struct MetadataCache {
    families: HashTable<Known>,
    scrape: u64,
    /// What the scrape in progress says otherwise.
    news: HashMap<String, Metadata>,
    /// New or different since the last good scrape.
    untold: Vec<Arc<FamilyMetadata>>,
}

#[derive(Debug)]
struct Known {
    shared: Arc<FamilyMetadata>,
    last_seen: u64,
}

impl MetadataCache {
    /// Families in name order.
    pub fn families(&self) -> Vec<FamilyMetadata> {
        let mut families: Vec<_> = self.families.iter().map(|known| (*known.shared).clone()).collect();
        families.sort_unstable_by(|a, b| a.family.cmp(&b.family));
        families
    }

    /// Families, and the bytes of their texts, which others may share.
    pub(super) fn size(&self) -> (usize, usize) {
        let bytes = |known: &Known| {
            let FamilyMetadata { family, metadata } = &*known.shared;
            family.len() + metadata.help.len() + metadata.unit.len()
        };
        (self.families.len(), self.families.iter().map(bytes).sum())
    }

    /// Every scrape counts, also one that brings nothing.
    pub(super) fn begin(&mut self) {
        self.scrape += 1;
    }

    /// The type of a family, as far as it was told.
    pub(super) fn kind_of(&self, family: &str) -> MetricType {
        let known = || self.families.find(hash(family), |known| known.shared.family == family);
        self.news
            .get(family)
            .or_else(|| known().map(|known| &known.shared.metadata))
            .map_or_else(Default::default, |m| m.kind)
    }

    /// Remembers a `# TYPE`, `# HELP` or `# UNIT`; samples say nothing here.
    pub(super) fn observe(&mut self, event: &Event<'_>) {
        let family: &str = match event {
            Event::Type { family, .. } | Event::Help { family, .. } | Event::Unit { family, .. } => family,
            Event::Sample(_) => return,
        };
        let known = self.families.find_mut(hash(family), |known| known.shared.family == family);
        let mut metadata = Metadata::default();
        let is_known = known.is_some();
        if let Some(known) = known {
            known.last_seen = self.scrape;
            if is_same(&known.shared.metadata, event) && (self.news.is_empty() || !self.news.contains_key(family)) {
                return;
            }
            metadata.clone_from(&known.shared.metadata);
        }
        if !is_known && self.families.len() + self.news.len() >= MAX_FAMILIES && !self.news.contains_key(family) {
            return;
        }
        set(self.news.entry(family.to_string()).or_insert(metadata), event);
    }

    /// Ends a scrape, and yields the families that are new or different. One that failed keeps them for the next, and
    /// what was not said for long with them: the target may not have come to say it.
    pub(super) fn finish(&mut self, shared: &SharedMetadata, good: bool) -> Vec<(String, Metadata)> {
        for (family, metadata) in std::mem::take(&mut self.news) {
            let (hash, last_seen) = (hash(&family), self.scrape);
            let shared = shared.share(FamilyMetadata { family, metadata });
            match self.families.find_mut(hash, |known| known.shared.family == shared.family) {
                Some(known) if known.shared == shared => continue,
                Some(known) => known.shared = shared.clone(),
                None => {
                    let known = Known { shared: shared.clone(), last_seen };
                    self.families.insert_unique(hash, known, |known| self::hash(&known.shared.family));
                }
            }
            self.untold.retain(|other| other.family != shared.family);
            self.untold.push(shared);
        }
        if !good {
            return Vec::new();
        }
        let oldest = self.scrape.saturating_sub(KEPT_SCRAPES);
        self.families.retain(|known| known.last_seen >= oldest);
        let mut told: Vec<_> =
            self.untold.drain(..).map(|told| (told.family.clone(), told.metadata.clone())).collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }
}

fn hash(family: &str) -> u64 {
    xxh3_64(family.as_bytes())
}

fn is_same(metadata: &Metadata, event: &Event<'_>) -> bool {
    match event {
        Event::Type { kind, .. } => metadata.kind == *kind,
        Event::Help { text, .. } => metadata.help == *text,
        Event::Unit { unit, .. } => metadata.unit == *unit,
        Event::Sample(_) => true,
    }
}

fn set(metadata: &mut Metadata, event: &Event<'_>) {
    match event {
        Event::Type { kind, .. } => metadata.kind = *kind,
        Event::Help { text, .. } => metadata.help = text.to_string(),
        Event::Unit { unit, .. } => metadata.unit = unit.to_string(),
        Event::Sample(_) => {}
    }
}
