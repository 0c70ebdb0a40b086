use super::*;

/// The lines that promtool prints.
fn check(body: &str, expected: &[&str]) {
    let families = families(body.as_bytes()).unwrap();
    let problems: Vec<String> =
        problems(&families).iter().map(|(metric, text)| format!("{metric} {text}")).collect();
    assert_eq!(problems, expected, "{body}");
}

#[test]
fn nothing_to_say() {
    check("# HELP a_bytes A\n# TYPE a_bytes gauge\na_bytes{x=\"1\"} 1\na_bytes{x=\"2\"} 1\n", &[]);
    check(
        "# HELP a_seconds A\n# TYPE a_seconds histogram\na_seconds_bucket{le=\"+Inf\"} 1\na_seconds_sum 1\na_seconds_count 1\n",
        &[],
    );
    check(
        "# HELP a_seconds A\n# TYPE a_seconds summary\na_seconds{quantile=\"0.5\"} 1\na_seconds_sum 1\na_seconds_count 1\n",
        &[],
    );
    check("# HELP a_total A\n# TYPE a_total counter\na_total 1\n", &[]);
    check("# HELP a_sum A\na_sum{le=\"1\"} 1\n", &[]);
    check("# TYPE none counter\n", &[]);
}

#[test]
fn rules() {
    check("a 1\n", &["a no help text"]);
    check("# HELP a A\n# TYPE a counter\na 1\n", &["a counter metrics should have \"_total\" suffix"]);
    check(
        "# HELP a_total A\n# TYPE a_total gauge\na_total 1\n",
        &["a_total non-counter metrics should not have \"_total\" suffix"],
    );
    check("# HELP a_minutes A\na_minutes 1\n", &["a_minutes use base unit \"seconds\" instead of \"minutes\""]);
    check(
        "# HELP a_kilobytes_x A\na_kilobytes_x 1\n",
        &["a_kilobytes_x use base unit \"bytes\" instead of \"kilobytes\""],
    );
    check("# HELP a_ms A\na_ms 1\n", &["a_ms metric names should not contain abbreviated units"]);
    check("# HELP a:b A\na:b 1\n", &["a:b metric names should not contain ':'"]);
    check(
        "# HELP a_gauge A\n# TYPE a_gauge gauge\na_gauge 1\n",
        &["a_gauge metric name should not include type 'gauge'"],
    );
    check(
        "# HELP aB A\naB{xY=\"1\"} 1\n",
        &[
            "aB label names should be written in 'snake_case' not 'camelCase'",
            "aB metric names should be written in 'snake_case' not 'camelCase'",
        ],
    );
    check(
        "# HELP a A\na{x=\"1\"} 1\na{x=\"1\"} 2\na{x=\"1\"} 3\na{x=\"2\"} 3\n",
        &["a metric not unique", "a metric not unique"],
    );
    check(
        "# HELP a_bucket A\n# TYPE a_bucket gauge\na_bucket{le=\"1\",quantile=\"1\"} 1\n",
        &[
            "a_bucket non-histogram metrics should not have \"_bucket\" suffix",
            "a_bucket non-histogram metrics should not have \"le\" label",
            "a_bucket non-summary metrics should not have \"quantile\" label",
        ],
    );
    check(
        "# HELP a_count A\n# TYPE a_count gauge\na_count 1\n",
        &["a_count non-histogram and non-summary metrics should not have \"_count\" suffix"],
    );
}

#[test]
fn what_is_no_exposition() {
    let error = |body: &str| families(body.as_bytes()).unwrap_err();
    assert!(error("a{x=\"1\" 1\n").starts_with("line 1:"));
    assert!(error("# TYPE a gauge\n# TYPE a counter\na 1\n").contains("second TYPE line"));
}

#[test]
fn series_are_counted() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\",x=\"1\"} 1\nh_bucket{le=\"+Inf\",x=\"1\"} 1\nh_sum{x=\"1\"} 1\n\
                h_count{x=\"1\"} 1\nh_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 1\n\
                # TYPE g gauge\ng{x=\"1\"} 1\ng{x=\"2\"} 1\n";
    let table = cardinality(&families(body.as_bytes()).unwrap());
    let expected = "Metric    Cardinality    Percentage    \n\
                    h         8              80.00%        \n\
                    g         2              20.00%        \n\
                    Total     10             100%          \n";
    assert_eq!(table, expected);
}
