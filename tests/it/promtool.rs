//! promtool's work by the real binary: what it prints, and its exit codes. The texts are those of promtool 3.5.3 on the same
//! files, but for mistakes in rule files, which have a form of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Servers that are asked, and expressions.
mod query;

/// Files in a folder, and a link by the name of promtool beside them.
struct Folder(TempDir);

/// The exit code, and what is printed on both.
type Printed = (i32, String, String);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_promlake"), folder.path().join("promtool")).expect("a link");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("writing a file");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn promlake(&self, args: &[&str]) -> Printed {
        self.run(Path::new(env!("CARGO_BIN_EXE_promlake")), args, None)
    }

    fn promtool(&self, args: &[&str]) -> Printed {
        self.run(&self.path("promtool"), args, None)
    }

    fn run(&self, program: &Path, args: &[&str], input: Option<&str>) -> Printed {
        let stdin = match input {
            Some(name) => std::fs::File::open(self.path(name)).expect("the input").into(),
            None => Stdio::null(),
        };
        let output = Command::new(program).args(args).current_dir(self.0.path()).stdin(stdin).output();
        let output = output.expect("starting the binary");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
    }
}

fn printed(code: i32, out: &str, errors: &str) -> Printed {
    (code, out.to_string(), errors.to_string())
}

const RULES: &str = r#"
groups:
- name: shop
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 5m
    labels: {severity: page, region: '{{ $externalLabels.region }}'}
    annotations: {summary: '{{ $labels.instance }} of {{ $labels.job }} is {{ $value }}', link: '{{ $externalURL }}/x'}
"#;

const DUPLICATES: &str = r#"
groups:
- name: a
  labels: {team: x}
  rules:
  - {record: r, expr: up, labels: {b: c}}
  - {record: r, expr: up, labels: {b: c}}
  - {record: r, expr: up, labels: {b: d}}
- name: b
  rules:
  - {record: r, expr: up, labels: {b: c, team: x}}
  - {alert: r, expr: up}
"#;

const BAD: &str = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(\n    more: 1\n";

#[test]
fn rule_files_are_checked() {
    let folder =
        Folder::new(&[("rules.yml", RULES), ("twice.yml", DUPLICATES), ("bad.yml", BAD), ("empty.yml", "")]);
    let check = |args: &[&str], expected: Printed| {
        assert_eq!(folder.promlake(args), expected, "{args:?}");
        assert_eq!(folder.promtool(args), expected, "promtool {args:?}");
    };
    let good = "Checking rules.yml\n  SUCCESS: 2 rules found\n\n";
    let twice = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: r\nLabel(s):\n\tb: c\n\tteam: x\n\
                 Might cause inconsistency while recording expressions\n";
    check(&["check", "rules", "rules.yml"], printed(0, good, ""));
    check(
        &["check", "rules", "twice.yml", "rules.yml"],
        printed(0, &format!("Checking twice.yml\n\n{good}"), twice),
    );
    check(&["check", "rules", "--lint-fatal", "twice.yml"], printed(3, "Checking twice.yml\n\n", twice));
    let both = "Checking twice.yml\n  SUCCESS: 5 rules found\n\n";
    check(&["check", "rules", "--lint=none", "--lint-fatal", "twice.yml"], printed(0, both, ""));
    check(
        &["check", "rules", "--lint=none,odd", "twice.yml"],
        printed(0, &format!("WARNING: unknown lint option: \"odd\"\n{both}"), ""),
    );
    check(&["check", "rules", "empty.yml"], printed(0, "Checking empty.yml\n  SUCCESS: 0 rules found\n\n", ""));
    let mistakes = "  FAILED:\n\
         bad.yml:5: groups[0].rules[0]: group \"g\", rule 1, \"r\": could not parse expression: 1:5: parse error: unclosed left parenthesis\n\
         bad.yml:6: groups[0].rules[0].more: field more not found in a rule\n\
         \x20    5 |     expr: sum(\n     6 |     more: 1\n";
    check(&["check", "rules", "bad.yml", "rules.yml"], printed(1, &format!("Checking bad.yml\n{good}"), mistakes));
    let (code, out, errors) = folder.promlake(&["check", "rules", "--ignore-unknown-fields", "bad.yml"]);
    assert_eq!((code, out.as_str()), (1, "Checking bad.yml\n"));
    assert!(!errors.contains("more") && errors.contains("unclosed left parenthesis"), "{errors}");
    let (code, _, errors) = folder.promlake(&["check", "rules", "no-such.yml"]);
    assert!(code == 1 && errors.contains("no-such.yml"), "{errors}");
}

#[test]
fn rules_on_standard_input_are_checked() {
    let folder = Folder::new(&[("rules.yml", RULES), ("bad.yml", BAD)]);
    let promlake = Path::new(env!("CARGO_BIN_EXE_promlake"));
    let good = "Checking standard input\n  SUCCESS: 2 rules found\n\n";
    assert_eq!(folder.run(promlake, &["check", "rules"], Some("rules.yml")), printed(0, good, ""));
    let (code, out, errors) = folder.run(promlake, &["check", "rules"], Some("bad.yml"));
    assert_eq!((code, out.as_str()), (1, "Checking standard input\n"));
    assert!(errors.contains("standard input:5: "), "{errors}");
}

#[test]
fn features_of_the_language_are_asked_for() {
    let rules = "groups: [{name: g, rules: [{record: r, expr: 'mad_over_time(up[5m])'}]}]\n";
    let folder = Folder::new(&[("rules.yml", rules)]);
    let feature = "--enable-feature=promql-experimental-functions";
    let check = |args: &[&str], code: i32| assert_eq!(folder.promtool(args).0, code, "{args:?}");
    check(&["check", "rules", "rules.yml"], 1);
    check(&[feature, "check", "rules", "rules.yml"], 0);
    check(&["check", "rules", feature, "rules.yml"], 0);
    let (_, out, _) = folder.promtool(&["check", "rules", "--enable-feature=odd", "rules.yml"]);
    assert!(out.starts_with("  WARNING: Unknown feature passed to --enable-feature: odd"), "{out}");
}

#[test]
fn configurations_are_checked_with_their_rule_files() {
    let config =
        |files: &str| format!("rule_files: [{files}]\nscrape_configs: [{{job_name: a, scrape_interval: 10m}}]\n");
    let folder = Folder::new(&[
        ("good.yml", config("rules.yml").as_str()),
        ("twice-named.yml", config("'t*.rules', rules.yml").as_str()),
        ("bad-named.yml", config("bad.yml").as_str()),
        ("rules.yml", RULES),
        ("t.rules", DUPLICATES),
        ("bad.yml", BAD),
    ]);
    let valid = |name: &str, rules: usize| {
        format!(
            "Checking {name}\n  SUCCESS: {rules} rule files found\n SUCCESS: {name} is valid prometheus config file syntax\n\n"
        )
    };
    let (code, out, errors) = folder.promlake(&["check", "config", "good.yml"]);
    let expected = valid("good.yml", 1) + "Checking rules.yml\n  SUCCESS: 2 rules found\n\n";
    assert_eq!((code, out, errors), (0, expected, String::new()));
    let (code, out, errors) =
        folder.promlake(&["check", "config", "--lint=all", "--lint-fatal", "twice-named.yml"]);
    let expected =
        valid("twice-named.yml", 2) + "Checking t.rules\n\nChecking rules.yml\n  SUCCESS: 2 rules found\n\n";
    assert_eq!((code, out), (3, expected));
    assert!(
        errors.contains("too long scrape interval found") && errors.contains("1 duplicate rule(s)"),
        "{errors}"
    );
    let (code, out, errors) = folder.promlake(&["check", "config", "bad-named.yml"]);
    assert_eq!((code, out), (1, valid("bad-named.yml", 1) + "Checking bad.yml\n"));
    assert!(errors.contains("bad.yml:5: ") && errors.contains("     5 |     expr: sum("), "{errors}");
    let (code, out, _) = folder.promlake(&["check", "config", "--syntax-only", "bad-named.yml"]);
    assert!(code == 0 && !out.contains("rule files"), "{out}");
}

const GOOD_TEST: &str = r#"
rule_files: ['r*.yml', none*.yml]
evaluation_interval: 1m
tests:
- name: alerts
  external_labels: {region: here}
  external_url: http://prom.example
  input_series:
  - series: up{job="a",instance="x:1"}
    values: 1 0x9 1
  alert_rule_test:
  - {eval_time: 5m, alertname: Down}
  - eval_time: 6m
    alertname: Down
    exp_alerts:
    - exp_labels: {severity: page, region: here, job: a, instance: 'x:1'}
      exp_annotations: {summary: 'x:1 of a is 0', link: http://prom.example/x}
  - {eval_time: 11m, alertname: Down}
  promql_expr_test:
  - expr: job:up:sum
    eval_time: 1m
    exp_samples: [{labels: 'job:up:sum{job="a"}', value: 0}]
  - expr: count_over_time(ALERTS{alertstate="pending"}[20m])
    eval_time: 11m
    exp_samples:
    - labels: '{alertname="Down", alertstate="pending", instance="x:1", job="a", region="here", severity="page"}'
      value: 5
- promql_expr_test:
  - {expr: 'absent(up)', eval_time: 1h, exp_samples: [{value: 1}]}
"#;

const BAD_TEST: &str = r#"
rule_files: [rules.yml]
tests:
- name: first
  input_series:
  - {series: 'up{job="a"}', values: '0x10'}
  alert_rule_test:
  - eval_time: 6m
    alertname: Down
    exp_alerts: [{exp_labels: {severity: ticket}}]
  promql_expr_test:
  - {expr: up, eval_time: 1m, exp_samples: [{labels: up, value: 1}]}
  - {expr: 'sum(', eval_time: 1m}
  - {expr: 'up[5m]', eval_time: 90s}
- name: second
  input_series:
  - {series: 'up{job="a"}', values: '1 foo'}
- alert_rule_test:
  - {eval_time: 1m}
"#;

#[test]
fn rules_are_tested() {
    let folder = Folder::new(&[("rules.yml", RULES), ("good.yml", GOOD_TEST), ("bad.yml", BAD_TEST)]);
    let none = "  WARNING: no file match pattern none*.yml\n";
    assert_eq!(folder.promlake(&["test", "rules", "good.yml"]), printed(0, "  SUCCESS\n\n", none));
    let alert = "    name: first,
    alertname: Down, time: 6m, 
        exp:[
            0:
              Labels:{alertname=\"Down\", severity=\"ticket\"}
              Annotations:{}
            ], 
        got:[
            0:
              Labels:{alertname=\"Down\", job=\"a\", severity=\"page\"}
              Annotations:{link=\"/x\", summary=\" of a is 0\"}
            ]
";
    let others = "    expr: \"up\", time: 1m,
        exp: {__name__=\"up\"} 1E+00
        got: {__name__=\"up\", job=\"a\"} 0E+00
    expr: \"sum(\", time: 1m, err: 1:5: parse error: unclosed left parenthesis
    expr: \"up[5m]\", time: 1m30s, err: rule result is not a vector or scalar
2:15: parse error: unexpected identifier \"foo\" in series values, expected number or \"stale\"
an item under alert_rule_test misses required attribute alertname at eval_time 1m
";
    let expected = printed(1, "\n\n\n\n\n\n\n", &format!("  FAILED:\n{alert}{others}"));
    assert_eq!(folder.promlake(&["test", "rules", "bad.yml"]), expected);
    assert_eq!(folder.promtool(&["test", "rules", "bad.yml"]), expected);
    let (code, out, errors) =
        folder.promlake(&["test", "rules", "--run=^second", "--run=third", "bad.yml", "good.yml"]);
    assert_eq!((code, out.as_str()), (1, "\n\n  SUCCESS\n\n"), "{errors}");
    assert!(errors.contains("\"foo\"") && !errors.contains("Down") && !errors.contains("alertname at"), "{errors}");
    let (code, _, errors) = folder.promlake(&["test", "rules", "--run=(", "good.yml"]);
    assert!(code == 1 && errors.contains("missing closing )"), "{errors}");
}

#[test]
fn differences_are_shown_in_colours() {
    let folder = Folder::new(&[("rules.yml", RULES), ("bad.yml", BAD_TEST)]);
    let (_, _, errors) = folder.promlake(&["test", "rules", "--diff", "--run=first", "bad.yml"]);
    let alert = "
    alertname: Down, time: 6m, 
        diff: [
                {
                    \"Annotations\": {
                        \x1b[0;32m\"link\": \"/x\"\x1b[0m,
                        \x1b[0;32m\"summary\": \" of a is 0\"\x1b[0m
                    },
                    \"Labels\": {
                        \"alertname\": \"Down\",
                        \x1b[0;32m\"job\": \"a\"\x1b[0m,
                        \"severity\": \x1b[0;33m\"ticket\" => \"page\"\x1b[0m
                    }
                }
            ]
";
    assert!(errors.contains(alert), "{errors}");
}

#[test]
fn results_for_junit() {
    let folder =
        Folder::new(&[("rules.yml", RULES), ("good.yml", GOOD_TEST), ("bad.yml", BAD_TEST), ("odd.yml", "x: 1\n")]);
    let args = ["test", "rules", "--junit=out.xml", "good.yml", "bad.yml", "odd.yml"];
    assert_eq!(folder.promtool(&args).0, 1);
    let xml = std::fs::read_to_string(folder.path("out.xml")).expect("the results");
    for part in [
        "<testsuites><testsuite name=\"good.yml\" tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"0\" timestamp=\"20",
        "<testcase name=\"alerts\"></testcase><testcase name=\"unnamed#1\"></testcase></testsuite>",
        "<testsuite name=\"bad.yml\" tests=\"3\" failures=\"6\" errors=\"0\" skipped=\"0\"",
        "<failure>    expr: &#34;up&#34;, time: 1m,&#xA;        exp: {__name__=&#34;up&#34;} 1E+00&#xA;",
        "<testsuite name=\"odd.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"\">\
         <testcase name=\"unknown\"><error>odd.yml:1: x: ",
    ] {
        assert!(xml.contains(part), "{part} is not in {xml}");
    }
    let (code, _, errors) = folder.promlake(&["test", "--junit=no/such/folder/x.xml", "rules", "good.yml"]);
    assert!(code == 1 && errors.contains("no/such/folder"), "{errors}");
}

/// What a test does with time, values and mistakes of rules.
#[test]
fn tests_of_every_kind() {
    let rules = "groups:\n- name: second\n  rules: [{record: two, expr: one + 1}]\n- name: first\n  rules: [{record: one, expr: time()}]\n\
                 - name: late\n  query_offset: 1m\n  rules: [{record: late, expr: x}]\n";
    let broken = "groups:\n- name: g\n  rules: [{record: r, expr: a + on (b) c}]\n";
    let test = r#"
rule_files: [rules.yml]
group_eval_order: [first, second, late]
fuzzy_compare: true
tests:
- interval: 30s
  start_timestamp: 2024-01-01T00:00:00Z
  input_series:
  - {series: x, values: '1+1x10'}
  - {series: y, values: '0.1 _ stale'}
  - {series: h, values: '{{count:2 sum:3 buckets:[2]}}+{{count:1 sum:1 buckets:[1]}}x2'}
  promql_expr_test:
  - {expr: two, eval_time: 0, exp_samples: [{labels: two, value: 1704067201}]}
  - {expr: 'x @ 1704067230', eval_time: 2m, exp_samples: [{labels: x, value: 2}]}
  # The last evaluation was at 2m, and nothing behind it has come in.
  - {expr: x, eval_time: 2m30s, exp_samples: [{labels: x, value: 5}]}
  - {expr: late offset 1m, eval_time: 2m, exp_samples: [{labels: late, value: 3}]}
  - {expr: y, eval_time: 30s, exp_samples: [{labels: y, value: 0.10000000000000002}]}
  - {expr: y, eval_time: 1m}
  - {expr: 'h', eval_time: 30s, exp_samples: [{labels: h, histogram: '{{count:3 sum:4 counter_reset_hint:not_reset buckets:[3]}}'}]}
"#;
    let failing = "rule_files: [broken.yml]\ntests:\n- input_series: [{series: 'a{b=\"1\"}', values: '1 1'}, {series: 'c{b=\"1\",d=\"1\"}', values: '_ 1'}, \
                   {series: 'c{b=\"1\",d=\"2\"}', values: '_ 1'}]\n  promql_expr_test: [{expr: vector(1), eval_time: 3m, exp_samples: [{value: 2}]}]\n";
    let many = "tests:\n- input_series: [{series: x, values: 1x20000}]\n  promql_expr_test: [{expr: 'count_over_time(x[20000m])', \
                eval_time: 20000m}]\n";
    let folder = Folder::new(&[
        ("rules.yml", rules),
        ("broken.yml", broken),
        ("test.yml", test),
        ("failing.yml", failing),
        ("many.yml", many),
        ("endless.yml", "tests: [{promql_expr_test: [{expr: '1', eval_time: 200y}]}]\nevaluation_interval: 1ms\n"),
        ("start.yml", "tests: [{start_timestamp: soon}]\n"),
    ]);
    let (code, out, errors) = folder.promlake(&["test", "rules", "test.yml"]);
    assert_eq!((code, out.as_str()), (0, "  SUCCESS\n\n"), "{errors}");
    let fails = |file: &str, part: &str| {
        let (code, _, errors) = folder.promlake(&["test", "rules", file]);
        assert!(code == 1 && errors.contains(part), "{file}: {errors}");
        errors
    };
    let errors =
        fails("failing.yml", "    rule: r, time: 1m0s, err: found duplicate series for the match group {b=\"1\"}");
    assert!(!errors.contains("vector(1)"), "a rule that fails ends the test: {errors}");
    fails("many.yml", "query processing would load too many samples into memory in query execution");
    fails("endless.yml", "a test has at most 10000000 evaluations");
    fails("start.yml", "start.yml: start_timestamp: cannot parse \"soon\" to a valid timestamp");
}

#[test]
fn all_samples_are_shown() {
    let rules = "groups: [{name: g, rules: [{record: r, expr: x * 2}]}]\n";
    let test = "rule_files: [rules.yml]\ntests:\n- name: shown\n  input_series: [{series: 'x{a=\"b\"}', values: '1 _ {{count:1}}'}]\n  \
                promql_expr_test: [{expr: x, eval_time: 2m, exp_samples: [{labels: 'x{a=\"b\"}', histogram: '{{count:1}}'}]}]\n";
    let folder = Folder::new(&[("rules.yml", rules), ("test.yml", test)]);
    let (code, out, errors) = folder.promlake(&["test", "rules", "--debug", "test.yml"]);
    assert_eq!((code, out.as_str()), (0, "  SUCCESS\n\n"), "{errors}");
    let (before, took) = errors.rsplit_once("DEBUG: Test shown finished, took ").expect(&errors);
    let expected = "DEBUG: Starting test shown\nDEBUG: Dump of all data (input_series and rules) at 2m1s:\n\
                    {__name__=\"r\", a=\"b\"} =>\n2 @[60000]\n{count:2, sum:0} @[120000]\n\
                    {__name__=\"x\", a=\"b\"} =>\n{count:1, sum:0} @[120000]\n";
    assert_eq!(before, expected);
    assert!(took.ends_with("s\n"), "{took}");
}

#[test]
fn the_name_promtool() {
    let folder = Folder::new(&[]);
    let check = |args: &[&str], code: i32, part: &str| {
        let (got, out, errors) = folder.promtool(args);
        assert_eq!(got, code, "{args:?}: {out}{errors}");
        assert!((out + &errors).contains(part), "{args:?}: no {part:?}");
    };
    check(&["--version"], 0, "promtool, version ");
    check(&["--help"], 0, "Tooling for the Prometheus monitoring system");
    check(&["foo"], 1, "promtool: error: expected command but got \"foo\", try --help");
    check(&["tsdb", "list"], 1, "promtool: error: this is promlake, which has no `promtool tsdb`");
    check(&["check", "rules", "--odd"], 1, "promtool: error: unknown long flag '--odd', try --help");
    check(&["query"], 1, "promtool: error: must select a subcommand of 'query', try --help");
    check(&["query", "instant"], 1, "promtool: error: required argument 'server' not provided, try --help");
    check(
        &["test", "--junit=no/such/folder/x.xml", "rules", "x.yml"],
        1,
        "promtool: error: --junit=no/such/folder/x.xml",
    );
    check(&[], 0, "Tooling for the Prometheus monitoring system");
    let (code, _, errors) = folder.promlake(&["--enable-feature=odd", "test"]);
    assert!(code == 2 && errors.contains("promlake: error: "), "the name promlake has its own: {errors}");
}
