//! `/api/v1/rules` and `/api/v1/alerts`.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::config::rules::RuleKind;
use crate::error::Error;
use crate::model::float::format_exponent;
use crate::model::labels::Labels;
use crate::model::matcher::Matcher;
use crate::rules::alert::{Alert, AlertState};
use crate::rules::group::Group;
use crate::rules::rule::{Rule, State};
use crate::server::http::describe::{About, Kind, LABELS, Parameter, Reply, Shape, Tag};
use crate::server::http::envelope;
use crate::server::http::errors::{ApiError, ApiResult, invalid_parameter};
use crate::server::http::json::rfc3339;
use crate::server::http::params::Params;
use crate::server::http::route::{Route, read};
use crate::server::http::selectors;
use crate::server::http::server::Ready;

/// What Go prints for a time that was never set.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub fn routes() -> Vec<Route> {
    vec![
        read("/api/v1/rules").get(rules).of_samples().about(RULES),
        read("/api/v1/alerts").get(alerts).of_samples().about(ALERTS),
    ]
}

const RULES: About = About::new(Tag::Rules, "rules", "Groups of rules and how their evaluation goes")
    .takes(&[
        Parameter::new("type", Kind::OneOf(&["alert", "record"]), "Which kind of rules; both by default"),
        Parameter::new("rule_name[]", Kind::Texts, "Names of rules; all by default"),
        Parameter::new("rule_group[]", Kind::Texts, "Names of groups; all by default"),
        Parameter::new("file[]", Kind::Texts, "Rule files; all by default"),
        Parameter::new("exclude_alerts", Kind::Flag, "Leaves out the alerts of rules"),
        Parameter::new("match[]", Kind::Texts, "Selectors over the labels of rules, of which one has to match"),
        Parameter::new("group_limit", Kind::Whole, "Groups on a page"),
        Parameter::new("group_next_token", Kind::Text, "Which page, as groupNextToken of the one before says"),
    ])
    .answers(Reply::Data(Shape::Object(&[
        (
            "groups",
            Shape::List(&Shape::Object(&[
                ("name", Shape::Text),
                ("file", Shape::Text),
                ("rules", Shape::List(&RULE)),
                ("interval", Shape::Number),
                ("limit", Shape::Whole),
                ("evaluationTime", Shape::Number),
                ("lastEvaluation", Shape::Time),
            ])),
        ),
        ("groupNextToken?", Shape::Text),
    ])));
/// What is not of both kinds may be missing.
const RULE: Shape = Shape::Object(&[
    ("type", Shape::Text),
    ("name", Shape::Text),
    ("query", Shape::Text),
    ("labels", LABELS),
    ("health", Shape::Text),
    ("lastError?", Shape::Text),
    ("evaluationTime", Shape::Number),
    ("lastEvaluation", Shape::Time),
    ("state?", Shape::Text),
    ("duration?", Shape::Number),
    ("keepFiringFor?", Shape::Number),
    ("annotations?", LABELS),
    ("alerts?", Shape::Any),
]);
const ALERTS: About =
    About::new(Tag::Rules, "alerts", "Alerts that are pending or firing").answers(Reply::Data(Shape::Object(&[(
        "alerts",
        Shape::List(&Shape::Object(&[
            ("labels", LABELS),
            ("annotations", LABELS),
            ("state", Shape::Text),
            ("activeAt", Shape::Time),
            ("keepFiringSince?", Shape::Time),
            ("value", Shape::Text),
        ])),
    )])));

/// The alerts of all rules, the most urgent rules first.
async fn alerts(Ready(parts): Ready) -> ApiResult {
    let mut rules: Vec<(AlertState, State, String)> = Vec::new();
    for group in parts.rules.groups() {
        for rule in group.rules.iter().filter(|rule| matches!(rule.config.kind, RuleKind::Alerting { .. })) {
            let state = rule.state();
            rules.push((state.alerts.state(), state, rule.name().to_string()));
        }
    }
    rules.sort_by(|a, b| (b.0, &a.2).cmp(&(a.0, &b.2)));
    let alerts: Vec<Value> = rules.iter().flat_map(|(_, state, _)| alerts_json(state)).collect();
    Ok(envelope::success(&json!({ "alerts": alerts })))
}

/// What of the rules was asked for.
struct Wanted {
    names: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    with_alerts: bool,
}

async fn rules(Ready(parts): Ready, params: Params) -> ApiResult {
    params.checked()?;
    let texts = |name: &str| -> Vec<String> { params.all(name).into_iter().map(str::to_string).collect() };
    let (groups, files) = (texts("rule_group[]"), texts("file[]"));
    let matchers = selectors::parse_all(&params.all("match[]"))?;
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(invalid_parameter("type", Error::bad_input(format!("not supported value {kind:?}"))));
    }
    let wanted = Wanted {
        names: texts("rule_name[]"),
        matchers,
        alerting: kind != "record",
        recording: kind != "alert",
        with_alerts: !exclude_alerts(params.get("exclude_alerts"))?,
    };
    let page = Page::of(&params)?;
    let mut found = page.token.is_none();
    let (mut shown, mut next) = (Vec::new(), None);
    for group in parts.rules.groups() {
        found = found || page.token.as_deref() == Some(token(&group).as_str());
        let is_wanted = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
        if !found || !is_wanted(&groups, &group.name) || !is_wanted(&files, &group.file) {
            continue;
        }
        let rules: Vec<Value> = group.rules.iter().filter_map(|rule| rule_json(rule, &wanted)).collect();
        if rules.is_empty() {
            continue;
        }
        if page.limit.is_some_and(|limit| shown.len() == limit) {
            next = Some(token(&group));
            break;
        }
        shown.push(group_json(&group, rules));
    }
    if !found {
        let token = page.token.unwrap_or_default();
        let message = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(invalid_parameter("group_next_token", Error::bad_input(message)));
    }
    let mut data = json!({ "groups": shown });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(envelope::success(&data))
}

/// Which groups of all are on the page.
struct Page {
    limit: Option<usize>,
    token: Option<String>,
}

impl Page {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let (limit, token) = (params.get("group_limit"), params.get("group_next_token"));
        if limit.is_empty() && !token.is_empty() {
            let message = "group_limit needs to be present in order to paginate over the groups";
            return Err(invalid_parameter("group_next_token", Error::bad_input(message)));
        }
        let wrong = |message: String| invalid_parameter("group_limit", Error::bad_input(message));
        let limit = match limit {
            "" => None,
            text => match text.parse::<i32>() {
                Ok(limit) if limit > 0 => usize::try_from(limit).ok(),
                Ok(_) => return Err(wrong("group_limit needs to be greater than 0".into())),
                Err(error) => {
                    // Go's words.
                    let why = match error.kind() {
                        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                            "value out of range"
                        }
                        _ => "invalid syntax",
                    };
                    let parse = format!("strconv.ParseInt: parsing {text:?}: {why}");
                    return Err(wrong(format!("group_limit needs to be a valid number: {parse}")));
                }
            },
        };
        Ok(Self { limit, token: Some(token.to_string()).filter(|token| !token.is_empty()) })
    }
}

fn exclude_alerts(text: &str) -> Result<bool, ApiError> {
    // Lowered first, so of Go's spellings these are left.
    match text.to_lowercase().as_str() {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        text => {
            let parse = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            let message = format!("error converting exclude_alerts: {parse}");
            Err(invalid_parameter("exclude_alerts", Error::bad_input(message)))
        }
    }
}

/// What a next page begins with, as Prometheus makes it.
fn token(group: &Group) -> String {
    let key = format!("{};{}", group.file, group.name);
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn group_json(group: &Group, rules: Vec<Value>) -> Value {
    let last = group.last();
    json!({
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": seconds(group.interval_ms),
        "limit": group.config.limit,
        "evaluationTime": last.seconds,
        "lastEvaluation": last.at_ms.map_or_else(|| NEVER.to_string(), rfc3339),
    })
}

/// `None` if it was not asked for.
fn rule_json(rule: &Rule, wanted: &Wanted) -> Option<Value> {
    let labels = Labels::from_pairs(rule.config.labels.iter().map(|(name, value)| (name, value)));
    let matches = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(&labels));
    if !wanted.matchers.is_empty() && !wanted.matchers.iter().any(matches) {
        return None;
    }
    if !wanted.names.is_empty() && !wanted.names.iter().any(|name| name == rule.name()) {
        return None;
    }
    let state = rule.state();
    let mut json = match &rule.config.kind {
        RuleKind::Alerting { hold_ms, keep_firing_for_ms, annotations, .. } if wanted.alerting => json!({
            "state": if state.evaluated.is_some() { state.alerts.state().as_str() } else { "unknown" },
            "name": rule.name(),
            "query": rule.config.query,
            "duration": seconds(*hold_ms),
            "keepFiringFor": seconds(*keep_firing_for_ms),
            "labels": pairs_json(&rule.config.labels),
            "annotations": pairs_json(annotations),
            // Go's list that nobody made.
            "alerts": if wanted.with_alerts { alerts_json(&state).into() } else { Value::Null },
            "type": "alerting",
        }),
        RuleKind::Recording { .. } if wanted.recording => json!({
            "name": rule.name(),
            "query": rule.config.query,
            "labels": pairs_json(&rule.config.labels),
            "type": "recording",
        }),
        _ => return None,
    };
    json["health"] = rule.health().into();
    json["evaluationTime"] = state.evaluated.map_or(0.0, |evaluated| evaluated.seconds).into();
    json["lastEvaluation"] =
        state.evaluated.map_or_else(|| NEVER.to_string(), |evaluated| rfc3339(evaluated.at_ms)).into();
    if let Some(error) = state.error {
        json["lastError"] = error.into();
    }
    Some(json)
}

fn alerts_json(state: &State) -> Vec<Value> {
    let mut active: Vec<(&Labels, &Alert)> = state.alerts.active().collect();
    active.sort_unstable_by(|a, b| a.0.cmp(b.0));
    active.into_iter().map(|(labels, alert)| alert_json(labels, alert)).collect()
}

fn alert_json(labels: &Labels, alert: &Alert) -> Value {
    let mut json = json!({
        "labels": labels.iter().collect::<BTreeMap<_, _>>(),
        "annotations": pairs_json(&alert.annotations),
        "state": alert.state.as_str(),
        "activeAt": rfc3339(alert.active_at),
        "value": format_exponent(alert.value),
    });
    if let Some(since) = alert.keep_firing_since {
        json["keepFiringSince"] = rfc3339(since).into();
    }
    json
}

fn pairs_json(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
