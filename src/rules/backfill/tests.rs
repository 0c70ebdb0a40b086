//! Backfills of lakes in memory: what is there afterwards, whatever was done before.

use std::sync::Arc;
use std::time::Duration;

use crate::config::protocol::NameValidation;
use crate::config::rules::RuleFile;
use crate::engine::session::{Engine, EngineOptions, EvalTime, Features, Point, QueryRequest, QueryValue};
use crate::error::Result;
use crate::ingest::import::progress::Progress;
use crate::model::histogram::FloatHistogram;
use crate::model::labels::Labels;
use crate::model::sample::{DAY_MS, TimeRange};
use crate::promql::parse::ParseOptions;
use crate::rules::backfill::run::{Group, Settings, Summary, run};
use crate::rules::backfill::times::Steps;
use crate::storage::object::{self, Objects};
use crate::storage::store::reading::Reading;
use crate::storage::store::{Options, Store};
use crate::storage::types::{HistogramRow, SampleRow, WriteBatch};

/// 2026-01-01, and now: three days later.
const START: i64 = 1_767_225_600_000;
const NOW: i64 = START + 3 * DAY_MS;
const MINUTE: i64 = 60_000;

/// A store of an hour before the first day up to the end of the second: a counter for each of three jobs, of which one is there
/// in every second hour only, and a histogram. The first day is in files, the rest in the log.
async fn store(objects: &Objects) -> Arc<Store> {
    let options = Options {
        url: "memory://".to_string(),
        wal_flush_interval: Some(Duration::ZERO),
        flush_interval: Duration::ZERO,
        ..Options::default()
    };
    let store = Store::open_on(objects.clone(), options, Arc::new(|| NOW), 1).await.unwrap();
    let mut minutes = -60..2 * 1440;
    for minutes in [minutes.by_ref().take(60 + 1440).collect::<Vec<i64>>(), minutes.collect()] {
        let mut batch = WriteBatch::default();
        for job in ["a", "b", "odd"] {
            let series = store.intern(&Labels::from_pairs([("__name__", "requests_total"), ("job", job)]));
            let is_there = |minute: &&i64| job != "odd" || **minute / 60 % 2 == 1;
            batch.samples.extend(minutes.iter().filter(is_there).map(|minute| SampleRow {
                series,
                timestamp: START + minute * MINUTE,
                value: (minute * 7) as f64,
                start_timestamp: 0,
            }));
        }
        let series = store.intern(&Labels::from_pairs([("__name__", "latency"), ("job", "a")]));
        batch.histograms.extend(minutes.iter().map(|minute| HistogramRow {
            series,
            timestamp: START + minute * MINUTE,
            histogram: Arc::new(FloatHistogram {
                count: (minute + 100) as f64,
                sum: 1.0,
                zero_count: (minute + 100) as f64,
                ..FloatHistogram::default()
            }),
            start_timestamp: 0,
        }));
        store.append(batch).await.unwrap();
        if minutes[0] < 0 {
            store.flush().await.unwrap();
        }
    }
    store
}

fn groups(text: &str) -> Vec<Group> {
    let file = RuleFile::parse(text, NameValidation::Utf8, &ParseOptions::all()).unwrap();
    let group = |config: crate::config::rules::RuleGroup| Group {
        file: "rules.yml".to_string(),
        interval_ms: config.interval_ms.unwrap_or(MINUTE),
        config,
    };
    file.groups.into_iter().map(group).collect()
}

/// The whole of both days.
fn settings() -> Settings {
    let range = TimeRange::new(START, START + 2 * DAY_MS - 1);
    Settings { range, again: false, memory_bytes: 64 << 20, threads: 2 }
}

fn engine(store: &Arc<Store>) -> Engine {
    let features = Features { experimental_functions: true, ..Features::default() };
    Engine::new(store.clone(), EngineOptions { threads: 2, features, ..EngineOptions::default() }).unwrap()
}

async fn backfill(objects: &Objects, text: &str, settings: Settings) -> Result<Summary> {
    let reading = Reading::open(objects.clone(), "backfill", Options::default(), Arc::new(|| NOW)).await?;
    let progress = Progress::default();
    let summary = run(&reading, &engine(reading.store()), groups(text), settings, &progress).await?;
    let seen = progress.seen();
    assert_eq!(seen.work, seen.expected_work, "{seen:?}");
    Ok(summary)
}

/// Series with their samples, as texts.
type Found = Vec<(String, Vec<(i64, String)>)>;

fn found(value: QueryValue) -> Found {
    let (QueryValue::Matrix(series) | QueryValue::Vector(series)) = value else { panic!("series") };
    let text = |point: &Point| match point {
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram) => format!("histogram of {}", histogram.count),
    };
    let one = |one: &crate::engine::session::ResultSeries| {
        (one.labels.to_string(), one.points.iter().map(|(at, point)| (*at, text(point))).collect())
    };
    let mut found: Found = series.iter().map(one).collect();
    found.sort();
    found
}

async fn ask(engine: &Engine, query: &str, time: EvalTime) -> Found {
    found(engine.promql(QueryRequest::new(query, time), |response| response.value).await.unwrap())
}

/// What a query gives at the times of a group.
async fn at_times(engine: &Engine, query: &str, group: &str, interval: i64, range: TimeRange) -> Found {
    let steps = Steps::of("rules.yml", group, interval, 0, range.start_inclusive, range.end_inclusive + 1);
    let time = EvalTime::Range { start: steps.first, end_inclusive: steps.last(), step: interval };
    ask(engine, query, time).await
}

async fn reading(objects: &Objects) -> Engine {
    let reading = Reading::open(objects.clone(), "test", Options::default(), Arc::new(|| NOW)).await.unwrap();
    engine(reading.store())
}

const RULES: &str = r#"
groups:
- name: one
  rules:
  - {record: 'job:requests:rate5m', expr: 'sum by (job) (rate(requests_total[5m]))'}
  - {record: 'all:requests:rate5m', expr: 'sum(job:requests:rate5m)', labels: {kind: all}}
  - {record: latency_copy, expr: 'latency'}
  - {alert: Hot, expr: 'requests_total > 1'}
- name: two
  interval: 5m
  rules:
  - {record: largest, expr: 'max_over_time({__name__="all:requests:rate5m"}[20m])'}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_what_queries_give() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    let summary = backfill(&objects, RULES, settings()).await.unwrap();
    assert_eq!((summary.rules, summary.alerting_rules, summary.days), (4, 1, 2));
    assert_eq!(summary.evaluations, 3 * 2880 + 576);
    let engine = reading(&objects).await;
    let range = settings().range;
    for (written, query, group, interval) in [
        ("job:requests:rate5m", "sum by (job) (rate(requests_total[5m]))", "one", MINUTE),
        ("all:requests:rate5m", "sum(sum by (job) (rate(requests_total[5m])))", "one", MINUTE),
        ("latency_copy", "latency", "one", MINUTE),
        // As the rule before it wrote it, in its own time.
        ("largest", "max_over_time({__name__=\"all:requests:rate5m\"}[20m])", "two", 5 * MINUTE),
    ] {
        let unnamed = |found: Found| -> Found {
            let text =
                |labels: &str| labels.split_once('{').map_or("", |(_, rest)| rest).replace(r#"kind="all""#, "");
            found.into_iter().map(|(labels, samples)| (text(&labels).replace("{}", ""), samples)).collect()
        };
        let expected = unnamed(at_times(&engine, query, group, interval, range).await);
        // Series that end do so with a marker, so nothing is seen in the hours between.
        let got = unnamed(at_times(&engine, &format!("{{__name__={written:?}}}"), group, interval, range).await);
        let strip = |found: &Found| {
            found.iter().map(|(l, s)| (l.trim_end_matches('}').to_string(), s.clone())).collect::<Found>()
        };
        assert_eq!(strip(&got), strip(&expected), "{written}");
        assert!(!got.is_empty() && got[0].1.len() >= 570, "{written}: {}", got[0].1.len());
    }
    // Raw samples: a marker where the odd job's series ends.
    let ends = ask(
        &engine,
        "{__name__=\"job:requests:rate5m\", job=\"odd\"}",
        EvalTime::Instant { at: START + 125 * MINUTE },
    )
    .await;
    assert!(ends.is_empty(), "{ends:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_changes_nothing_and_what_was_ended_goes_on() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    let whole = settings();
    // As one that ended behind the first day.
    let first_day = Settings { range: TimeRange::new(START, START + DAY_MS - 1), ..whole };
    let first = backfill(&objects, RULES, first_day).await.unwrap();
    let files = |lake: &Engine| lake.store().lake().files().samples.len();
    let rest = backfill(&objects, RULES, whole).await.unwrap();
    assert_eq!((rest.resumed, rest.days), (2, 1));
    assert_eq!(first.evaluations + rest.evaluations, 3 * 2880 + 576);
    let engine = reading(&objects).await;
    let before = (files(&engine), all(&engine).await);
    let again = backfill(&objects, RULES, whole).await.unwrap();
    assert_eq!((again.done_before, again.evaluations, again.compared.new), (2, 0, 0));
    // All of it once more: every sample is there.
    let forced = backfill(&objects, RULES, Settings { again: true, ..whole }).await.unwrap();
    assert_eq!((forced.compared.new, forced.compared.other, forced.files), (0, 0, 0));
    assert!(forced.compared.same > 10_000, "{}", forced.compared.same);
    let engine = reading(&objects).await;
    assert_eq!((files(&engine), all(&engine).await), before);
    // At once it is the same as in two parts.
    let other = object::open("memory://").unwrap();
    let other_server = store(&other).await;
    backfill(&other, RULES, whole).await.unwrap();
    assert_eq!(all(&reading(&other).await).await, before.1);
    server.stop().await;
    other_server.stop().await;
}

/// All samples that were written, markers too.
async fn all(engine: &Engine) -> Vec<(String, Vec<(i64, u64)>)> {
    let limits = engine.limits(None);
    let asked = engine.clone();
    let matcher = |name: &str| crate::model::matcher::Matcher::metric(name);
    let names = ["job:requests:rate5m", "all:requests:rate5m", "latency_copy", "largest", "n"];
    let sets: Vec<Vec<_>> = names.iter().map(|name| vec![matcher(name)]).collect();
    let work = |pass: crate::engine::door::Pass| async move {
        let raw = asked.raw(&pass, TimeRange::ALL, &sets).await?;
        let places: Vec<usize> = (0..raw.series().len()).collect();
        let mut found = Vec::new();
        raw.visit(&places, |place, run| {
            let samples = run.timestamps.iter().zip(run.values).map(|(at, value)| (*at, value.to_bits()));
            found.push((raw.series()[place].labels.to_string(), samples.collect()));
            Ok(())
        })
        .await?;
        Ok::<_, crate::error::Error>(found)
    };
    let mut found: Vec<(String, Vec<(i64, u64)>)> = engine.run(&limits, work).await.unwrap();
    found.sort();
    found
}

/// Parts that are too large for the memory are cut, and nothing else comes out.
#[tokio::test(flavor = "multi_thread")]
async fn little_memory() {
    let (objects, other) = (object::open("memory://").unwrap(), object::open("memory://").unwrap());
    let (server, other_server) = (store(&objects).await, store(&other).await);
    backfill(&objects, RULES, settings()).await.unwrap();
    let small = Settings { memory_bytes: 60_000, ..settings() };
    let summary = backfill(&other, RULES, small).await.unwrap();
    assert!(summary.days > 2, "{} parts", summary.days);
    assert_eq!(all(&reading(&other).await).await, all(&reading(&objects).await).await);
    let tiny = Settings { memory_bytes: 1, ..settings() };
    let fresh = RULES.replace("name: one", "name: other");
    let error = backfill(&other, &fresh, tiny).await.unwrap_err().to_string();
    assert!(error.contains("takes more than 0 MiB at one time"), "{error}");
    server.stop().await;
    other_server.stop().await;
}

/// The first one stays, and that the other one does not is told.
#[tokio::test(flavor = "multi_thread")]
async fn two_rules_of_one_series() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    let rules = r#"
groups:
- name: one
  rules:
  - {record: same, expr: 'vector(1)'}
  - {record: same, expr: 'vector(2)'}
"#;
    let range = TimeRange::new(START, START + 10 * MINUTE - 1);
    let summary = backfill(&objects, rules, Settings { range, ..settings() }).await.unwrap();
    assert_eq!((summary.compared.new, summary.contradictions), (10, 10));
    let engine = reading(&objects).await;
    let found = at_times(&engine, "same", "one", MINUTE, range).await;
    assert!(found[0].1.len() == 10 && found[0].1.iter().all(|(_, value)| value == "1"), "{found:?}");
    server.stop().await;
}

/// A rule that counts its own evaluations, one that reads a later one, and one that depends on its range.
#[tokio::test(flavor = "multi_thread")]
async fn rules_that_read_what_was_written_before() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    let rules = r#"
groups:
- name: one
  rules:
  - {record: before, expr: 'n'}
  - {record: n, expr: 'n + 1 or vector(0)'}
  - {record: at_end, expr: 'vector(time()) - timestamp(n @ end())'}
"#;
    let range = TimeRange::new(START + DAY_MS - 30 * MINUTE, START + DAY_MS + 30 * MINUTE - 1);
    let summary = backfill(&objects, rules, Settings { range, ..settings() }).await.unwrap();
    assert_eq!((summary.together, summary.days, summary.failed.len()), (3, 2, 0));
    let engine = reading(&objects).await;
    let values = |found: Found| -> Vec<String> { found[0].1.iter().map(|(_, value)| value.clone()).collect() };
    let counted: Vec<String> = (0..60).map(|n: u32| n.to_string()).collect();
    assert_eq!(values(at_times(&engine, "n", "one", MINUTE, range).await), counted);
    assert_eq!(values(at_times(&engine, "before", "one", MINUTE, range).await), counted[..59]);
    let zeros = vec!["0".to_string(); 60];
    assert_eq!(values(at_times(&engine, "at_end", "one", MINUTE, range).await), zeros);
    // Once more the results would count from what is stored: of the same times, and from the middle of them.
    let half = TimeRange::new(START + DAY_MS, START + DAY_MS + 60 * MINUTE);
    for settings in [Settings { range, again: true, ..settings() }, Settings { range: half, ..settings() }] {
        let refused = backfill(&objects, rules, settings).await.unwrap_err();
        assert!(refused.message.contains("rule n reads its own results"), "{refused}");
    }
    let engine = reading(&objects).await;
    assert_eq!(values(at_times(&engine, "n", "one", MINUTE, range).await), counted);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_that_fail_are_told_and_others_go_on() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    // Twice an hour for half an hour there are three jobs, for which the limit is two.
    let rules = r#"
groups:
- name: one
  limit: 2
  rules:
  - {record: limited, expr: 'requests_total'}
  - {record: matched, expr: 'requests_total * on() group_left() sum(requests_total{job="a"})'}
  - {record: broken, expr: 'requests_total{job="a"} * on() (requests_total{job!="a"})'}
"#;
    let range = TimeRange::new(START, START + 4 * 60 * MINUTE - 1);
    let summary = backfill(&objects, rules, Settings { range, ..settings() }).await.unwrap();
    let failed: Vec<(&str, u64)> = summary.failed.iter().map(|(rule, f)| (rule.as_str(), f.count)).collect();
    // The odd job is seen for five minutes more than it is there, at both ends of which it is.
    let (with_odd, names) = (failed[0].1, failed.iter().map(|(rule, _)| *rule).collect::<Vec<_>>());
    assert_eq!(names, ["limited of group one", "matched of group one", "broken of group one"]);
    assert!((124..=130).contains(&with_odd) && failed.iter().all(|(_, count)| *count == with_odd), "{failed:?}");
    let why = |place: usize| summary.failed[place].1.first.clone().unwrap().1;
    assert_eq!(why(0), "exceeded limit of 2 with 3 series");
    assert!(why(2).contains("many-to-many matching not allowed"), "{}", why(2));
    let engine = reading(&objects).await;
    let counted = |found: Found| found.first().map_or(0, |(_, samples)| samples.len());
    let got =
        counted(ask(&engine, "count_over_time(broken[4h])", EvalTime::Instant { at: range.end_inclusive }).await);
    assert_eq!(got, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_evaluated_is_refused_before_anything_is() {
    let objects = object::open("memory://").unwrap();
    let server = store(&objects).await;
    let check = async |rules: &str, settings: Settings, part: &str| {
        let error = backfill(&objects, rules, settings).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let of = |expr: &str| format!("groups: [{{name: g, rules: [{{record: r, expr: {expr}}}]}}]");
    check(&of("'up[5m]'"), settings(), "rule r: rule result is not a vector or scalar").await;
    check(&of("'\"text\"'"), settings(), "rule r: rule result is not a vector or scalar").await;
    let range = TimeRange::new(START, START - 1);
    check(&of("up"), Settings { range, ..settings() }, "the time from --start to --end is none").await;
    let range = TimeRange::new(0, i64::MAX);
    check(&of("up"), Settings { range, ..settings() }, "more than 7320 days").await;
    server.stop().await;
}
