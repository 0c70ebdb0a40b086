//! One test from its beginning to its end: at each evaluation series come in up to its time, all groups are evaluated one after
//! the other, and alerts that are asked for then are looked at; in the end the expressions. It is the evaluation of the
//! server, at the times that a test sets.

use std::fmt::Write;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::cli::test::diff;
use crate::cli::test::input::Input;
use crate::cli::test::shown::{self, ShownAlert, ShownSample};
use crate::cli::test::world::World;
use crate::config::rule_tests::{AlertTest, ExpectedSample, ExpressionTest, RuleTest};
use crate::config::rules::RuleGroup;
use crate::config::values::Pairs;
use crate::engine::session::{EvalTime, Features, QueryRequest, QueryValue};
use crate::error::{Error, Result};
use crate::model::duration;
use crate::promql::series::{self, Value};
use crate::promql::strings::quote;
use crate::rules::alert::AlertState;
use crate::rules::evaluation;
use crate::rules::group::Group;
use crate::server::http::params::parse_time;
use crate::template::time::duration_text;

const ALERT_NAME: &str = "alertname";
const NS_IN_MS: i64 = 1_000_000;
/// Evaluations of a test; a year has half a million minutes.
const MAX_EVALUATIONS: i64 = 10_000_000;

/// What all tests of a file have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Between evaluations.
    pub interval_ms: i64,
    pub fuzzy: bool,
    /// With their files, in the order of evaluation; or what is wrong with them.
    pub groups: std::result::Result<Vec<(String, RuleGroup)>, String>,
    pub features: Features,
    pub diff: bool,
    pub debug: bool,
}

/// What became of a test.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// All that is wrong; it went well without any.
    pub errors: Vec<String>,
    /// For people, in whole lines.
    pub notes: String,
}

impl Outcome {
    pub fn of_error(error: impl Into<String>) -> Self {
        Self { errors: vec![error.into()], notes: String::new() }
    }
}

/// When a test begins. Milliseconds since the epoch.
///
/// # Errors
/// `BadInput` where it says something else than a time within three centuries of 1970.
pub fn start_ms(test: &RuleTest) -> Result<i64> {
    let Some(text) = &test.start_timestamp else { return Ok(0) };
    let at = parse_time(text)?;
    // Evaluations count in nanoseconds.
    let fits = |at: i64| at.checked_mul(NS_IN_MS).is_some();
    let range = Error::bad_input(format!("{text} is not within three centuries of 1970"));
    if at.checked_add(test.end_ms()).is_some_and(fits) && fits(at) { Ok(at) } else { Err(range) }
}

pub async fn run(name: &str, test: &RuleTest, common: &Common) -> Outcome {
    let began = Instant::now();
    let mut run = Run { test, common, start: 0, outcome: Outcome::default() };
    run.debug(|| format!("Starting test {name}"));
    if let Err(error) = run.run().await {
        run.outcome.errors = vec![error];
    }
    let took = || duration_text(i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX));
    run.debug(|| format!("Test {name} finished, took {}", took()));
    run.outcome
}

struct Run<'a> {
    test: &'a RuleTest,
    common: &'a Common,
    /// When the test begins.
    start: i64,
    outcome: Outcome,
}

impl Run<'_> {
    fn debug(&mut self, text: impl FnOnce() -> String) {
        if self.common.debug {
            let _ = writeln!(self.outcome.notes, "DEBUG: {}", text());
        }
    }

    /// # Errors
    /// What keeps the test from running at all.
    async fn run(&mut self) -> std::result::Result<(), String> {
        let (test, common) = (self.test, self.common);
        let text = |error: Error| error.to_string();
        self.start = start_ms(test).map_err(text)?;
        let input = Input::parse(test, self.start, &mut self.outcome.notes)?;
        let groups = common.groups.as_ref().map_err(String::clone)?;
        self.check_names()?;
        if test.end_ms() / common.interval_ms >= MAX_EVALUATIONS {
            return Err(format!("a test has at most {MAX_EVALUATIONS} evaluations"));
        }
        let world = World::open(test, common.interval_ms, &common.features).await.map_err(text)?;
        let groups = groups
            .iter()
            // Nothing was active before the test.
            .map(|(file, group)| Group::new(file, group.clone(), test.interval_ms, true, &world.environment))
            .collect::<Result<Vec<_>>>()
            .map_err(text)?;
        if self.evaluate(&world, input, &groups).await {
            for expression in &test.expressions {
                self.check_expression(&world, expression).await;
            }
            if common.debug {
                self.dump(&world).await;
            }
        }
        world.store.stop().await;
        Ok(())
    }

    fn check_names(&self) -> std::result::Result<(), String> {
        let Some(nameless) = self.test.alerts.iter().find(|alert| alert.alert.is_empty()) else { return Ok(()) };
        let name = &self.test.name;
        let of = if name.is_empty() { String::new() } else { format!(" (in TestGroup {name})") };
        Err(format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {}{of}",
            duration::format(nameless.at_ms)
        ))
    }

    /// Evaluates all groups from the beginning to the last time that is asked for; not to the end where a rule fails.
    async fn evaluate(&mut self, world: &World, mut input: Input, groups: &[Group]) -> bool {
        let interval_ms = self.common.interval_ms;
        let steps = self.test.end_ms() / interval_ms;
        let mut times: Vec<i64> = self.test.alerts.iter().map(|alert| alert.at_ms).collect();
        times.sort_unstable();
        times.dedup();
        let mut times = times.into_iter().peekable();
        let stop = CancellationToken::new();
        for step in 0..=steps {
            let since_start = step * interval_ms;
            let at = self.start + since_start;
            // Nobody sees what is between where there are no rules.
            if !groups.is_empty() || step == steps {
                world.set_time(at);
                match input.load(&world.store, at).await {
                    Err(error) => self.outcome.errors.push(error),
                    Ok(()) => {
                        let failed = evaluate_groups(world, groups, at, &stop).await;
                        if !failed.is_empty() {
                            self.outcome.errors.extend(failed);
                            return false;
                        }
                    }
                }
            }
            while let Some(time) = times.next_if(|time| *time < since_start + interval_ms) {
                let tests = self.test.alerts.iter().filter(|test| test.at_ms == time);
                tests.for_each(|test| self.check_alert(test, groups));
            }
        }
        true
    }

    fn check_alert(&mut self, test: &AlertTest, groups: &[Group]) {
        let pairs = |pairs: &Pairs| pairs.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        let of_expected = test.expected.iter().map(|alert| {
            let mut labels = alert.labels.clone();
            labels.insert(ALERT_NAME.to_string(), test.alert.clone());
            ShownAlert { labels: pairs(&labels), annotations: pairs(&alert.annotations) }
        });
        let mut expected: Vec<ShownAlert> = of_expected.collect();
        expected.sort_unstable();
        let got = firing(groups, &test.alert);
        if expected == got {
            return;
        }
        let name = &self.test.name;
        let of = if name.is_empty() { String::new() } else { format!("    name: {name},\n") };
        let head = format!("{of}    alertname: {}, time: {}, \n", test.alert, duration::format(test.at_ms));
        let inner = |text: &str| shown::indented(text, "            ");
        self.outcome.errors.push(match self.common.diff {
            true => format!("{head}        diff: {}", inner(&diff::text(&expected, &got))),
            false => {
                let (expected, got) = (shown::alerts_text(&expected), shown::alerts_text(&got));
                format!("{head}        exp:{}, \n        got:{}", inner(&expected), inner(&got))
            }
        });
    }

    async fn check_expression(&mut self, world: &World, test: &ExpressionTest) {
        let head = format!("    expr: {}, time: {},", quote(&test.expr), duration::format(test.at_ms));
        let answer = world.environment.ask(&test.expr, None, self.start + test.at_ms, None).await;
        let mut got: Vec<ShownSample> = match answer {
            Ok(vector) => vector
                .into_iter()
                .map(|(labels, point)| ShownSample::new(shown::pairs_of(&labels), &point))
                .collect(),
            Err(error) => return self.outcome.errors.push(format!("{head} err: {error}")),
        };
        let expected: std::result::Result<Vec<ShownSample>, String> = test.expected.iter().map(expected).collect();
        let mut expected = match expected {
            Ok(expected) => expected,
            Err(error) => return self.outcome.errors.push(format!("{head} err: {error}")),
        };
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        let same = |(a, b): (&ShownSample, &ShownSample)| a.equals(b, self.common.fuzzy);
        if expected.len() != got.len() || !expected.iter().zip(&got).all(same) {
            let (expected, got) = (shown::samples_text(&expected), shown::samples_text(&got));
            self.outcome.errors.push(format!("{head}\n        exp: {expected}\n        got: {got}"));
        }
    }

    /// All samples, as far back as the test goes.
    async fn dump(&mut self, world: &World) {
        // Up to the next whole second, as promtool does.
        let range_ms = (self.test.end_ms() / 1000 + 1) * 1000;
        let query = format!("{{__name__=~\".+\"}}[{range_ms}ms]");
        let request = QueryRequest::new(query, EvalTime::Instant { at: self.start + range_ms });
        let query = quote(&request.query);
        let answer = world.environment.engine().promql(request, |response| response.value).await;
        let range = duration_text(range_ms.saturating_mul(NS_IN_MS));
        match answer {
            Ok(QueryValue::Matrix(series)) => {
                self.debug(|| format!("Dump of all data (input_series and rules) at {range}:"));
                let _ = writeln!(self.outcome.notes, "{}", shown::matrix_text(&series));
            }
            Ok(_) => {}
            Err(error) => self.debug(|| format!("Failed query exec, expr: {query}, err: {error}")),
        }
    }
}

/// What failed.
async fn evaluate_groups(world: &World, groups: &[Group], at: i64, stop: &CancellationToken) -> Vec<String> {
    let mut failed = Vec::new();
    for group in groups {
        evaluation::evaluate(group, &world.environment, at * NS_IN_MS, stop).await;
        // The state of one that is well has all its series.
        for rule in group.rules.iter().filter(|rule| rule.health() == "err") {
            let error = rule.state().error.unwrap_or_default();
            let time = duration_text(at * NS_IN_MS);
            failed.push(format!("    rule: {}, time: {time}, err: {error}", rule.name()));
        }
    }
    failed
}

/// The alerts of a name that fire, of all groups.
fn firing(groups: &[Group], name: &str) -> Vec<ShownAlert> {
    let mut found = Vec::new();
    for rule in groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name() == name) {
        let state = rule.state();
        let firing = state.alerts.active().filter(|(_, alert)| alert.state == AlertState::Firing);
        found.extend(firing.map(|(labels, alert)| ShownAlert {
            labels: shown::pairs_of(labels),
            annotations: alert.annotations.clone(),
        }));
    }
    found.sort_unstable();
    found
}

fn expected(sample: &ExpectedSample) -> std::result::Result<ShownSample, String> {
    let wrong = |error: String| format!("labels {}: {error}", quote(&sample.labels));
    let labels = series::parse_labels(&sample.labels).map_err(|error| wrong(error.to_string()))?;
    let histogram = match sample.histogram.as_str() {
        "" => String::new(),
        text => histogram(text).map_err(wrong)?,
    };
    Ok(ShownSample { labels, value: sample.value, histogram })
}

/// One, as it is printed.
fn histogram(text: &str) -> std::result::Result<String, String> {
    const FEW: usize = 1_000;
    let parsed = series::parse(&format!("{{}} {text}"), usize::MAX, FEW).map_err(|error| error.to_string())?;
    match &parsed.values[..] {
        [Value::Histogram(histogram)] => Ok(histogram.test_expression()),
        [Value::Float(value)] => Err(format!("expected histogram, got {value}")),
        [Value::Omitted] => Err("expected histogram, got _".to_string()),
        values => Err(format!("expected 1 value, got {}", values.len())),
    }
}
