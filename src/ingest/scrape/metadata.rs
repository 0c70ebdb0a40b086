//! What a target told about its metric families, remembered for ten scrapes after it last said so.

use std::collections::HashMap;

use crate::ingest::exposition::event::Event;
use crate::model::metadata::Metadata;

const KEPT_SCRAPES: u64 = 10;

/// More families than any exporter has; further ones are not remembered.
const MAX_FAMILIES: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyMetadata {
    pub family: String,
    pub metadata: Metadata,
}

#[derive(Debug, Default)]
pub struct MetadataCache {
    families: HashMap<String, Known>,
    scrape: u64,
    changed: Vec<String>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Metadata,
    last_seen: u64,
}

impl MetadataCache {
    /// Families in name order.
    pub fn families(&self) -> Vec<FamilyMetadata> {
        let mut families: Vec<_> = self
            .families
            .iter()
            .map(|(family, known)| FamilyMetadata { family: family.clone(), metadata: known.metadata.clone() })
            .collect();
        families.sort_by(|a, b| a.family.cmp(&b.family));
        families
    }

    pub(super) fn begin(&mut self) {
        self.scrape += 1;
    }

    /// Remembers a `# TYPE`, `# HELP` or `# UNIT`; samples say nothing here.
    pub(super) fn observe(&mut self, event: &Event<'_>) {
        let family: &str = match event {
            Event::Type { family, .. } | Event::Help { family, .. } | Event::Unit { family, .. } => family,
            Event::Sample(_) => return,
        };
        let scrape = self.scrape;
        if !self.families.contains_key(family) {
            if self.families.len() >= MAX_FAMILIES {
                return;
            }
            self.families.insert(family.to_string(), Known::default());
            self.changed.push(family.to_string());
        }
        let known = self.families.get_mut(family).expect("inserted above where it was missing");
        known.last_seen = scrape;
        let metadata = &mut known.metadata;
        let same = match event {
            Event::Type { kind, .. } => std::mem::replace(&mut metadata.kind, *kind) == *kind,
            Event::Help { text, .. } => set(&mut metadata.help, text),
            Event::Unit { unit, .. } => set(&mut metadata.unit, unit),
            Event::Sample(_) => true,
        };
        if !same {
            self.changed.push(family.to_string());
        }
    }

    /// Forgets what was not said for long, and yields the families that are new or different.
    pub(super) fn finish(&mut self) -> Vec<(String, Metadata)> {
        let oldest = self.scrape.saturating_sub(KEPT_SCRAPES);
        self.families.retain(|_, known| known.last_seen >= oldest);
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let families = &self.families;
        changed
            .into_iter()
            .filter_map(|family| families.get(&family).map(|known| known.metadata.clone()).map(|m| (family, m)))
            .collect()
    }
}

/// Sets a text; `true` where it was the same.
fn set(text: &mut String, new: &str) -> bool {
    let same = text == new;
    if !same {
        *text = new.to_string();
    }
    same
}
