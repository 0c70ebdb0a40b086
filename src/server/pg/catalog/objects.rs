//! The tables and views there are, by id and by name. Ids are hashes of names, so they are the same after a restart and
//! on every replica; the rare clash is probed in the order of names.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::spec::{self, INFORMATION_SCHEMA, PG_CATALOG};
use crate::model::metadata::Metadata;

/// Ids below are PostgreSQL's own.
pub const FIRST_OID: u32 = 16_384;
/// The role that owns everything.
pub const OWNER_OID: u32 = 10;
pub const OWNER: &str = "promlake";
/// The one database.
pub const DATABASE_OID: u32 = 16_384;

/// A table or view.
#[derive(Clone, Debug)]
pub struct Object {
    pub oid: u32,
    pub schema: &'static str,
    pub name: Arc<str>,
    pub is_view: bool,
}

/// All of them.
#[derive(Default)]
pub struct Objects {
    /// By schema and name.
    all: Vec<Object>,
    /// Places in `all`, by id.
    by_oid: Vec<(u32, u32)>,
    /// What is known of metrics, by family.
    metadata: HashMap<String, Metadata>,
}

/// The id of a schema.
pub fn schema_oid(name: &str) -> u32 {
    match name {
        PG_CATALOG => 11,
        "public" => 2200,
        INFORMATION_SCHEMA => 13_207,
        _ => hashed(name),
    }
}

/// An id for a name, above those of PostgreSQL.
pub fn hashed(name: &str) -> u32 {
    let space = u64::from(i32::MAX as u32 - FIRST_OID - 1);
    FIRST_OID + 1 + (xxh3_64(name.as_bytes()) % space) as u32
}

/// The id of a role; users have none but their name.
pub fn role_oid(name: &str) -> u32 {
    if name == OWNER { OWNER_OID } else { hashed(&format!("role {name}")) }
}

impl Objects {
    /// Of schemas with their tables (names, and whether it is a view), and what is known of metrics.
    pub fn new(named: Vec<(&'static str, Arc<str>, bool)>, metadata: Vec<(String, Metadata)>) -> Self {
        let mut named = named;
        let own = spec::relations().map(|r| (r.schema, Arc::from(r.name), r.is_view));
        named.extend(own);
        named.sort_unstable();
        named.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
        let mut taken = HashSet::with_capacity(named.len());
        let mut all = Vec::with_capacity(named.len());
        for (schema, name, is_view) in named {
            let fixed = spec::relation(schema, &name).and_then(|r| r.oid);
            let mut oid = fixed.unwrap_or_else(|| hashed(&format!("{schema}.{name}")));
            while !taken.insert(oid) {
                oid = if oid == i32::MAX as u32 { FIRST_OID + 1 } else { oid + 1 };
            }
            all.push(Object { oid, schema, name, is_view });
        }
        let mut by_oid: Vec<(u32, u32)> = all.iter().enumerate().map(|(at, o)| (o.oid, at as u32)).collect();
        by_oid.sort_unstable();
        Self { all, by_oid, metadata: metadata.into_iter().collect() }
    }

    pub fn all(&self) -> &[Object] {
        &self.all
    }

    pub fn by_oid(&self, oid: u32) -> Option<&Object> {
        let at = self.by_oid.binary_search_by_key(&oid, |(oid, _)| *oid).ok()?;
        self.all.get(self.by_oid[at].1 as usize)
    }

    pub fn named(&self, schema: &str, name: &str) -> Option<&Object> {
        let at = self.all.binary_search_by(|o| (o.schema, &*o.name).cmp(&(schema, name))).ok()?;
        Some(&self.all[at])
    }

    /// In every schema.
    pub fn of_name(&self, name: &str) -> Vec<&Object> {
        SCHEMAS.iter().filter_map(|schema| self.named(schema, name)).collect()
    }

    /// What is known of a metric: by its name, or by its family's.
    pub fn metadata(&self, metric: &str) -> Option<&Metadata> {
        const SUFFIXES: [&str; 5] = ["_bucket", "_count", "_sum", "_total", "_created"];
        let families = SUFFIXES.iter().filter_map(|suffix| metric.strip_suffix(suffix));
        std::iter::once(metric).chain(families).find_map(|family| self.metadata.get(family))
    }

    /// The comment of a relation, or of one of its columns by its number from 1: HELP, type and unit.
    pub fn comment(&self, object: &Object, column: usize) -> Option<String> {
        if object.schema != "public" {
            return None;
        }
        let metadata = self.metadata(&object.name)?;
        let text = match column {
            0 => metadata.help.clone(),
            // `timestamp, value` are first in each metric.
            2 if metadata.unit.is_empty() => metadata.kind.as_str().to_string(),
            2 => format!("{}, {}", metadata.kind.as_str(), metadata.unit),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Whether these are the names of metrics and external tables, and what is known of metrics.
    pub fn is_of(&self, metrics: &[String], external: &[String], metadata: &[(String, Metadata)]) -> bool {
        let own = |schema: &'static str| self.all.iter().filter(move |o| o.schema == schema).map(|o| &*o.name);
        own("public").eq(metrics.iter().map(String::as_str))
            && own("external").eq(external.iter().map(String::as_str))
            && self.metadata.len() == metadata.len()
            && metadata.iter().all(|(family, known)| self.metadata.get(family) == Some(known))
    }
}

/// The schemas there are.
pub const SCHEMAS: &[&str] = &["external", INFORMATION_SCHEMA, PG_CATALOG, "promlake", "public"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::MetricType;

    fn objects(names: &[&str]) -> Objects {
        let help = Metadata { kind: MetricType::Counter, unit: "seconds".into(), help: "How long.".into() };
        let named = names.iter().map(|name| ("public", Arc::from(*name), false)).collect();
        Objects::new(named, vec![("waited".to_string(), help)])
    }

    #[test]
    fn ids_stay_and_are_found() {
        let (few, many) = (objects(&["up"]), objects(&["waited_total", "a", "up"]));
        let up = few.named("public", "up").unwrap();
        assert_eq!(many.named("public", "up").unwrap().oid, up.oid);
        assert!(up.oid > FIRST_OID);
        assert_eq!(&*many.by_oid(up.oid).unwrap().name, "up");
        assert_eq!(few.named(PG_CATALOG, "pg_class").unwrap().oid, 1259);
        assert_eq!(many.of_name("a").len(), 1);
        assert!(few.named("public", "down").is_none() && few.by_oid(1).is_none());
        let all: HashSet<u32> = many.all().iter().map(|o| o.oid).collect();
        assert_eq!(all.len(), many.all().len());
    }

    #[test]
    fn comments_are_of_the_family() {
        let objects = objects(&["waited_total", "up"]);
        let waited = objects.named("public", "waited_total").unwrap();
        assert_eq!(objects.comment(waited, 0).as_deref(), Some("How long."));
        assert_eq!(objects.comment(waited, 2).as_deref(), Some("counter, seconds"));
        assert_eq!(objects.comment(waited, 3), None);
        assert_eq!(objects.comment(objects.named("public", "up").unwrap(), 0), None);
    }
}
