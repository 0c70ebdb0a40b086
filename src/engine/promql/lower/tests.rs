//! Small queries end to end: text, plan, DataFusion, result, over series in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::memory::InMemory;

use crate::engine::promql::cancel::Cancel;
use crate::engine::runtime::QueryRuntime;
use crate::engine::session::{
    EngineOptions, EvalTime, Features, Point, QueryRequest, QueryResponse, QueryValue, Snapshots, evaluate,
};
use crate::error::Result;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::sample::{STALE_NAN, TimeRange};
use crate::storage::types::{MemorySource, Run, Series, Snapshot};

/// Series in memory; the id of a series is its place.
#[derive(Debug)]
struct Fixture {
    series: Vec<(Labels, Vec<(i64, f64)>)>,
}

impl MemorySource for Fixture {
    fn locate(&self, ids: &[i64], _range: TimeRange, places: &mut [u32]) {
        ids.iter().zip(places).for_each(|(id, place)| *place = *id as u32);
    }

    fn read_at(&self, place: u32, range: TimeRange, run: &mut Run) {
        for (timestamp, value) in &self.series[place as usize].1 {
            if range.contains(*timestamp) {
                run.timestamps.push(*timestamp);
                run.values.push(*value);
            }
        }
    }

    fn bounds(&self) -> Option<TimeRange> {
        let times = self.series.iter().flat_map(|(_, samples)| samples.iter().map(|(t, _)| *t));
        Some(TimeRange::new(times.clone().min()?, times.max()?))
    }

    fn samples(&self) -> usize {
        self.series.iter().map(|(_, samples)| samples.len()).sum()
    }

    fn has_histograms(&self) -> bool {
        false
    }

    fn has_start_timestamps(&self) -> bool {
        false
    }
}

struct Data(Arc<Fixture>);

#[async_trait]
impl Snapshots for Data {
    async fn snapshot(&self, _range: TimeRange, matchers: &[Matcher]) -> Result<Snapshot> {
        let mut series: Vec<Arc<Series>> = vec![];
        for (id, (labels, _)) in self.0.series.iter().enumerate() {
            if matchers.iter().all(|m| m.matches_labels(labels)) {
                series.push(Arc::new(Series { id: id as i64, labels: labels.clone() }));
            }
        }
        series.sort_by(|a, b| (a.labels.metric(), a.id).cmp(&(b.labels.metric(), b.id)));
        let memory: Vec<Arc<dyn MemorySource>> = vec![self.0.clone()];
        let label_names: BTreeSet<_> = series.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name).collect();
        let label_names = label_names.into_iter().map(str::to_string).collect();
        let objects = Arc::new(InMemory::new());
        Ok(Snapshot { series: series.into(), label_names, memory, files: vec![], objects })
    }
}

/// `name{a="1",…} v v _ v …`: one sample a minute from 0; `_` is none, `stale` a staleness marker.
fn load(text: &str) -> Data {
    let mut series = vec![];
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (head, values) = line.split_once(' ').expect("a series and its values");
        let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
        let mut pairs = vec![("__name__".to_string(), name.to_string())];
        for pair in labels.trim_end_matches('}').split(',').filter(|p| !p.is_empty()) {
            let (label, value) = pair.split_once('=').expect("a pair");
            pairs.push((label.to_string(), value.trim_matches('"').to_string()));
        }
        let mut samples = vec![];
        for (i, value) in values.split_whitespace().enumerate() {
            match value {
                "_" => {}
                "stale" => samples.push((i as i64 * 60_000, STALE_NAN)),
                value => samples.push((i as i64 * 60_000, value.parse().expect("a number"))),
            }
        }
        series.push((Labels::from_pairs(pairs), samples));
    }
    Data(Arc::new(Fixture { series }))
}

pub(crate) fn options(delayed_name_removal: bool) -> EngineOptions {
    EngineOptions {
        lookback_delta_ms: 300_000,
        timeout: Duration::from_secs(60),
        max_samples: 1_000_000,
        max_concurrency: 4,
        memory_bytes: 1 << 30,
        features: Features {
            experimental_functions: true,
            binop_fill_modifiers: true,
            delayed_name_removal,
            use_start_timestamps: false,
            type_and_unit_labels: false,
        },
        ..EngineOptions::default()
    }
}

fn run(data: &str, query: &str, time: EvalTime, delayed: bool) -> Result<QueryResponse> {
    run_with(data, query, time, &options(delayed), false)
}

/// A query over [`load`]ed data.
pub(crate) fn run_with(
    data: &str,
    query: &str,
    time: EvalTime,
    options: &EngineOptions,
    stats: bool,
) -> Result<QueryResponse> {
    let runtime = QueryRuntime::new(options)?;
    let request = QueryRequest { stats, ..QueryRequest::new(query, time) };
    let data = load(data);
    let local = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    local.block_on(evaluate(&data, options, &runtime, &request, Cancel::default()))
}

fn print(value: &QueryValue) -> String {
    let series = match value {
        QueryValue::Scalar(_, v) => return v.to_string(),
        QueryValue::String(_, text) => return text.clone(),
        QueryValue::Vector(series) | QueryValue::Matrix(series) => series,
    };
    let mut lines = vec![];
    for series in series {
        let points: Vec<String> = series
            .points
            .iter()
            .map(|(t, p)| match p {
                Point::Float(v) => format!("{v}@{}", t / 60_000),
                Point::Histogram(_) => "histogram".into(),
            })
            .collect();
        lines.push(format!("{} {}", series.labels, points.join(" ")));
    }
    lines.join("\n")
}

fn expect(data: &str, query: &str, time: EvalTime, delayed: bool, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    match run(data, query, time, delayed) {
        Ok(response) => assert_eq!(print(&response.value), expected.join("\n"), "{query} (delayed: {delayed})"),
        Err(e) => assert_eq!(format!("error: {e}"), expected.join("\n"), "{query} (delayed: {delayed})"),
    }
}

fn at(minute: i64) -> EvalTime {
    EvalTime::Instant { at: minute * 60_000 }
}

fn minutes(start: i64, end: i64) -> EvalTime {
    EvalTime::Range { start: start * 60_000, end_inclusive: end * 60_000, step: 60_000 }
}

/// The same with and without delayed name removal.
fn check(data: &str, query: &str, time: EvalTime, expected: &str) {
    expect(data, query, time, false, expected);
    expect(data, query, time, true, expected);
}

const COUNTERS: &str = r#"
    http_total{job="a",instance="0"} 0 60 120 180 240
    http_total{job="a",instance="1"} 0 120 240 360 480
    http_total{job="b",instance="0"} 0 180 360 540 720
"#;

#[test]
fn selectors_and_rates() {
    check(COUNTERS, "http_total{job=\"b\"}", at(2), r#"http_total{instance="0", job="b"} 360@2"#);
    check(COUNTERS, "http_total{job=\"b\"} offset 1m", at(2), r#"http_total{instance="0", job="b"} 180@2"#);
    check(
        COUNTERS,
        "http_total{job=\"b\"} @ 60",
        minutes(2, 3),
        r#"http_total{instance="0", job="b"} 180@2 180@3"#,
    );
    check(COUNTERS, "rate(http_total{job=\"b\"}[2m])", minutes(3, 4), r#"{instance="0", job="b"} 3@3 3@4"#);
    check(
        COUNTERS,
        "sum by (job) (rate(http_total[2m]))",
        minutes(3, 4),
        r#"{job="a"} 3@3 3@4
        {job="b"} 3@3 3@4"#,
    );
    check(COUNTERS, "sum(rate(http_total[2m]))", at(4), "{} 6@4");
    check(COUNTERS, "count(http_total) by (nothing)", at(4), "{} 3@4");
    check(COUNTERS, "nothing", at(4), "");
    check(COUNTERS, "sum(nothing)", at(4), "");
    check("x 1 2 stale", "x", minutes(0, 3), "x 1@0 2@1");
}

#[test]
fn subqueries() {
    check(COUNTERS, "max_over_time(sum(http_total)[2m:1m])", at(4), "{} 1440@4");
    check(COUNTERS, "sum_over_time(vector(1)[5m:1m])", at(5), "{} 5@5");
    check("x 1 2 3 4", "x[2m]", at(3), "x 3@2 4@3");
    check("x 1 2 3 4", "last_over_time(x[2m:1m] offset 1m)", at(3), "x 3@3");
}

/// What a query repeats is computed once; `apart` is the same query with its repetitions spelled so that they are not
/// recognised, in as many characters, as annotations have positions.
#[test]
fn repetitions() {
    const GAUGE: &str = "x 0 60 120 180 240";
    let same = |query: &str, apart: &str, time: EvalTime| {
        assert_eq!(query.len(), apart.len());
        let data = format!("{COUNTERS}\n{GAUGE}");
        for delayed in [false, true] {
            let (once, twice) = (run(&data, query, time, delayed), run(&data, apart, time, delayed));
            let (once, twice) = (once.expect("answered"), twice.expect("answered"));
            assert!(!print(&once.value).is_empty(), "{query} has no answer");
            assert_eq!(print(&once.value), print(&twice.value), "{query} (delayed: {delayed})");
            assert_eq!(once.infos.is_empty(), !query.contains("rate(x"), "{query}: {:?}", once.infos);
            assert_eq!((once.warnings, once.infos), (twice.warnings, twice.infos), "{query}");
        }
    };
    let rates = "sum by (job) (rate(http_total[2m]))";
    let apart = "sum by (job)(rate( http_total[2m]))";
    same(&format!("{rates} / ({rates} + 1)"), &format!("{rates} / ({apart} + 1)"), minutes(3, 4));
    same(&format!("{rates} / ({rates} + 1)"), &format!("{rates} / ({apart} + 1)"), at(4));
    // A repetition within a repetition, and one more of the inner one.
    let nested = |a: &str, b: &str| format!("({a} + {a}) / ({b} + {b}) + {b}");
    same(&nested(rates, rates), &nested(rates, apart), minutes(3, 4));
    // The same words at other times are not the same.
    let (sum, apart) = ("sum(http_total) ", "sum( http_total)");
    same(&format!("max_over_time({sum}[2m:1m]) - {sum}"), &format!("max_over_time({sum}[2m:1m]) - {apart}"), at(4));
    let shifted = |a: &str, b: &str| format!("max_over_time({a}[2m:1m]) - min_over_time({b}[2m:1m] offset 1m)");
    same(&shifted(sum, sum), &shifted(sum, apart), minutes(3, 4));
    let (once, apart) = ("sum(http_total @ 60) ", "sum( http_total @ 60)");
    same(&format!("{once} + {once}"), &format!("{once} + {apart}"), minutes(2, 4));
    // The position of a note is that of the last repetition.
    let (noted, apart) = ("avg(rate(x[2m]))", "avg(rate(x[ 2m]))");
    assert_eq!(apart.len(), noted.len() + 1);
    same(&format!("{noted} + {noted} "), &format!("{noted} + {apart}"), minutes(3, 4));
}

#[test]
fn scalars() {
    check("", "1 + 2 * 3", at(0), "7");
    check("", "time()", minutes(0, 1), "{} 0@0 60@1");
    check("", "vector(time() / 60)", minutes(1, 2), "{} 1@1 2@2");
    check("x 1 2 3", "scalar(x) * 2", minutes(0, 2), "{} 2@0 4@1 6@2");
    check("x 1 2 3", "x * scalar(x)", minutes(0, 2), "{} 1@0 4@1 9@2");
    check("x 1 2 3", "x > time() / 60 + 1", minutes(0, 2), "");
    check("x 1 2 3", "x >= bool 2", minutes(0, 2), "{} 0@0 1@1 1@2");
    check("x 1 2 3", "2 <= x", minutes(0, 2), "x 2@1 3@2");
    check("x 1 2 3", "-x", at(1), "{} -2@1");
    check("", "\"text\"", at(1), "text");
    check("x 1 2 3", "max_of(scalar(x), 2)", minutes(0, 2), "{} 2@0 2@1 3@2");
    check("x 1 2 3", "min_of(scalar(x), time() / 60)", minutes(0, 2), "{} 0@0 1@1 2@2");
    check("", "max_of(1, 2)", at(0), "2");
    check("x 1 2 3", "clamp(x, 2, scalar(x) - 1)", minutes(0, 2), "{} 2@2");
}

/// Labels that have the names of columns of ours: every query of such a metric failed.
#[test]
fn labels_named_as_columns() {
    let data = r#"
        odd{__values__="1",__timestamps__="t",__scalar_1__="s",$__values__="d"} 1 2 3
        odd{__values__="2",__histograms__="h",__drop_name__="n",__start_timestamps__="u"} 4 5 6
        other{__values__="1"} 10 20 30
    "#;
    check(
        data,
        "odd",
        at(1),
        r#"odd{"$__values__"="d", __scalar_1__="s", __timestamps__="t", __values__="1"} 2@1
        odd{__drop_name__="n", __histograms__="h", __start_timestamps__="u", __values__="2"} 5@1"#,
    );
    check(
        data,
        "sum by (__values__) (max_over_time(odd[1m])) + on (__values__) group_left () last_over_time(other[1m])",
        at(1),
        r#"{__values__="1"} 22@1"#,
    );
    check(
        data,
        "count without (__values__, __scalar_1__, __timestamps__, __histograms__) (other)",
        at(1),
        "{} 1@1",
    );
    check(data, "absent(nothing{__values__=\"x\"})", at(1), r#"{__values__="x"} 1@1"#);
    check(
        data,
        "label_replace(other, \"__timestamps__\", \"<$1>\", \"__values__\", \"(.*)\")",
        at(1),
        r#"other{__timestamps__="<1>", __values__="1"} 20@1"#,
    );
    check(
        data,
        "label_join(other, \"__histograms__\", \"-\", \"__values__\", \"__name__\")",
        at(1),
        r#"other{__histograms__="1-other", __values__="1"} 20@1"#,
    );
    check(data, "count_values(\"__values__\", other)", at(1), r#"{__values__="20"} 1@1"#);
    check(data, "topk by (__values__) (scalar(other), odd{__values__=\"2\"} offset 9m)", at(1), "");
    check(data, "sort_by_label(other, \"__values__\")", at(1), r#"other{__values__="1"} 20@1"#);
}

const PAIRS: &str = r#"
    a{x="1"} 1 2 _ _ _ _ _ _
    a{x="2"} 3 4 5
    b{x="1"} 10 20 30
    b{x="3"} 7 8 9
    info{x="1",version="v1"} 1 1 1
"#;

#[test]
fn matching() {
    check(PAIRS, "a + b", at(1), r#"{x="1"} 22@1"#);
    check(
        PAIRS,
        "a or b",
        at(1),
        r#"a{x="1"} 2@1
        a{x="2"} 4@1
        b{x="3"} 8@1"#,
    );
    check(PAIRS, "a and b", at(1), r#"a{x="1"} 2@1"#);
    check(PAIRS, "a unless b", at(1), r#"a{x="2"} 4@1"#);
    check(PAIRS, "a * on(x) group_left(version) info", at(1), r#"{version="v1", x="1"} 2@1"#);
    check(
        PAIRS,
        "a + on() group_left b",
        at(1),
        r#"error: found duplicate series for the match group {} on the right hand-side of the operation: [{__name__="b", x="3"}, {__name__="b", x="1"}];many-to-many matching not allowed: matching labels must be unique on one side"#,
    );
    check(PAIRS, "a + ignoring(x) info", at(1), "");
    check(
        PAIRS,
        "a + on() info",
        at(1),
        "error: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
    );
    check(
        PAIRS,
        "a + fill(0) b",
        at(1),
        r#"{x="1"} 22@1
        {x="2"} 4@1
        {x="3"} 8@1"#,
    );
    check(PAIRS, "a > b", at(1), "");
    check(PAIRS, "a < bool b", at(1), r#"{x="1"} 1@1"#);
}

#[test]
fn duplicates_are_errors_only_at_the_same_step() {
    let disjoint = "p{x=\"1\"} 1 _ _ _ _ _ _\nq{x=\"1\"} _ _ _ _ _ _ 7";
    check(disjoint, "-{__name__=~\"p|q\"}", minutes(0, 6), r#"{x="1"} -1@0 -1@1 -1@2 -1@3 -1@4 -7@6"#);
    let meeting = "p{x=\"1\"} 1 1\nq{x=\"1\"} 7 7";
    let error = "error: vector cannot contain metrics with the same labelset";
    check(meeting, "-{__name__=~\"p|q\"}", at(1), error);
    check(meeting, "sum by (__name__) ({__name__=~\"p|q\"})", at(1), "p 1@1\nq 7@1");
    expect(
        meeting,
        "label_replace(-{__name__=~\"p|q\"}, \"n\", \"$1\", \"__name__\", \"(.*)\")",
        at(1),
        false,
        error,
    );
    expect(
        meeting,
        "label_replace(-{__name__=~\"p|q\"}, \"n\", \"$1\", \"__name__\", \"(.*)\")",
        at(1),
        true,
        "{n=\"p\", x=\"1\"} -1@1\n{n=\"q\", x=\"1\"} -7@1",
    );
}

#[test]
fn aggregations() {
    check(PAIRS, "topk(1, a)", at(1), r#"a{x="2"} 4@1"#);
    check(PAIRS, "topk(scalar(info) + 1, a)", at(1), "a{x=\"2\"} 4@1\na{x=\"1\"} 2@1");
    check(PAIRS, "bottomk(1, a or b) by (none)", at(1), r#"a{x="1"} 2@1"#);
    check(PAIRS, "count_values(\"v\", info)", at(1), r#"{v="1"} 1@1"#);
    check(
        PAIRS,
        "count_values(\"v\", a)",
        minutes(0, 1),
        "{v=\"1\"} 1@0\n{v=\"2\"} 1@1\n{v=\"3\"} 1@0\n{v=\"4\"} 1@1",
    );
    check(PAIRS, "quantile(0.5, a)", at(1), "{} 3@1");
    check(PAIRS, "avg(a)", at(1), "{} 3@1");
    check(PAIRS, "stddev(a)", at(1), "{} 1@1");
    check(PAIRS, "max without (x) (a)", at(1), "{} 4@1");
    check(PAIRS, "limitk(1, a)", at(1), r#"a{x="1"} 2@1"#);
    check(PAIRS, "absent(nothing{x=\"1\"})", at(1), r#"{x="1"} 1@1"#);
    check(PAIRS, "absent(a)", at(1), "");
    check(PAIRS, "sort_desc(a)", at(1), "a{x=\"2\"} 4@1\na{x=\"1\"} 2@1");
}

#[test]
fn labels_and_dates() {
    check(
        PAIRS,
        "label_replace(info, \"w\", \"$1!\", \"version\", \"v(.*)\")",
        at(1),
        r#"info{version="v1", w="1!", x="1"} 1@1"#,
    );
    check(
        PAIRS,
        "label_join(info, \"w\", \"-\", \"version\", \"x\")",
        at(1),
        r#"info{version="v1", w="v1-1", x="1"} 1@1"#,
    );
    check(PAIRS, "timestamp(a{x=\"1\"})", at(2), r#"{x="1"} 60@2"#);
    check("", "minute()", at(2), "{} 2@2");
}

#[test]
fn classic_histograms() {
    let buckets = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 4";
    check(buckets, "histogram_quantile(0.5, h_bucket)", at(0), "{} 1.5@0");
    check(buckets, "histogram_fraction(0, 1, h_bucket)", at(0), "{} 0.25@0");
    check(buckets, "histogram_quantiles(h_bucket, \"q\", 0.5, 0.25)", at(0), "{q=\"0.25\"} 1@0\n{q=\"0.5\"} 1.5@0");
    // A quantile that varies by step is another series at each.
    let varying = "histogram_quantiles(h_bucket, \"q\", time() / 120, 0.25)";
    check(buckets, varying, minutes(0, 1), "{q=\"0.0\"} 0@0\n{q=\"0.25\"} 1@0 1@1\n{q=\"0.5\"} 1.5@1");
}

#[test]
fn quantiles_are_checked_also_without_series() {
    let check = |query: &str, time: EvalTime, expected: &[&str]| {
        let warnings = run("x 1 2", query, time, false).unwrap().warnings;
        let got = "PromQL warning: quantile value should be between 0 and 1, got";
        let expected: Vec<String> = expected.iter().map(|e| format!("{got} {e}")).collect();
        assert_eq!(warnings, expected, "{query}");
    };
    for vector in ["x", "nothing"] {
        check(&format!("quantile(2, {vector})"), at(1), &["2 (1:10)"]);
        check(&format!("quantile(0.5, {vector})"), at(1), &[]);
    }
    check("histogram_quantile(2, nothing)", at(1), &["2 (1:20)"]);
    // The aggregation tells the extremes of what varies by step.
    check("quantile(time() / 60, x)", minutes(1, 3), &["3 (1:10)"]);
    check("quantile(scalar(x), x)", minutes(0, 1), &["2 (1:10)"]);
    check("quantile_over_time(2, nothing[1m])", at(1), &[]);
}

#[test]
fn info_labels() {
    let data = "m{job=\"j\",instance=\"i\"} 1 2\ntarget_info{job=\"j\",instance=\"i\",v=\"1\",w=\"2\"} 1 1";
    check(data, "info(m)", at(1), r#"m{instance="i", job="j", v="1", w="2"} 2@1"#);
    check(data, "info(m, {v=~\".+\"})", at(1), r#"m{instance="i", job="j", v="1"} 2@1"#);
    check(data, "info(m, {nothing=~\".+\"})", at(1), "");
}

#[test]
fn limits_and_refusals() {
    check(
        PAIRS,
        "a[1m] ",
        minutes(0, 1),
        "error: invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    );
    check(
        PAIRS,
        "absent_over_time(a[1m] anchored)",
        at(1),
        "error: anchored modifier can only be used with: changes, delta, increase, rate, resets - not with \
         absent_over_time",
    );
}

/// The numbers of a query are looked at before anything is made of them, and times at the ends of what there is neither
/// go round nor panic.
#[test]
fn numbers_from_outside() {
    let data = "x{i=\"0\"} 0 1 2 3\nx{i=\"1\"} 4 5 6 7";
    let longest = "292y";
    for query in [
        "count_over_time(x[292y:1ms])",
        "x[292y:1ms]",
        "absent(sum_over_time(vector(1)[292y:1ms] offset -292y))",
        "max_over_time(max_over_time(x[1h:1m])[292y:1ms] @ end())",
    ] {
        for time in [at(3), EvalTime::Instant { at: i64::MAX }, EvalTime::Instant { at: i64::MIN }] {
            match run(data, query, time, true) {
                Err(refused) => assert_eq!(refused.message, "a subquery has at most 1048576 steps", "{query}"),
                // Before the beginning of time there are no steps.
                Ok(_) => assert_eq!(time, EvalTime::Instant { at: i64::MIN }, "{query}"),
            }
        }
    }
    let whole = EvalTime::Range { start: i64::MIN, end_inclusive: i64::MAX, step: i64::MAX };
    for query in [
        "x".to_string(),
        format!("rate(x[{longest}])"),
        format!("increase(x[{longest}] smoothed)"),
        format!("delta(x[{longest}] anchored)"),
        format!("sum_over_time(x[{longest}] offset {longest})"),
        format!("predict_linear(x[{longest}] offset -{longest}, 1e300)"),
        format!("timestamp(x @ 9223372036854774 offset -{longest})"),
        format!("x @ -9223372036854774 offset {longest}"),
        "max_over_time(x[10m:1s] @ end() offset -292y)".into(),
        "deriv(x[1h] @ end())".into(),
        "last_over_time(x[1h:1m] @ start())".into(),
        "time() + x".into(),
        "histogram_quantile(0.5, label_replace(x, \"le\", \"$1\", \"i\", \"(.*)\"))".into(),
        "day_of_year() + year(vector(time()))".into(),
    ] {
        for time in [EvalTime::Instant { at: i64::MIN }, EvalTime::Instant { at: i64::MAX }, at(3), whole] {
            run(data, &query, time, true).unwrap_or_else(|e| panic!("{query}: {e}"));
        }
    }
    let all = EvalTime::Range { start: i64::MIN, end_inclusive: i64::MAX, step: 1 };
    assert_eq!(run(data, "x", all, true).unwrap_err().message, "a query has at most 1048576 steps");
}

/// Each call doubles the labels there are.
#[test]
fn labels_that_grow_are_refused() {
    for (open, close) in
        [("label_replace(", r#", "i", "$1$1", "i", "(.*)")"#), ("label_join(", r#", "i", "", "i", "i")"#)]
    {
        let query = format!("{}x{}", open.repeat(60), close.repeat(60));
        let refused = run("x{i=\"ab\"} 1", &query, at(0), false).unwrap_err();
        assert!(refused.message.starts_with("a label value of more than 1048576 bytes"), "{refused}");
    }
}

/// The result is as many points as the query asks for, not as many as there are steps.
#[test]
fn results_are_in_the_memory_of_queries() {
    let data: String = (0..100).map(|i| format!("x{{i=\"{i}\"}} 1 2 3\n")).collect();
    let time = EvalTime::Range { start: 0, end_inclusive: 9_999_000, step: 1_000 };
    // Of 10,000 steps samples reach over 420: 1 MB of points, 8 MB of steps.
    let fits = EngineOptions { memory_bytes: 24 << 20, ..options(true) };
    run_with(&data, "x", time, &fits, false).unwrap();
    let small = EngineOptions { memory_bytes: 5 << 20, ..options(true) };
    let refused = run_with(&data, "x", time, &small, false).unwrap_err();
    assert!(refused.message.starts_with("query exceeds its memory limit"), "{refused}");
}
