//! What relations and functions of the catalog are made of: the session that asks, the store, the other sessions.

use std::sync::Arc;
use std::time::Instant;

use datafusion::catalog::CatalogProvider;
use datafusion::error::{DataFusionError, Result};
use parking_lot::Mutex;

use super::objects::{Object, Objects};
use super::procs::Procs;
use crate::engine::sql::views::VIEWS;
use crate::engine::visible::Visible;
use crate::model::metadata::Metadata;
use crate::model::sample::TimeRange;
use crate::server::pg::session::{DATABASE, Session, Sessions};

/// What the catalogs of all sessions share.
pub struct Instance {
    pub sessions: Arc<Sessions>,
    /// What its sessions see of the store.
    pub visible: Visible,
    pub started: Instant,
    /// As they were when they were last asked for.
    objects: Mutex<Option<Arc<Objects>>>,
    /// The functions there are; every session has the same.
    procs: Mutex<Option<Arc<Procs>>>,
}

impl Instance {
    pub fn new(sessions: Arc<Sessions>, visible: Visible) -> Self {
        let started = Instant::now();
        Self { sessions, visible, started, objects: Mutex::default(), procs: Mutex::default() }
    }
}

/// The catalog as one session sees it.
#[derive(Clone)]
pub struct World {
    pub session: Arc<Session>,
    pub instance: Arc<Instance>,
}

impl World {
    pub fn catalog(&self) -> Result<Arc<dyn CatalogProvider>> {
        let gone = || DataFusionError::Execution("the connection has ended".into());
        self.session.context().catalog(DATABASE).ok_or_else(gone)
    }

    /// All tables and views, as they are now.
    pub async fn objects(&self) -> Result<Arc<Objects>> {
        let names = self.instance.visible.metric_names(TimeRange::ALL).await;
        self.with_metrics(names.map_err(|e| DataFusionError::External(Box::new(e)))?)
    }

    /// The same for functions, which do not wait: as they were when a relation was last read, if one was.
    pub fn known(&self) -> Result<Arc<Objects>> {
        if let Some(objects) = &*self.instance.objects.lock() {
            return Ok(Arc::clone(objects));
        }
        self.listed()
    }

    /// As they are now, for functions.
    pub fn listed(&self) -> Result<Arc<Objects>> {
        let names = self.catalog()?.schema("public").map(|schema| schema.table_names());
        self.with_metrics(names.unwrap_or_default())
    }

    fn with_metrics(&self, metrics: Vec<String>) -> Result<Arc<Objects>> {
        let metadata: Vec<(String, Metadata)> = self.instance.visible.metadata_among(&metrics);
        let mut external = self.catalog()?.schema("external").map(|s| s.table_names()).unwrap_or_default();
        external.sort_unstable();
        if let Some(objects) = &*self.instance.objects.lock()
            && objects.is_of(&metrics, &external, &metadata)
        {
            return Ok(Arc::clone(objects));
        }
        let system = self.catalog()?.schema("promlake").map(|schema| schema.table_names()).unwrap_or_default();
        let is_view = |name: &str| VIEWS.iter().any(|view| view.name == name);
        let mut named: Vec<(&'static str, Arc<str>, bool)> =
            metrics.iter().map(|name| ("public", Arc::from(name.as_str()), false)).collect();
        named.extend(external.iter().map(|name| ("external", Arc::from(name.as_str()), false)));
        named.extend(system.iter().map(|name| ("promlake", Arc::from(name.as_str()), is_view(name))));
        let objects = Arc::new(Objects::new(named, metadata));
        *self.instance.objects.lock() = Some(Arc::clone(&objects));
        Ok(objects)
    }

    /// Tables and views that a reader asks for by ids or names: those that are known and still there are not looked for
    /// among all.
    pub async fn wanted(
        &self,
        oids: Option<&[u32]>,
        names: Option<&[String]>,
    ) -> Result<(Arc<Objects>, Vec<Object>)> {
        let pick = |objects: &Objects| -> Option<Vec<Object>> {
            let found = match (oids, names) {
                (Some(oids), _) => {
                    oids.iter().map(|oid| objects.by_oid(*oid).cloned()).collect::<Option<Vec<_>>>()?
                }
                (None, Some(names)) => {
                    let mut found = vec![];
                    for name in names {
                        let of_name = objects.of_name(name);
                        if of_name.is_empty() {
                            return None;
                        }
                        found.extend(of_name.into_iter().cloned());
                    }
                    found
                }
                (None, None) => return None,
            };
            Some(found)
        };
        let known = self.instance.objects.lock().clone();
        if let Some(objects) = known
            && let Some(mut found) = pick(&objects)
        {
            let mut there = true;
            for object in found.iter().filter(|o| o.schema == "public") {
                let labels = self.instance.visible.metric_labels(&object.name).await;
                let file = labels.map_err(|e| DataFusionError::External(Box::new(e)))?;
                there &= !file.is_empty() || self.is_listed(&object.name).await?;
            }
            if there {
                found.sort_unstable_by_key(|o| o.oid);
                found.dedup_by_key(|o| o.oid);
                return Ok((objects, found));
            }
        }
        let objects = self.objects().await?;
        let matches = |o: &&Object| {
            oids.is_none_or(|oids| oids.contains(&o.oid))
                && names.is_none_or(|names| names.iter().any(|n| **n == *o.name))
        };
        let found = objects.all().iter().filter(matches).cloned().collect();
        Ok((objects, found))
    }

    /// A metric without labels has none to tell it by.
    async fn is_listed(&self, metric: &str) -> Result<bool> {
        let names = self.instance.visible.metric_names(TimeRange::ALL).await;
        let names = names.map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(names.iter().any(|name| name == metric))
    }

    /// The functions there are.
    pub fn procs(&self) -> Arc<Procs> {
        let mut procs = self.instance.procs.lock();
        procs.get_or_insert_with(|| Arc::new(Procs::of(self.session.context()))).clone()
    }

    /// Microseconds since 1970, now. The clock is read by whoever plans.
    pub fn now_micros(&self) -> i64 {
        let state = self.session.context().state();
        state.execution_props().query_execution_start_time.map_or(0, |time| time.timestamp_micros())
    }

    /// The roles there are: the owner of everything, those that users are given, who asks, and other users that he may know.
    pub fn roles(&self) -> Vec<String> {
        let mut roles = vec![super::objects::OWNER.to_string()];
        let users = self.session.members().iter().map(|(user, _)| user.clone());
        for role in self.groups().into_iter().chain([self.session.user.clone()]).chain(users) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        roles
    }

    /// Those of them that users are given.
    pub fn groups(&self) -> Vec<String> {
        let has_roles = !self.session.members().is_empty();
        if has_roles { ["reader", "writer", "admin"].map(str::to_string).to_vec() } else { vec![] }
    }
}
