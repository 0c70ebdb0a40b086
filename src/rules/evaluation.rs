//! One evaluation of a group.
//!
//! What a rule writes is seen when it is durable. So a rule that reads what an earlier one of its group wrote waits for
//! that, and no other does: a bucket takes a second for it, and a group has many rules. Until one waits, results are gathered,
//! but not for long: others read them as well, and a rule may take minutes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::door::canceled;
use crate::engine::together::Form;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::appender::Appended;
use crate::promql::ast::Expr;
use crate::rules::elements::Subjects;
use crate::rules::environment::{Environment, Vector};
use crate::rules::group::{Group, LastEvaluation, Round};
use crate::rules::results::{Findings, Gathered, Part, labels_of};
use crate::rules::rule::{Evaluated, Rule};
use crate::rules::stats::{add, set};
use crate::storage::store::durability::Log;
use crate::storage::types::Haste;
use crate::telemetry::spans;

const NS_IN_MS: i64 = 1_000_000;
/// How long the results of an evaluation are waited for, where the interval is shorter: a bucket takes a second for a put.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);
/// How long results are gathered while others of the group are evaluated.
const LONGEST_GATHERING: Duration = Duration::from_millis(200);
/// Rules that are asked together at a time, and about how many elements of their vectors wait for their turn.
const MOST_TOGETHER: usize = 64;
const MOST_ELEMENTS: usize = 16 << 10;

/// Evaluates all rules of a group at a time, and waits until what they wrote is durable, or will not be soon.
pub async fn evaluate(group: &Group, environment: &Environment, at_ns: i64, stop: &CancellationToken) {
    let (started, at_ms) = (Instant::now(), environment.now_ms());
    add(&group.stats.scheduled, 1);
    let span = spans::span("rule group");
    span.text("name", &group.name);
    span.text("file", &group.file);
    let at = at_ns.div_euclid(NS_IN_MS);
    let samples = span.around(Evaluation::new(group, environment, at, stop).run()).await;
    let elapsed = started.elapsed();
    environment.stats.group_seconds.observe(elapsed.as_secs_f64());
    environment.stats.group_seconds_buckets.observe(elapsed.as_secs_f64());
    let rules_seconds: f64 = group.rules.iter().filter_map(|rule| Some(rule.state.lock().evaluated?.seconds)).sum();
    set(&group.stats.samples, samples);
    set(&group.stats.last_us, elapsed.as_micros() as u64);
    set(&group.stats.last_rules_us, (rules_seconds * 1e6) as u64);
    group.stats.last_at_ms.store(at_ms, Ordering::Relaxed);
    *group.last.lock() = LastEvaluation { at_ms: Some(at_ms), seconds: elapsed.as_secs_f64() };
}

struct Evaluation<'a> {
    asking: Asking<'a>,
    log: watch::Receiver<Log>,
    /// How long the store is still waited for, all together: alerts must be told again in time, whatever becomes of the
    /// bucket.
    patience: Mutex<Duration>,
    gathered: Gathered,
    /// Since when there is something in it.
    gathered_since: Instant,
    pending: Vec<Pending>,
}

/// What rules are evaluated with.
#[derive(Clone, Copy)]
struct Asking<'a> {
    group: &'a Group,
    environment: &'a Environment,
    at: i64,
    stop: &'a CancellationToken,
}

/// What a rule looks at, where that was asked together with others, and its share of the time that took.
struct Answer {
    vector: Vector,
    seconds: f64,
}

/// What was handed over and is not known to be durable.
struct Pending {
    /// Of the rules that wrote it.
    places: HashSet<usize>,
    appended: Appended,
}

impl<'a> Evaluation<'a> {
    fn new(group: &'a Group, environment: &'a Environment, at: i64, stop: &'a CancellationToken) -> Self {
        let patience = Duration::from_millis(group.interval_ms.unsigned_abs()).max(LEAST_PATIENCE);
        Self {
            asking: Asking { group, environment, at, stop },
            log: environment.appender.durability(),
            patience: Mutex::new(patience),
            gathered: Gathered::default(),
            gathered_since: Instant::now(),
            pending: Vec::new(),
        }
    }

    /// How many samples the rules found.
    async fn run(mut self) -> u64 {
        let mut samples = 0;
        let (group, stop) = (self.asking.group, self.asking.stop);
        for Round { places, side_by_side } in &group.rounds {
            for place in places {
                self.wait_for(group.needed[*place].as_deref()).await;
            }
            if stop.is_cancelled() {
                break;
            }
            let answers = self.asking.ask_together(places).await;
            let rules: Vec<(usize, Option<Answer>)> = places.iter().copied().zip(answers).collect();
            if *side_by_side {
                samples += self.run_rules(rules).await;
                continue;
            }
            for rule in rules {
                if stop.is_cancelled() {
                    break;
                }
                samples += self.run_rules(vec![rule]).await;
            }
        }
        self.wait_for(None).await;
        samples
    }

    /// Evaluates rules side by side, as far as there are slots, and hands over meanwhile what there is.
    async fn run_rules(&mut self, rules: Vec<(usize, Option<Answer>)>) -> u64 {
        let (asking, beside) = (self.asking, rules.len() > 1);
        let rules = rules
            .into_iter()
            .map(|(place, answer)| async move { (place, asking.rule_with_slot(place, answer, beside).await) });
        let mut rules: FuturesUnordered<_> = rules.collect();
        let mut samples = 0;
        loop {
            let handed_over = tokio::time::sleep_until((self.gathered_since + LONGEST_GATHERING).into());
            tokio::select! {
                biased;
                done = rules.next() => match done {
                    Some((place, Some(findings))) => {
                        samples += findings.len() as u64;
                        self.gather(place, findings).await;
                    }
                    Some((_, None)) => {}
                    None => return samples,
                },
                () = handed_over, if !self.gathered.is_empty() => self.submit(Haste::Moment).await,
            }
        }
    }

    async fn gather(&mut self, place: usize, mut findings: Findings) {
        let (group, rule) = (self.asking.group, &self.asking.group.rules[place]);
        findings.drop_unstorable(|error| {
            rule.state.lock().error = Some(error.to_string());
            tracing::warn!(file = group.file, group = group.name, name = rule.name(), %error, "a result of a rule is dropped");
        });
        let rows = findings.into_rows(|fresh| self.asking.environment.appender.intern_all(fresh));
        if rows.is_empty() {
            return;
        }
        if self.gathered.is_full_for(&rows) {
            self.submit(Haste::Moment).await;
        }
        if self.gathered.is_empty() {
            self.gathered_since = Instant::now();
        }
        self.gathered.add(place, rows, self.asking.at - group.query_offset_ms(self.asking.environment));
    }

    /// Hands over what was gathered.
    async fn submit(&mut self, haste: Haste) {
        if self.gathered.is_empty() {
            return;
        }
        let (batch, parts) = self.gathered.take();
        let submitted = self.asking.environment.appender.submit(batch, haste, labels_of(&parts));
        match self.patiently(submitted).await {
            Some(Ok(appended)) => {
                let places = parts.iter().map(|part| part.place).collect();
                for part in parts {
                    self.judge(&part, &appended);
                    let rule = &self.asking.group.rules[part.place];
                    rule.state.lock().series = part.written(&appended);
                }
                self.pending.push(Pending { places, appended });
            }
            refused => {
                let error = refused.and_then(Result::err).map_or_else(too_slow, |unsent| unsent.error);
                for part in &parts {
                    self.asking.failed(
                        &self.asking.group.rules[part.place],
                        &error,
                        "the results of a rule are not stored",
                    );
                }
            }
        }
    }

    /// Tells of results that the store refuses.
    fn judge(&self, part: &Part, appended: &Appended) {
        let (group, rule) = (self.asking.group, &self.asking.group.rules[part.place]);
        for (words, rejection, dropped) in part.refusals(appended) {
            let (file, group, name) = (&group.file, &group.name, rule.name());
            tracing::warn!(file, group, name, dropped, error = rejection.as_str(), "results of a rule are dropped");
            rule.state.lock().error = Some(words);
        }
    }

    /// Waits for what these rules wrote; `None` for all of them.
    async fn wait_for(&mut self, places: Option<&[usize]>) {
        if places.is_none_or(|places| places.iter().any(|place| self.gathered.has(*place))) {
            // At the end there is no rule left that waits.
            self.submit(if places.is_some() { Haste::Now } else { Haste::Moment }).await;
        }
        let is_of = |pending: &mut Pending| {
            places.is_none_or(|places| places.iter().any(|place| pending.places.contains(place)))
        };
        let waited: Vec<Pending> = self.pending.extract_if(.., is_of).collect();
        for Pending { places, mut appended } in waited {
            // They are on their way side by side already.
            let mut log = self.log.clone();
            let durable = async {
                tokio::select! {
                    biased;
                    outcome = appended.durable() => outcome,
                    failing = log.wait_for(|log| !log.works()) => failing.ok().and_then(|log| log.error()).map_or(Ok(()), Err),
                    () = self.asking.stop.cancelled() => Err(canceled()),
                }
            };
            if let Err(error) = self.patiently(durable).await.unwrap_or_else(|| Err(too_slow())) {
                for place in places {
                    self.asking.failed(
                        &self.asking.group.rules[place],
                        &error,
                        "the results of a rule are not durable yet",
                    );
                }
            }
        }
    }

    /// Waits for the store as long as it is still waited for; `None` where that was not long enough. What is there at once
    /// needs no patience.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (patience, began) = (*self.patience.lock(), Instant::now());
        let done = tokio::time::timeout(patience, work).await.ok();
        let mut left = self.patience.lock();
        *left = left.saturating_sub(began.elapsed());
        done
    }
}

impl Asking<'_> {
    /// The same as [`Self::rule`], which waits for a slot where others go on beside it. In Prometheus a rule that finds none is
    /// evaluated by the task of its group; here that waits either way.
    async fn rule_with_slot(&self, place: usize, answer: Option<Answer>, beside: bool) -> Option<Findings> {
        let _slot = match self.environment.slots().filter(|_| beside) {
            Some(slots) => slots.acquire().await.ok(),
            None => None,
        };
        self.rule(place, answer).await
    }

    /// Asks for what rules look at that need nothing of each other, as far as that can be asked together: for each its answer,
    /// or `None` for what is to be asked alone. That is also for rules that failed: together they would fail the others.
    async fn ask_together(&self, places: &[usize]) -> Vec<Option<Answer>> {
        let mut answers: Vec<Option<Answer>> = places.iter().map(|_| None).collect();
        let is_well = |place: usize| self.group.rules[place].state.lock().error.is_none();
        let asked: Vec<(usize, &Arc<Form>)> = places
            .iter()
            .enumerate()
            .filter_map(|(at, place)| Some((at, self.group.forms[*place].as_ref()?)))
            .filter(|(at, _)| is_well(places[*at]))
            .collect();
        let mut elements = 0;
        for asked in asked.chunks(MOST_TOGETHER).filter(|asked| asked.len() > 1) {
            if elements > MOST_ELEMENTS {
                break;
            }
            let started = Instant::now();
            let exprs: Vec<(&Arc<Form>, &Expr)> = asked
                .iter()
                .map(|(at, form)| (*form, self.group.rules[places[*at]].config.expr.as_ref()))
                .collect();
            let vectors = tokio::select! {
                vectors = self.environment.ask_together(self.subjects().asked_at(), &exprs) => vectors,
                () = self.stop.cancelled() => break,
            };
            let answered = vectors.iter().flatten().count();
            let seconds = started.elapsed().as_secs_f64() / answered.max(1) as f64;
            for ((at, _), vector) in asked.iter().zip(vectors) {
                elements += vector.as_ref().map_or(0, Vec::len);
                answers[*at] = vector.map(|vector| Answer { vector, seconds });
            }
        }
        answers
    }

    fn subjects(&self) -> Subjects<'_> {
        Subjects { group: self.group, environment: self.environment, at: self.at }
    }

    /// Evaluates one rule. `None` where it failed, which was told.
    async fn rule(&self, place: usize, answer: Option<Answer>) -> Option<Findings> {
        let rule = &self.group.rules[place];
        let span = spans::span("rule");
        span.text("name", rule.name());
        span.number("index", place as i64);
        let (started, at_ms) = (Instant::now(), self.environment.now_ms());
        add(&self.group.stats.evaluations, 1);
        let (vector, asked_seconds) = match answer {
            Some(Answer { vector, seconds }) => (Some(vector), seconds),
            None => (None, 0.0),
        };
        let subjects = self.subjects();
        let findings = async {
            tokio::select! {
                findings = subjects.findings(rule, vector) => findings,
                () = self.stop.cancelled() => Err(canceled()),
            }
        };
        let outcome = match span.around(findings).await {
            Ok(findings) => {
                rule.state.lock().error = None;
                if let Some(doubt) = &findings.doubt {
                    rule.state.lock().error = Some(doubt.to_string());
                    let (file, group, name) = (&self.group.file, &self.group.name, rule.name());
                    tracing::warn!(file, group, name, error = %doubt, "what a rule does not find goes on");
                }
                Some(findings)
            }
            Err(error) => {
                span.failed(|| error.to_string());
                self.failed(rule, &error, "evaluating a rule failed");
                None
            }
        };
        let seconds = asked_seconds + started.elapsed().as_secs_f64();
        self.environment.stats.rule_seconds.observe(seconds);
        self.environment.stats.rule_seconds_buckets.observe(seconds);
        rule.state.lock().evaluated = Some(Evaluated { at_ms, seconds });
        outcome
    }

    fn failed(&self, rule: &Rule, error: &Error, what: &str) {
        rule.state.lock().error = Some(error.to_string());
        add(&self.group.stats.failures, 1);
        // A stop is no fault.
        if error.kind != ErrorKind::Canceled {
            let (file, group, name) = (&self.group.file, &self.group.name, rule.name());
            tracing::warn!(file, group, name, %error, "{what}");
        }
    }
}

fn too_slow() -> Error {
    Error::new(ErrorKind::Unavailable, "the write-ahead log takes longer than the evaluation may")
}
