use serde_json::json;

use super::pretty;
use crate::promql::json::ast_json;
use crate::promql::parse::{ParseOptions, parse};

fn parsed(query: &str) -> super::Expr {
    parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}: {e}"))
}

#[test]
fn queries_print_on_one_line() {
    for (query, expected) in [
        ("sum by(a)(x)", "sum by (a) (x)"),
        ("sum(x)by(a,\"b.c\")", "sum by (a, \"b.c\") (x)"),
        ("sum by () (x)", "sum(x)"),
        ("sum without() (x)", "sum without () (x)"),
        ("quantile(.9,x)", "quantile(0.9, x)"),
        ("count_values('v',x)", "count_values(\"v\", x)"),
        ("a+ignoring()b", "a + b"),
        ("a+on()b", "a + on () b"),
        ("a*on(x)group_right b", "a * on (x) group_right () b"),
        ("a == bool ignoring(x) fill(.5) b", "a == bool ignoring (x) fill (0.5) b"),
        ("a - fill_left(1e-7) fill_right(1e21) b", "a - fill_left (1e-07) fill_right (1e+21) b"),
        ("- a", "-a"),
        ("-(+1)", "-(1)"),
        ("a{b='c',a=\"b\"}", "a{a=\"b\",b=\"c\"}"),
        ("{__name__=\"a\"}", "{__name__=\"a\"}"),
        ("{__name__=~\"a.*\"}", "{__name__=~\"a.*\"}"),
        ("info(a, {})", "info(a, {})"),
        ("1e3", "1000"),
        ("90s", "1m30s"),
        ("-5m", "-5m"),
        ("-inf", "-Inf"),
        ("time()", "time()"),
        ("label_replace(a, \"b\", '$1', `c`, \"(.*)\")", "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")"),
        ("a[(5)]", "a[(5)]"),
        ("a offset +(1m)", "a offset (1m)"),
    ] {
        let printed = parsed(query).to_string();
        assert_eq!(printed, expected, "{query}");
        assert_eq!(parsed(&printed).to_string(), expected, "{query} again");
    }
}

#[test]
fn long_queries_are_split() {
    let short = "sum by (job) (rate(http_requests_total[5m]))";
    assert_eq!(pretty(&parsed(short)), short);
    let long = "sum by (job, instance) (rate(http_requests_total{code=~\"5..\", job=\"api\"}[5m])) / ignoring (code) \
                group_left sum by (job, instance) (rate(http_requests_total{job=\"api\"}[5m])) > (vector(0.01) or on () \
                topk(3, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa))";
    let expected = r#"    sum by (job, instance) (rate(http_requests_total{code=~"5..",job="api"}[5m]))
  / ignoring (code) group_left ()
    sum by (job, instance) (rate(http_requests_total{job="api"}[5m]))
>
  (
      vector(0.01)
    or on ()
      topk(3, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)
  )"#;
    assert_eq!(pretty(&parsed(long)), expected);
    assert_eq!(parsed(expected).to_string(), parsed(long).to_string());
}

#[test]
fn trees_become_json() {
    let selector = json!({
        "type": "vectorSelector", "name": "a", "offset": 60_000, "offsetExpr": null, "timestamp": 1500,
        "startOrEnd": null, "anchored": false, "smoothed": false,
        "matchers": [
            {"name": "b", "type": "!~", "value": "c"},
            {"name": "__name__", "type": "=", "value": "a"},
        ],
    });
    assert_eq!(ast_json(&parsed("a{b!~\"c\"} @ 1.5 offset 1m")), selector);
    let binary = ast_json(&parsed("x / on (l) group_left (m) fill_right(3) y"));
    let matching = json!({
        "card": "many-to-one", "labels": ["l"], "on": true, "include": ["m"],
        "fillValues": {"lhs": null, "rhs": 3.0},
    });
    assert_eq!(
        (&binary["type"], &binary["op"], &binary["matching"]),
        (&json!("binaryExpr"), &json!("/"), &matching)
    );
    assert_eq!(ast_json(&parsed("x > 1"))["matching"], json!(null));
    let call = ast_json(&parsed("round(x, 5)"));
    let function =
        json!({"name": "round", "argTypes": ["vector", "scalar"], "variadic": 1, "returnType": "vector"});
    assert_eq!((&call["func"], &call["args"][1]), (&function, &json!({"type": "numberLiteral", "val": "5"})));
    let range = ast_json(&parsed("x[(step())]"));
    let step = json!({"type": "durationExpr", "op": "step", "lhs": null, "rhs": null, "wrapped": true});
    assert_eq!(
        (&range["type"], &range["range"], &range["rangeExpr"]),
        (&json!("matrixSelector"), &json!(0), &step)
    );
    let subquery = ast_json(&parsed("x[1h:5m] @ end()"));
    assert_eq!((&subquery["step"], &subquery["startOrEnd"]), (&json!(300_000), &json!("end")));
    let aggregation = ast_json(&parsed("topk by (a) (2, x)"));
    assert_eq!(
        (&aggregation["op"], &aggregation["grouping"], &aggregation["param"]["val"]),
        (&json!("topk"), &json!(["a"]), &json!("2"))
    );
    assert_eq!(ast_json(&parsed("sum(x)"))["param"], json!(null));
}
