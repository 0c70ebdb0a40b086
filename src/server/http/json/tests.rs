use std::sync::Arc;

use super::*;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};

fn text(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

#[test]
fn floats() {
    let check = |value: f64, expected: &str| assert_eq!(text(|o| float::write_json(o, value)), expected);
    check(0.0, "0");
    check(-0.0, "-0");
    check(1.0, "1");
    check(-12345.0, "-12345");
    check(0.1, "0.1");
    check(1.5, "1.5");
    check(1e6, "1000000");
    check(123456789012345680.0, "123456789012345680");
    check(1e15, "1000000000000000");
    check(9.99e20, "999000000000000000000");
    check(1e21, "1e+21");
    check(-1.5e21, "-1.5e+21");
    check(1e100, "1e+100");
    check(1e-6, "0.000001");
    check(9.9e-7, "9.9e-07");
    check(1e-7, "1e-07");
    check(5e-324, "5e-324");
    check(f64::MAX, "1.7976931348623157e+308");
    check(f64::NAN, "NaN");
    check(f64::INFINITY, "+Inf");
    check(f64::NEG_INFINITY, "-Inf");
}

#[test]
fn timestamps() {
    let check = |ms: i64, expected: &str| assert_eq!(text(|o| write_timestamp(o, ms)), expected);
    check(0, "0");
    check(1000, "1");
    check(1, "0.001");
    check(1_500, "1.500");
    check(1_434_000_000_010, "1434000000.010");
    check(-1, "-0.001");
    check(-1_500, "-1.500");
}

#[test]
fn strings() {
    let check = |raw: &str, expected: &str| assert_eq!(text(|o| write_string(o, raw)), expected);
    check("", r#""""#);
    check("a\"b\\c", r#""a\"b\\c""#);
    check("x\ny\tz\r", r#""x\ny\tz\r""#);
    check("\u{1}é", "\"\\u0001é\"");
}

#[test]
fn results() {
    let labels = || Labels::from_pairs([("__name__", "up"), ("job", "a\"b")]);
    let float = |v| Point::Float(v);
    let vector =
        QueryValue::Vector(vec![ResultSeries { labels: labels(), points: vec![(1_500, float(f64::NAN))] }]);
    assert_eq!(
        text(|o| write_result(o, &vector)),
        r#""resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"b"},"value":[1.500,"NaN"]}]"#
    );
    let matrix = QueryValue::Matrix(vec![ResultSeries {
        labels: Labels::empty(),
        points: vec![(1_000, float(1.0)), (2_000, float(2.5))],
    }]);
    assert_eq!(
        text(|o| write_result(o, &matrix)),
        r#""resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"2.5"]]}]"#
    );
    let mixed = QueryValue::Matrix(vec![ResultSeries {
        labels: Labels::empty(),
        points: vec![(1_000, float(1.0)), (2_000, Point::Histogram(Arc::default()))],
    }]);
    assert_eq!(
        text(|o| write_result(o, &mixed)),
        r#""resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]],"histograms":[[2,{"count":"0","sum":"0"}]]}]"#
    );
    assert_eq!(text(|o| write_result(o, &QueryValue::Vector(vec![]))), r#""resultType":"vector","result":[]"#);
    assert_eq!(
        text(|o| write_result(o, &QueryValue::Scalar(10, 3.0))),
        r#""resultType":"scalar","result":[0.010,"3"]"#
    );
    assert_eq!(
        text(|o| write_result(o, &QueryValue::String(0, "x".into()))),
        r#""resultType":"string","result":[0,"x"]"#
    );
}

#[test]
fn exponential_histogram_buckets() {
    let histogram = FloatHistogram {
        schema: 0,
        zero_threshold: 0.25,
        zero_count: 3.0,
        count: 42.0,
        sum: 34.5,
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![2.0],
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 1 }],
        positive_buckets: vec![12.0, 0.0, 6.0],
        ..Default::default()
    };
    assert_eq!(
        text(|o| write_histogram(o, &histogram)),
        concat!(
            r#"{"count":"42","sum":"34.5","buckets":[[1,"-2","-1","2"],[3,"-0.25","0.25","3"],"#,
            r#"[0,"0.25","0.5","12"],[0,"2","4","6"]]}"#
        )
    );
}

#[test]
fn custom_histogram_buckets() {
    let histogram = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 6.0,
        sum: 9.0,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![1.0, 2.0, 3.0],
        custom_values: vec![5.0, 10.0],
        ..Default::default()
    };
    assert_eq!(
        text(|o| write_histogram(o, &histogram)),
        concat!(
            r#"{"count":"6","sum":"9","buckets":[[3,"-Inf","5","1"],[0,"5","10","2"],"#,
            r#"[0,"10","+Inf","3"]]}"#
        )
    );
}

#[test]
fn times() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(1_433_337_718_555), "2015-06-03T13:21:58.555Z");
}
