use super::*;
use crate::config::protocol::ScrapeProtocol;
use crate::config::scrape::Scheme;
use crate::error::ErrorKind;

fn parse(text: &str) -> Result<Config> {
    Config::parse_with_env(text, &|name| (name == "DC").then(|| "fra".to_string()))
}

#[track_caller]
fn check_error(text: &str, kind: ErrorKind, message: &str) {
    let error = parse(text).expect_err(text);
    assert_eq!((error.kind, error.to_string().as_str()), (kind, message), "{text}");
}

const FULL: &str = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 30s
  external_labels: {dc: "${DC}", replica: 1}
  sample_limit: 1000
  metric_name_validation_scheme: utf8
scrape_configs:
  - job_name: node
    scrape_interval: 5s
    metrics_path: /probe
    scheme: https
    params: {module: [http_2xx], target: [a, b]}
    honor_labels: yes
    honor_timestamps: false
    fallback_scrape_protocol: PrometheusText0.0.4
    scrape_protocols: [PrometheusText0.0.4]
    body_size_limit: 10MB
    label_limit: 30
    static_configs:
      - targets: ["a:9100", "b:9100"]
        labels: {env: prod, shard: 3}
      - targets: []
  - job_name: plain
storage:
  tsdb:
    out_of_order_time_window: 30m
"#;

#[test]
fn reads_every_supported_key_and_inherits_the_rest() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.global.external_labels.to_string(), r#"{dc="fra", replica="1"}"#);
    assert_eq!(config.global.scrape_timeout_ms, 10_000);
    assert_eq!(config.storage.out_of_order_time_window_ms, 1_800_000);
    let node = &config.scrape_configs[0];
    assert_eq!((node.scrape_interval_ms, node.scrape_timeout_ms), (5_000, 5_000));
    assert_eq!((node.scheme, node.honor_labels, node.honor_timestamps), (Scheme::Https, true, false));
    assert_eq!(node.fallback_scrape_protocol, Some(ScrapeProtocol::PrometheusText0_0_4));
    assert_eq!(node.params[1], ("target".to_string(), vec!["a".to_string(), "b".to_string()]));
    assert_eq!((node.limits.body_size_limit_bytes, node.limits.sample_limit), (10 << 20, 1000));
    assert_eq!(node.static_configs[0].labels[1], ("shard".to_string(), "3".to_string()));
    let plain = &config.scrape_configs[1];
    assert_eq!(plain.scrape_interval_ms, 15_000);
    assert_eq!(plain.scrape_protocols, ScrapeProtocol::DEFAULT);
    assert_eq!(plain.metrics_path, "/metrics");
}

#[test]
fn printing_and_reading_again_gives_the_same() {
    for config in [parse(FULL).unwrap(), parse("").unwrap(), Config::self_scrape("127.0.0.1:9090")] {
        assert_eq!(parse(&config.to_yaml()).unwrap(), config, "{}", config.to_yaml());
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    for text in ["", "{}", "global:\n", "rule_files:\nscrape_configs: []\n", "alerting: {}"] {
        assert_eq!(parse(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let check = |text: &str, message: &str| check_error(text, ErrorKind::BadInput, message);
    check("globl: {}", r#"unknown key "globl" in the configuration"#);
    check("global: {scrape_intervall: 1s}", r#"unknown key "scrape_intervall" in global"#);
    check("global: 3", r#"global must be a mapping, not "3""#);
    check("global: {scrape_interval: 1x}", r#"global: scrape_interval: not a valid duration string: "1x""#);
    check(
        "global: {scrape_interval: 1s, scrape_timeout: 2s}",
        "global scrape timeout greater than scrape interval",
    );
    check(
        "global: {body_size_limit: 1XB}",
        "global: body_size_limit: not a valid size: \"1XB\", expected a number with one of B, KB, MB, GB, TB, PB, EB",
    );
    check("global: {sample_limit: -1}", r#"global: sample_limit: expected a whole number of at least 0, got "-1""#);
    check("global: {external_labels: {__name__: x}}", r#""__name__" is not a valid label name in external_labels"#);
    check(
        "global: {metric_name_validation_scheme: ascii}",
        r#"unknown metric name validation scheme "ascii", must be either "legacy" or "utf8""#,
    );
    check("scrape_configs: [null]", "empty or null scrape config section");
    check("scrape_configs: [{}]", "job_name is empty");
    check("scrape_configs: {}", "the configuration: scrape_configs: expected a list, got a mapping");
    check("scrape_configs: [{job_name: a}, {job_name: a}]", r#"found multiple scrape configs with job name "a""#);
    check("scrape_configs: [{job_name: a, pth: /}]", r#"unknown key "pth" in scrape_config "a""#);
    check(
        "scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]",
        r#"scrape timeout greater than scrape interval for scrape config with job name "a""#,
    );
    check(
        "scrape_configs: [{job_name: a, scheme: ftp}]",
        r#"scrape_config "a": scheme: expected http or https, got "ftp""#,
    );
    check(
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://a:1']}]}]",
        r#""http://a:1" is not a valid hostname"#,
    );
    check(
        "scrape_configs: [{job_name: a, static_configs: [null]}]",
        r#"scrape_config "a": empty or null section in static_configs"#,
    );
    check(
        "scrape_configs: [{job_name: a, scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]}]",
        r#"scrape_config "a": duplicated protocol in scrape_protocols, got PrometheusText0.0.4"#,
    );
    check("storage: {tsdb: {path: x}}", r#"unknown key "path" in storage.tsdb"#);
    let twice = parse("global: {}\nglobal: {}").unwrap_err().to_string();
    assert!(twice.contains("duplicate entry with key \"global\""), "{twice}");
}

#[test]
fn what_is_not_built_yet_is_another_error() {
    let check = |text: &str, message: &str| check_error(text, ErrorKind::Unsupported, message);
    check("rule_files: [a.yml]", "the configuration: rule_files is not supported yet");
    check("remote_write: [{url: x}]", "the configuration: remote_write is not supported yet");
    check("global: {query_log_file: q.log}", "global: query_log_file is not supported yet");
    check(
        "scrape_configs: [{job_name: x, relabel_configs: [{action: drop}]}]",
        r#"scrape_config "x": relabel_configs is not supported yet"#,
    );
    check(
        "scrape_configs: [{job_name: x, kubernetes_sd_configs: [{role: pod}]}]",
        r#"scrape_config "x": kubernetes_sd_configs is not supported yet"#,
    );
    check(
        "scrape_configs: [{job_name: x, enable_http2: true}]",
        r#"scrape_config "x": enable_http2 is not supported yet"#,
    );
    check(
        "scrape_configs: [{job_name: x, scrape_protocols: [PrometheusProto]}]",
        r#"scrape_config "x": scrape protocol PrometheusProto is not supported yet"#,
    );
    check("storage: {tsdb: {retention: {time: 1d}}}", "storage.tsdb: retention is not supported yet");
}

#[test]
fn a_key_set_to_what_happens_anyway_passes() {
    parse("scrape_configs: [{job_name: x, enable_http2: false, scrape_native_histograms: false, file_sd_configs: []}]")
        .unwrap();
}
