//! A shop with three kinds of pages, its visitors, and metrics of both as a client library would write them.

use std::fmt::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;

use crate::error::{Context, ErrorKind, Result};
use crate::server::http::guard;

/// Upper bounds of the histogram, seconds.
const BUCKETS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// By how much a slow shop is slower.
const SLOWER: f64 = 12.0;
/// Between two visitors, on the average. A request takes less than [`LONGEST`], so there are never many.
const BETWEEN_VISITORS: Duration = Duration::from_millis(60);
const LONGEST: Duration = Duration::from_secs(8);
/// Of a hundred requests so many fail.
const FAILING_PERCENT: u32 = 1;

struct Shop {
    slow: AtomicBool,
    pages: [Page; 3],
}

/// A kind of pages.
struct Page {
    path: &'static str,
    /// What half of its requests take, in seconds.
    median: f64,
    /// Whether it is slow when the shop is.
    may_be_slow: bool,
    /// Of a hundred visitors so many come here.
    share_percent: u32,
    seen: Mutex<Seen>,
    in_flight: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    done: u64,
    failed: u64,
    /// By upper bound, each request once; the last are those above all bounds.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl Page {
    fn new(path: &'static str, median: f64, may_be_slow: bool, share_percent: u32) -> Self {
        Self { path, median, may_be_slow, share_percent, seen: Mutex::default(), in_flight: AtomicU64::new(0) }
    }

    /// How long the next request takes.
    fn time(&self, shop_is_slow: bool) -> Duration {
        let factor = if shop_is_slow && self.may_be_slow { SLOWER } else { 1.0 };
        Duration::from_secs_f64(self.median * factor * spread()).min(LONGEST)
    }

    /// Makes a page, which takes its time; `false` where that fails.
    async fn make(&self, time: Duration) -> bool {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(time).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let works = fastrand::u32(0..100) >= FAILING_PERCENT;
        self.seen.lock().add(time.as_secs_f64(), works);
        works
    }
}

impl Seen {
    fn add(&mut self, seconds: f64, works: bool) {
        *(if works { &mut self.done } else { &mut self.failed }) += 1;
        self.buckets[BUCKETS.partition_point(|bound| *bound < seconds)] += 1;
        self.seconds += seconds;
    }
}

/// How much longer than the median a request takes: around 1, now and then several times as long.
fn spread() -> f64 {
    // The sum of twelve has a variance of 1 and nearly a normal distribution.
    let normal = (0..12).map(|_| fastrand::f64()).sum::<f64>() - 6.0;
    (0.5 * normal).exp()
}

impl Shop {
    fn new() -> Self {
        Self {
            slow: AtomicBool::new(false),
            pages: [
                Page::new("/api/article", 0.12, true, 70),
                Page::new("/api/cart", 0.06, false, 20),
                Page::new("/api/checkout", 0.2, false, 10),
            ],
        }
    }

    /// Answers a request for a page.
    async fn answer(&self, place: usize) -> bool {
        let page = &self.pages[place];
        page.make(page.time(self.is_slow())).await
    }

    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Where the next visitor goes.
    fn some_page(&self) -> usize {
        let mut left = fastrand::u32(0..self.pages.iter().map(|page| page.share_percent).sum());
        let goes_here = |page: &Page| {
            let here = left < page.share_percent;
            left = left.saturating_sub(page.share_percent);
            here
        };
        self.pages.iter().position(goes_here).unwrap_or(0)
    }

    /// In Prometheus' text format.
    fn metrics(&self) -> String {
        let mut out =
            String::from("# HELP http_requests_total Requests of the shop.\n# TYPE http_requests_total counter\n");
        let pages = self.pages.each_ref();
        let pages = pages.map(|page| (page.path, *page.seen.lock(), page.in_flight.load(Ordering::Relaxed)));
        for (path, seen, _) in &pages {
            for (code, count) in [(200, seen.done), (500, seen.failed)] {
                put(&mut out, format_args!("http_requests_total{{endpoint=\"{path}\",code=\"{code}\"}} {count}"));
            }
        }
        out += "# HELP http_request_duration_seconds How long they took.\n\
                # TYPE http_request_duration_seconds histogram\n";
        for (path, seen, _) in &pages {
            let name = "http_request_duration_seconds";
            let mut count = 0;
            let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_string()]);
            for (bound, bucket) in bounds.zip(seen.buckets) {
                count += bucket;
                put(&mut out, format_args!("{name}_bucket{{endpoint=\"{path}\",le=\"{bound}\"}} {count}"));
            }
            put(&mut out, format_args!("{name}_sum{{endpoint=\"{path}\"}} {}", seen.seconds));
            put(&mut out, format_args!("{name}_count{{endpoint=\"{path}\"}} {count}"));
        }
        out += "# HELP http_requests_in_flight Requests being answered.\n# TYPE http_requests_in_flight gauge\n";
        for (path, _, in_flight) in &pages {
            put(&mut out, format_args!("http_requests_in_flight{{endpoint=\"{path}\"}} {in_flight}"));
        }
        out
    }
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("writing to a string cannot fail");
}

/// Serves the shop and sends visitors.
pub async fn serve(listener: TcpListener) -> Result<()> {
    let failed = || "it cannot be served".to_string();
    let listener = tokio::net::TcpListener::from_std(listener).context(ErrorKind::Internal, failed)?;
    let shop = Arc::new(Shop::new());
    tokio::spawn(send_visitors(shop.clone()));
    let mut router = Router::new()
        .route("/", get(home))
        .route("/metrics", get(metrics))
        .route("/slow", post(|shop, headers| set_slow(shop, headers, true)))
        .route("/fast", post(|shop, headers| set_slow(shop, headers, false)));
    for (place, page) in shop.pages.iter().enumerate() {
        let handler = async move |State(shop): State<Arc<Shop>>| match shop.answer(place).await {
            true => (StatusCode::OK, "here it is\n"),
            false => (StatusCode::INTERNAL_SERVER_ERROR, "that went wrong\n"),
        };
        router = router.route(page.path, get(handler));
    }
    axum::serve(listener, router.with_state(shop)).await.context(ErrorKind::Internal, failed)
}

async fn send_visitors(shop: Arc<Shop>) {
    loop {
        tokio::time::sleep(BETWEEN_VISITORS.mul_f64(2.0 * fastrand::f64())).await;
        let (shop, place) = (shop.clone(), shop.some_page());
        tokio::spawn(async move { shop.answer(place).await });
    }
}

async fn metrics(State(shop): State<Arc<Shop>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shop.metrics()).into_response()
}

async fn home(State(shop): State<Arc<Shop>>) -> Html<String> {
    let (state, action, button) = match shop.is_slow() {
        true => ("slow: articles take seconds", "fast", "make it fast again"),
        false => ("fast", "slow", "make it slow"),
    };
    Html(format!(
        "<!doctype html><title>shop</title><h1>A shop</h1><p>It is {state}.</p>\
         <form method=\"post\" action=\"/{action}\"><button>{button}</button></form>\
         <p><a href=\"/api/article\">an article</a> <a href=\"/metrics\">metrics</a></p>\n"
    ))
}

/// No page of another site may press the button.
async fn set_slow(State(shop): State<Arc<Shop>>, headers: HeaderMap, slow: bool) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if let Err(refused) = guard::check(&headers, &[host], "") {
        return (StatusCode::FORBIDDEN, refused + "\n").into_response();
    }
    shop.slow.store(slow, Ordering::Relaxed);
    Redirect::to("/").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_counted_and_timed() {
        let shop = Shop::new();
        for time in [30, 60, 120] {
            shop.pages[1].make(Duration::from_millis(time)).await;
        }
        let seen = *shop.pages[1].seen.lock();
        let page = shop.metrics();
        for line in [
            format!("http_requests_total{{endpoint=\"/api/cart\",code=\"200\"}} {}", seen.done),
            format!("http_requests_total{{endpoint=\"/api/cart\",code=\"500\"}} {}", 3 - seen.done),
            "http_request_duration_seconds_bucket{endpoint=\"/api/cart\",le=\"0.05\"} 1".into(),
            "http_request_duration_seconds_bucket{endpoint=\"/api/cart\",le=\"0.1\"} 2".into(),
            "http_request_duration_seconds_bucket{endpoint=\"/api/cart\",le=\"10\"} 3".into(),
            "http_request_duration_seconds_bucket{endpoint=\"/api/cart\",le=\"+Inf\"} 3".into(),
            format!("http_request_duration_seconds_sum{{endpoint=\"/api/cart\"}} {}", 0.03 + 0.06 + 0.12),
            "http_request_duration_seconds_count{endpoint=\"/api/cart\"} 3".into(),
            "http_requests_in_flight{endpoint=\"/api/cart\"} 0".into(),
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
    }

    /// With the button pressed one in twenty articles takes more than a second, and without it none of a thousand or so.
    #[test]
    fn a_slow_shop_is_told_from_a_fast_one() {
        let shop = Shop::new();
        let slow = |page: usize, slow: bool| {
            (0..2000).filter(|_| shop.pages[page].time(slow) > Duration::from_secs(1)).count()
        };
        assert!(slow(0, true) > 1000 && slow(0, false) < 20, "{} {}", slow(0, true), slow(0, false));
        assert!(slow(1, true) < 20 && slow(2, true) < 20);
        assert!((0..2000).all(|_| shop.pages[0].time(true) <= LONGEST));
    }

    #[test]
    fn visitors_go_everywhere_and_bounds_are_inclusive() {
        let shop = Shop::new();
        let mut visits = [0; 3];
        (0..10_000).for_each(|_| visits[shop.some_page()] += 1);
        assert!(visits[0] > 2 * visits[1] && visits[1] > visits[2] && visits[2] > 500, "{visits:?}");
        let mut seen = Seen::default();
        [0.05, 0.051, 10.0, 11.0].into_iter().for_each(|seconds| seen.add(seconds, true));
        assert_eq!(seen.buckets, [1, 1, 0, 0, 0, 0, 0, 1, 1]);
    }
}
