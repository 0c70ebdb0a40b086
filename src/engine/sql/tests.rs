//! What needs no store: clauses, functions, verification, and rows made of vectors.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, StringViewArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionContext;
use futures::FutureExt;

use crate::engine::query::EvalTime;
use crate::engine::scan::table::{Column, Shape};
use crate::engine::sql::functions;
use crate::engine::sql::promql::{PlanPromql, PlannedVector, PromqlFunction, StatementPromql};
use crate::engine::sql::pushdown::translate;
use crate::engine::sql::verify::{Reason, verify};

fn context() -> SessionContext {
    let context = SessionContext::new();
    functions::register(&context);
    context
}

/// Runs a query and returns the cells of its only column.
async fn column(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let cells = table.lines().filter(|line| line.starts_with('|')).skip(1);
    cells.map(|line| line.trim_matches(['|', ' ']).to_string()).collect()
}

#[test]
fn clauses_become_matchers_and_ranges() {
    let columns = vec![
        ("timestamp".to_string(), Column::Timestamp),
        ("value".to_string(), Column::Value),
        ("job".to_string(), Column::Label("job".to_string())),
        ("labels".to_string(), Column::Labels),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, column)| column.field(name, Shape::Rows)).collect();
    let schema = DFSchema::try_from(arrow::datatypes::Schema::new(fields)).unwrap();
    let check = |sql: &str, expected: &str| {
        let expr = context().parse_sql_expr(sql, &schema).unwrap();
        // Labels as they are written; times with their casts folded, as the optimizer leaves them.
        let expr = if sql.starts_with("timestamp") { simplified(expr, &schema) } else { expr };
        let text = match translate(&expr, &columns) {
            None => "-".to_string(),
            Some(pushdown) => {
                let bound = |t: i64| match t {
                    i64::MIN | i64::MAX => String::new(),
                    t => t.to_string(),
                };
                let range = pushdown.range;
                let range = format!("[{}..{}]", bound(range.start_inclusive), bound(range.end_inclusive));
                let matchers: Vec<String> = pushdown.matchers.iter().map(ToString::to_string).collect();
                format!("{{{}}}{range}", matchers.join(","))
            }
        };
        assert_eq!(text, expected, "{sql}");
    };
    check("job = 'a'", r#"{job="a"}[..]"#);
    check("'a' = job", r#"{job="a"}[..]"#);
    check("job = ''", "{}[1..0]");
    check("job <> 'a'", r#"{job!="",job!="a"}[..]"#);
    check("job IN ('a', 'b.c')", r#"{job!="",job=~"a|b\\.c"}[..]"#);
    check("job NOT IN ('a', '')", r#"{job!="",job!~"a"}[..]"#);
    check("job ~ '^a'", r#"{job!="",job=~"(?s:.*)(?-s:^a)(?s:.*)"}[..]"#);
    check("job !~* 'a'", r#"{job!="",job!~"(?s:.*)(?i-s:a)(?s:.*)"}[..]"#);
    check("job LIKE 'a%_'", r#"{job!="",job=~"a.*."}[..]"#);
    check("job IS NULL", r#"{job=""}[..]"#);
    check("job IS NOT NULL AND job = 'a'", r#"{job!="",job="a"}[..]"#);
    check("labels['job'] = 'a'", r#"{job="a"}[..]"#);
    check("job = 'a' OR job = 'b'", r#"{job!="",job=~"a|b"}[..]"#);
    check("job IN ('a', 'b', 'c', 'd', 'e')", r#"{job!="",job=~"a|b|c|d|e"}[..]"#);
    check("job = 'a' OR value = 1", "-");
    check("job > 'a'", "-");
    check("value > 1", "-");
    let at = |op: &str, time: &str| format!("timestamp {op} TIMESTAMP '1970-01-01T00:00:{time}Z'");
    check(&at(">=", "01.0005"), "{}[1001..]");
    check(&at(">", "01"), "{}[1001..]");
    check(&at("<", "01"), "{}[..999]");
    check(&at("<=", "01.0005"), "{}[..1000]");
    check(&at("=", "01.0005"), "{}[1..0]");
    check(
        "timestamp BETWEEN TIMESTAMP '1970-01-01T00:00:01Z' AND TIMESTAMP '1970-01-01T00:00:02Z'",
        "{}[1000..2000]",
    );
}

fn simplified(expr: Expr, schema: &DFSchema) -> Expr {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    ExprSimplifier::new(context).simplify(expr).unwrap()
}

#[tokio::test]
async fn time_bucket_is_aligned_to_mondays_and_new_year() {
    let context = context();
    let cases = [
        ("INTERVAL '1 week', TIMESTAMP '2026-11-21T10:00:00Z'", "2026-11-16T00:00:00"),
        ("INTERVAL '5 minutes', TIMESTAMP '2026-11-21T10:07:00Z'", "2026-11-21T10:05:00"),
        ("'5m', TIMESTAMP '2026-11-21T10:07:00Z'", "2026-11-21T10:05:00"),
        ("'300.000s', TIMESTAMP '2026-11-21T10:07:00Z'", "2026-11-21T10:05:00"),
        ("INTERVAL '3 months', TIMESTAMP '2026-11-21T10:07:00Z'", "2026-10-01T00:00:00"),
        (
            "INTERVAL '1 day', TIMESTAMP '2026-11-21T10:00:00Z', TIMESTAMP '2000-01-01T06:00:00Z'",
            "2026-11-21T06:00:00",
        ),
    ];
    for (arguments, expected) in cases {
        let cells = column(&context, &format!("SELECT time_bucket({arguments})")).await;
        assert!(cells[0].starts_with(expected), "time_bucket({arguments}) = {}", cells[0]);
    }
}

#[tokio::test]
async fn aggregates_over_time_do_not_mind_the_order_of_rows() {
    let context = context();
    let rows = "(VALUES (TIMESTAMP '2026-01-01T00:00:20Z', 1.0), (TIMESTAMP '2026-01-01T00:00:00Z', 5.0),
        (TIMESTAMP '2026-01-01T00:00:40Z', 3.0), (TIMESTAMP '2026-01-01T00:00:10Z', 8.0)) AS t(ts, v)";
    let cases = [
        ("first(v, ts)", "5.0"),
        ("last(v, ts)", "3.0"),
        ("first(v, ts) FILTER (WHERE v < 5)", "1.0"),
        ("increase(ts, v)", "6.0"),
        ("rate(ts, v)", "0.15"),
        ("delta(ts, v)", "-2.0"),
    ];
    for (call, expected) in cases {
        assert_eq!(column(&context, &format!("SELECT {call} FROM {rows}")).await, [expected], "{call}");
    }
}

#[tokio::test]
async fn only_queries_and_harmless_settings_pass() {
    let context = context();
    let reason = async |sql: &str| {
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        verify(&plan).err().map(|refused| refused.reason)
    };
    for sql in ["SELECT 1", "EXPLAIN SELECT 1", "SET datafusion.explain.logical_plan_only = true"] {
        assert_eq!(reason(sql).await, None, "{sql}");
    }
    for sql in ["CREATE VIEW v AS SELECT 1", "CREATE TABLE t AS SELECT 1", "DROP TABLE IF EXISTS t"] {
        assert_eq!(reason(sql).await, Some(Reason::ReadOnly), "{sql}");
    }
    let centroids =
        |n: &str| format!("SELECT approx_percentile_cont(0.5, {n}) WITHIN GROUP (ORDER BY a) FROM (SELECT 1 AS a)");
    assert_eq!(reason(&centroids("1000")).await, None);
    for n in ["1000000000", "9223372036854775807", "1000 * 1000 * 1000"] {
        assert_eq!(reason(&centroids(n)).await, Some(Reason::TooLarge), "{n}");
    }
    let forbidden = [
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "EXPLAIN COPY (SELECT 1) TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
        "SET datafusion.runtime.memory_limit = '1T'",
        "SET datafusion.execution.target_partitions = 100000",
    ];
    for sql in forbidden {
        assert_eq!(reason(sql).await, Some(Reason::Forbidden), "{sql}");
    }
}

/// Two series over three steps from 0: `a` has no value at the second, `b` only there.
async fn vector() -> PlannedVector {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let values = Float64Array::from(vec![Some(1.0), None, Some(3.0), None, Some(20.0), None]);
    let values = FixedSizeListArray::new(item, 3, Arc::new(values), None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("job", Arc::new(StringViewArray::from(vec!["a", "b"]))),
        ("value", Arc::new(StringViewArray::from(vec![Some("label"), None]))),
        // The column of a label that is called `__values__`.
        ("$__values__", Arc::new(StringViewArray::from(vec![None, Some("inner")]))),
        ("__values__", Arc::new(values)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let plan = SessionContext::new().read_batch(batch).unwrap().into_unoptimized_plan();
    let time = EvalTime::Range { start: 0, end_inclusive: 120_000, step: 60_000 };
    PlannedVector { plan, time, run: StatementPromql::default() }
}

fn with_promql() -> SessionContext {
    let context = context();
    let plan: PlanPromql = Arc::new(|request, _| {
        async move {
            assert_eq!(request.query, "up");
            let expected = EvalTime::Range { start: 0, end_inclusive: 120_000, step: 60_000 };
            assert_eq!(request.time, expected);
            Ok(vector().await)
        }
        .boxed()
    });
    context.register_udtf("promql", Arc::new(PromqlFunction::new(plan)));
    context
}

const CALL: &str =
    "promql('u' || 'p', to_timestamp(0), TIMESTAMP '1970-01-01T00:01:00Z' + INTERVAL '1 minute', '1m')";

#[tokio::test(flavor = "multi_thread")]
async fn promql_is_a_row_for_each_value() {
    let sql = format!("SELECT job, value_label, timestamp, value FROM {CALL} ORDER BY timestamp");
    let batches = with_promql().sql(&sql).await.unwrap().collect().await.unwrap();
    let expected = "\
+-----+-------------+----------------------+-------+
| job | value_label | timestamp            | value |
+-----+-------------+----------------------+-------+
| a   | label       | 1970-01-01T00:00:00Z | 1.0   |
| b   |             | 1970-01-01T00:01:00Z | 20.0  |
| a   | label       | 1970-01-01T00:02:00Z | 3.0   |
+-----+-------------+----------------------+-------+";
    assert_eq!(pretty_format_batches(&batches).unwrap().to_string(), expected);
    let sql = format!("SELECT value FROM {CALL} WHERE __values__ = 'inner'");
    let batches = with_promql().sql(&sql).await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn promql_is_planned_with_the_statement() {
    let sql = format!("EXPLAIN SELECT sum(value) FROM {CALL} WHERE job = 'a'");
    let plan = column(&with_promql(), &sql).await.join("\n");
    assert!(plan.contains("Unnest") && plan.contains("DataSourceExec"), "{plan}");
    assert!(plan.contains("prom_steps("), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promql_says_what_is_wrong_with_its_arguments() {
    let cases = [
        ("promql()", "promql() takes"),
        ("promql(1)", "query must be a text"),
        ("promql('up', 'noon')", "at must be a timestamp"),
        ("promql('up', 0, 60, 0)", "step must be positive"),
        ("promql('up', 60, 0, 1)", "end must not be before start"),
        ("promql('up', 0, 1000000, 1)", "more than 11000 steps"),
        ("promql('up', NULL)", "at must not be NULL"),
    ];
    for (call, expected) in cases {
        let error = with_promql().sql(&format!("SELECT * FROM {call}")).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{call}: {error}");
    }
}

/// A number in a call used to decide how much the process takes, and with that whether it goes on.
#[tokio::test]
async fn functions_do_not_take_what_there_is_not() {
    let context = context();
    let refused = [
        "repeat('x', 100000000)",
        "repeat(repeat('x', 10000), 10000)",
        "lpad('x', 2147483647)",
        "rpad('x', 2147483647, 'y')",
        "replace(repeat('x', 10000), 'x', repeat('y', 10000))",
        "replace(repeat('x', 10000), '', repeat('y', 10000))",
        "regexp_replace(repeat('x', 100000), 'x', repeat('y', 100000), 'g')",
        "array_repeat(1, 100000000000)",
        "list_repeat(array_repeat(1, 30000), 30000)",
        "array_resize(ARRAY[1], 100000000, 0)",
        "range(0, 1000000000)",
        "range(1000000000)",
        "generate_series(9223372036854775807, -9223372036854775807, -1)",
        "range(TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 microsecond')",
        "generate_series(DATE '1900-01-01', DATE '2200-01-01', INTERVAL '1 second')",
    ];
    for call in refused {
        let result = context.sql(&format!("SELECT {call}")).await.unwrap().collect().await;
        let error = result.expect_err(call).to_string();
        assert!(error.contains("more than 32 MiB"), "{call}: {error}");
    }
    let fine = [
        ("repeat('ab', 3)", "ababab"),
        ("lpad('x', 3, 'y')", "yyx"),
        ("rpad('x', 3)", "x"),
        ("replace('abab', 'b', 'cc')", "accacc"),
        ("regexp_replace('abab', 'b', 'c', 'g')", "acac"),
        ("array_repeat('a', 2)", "[a, a]"),
        ("array_resize(ARRAY[1], 2, 0)", "[1, 0]"),
        ("range(1, 4)", "[1, 2, 3]"),
        ("range(3)", "[0, 1, 2]"),
        ("generate_series(4, 1, -2)", "[4, 2]"),
        ("repeat(NULL, 1000000000)", ""),
        ("cardinality(generate_series(DATE '2026-01-01', DATE '2026-02-01', INTERVAL '1 day'))", "32"),
        ("length(repeat('x', 1000000))", "1000000"),
    ];
    for (call, expected) in fine {
        assert_eq!(column(&context, &format!("SELECT {call}")).await, [expected], "{call}");
    }
}
