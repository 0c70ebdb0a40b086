use std::sync::atomic::AtomicI64;

use super::*;
use crate::config::file::Config;
use crate::model::labels::Labels;

fn group(source: &str, addresses: &[&str]) -> Group {
    let targets = addresses.iter().map(|address| Labels::from_pairs([("__address__", *address)]));
    Group { source: source.to_string(), targets: targets.collect(), ..Group::default() }
}

fn provider(groups: Vec<Group>) -> Provider {
    let config = Config::parse("scrape_configs: [{job_name: j, dns_sd_configs: [{names: [x]}]}]").unwrap();
    let mut provider = Provider {
        discovery: config.scrape_configs[0].discoveries[0].clone(),
        jobs: BTreeSet::new(),
        groups: BTreeMap::new(),
        failed: false,
        failures: Arc::default(),
        stop: CancellationToken::new(),
    };
    provider.update(groups, true).unwrap();
    provider
}

/// `SOURCE=NUMBER OF TARGETS`.
fn shown(provider: &Provider) -> String {
    let groups = provider.groups.iter().map(|(source, group)| format!("{source}={}", group.targets.len()));
    groups.collect::<Vec<_>>().join(" ")
}

#[test]
fn groups_take_the_place_of_those_with_their_source() {
    let check = |all: bool, groups: Vec<Group>, want: &str, changes: bool| {
        let mut provider = provider(vec![group("a", &["1", "2"]), group("b", &["3"])]);
        assert_eq!(shown(&provider), "a=2 b=1");
        assert_eq!(provider.update(groups, all), Ok(changes));
        assert_eq!(shown(&provider), want);
    };
    check(false, vec![], "a=2 b=1", false);
    check(true, vec![], "", true);
    check(false, vec![group("a", &["1", "2"])], "a=2 b=1", false);
    check(true, vec![group("a", &["1", "2"])], "a=2", true);
    check(false, vec![group("a", &["1", "9"])], "a=2 b=1", true);
    check(false, vec![Group::empty("a"), Group::empty("z")], "b=1", true);
    check(false, vec![Group::empty("z")], "a=2 b=1", false);
    check(false, vec![group("c", &["4"])], "a=2 b=1 c=1", true);
    check(true, vec![group("b", &["3"]), group("a", &["1", "2"])], "a=2 b=1", false);
}

/// So that nobody relabels them again.
#[test]
fn a_group_that_is_as_it_was_stays_the_one_it_is() {
    let mut provider = provider(vec![group("a", &["1"]), group("b", &["2"])]);
    let before = provider.groups["a"].clone();
    provider.update(vec![group("a", &["1"]), group("b", &["3"])], true).unwrap();
    assert!(Arc::ptr_eq(&before, &provider.groups["a"]));
    assert_eq!(provider.groups["b"].targets[0].get("__address__"), Some("3"));
}

#[test]
fn too_many_targets_change_nothing() {
    let mut provider = provider(vec![group("a", &["1"])]);
    let target = Labels::from_pairs([("__address__", "x")]);
    let many = Group { source: "b".to_string(), targets: vec![target; MAX_TARGETS], ..Group::default() };
    assert_eq!(provider.update(vec![many.clone()], false), Err(MAX_TARGETS + 1));
    assert_eq!(shown(&provider), "a=1");
    assert_eq!(provider.update(vec![many], true), Ok(true));
}

/// Files with targets, and what jobs were told of them.
struct World {
    folder: tempfile::TempDir,
    manager: Manager,
    told: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl World {
    fn new() -> Self {
        let told: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
        let into = told.clone();
        let consumer: Consumer = Arc::new(move |jobs| {
            assert!(!jobs.is_empty(), "told of nothing");
            for (job, groups) in jobs {
                let targets = groups.iter().flat_map(|group| &group.targets);
                let mut all: Vec<String> =
                    targets.map(|target| target.get("__address__").unwrap_or("").to_string()).collect();
                all.sort();
                into.lock().insert(job, all);
            }
        });
        let now = AtomicI64::new(1000);
        let clock: Clock = Arc::new(move || now.fetch_add(1, Ordering::SeqCst));
        let context = Context { clock, stats: Arc::default(), env: |_| None };
        let manager = Manager::new(context, consumer, LONGEST_WAIT);
        Self { folder: tempfile::tempdir().unwrap(), manager, told }
    }

    fn write(&self, name: &str, targets: &str) {
        std::fs::write(self.folder.path().join(name), format!("- targets: [{targets}]\n")).unwrap();
    }

    /// Jobs with the files that each is to find.
    fn apply(&self, jobs: &[(&str, &[&str])]) {
        let root = self.folder.path().display();
        let job = |(name, files): &(&str, &[&str])| {
            let entries: Vec<String> = files.iter().map(|file| format!("{{files: ['{root}/{file}']}}")).collect();
            format!("- {{job_name: {name}, file_sd_configs: [{}]}}\n", entries.join(", "))
        };
        let text: String = jobs.iter().map(job).collect();
        let config = Config::parse(&format!("scrape_configs:\n{text}")).unwrap();
        self.manager
            .apply(config.scrape_configs.iter().map(|job| (job.job_name.as_str(), job.discoveries.as_slice())));
    }

    /// Waits until jobs have been told of these targets: `JOB: TARGETS; …`.
    async fn told(&self, want: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let told = self.told.lock().clone();
            let shown: Vec<String> =
                told.iter().map(|(job, targets)| format!("{job}: {}", targets.join(" "))).collect();
            let shown = shown.join("; ");
            if shown == want {
                return;
            }
            assert!(Instant::now() < deadline, "{shown}\nwanted {want}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn providers(&self) -> Vec<u64> {
        self.manager.shared.state.lock().providers.keys().copied().collect()
    }
}

#[tokio::test]
async fn jobs_are_told_of_what_their_entries_find() {
    let world = World::new();
    world.write("a.yml", "1, 2");
    world.write("b.yml", "3");
    world.apply(&[("x", &["a.yml", "b.yml"]), ("y", &["a.yml"])]);
    world.told("x: 1 2 3; y: 1 2").await;
    // One for each entry, whoever has it.
    assert_eq!(world.providers().len(), 2);
    let numbers = world.manager.numbers();
    assert!(numbers.last_update_ms["x"] >= 1000, "{numbers:?}");
    world.write("a.yml", "5");
    world.told("x: 3 5; y: 5").await;
    world.manager.shutdown().await;
}

#[tokio::test]
async fn a_reload_touches_only_what_changed() {
    let world = World::new();
    world.write("a.yml", "1");
    world.write("b.yml", "2");
    world.apply(&[("x", &["a.yml"]), ("y", &["b.yml"])]);
    world.told("x: 1; y: 2").await;
    let before = world.providers();
    // The same again, in another order; a new job has what is known at once; one that is gone is told so.
    world.apply(&[("z", &["a.yml"]), ("x", &["a.yml"])]);
    world.told("x: 1; y: ; z: 1").await;
    assert_eq!(world.providers(), &before[..1]);
    world.apply(&[("x", &["b.yml"])]);
    world.told("x: 2; y: ; z: ").await;
    assert!(world.providers()[0] > before[1]);
    assert_eq!(world.manager.numbers().last_update_ms.len(), 1);
    world.manager.shutdown().await;
}

/// A source that changes all the time is told of ever more seldom, and at once again after a while.
#[test]
fn updates_are_gathered() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut pace = Pace::new(LONGEST_WAIT);
    let (mut now, mut waits) = (0, vec![]);
    while now < 100_000 {
        let wait = pace.wait(at(now)).as_millis() as u64;
        waits.push(wait);
        now += wait;
        pace.sent(at(now));
    }
    assert_eq!(waits[..4], [100, 150, 225, 337]);
    assert_eq!(waits[waits.len() - 1], 5000);
    assert!((20..35).contains(&waits.len()), "{waits:?}");
    assert_eq!(pace.wait(at(now + 4000)), LONGEST_WAIT);
    assert_eq!(pace.wait(at(now + 6000)), SHORTEST_WAIT);
    let mut pace = Pace::new(Duration::from_millis(200));
    let waits: Vec<Duration> = (0..4)
        .map(|_| {
            pace.sent(start);
            pace.wait(start)
        })
        .collect();
    assert_eq!(waits, [150, 200, 200, 200].map(Duration::from_millis));
}

/// What an entry found before it panicked is there until it tells of something.
#[tokio::test]
async fn an_entry_that_begins_anew_replaces_what_it_found() {
    let world = World::new();
    world.apply(&[("x", &["none.yml"])]);
    let updates = Updates {
        shared: world.manager.shared.clone(),
        id: world.providers()[0],
        kind: "file",
        failures: Arc::default(),
        stale: AtomicBool::new(false),
    };
    updates.change(vec![group("a", &["1"]), group("b", &["2"])]);
    world.told("x: 1 2").await;
    updates.stale.store(true, Ordering::Relaxed);
    updates.change(vec![group("c", &["3"])]);
    updates.change(vec![group("d", &["4"])]);
    world.told("x: 3 4").await;
}
