use super::*;
use crate::config::protocol::ScrapeProtocol;

fn parse(text: &str) -> std::result::Result<Config, Mistakes> {
    Config::parse_with_env(text, &|name| (name == "DC").then(|| "fra".to_string()))
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|mistakes| panic!("{text}\n{}", mistakes.shown("file")))
}

/// All that is wrong with a text, as `LINE: KEY: MESSAGE`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let mistakes = parse(text).expect_err(text);
    let told: Vec<String> =
        mistakes.shown("").lines().map(|line| line.trim_start_matches(':').trim().to_string()).collect();
    assert_eq!(told, expected, "{text}");
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
    let config = accepted(FULL);
    assert_eq!(config.global.external_labels.to_string(), r#"{dc="fra", replica="1"}"#);
    assert_eq!(config.global.scrape_timeout_ms, 10_000);
    assert_eq!(config.storage.out_of_order_time_window_ms, 1_800_000);
    let node = &config.scrape_configs[0];
    assert_eq!((node.scrape_interval_ms, node.scrape_timeout_ms), (5_000, 5_000));
    assert_eq!((node.scheme.as_str(), node.honor_labels, node.honor_timestamps), ("https", true, false));
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
    for config in [accepted(FULL), accepted(""), Config::self_scrape("127.0.0.1:9090")] {
        let shown = config.to_yaml();
        assert_eq!(accepted(&shown).to_yaml(), shown);
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    for text in ["", "{}", "global:\n", "rule_files:\nscrape_configs: []\n", "alerting: {}"] {
        let config = accepted(text);
        assert_eq!((&config.global, config.scrape_configs.len()), (&Global::default(), 0), "{text:?}");
        assert!(config.not_built().is_ok() && config.without_effect().is_empty(), "{text:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    check("globl: {}", &["1: globl: field globl not found in the configuration, is global meant?"]);
    check("\nglobal:\n  foo: 1\n", &["3: global.foo: field foo not found in global"]);
    check("global: 3", &["1: global: expected a mapping, got `3`"]);
    check("global: {scrape_interval: 1x}", &[r#"1: global.scrape_interval: not a valid duration string: "1x""#]);
    check(
        "global: {scrape_interval: 1s, scrape_timeout: 2s}",
        &["1: global.scrape_timeout: global scrape timeout greater than scrape interval"],
    );
    check(
        "global: {sample_limit: -1}",
        &["1: global.sample_limit: expected a whole number of at least 0, got `-1`"],
    );
    check("global: {external_labels: {'': x}}", &[r#"1: global.external_labels: "" is not a valid label name"#]);
    check("scrape_configs: [null]", &["1: scrape_configs[0]: empty or null scrape_config section"]);
    check("scrape_configs: [{}]", &["1: scrape_configs[0]: job_name is empty"]);
    check("scrape_configs: {}", &["1: scrape_configs: expected a list, got a mapping"]);
    check(
        "scrape_configs:\n- job_name: a\n- job_name: a\n",
        &[r#"3: scrape_configs[1]: found multiple scrape configs with job name "a", the first on line 2"#],
    );
    check(
        "scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]",
        &[
            r#"1: scrape_configs[0].scrape_timeout: scrape timeout greater than scrape interval for scrape config with job name "a""#,
        ],
    );
    check(
        "scrape_configs: [{job_name: a, static_configs: [{targets: ['http://a:1']}]}]",
        &[r#"1: scrape_configs[0].static_configs[0].targets: "http://a:1" is not a valid hostname"#],
    );
    check(
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - action: keep_if_equal\n  - regex: '*'\n    target_label: x\n  - source_labels: [a]\n",
        &[
            r#"4: scrape_configs[0].relabel_configs[0].action: unknown relabel action "keep_if_equal""#,
            "5: scrape_configs[0].relabel_configs[1].regex: invalid regular expression \"*\": error parsing regexp: missing argument to repetition operator: `*`",
            "7: scrape_configs[0].relabel_configs[2]: relabel configuration for replace action requires 'target_label' value",
        ],
    );
    check(
        "scrape_configs: [{job_name: a, basic_auth: {password: x, password_file: y}}]",
        &[
            "1: scrape_configs[0].basic_auth.password_file: at most one of basic_auth password, password_file & password_ref must be configured",
        ],
    );
    check(
        "alerting: {alertmanagers: [{api_version: v1}]}",
        &[
            "1: alerting.alertmanagers[0].api_version: expected Alertmanager api version to be one of [v2] but got v1",
        ],
    );
    check("storage: {tsdb: {path: x}}", &["1: storage.tsdb.path: field path not found in tsdb"]);
    check("global: {}\nglobal: {}", &["2: \"global\" is already set in this mapping, on line 1"]);
}

#[test]
fn what_is_not_built_yet_is_another_error() {
    let check = |text: &str, expected: &[&str]| {
        let mistakes = accepted(text).not_built().expect_err(text);
        let told: Vec<String> = mistakes.shown("file").lines().map(str::to_string).collect();
        assert_eq!(told, expected, "{text}");
    };
    check(
        "remote_write: [{url: 'http://x', sigv4: {region: r}}]",
        &["file:1: remote_write[0].sigv4: is not supported yet"],
    );
    check(
        "scrape_configs:\n- job_name: x\n  basic_auth: {username: a}\n  gce_sd_configs: [{project: a, zone: b}]\n  \
         aws_sd_configs: [{role: ecs}, {role: ec2}]\n  file_sd_configs: [{files: [a.yml]}]\n",
        &[
            "file:4: scrape_configs[0].gce_sd_configs: is not supported yet",
            "file:5: scrape_configs[0].aws_sd_configs: the role ecs is not supported yet",
        ],
    );
    let same =
        "scrape_configs: [{job_name: x, enable_http2: true, scrape_native_histograms: false, file_sd_configs: []}]";
    assert!(accepted(same).not_built().is_ok());
    assert!(accepted("rule_files: [a.yml]").without_effect().is_empty());
}

#[test]
fn no_secret_is_shown() {
    let text = "scrape_configs: [{job_name: a, basic_auth: {username: u, password: hidden1}, \
                proxy_url: 'http://me:hidden2@proxy:1'}]\n\
                remote_write: [{url: 'http://u:hidden3@x/y', authorization: {credentials: hidden4}}]\n";
    let shown = accepted(text).to_yaml();
    assert!(!shown.contains("hidden") && shown.contains("username: u") && shown.contains("<secret>"), "{shown}");
}
