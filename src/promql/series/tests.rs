use super::*;

fn values(text: &str) -> Result<Vec<Value>, String> {
    parse(&format!("m {text}"), usize::MAX, 1_000).map(|series| series.values).map_err(|error| error.to_string())
}

fn floats(text: &str) -> Vec<Option<f64>> {
    let float = |value: Value| match value {
        Value::Omitted => None,
        Value::Float(value) => Some(value),
        Value::Histogram(_) => panic!("{text} has a histogram"),
    };
    values(text).unwrap().into_iter().map(float).collect()
}

/// Sequences and what promtool 3.5.3 makes of them.
#[test]
fn sequences_of_floats() {
    let check = |text: &str, expected: &[Option<f64>]| assert_eq!(floats(text), expected, "{text}");
    let some = |numbers: &[f64]| numbers.iter().copied().map(Some).collect::<Vec<_>>();
    check("", &[]);
    check("1 -2  3.5", &some(&[1.0, -2.0, 3.5]));
    check("_ 1 _x2 2", &[None, Some(1.0), None, None, Some(2.0)]);
    check("1x2", &some(&[1.0, 1.0, 1.0]));
    check("1+2x2", &some(&[1.0, 3.0, 5.0]));
    check("1-2x2", &some(&[1.0, -1.0, -3.0]));
    check("-1+0x1", &some(&[-1.0, -1.0]));
    check("0.1+0.1x2", &some(&[0.1, 0.2, 0.1 + 0.1 + 0.1]));
    check("1e2 1e-2x1 2E+1", &some(&[100.0, 0.01, 0.01, 20.0]));
    check("0x3", &some(&[0.0; 4]));
    check("Inf -Inf +inf", &some(&[f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY]));
    let odd = floats("NaN stale");
    assert!(odd[0].unwrap().is_nan() && !crate::model::sample::is_stale(odd[0].unwrap()));
    assert!(crate::model::sample::is_stale(odd[1].unwrap()));
}

/// What nobody needs is not made, however much it would be, and is still read.
#[test]
fn only_what_is_needed() {
    let first =
        |text: &str, needed: usize| parse(&format!("m {text}"), needed, 5).map(|series| series.values.len());
    assert_eq!(first("1+1x2 _x10 3x268435456", 5), Ok(5));
    assert_eq!(first("0x268435456", 0), Ok(0));
    assert_eq!(first("1 2", 5), Ok(2));
    assert!(first("1x268435456", 6).unwrap_err().message.contains("more than 5 values"));
    assert!(first("1x268435456 foo", 3).unwrap_err().message.contains("unexpected identifier"));
}

#[test]
fn what_is_no_sequence() {
    let check = |text: &str, part: &str| {
        let error = values(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    };
    check("foo", "1:3: parse error: unexpected identifier \"foo\" in series values, expected number or \"stale\"");
    check("1 ?", "1:5: parse error: unexpected character in series sequence: '?'");
    check("1+2", "expected x and a count");
    check("1x", "expected a count");
    check("1xx", "expected a count");
    check("1x2y", "unexpected \"y\" in series values");
    check("stalex3", "unexpected identifier");
    check("-stale", "unexpected identifier");
    check("{{count:1", "histogram description incomplete");
    check("0x1000", "more than 1000 values");
    check("0x99999999999999999999", "expected a count");
    check("0x18446744073709551615", "more than 1000 values");
    check("1 1x999", "more than 1000 values");
}

#[test]
fn labels() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let pairs: Pairs = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(parse_labels(text).unwrap(), pairs, "{text}");
    };
    check("", &[]);
    check("{}", &[]);
    check("up", &[("__name__", "up")]);
    check("up{job=\"a b\",instance='}'}", &[("__name__", "up"), ("instance", "}"), ("job", "a b")]);
    check("{\"my.metric\", a=`x`, }", &[("__name__", "my.metric"), ("a", "x")]);
    check("up{a=\"\"}", &[("__name__", "up")]);
    check("{a=\"\"}", &[("a", "")]);
    assert!(parse_labels("up{a!=\"b\"}").unwrap_err().to_string().contains("in label set, expected \"=\""));
    assert!(parse_labels("up[5m]").is_err());
    let series = parse("up{a=\"} 1\"} 2", usize::MAX, 9).unwrap();
    assert_eq!((series.labels[1].1.as_str(), series.values), ("} 1", vec![Value::Float(2.0)]));
    assert!(parse("", usize::MAX, 9).is_err() && parse("up{a=\"b\" 0 1", usize::MAX, 9).is_err());
}

#[test]
fn histograms() {
    let check = |text: &str, expected: &[&str]| {
        let shown = values(text).unwrap().into_iter().map(|value| match value {
            Value::Histogram(histogram) => histogram.test_expression(),
            other => panic!("{other:?}"),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{text}");
    };
    check("{{}}", &["{{}}"]);
    check("{{ count:3 sum:2.5 }}", &["{{count:3 sum:2.5}}"]);
    let all = "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 counter_reset_hint:gauge offset:-3 \
               buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}";
    check(all, &[all]);
    check(
        "{{schema:-53 custom_values:[1 2] buckets:[1 1 1]}}",
        &["{{schema:-53 custom_values:[1 2] buckets:[1 1 1]}}"],
    );
    check("{{count:1}}x1", &["{{count:1}}", "{{count:1}}"]);
    check(
        "{{count:2 buckets:[2]}}+{{count:1 buckets:[1]}}x2",
        &["{{count:2 buckets:[2]}}", "{{count:3 buckets:[3]}}", "{{count:4 buckets:[4]}}"],
    );
    check(
        "{{count:2 buckets:[2]}}-{{count:1 buckets:[1]}}x1",
        &["{{count:2 buckets:[2]}}", "{{count:1 buckets:[1]}}"],
    );
    let fails = |text: &str, part: &str| {
        let error = values(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    };
    fails("{{cnt:1}}", "bad histogram descriptor found: \"cnt\"");
    fails("{{count:1 count:2}}", "duplicate key \"count\" in histogram");
    fails("{{count}}", "expected histogram description key");
    fails("{{schema:x}}", "error parsing schema number: x");
    fails("{{buckets:[1 2}}", "does not end");
    fails("{{schema:1}}+{{schema:0}}x1", "cannot merge from schema 0 to 1");
    fails("{{schema:99}}+{{schema:99}}x1", "invalid schema");
    fails("{{counter_reset_hint:maybe}}", "unknown value maybe");
}
