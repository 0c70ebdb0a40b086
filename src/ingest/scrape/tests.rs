use super::cache::{Staged, TargetCache};
use super::labels::series_labels;
use super::metadata::{MetadataCache, SharedMetadata};
use super::target::{Resolved, Target, offset_seed};
use crate::config::file::Config;
use crate::discovery::group::Group;
use crate::ingest::exposition::event::{Event, Format, Options, Parser, Value};
use crate::model::labels::Labels;
use crate::storage::types::SeriesRef;

fn targets(job: &str) -> Vec<Result<Target, String>> {
    let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {job}}}]")).unwrap();
    let config = &config.scrape_configs[0];
    let groups: Vec<Group> = config.static_configs.iter().map(|config| Group::of_static(0, config)).collect();
    let found = groups.iter().flat_map(|group| group.targets.iter().map(|target| group.labels_of(target)));
    let resolved = |found: Vec<(&str, &str)>| match Target::resolve(config, &found) {
        Ok(Resolved::Active(target)) => Ok(*target),
        Ok(Resolved::Dropped(labels)) => Err(format!("dropped {labels}")),
        Err(error) => Err(error.to_string()),
    };
    found.map(resolved).collect()
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
        "scheme: https, static_configs: [{targets: ['Host:443']}]",
        r#"{instance="Host:443", job="j"}"#,
        "https://Host:443/metrics",
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
    let relabelled =
        "relabel_configs: [{target_label: __address__, replacement: 'http://b'}], static_configs: [{targets: [a]}]";
    assert_eq!(targets(relabelled).remove(0).unwrap_err(), r#""http://b" is not a valid hostname"#);
    // What a target has itself comes before what its group has.
    let job = "static_configs: [{targets: ['a:1'], labels: {__address__: 'b:1'}}]";
    assert_eq!(targets(job).remove(0).unwrap().scrape_url, "http://a:1/metrics");
}

/// Of labels a URL can be made that is none: the target stays, and is down.
#[test]
fn a_url_that_is_none_is_shown_as_it_is() {
    let check = |address: &str, labels: &str, url: &str, why: &str| {
        let job = format!("static_configs: [{{targets: ['{address}'], labels: {{{labels}}}}}]");
        let target = targets(&job).remove(0).unwrap();
        assert_eq!(target.scrape_url, url);
        assert!(target.url.as_ref().unwrap_err().contains(why), "{target:?}");
    };
    check("a:1", "__scheme__: ftp", "ftp://a:1/metrics", "unsupported protocol scheme");
    check("a:80:9102", "", "http://a:80:9102/metrics", "invalid port");
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
            self.0.see(at);
            let sample = Staged { entry: at, timestamp: 0, start_timestamp: 0, value: Value::Float(1.0) };
            self.0.stage(at, sample, tracked);
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
    let (mut cache, shared) = (MetadataCache::default(), SharedMetadata::default());
    let mut scrape = |body: &str, good: bool| -> Vec<String> {
        cache.begin();
        let parser = Parser::new(Format::Text, body.as_bytes(), Options::default());
        parser.for_each(|event| cache.observe(&event.unwrap()));
        let changed = cache.finish(&shared, good);
        changed.into_iter().map(|(family, m)| format!("{family} {} {}", m.kind.as_str(), m.help)).collect()
    };
    let body = "# HELP a one\n# TYPE a gauge\n";
    assert_eq!(scrape(body, true), ["a gauge one"]);
    assert!(scrape(body, true).is_empty());
    assert!(scrape("# HELP a two\n", false).is_empty(), "told with the next good scrape");
    assert_eq!(scrape("", true), ["a gauge two"]);
    for _ in 0..20 {
        scrape("", false);
    }
    // Two scrapes ago it was seen last, as far as good ones go; only those forget.
    assert_eq!(cache.families().len(), 1);
    cache.begin();
    cache.finish(&shared, true);
    assert!(cache.families().is_empty());
}

/// As many texts as there are different ones, however many targets tell them.
#[test]
fn targets_share_what_they_tell_alike() {
    let shared = SharedMetadata::default();
    let mut caches: Vec<MetadataCache> = (0..3).map(|_| MetadataCache::default()).collect();
    let mut tell = |at: usize, body: &str| {
        caches[at].begin();
        let parser = Parser::new(Format::Text, body.as_bytes(), Options::default());
        parser.for_each(|event| caches[at].observe(&event.unwrap()));
        caches[at].finish(&shared, true);
        caches[at].families().len()
    };
    for at in 0..3 {
        assert_eq!(tell(at, "# HELP a one\n# TYPE a gauge\n# HELP b two\n"), 2);
    }
    assert_eq!(shared.len(), 2);
    assert_eq!(tell(1, "# HELP a other\n"), 2);
    assert_eq!(shared.len(), 3);
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

/// What becomes of the labels of a line under a job, with the labels `{instance="i", job="j"}` of its target.
#[test]
fn labels_of_a_line_and_of_its_target() {
    let check = |job: &str, line: &str, want: &str| {
        let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {job}}}]")).unwrap();
        let mut parser = Parser::new(Format::Text, line.as_bytes(), Options::default());
        let Some(Ok(Event::Sample(sample))) = parser.next() else { panic!("{line}") };
        let mut pairs = Vec::new();
        let target = Labels::from_pairs([("instance", "i"), ("job", "j")]);
        let labels = sample
            .series
            .decode(&mut pairs)
            .and_then(|()| series_labels(&mut pairs, &target, &config.scrape_configs[0]));
        let got = match labels {
            Ok(Some(labels)) => labels.to_string(),
            Ok(None) => "dropped".to_string(),
            Err(message) => format!("error {message}"),
        };
        assert_eq!(got, want, "{job} {line}");
    };
    check("", "a 1", r#"a{instance="i", job="j"}"#);
    check(
        "",
        "a{job=\"x\",instance=\"y\"} 1",
        r#"a{exported_instance="y", exported_job="x", instance="i", job="j"}"#,
    );
    check("", "a{job=\"\"} 1", r#"a{instance="i", job="j"}"#);
    check(
        "",
        "a{exported_job=\"z\",job=\"x\"} 1",
        r#"a{exported_exported_job="x", exported_job="z", instance="i", job="j"}"#,
    );
    let honor = "honor_labels: true";
    check(honor, "a{job=\"x\"} 1", r#"a{instance="i", job="x"}"#);
    check(honor, "a{job=\"\"} 1", r#"a{instance="i"}"#);
    check("", "a{x=\"1\",x=\"2\"} 1", "error label name \"x\" is not unique");
    check("", "a{x=\"1\",x=\"1\"} 1", "error label name \"x\" is not unique");
    check("", "a{__name__=\"b\"} 1", "error label name \"__name__\" is not unique");
    check("", "a{x=\"\",x=\"1\"} 1", r#"a{instance="i", job="j"}"#);
    check("", "a{job=\"x\",job=\"y\"} 1", r#"a{exported_job="x", instance="i", job="j"}"#);
    let drop = "metric_relabel_configs: [{source_labels: [__name__], regex: a, action: drop}]";
    check(drop, "a{x=\"1\",x=\"2\"} 1", "dropped");
    let lose = "metric_relabel_configs: [{regex: x, action: labeldrop}]";
    check(lose, "a{x=\"1\",x=\"2\"} 1", r#"a{instance="i", job="j"}"#);
    check("", "{\"\"} 1", "error missing metric name (__name__ label)");
    check("", "a{\"\"=\"1\"} 1", "error empty label name");
    let legacy = "metric_name_validation_scheme: legacy";
    check(
        legacy,
        "{\"a.b\"} 1",
        "error invalid metric name or label names: {__name__=\"a.b\", instance=\"i\", job=\"j\"}",
    );
    check(legacy, " a 1", "error invalid metric name or label names: {__name__=\" a\", instance=\"i\", job=\"j\"}");
}

#[test]
fn histograms_by_labels_of_the_target() {
    let check = |labels: &str, want: Result<(bool, bool, bool), &str>| {
        let job =
            format!("scrape_native_histograms: true, static_configs: [{{targets: ['a:1'], labels: {{{labels}}}}}]");
        let got = targets(&job).remove(0);
        let forms =
            got.as_ref().map(|t| (t.histograms.native, t.histograms.always_classic, t.histograms.convert_classic));
        assert_eq!(forms.map_err(String::as_str), want, "{labels}");
    };
    check("", Ok((true, false, false)));
    check("__scrape_native_histograms__: 'false'", Ok((false, false, false)));
    check(
        "__always_scrape_classic_histograms__: T, __convert_classic_histograms_to_nhcb__: '1'",
        Ok((true, true, true)),
    );
    check(
        "__scrape_native_histograms__: maybe",
        Err("error parsing scrape native histograms: \"maybe\" is neither true nor false"),
    );
}
