use std::collections::BTreeSet;

use super::*;
use crate::server::http::routes;
use crate::server::http::server::tests::settings;

fn read(agent: bool, version: Version) -> Value {
    let settings = Settings { agent, external_url: "http://metrics.example/lake/".into(), ..settings() };
    serde_yaml::from_str(Documents::of(&routes::all(), &settings).get(version)).unwrap()
}

fn paths(document: &Value) -> BTreeSet<String> {
    document["paths"].as_object().unwrap().keys().map(|path| format!("/api/v1{path}")).collect()
}

#[test]
fn every_route_of_the_api_and_nothing_else() {
    let of_api = |of_samples: bool| -> BTreeSet<String> {
        let routes = routes::all().into_iter();
        let routes = routes.filter(|route| route.path.starts_with("/api/") && (of_samples || !route.of_samples));
        routes.map(|route| route.path.to_string()).collect()
    };
    for version in [Version::V31, Version::V32] {
        assert_eq!(paths(&read(false, version)), of_api(true));
        assert_eq!(paths(&read(true, version)), of_api(false));
    }
    for route in routes::all() {
        assert_eq!(route.about.is_some(), route.path.starts_with("/api/"), "{}", route.path);
    }
}

/// Those of Prometheus 3.16's `api.Register`, and none that it has is missing.
#[test]
fn all_of_prometheus() {
    let known = [
        "get,post query",
        "get,post query_range",
        "get,post query_exemplars",
        "get,post format_query",
        "get,post parse_query",
        "get,post labels",
        "get label/{name}/values",
        "get,post series",
        "get scrape_pools",
        "get scrape_pools/config",
        "get targets",
        "get targets/metadata",
        "get targets/relabel_steps",
        "get alertmanagers",
        "get metadata",
        "get status/config",
        "get status/runtimeinfo",
        "get status/buildinfo",
        "get status/flags",
        "get status/tsdb",
        "get status/tsdb/blocks",
        "get status/self_metrics",
        "get features",
        "get status/walreplay",
        "get notifications",
        "get notifications/live",
        "post read",
        "post write",
        "post otlp/v1/metrics",
        "get,post search/metric_names",
        "get,post search/label_names",
        "get,post search/label_values",
        "get alerts",
        "get rules",
        "post,put admin/tsdb/delete_series",
        "post,put admin/tsdb/clean_tombstones",
        "post,put admin/tsdb/snapshot",
        "get openapi.yaml",
    ];
    let known: BTreeSet<String> = known.iter().map(|route| route.to_string()).collect();
    let document = read(false, Version::V32);
    let operations = |(path, item): (&String, &Value)| {
        let methods: Vec<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        format!("{} {}", methods.join(","), path.trim_start_matches('/'))
    };
    let got: BTreeSet<String> = document["paths"].as_object().unwrap().iter().map(operations).collect();
    assert_eq!(got, known);
}

/// What OpenAPI asks of a document beyond its shape.
#[test]
fn the_document_is_sound() {
    for version in [Version::V31, Version::V32] {
        let document = read(false, version);
        let expected = if version == Version::V31 { "3.1.0" } else { "3.2.0" };
        assert_eq!(document["openapi"], expected);
        assert_eq!(document["servers"][0]["url"], "http://metrics.example/lake/api/v1");
        let tags: BTreeSet<&str> =
            document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let in_path: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for (method, operation) in item.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_string()), "{path} {method}");
                assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{path}");
                assert!(operation["responses"]["default"].is_object(), "{path}");
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let names: Vec<(&str, &str)> =
                    parameters.iter().map(|p| (p["in"].as_str().unwrap(), p["name"].as_str().unwrap())).collect();
                assert_eq!(
                    names.iter().collect::<BTreeSet<_>>().len(),
                    names.len(),
                    "{path} has a parameter twice"
                );
                let of_path: BTreeSet<&str> =
                    names.iter().filter(|(place, _)| *place == "path").map(|(_, name)| *name).collect();
                assert_eq!(of_path, in_path, "{path}");
                assert!(method != "get" || operation["requestBody"].is_null(), "{path}");
            }
        }
    }
}

/// A form has what a query has, but for headers and parts of the path.
#[test]
fn forms() {
    let document = read(false, Version::V31);
    let query = &document["paths"]["/query"];
    let form = &query["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    assert_eq!(form["required"], json!(["query"]));
    assert!(form["properties"]["time"].is_object());
    let names = |operation: &Value| -> Vec<String> {
        let parameters = operation["parameters"].as_array().unwrap();
        parameters.iter().map(|p| p["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&query["post"]), ["X-Prometheus-Use-Start-Timestamps"]);
    assert!(names(&query["get"]).contains(&"time".to_string()));
    let write = &document["paths"]["/write"]["post"];
    assert!(write["requestBody"]["content"]["application/x-protobuf"].is_object());
    assert!(write["responses"]["204"].is_object() && write["parameters"].is_null());
}
