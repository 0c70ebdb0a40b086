//! Discovery, twice: one manager finds targets, the other Alertmanagers, each for those who take what it finds.

use std::sync::Arc;
use std::time::Duration;

use crate::config::file::Config;
use crate::discovery::group::Group;
use crate::discovery::manager::{self, Manager as Discoveries};
use crate::discovery::way;
use crate::ingest::scrape::manager::ScrapeManager;
use crate::notify::notifier::Notifier;
use crate::storage::store::Clock;

/// What finds targets to scrape, and what finds Alertmanagers.
#[derive(Clone)]
pub(super) struct Discovery {
    pub(super) targets: Arc<Discoveries>,
    pub(super) alertmanagers: Arc<Discoveries>,
}

impl Discovery {
    /// `longest_wait` is the time between two changes of the targets that do not cease. Must be called within the runtime.
    pub(super) fn new(
        scrape: &Arc<ScrapeManager>,
        notifier: &Arc<Notifier>,
        clock: Clock,
        longest_wait: Duration,
    ) -> Self {
        let context = way::Context { clock, stats: Arc::default(), env: |name| std::env::var(name).ok() };
        let (scrape, notifier) = (scrape.clone(), notifier.clone());
        let targets = Arc::new(move |jobs: Vec<(String, Vec<Arc<Group>>)>| {
            jobs.into_iter().for_each(|(job, groups)| scrape.update_targets(&job, groups));
        });
        let alertmanagers = Arc::new(move |sets: Vec<(String, Vec<Arc<Group>>)>| {
            sets.into_iter().for_each(|(set, groups)| notifier.update_targets(&set, groups));
        });
        Self {
            targets: Arc::new(Discoveries::new(context.clone(), targets, longest_wait)),
            alertmanagers: Arc::new(Discoveries::new(context, alertmanagers, manager::LONGEST_WAIT)),
        }
    }

    pub(super) fn apply(&self, config: &Config) {
        let jobs = config.scrape_configs.iter();
        self.targets.apply(jobs.map(|job| (job.job_name.as_str(), job.discoveries.as_slice())));
        let sets = config.alerting.named_alertmanagers();
        let found: Vec<_> = sets.map(|(name, set)| (name, set.discoveries.as_slice())).collect();
        self.alertmanagers.apply(found.iter().map(|(name, discoveries)| (name.as_str(), *discoveries)));
    }

    pub(super) async fn shutdown(&self) {
        tokio::join!(self.targets.shutdown(), self.alertmanagers.shutdown());
    }
}
