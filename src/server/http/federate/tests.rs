//! Pages, after the scenarios that Prometheus documents by its tests, and `expfmt`'s forms.

use std::sync::Arc;

use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use crate::model::labels::Labels;
use crate::server::http::federate::escape::Escaping;
use crate::server::http::federate::families::{self, Sample, Value};
use crate::server::http::federate::{protobuf, text};

fn sample(labels: &[(&str, &str)], value: Value) -> Sample {
    Sample { labels: Labels::from_pairs(labels.iter().copied()), time: 6_000_000, value }
}

fn float(labels: &[(&str, &str)], value: f64) -> Sample {
    sample(labels, Value::Float(value))
}

fn page(mut samples: Vec<Sample>, external: &[(&str, &str)], escaping: Escaping) -> String {
    families::sort(&mut samples);
    let external = Labels::from_pairs(external.iter().copied());
    let mut page = String::new();
    families::each(&samples, &external, |family| text::write(&mut page, family, escaping));
    page
}

fn protobuf_page(samples: &[Sample]) -> Vec<u8> {
    let external = Labels::empty();
    let mut page = Vec::new();
    families::each(samples, &external, |family| protobuf::write(&mut page, family, Escaping::Underscores));
    page
}

fn four() -> Vec<Sample> {
    vec![
        float(&[("__name__", "test_metric2"), ("foo", "boo"), ("instance", "i")], 1.0),
        float(&[("__name__", "test_metric1"), ("foo", "boo"), ("instance", "i")], 1.0),
        float(&[("__name__", "test_metric1"), ("foo", "bar"), ("instance", "i")], 10000.0),
        float(&[("__name__", "test_metric_without_labels")], 1001.0),
        float(&[("foo", "nameless")], 1.0),
    ]
}

#[test]
fn floats_are_untyped_and_sorted() {
    let expected = r#"# TYPE test_metric1 untyped
test_metric1{foo="bar",instance="i"} 10000 6000000
test_metric1{foo="boo",instance="i"} 1 6000000
# TYPE test_metric2 untyped
test_metric2{foo="boo",instance="i"} 1 6000000
# TYPE test_metric_without_labels untyped
test_metric_without_labels{instance=""} 1001 6000000
"#;
    assert_eq!(page(four(), &[], Escaping::Underscores), expected);
    assert_eq!(page(vec![], &[], Escaping::Underscores), "");
}

#[test]
fn external_labels_are_added_where_there_are_none() {
    let got = page(four(), &[("foo", "baz"), ("zone", "ie")], Escaping::Underscores);
    let expected = r#"# TYPE test_metric1 untyped
test_metric1{foo="bar",instance="i",zone="ie"} 10000 6000000
test_metric1{foo="boo",instance="i",zone="ie"} 1 6000000
# TYPE test_metric2 untyped
test_metric2{foo="boo",instance="i",zone="ie"} 1 6000000
# TYPE test_metric_without_labels untyped
test_metric_without_labels{foo="baz",instance="",zone="ie"} 1001 6000000
"#;
    assert_eq!(got, expected);
    let got = page(four(), &[("instance", "baz")], Escaping::Underscores);
    assert!(got.ends_with("test_metric_without_labels{instance=\"baz\"} 1001 6000000\n"), "{got}");
    assert!(got.contains("test_metric2{foo=\"boo\",instance=\"i\"} 1 6000000\n"), "{got}");
}

#[test]
fn names_and_values_of_all_kinds() {
    let check = |escaping: Escaping, expected: &str| {
        let odd = float(&[("__name__", "http.size"), ("a b", "x\"\\\ny"), ("c", "")], f64::NAN);
        assert_eq!(page(vec![odd], &[], escaping), expected);
    };
    check(
        Escaping::AllowUtf8,
        "# TYPE \"http.size\" untyped\n{\"http.size\",\"a b\"=\"x\\\"\\\\\\ny\",instance=\"\"} NaN 6000000\n",
    );
    check(
        Escaping::Underscores,
        "# TYPE http_size untyped\nhttp_size{a_b=\"x\\\"\\\\\\ny\",instance=\"\"} NaN 6000000\n",
    );
    check(
        Escaping::Values,
        "# TYPE U__http_2e_size untyped\nU__http_2e_size{U__a_20_b=\"x\\\"\\\\\\ny\",instance=\"\"} NaN 6000000\n",
    );
    let number = |value: f64| {
        let line = page(vec![float(&[("__name__", "m")], value)], &[], Escaping::Underscores);
        line.split(' ').nth(4).unwrap().to_string()
    };
    assert_eq!(number(-0.0), "0");
    assert_eq!(number(f64::NEG_INFINITY), "-Inf");
    assert_eq!(number(1_000_000.0), "1e+06");
    assert_eq!(number(0.00001), "1e-05");
    assert_eq!(number(123.456), "123.456");
}

fn custom_buckets() -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 10.0,
        sum: 15.5,
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 4.0, 5.0],
        custom_values: vec![0.1, 0.5, 1.0],
        ..FloatHistogram::default()
    }
}

#[test]
fn custom_buckets_become_classic_ones() {
    let histogram = sample(&[("__name__", "h")], Value::Histogram(Arc::new(custom_buckets())));
    let floats = float(&[("__name__", "h"), ("x", "1")], 2.0);
    let got = page(vec![histogram, floats], &[], Escaping::Underscores);
    let expected = r#"# TYPE h histogram
h_bucket{instance="",le="0.1"} 1 6000000
h_bucket{instance="",le="0.5"} 1 6000000
h_bucket{instance="",le="1"} 5 6000000
h_bucket{instance="",le="+Inf"} 10 6000000
h_sum{instance=""} 15.5 6000000
h_count{instance=""} 10 6000000
# TYPE h untyped
h{x="1",instance=""} 2 6000000
"#;
    assert_eq!(got, expected);
}

#[test]
fn protobuf() {
    let one = protobuf_page(&[float(&[("__name__", "m"), ("a", "b"), ("instance", "i")], 2.5)]);
    let expected = [
        &[46, 0x0a, 1, b'm', 0x18, 3, 0x22, 39, 0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b'][..],
        &[0x0a, 13, 0x0a, 8],
        b"instance",
        &[0x12, 1, b'i', 0x2a, 9, 0x09],
        &2.5f64.to_le_bytes(),
        // The time, 6 000 000.
        &[0x30, 0x80, 0x9b, 0xee, 0x02],
    ]
    .concat();
    assert_eq!(one, expected);

    let native = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 1,
        count: 3.0,
        sum: 4.0,
        zero_threshold: 0.5,
        zero_count: 1.0,
        positive_spans: vec![Span { offset: -2, length: 1 }],
        positive_buckets: vec![2.0],
        ..FloatHistogram::default()
    };
    let page = protobuf_page(&[sample(&[("__name__", "n")], Value::Histogram(Arc::new(native)))]);
    let double = |number: u8, value: f64| [&[number << 3 | 1][..], &value.to_le_bytes()].concat();
    let histogram = [
        double(2, 4.0),
        double(4, 3.0),
        vec![0x28, 2],
        double(6, 0.5),
        double(8, 1.0),
        vec![0x62, 4, 0x08, 3, 0x10, 1],
        double(14, 2.0),
    ]
    .concat();
    assert!(page.ends_with(&histogram), "{page:?}");
    assert!(page[1..].starts_with(&[0x0a, 1, b'n', 0x18, 5]), "a gauge histogram: {page:?}");
}
