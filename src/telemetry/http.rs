//! What the HTTP server counts, by route, under Prometheus' names. A route has its counters before its first request,
//! so that nothing is looked up on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::telemetry::histogram::Histogram;
use crate::telemetry::metrics::{Family, Kind};

/// Prometheus' own buckets.
const SECONDS: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const BYTES: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// A status is below this.
const CODES: usize = 600;

/// See the module.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    routes: RwLock<Vec<Arc<RouteMetrics>>>,
    page: Page,
}

/// The counters of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    handler: String,
    /// By status.
    requests: Box<[AtomicU64]>,
    seconds: Histogram,
    bytes: Histogram,
}

/// What the Go client counts of `/metrics` itself.
#[derive(Debug, Default)]
struct Page {
    in_flight: AtomicU64,
    answered: AtomicU64,
}

/// A request of `/metrics` that is being answered.
#[derive(Debug)]
pub struct PageRequest<'a>(&'a Page);

impl HttpMetrics {
    /// The counters of a route by its pattern, never a path a client chose, so that the number of series is bounded.
    /// A part in braces becomes `:part`, as Prometheus names it.
    pub fn route(&self, pattern: &str) -> Arc<RouteMetrics> {
        let route = Arc::new(RouteMetrics {
            handler: pattern.replace("{*", "*").replace('{', ":").replace('}', ""),
            requests: (0..CODES).map(|_| AtomicU64::new(0)).collect(),
            seconds: Histogram::new(SECONDS),
            bytes: Histogram::new(BYTES),
        });
        self.routes.write().push(route.clone());
        route
    }

    /// Counts a request of `/metrics` until it is dropped.
    pub fn page(&self) -> PageRequest<'_> {
        self.page.in_flight.fetch_add(1, Ordering::Relaxed);
        PageRequest(&self.page)
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut requests =
            Family::labelled("prometheus_http_requests", "Number of HTTP requests answered", Kind::Counter);
        let help = "Time from a request's head to the head of its response";
        let mut seconds = Family::labelled("prometheus_http_request_duration_seconds", help, Kind::Histogram);
        let help = "Size of responses before compression";
        let mut bytes = Family::labelled("prometheus_http_response_size_bytes", help, Kind::Histogram);
        for route in self.routes.read().iter() {
            let handler = ("handler", route.handler.as_str());
            for (code, count) in route.requests.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                // A handler that was not asked yet is there all the same.
                if count > 0 || code == 200 {
                    requests = requests.with(&[("code", code.to_string().as_str()), handler], count as f64);
                }
            }
            let observed = |histogram: &Histogram| Some(histogram.read()).filter(|value| value.count() > 0);
            if let Some(value) = observed(&route.seconds) {
                seconds = seconds.with_histogram(&[handler], value);
            }
            if let Some(value) = observed(&route.bytes) {
                bytes = bytes.with_histogram(&[handler], value);
            }
        }
        vec![requests, seconds, bytes, self.page.in_flight(), self.page.requests()]
    }
}

impl RouteMetrics {
    /// A request was answered with a status; `elapsed` up to the head of the response.
    pub fn observe(&self, code: u16, elapsed: Duration) {
        let code = usize::from(code).min(CODES - 1);
        self.requests[code].fetch_add(1, Ordering::Relaxed);
        self.seconds.observe(elapsed.as_secs_f64());
    }

    /// The body of a response has gone out.
    pub fn observe_bytes(&self, bytes: u64) {
        self.bytes.observe(bytes as f64);
    }
}

impl Page {
    fn in_flight(&self) -> Family {
        let value = self.in_flight.load(Ordering::Relaxed) as f64;
        Family::gauge("promhttp_metric_handler_requests_in_flight", "Requests of this page being answered", value)
    }

    fn requests(&self) -> Family {
        let answered = self.answered.load(Ordering::Relaxed) as f64;
        // The page is always answered; the other statuses are there for rules that ask for them.
        Family::labelled("promhttp_metric_handler_requests", "Requests of this page by status", Kind::Counter)
            .with(&[("code", "200")], answered)
            .with(&[("code", "500")], 0.0)
            .with(&[("code", "503")], 0.0)
    }
}

impl Drop for PageRequest<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::exposition::{Format, render};

    #[test]
    fn requests_are_counted_by_handler_and_code() {
        let http = HttpMetrics::default();
        let route = http.route("/api/v1/label/{name}/values");
        http.route("/user/{*filepath}");
        route.observe(200, Duration::from_millis(150));
        route.observe(422, Duration::from_millis(50));
        route.observe_bytes(100);
        drop(http.page());
        let _open = http.page();
        let text = render(http.families(), Format::Text);
        let has = |line: &str| assert!(text.contains(&format!("\n{line}\n")), "no {line} in\n{text}");
        has("prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/label/:name/values\"} 1");
        has("prometheus_http_requests_total{code=\"422\",handler=\"/api/v1/label/:name/values\"} 1");
        has("prometheus_http_requests_total{code=\"200\",handler=\"/user/*filepath\"} 0");
        has("prometheus_http_request_duration_seconds_bucket{handler=\"/api/v1/label/:name/values\",le=\"0.1\"} 1");
        has(
            "prometheus_http_request_duration_seconds_bucket{handler=\"/api/v1/label/:name/values\",le=\"+Inf\"} 2",
        );
        has("prometheus_http_response_size_bytes_bucket{handler=\"/api/v1/label/:name/values\",le=\"100\"} 1");
        has("promhttp_metric_handler_requests_in_flight 1");
        has("promhttp_metric_handler_requests_total{code=\"200\"} 1");
        assert!(!text.contains("duration_seconds_count{handler=\"/user"), "{text}");
    }
}
