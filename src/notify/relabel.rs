//! What alerts become before they are sent: external labels where they have none of the name, then rules, which may drop
//! them.

use std::sync::Arc;

use crate::model::alert::Alert;
use crate::model::labels::{Labels, LabelsBuilder};
use crate::model::relabel::{self, Rule};

/// The alerts that are left. Those that did not change are the ones they were.
pub(super) fn relabelled(alerts: &[Arc<Alert>], external: &Labels, rules: &[Rule]) -> Vec<Arc<Alert>> {
    if external.is_empty() && rules.is_empty() {
        return alerts.to_vec();
    }
    alerts.iter().filter_map(|alert| relabelled_one(alert, external, rules)).collect()
}

fn relabelled_one(alert: &Arc<Alert>, external: &Labels, rules: &[Rule]) -> Option<Arc<Alert>> {
    let mut labels = LabelsBuilder::from_labels(&alert.labels);
    for (name, value) in external.iter().filter(|(name, _)| alert.labels.get(name).is_none()) {
        labels.set(name, value);
    }
    if !relabel::apply(rules, &mut labels) {
        return None;
    }
    let labels = labels.build();
    if labels == alert.labels { Some(alert.clone()) } else { Some(Arc::new(Alert { labels, ..(**alert).clone() })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;

    #[test]
    fn external_labels_then_rules() {
        let config = Config::parse(
            "global: {external_labels: {cluster: eu, replica: a}}\n\
             alerting:\n\
             \x20 alert_relabel_configs:\n\
             \x20 - {action: labeldrop, regex: replica}\n\
             \x20 - {action: drop, source_labels: [severity, cluster], regex: 'info;eu'}\n",
        );
        let config = config.unwrap();
        let check = |labels: &[(&str, &str)], expected: Option<&str>| {
            let alert = Alert {
                labels: Labels::from_pairs(labels.iter().copied()),
                annotations: vec![("a".to_string(), String::new())],
                starts_at_ms: 1,
                ends_at_ms: 2,
                generator_url: "http://g/".to_string(),
            };
            let rules = &config.alerting.alert_relabel_configs;
            let left = relabelled(&[Arc::new(alert.clone())], &config.global.external_labels, rules);
            let shown: Vec<String> = left.iter().map(|alert| alert.labels.to_string()).collect();
            assert_eq!(shown.first().map(String::as_str), expected);
            let same = |left: &Alert| Alert { labels: alert.labels.clone(), ..left.clone() } == alert;
            assert!(left.iter().all(|left| same(left)), "all but the labels stays");
        };
        check(&[("alertname", "A")], Some(r#"{alertname="A", cluster="eu"}"#));
        check(&[("alertname", "A"), ("cluster", "us")], Some(r#"{alertname="A", cluster="us"}"#));
        check(&[("alertname", "A"), ("severity", "info")], None);
        check(&[("cluster", "us"), ("severity", "info")], Some(r#"{cluster="us", severity="info"}"#));
    }
}
