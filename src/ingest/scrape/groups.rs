//! Groups of targets, and what relabelling makes of each. A group that stays is not looked at again, so that a job of ten
//! thousand targets of which one changes costs little more than that one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::scrape::ScrapeConfig;
use crate::discovery::group::Group;
use crate::ingest::scrape::target::{Resolved, Target, TargetKey};
use crate::model::labels::Labels;

/// The groups of a job.
#[derive(Default)]
pub(super) struct Groups {
    /// By the place of the group, which is its own as long as it is kept.
    outcomes: HashMap<usize, Outcome>,
}

/// What became of a group.
struct Outcome {
    /// Kept, so that no other group gets its place.
    _group: Arc<Group>,
    /// The identity of each target, with what is known of it.
    active: Vec<(TargetKey, Labels)>,
    dropped: Vec<Labels>,
    dropped_count: u64,
    failed: u64,
}

/// The targets that a job has now.
#[derive(Default)]
pub(super) struct Wanted {
    /// With what is known of each; of two that are the same the later.
    pub(super) all: HashMap<TargetKey, Labels>,
    /// Those of groups that were not there before.
    pub(super) new: Vec<Target>,
    /// How many make no sense.
    pub(super) failed: u64,
}

/// Targets that relabelling drops.
#[derive(Default)]
pub(super) struct Dropped {
    pub(super) count: u64,
    /// As many as are to be shown.
    pub(super) labels: Vec<Labels>,
}

impl Groups {
    /// These are the groups now. Targets that make no sense are left out and logged, once.
    pub(super) fn replace(&mut self, config: &ScrapeConfig, groups: impl Iterator<Item = Arc<Group>>) -> Wanted {
        let mut old = std::mem::take(&mut self.outcomes);
        let mut wanted = Wanted::default();
        let mut made: HashSet<TargetKey> = HashSet::new();
        for group in groups {
            let place = Arc::as_ptr(&group) as usize;
            let outcome = old.remove(&place).unwrap_or_else(|| {
                let (outcome, targets) = resolve(config, group);
                wanted.new.extend(targets.into_iter().filter(|target| made.insert(target.key())));
                outcome
            });
            wanted.all.extend(outcome.active.iter().cloned());
            wanted.failed += outcome.failed;
            self.outcomes.insert(place, outcome);
        }
        wanted
    }

    /// At most `limit` of the dropped targets, 0 for all, and how many there are.
    pub(super) fn dropped(&self, limit: u64) -> Dropped {
        let count = self.dropped_count();
        let mut labels: Vec<Labels> =
            self.outcomes.values().flat_map(|outcome| outcome.dropped.iter().cloned()).collect();
        labels.sort_unstable();
        labels.truncate(shown(limit));
        Dropped { count, labels }
    }

    pub(super) fn dropped_count(&self) -> u64 {
        self.outcomes.values().map(|outcome| outcome.dropped_count).sum()
    }
}

fn shown(limit: u64) -> usize {
    if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) }
}

fn resolve(config: &ScrapeConfig, group: Arc<Group>) -> (Outcome, Vec<Target>) {
    let limit = shown(config.limits.keep_dropped_targets);
    let (mut active, mut targets) = (vec![], vec![]);
    let (mut dropped, mut dropped_count, mut failed) = (vec![], 0, 0);
    for found in &group.targets {
        match Target::resolve(config, &group.labels_of(found)) {
            Ok(Resolved::Active(target)) => {
                active.push((target.key(), target.discovered_labels()));
                targets.push(*target);
            }
            Ok(Resolved::Dropped(labels)) => {
                dropped_count += 1;
                if dropped.len() < limit {
                    dropped.push(labels);
                }
            }
            Err(error) => {
                failed += 1;
                let address = found.get("__address__").unwrap_or("");
                tracing::error!(scrape_pool = config.job_name, address, %error, "target left out");
            }
        }
    }
    (Outcome { _group: group, active, dropped, dropped_count, failed }, targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    fn job(more: &str) -> ScrapeConfig {
        let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {more}}}]")).unwrap();
        config.scrape_configs[0].clone()
    }

    fn group(source: &str, addresses: impl IntoIterator<Item = String>, labels: &[(&str, &str)]) -> Arc<Group> {
        let targets = addresses.into_iter().map(|address| Labels::from_pairs([("__address__", address)]));
        let labels = Labels::from_pairs(labels.iter().copied());
        Arc::new(Group { source: source.to_string(), targets: targets.collect(), labels })
    }

    fn numbered(source: usize, first: usize) -> Arc<Group> {
        group(&source.to_string(), (first..first + 100).map(|number| format!("h{number}:1")), &[])
    }

    #[test]
    fn only_groups_that_are_new_are_looked_at() {
        let job = job("");
        let mut all: Vec<Arc<Group>> = (0..100).map(|number| numbered(number, number * 100)).collect();
        let mut groups = Groups::default();
        let wanted = groups.replace(&job, all.iter().cloned());
        assert_eq!((wanted.all.len(), wanted.new.len()), (10_000, 10_000));
        all[7] = numbered(7, 20_000);
        all.pop();
        let wanted = groups.replace(&job, all.iter().cloned());
        assert_eq!((wanted.all.len(), wanted.new.len()), (9_900, 100));
        assert!(
            wanted
                .new
                .iter()
                .all(|target| target.labels.get("instance").is_some_and(|name| name.starts_with("h20")))
        );
        assert_eq!(groups.replace(&job, std::iter::empty()).all.len(), 0);
    }

    /// Of two groups with the same target one can go.
    #[test]
    fn a_target_is_wanted_as_long_as_a_group_has_it() {
        let job = job("");
        let one = group("1", ["a:1".to_string()], &[("__meta_from", "one")]);
        let two = group("2", ["a:1".to_string(), "b:1".to_string()], &[("__meta_from", "two")]);
        let mut groups = Groups::default();
        let wanted = groups.replace(&job, [one.clone(), two.clone()].into_iter());
        assert_eq!((wanted.all.len(), wanted.new.len()), (2, 2));
        let wanted = groups.replace(&job, [one].into_iter());
        let from: Vec<_> = wanted.all.values().map(|labels| labels.get("__meta_from")).collect();
        assert_eq!((from, wanted.new.len()), (vec![Some("one")], 0));
    }

    #[test]
    fn dropped_targets_are_counted_and_some_are_kept() {
        let check = |keep: u64, kept: usize| {
            let rules = "relabel_configs: [{source_labels: [x], regex: y, action: drop}]";
            let job = job(&format!("{rules}, keep_dropped_targets: {keep}"));
            let mut groups = Groups::default();
            let dropping = |source: &str| group(source, (0..10).map(|n| format!("{source}{n}")), &[("x", "y")]);
            let all = [dropping("a"), dropping("b"), group("c", ["c:1".to_string()], &[])];
            let wanted = groups.replace(&job, all.into_iter());
            assert_eq!(wanted.all.len(), 1);
            let dropped = groups.dropped(keep);
            assert_eq!((dropped.count, dropped.labels.len()), (20, kept), "{keep}");
        };
        check(0, 20);
        check(5, 5);
        check(15, 15);
        check(100, 20);
    }
}
