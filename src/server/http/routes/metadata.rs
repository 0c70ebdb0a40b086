//! `/api/v1/metadata`: type, help and unit by metric family, as targets say them, and of others as they were stored; `/api/v1/targets/metadata`: the
//! same as each target said it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::Error;
use crate::ingest::scrape::metadata::FamilyMetadata;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::model::metadata::Metadata;
use crate::promql::parse;
use crate::server::http::describe::{About, Kind, LABELS, Parameter, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::server::Ready;

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/metadata").within_limits().get(metadata).about(METADATA),
        read("/api/v1/targets/metadata").get(targets_metadata).about(OF_TARGETS),
    ]
}

const METRIC: Parameter = Parameter::new("metric", Kind::Text, "The name of a metric family; all by default");

const METADATA: About = About::new(Tag::Metadata, "metadata", "Types, units and help texts by metric family")
    .takes(&[
        METRIC,
        Parameter::new("limit", Kind::Whole, "Families at most"),
        Parameter::new("limit_per_metric", Kind::Whole, "Entries of a family at most"),
    ])
    .answers(Reply::Data(Shape::Map(&Shape::List(&Shape::Object(&[
        ("type", Shape::Text),
        ("help", Shape::Text),
        ("unit", Shape::Text),
    ])))));
const OF_TARGETS: About = About::new(Tag::Metadata, "targets-metadata", "The same as each target says it")
    .takes(&[
        Parameter::new("match_target", Kind::Text, "A selector over the labels of targets; all by default"),
        METRIC,
        Parameter::new("limit", Kind::Whole, "Entries at most, of whole targets"),
    ])
    .answers(Reply::Data(Shape::List(&Shape::Object(&[
        ("target", LABELS),
        ("metric?", Shape::Text),
        ("type", Shape::Text),
        ("help", Shape::Text),
        ("unit", Shape::Text),
    ]))));

async fn metadata(Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = count(&params, "limit")?;
    // Unlike the other, this limit is none when it is 0.
    let per_metric = count(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let (visible, metric) = (parts.engine.visible().clone(), params.get("metric").to_string());
    let limits = parts.engine.limits(None);
    let found = parts.engine.run(&limits, |pass| async move {
        let _pass = pass;
        let (told, stored) = (parts.scrape.metadata(), visible.metadata().await?);
        let seen = visible.families().await?;
        let told = told.into_iter().flat_map(|(_, families)| families).map(|f| (f.family, f.metadata));
        let told = told.filter(|(family, _)| seen.has(family));
        Ok(by_name(told_and_stored(told.collect(), stored), &metric, limit, per_metric))
    });
    let found = found.await.map_err(ApiError)?;
    Ok(envelope::success(&found))
}

/// What targets say now, each thing once; of families that none of them has, what is stored.
fn told_and_stored(told: Vec<(String, Metadata)>, stored: Vec<(String, Metadata)>) -> Vec<(String, Metadata)> {
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for (family, metadata) in told {
        let of_family = all.entry(family).or_default();
        if !of_family.contains(&metadata) {
            of_family.push(metadata);
        }
    }
    for (family, metadata) in stored {
        all.entry(family).or_insert_with(|| vec![metadata]);
    }
    let each = |(family, found): (String, Vec<Metadata>)| found.into_iter().map(move |one| (family.clone(), one));
    all.into_iter().flat_map(each).collect()
}

fn by_name(
    all: Vec<(String, Metadata)>,
    metric: &str,
    limit: Option<usize>,
    per_metric: Option<usize>,
) -> BTreeMap<String, Vec<Value>> {
    let mut out: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, metadata) in all {
        if !metric.is_empty() && name != metric {
            continue;
        }
        if limit.is_some_and(|limit| out.len() >= limit && !out.contains_key(&name)) {
            continue;
        }
        let entries = out.entry(name).or_default();
        if per_metric.is_none_or(|limit| entries.len() < limit) {
            entries.push(json!({
                "type": metadata.kind.as_str(),
                "help": metadata.help,
                "unit": metadata.unit,
            }));
        }
    }
    out
}

/// Without `match_target` that of all targets, without `metric` of all their families.
async fn targets_metadata(Ready(parts): Ready, params: Params) -> ApiResult {
    let limit = count(&params, "limit")?;
    let matchers = match params.get("match_target") {
        "" => vec![],
        selector => {
            parse::parse_selector(selector).map_err(|error| invalid_parameter("match_target", error.into()))?
        }
    };
    let limits = parts.engine.limits(None);
    let metric = params.get("metric").to_string();
    let found = parts.engine.run(&limits, |pass| async move {
        let _pass = pass;
        Ok(by_target(parts.scrape.metadata(), &matchers, &metric, limit))
    });
    let found = found.await.map_err(ApiError)?;
    Ok(envelope::success(&found))
}

/// What each target says of a family, or of all: whole targets until there are `limit` entries, as in Prometheus.
fn by_target(
    all: Vec<(Labels, Vec<FamilyMetadata>)>,
    matchers: &[Matcher],
    metric: &str,
    limit: Option<usize>,
) -> Vec<Value> {
    let mut out = vec![];
    for (labels, families) in all {
        if limit.is_some_and(|limit| out.len() >= limit) {
            break;
        }
        if !matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or(""))) {
            continue;
        }
        let target: BTreeMap<&str, &str> = labels.iter().collect();
        for FamilyMetadata { family, metadata } in families {
            if !metric.is_empty() && family != metric {
                continue;
            }
            let mut entry = json!({
                "target": target,
                "type": metadata.kind.as_str(),
                "help": metadata.help,
                "unit": metadata.unit,
            });
            if metric.is_empty() {
                entry["metric"] = family.into();
            }
            out.push(entry);
        }
    }
    out
}

/// A whole number; negative or absent means no limit.
fn count(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => match text.parse::<i64>() {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => Err(ApiError(Error::bad_input(format!("{name} must be a number")))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::MetricType;

    #[test]
    fn filters_and_limits() {
        let entry = |name: &str, help: &str| {
            (name.to_string(), Metadata { kind: MetricType::Gauge, help: help.into(), unit: String::new() })
        };
        let all = || vec![entry("a", "1"), entry("a", "2"), entry("b", "3")];
        let check = |metric, limit, per_metric, expected: &str| {
            let got = serde_json::to_string(&by_name(all(), metric, limit, per_metric)).unwrap();
            assert_eq!(got, expected);
        };
        check("b", None, None, r#"{"b":[{"help":"3","type":"gauge","unit":""}]}"#);
        check("c", None, None, "{}");
        check("", Some(0), None, "{}");
        assert_eq!(by_name(all(), "", Some(1), None).len(), 1);
        assert_eq!(by_name(all(), "", None, Some(1))["a"].len(), 1);
        assert_eq!(by_name(all(), "", None, None)["a"].len(), 2);
    }

    #[test]
    fn targets_may_say_different_things() {
        let of = |family: &str, help: &str| {
            (family.to_string(), Metadata { kind: MetricType::Gauge, help: help.into(), unit: String::new() })
        };
        let told = vec![of("a", "one"), of("a", "two"), of("a", "one")];
        let found = told_and_stored(told, vec![of("a", "three"), of("b", "stored")]);
        assert_eq!(found, [of("a", "one"), of("a", "two"), of("b", "stored")]);
    }

    #[test]
    fn what_each_target_says() {
        let family = |name: &str| {
            let metadata = Metadata { kind: MetricType::Counter, help: format!("of {name}"), unit: "s".into() };
            FamilyMetadata { family: name.into(), metadata }
        };
        let target = |instance: &str| Labels::from_pairs([("instance", instance), ("job", "j")]);
        let all = || vec![(target("a"), vec![family("x"), family("y")]), (target("b"), vec![family("y")])];
        let check = |selector: &str, metric, limit, expected: &[(&str, Option<&str>)]| {
            let matchers = if selector.is_empty() { vec![] } else { parse::parse_selector(selector).unwrap() };
            let got = by_target(all(), &matchers, metric, limit);
            let got: Vec<_> =
                got.iter().map(|e| (e["target"]["instance"].as_str().unwrap(), e["metric"].as_str())).collect();
            assert_eq!(got, expected, "{selector} {metric} {limit:?}");
        };
        check("", "", None, &[("a", Some("x")), ("a", Some("y")), ("b", Some("y"))]);
        check("", "y", None, &[("a", None), ("b", None)]);
        check(r#"{instance="b"}"#, "", None, &[("b", Some("y"))]);
        check(r#"{instance="c"}"#, "", None, &[]);
        // A target is told whole.
        check("", "", Some(1), &[("a", Some("x")), ("a", Some("y"))]);
        check("", "", Some(0), &[]);
        let entry = &by_target(all(), &[], "x", None)[0];
        assert_eq!(
            (&entry["type"], &entry["help"], &entry["unit"]),
            (&json!("counter"), &json!("of x"), &json!("s"))
        );
    }
}
