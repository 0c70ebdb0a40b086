use super::cache::TargetCache;
use super::metadata::MetadataCache;
use super::target::{Resolved, Target, offset_seed};
use crate::config::file::Config;
use crate::ingest::exposition::event::{Format, Parser};
use crate::model::labels::Labels;
use crate::storage::types::SeriesRef;

fn targets(job: &str) -> Vec<Result<Target, String>> {
    let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {job}}}]")).unwrap();
    let config = &config.scrape_configs[0];
    let pairs = config.static_configs.iter().flat_map(|c| c.targets.iter().map(move |t| (t, &c.labels)));
    let resolved =
        |(address, labels): (&String, &Vec<(String, String)>)| match Target::resolve(config, address, labels) {
            Ok(Resolved::Active(target)) => Ok(*target),
            Ok(Resolved::Dropped(labels)) => Err(format!("dropped {labels}")),
            Err(error) => Err(error.to_string()),
        };
    pairs.map(resolved).collect()
}

#[test]
fn labels_and_url_of_a_target() {
    let check = |job: &str, labels: &str, url: &str| {
        let target = targets(job).remove(0).unwrap();
        assert_eq!((target.labels.to_string().as_str(), target.scrape_url.as_str()), (labels, url), "{job}");
    };
    check("static_configs: [{targets: ['a:9100']}]", r#"{instance="a:9100", job="j"}"#, "http://a:9100/metrics");
    check(
        "scheme: https, metrics_path: probe, params: {module: [x, 'y z']}, static_configs: [{targets: [a]}]",
        r#"{instance="a", job="j"}"#,
        "https://a/probe?module=x&module=y+z",
    );
    check(
        "static_configs: [{targets: ['a:1'], labels: {job: k, env: e, instance: i, __metrics_path__: /m, __param_q: v}}]",
        r#"{env="e", instance="i", job="k"}"#,
        "http://a:1/m?q=v",
    );
    check(
        "static_configs: [{targets: ['[::1]:9100']}]",
        r#"{instance="[::1]:9100", job="j"}"#,
        "http://[::1]:9100/metrics",
    );
}

#[test]
fn a_target_that_makes_no_sense_is_an_error() {
    let check = |labels: &str, want: &str| {
        let job = format!("static_configs: [{{targets: ['a:1'], labels: {{{labels}}}}}]");
        assert_eq!(targets(&job).remove(0).unwrap_err(), want);
    };
    check("__scrape_interval__: 0s", "scrape interval cannot be 0");
    check("__scrape_timeout__: x", r#"error parsing scrape timeout: not a valid duration string: "x""#);
    check("__scrape_interval__: 1s", r#"scrape timeout cannot be greater than scrape interval ("10s" > "1s")"#);
    check("__address__: 'http://b'", r#""http://b" is not a valid hostname"#);
}

/// Of labels a URL can be made that is none: the target stays, and is down.
#[test]
fn a_url_that_is_none_is_shown_as_it_is() {
    let check = |labels: &str, url: &str, why: &str| {
        let job = format!("static_configs: [{{targets: ['a:1'], labels: {{{labels}}}}}]");
        let target = targets(&job).remove(0).unwrap();
        assert_eq!(target.scrape_url, url);
        assert!(target.url.as_ref().unwrap_err().contains(why), "{target:?}");
    };
    check("__scheme__: ftp", "ftp://a:1/metrics", "unsupported protocol scheme");
    check("__address__: 'a:80:9102'", "http://a:80:9102/metrics", "invalid port");
}

#[test]
fn targets_are_relabelled() {
    let job = "relabel_configs: [{source_labels: [__address__], regex: 'b.*', action: drop}, \
               {source_labels: [__address__], target_label: __param_target}, \
               {source_labels: [__param_target], target_label: instance}, \
               {target_label: __address__, replacement: 'probe:9115'}], metrics_path: /probe, \
               static_configs: [{targets: ['http://a', b]}]";
    let found = targets(job);
    let target = found[0].as_ref().unwrap();
    assert_eq!(target.labels.to_string(), r#"{instance="http://a", job="j"}"#);
    assert_eq!(target.scrape_url, "http://probe:9115/probe?target=http%3A%2F%2Fa");
    assert!(found[1].as_ref().unwrap_err().starts_with("dropped {__address__=\"b\""), "{found:?}");
}

#[test]
fn targets_are_spread_over_the_interval() {
    let job = "scrape_interval: 10s, static_configs: [{targets: [a, b, c, d]}]";
    let targets: Vec<Target> = targets(job).into_iter().map(Result::unwrap).collect();
    let (one, other) = (offset_seed("one", &Labels::empty()), offset_seed("other", &Labels::empty()));
    let phase = |target: &Target, now: i64, seed| (now + target.first_wait_ms(now, seed)).rem_euclid(10_000);
    for target in &targets {
        assert_eq!(phase(target, 1_700_000_000_123, one), phase(target, 1_700_000_009_999, one));
        assert!((0..10_000).contains(&target.first_wait_ms(1_700_000_000_123, one)));
    }
    let phases = |seed| targets.iter().map(|t| phase(t, 0, seed)).collect::<Vec<_>>();
    assert_ne!(phases(one), phases(other));
    assert!(phases(one).windows(2).any(|pair| pair[0] != pair[1]));
}

/// Feeds scrapes, given as raw series, and yields which series each of them ended.
struct Scrapes(TargetCache, Vec<Labels>);

impl Scrapes {
    fn new() -> Self {
        Self(TargetCache::default(), Vec::new())
    }

    /// The series of a raw line is its part before a `#`, so that one series can have many spellings.
    fn stage(&mut self, raw: &[&str], tracked: bool) {
        self.0.begin();
        for raw in raw {
            let key = TargetCache::key(raw.as_bytes());
            let name = raw.split('#').next().unwrap();
            let at = self.0.find(key).unwrap_or_else(|| self.0.add(key, Labels::from_pairs([("__name__", name)])));
            self.0.stage(at, 0, 1.0, tracked);
        }
    }

    fn good(&mut self, raw: &[&str], tracked: bool) -> Vec<String> {
        self.stage(raw, tracked);
        for at in self.0.added().to_vec() {
            let labels = self.0.entry(at).labels.clone();
            let slot = self.1.iter().position(|l| *l == labels).unwrap_or_else(|| {
                self.1.push(labels);
                self.1.len() - 1
            });
            self.0.resolve(at, SeriesRef { slot: slot as u32, generation: 0 });
        }
        names(self.0.commit())
    }

    fn failed(&mut self, raw: &[&str]) -> Vec<String> {
        self.stage(raw, true);
        names(self.0.roll_back())
    }
}

fn names(ended: Vec<(SeriesRef, Labels)>) -> Vec<String> {
    ended.into_iter().map(|(_, labels)| labels.to_string()).collect()
}

#[test]
fn what_vanishes_ends_once() {
    let mut scrapes = Scrapes::new();
    assert!(scrapes.good(&["a", "b", "c"], true).is_empty());
    assert_eq!(scrapes.good(&["a", "c"], true), ["b"]);
    assert!(scrapes.good(&["a", "b", "c"], true).is_empty(), "b is back");
    assert_eq!(scrapes.failed(&["a", "d"]), ["a", "b", "c"]);
    assert!(scrapes.failed(&["a"]).is_empty(), "seen in a body that was refused");
    assert!(scrapes.failed(&[]).is_empty(), "ended already");
    assert!(scrapes.good(&["a"], true).is_empty(), "b and c ended with the failure");
    assert_eq!(scrapes.good(&[], true), ["a"]);
    assert_eq!(scrapes.0.len(), 0);
}

#[test]
fn another_spelling_is_not_another_series() {
    let mut scrapes = Scrapes::new();
    scrapes.good(&["a#1", "b"], true);
    assert!(scrapes.good(&["a#2", "b"], true).is_empty());
    assert!(scrapes.good(&["a#1", "a#2", "b"], true).is_empty());
    assert!(scrapes.good(&["a#1", "b"], true).is_empty());
    assert_eq!(scrapes.good(&["b"], true), ["a"]);
}

#[test]
fn series_with_times_of_their_own_do_not_end() {
    let mut scrapes = Scrapes::new();
    scrapes.good(&["a"], false);
    assert!(scrapes.good(&[], true).is_empty());
    scrapes.good(&["a"], true);
    assert_eq!(scrapes.good(&[], true), ["a"]);
}

#[test]
fn metadata_is_told_when_it_changes_and_forgotten_later() {
    let mut cache = MetadataCache::default();
    let mut scrape = |body: &str| -> Vec<String> {
        cache.begin();
        Parser::new(Format::Text, body.as_bytes()).for_each(|event| cache.observe(&event.unwrap()));
        let changed = cache.finish();
        changed.into_iter().map(|(family, m)| format!("{family} {} {}", m.kind.as_str(), m.help)).collect()
    };
    let body = "# HELP a one\n# TYPE a gauge\n";
    assert_eq!(scrape(body), ["a gauge one"]);
    assert!(scrape(body).is_empty());
    assert_eq!(scrape("# HELP a two\n"), ["a gauge two"]);
    for _ in 0..10 {
        scrape("");
    }
    assert_eq!(cache.families().len(), 1);
    cache.begin();
    cache.finish();
    assert!(cache.families().is_empty());
}

/// Scrapes that fail leave no trace of the series that relabelling drops.
#[test]
fn dropped_series_do_not_add_up_while_scrapes_fail() {
    let mut cache = TargetCache::default();
    for scrape in 0u8..10 {
        cache.begin();
        let at = cache.add_dropped(TargetCache::key(&[scrape]));
        assert!(cache.is_dropped(at));
        cache.roll_back();
        assert!(cache.is_empty());
    }
}
