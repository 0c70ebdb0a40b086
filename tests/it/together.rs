//! Small queries that are asked together: each has the answer that it has alone.

use std::sync::Arc;

use promlake::engine::session::{Engine, EngineOptions, EvalTime, Point, QueryRequest, QueryValue};
use promlake::engine::together::Form;
use promlake::model::labels::Labels;
use promlake::promql::ast::Expr;
use promlake::promql::parse::{ParseOptions, parse};

use crate::kept_plans::{MINUTE_MS, START_MS, store};

/// `HOST` is one of ten, or of no series.
const QUERIES: &[&str] = &[
    r#"load{host="HOST"}"#,
    r#"load{host="HOST"} offset 3m"#,
    r#"load{host="HOST"} > 20"#,
    r#"-load{host="HOST"} + 1"#,
    r#"abs(-load{host="HOST"}) - 3"#,
    r#"clamp(load{host="HOST"}, 3, pi() * 2)"#,
    r#"rate(requests_total{host="HOST"}[5m])"#,
    r#"sum(rate(requests_total{host="HOST"}[5m]))"#,
    r#"sum by (code) (rate(requests_total{host="HOST"}[5m]))"#,
    r#"avg by (code, kind) (requests_total{host="HOST"})"#,
    r#"sum without (code) (increase(requests_total{host="HOST"}[10m] offset 1m))"#,
    r#"max without () (requests_total{host="HOST"})"#,
    r#"count(count by (le) (seconds_bucket{host="HOST"}))"#,
    r#"requests_total{host="HOST", code="500"} / ignoring (code) requests_total{host="HOST", code="200"}"#,
    r#"requests_total{host="HOST"} * on (host) group_left load{host="HOST"}"#,
    r#"load{host="HOST"} < bool on (host) group_right requests_total{host="HOST"}"#,
    r#"requests_total{host="HOST"} and on (host) load{host="HOST"} > 5"#,
    r#"requests_total{host="HOST"} unless on () load{host="HOST"} > 5"#,
    r#"requests_total{host="HOST", code="500"} or load{host="HOST"}"#,
    r#"requests_total{host="HOST", code="500"} or on () load{host="HOST"}"#,
    r#"deriv(load{host="HOST"}[10m])"#,
    r#"quantile_over_time(2, load{host="HOST"}[5m])"#,
    r#"quantile(0.7, requests_total{host="HOST"})"#,
    r#"stddev(requests_total{host="HOST"})"#,
    r#"histogram_quantile(0.9, sum by (le) (rate(seconds_bucket{host="HOST"}[5m])))"#,
    r#"histogram_quantile(0.9, seconds_bucket{host="HOST"})"#,
    r#"topk(1, requests_total{host="HOST"})"#,
    r#"bottomk by (code) (1, requests_total{host="HOST"})"#,
    r#"label_replace(load{host="HOST"}, "h", "$1", "host", "host-(.)")"#,
    r#"label_replace(load{host="HOST"}, "__asker__", "1", "host", ".*")"#,
    r#"sum by (__asker__) (label_replace(requests_total{host="HOST"}, "__asker__", "$1", "code", "(.).*"))"#,
    r#"label_join(requests_total{host="HOST"}, "j", "-", "host", "code")"#,
    r#"changes(load{host="HOST"}[10m]) + ignoring (code) resets(requests_total{host="HOST", code="200"}[10m])"#,
    r#"rate(requests_total{host="HOST"}[5m]) / rate(requests_total{host="HOST"}[5m])"#,
];

/// These fail for every host, or for the eighth, which has no label `code`.
const FAILING: &[&str] = &[
    r#"load{host="HOST"} + on (host) requests_total{host="HOST"}"#,
    r#"load{host="HOST"} + on (code) group_left () requests_total{host="HOST"}"#,
    r#"label_replace(requests_total{host="HOST"}, "code", "", "host", ".*")"#,
];

type Vector = Vec<(Labels, Point)>;

fn exprs(query: &str) -> Vec<(String, Expr)> {
    let hosts = (0..10).map(|host| format!("host-{host}")).chain(["nobody".to_string()]);
    let texts = hosts.map(|host| query.replace("HOST", &host));
    texts.map(|text| (text.clone(), parse(&text, &ParseOptions::default()).unwrap())).collect()
}

async fn alone(engine: &Engine, query: &str, at: i64) -> Result<Vector, String> {
    let request = QueryRequest::new(query, EvalTime::Instant { at });
    match engine.promql(request, |response| response.value).await {
        Ok(QueryValue::Vector(series)) => {
            let mut vector: Vector =
                series.into_iter().map(|mut one| (one.labels, one.points.pop().unwrap().1)).collect();
            vector.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(vector)
        }
        Ok(other) => panic!("{query}: {other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

/// Equal texts: a NaN equals itself.
fn shown(vector: &Vector) -> String {
    format!("{vector:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let options = EngineOptions { threads: 2, ..EngineOptions::default() };
    let (engine, other) =
        (Engine::new(store.clone(), options.clone()).unwrap(), Engine::new(store, options).unwrap());
    let queries: Vec<(String, Expr)> = QUERIES.iter().chain(FAILING).flat_map(|query| exprs(query)).collect();
    let forms: Vec<Arc<Form>> =
        queries.iter().map(|(query, expr)| engine.form(expr).unwrap_or_else(|| panic!("{query}"))).collect();
    let asked: Vec<(&Arc<Form>, &Expr)> = forms.iter().zip(queries.iter().map(|(_, expr)| expr)).collect();
    let (mut full, mut unanswered) = (0, 0);
    for turn in 0..6 {
        let at = START_MS + (6 + 5 * turn) * MINUTE_MS + turn * 777;
        let before = engine.times().kept_plans();
        let answers = engine.vectors(at, &asked).await;
        for ((query, _), answer) in queries.iter().zip(answers) {
            let expected = alone(&other, query, at).await;
            match (answer, &expected) {
                (Some(vector), Ok(expected)) => {
                    assert_eq!(shown(&vector), shown(expected), "{query} at {at}");
                    full += usize::from(!vector.is_empty());
                }
                // Those of its run that would do well are asked alone as well.
                (None, _) => {
                    let fails = FAILING.iter().any(|failing| *failing == query.replace(&host_of(query), "HOST"));
                    assert!(fails, "{query} at {at}: {expected:?}");
                    unanswered += 1;
                }
                (Some(vector), Err(error)) => panic!("{query} at {at}: {error}, and {vector:?} together"),
            }
        }
        let kept = engine.times().kept_plans() - before;
        assert!(if turn == 0 { kept < 40 } else { kept >= 40 }, "{kept} runs by a plan that was kept, turn {turn}");
        let times = engine.times().execute.read().count;
        assert!(times > QUERIES.len() as u64 * 10 * (turn as u64 + 1), "each is counted: {times}");
    }
    assert!(full > 1000, "{full} vectors with elements");
    assert!(unanswered > 60, "{unanswered} fail");
}

fn host_of(query: &str) -> String {
    let from = query.find("host=\"").expect("a host") + 6;
    query[from..].split('"').next().expect("its name").to_string()
}

/// More than fit into one run.
#[tokio::test(flavor = "multi_thread")]
async fn many_are_asked_in_runs() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(store(folder.path()).await, EngineOptions::default()).unwrap();
    let queries: Vec<(String, Expr)> =
        (0..20).flat_map(|_| exprs(r#"sum by (code) (requests_total{host="HOST"})"#)).collect();
    let forms: Vec<Arc<Form>> = queries.iter().map(|(_, expr)| engine.form(expr).unwrap()).collect();
    let asked: Vec<(&Arc<Form>, &Expr)> = forms.iter().zip(queries.iter().map(|(_, expr)| expr)).collect();
    let at = START_MS + 20 * MINUTE_MS;
    let answers = engine.vectors(at, &asked).await;
    assert!(answers.iter().all(Option::is_some));
    for ((query, _), answer) in queries.iter().zip(&answers).take(11) {
        assert_eq!(answer.as_ref().map(shown), alone(&engine, query, at).await.ok().as_ref().map(shown), "{query}");
    }
    let repeated = answers.iter().skip(11).zip(&answers);
    assert!(repeated.into_iter().all(|(a, b)| a.as_ref().map(shown) == b.as_ref().map(shown)));
}
