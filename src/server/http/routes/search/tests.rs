use super::*;
use crate::model::metadata::MetricType;

const NOW_MS: i64 = 1_700_000_000_000;

fn asked(query: &str, max_limit: usize) -> std::result::Result<Search, String> {
    let params = Params::parse(b"", query);
    search_of(&params, NOW_MS, SearchLimits { max_limit }, "label_names", Subject::LabelNames)
        .map_err(|error| error.message)
}

#[test]
fn defaults_and_bounds() {
    let plain = asked("", 10_000).unwrap();
    assert_eq!(plain.wanted.range, TimeRange::new(NOW_MS - 3_600_000, NOW_MS));
    assert_eq!((plain.wanted.limit, plain.batch, plain.order), (Some(100), 100, Order::Value));
    assert!(plain.filter.is_none() && plain.wanted.matchers.is_empty());
    // A cap below the default is the default.
    assert_eq!(asked("", 7).unwrap().wanted.limit, Some(7));
    assert_eq!(asked("limit=7", 7).unwrap().wanted.limit, Some(7));
    assert_eq!(asked("limit=1000000", 0).unwrap().wanted.limit, Some(1_000_000));
    assert_eq!(asked("batch_size=5000", 10).unwrap().batch, 1000);
    assert_eq!(asked("start=5&end=5", 10).unwrap().wanted.range, TimeRange::new(5_000, 5_000));
    let order = |query| asked(query, 10).unwrap().order;
    assert_eq!(order("sort_by=alpha&sort_dir=dsc"), Order::ValueDescending);
    assert_eq!(order("sort_by=alpha&sort_dir=asc"), Order::Value);
    assert_eq!(order("sort_by=score&search[]="), Order::Score);
    assert!(asked("search[]=", 10).unwrap().filter.is_none());
}

/// Prometheus' texts.
#[test]
fn errors() {
    let check = |query: &str, expected: &str| assert_eq!(asked(query, 10).unwrap_err(), expected, "{query}");
    check("start=x", r#"invalid time value for 'start': cannot parse "x" to a valid timestamp"#);
    check("start=2&end=1", "end timestamp must not be before start timestamp");
    check("match[]={}", "match[] must contain at least one non-empty matcher");
    check(&"search[]=a&".repeat(33), "too many search[] terms: got 33, maximum is 32");
    check(&format!("search[]={}", "a".repeat(1025)), "search[] term too long: 1025 bytes, maximum is 1024");
    for wrong in ["-1", "101", "x", "256"] {
        check(&format!("fuzz_threshold={wrong}"), &format!("invalid fuzz_threshold {wrong:?}: must be 0-100"));
    }
    check("fuzz_alg=soundex", r#"unsupported fuzz_alg "soundex": must be one of [subsequence jarowinkler]"#);
    check("case_sensitive=maybe", r#"invalid case_sensitive "maybe": must be boolean"#);
    check("include_score=2", r#"invalid include_score "2": must be boolean"#);
    check("sort_dir=asc", "sort_dir is only valid when sort_by is set");
    check("sort_by=score&sort_dir=asc&search[]=a", "sort_dir is not supported for sort_by=score");
    check("sort_by=alpha&sort_dir=up", r#"invalid sort_dir "up": must be "asc" or "dsc""#);
    check("sort_by=score", "sort_by=score requires search[] to be set");
    check("sort_by=size", r#"invalid sort_by "size" for label_names: must be "alpha" or "score""#);
    check("limit=0", r#"invalid limit "0": must be a positive integer"#);
    check("limit=many", r#"invalid limit "many": must be a positive integer"#);
    check("limit=11", "limit 11 exceeds the configured maximum (10, see --web.search.max-limit)");
    check("batch_size=0", r#"invalid batch_size "0": must be a positive integer"#);
}

#[test]
fn lines() {
    let hits = || vec![Hit { value: "up".into(), score: 1.0 }, Hit { value: "a\"b".into(), score: 0.25 }];
    let metadata = Metadata { kind: MetricType::Gauge, help: "Is it?".into(), unit: String::new() };
    let plain = Line { key: "value", with_score: false, metadata: HashMap::new() };
    assert_eq!(plain.write(Ok(Part::Batch(hits()))), "{\"results\":[{\"value\":\"up\"},{\"value\":\"a\\\"b\"}]}\n");
    let full = Line { key: "name", with_score: true, metadata: HashMap::from([("up".to_string(), metadata)]) };
    assert_eq!(
        full.write(Ok(Part::Batch(hits()))),
        "{\"results\":[{\"name\":\"up\",\"score\":1,\"type\":\"gauge\",\"help\":\"Is it?\"},\
         {\"name\":\"a\\\"b\",\"score\":0.25}]}\n"
    );
    assert_eq!(plain.write(Ok(Part::Batch(vec![]))), "{\"results\":[]}\n");
    assert_eq!(plain.write(Ok(Part::End { has_more: true })), "{\"status\":\"success\",\"has_more\":true}\n");
    let failed: serde_json::Value =
        serde_json::from_str(&plain.write(Err(Error::new(ErrorKind::Timeout, "too late")))).unwrap();
    assert_eq!(failed, json!({ "status": "error", "errorType": "timeout", "error": "too late" }));
}
