//! Day by day: the rules of all groups in their turns, their results collected and, where others read them, laid over what is stored,
//! until the day is written and committed. Where these take more memory than there is, days are cut into parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use crate::config::rules::{RuleGroup, RuleKind};
use crate::engine::session::{Engine, Point};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::import::calendar::DATED;
use crate::ingest::import::collected::Collected;
use crate::ingest::import::day::Outcome;
use crate::ingest::import::existing::Compared;
use crate::ingest::import::progress::Progress;
use crate::ingest::import::series::{Added, LeftOut};
use crate::ingest::import::spill::Value;
use crate::model::labels::Labels;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::{DAY_MS, TimeRange, day_of};
use crate::past::writer::PastWriter;
use crate::promql::value_type::ValueType;
use crate::rules::backfill::evaluate::Evaluation;
use crate::rules::backfill::plan::{Job, Plan, Turn};
use crate::rules::backfill::results::{Failures, Samples};
use crate::rules::backfill::times::Steps;
use crate::storage::lake::files::{day_text, timestamp_text};
use crate::storage::lake::import::Done;
use crate::storage::store::reading::Reading;
use crate::storage::types::{Run, Series};

/// Days of one run; a mark counts the milliseconds since its start.
const MAX_DAYS: i64 = 20 * 366;

/// A group with its file, as the server that has it names it: the times of evaluations follow from both.
#[derive(Clone, Debug)]
pub struct Group {
    pub file: String,
    pub config: RuleGroup,
    pub interval_ms: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Results of these times.
    pub range: TimeRange,
    /// Whatever a run before has done.
    pub again: bool,
    /// Of results that are collected, and as much again of those that other rules read.
    pub memory_bytes: usize,
    pub threads: usize,
}

/// What it came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Recording rules, and evaluations of them.
    pub rules: usize,
    pub evaluations: u64,
    pub alerting_rules: usize,
    /// Rules that were evaluated time by time.
    pub together: usize,
    /// Groups that a run before had done, as a whole or up to some time.
    pub done_before: usize,
    pub resumed: usize,
    pub days: u64,
    pub series: u64,
    pub files: u64,
    pub bytes: u64,
    pub compared: Compared,
    pub left_out: LeftOut,
    /// Rules with evaluations that failed.
    pub failed: Vec<(String, Failures)>,
    /// Results that were left out: histograms that none can be.
    pub invalid: u64,
    /// Results that were left out: another rule has another one of the same labels and time, or ends that series.
    pub contradictions: u64,
}

/// Evaluates all recording rules of some groups and writes what comes out.
///
/// # Errors
/// `BadInput` for rules or a range that cannot be evaluated, which is found before anything is. What was committed stays, and the
/// next run goes on there.
pub async fn run(
    reading: &Reading,
    engine: &Engine,
    groups: Vec<Group>,
    settings: Settings,
    progress: &Progress,
) -> Result<Summary> {
    let mut backfill = Backfill::new(reading, engine, groups, settings, progress)?;
    backfill.look_for_marks().await?;
    let mut part_ms = DAY_MS;
    while let Some(part) = backfill.next_part(part_ms) {
        let work = progress.work.load(Ordering::Relaxed);
        match backfill.part(part).await? {
            Part::Done => {}
            Part::TooLarge => {
                progress.work.store(work, Ordering::Relaxed);
                part_ms = (part.until - part.from) / 2;
                backfill.check_part(part_ms)?;
            }
        }
    }
    Ok(backfill.summary())
}

/// From one time up to another, which is not in it; of one day.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: i64,
    until: i64,
}

enum Part {
    Done,
    /// What rules read of each other takes too much memory.
    TooLarge,
}

struct Backfill<'a> {
    reading: &'a Reading,
    engine: &'a Engine,
    settings: Settings,
    progress: &'a Progress,
    writer: PastWriter,
    groups: Vec<Group>,
    /// Behind the last time that is done, of each group.
    through: Vec<i64>,
    /// As which its marks are kept.
    applications: Vec<String>,
    plan: Plan,
    evaluations: Vec<Evaluation>,
    summary: Summary,
}

impl<'a> Backfill<'a> {
    fn new(
        reading: &'a Reading,
        engine: &'a Engine,
        groups: Vec<Group>,
        settings: Settings,
        progress: &'a Progress,
    ) -> Result<Self> {
        let range = settings.range;
        let is_dated = DATED.contains(range.start_inclusive) && DATED.contains(range.end_inclusive);
        if range.is_empty() || !is_dated || (range.end_inclusive - range.start_inclusive) / DAY_MS >= MAX_DAYS {
            return Err(Error::bad_input(format!(
                "the time from --start to --end is none, or more than {MAX_DAYS} days"
            )));
        }
        let mut summary = Summary::default();
        let mut jobs = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            for (place, rule) in group.config.rules.iter().enumerate() {
                match rule.kind {
                    RuleKind::Recording { .. } => jobs.push(Job { group: number, place, rule: rule.clone() }),
                    RuleKind::Alerting { .. } => summary.alerting_rules += 1,
                }
            }
        }
        for job in &jobs {
            if !matches!(job.rule.expr.value_type(), ValueType::Vector | ValueType::Scalar) {
                let (file, rule) = (&groups[job.group].file, &job.rule);
                let message = format!(
                    "{file}: line {}: rule {}: rule result is not a vector or scalar",
                    rule.line,
                    rule.name()
                );
                return Err(Error::bad_input(message));
            }
        }
        let plan = Plan::of(jobs);
        summary.rules = plan.jobs.len();
        summary.together = plan.together();
        let limit = |job: &Job| groups[job.group].config.limit;
        let evaluations = plan.jobs.iter().map(|job| Evaluation::new(job.rule.clone(), limit(job))).collect();
        Ok(Self {
            reading,
            engine,
            settings,
            progress,
            writer: PastWriter::new(engine.clone(), settings.threads),
            through: vec![range.start_inclusive; groups.len()],
            applications: groups.iter().map(|group| application(group, range.start_inclusive, engine)).collect(),
            groups,
            plan,
            evaluations,
            summary,
        })
    }

    /// Finds how far runs before have come with each group, and says how much is left.
    async fn look_for_marks(&mut self) -> Result<()> {
        let range = self.settings.range;
        for (application, through) in self.applications.iter().zip(&mut self.through) {
            let mark = match self.settings.again {
                true => 0,
                false => self.reading.store().lake().imported(application).await?,
            };
            *through = through.saturating_add(i64::try_from(mark).unwrap_or(i64::MAX));
            self.summary.done_before += usize::from(*through > range.end_inclusive);
            self.summary.resumed += usize::from(mark > 0 && *through <= range.end_inclusive);
        }
        let of = |job: &Job| {
            let left = Span { from: self.through[job.group], until: range.end_inclusive + 1 };
            self.steps(job.group, left).count as u64
        };
        let expected = self.plan.jobs.iter().map(of).sum();
        self.progress.expected_work.store(expected, Ordering::Relaxed);
        Ok(())
    }

    /// What comes next: at most so long, and within a day.
    fn next_part(&self, most_ms: i64) -> Option<Span> {
        let from = self.through.iter().copied().min()?;
        let day_end = (i64::from(day_of(from)) + 1) * DAY_MS;
        let until = day_end.min(self.settings.range.end_inclusive + 1).min(from.saturating_add(most_ms));
        (from < until).then_some(Span { from, until })
    }

    /// Whether parts may become as short as this.
    fn check_part(&self, part_ms: i64) -> Result<()> {
        let shortest = self.groups.iter().map(|group| group.interval_ms).min().unwrap_or(1);
        if part_ms >= shortest {
            return Ok(());
        }
        let megabytes = self.settings.memory_bytes >> 20;
        let message = format!(
            "what the rules read of each other takes more than {megabytes} MiB at one time: write the groups one after the other"
        );
        Err(Error::new(ErrorKind::Limit, message))
    }

    fn steps(&self, group: usize, span: Span) -> Steps {
        let Group { file, config, interval_ms } = &self.groups[group];
        let offset = config.query_offset_ms.unwrap_or(0);
        Steps::of(file, &config.name, *interval_ms, offset, span.from, span.until)
    }

    /// Evaluates what is left of a part, and commits it.
    async fn part(&mut self, part: Span) -> Result<Part> {
        let day = day_of(part.from);
        self.reading.store().see_lake().await?;
        self.writer.note(day).await?;
        let added = Arc::new(Added::new(std::iter::empty())?);
        let mut collected = Collected::new(added, self.settings.memory_bytes);
        for number in 0..self.plan.turns.len() {
            let turn = self.plan.turns[number].clone();
            let is_within = match turn {
                Turn::Alone(job) => self.alone(job, part, &mut collected).await?,
                Turn::Together(jobs) => self.together(&jobs, part, &mut collected).await?,
            };
            if !is_within {
                self.reading.lift();
                self.evaluations.iter_mut().for_each(|evaluation| evaluation.track.forget_part());
                return Ok(Part::TooLarge);
            }
        }
        // What is compared with is what is stored.
        self.reading.lift();
        self.evaluations.iter_mut().for_each(|evaluation| evaluation.track.keep_part());
        self.commit(day, part, collected).await?;
        Ok(Part::Done)
    }

    /// The times of a rule within a part, the one before where there may have been something, and what is to be written.
    fn due(&self, job: usize, part: Span) -> Option<(Steps, i64)> {
        let group = self.plan.jobs[job].group;
        let from = part.from.max(self.through[group]);
        let steps = self.steps(group, Span { from, until: part.until });
        let is_first =
            self.steps(group, Span { from: self.settings.range.start_inclusive, until: from }).count == 0;
        let steps = if is_first || steps.count == 0 { steps } else { steps.with_one_before() };
        (steps.count > 0).then_some((steps, from))
    }

    async fn alone(&mut self, job: usize, part: Span, collected: &mut Collected) -> Result<bool> {
        let Some((steps, from)) = self.due(job, part) else { return Ok(true) };
        self.tell(part, job);
        let laid = self.plan.is_read[job].then_some(self.reading);
        let mut sink =
            Sink { writer: &self.writer, collected, laid, most_bytes: self.settings.memory_bytes, is_within: true };
        let evaluation = &mut self.evaluations[job];
        evaluation.track.begin();
        evaluation.samples(self.engine, steps, from, true, |samples| sink.take(samples)).await?;
        let is_within = sink.is_within;
        self.count(steps, from);
        Ok(is_within)
    }

    /// Rules that read each other, at each of their times in turn.
    async fn together(&mut self, jobs: &[usize], part: Span, collected: &mut Collected) -> Result<bool> {
        let mut due: Vec<(usize, Steps, i64)> = Vec::new();
        for job in jobs {
            due.extend(self.due(*job, part).map(|(steps, from)| (*job, steps, from)));
            self.evaluations[*job].track.begin();
        }
        self.refuse_stored(&due, part).await?;
        let all = due.clone();
        while let Some(now) =
            due.iter().filter(|(_, steps, _)| steps.count > 0).map(|(_, steps, _)| steps.first).min()
        {
            for (job, steps, from) in due.iter_mut().filter(|(_, steps, _)| steps.count > 0 && steps.first == now) {
                self.tell(part, *job);
                let (one, rest) = steps.split(1);
                *steps = rest;
                let laid = self.plan.is_read[*job].then_some(self.reading);
                let most_bytes = self.settings.memory_bytes;
                let mut sink =
                    Sink { writer: &self.writer, collected: &mut *collected, laid, most_bytes, is_within: true };
                let evaluation = &mut self.evaluations[*job];
                evaluation.samples(self.engine, one, *from, false, |samples| sink.take(samples)).await?;
                if !sink.is_within {
                    return Ok(false);
                }
            }
        }
        all.into_iter().for_each(|(_, steps, from)| self.count(steps, from));
        Ok(true)
    }

    /// Rules that read results of their own time, or of later rules, must not find what was stored of that before: it would
    /// count as what had been there.
    async fn refuse_stored(&self, due: &[(usize, Steps, i64)], part: Span) -> Result<()> {
        for (job, _, from) in due.iter().filter(|(job, ..)| self.plan.is_read[*job]) {
            let rule = &self.plan.jobs[*job].rule;
            let mut matchers = vec![Matcher::metric(rule.name())];
            for (name, value) in &rule.labels {
                matchers.push(Matcher::new(name, MatchOp::Equal, value)?);
            }
            let stored = self.engine.last_samples(matchers, TimeRange::new(*from, part.until - 1)).await?;
            if let Some(last) = stored.iter().map(|(_, (at, _))| *at).max() {
                let (name, last) = (rule.name(), timestamp_text(last));
                let message = format!(
                    "rule {name} reads its own results, or an earlier rule does, and has some already up to {last}: \
                     they would be taken for older ones; write a range that has none"
                );
                return Err(Error::bad_input(message));
            }
        }
        Ok(())
    }

    fn tell(&self, part: Span, job: usize) {
        let (date, rules) = (day_text(day_of(part.from)), self.plan.jobs.len());
        self.progress.doing(format!("{date}, rule {} ({} of {rules})", self.plan.jobs[job].rule.name(), job + 1));
    }

    fn count(&mut self, steps: Steps, from: i64) {
        let evaluated = steps.count as u64 - u64::from(steps.first < from);
        Progress::add(&self.progress.work, evaluated);
        // Of parts that were too large as well: it is what was done.
        self.summary.evaluations += evaluated;
    }

    async fn commit(&mut self, day: i32, part: Span, collected: Collected) -> Result<()> {
        let mut done = Vec::new();
        for (application, through) in self.applications.iter().zip(&mut self.through) {
            if *through >= part.until {
                continue;
            }
            *through = part.until;
            let number = part.until.abs_diff(self.settings.range.start_inclusive);
            done.push(Done { application: application.clone(), number });
        }
        if self.settings.again {
            done.clear();
        }
        self.summary.left_out.join(collected.left_out.clone());
        let source = self.writer.source(collected);
        let day = self.writer.day(&source, day, TimeRange::ALL, self.progress);
        let Outcome { series, written, compared, contradictions, .. } = self.writer.write(&day, &done).await?;
        let summary = &mut self.summary;
        summary.days += 1;
        summary.series += series;
        summary.files += written.files as u64;
        summary.bytes += written.bytes;
        summary.compared.join(compared);
        summary.contradictions += contradictions;
        Ok(())
    }

    fn summary(mut self) -> Summary {
        for (job, evaluation) in self.plan.jobs.iter().zip(&self.evaluations) {
            let told = &evaluation.track.told;
            self.summary.invalid += told.invalid;
            if told.failures != Failures::default() {
                let name = format!("{} of group {}", job.rule.name(), self.groups[job.group].config.name);
                self.summary.failed.push((name, told.failures.clone()));
            }
        }
        self.summary
    }
}

/// Where the samples of a rule go.
struct Sink<'a> {
    writer: &'a PastWriter,
    collected: &'a mut Collected,
    /// For those that read them.
    laid: Option<&'a Reading>,
    most_bytes: usize,
    is_within: bool,
}

impl Sink<'_> {
    fn take(&mut self, samples: Vec<Samples>) -> Result<()> {
        let mut runs = Vec::new();
        for (labels, points) in samples {
            let pairs: Vec<(&str, &str)> = labels.iter().collect();
            let Some(slot) = self.collected.intern(&pairs) else { continue };
            for (at, point) in &points {
                let value = match point {
                    Point::Float(value) => Value::Float(*value),
                    Point::Histogram(histogram) => Value::Histogram(histogram),
                };
                if let Err(fault) = self.collected.push(slot, *at, 0, value) {
                    return Err(self.collected.failure().unwrap_or_else(|| Error::internal(fault.to_string())));
                }
            }
            if self.laid.is_some() {
                runs.push(self.run(labels, points));
            }
        }
        if let Some(reading) = self.laid
            && !runs.is_empty()
        {
            self.is_within &= reading.lay(&runs) <= self.most_bytes;
        }
        Ok(())
    }

    fn run(&self, labels: Labels, points: Vec<(i64, Point)>) -> (Arc<Series>, Run) {
        let mut run = Run::default();
        for (at, point) in points {
            let (value, histogram) = match point {
                Point::Float(value) => (value, None),
                Point::Histogram(histogram) => (0.0, Some(histogram)),
            };
            if histogram.is_some() || !run.histograms.is_empty() {
                run.histograms.resize(run.timestamps.len(), None);
                run.histograms.push(histogram);
            }
            run.timestamps.push(at);
            run.values.push(value);
        }
        (Arc::new(Series { id: self.writer.id(&labels), labels }), run)
    }
}

/// The name of a group in Delta's transactions: what its results depend on, but for the samples that its rules read.
fn application(group: &Group, start: i64, engine: &Engine) -> String {
    let Group { file, config, interval_ms } = group;
    let options = &engine.options;
    let mut text =
        format!("{start} {file:?} {:?} {interval_ms} {:?} {}", config.name, config.query_offset_ms, config.limit);
    let subquery_step_ms = options.default_subquery_step_ms.load(Ordering::Relaxed);
    text.push_str(&format!("\n{} {subquery_step_ms} {:?}", options.lookback_delta_ms, options.features));
    for rule in &config.rules {
        if let RuleKind::Recording { record } = &rule.kind {
            text.push_str(&format!("\n{record:?} {:?} {:?}", rule.query, rule.labels));
        }
    }
    format!("backfill-{:016x}", xxh3_64(text.as_bytes()))
}
