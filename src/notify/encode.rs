//! Alerts as JSON, as Alertmanager's API (version 2, `postableAlerts`) takes them and Prometheus writes them: times with
//! milliseconds in RFC 3339, and no annotations or page where there are none.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::model::alert::Alert;

/// The body of a request.
pub(super) fn encode(alerts: &[Arc<Alert>]) -> Bytes {
    let all: Vec<Postable<'_>> = alerts.iter().map(|alert| Postable(alert)).collect();
    serde_json::to_vec(&all).expect("texts and mappings of texts have a JSON form").into()
}

struct Postable<'a>(&'a Alert);

impl Serialize for Postable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let alert = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !alert.annotations.is_empty() {
            map.serialize_entry(
                "annotations",
                &Pairs(alert.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
            )?;
        }
        map.serialize_entry("endsAt", &rfc3339(alert.ends_at_ms))?;
        map.serialize_entry("startsAt", &rfc3339(alert.starts_at_ms))?;
        if !alert.generator_url.is_empty() {
            map.serialize_entry("generatorURL", &alert.generator_url)?;
        }
        map.serialize_entry("labels", &Pairs(alert.labels.iter()))?;
        map.end()
    }
}

/// A mapping of texts.
struct Pairs<I>(I);

impl<'a, I: Iterator<Item = (&'a str, &'a str)> + Clone> Serialize for Pairs<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

/// A time that no calendar has becomes the nearest that one has.
fn rfc3339(ms: i64) -> String {
    let nearest = if ms < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp_millis(ms).unwrap_or(nearest).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::Labels;

    /// The body is one of Prometheus 3.5.3, save that Go writes `&`, `<` and `>` as `\u0026`, `\u003c` and `\u003e`.
    #[test]
    fn as_prometheus_writes_it() {
        let recorded = concat!(
            r#"[{"annotations":{"empty":"","sum":"ü \"q\" 1"},"#,
            r#""endsAt":"2026-11-27T23:52:24.543Z","startsAt":"2026-11-27T23:47:23.543Z","#,
            r#""generatorURL":"http://vm:19802/graph?g0.expr=vector%281%29+%3E+0&g0.tab=1","#,
            r#""labels":{"alertname":"Up","b":"x<y&z","cluster":"eu"}},{"#,
            r#""endsAt":"2026-11-27T23:52:24.543Z","startsAt":"2026-11-27T23:47:23.543Z","#,
            r#""generatorURL":"http://vm:19802/graph?g0.expr=vector%281%29+%3E+0&g0.tab=1","#,
            r#""labels":{"alertname":"NoAnnotations","cluster":"eu"}}]"#,
        );
        let first = Alert {
            labels: Labels::from_pairs([("b", "x<y&z"), ("alertname", "Up"), ("cluster", "eu")]),
            annotations: vec![("empty".into(), String::new()), ("sum".into(), "ü \"q\" 1".into())],
            starts_at_ms: 1_795_823_243_543,
            ends_at_ms: 1_795_823_544_543,
            generator_url: "http://vm:19802/graph?g0.expr=vector%281%29+%3E+0&g0.tab=1".into(),
        };
        let second = Alert {
            labels: Labels::from_pairs([("alertname", "NoAnnotations"), ("cluster", "eu")]),
            annotations: vec![],
            ..first.clone()
        };
        let text = encode(&[Arc::new(first), Arc::new(second)]);
        assert_eq!(std::str::from_utf8(&text).unwrap(), recorded);
        assert_eq!(&*encode(&[]), b"[]");
    }

    #[test]
    fn times() {
        let check = |ms: i64, expected: &str| assert!(rfc3339(ms).ends_with(expected), "{}", rfc3339(ms));
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        // Nobody means these, and none of them ends the server.
        check(i64::MAX, "Z");
        check(i64::MIN, "Z");
    }
}
