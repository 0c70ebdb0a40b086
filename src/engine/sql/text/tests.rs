use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;
use datafusion::sql::parser as sql_parser;

use super::*;
use crate::engine::error::from_datafusion;
use crate::engine::query::EngineOptions;
use crate::engine::runtime::QueryRuntime;

/// The stack of the threads that parse and plan.
const STACK_BYTES: usize = crate::engine::runtime::STACK_BYTES;

/// Parses on such a thread, and drops the result there.
fn parsed<T: Send + 'static>(sql: String, then: fn(std::result::Result<Vec<Statement>, Refused>) -> T) -> T {
    let work = move || then(parse(&sql));
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap()
}

fn chain(times: usize, first: &str, link: &str) -> String {
    format!("SELECT {first}{}", link.repeat(times))
}

fn nest(times: usize, open: &str, inner: &str, close: &str) -> String {
    format!("SELECT {}{inner}{}", open.repeat(times), close.repeat(times))
}

/// Whether a text is fit, too complex (`Some(false)`), or no SQL.
fn verdict(sql: String) -> Option<bool> {
    parsed(sql, |result| match result {
        Ok(_) => Some(true),
        Err(Refused::TooComplex(_)) => Some(false),
        Err(_) => None,
    })
}

/// 20,000 terms used to overflow the stack and end the process, as did many nested constructs.
#[test]
fn what_is_too_deep_is_refused() {
    let n = 20_000;
    let texts = [
        chain(n, "1", "+1"),
        chain(n, "1", "*1"),
        chain(n, "'a'", "||'a'"),
        chain(n, "true", " AND true"),
        chain(n, "true", " OR true"),
        chain(n, "1", "::int"),
        chain(n, "1", "::int[]"),
        format!("SELECT 1::int{}", "[]".repeat(n)),
        chain(n, "a", "[1]"),
        chain(n, "a", ".b[1]"),
        chain(n, "a", " IS NULL"),
        chain(n, "a", " AT TIME ZONE 'UTC'"),
        chain(n, "a", " COLLATE c"),
        chain(n, "1", " = 1"),
        chain(n, "1", " BETWEEN 1 AND 1"),
        chain(n, "1", " UNION SELECT 1"),
        chain(n, "1, 2", " UNION ALL SELECT 1, 2"),
        chain(n, "1", " INTERSECT SELECT 1"),
        chain(n, "* FROM t", " JOIN t ON true"),
        chain(n, "* FROM t", " CROSS JOIN t"),
        chain(n, "* FROM t", ", t"),
        nest(n, "(", "1", ")"),
        nest(n, "NOT ", "true", ""),
        nest(n, "- ", "1", ""),
        nest(n, "+", "1", ""),
        nest(n, "abs(", "1", ")"),
        nest(n, "CAST(", "1", " AS int)"),
        nest(n, "CASE WHEN true THEN ", "1", " END"),
        nest(n, "CASE ", "1", " WHEN 1 THEN 1 END"),
        nest(n, "(SELECT ", "1", ")"),
        nest(n, "* FROM (SELECT ", "1", ") AS t"),
        nest(n, "1 IN (SELECT ", "1", ")"),
        nest(n, "EXISTS (SELECT ", "1", ")"),
        nest(n, "ARRAY[", "1", "]"),
        nest(n, "[", "1", "]"),
        nest(n, "(1, ", "1", ")"),
        nest(n, "interval ", "'1 day'", ""),
        nest(n, "interval day ", "'1 day'", ""),
        format!("SELECT CAST(1 AS {}int{})", "ARRAY<".repeat(n), ">".repeat(n)),
        format!("SELECT CAST(1 AS {}int{})", "Nullable(".repeat(n), ")".repeat(n)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(n)),
        format!(
            "WITH a0 AS (SELECT 1){} SELECT 1",
            (0..n).map(|i| format!(", a{} AS (SELECT * FROM a{i})", i + 1)).collect::<String>()
        ),
    ];
    for sql in texts {
        let start: String = sql.chars().take(60).collect();
        assert_eq!(verdict(sql), Some(false), "{start}");
    }
}

#[test]
fn what_clients_write_is_fit() {
    let terms = |n: usize, op: &str| {
        let terms: Vec<String> = (0..n).map(|i| format!("(job = 'j{i}' AND code = '{i}')")).collect();
        format!("SELECT * FROM t WHERE {}", terms.join(op))
    };
    let list = (0..30_000).map(|i| format!("'{i}'")).collect::<Vec<_>>().join(",");
    let texts = [
        terms(1_000, " OR "),
        terms(1_000, " AND "),
        chain(500, "1", "+1"),
        chain(500, "'a'", "||'a'"),
        chain(100, "1", " UNION ALL SELECT 1"),
        format!("SELECT * FROM t WHERE job IN ({list})"),
        format!("SELECT {}", (0..1_000).map(|i| format!("c{i} + 1 AS d{i}")).collect::<Vec<_>>().join(", ")),
        nest(20, "(", "1", ")"),
        nest(20, "* FROM (SELECT ", "1", ") AS t"),
        format!("SELECT CASE {} END", (0..1_000).map(|i| format!("WHEN a = {i} THEN '{i}' ")).collect::<String>()),
        format!("SELECT {}", vec!["a + interval '1 day'"; 500].join(", ")),
        format!("SELECT {}", vec!["a::interval AS b"; 500].join(", ")),
        "SELECT 1; SELECT 2; SELECT 3".to_string(),
        "SELECT a[1][2], '{1}'::int[][] FROM t".to_string(),
    ];
    for sql in texts {
        let start: String = sql.chars().take(60).collect();
        assert_eq!(verdict(sql), Some(true), "{start}");
    }
}

#[test]
fn common_tables_count_wherever_they_are_named() {
    let doubling = |n: usize| {
        let tables = (0..n).map(|i| format!(", a{} AS (SELECT * FROM a{i} x, a{i} y)", i + 1));
        format!("WITH a0 AS (SELECT 1){} SELECT * FROM a{n}", tables.collect::<String>())
    };
    assert_eq!(verdict(doubling(3)), Some(true));
    assert_eq!(verdict(doubling(30)), Some(false));
}

#[test]
fn grouping_sets_count_as_many_as_they_become() {
    let columns = |n: usize| (0..n).map(|i| format!("a{i}")).collect::<Vec<_>>().join(", ");
    let grouped = |by: String| verdict(format!("SELECT count(*) FROM t GROUP BY {by}"));
    assert_eq!(grouped(format!("CUBE({})", columns(10))), Some(true));
    assert_eq!(grouped(format!("CUBE({})", columns(30))), Some(false));
    assert_eq!(grouped(format!("CUBE({})", columns(70))), Some(false));
    assert_eq!(grouped(format!("ROLLUP({})", columns(30))), Some(true));
    assert_eq!(grouped(vec![format!("ROLLUP({})", columns(30)); 6].join(", ")), Some(false));
}

/// The parser tries words in several ways, and each of them finds the same mistake at the bottom: 2^24 attempts.
#[test]
fn mistakes_at_the_bottom_are_found_in_time() {
    for (open, close) in
        [("NOT(", ")"), ("CAST(", " AS int)"), ("interval(", ")"), ("interval -", ""), ("CASE (", ")")]
    {
        let started = std::time::Instant::now();
        let sql = nest(22, open, "1 1", close);
        let fit = verdict(sql);
        assert_ne!(fit, Some(true), "{open}");
        assert!(started.elapsed().as_secs() < 20, "{open}: {:?}", started.elapsed());
    }
}

#[test]
fn sizes_are_bounded() {
    assert!(matches!(parse(&" ".repeat(MAX_BYTES + 1)), Err(Refused::TooLong(MAX_BYTES))));
    assert!(matches!(parse(&" ".repeat(MAX_RUNS + 1)), Err(Refused::TooComplex(_))));
    assert!(matches!(parse(&format!("SELECT {}1", "1,".repeat(60_000))), Err(Refused::TooComplex(_))));
    assert!(parse(&format!("SELECT '{}'", "x".repeat(900_000))).is_ok());
}

#[test]
fn chains_are_shallow_and_keep_their_order() {
    let check = |sql: &str, want: &str| {
        let statements = parse(sql).unwrap();
        assert_eq!(statements[0].to_string(), want);
    };
    // The text has no brackets for the new shape, but for the mixture of operators.
    check("SELECT a OR b OR c OR d OR e", "SELECT a OR b OR c OR d OR e");
    check("SELECT a AND b AND c OR d", "SELECT a AND b AND c OR d");
    check("SELECT a OR b AND c AND d AND e OR f OR g", "SELECT a OR b AND c AND d AND e OR f OR g");
    check("SELECT 1 - 2 - 3 - 4", "SELECT 1 - 2 - 3 - 4");
    let sql = format!("SELECT {}", (0..1_000).map(|i| format!("c{i}")).collect::<Vec<_>>().join(" OR "));
    check(&sql, &sql);
}

/// Each level used to be read twice, also of text that is right.
#[test]
fn calls_within_calls_are_read_once() {
    assert_eq!(verdict(nest(45, "abs(", "1", ")")), Some(true));
    assert_eq!(verdict(nest(12, "coalesce(b, replace(", "a", ", 'x', 'y'))")), Some(true));
    assert_eq!(verdict("SELECT f(a => 1, b := 2)".to_string()), Some(true));
}

/// The dialect is PostgreSQL's in every answer a statement of its own depends on.
#[test]
fn the_dialect_is_that_of_postgres() {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    for sql in [
        "SELECT \"a\"\"b\", $1, E'\\n', U&'\\0041', a -> 'b' ->> 'c', a #> b, @a, |/ b, a !~* 'x', 5 !",
        "SELECT x'1f', 1_000, a::int[], b[1:2], ARRAY[1, 2], (a, b), a <-> b FROM t",
        "SELECT extract('epoch' FROM a), extract(week FROM a), count(*) FILTER (WHERE a), f(a, 1)",
        "SELECT a NOTNULL, a << 2, a OPERATOR(pg_catalog.~) b, a IS NOT DISTINCT FROM b, NOT a LIKE 'b'",
        "SELECT DISTINCT ON (a) *, t.* FROM t GROUP BY GROUPING SETS ((a), ()) ORDER BY a NULLS FIRST LIMIT 1",
        "SELECT interval '1' day, interval '1 day 2 hours', point '(1,2)', trim(both 'x' from a)",
        "/* a /* nested */ comment */ SELECT 1",
        "SELECT FROM t",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT 1",
        "SET NAMES 'utf8'",
        "LISTEN a",
    ] {
        let own = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(own, Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap(), "{sql}");
    }
}

/// Plans a statement as a client's is, down to what would run, and says how long that took.
async fn planned(runtime: &QueryRuntime, sql: String) -> crate::error::Result<Duration> {
    let context = SessionContext::new_with_state(runtime.sql_state());
    let statement = parsed(sql, |result| result.map_err(|e| format!("{e:?}"))).expect("fit").remove(0);
    runtime
        .spawn(async move {
            let started = Instant::now();
            let statement = sql_parser::Statement::Statement(Box::new(statement));
            let plan = context.state().statement_to_plan(statement).await.map_err(from_datafusion)?;
            let frame = context.execute_logical_plan(plan).await.map_err(from_datafusion)?;
            frame.create_physical_plan().await.map_err(from_datafusion)?;
            Ok(started.elapsed())
        })
        .await
}

/// 4,000 terms took half a minute. What is accepted now is planned in a few seconds, the worst of it as well; here
/// by code that is not optimised, on a machine that has other things to do.
#[tokio::test]
async fn what_is_fit_is_planned_in_time() {
    let runtime = QueryRuntime::new(&EngineOptions::default()).unwrap();
    let from = "FROM generate_series(1, 10) AS t(a)";
    // The most of each kind that is accepted.
    let most = |make: &dyn Fn(usize) -> String| {
        let (mut fits, mut not) = (1, 1 << 17);
        while fits + 1 < not {
            let n = usize::midpoint(fits, not);
            let fit = parsed(make(n), |result| result.is_ok());
            (fits, not) = if fit { (n, not) } else { (fits, n) };
        }
        (fits, make(fits))
    };
    let list = |n: usize, item: &dyn Fn(usize) -> String, between: &str| {
        (0..n).map(item).collect::<Vec<_>>().join(between)
    };
    type Kind<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);
    let kinds: Vec<Kind<'_>> = vec![
        ("+", Box::new(|n| format!("SELECT a{} {from}", " + a".repeat(n)))),
        ("||", Box::new(|n| format!("SELECT 'x'{} {from}", " || a".repeat(n)))),
        (
            "chains of +",
            Box::new(|n| {
                format!("SELECT {} {from}", list(n, &|i| format!("a{} AS c{i}", " + a".repeat(100)), ", "))
            }),
        ),
        (
            "OR",
            Box::new(|n| {
                format!("SELECT a {from} WHERE {}", list(n, &|i| format!("(a = {i} AND a > {i})"), " OR "))
            }),
        ),
        (
            "OR of equal columns",
            Box::new(|n| format!("SELECT a {from} WHERE {}", list(n, &|i| format!("a = {i}"), " OR "))),
        ),
        ("AND", Box::new(|n| format!("SELECT a {from} WHERE {}", list(n, &|i| format!("a <> {i}"), " AND ")))),
        ("::", Box::new(|n| format!("SELECT a{} {from}", "::text::int".repeat(n)))),
        ("IS NULL", Box::new(|n| format!("SELECT a{} {from}", " IS NULL".repeat(n)))),
        ("IN", Box::new(|n| format!("SELECT a {from} WHERE a IN ({})", list(n, &|i| i.to_string(), ",")))),
        (
            "CASE",
            Box::new(|n| format!("SELECT CASE {} END {from}", list(n, &|i| format!("WHEN a = {i} THEN {i}"), " "))),
        ),
        ("columns", Box::new(|n| format!("SELECT {} {from}", list(n, &|i| format!("a + {i} AS c{i}"), ", ")))),
        ("UNION", Box::new(|n| format!("SELECT a {from} {}", format!("UNION SELECT a {from} ").repeat(n)))),
        ("UNION ALL", Box::new(|n| format!("SELECT a {from} {}", format!("UNION ALL SELECT a {from} ").repeat(n)))),
        (
            "JOIN",
            Box::new(|n| {
                format!(
                    "SELECT count(*) {from} {}",
                    list(n, &|i| format!("JOIN generate_series(1, 2) AS t{i}(b{i}) ON t.a = t{i}.b{i}"), " ")
                )
            }),
        ),
        (
            "comma",
            Box::new(|n| {
                format!(
                    "SELECT count(*) {from}, {}",
                    list(n, &|i| format!("generate_series(1, 2) AS t{i}(b{i})"), ", ")
                )
            }),
        ),
        (
            "WITH",
            Box::new(|n| {
                format!(
                    "WITH w0 AS (SELECT a {from}) {} SELECT * FROM w{n}",
                    list(n, &|i| format!(", w{} AS (SELECT a + 1 AS a FROM w{i})", i + 1), "")
                )
            }),
        ),
        (
            "subqueries",
            Box::new(|n| {
                format!(
                    "SELECT {} {from}",
                    list(
                        n,
                        &|i| format!("(SELECT max(b) FROM generate_series(1, 2) AS s(b) WHERE b = t.a) AS c{i}"),
                        ", "
                    )
                )
            }),
        ),
        ("nested", Box::new(|n| format!("SELECT {}a{} {from}", "abs(".repeat(n), ")".repeat(n)))),
        (
            "derived",
            Box::new(|n| {
                format!(
                    "SELECT a FROM {}SELECT a {from}{}",
                    "(SELECT a + 1 AS a FROM ".repeat(n) + "(",
                    ") AS t".repeat(n + 1)
                )
            }),
        ),
        (
            "VALUES",
            Box::new(|n| {
                format!("SELECT * FROM (VALUES {}) AS v(a, b)", list(n, &|i| format!("({i}, 'x{i}')"), ", "))
            }),
        ),
        (
            "GROUP BY",
            Box::new(|n| {
                format!(
                    "SELECT {} {from} GROUP BY {}",
                    list(n, &|i| format!("sum(a + {i}) AS s{i}"), ", "),
                    list(n, &|i| format!("a % {}", i + 2), ", ")
                )
            }),
        ),
    ];
    for (kind, make) in kinds {
        let (n, sql) = most(&*make);
        let taken = planned(&runtime, sql).await;
        eprintln!("{n} of {kind}: {taken:?}");
        if let Ok(taken) = taken {
            assert!(taken < Duration::from_secs(30), "{n} of {kind} took {taken:?}");
        }
    }
}

/// What the parser or the planner does not know is written in another way.
#[test]
fn forms_that_are_written_otherwise() {
    let check = |sql: &str, want: &str| {
        let parsed = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let texts: Vec<String> = parsed.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join("; "), want, "{sql}");
    };
    check("TABLE x ORDER BY 1 LIMIT 2", "SELECT * FROM x ORDER BY 1 LIMIT 2");
    check(
        "table \"X\" UNION ALL TABLE s.y;TABLE z",
        "SELECT * FROM \"X\" UNION ALL SELECT * FROM s.y; SELECT * FROM z",
    );
    check("SELECT * FROM (TABLE x) q", "SELECT * FROM (SELECT * FROM x) q");
    check("EXPLAIN TABLE x", "EXPLAIN SELECT * FROM x");
    check("SELECT a FROM x FETCH FIRST ROW ONLY", "SELECT a FROM x LIMIT 1");
    check("SELECT a FROM x OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY", "SELECT a FROM x LIMIT 3 OFFSET 2 ROWS");
    check("SELECT a FROM x FETCH FIRST $1 ROWS ONLY", "SELECT a FROM x LIMIT $1");
    check("SELECT a BETWEEN SYMMETRIC 5 AND 1 AND b", "SELECT (a BETWEEN 5 AND 1 OR a BETWEEN 1 AND 5) AND b");
    check("SELECT a NOT BETWEEN SYMMETRIC 5 AND 1", "SELECT (NOT (a BETWEEN 5 AND 1 OR a BETWEEN 1 AND 5))");
    check("SELECT a BETWEEN ASYMMETRIC 5 AND 1", "SELECT a BETWEEN 5 AND 1");
    check("SELECT a BETWEEN symmetric AND 1", "SELECT a BETWEEN symmetric AND 1");
    // Once, what came behind was the data of the COPY.
    check("COPY x FROM STDIN; SELECT 1;copy y from stdin;", "COPY x FROM STDIN; SELECT 1; COPY y FROM STDIN");
    let refused = |sql: &str| format!("{:?}", parse(sql).unwrap_err());
    assert!(refused("SELECT a FROM x FETCH FIRST 1 ROW WITH TIES").starts_with("Unsupported"));
    assert!(refused("SELECT a FROM x LIMIT 1 FETCH FIRST 1 ROW ONLY").starts_with("Syntax"));
    // One within another.
    let mut nested = "a".to_string();
    for _ in 0..40 {
        nested = format!("a BETWEEN SYMMETRIC 1 AND ({nested})");
    }
    assert!(refused(&format!("SELECT {nested}")).starts_with("TooComplex"));
}
