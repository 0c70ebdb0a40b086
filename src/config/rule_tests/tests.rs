use super::*;

fn parse(text: &str) -> std::result::Result<RuleTests, String> {
    RuleTests::parse(text, Path::new("folder")).map_err(|mistakes| mistakes.shown("f"))
}

#[test]
fn all_keys() {
    let file = parse(
        "rule_files: [a.yml, /b/*.yml, ../c.yml]\nevaluation_interval: 30s\ngroup_eval_order: [x, y]\nfuzzy_compare: true\n\
         tests:\n- name: first\n  interval: 15s\n  input_series:\n  - {series: 'up{a=\"b\"}', values: 1}\n  \
         alert_rule_test:\n  - eval_time: 5m\n    alertname: A\n    exp_alerts:\n    - exp_labels: {severity: 3, b: yes, c: }\n      \
         exp_annotations: {d: e}\n    -\n  promql_expr_test:\n  - expr: up\n    eval_time: 1h30m\n    exp_samples:\n    \
         - {labels: up, value: 1e2}\n    - {histogram: '{{}}'}\n  external_labels: {f: g}\n  external_url: http://x/\n  \
         start_timestamp: 1609459200\n-\n",
    )
    .unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> Pairs {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    assert_eq!(file.rule_files, ["folder/a.yml", "/b/*.yml", "c.yml"]);
    assert_eq!((file.evaluation_interval_ms, file.fuzzy), (30_000, true));
    assert_eq!(file.group_order, ["x", "y"]);
    let [first, second] = &file.tests[..] else { panic!("{file:?}") };
    assert_eq!((first.name.as_str(), first.interval_ms, first.end_ms()), ("first", 15_000, 5_400_000));
    assert_eq!(first.input, [InputSeries { series: "up{a=\"b\"}".into(), values: "1".into() }]);
    let labels = pairs(&[("b", "yes"), ("c", ""), ("severity", "3")]);
    let alert = ExpectedAlert { labels, annotations: pairs(&[("d", "e")]) };
    let expected = vec![alert, ExpectedAlert::default()];
    assert_eq!(first.alerts, [AlertTest { at_ms: 300_000, alert: "A".into(), expected }]);
    let samples = vec![
        ExpectedSample { labels: "up".into(), value: 100.0, histogram: String::new() },
        ExpectedSample { labels: String::new(), value: 0.0, histogram: "{{}}".into() },
    ];
    assert_eq!(first.expressions, [ExpressionTest { at_ms: 5_400_000, expr: "up".into(), expected: samples }]);
    assert_eq!((first.external_labels.clone(), first.external_url.as_str()), (pairs(&[("f", "g")]), "http://x/"));
    assert_eq!(first.start_timestamp.as_deref(), Some("1609459200"));
    assert_eq!((second.interval_ms, second.end_ms()), (30_000, 0));
}

#[test]
fn what_is_not_said() {
    for nothing in ["", "tests:", "tests: []\nevaluation_interval: 0s"] {
        let file = parse(nothing).unwrap();
        assert_eq!((file.evaluation_interval_ms, file.fuzzy, file.tests.len()), (60_000, false, 0), "{nothing}");
    }
}

#[test]
fn mistakes_have_their_lines() {
    let check = |text: &str, expected: &str| assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    check(
        "tests:\n- nam: x\n  promql_expr_test:\n  - eval_time: 5min\n    exp_samples: [{value: one}]\n",
        "f:2: tests[0].nam: field nam not found in a test, is name meant?\n\
         f:4: tests[0].promql_expr_test[0].eval_time: not a valid duration string: \"5min\"\n\
         f:5: tests[0].promql_expr_test[0].exp_samples[0].value: expected a number, got `one`",
    );
    check(
        "group_eval_order:\n- a\n- b\n- a\n",
        "f:4: group_eval_order: group name repeated in evaluation order: a",
    );
    check("rules: []\n", "f:1: rules: field rules not found in a file of rule tests");
}
