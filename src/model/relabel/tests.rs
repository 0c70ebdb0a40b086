use super::*;

fn parts(action: &str) -> Parts {
    Parts { action: Action::parse(action).unwrap(), ..Parts::default() }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// The labels after one rule, sorted; `None` where it drops them.
fn after(parts: Parts, labels: &[(&str, &str)]) -> Option<String> {
    let rule = Rule::new(parts, |name| !name.is_empty()).unwrap();
    let mut builder = LabelsBuilder::new();
    for (name, value) in labels {
        builder.set(name, value);
    }
    apply(&[rule], &mut builder).then(|| builder.build().to_string())
}

#[test]
fn actions() {
    let labels = &[("a", "foo"), ("b", "bar"), ("c", "baz")][..];
    let check = |parts: Parts, expected: Option<&str>| {
        assert_eq!(after(parts.clone(), labels).as_deref(), expected, "{parts:?}");
    };
    let all = r#"{a="foo", b="bar", c="baz"}"#;
    let (source, regex) = (texts(&["a", "b"]), "f(.*);(.*)r".to_string());
    check(
        Parts {
            source_labels: source.clone(),
            regex,
            target_label: "d".into(),
            replacement: "$1-${2}".into(),
            ..parts("replace")
        },
        Some(r#"{a="foo", b="bar", c="baz", d="oo-ba"}"#),
    );
    // No match, no change; an empty result removes the label; a template may name the target.
    let other =
        Parts { source_labels: source.clone(), regex: "x.*".into(), target_label: "a".into(), ..parts("Replace") };
    check(other, Some(all));
    let empty = Parts { target_label: "a".into(), replacement: String::new(), ..parts("replace") };
    check(empty, Some(r#"{b="bar", c="baz"}"#));
    let named = Parts { source_labels: texts(&["b"]), target_label: "x_$1".into(), ..parts("replace") };
    check(named, Some(r#"{a="foo", b="bar", c="baz", x_bar="bar"}"#));
    check(Parts { source_labels: texts(&["a"]), regex: "fo".into(), ..parts("keep") }, None);
    check(Parts { source_labels: texts(&["a"]), regex: "fo+".into(), ..parts("keep") }, Some(all));
    check(Parts { source_labels: texts(&["a"]), regex: "fo+".into(), ..parts("DROP") }, None);
    check(Parts { source_labels: texts(&["none"]), regex: "x".into(), ..parts("drop") }, Some(all));
    check(Parts { source_labels: texts(&["a"]), target_label: "b".into(), ..parts("keepequal") }, None);
    check(Parts { source_labels: texts(&["a"]), target_label: "b".into(), ..parts("dropequal") }, Some(all));
    check(
        Parts { source_labels: texts(&["a"]), target_label: "u".into(), ..parts("uppercase") },
        Some(r#"{a="foo", b="bar", c="baz", u="FOO"}"#),
    );
    check(
        Parts { regex: "(b|c)".into(), replacement: "x_$1".into(), ..parts("labelmap") },
        Some(r#"{a="foo", b="bar", c="baz", x_b="bar", x_c="baz"}"#),
    );
    check(Parts { regex: "[ab]".into(), ..parts("labeldrop") }, Some(r#"{c="baz"}"#));
    check(Parts { regex: "[ab]".into(), ..parts("labelkeep") }, Some(r#"{a="foo", b="bar"}"#));
    // As Prometheus counts: the sum of `foo` is acbd18db4cc2f85cedef654fccc4a4d8.
    let shard = 0xedef_654f_ccc4_a4d8_u64 % 1000;
    let counted =
        Parts { source_labels: texts(&["a"]), target_label: "s".into(), modulus: 1000, ..parts("hashmod") };
    check(counted, Some(&format!(r#"{{a="foo", b="bar", c="baz", s="{shard}"}}"#)));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let check = |parts: Parts, message: &str| {
        let refused = Rule::new(parts.clone(), |name| !name.is_empty()).expect_err("a mistake");
        assert_eq!(refused.message, message, "{parts:?}");
    };
    assert_eq!(Action::parse("keep_if_equal").unwrap_err().message, "unknown relabel action \"keep_if_equal\"");
    check(parts("replace"), "relabel configuration for replace action requires 'target_label' value");
    check(
        Parts { target_label: "a".into(), ..parts("hashmod") },
        "relabel configuration for hashmod requires non-zero modulus",
    );
    check(
        Parts { target_label: "a".into(), replacement: "x".into(), ..parts("lowercase") },
        "'replacement' can not be set for lowercase action",
    );
    check(
        Parts { target_label: "a".into(), regex: "x".into(), ..parts("keepequal") },
        "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
    );
    check(
        Parts { regex: "x".into(), source_labels: texts(&["a"]), ..parts("labeldrop") },
        "labeldrop action requires only 'regex', and no other fields",
    );
    let legacy = Rule::new(Parts { target_label: "a-b".into(), ..parts("replace") }, is_legacy_label_name);
    assert_eq!(legacy.unwrap_err().message, "\"a-b\" is invalid 'target_label' for replace action");
    for target in ["${1}", "a_$1_b", "$foo", "x${a}y"] {
        assert!(
            Rule::new(Parts { target_label: target.into(), ..parts("replace") }, is_legacy_label_name).is_ok(),
            "{target}"
        );
    }
}
