//! The metrics that Prometheus exposes of itself: every row of the table in `src/telemetry/METRICS.md` is on the page, with its
//! type and its labels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::support::{Home, NO_TARGETS, Promlake, get_json};

const DOCUMENT: &str = include_str!("../../src/telemetry/METRICS.md");

/// How long the page may take to have all of them; scrapes have to happen first.
const DEADLINE: Duration = Duration::from_secs(60);

/// The type and the labels of a family; those that tell its lines apart are not counted.
type Shape = (String, BTreeSet<String>);

/// The rows of the first table.
fn documented() -> BTreeMap<String, Shape> {
    let table = DOCUMENT.split("## Exposed").nth(1).expect("the section").split("## ").next().expect("its text");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect();
    rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name in ticks");
        let cells: Vec<&str> = rest.split('|').map(str::trim).collect();
        (name.to_string(), (cells[1].to_string(), quoted(cells[2])))
    })
    .collect()
}

/// The families of a page in the text format that have samples.
fn shown(page: &str) -> BTreeMap<String, Shape> {
    let mut families: BTreeMap<String, Shape> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            current = name.to_string();
            families.insert(current.clone(), (kind.to_string(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line} is no line of {current}");
            let (_, labels) = families.get_mut(&current).expect("a family begins with its type");
            let pairs =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(pairs, _)| pairs);
            let names =
                pairs.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(name, _)| name.to_string());
            labels.extend(names.filter(|name| name != "le" && name != "quantile"));
        }
    }
    families
}

async fn page(server: &Promlake) -> String {
    reqwest::get(server.url("/metrics")).await.expect("the page").text().await.expect("its text")
}

#[tokio::test]
async fn every_documented_metric_is_there() {
    let home = Home::on_disk();
    let config = |interval: &str, target: &str| {
        format!(
            "global: {{scrape_interval: {interval}}}\nrule_files: [rules.yml]\n\
             remote_write: [{{url: 'http://127.0.0.1:1/'}}]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:1']}}]}}]}}\n\
             scrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['{target}']\n"
        )
    };
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle", "--storage.flush-interval=1s"]);
    let target = server.http.trim_start_matches("http://").to_string();
    let reload = async |text: String| {
        std::fs::write(home.dir.path().join("prometheus.yml"), text).expect("writing the configuration");
        let answer = reqwest::Client::new().post(server.url("/-/reload")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    };
    let rules =
        "groups: [{name: g, interval: 1s, rules: [{record: a, expr: up}, {alert: b, expr: up, labels: {c: d}}]}]\n";
    std::fs::write(home.dir.path().join("rules.yml"), rules).expect("writing the rules");
    reload(config("1s", &target)).await;
    // A pool that goes on with another configuration.
    reload(config("500ms", &target)).await;
    assert_eq!(get_json(&server.url("/api/v1/query?query=up")).await.0, 200);

    let documented = documented();
    assert!(documented.len() > 50, "{documented:?}");
    let start = Instant::now();
    loop {
        let page = page(&server).await;
        let shown = shown(&page);
        let missing: Vec<_> = documented.iter().filter(|(name, shape)| shown.get(*name) != Some(*shape)).collect();
        if missing.is_empty() {
            break;
        }
        let got: Vec<_> = missing.iter().map(|(name, _)| shown.get(*name)).collect();
        assert!(start.elapsed() < DEADLINE, "expected {missing:?}, got {got:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // The values that alerts are made of.
    let page = page(&server).await;
    let has = |line: &str| assert!(page.contains(&format!("\n{line}\n")), "no {line} in\n{page}");
    has("prometheus_ready 1");
    has("prometheus_config_last_reload_successful 1");
    has("prometheus_tsdb_clean_start 1");
    has("prometheus_target_scrape_pool_targets{scrape_job=\"self\"} 1");
    has("prometheus_target_scrape_pool_reloads_total 1");
    has("prometheus_target_scrape_pools_total 1");
    has("prometheus_sd_discovered_targets{config=\"self\",name=\"scrape\"} 1");
    has("prometheus_sd_discovered_targets{config=\"config-0\",name=\"notify\"} 1");
    has("prometheus_notifications_alertmanagers_discovered 1");
    has("prometheus_notifications_queue_capacity 10000");
    has("prometheus_engine_queries_concurrent_max 20");
    // The query, and rules that were evaluated meanwhile.
    let counted = "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} ";
    let count = page.lines().find_map(|line| line.strip_prefix(counted)?.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count >= 1), "{count:?} in\n{page}");
    has("prometheus_http_requests_total{code=\"200\",handler=\"/-/reload\"} 2");
    has("prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/label/:name/values\"} 0");
    has("prometheus_tsdb_out_of_order_samples_total{type=\"float\"} 0");

    // They are scraped as what they are.
    let (_, metadata) =
        get_json(&server.url("/api/v1/metadata?metric=prometheus_target_interval_length_seconds")).await;
    assert_eq!(metadata["data"]["prometheus_target_interval_length_seconds"][0]["type"], "summary");
}

/// A refused configuration is what `PrometheusBadConfig` is about.
#[tokio::test]
async fn a_bad_configuration_shows() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &["--web.enable-lifecycle"]);
    std::fs::write(home.dir.path().join("prometheus.yml"), "no_such_key: 1\n").expect("writing the configuration");
    let answer = reqwest::Client::new().post(server.url("/-/reload")).send().await.expect("an answer");
    assert_eq!(answer.status(), 500);
    assert!(page(&server).await.contains("\nprometheus_config_last_reload_successful 0\n"));
}

/// The next process finds what a killed one left in the log.
#[tokio::test]
async fn a_killed_process_is_no_clean_start() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let body = crate::write_request::encode(&[crate::write_request::Series {
        labels: &[("__name__", "a")],
        samples: &[(1_700_000_000_000, 1.0)],
    }]);
    assert_eq!(crate::support::write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    server.kill();
    let server = home.start(NO_TARGETS, &[]);
    let page = page(&server).await;
    assert!(page.contains("\nprometheus_tsdb_clean_start 0\n"), "{page}");
    assert!(page.contains("\nprometheus_tsdb_head_max_time_seconds 1700000000\n"), "{page}");
    assert!(page.contains("\nprometheus_tsdb_head_series 1\n"), "{page}");
}
