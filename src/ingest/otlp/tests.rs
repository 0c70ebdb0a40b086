//! Requests and what becomes of them. Expectations are those of Prometheus' translator, as its sources and the
//! OpenTelemetry specification of compatibility with Prometheus have it.

use crate::config::otlp::{OtlpConfig, Promoted, Strategy};
use crate::fuzzing::Fuzz;
use crate::ingest::otlp::delta::Streams;
use crate::ingest::otlp::json::{self, to_protobuf};
use crate::ingest::otlp::labels::Refusal;
use crate::ingest::otlp::message::Unreadable;
use crate::ingest::otlp::translate::translate;
use crate::ingest::otlp::translated::{Delta, Found, Settings, Translated, Warning};
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint};
use crate::model::labels::Labels;
use crate::model::metadata::MetricType;
use crate::model::sample::is_stale;
use crate::storage::types::SeriesRef;

const T: i64 = 1_700_000_000_000;

fn settings(config: OtlpConfig) -> Settings {
    Settings { config, lookback_delta_ms: 300_000, type_and_unit_labels: false, delta: Delta::Refused }
}

/// A request with one resource and one scope, from JSON with `T` for the time.
fn request(resource: &str, scope: &str, metrics: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{}]}},
            "scopeMetrics":[{{"scope":{{{scope}}},"schemaUrl":"https://schema","metrics":[{metrics}]}}]}}]}}"#,
        pairs(resource)
    );
    let json = json.replace("@T", &format!("\"timeUnixNano\":\"{T}000000\""));
    to_protobuf(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// `a=b c=d` as attributes.
fn pairs(text: &str) -> String {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').expect("key=value");
        format!(r#"{{"key":{key:?},"value":{{"stringValue":{value:?}}}}}"#)
    };
    text.split_whitespace().map(pair).collect::<Vec<_>>().join(",")
}

fn gauge(name: &str, attributes: &str) -> String {
    format!(
        r#"{{"name":{name:?},"gauge":{{"dataPoints":[{{"attributes":[{}],"asDouble":1.5,@T}}]}}}}"#,
        pairs(attributes)
    )
}

fn run(settings: &Settings, request: &[u8]) -> Translated {
    translate(request, settings, &mut |_| None, None).unwrap()
}

fn labels(translated: &Translated, place: usize) -> Labels {
    match &translated.series[place].series {
        Found::New(labels) => labels.clone(),
        Found::Known(_) => panic!("nothing is known"),
    }
}

/// Samples as text, without `target_info`.
fn samples(translated: &Translated) -> Vec<String> {
    assert_eq!(translated.errors, []);
    let shown = translated.samples.iter().map(|sample| {
        let value = if is_stale(sample.value) { "stale".into() } else { sample.value.to_string() };
        let start = if sample.start == 0 { String::new() } else { format!(" from {}", sample.start - T) };
        let time = if sample.timestamp == T { String::new() } else { format!(" @{}", sample.timestamp - T) };
        format!("{} {value}{time}{start}", labels(translated, sample.series))
    });
    shown.filter(|line| !line.starts_with("target_info")).collect()
}

fn target_info(translated: &Translated) -> Vec<String> {
    let all = translated.samples.iter().map(|s| format!("{} @{}", labels(translated, s.series), s.timestamp - T));
    all.filter(|line| line.starts_with("target_info")).collect()
}

#[test]
fn attributes_become_labels() {
    let check = |config: &OtlpConfig, resource: &str, scope: &str, attributes: &str, expected: &str| {
        let got = samples(&run(&settings(config.clone()), &request(resource, scope, &gauge("m", attributes))));
        assert_eq!(got, [format!("{expected} 1.5")], "{resource} | {scope} | {attributes}");
    };
    let default = OtlpConfig::default();
    let utf8 = OtlpConfig { strategy: Strategy { escape: false, suffixes: true }, ..default.clone() };
    check(&default, "", "", "", "m");
    check(&default, "", "", "http.method=GET __name__=other", r#"m{http_method="GET"}"#);
    check(&utf8, "", "", "http.method=GET", r#"m{"http.method"="GET"}"#);
    check(&default, "service.name=api", "", "", r#"m{job="api"}"#);
    check(&default, "service.name=api service.namespace=shop", "", "", r#"m{job="shop/api"}"#);
    check(&default, "service.namespace=shop", "", "", "m");
    check(&default, "service.instance.id=i1", "", "", r#"m{instance="i1"}"#);
    check(&default, "service.name=api", "", "job=x instance=y", r#"m{instance="y", job="api"}"#);
    check(&default, "", "", "a.b=2 a_b=1 a-b=3", r#"m{a_b="3;2;1"}"#);
    check(&utf8, "", "", "a.b=2 a_b=1", r#"m{"a.b"="2", a_b="1"}"#);
    let these = OtlpConfig { promoted: Promoted::These(vec!["cloud.region".into()]), ..default.clone() };
    check(&these, "cloud.region=eu host=h", "", "", r#"m{cloud_region="eu"}"#);
    check(&these, "cloud.region=eu", "", "cloud.region=us", r#"m{cloud_region="us"}"#);
    let all = OtlpConfig { promoted: Promoted::AllBut(vec!["host".into()]), ..default.clone() };
    check(&all, "service.name=api a.b=1 host=h", "", "", r#"m{a_b="1", job="api", service_name="api"}"#);
    let scoped = OtlpConfig { promote_scope: true, ..default.clone() };
    let scope = r#""name":"lib","version":"1.2","attributes":[{"key":"x.y","value":{"intValue":"7"}}]"#;
    let expected = r#"m{otel_scope_name="lib", otel_scope_schema_url="https://schema", otel_scope_version="1.2", otel_scope_x_y="7"}"#;
    check(&scoped, "", scope, "", expected);
    check(&default, "", scope, "", "m");
    check(&scoped, "", r#""version":"1.2""#, "", "m");
    let plain = OtlpConfig { sanitize_underscores: false, keep_multiple_underscores: false, ..default };
    check(&plain, "", "", "_a..b=1", r#"m{_a_b="1"}"#);
}

#[test]
fn names_follow_the_strategy() {
    let check = |escape: bool, suffixes: bool, expected: &str| {
        let config = OtlpConfig { strategy: Strategy { escape, suffixes }, ..OtlpConfig::default() };
        let metric = r#"{"name":"http.requests","unit":"By","sum":{"aggregationTemporality":2,"isMonotonic":true,
            "dataPoints":[{"asInt":"5",@T}]}}"#;
        let translated = run(&settings(config), &request("", "", metric));
        assert_eq!(samples(&translated), [format!("{expected} 5")]);
        let (_, metadata) = &translated.metadata[0];
        assert_eq!((metadata.kind, metadata.unit.as_str()), (MetricType::Counter, "bytes"));
    };
    check(true, true, "http_requests_bytes_total");
    check(true, false, "http_requests");
    check(false, true, r#"{__name__="http.requests_bytes_total"}"#);
    check(false, false, r#"{__name__="http.requests"}"#);
}

#[test]
fn type_and_unit_are_labels_where_asked_for() {
    let settings = Settings { type_and_unit_labels: true, ..settings(OtlpConfig::default()) };
    let metric = r#"{"name":"size","unit":"By","gauge":{"dataPoints":[{"asInt":"5",@T}]}}"#;
    let got = samples(&run(&settings, &request("", "", metric)));
    assert_eq!(got, [r#"size_bytes{__type__="gauge", __unit__="bytes"} 5"#]);
}

#[test]
fn sums_and_gauges() {
    let check = |data: &str, kind: MetricType, expected: &str| {
        let metric = format!(r#"{{"name":"m","description":"help",{data}}}"#);
        let translated = run(&settings(OtlpConfig::default()), &request("", "", &metric));
        assert_eq!(samples(&translated), [expected], "{data}");
        let (family, metadata) = &translated.metadata[0];
        let name = expected.split(' ').next().unwrap();
        assert_eq!((family.as_str(), metadata.kind, metadata.help.as_str()), (name, kind, "help"));
    };
    check(r#""gauge":{"dataPoints":[{"asInt":"-3",@T}]}"#, MetricType::Gauge, "m -3");
    check(r#""gauge":{"dataPoints":[{@T}]}"#, MetricType::Gauge, "m 0");
    check(r#""gauge":{"dataPoints":[{"asDouble":2,"flags":1,@T}]}"#, MetricType::Gauge, "m stale");
    let start = format!(r#""startTimeUnixNano":"{}000000""#, T - 5000);
    let counter = r#""aggregationTemporality":2,"isMonotonic":true"#;
    let sum = |more: &str, point: &str| format!(r#""sum":{{{more},"dataPoints":[{{{point},@T}}]}}"#);
    check(&sum(counter, &format!(r#""asInt":"3",{start}"#)), MetricType::Counter, "m_total 3 from -5000");
    check(&sum(r#""aggregationTemporality":2"#, r#""asDouble":0.5"#), MetricType::Gauge, "m 0.5");
    let late = format!(r#""asInt":"3","startTimeUnixNano":"{}000000""#, T + 1);
    check(&sum(counter, &late), MetricType::Counter, "m_total 3");
}

const HISTOGRAM: &str = r#"{"name":"h","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{@T,
    "count":"6","sum":9.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,10],
    "exemplars":[{"asDouble":0.2,"traceId":"0102","timeUnixNano":"1700000000000000000"},{"asDouble":3},{"asDouble":50}]}]}}"#;

#[test]
fn histograms_become_classic_ones() {
    let translated = run(&settings(OtlpConfig::default()), &request("", "", HISTOGRAM));
    let expected = [
        "h_seconds_sum 9.5",
        "h_seconds_count 6",
        r#"h_seconds_bucket{le="0.5"} 1"#,
        r#"h_seconds_bucket{le="10"} 3"#,
        r#"h_seconds_bucket{le="+Inf"} 6"#,
    ];
    assert_eq!(samples(&translated), expected);
    let exemplars: Vec<String> = translated
        .exemplars
        .iter()
        .map(|(series, time, value, with)| format!("{} {value} {with} @{}", labels(&translated, *series), time - T))
        .collect();
    let expected = [
        r#"h_seconds_bucket{le="0.5"} 0.2 {trace_id="0102"} @0"#,
        r#"h_seconds_bucket{le="10"} 3 {} @0"#,
        r#"h_seconds_bucket{le="+Inf"} 50 {} @0"#,
    ];
    assert_eq!(exemplars, expected);
    assert_eq!(translated.metadata[0].1.kind, MetricType::Histogram);
    // Without a sum there is no series for it, and a point that has nothing to say ends all.
    let stale = HISTOGRAM.replace(r#""sum":9.5,"#, r#""flags":1,"#);
    let got = samples(&run(&settings(OtlpConfig::default()), &request("", "", &stale)));
    assert_eq!(got.len(), 4);
    assert!(got.iter().all(|line| line.ends_with(" stale")), "{got:?}");
}

#[test]
fn histograms_become_native_ones() {
    let config = OtlpConfig { histograms_to_nhcb: true, ..OtlpConfig::default() };
    let translated = run(&settings(config), &request("", "", HISTOGRAM));
    assert_eq!(translated.errors, []);
    let (sample, histogram) = &translated.histograms[0];
    assert_eq!(labels(&translated, sample.series).to_string(), "h_seconds");
    assert_eq!((histogram.schema, histogram.count, histogram.sum), (CUSTOM_BUCKETS_SCHEMA, 6.0, 9.5));
    assert_eq!((&histogram.positive_buckets, &histogram.custom_values), (&vec![1.0, 2.0, 3.0], &vec![0.5, 10.0]));
    assert_eq!(translated.exemplars.len(), 3);

    let exponential = r#"{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{@T,
        "count":"4","sum":2,"scale":1,"zeroCount":"1","positive":{"offset":2,"bucketCounts":["1","0","2"]}}]}}"#;
    let translated = run(&settings(OtlpConfig::default()), &request("", "", exponential));
    assert_eq!(translated.errors, []);
    let histogram = &translated.histograms[0].1;
    assert_eq!((histogram.schema, histogram.zero_count, histogram.count), (1, 1.0, 4.0));
    assert_eq!((histogram.positive_spans[0].offset, &histogram.positive_buckets), (3, &vec![1.0, 0.0, 2.0]));
    assert_eq!(histogram.counter_reset_hint, CounterResetHint::Unknown);
    let stale = exponential.replace(r#""count""#, r#""flags":1,"count""#);
    let translated = run(&settings(OtlpConfig::default()), &request("", "", &stale));
    assert!(translated.histograms[0].1.is_stale());
}

#[test]
fn summaries() {
    let metric = r#"{"name":"s","summary":{"dataPoints":[{@T,"count":"4","sum":10,
        "quantileValues":[{"quantile":0.5,"value":2},{"quantile":1,"value":3}]}]}}"#;
    let got = samples(&run(&settings(OtlpConfig::default()), &request("", "", metric)));
    assert_eq!(got, ["s_sum 10", "s_count 4", r#"s{quantile="0.5"} 2"#, r#"s{quantile="1"} 3"#]);
}

#[test]
fn target_info_says_what_else_is_known() {
    let check = |config: OtlpConfig, resource: &str, expected: &[&str]| {
        let got = target_info(&run(&settings(config), &request(resource, "", &gauge("m", ""))));
        assert_eq!(got, expected, "{resource}");
    };
    let default = OtlpConfig::default();
    let keep = OtlpConfig { keep_identifying: true, ..default.clone() };
    check(default.clone(), "", &[]);
    check(default.clone(), "service.name=api service.instance.id=i", &[]);
    check(default.clone(), "host.name=h", &[]);
    check(default.clone(), "service.name=api host.name=h", &[r#"target_info{host_name="h", job="api"} @0"#]);
    let expected = r#"target_info{host_name="h", job="n/api", service_name="api", service_namespace="n"} @0"#;
    check(keep, "service.name=api service.namespace=n host.name=h", &[expected]);
    let promoted = OtlpConfig { promoted: Promoted::AllBut(vec![]), promote_scope: true, ..default };
    check(promoted, "service.name=api host.name=h", &[r#"target_info{host_name="h", job="api"} @0"#]);
}

#[test]
fn target_info_lasts_as_long_as_the_points() {
    let at = |offset_ms: i64| format!(r#"{{"asInt":"1","timeUnixNano":"{}000000"}}"#, T + offset_ms);
    let points = |offsets: &[i64]| {
        let points: Vec<String> = offsets.iter().map(|offset| at(*offset)).collect();
        format!(r#"{{"name":"m","gauge":{{"dataPoints":[{}]}}}}"#, points.join(","))
    };
    let check = |offsets: &[i64], expected: &[i64]| {
        let request = request("service.name=api host=h", "", &points(offsets));
        let got = target_info(&run(&settings(OtlpConfig::default()), &request));
        let expected: Vec<String> =
            expected.iter().map(|at| format!(r#"target_info{{host="h", job="api"}} @{at}"#)).collect();
        assert_eq!(got, expected);
    };
    check(&[0], &[0]);
    check(&[60_000, 0], &[0, 60_000]);
    check(&[0, 150_000], &[0, 150_000]);
    check(&[0, 400_000], &[0, 150_000, 300_000, 400_000]);
    // A point with a wrong clock asks for more than a request may have.
    let request = request("service.name=api host=h", "", &points(&[1 - T, 0]));
    let refused = translate(&request, &settings(OtlpConfig::default()), &mut |_| None, None);
    assert_eq!(refused.unwrap_err(), Unreadable::TooMany);
}

#[test]
fn what_is_refused() {
    let check = |metric: &str, expected: &str| {
        let translated = run(&settings(OtlpConfig::default()), &request("", "", metric));
        let errors: Vec<String> = translated
            .errors
            .iter()
            .map(|error| match error {
                Refusal::Invalid(text) => text.clone(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(errors, [expected], "{metric}");
    };
    let delta =
        |kind: &str| format!(r#"{{"name":"m.d",{kind}:{{"aggregationTemporality":1,"dataPoints":[{{@T}}]}}}}"#);
    let combination = r#"invalid temporality and type combination for metric "m.d""#;
    check(&delta(r#""sum""#), combination);
    check(&delta(r#""histogram""#), combination);
    check(&delta(r#""exponentialHistogram""#), combination);
    check(&delta(r#""sum""#).replace("\"aggregationTemporality\":1,", ""), combination);
    check(r#"{"name":"m"}"#, "could not get aggregation temporality for m as it has unsupported metric type Empty");
    check(r#"{"name":"","gauge":{"dataPoints":[{@T}]}}"#, r#"normalization for metric "" resulted in empty name"#);
    check(r#"{"name":"m","gauge":{"dataPoints":[{"asInt":"1"}]}}"#, "OutOfBounds");
    let attribute = r#"{"name":"m","gauge":{"dataPoints":[{@T,"attributes":[{"value":{"intValue":"1"}}]}]}}"#;
    check(attribute, "label name is empty");
    let exemplar = r#"{"name":"m","sum":{"aggregationTemporality":2,"dataPoints":[{@T,"exemplars":[{}]}]}}"#;
    check(exemplar, "unsupported exemplar value type: Empty");
}

#[test]
fn what_is_warned_of() {
    let check = |metrics: &str, expected: &[Warning]| {
        let translated = run(&settings(OtlpConfig::default()), &request("", "", metrics));
        assert_eq!((translated.errors.len(), translated.warnings.as_slice()), (0, expected));
    };
    check(r#"{"name":"m","gauge":{"dataPoints":[]}}"#, &[Warning::NoPoints("m".into())]);
    check(
        &format!("{},{}", gauge("m", "a.b=1 a_b=2"), gauge("n", "a.b=1 a_b=2")),
        &[Warning::Collision("a_b".into())],
    );
    let odd = r#"{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{@T,"sum":2}]}}"#;
    check(odd, &[Warning::SumOfNothing("e".into())]);
}

#[test]
fn delta_is_stored_as_it_comes_where_asked_for() {
    let settings = Settings { delta: Delta::Native, ..settings(OtlpConfig::default()) };
    let metric =
        r#"{"name":"m","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"5",@T}]}}"#;
    let translated = run(&settings, &request("", "", metric));
    assert_eq!(samples(&translated), ["m_total 5"]);
    assert_eq!(translated.metadata[0].1.kind, MetricType::Unknown);
}

#[test]
fn delta_is_summed_up_where_asked_for() {
    let settings = Settings { delta: Delta::Summed, ..settings(OtlpConfig::default()) };
    let mut streams = Streams::default();
    let mut send = |offset_ms: i64| {
        let sum =
            r#"{"name":"m","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"5",@T}]}}"#;
        let exponential = r#"{"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{@T,
            "count":"2","sum":1,"scale":1,"positive":{"offset":1,"bucketCounts":["2"]}}]}}"#;
        let delta = HISTOGRAM.replace(r#""aggregationTemporality":2"#, r#""aggregationTemporality":1"#);
        let at = |metric: &str| metric.replace("@T", &format!("\"timeUnixNano\":\"{}000000\"", T + offset_ms));
        let request = request("", "", &format!("{},{},{}", at(sum), at(exponential), at(&delta)));
        translate(&request, &settings, &mut |_| None, Some(&mut streams)).unwrap()
    };
    let first = send(0);
    assert_eq!(samples(&first)[0], "m_total 5");
    assert_eq!(first.metadata[0].1.kind, MetricType::Counter);
    let second = send(1000);
    let lines = samples(&second);
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("m_total 10 @1000", "h_seconds_count 12 @1000"));
    let histogram = &second.histograms[0].1;
    assert_eq!((histogram.count, histogram.positive_buckets[0]), (4.0, 4.0));
    assert_eq!(histogram.counter_reset_hint, CounterResetHint::Unknown);
    let again = send(1000);
    let old = |name: &str| Warning::OldDelta(name.into());
    assert_eq!((samples(&again).len(), again.histograms.len()), (0, 0));
    assert_eq!(again.warnings, [old("m_total"), old("e"), old("h_seconds")]);
}

#[test]
fn known_series_are_not_translated_again() {
    let settings = settings(OtlpConfig::default());
    let metrics = format!("{HISTOGRAM},{}", gauge("g", "x=1"));
    let request = request("service.name=api host=h", "", &metrics);
    let first = run(&settings, &request);
    let mut asked = 0;
    let again = translate(
        &request,
        &settings,
        &mut |key| {
            asked += 1;
            let place = first.series.iter().position(|entry| entry.key == key)?;
            Some(SeriesRef { slot: place as u32, generation: 0 })
        },
        None,
    );
    let again = again.unwrap();
    assert_eq!((asked, again.series.len()), (7, 7));
    for (place, entry) in again.series.iter().enumerate() {
        assert!(matches!(entry.series, Found::Known(series) if series.slot as usize == place));
    }
    let values = |translated: &Translated| -> Vec<_> {
        translated.samples.iter().map(|s| (s.series, s.timestamp, s.value.to_bits())).collect()
    };
    assert_eq!(values(&again), values(&first));
}

/// Any damage gives a request or an error, whatever is asked for; and there is no more in it than its bytes can say.
#[test]
fn damaged_requests() {
    let exponential = r#"{"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{@T,
        "count":"4","sum":2,"scale":12,"zeroCount":"1","positive":{"offset":-7,"bucketCounts":["1","0","2"]}}]}}"#;
    let all = |metrics: &str| request("service.name=api host=h", r#""name":"lib""#, metrics);
    let seeds = [
        all(HISTOGRAM),
        all(exponential),
        all(&gauge("g", "x.y=1 x_y=2")),
        all(&format!("{HISTOGRAM},{exponential}")),
    ];
    let mut fuzz = Fuzz::new(20_000);
    let (mut read, mut streams) = (0, Streams::default());
    while fuzz.goes_on() {
        let bytes = fuzz.input(&seeds, &[]);
        let random = &mut fuzz.random;
        let config = OtlpConfig {
            histograms_to_nhcb: random.bool(),
            strategy: Strategy { escape: random.bool(), suffixes: random.bool() },
            promote_scope: random.bool(),
            promoted: if random.bool() { Promoted::AllBut(vec![]) } else { Promoted::These(vec!["host".into()]) },
            ..OtlpConfig::default()
        };
        let delta = *random.choice(&[Delta::Refused, Delta::Native, Delta::Summed]).unwrap();
        let settings = Settings { delta, type_and_unit_labels: random.bool(), ..settings(config) };
        let Ok(found) = translate(&bytes, &settings, &mut |_| None, Some(&mut streams)) else { continue };
        read += 1;
        // `target_info` is repeated for as long as the points are.
        let is_info = |series: usize| match &found.series[series].series {
            Found::New(labels) => labels.metric() == "target_info",
            Found::Known(_) => false,
        };
        let samples = found.samples.iter().filter(|sample| !is_info(sample.series)).count();
        assert!(samples + found.histograms.len() <= 8 * bytes.len(), "{bytes:02x?}");
        for (_, histogram) in &found.histograms {
            histogram.validate().unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        }
    }
    assert!(read > fuzz.tried / 20, "of {} only {read} could be read", fuzz.tried);
}

#[test]
fn damaged_json() {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{}]}},"scopeMetrics":[{{"metrics":[{HISTOGRAM}]}}]}}]}}"#,
        pairs("service.name=api a=b")
    )
    .replace("@T", r#""timeUnixNano":"1700000000000000000""#);
    let words: Vec<&[u8]> = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "-",
        "1e999",
        "\"NaN\"",
        "\"0\"",
        "\"\\u0000\"",
        "[[[[[[",
    ]
    .iter()
    .map(|word| word.as_bytes())
    .collect();
    let (seeds, mut read, mut fuzz) = ([json.into_bytes()], 0, Fuzz::new(20_000));
    while fuzz.goes_on() {
        let bytes = fuzz.input(&seeds, &words);
        if let Ok(message) = to_protobuf(&bytes) {
            assert!(message.len() <= (1 + json::GROWTH) * bytes.len(), "{:?}", String::from_utf8_lossy(&bytes));
            // What was made of it is protobuf; texts may be anything.
            translate(&message, &settings(OtlpConfig::default()), &mut |_| None, None).expect("a message");
            read += 1;
        }
    }
    assert!(read > fuzz.tried / 40, "of {} only {read} could be read", fuzz.tried);
}
