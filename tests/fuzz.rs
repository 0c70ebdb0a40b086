//! Random PromQL expressions over random series, asked of promlake and of Debian's Prometheus. What differs is cut
//! down to the smallest expression that still does, and fails the test unless `fuzz/explained.rs` has a reason.
//!
//! - `FUZZ_EXPRESSIONS`: how many are tried; without it 20,000 or as many as 45 seconds allow
//! - `FUZZ_SECONDS`: how long new expressions are tried
//! - `FUZZ_SEED`: of the series and the expressions, 1 if not given
//! - `FUZZ_ONLY`: the number of one expression of the seed, as a report names it
//! - `PROMETHEUS`: the program to compare with, otherwise that of `tests/peers`, otherwise the one on the path

/// Answers of the HTTP API, and what is different between two.
#[path = "fuzz/answer.rs"]
mod answer;
/// The series both servers hold.
#[path = "fuzz/data.rs"]
mod data;
/// Differences with a reason.
#[path = "fuzz/explained.rs"]
mod explained;
/// Expressions as trees, and their text.
#[path = "fuzz/expression.rs"]
mod expression;
/// Random expressions and times.
#[path = "fuzz/generate.rs"]
mod generate;
/// Native histograms, and how they are sent.
#[path = "fuzz/histogram.rs"]
mod histogram;
/// Debian's Prometheus.
#[path = "fuzz/peer.rs"]
mod peer;
/// Smaller questions.
#[path = "fuzz/shrink.rs"]
mod shrink;

/// Shared with other tests, which need more of it.
#[allow(dead_code)]
#[path = "support/server.rs"]
mod server;
/// How tests skip.
#[path = "support/skip.rs"]
mod skip;
#[path = "support/write_request.rs"]
mod write_request;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use answer::{Answer, difference};
use explained::{Difference, EXPLANATIONS};
use expression::Expr;
use fastrand::Rng;
use futures::{StreamExt, stream};
use generate::Question;

/// Questions on the way at a time.
const CONCURRENCY: usize = 6;
/// Questions spent on making one difference smaller.
const MOST_CUTS: usize = 400;
/// A run ends early with this many unexplained differences.
const MOST_REPORTS: usize = 20;

/// Prometheus uses the memory of histograms again, sometimes while they are still part of a range.
const POISONED: &str =
    "a native histogram that earlier queries have changed: a prometheus started anew agrees with us";

struct Settings {
    seed: u64,
    numbers: std::ops::Range<u64>,
    seconds: u64,
}

impl Settings {
    fn from_env() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
        };
        let count = number("FUZZ_EXPRESSIONS");
        let numbers = match number("FUZZ_ONLY") {
            Some(only) => only..only + 1,
            None => 0..count.unwrap_or(20_000),
        };
        let unbounded = if count.is_some() { u64::from(u32::MAX) } else { 45 };
        Self {
            seed: number("FUZZ_SEED").unwrap_or(1),
            numbers,
            seconds: number("FUZZ_SECONDS").unwrap_or(unbounded),
        }
    }

    /// Of one expression, of which everything is told.
    fn is_replay(&self) -> bool {
        self.numbers.end - self.numbers.start == 1
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_prometheus() {
    let settings = Settings::from_env();
    let prometheus = match peer::Prometheus::start().await {
        Ok(prometheus) => prometheus,
        // Debian sid's, the only one that is new enough.
        Err(reason) => return skip::skip_for_now("the differential fuzzer", &reason),
    };
    let version = prometheus.version.clone();
    let home = server::Home::on_disk();
    let flags = ["--enable-feature=promql-experimental-functions", "--query.max-concurrency=20"];
    let promlake = home.start(server::NO_TARGETS, &flags);
    let data = data::Data::new(&mut Rng::with_seed(settings.seed)).requests();
    let servers = Servers { client: reqwest::Client::new(), promlake, prometheus, data };
    servers.load(&servers.promlake.http).await;
    servers.load(&servers.prometheus.http).await;

    let outcome = run(&servers, &settings).await;
    println!("FUZZ_SEED={} against prometheus {version}: {outcome}", settings.seed);
    assert!(outcome.unexplained == 0, "{} unexplained differences", outcome.unexplained);
    assert!(outcome.asked < 100 || outcome.found * 3 > outcome.asked, "most expressions have to find something");
}

#[derive(Default)]
struct Outcome {
    asked: u64,
    /// Answered by both with at least one sample.
    found: u64,
    failed: u64,
    unexplained: usize,
    explained: BTreeMap<&'static str, u64>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let explained: u64 = self.explained.values().sum();
        writeln!(
            f,
            "{} expressions, {} with samples, {} errors; {} unexplained and {explained} explained differences",
            self.asked, self.found, self.failed, self.unexplained
        )?;
        self.explained.iter().try_for_each(|(reason, count)| writeln!(f, "  {count}: {reason}"))
    }
}

async fn run(servers: &Servers, settings: &Settings) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(settings.seconds);
    let in_time = settings.numbers.clone().take_while(|_| Instant::now() < deadline);
    let mut answers = stream::iter(in_time)
        .map(|number| async move {
            let question = Question::new(settings.seed, number);
            let answers = servers.ask(&question).await;
            (number, question, answers)
        })
        .buffered(CONCURRENCY);
    let mut outcome = Outcome::default();
    while let Some((number, question, (ours, theirs))) = answers.next().await {
        outcome.asked += 1;
        outcome.found += u64::from(!theirs.series().is_empty());
        outcome.failed += u64::from(matches!(theirs, Answer::Failed { .. }));
        if difference(&question, &ours, &theirs).is_none() {
            continue;
        }
        let (small, ours, theirs) = shrink(servers, question.clone(), ours, theirs).await;
        let found = Difference { question: &small, ours: &ours, theirs: &theirs };
        let known = EXPLANATIONS.iter().find(|e| (e.applies)(&found)).map(|e| e.reason);
        let reason = match known {
            None if small.expr.any(&Expr::is_native) && servers.fresh_peer_agrees(&found).await => Some(POISONED),
            known => known,
        };
        if let Some(reason) = reason {
            *outcome.explained.entry(reason).or_default() += 1;
            if settings.is_replay() {
                println!("{reason}\n{}", report(&found));
            }
            continue;
        }
        println!("FUZZ_SEED={} FUZZ_ONLY={number}\n  {}\n{}", settings.seed, question.expr, report(&found));
        outcome.unexplained += 1;
        if outcome.unexplained >= MOST_REPORTS {
            break;
        }
    }
    outcome
}

/// Cuts as long as something differs.
async fn shrink(servers: &Servers, question: Question, ours: Answer, theirs: Answer) -> (Question, Answer, Answer) {
    let mut best = (question, ours, theirs);
    let mut left = MOST_CUTS;
    'again: loop {
        for candidate in shrink::smaller(&best.0) {
            if left == 0 {
                return best;
            }
            left -= 1;
            let (ours, theirs) = servers.ask(&candidate).await;
            if difference(&candidate, &ours, &theirs).is_some() {
                best = (candidate, ours, theirs);
                continue 'again;
            }
        }
        return best;
    }
}

fn report(found: &Difference<'_>) -> String {
    let Difference { question, ours, theirs } = found;
    let what = difference(question, ours, theirs).unwrap_or_default();
    let times = match question.steps {
        None => format!("at {}", question.start_ms),
        Some(steps) => format!("from {} to {} every {} ms", question.start_ms, question.end_ms(), steps.step_ms),
    };
    format!("  {what}: {}\n  {times}\n  ours\n{}  theirs\n{}", question.expr, ours.summary(8), theirs.summary(8))
}

struct Servers {
    client: reqwest::Client,
    promlake: server::Promlake,
    prometheus: peer::Prometheus,
    /// What both hold, as remote write requests.
    data: Vec<Vec<u8>>,
}

impl Servers {
    async fn load(&self, server: &str) {
        for body in &self.data {
            let status = server::write(&self.client, server, body.clone()).await;
            assert!(matches!(status, Some(200 | 204)), "{server} answers {status:?} to remote write");
        }
    }

    async fn ask(&self, question: &Question) -> (Answer, Answer) {
        let ours = self.ask_one(&self.promlake.http, question);
        tokio::join!(ours, self.ask_one(&self.prometheus.http, question))
    }

    async fn fresh_peer_agrees(&self, found: &Difference<'_>) -> bool {
        let fresh = peer::Prometheus::start().await.expect("it has been started before");
        self.load(&fresh.http).await;
        let theirs = self.ask_one(&fresh.http, found.question).await;
        difference(found.question, found.ours, &theirs).is_none()
    }

    async fn ask_one(&self, server: &str, question: &Question) -> Answer {
        let seconds = |ms: i64| format!("{}", ms as f64 / 1000.0);
        let mut form = vec![("query", question.expr.to_string())];
        let path = match question.steps {
            None => {
                form.push(("time", seconds(question.start_ms)));
                "query"
            }
            Some(steps) => {
                form.push(("start", seconds(question.start_ms)));
                form.push(("end", seconds(question.end_ms())));
                form.push(("step", seconds(steps.step_ms)));
                "query_range"
            }
        };
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(format!("{server}/api/v1/{path}"));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(body);
        let response = request.send().await.unwrap_or_else(|e| panic!("{}: {e}", question.expr));
        let body = response.text().await.unwrap_or_else(|e| panic!("{}: {e}", question.expr));
        Answer::parse(&body).unwrap_or_else(|e| panic!("{}: {e}", question.expr))
    }
}
