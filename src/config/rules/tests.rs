use super::*;

fn parse(text: &str) -> std::result::Result<RuleFile, Vec<String>> {
    RuleFile::parse(text, NameValidation::Utf8, &ParseOptions::default())
        .map_err(|mistakes| mistakes.shown("f").lines().map(str::to_string).collect())
}

#[test]
fn groups_and_rules() {
    let file = parse(
        "groups:\n- name: g\n  interval: 30s\n  query_offset: 0s\n  limit: 3\n  labels: {team: a, tier: x}\n  rules:\n  \
         - record: job:up:sum\n    expr: sum  by(job)(up)\n    labels: {tier: 1}\n  \
         - alert: Down\n    expr: up == 0\n    for: 2m\n    keep_firing_for: 1m\n    annotations: {summary: '{{ $labels.job }}', \
         at: }\n- name: h\n",
    )
    .unwrap();
    let [g, h] = &file.groups[..] else { panic!("{file:?}") };
    assert_eq!((g.interval_ms, g.query_offset_ms, g.limit), (Some(30_000), Some(0), 3));
    assert_eq!((h.interval_ms, h.query_offset_ms, h.limit, h.rules.len()), (None, None, 0, 0));
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let [up, down] = &g.rules[..] else { panic!("{g:?}") };
    assert_eq!((up.name(), up.query.as_str(), up.line), ("job:up:sum", "sum by (job) (up)", 8));
    assert_eq!(up.labels, pairs(&[("team", "a"), ("tier", "1")]));
    let annotations = pairs(&[("at", ""), ("summary", "{{ $labels.job }}")]);
    let kind =
        RuleKind::Alerting { alert: "Down".into(), hold_ms: 120_000, keep_firing_for_ms: 60_000, annotations };
    assert_eq!((&down.kind, &down.labels), (&kind, &pairs(&[("team", "a"), ("tier", "x")])));
    for nothing in ["", "groups:", "groups: []", "{}"] {
        assert_eq!(parse(nothing).unwrap(), RuleFile::default(), "{nothing}");
    }
}

#[test]
fn mistakes() {
    let check = |rule: &str, expected: &[&str]| {
        let text = format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
        let told = parse(&text).unwrap_err();
        let place = |line: &str| line.split(": ").skip(2).collect::<Vec<_>>().join(": ");
        let told: Vec<String> = told.iter().map(|line| place(line)).collect();
        assert_eq!(told, expected, "{rule}");
    };
    check(
        "{record: a, alert: b, expr: up}",
        &[r#"group "g", rule 1, "b": only one of 'record' and 'alert' must be set"#],
    );
    check("{expr: up}", &[r#"group "g", rule 1, "": one of 'record' or 'alert' must be set"#]);
    check("{alert: a}", &[r#"group "g", rule 1, "a": field 'expr' must be set in rule"#]);
    check(
        "{record: a, expr: 'sum('}",
        &[r#"group "g", rule 1, "a": could not parse expression: 1:5: parse error: unclosed left parenthesis"#],
    );
    check(
        "{record: 'a{b=\"c\"}', expr: up}",
        &[
            r#"group "g", rule 1, "a{b=\"c\"}": braces present in the recording rule name; should it be in expr?: a{b="c"}"#,
        ],
    );
    check(
        "{record: a, expr: up, for: 1m, keep_firing_for: 1m, annotations: {a: b}}",
        &[
            r#"group "g", rule 1, "a": invalid field 'annotations' in recording rule"#,
            r#"group "g", rule 1, "a": invalid field 'for' in recording rule"#,
            r#"group "g", rule 1, "a": invalid field 'keep_firing_for' in recording rule"#,
        ],
    );
    check(
        "{alert: a, expr: up, labels: {__name__: b}}",
        &[r#"group "g", rule 1, "a": invalid label name: __name__"#],
    );
    check("{alert: a, expr: up, annotations: {'': b}}", &[r#"group "g", rule 1, "a": invalid annotation name: "#]);
    check(
        "{alert: a, expr: up, labels: {b: '{{ $x }}'}}",
        &[r#"group "g", rule 1, "a": label "b": template: __alert_a:1: undefined variable "$x""#],
    );
    // What stands in templates of recording rules is text.
    assert!(parse("groups: [{name: g, rules: [{record: a, expr: up, labels: {b: '{{ $x }}'}}]}]").is_ok());
}

#[test]
fn mistakes_of_groups_have_their_lines() {
    let told = parse("groups:\n- name: g\n- rules: []\n- name: g\n- name: h\n  labels: {__name__: x}\n  more: 1\n")
        .unwrap_err();
    assert_eq!(
        told,
        [
            "f:3: groups[1]: Groupname must not be empty",
            "f:4: groups[2]: groupname: \"g\" is repeated in the same file",
            "f:6: groups[3]: invalid label name: __name__",
            "f:7: groups[3].more: field more not found in a rule group",
        ]
    );
}

#[test]
fn features_decide_about_expressions() {
    let text = "groups: [{name: g, rules: [{record: a, expr: 'mad_over_time(up[5m])'}]}]";
    assert!(parse(text).unwrap_err()[0].contains("not enabled"), "{:?}", parse(text));
    assert!(RuleFile::parse(text, NameValidation::Utf8, &ParseOptions::all()).is_ok());
}
