//! Rendering for `/metrics`: OpenMetrics as the registry writes it, or the text format 0.0.4 made from it.

/// `Content-Type` of the two formats.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the client would rather have OpenMetrics than the text format, by the `q` of its `Accept` header.
/// Only media ranges that name one of the two count; with neither, or equal weights, it is the text format.
pub fn prefers_open_metrics(accept: &str) -> bool {
    let (mut open, mut text) = (0.0_f64, 0.0_f64);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or("");
        let weight = parts.filter_map(|p| p.strip_prefix("q=")).next().and_then(|q| q.parse().ok()).unwrap_or(1.0);
        match kind {
            "application/openmetrics-text" => open = open.max(weight),
            "text/plain" => text = text.max(weight),
            _ => {}
        }
    }
    open > text
}

/// The text format 0.0.4 of an OpenMetrics exposition of counters, gauges and classic histograms, which is
/// what our registry holds: counters carry `_total` in their family name, there is no unit and no end mark.
pub fn text_of(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(n, _)| *n == name) {
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            // Exemplars follow ` # ` and do not exist in 0.0.4; we write none, so this only costs a search.
            out.push_str(line.split_once(" # ").map_or(line, |(sample, _)| sample));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Family, Kind, Metrics};

    #[test]
    fn accept_decides() {
        let check = |accept, open| assert_eq!(prefers_open_metrics(accept), open, "{accept}");
        check("", false);
        check("*/*", false);
        check("text/plain", false);
        check("application/openmetrics-text", true);
        check("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true);
        check("application/openmetrics-text;q=0.3,text/plain;q=0.5", false);
    }

    #[test]
    fn both_formats() {
        let metrics = Metrics::new();
        metrics.add_source(|| {
            vec![
                Family::counter("promlake_things", "Things seen", 3.0),
                Family::labelled("promlake_size_bytes", "Sizes", Kind::Gauge)
                    .with(&[("part", "head")], 1.5)
                    .with(&[("part", "cache")], 2.0),
            ]
        });
        let open = metrics.open_metrics();
        assert!(open.contains("# TYPE promlake_things counter\npromlake_things_total 3"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
        let text = text_of(&open);
        assert!(text.contains("# TYPE promlake_things_total counter\npromlake_things_total 3"), "{text}");
        assert!(text.contains("promlake_size_bytes{part=\"head\"} 1.5\n"), "{text}");
        assert!(text.contains("promlake_size_bytes{part=\"cache\"} 2"), "{text}");
        assert!(!text.contains("EOF"), "{text}");
    }

    #[test]
    fn requests_are_counted_by_handler_and_code() {
        let metrics = Metrics::new();
        metrics.http.observe("/api/v1/query", 200, std::time::Duration::from_millis(2));
        let text = text_of(&metrics.open_metrics());
        assert!(
            text.contains("promlake_http_requests_total{handler=\"/api/v1/query\",code=\"200\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "promlake_http_request_duration_seconds_bucket{le=\"0.003\",handler=\"/api/v1/query\"} 1\n"
            ),
            "{text}"
        );
    }
}
