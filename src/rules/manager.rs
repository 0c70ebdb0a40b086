//! The groups in force. A reload makes all groups of all files before it changes anything; groups that are equal go on
//! undisturbed, others take over where those of their names were, and those that are gone end their series.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::protocol::NameValidation;
use crate::config::rules::RuleFile;
use crate::error::{Error, ErrorKind, Result};
use crate::promql::parse::ParseOptions;
use crate::rules::environment::Environment;
use crate::rules::evaluation::evaluate;
use crate::rules::group::{Group, pause_after_step};
use crate::rules::restore;
use crate::rules::schedule::Ticks;
use crate::rules::stats::add;
use crate::template::subject::Server;

/// Between a panic of a group's task and its next start.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// Series of a group that is gone end after so many of its intervals, when others may have gone on with them.
const INTERVALS_BEFORE_THE_END: u32 = 2;

/// What a configuration says about rules.
#[derive(Clone, Debug, Default)]
pub struct RuleConfig {
    pub files: Vec<PathBuf>,
    /// Of groups that have none of their own.
    pub interval_ms: i64,
    pub query_offset_ms: i64,
    /// Between two scrapes, unless a job says otherwise.
    pub scrape_interval_ms: i64,
    pub names: NameValidation,
    pub server: Server,
}

pub struct Manager {
    environment: Arc<Environment>,
    parse: ParseOptions,
    state: Mutex<State>,
    /// What is evaluated, by file and name; kept apart so that nobody who looks waits for a reload.
    shown: RwLock<Vec<Shown>>,
    stopped: CancellationToken,
}

#[derive(Default)]
struct State {
    running: BTreeMap<(String, String), Running>,
    /// Whether there were groups before: those that come later have nothing to look up.
    started: bool,
}

/// What of a group is looked at: the one before, until the new one has taken over from it.
type Shown = Arc<Mutex<Arc<Group>>>;

struct Running {
    group: Arc<Group>,
    shown: Shown,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Groups that were read and are not yet in force.
pub struct Prepared {
    groups: Vec<Group>,
    config: RuleConfig,
}

impl Manager {
    /// `parse` are the features of the language that rules may use.
    pub fn new(environment: Environment, parse: ParseOptions) -> Self {
        Self {
            environment: Arc::new(environment),
            parse,
            state: Mutex::default(),
            shown: RwLock::default(),
            stopped: CancellationToken::new(),
        }
    }

    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// All groups in the order of their files and names.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.shown.read().iter().map(|shown| shown.lock().clone()).collect()
    }

    /// Reads all files, and changes nothing.
    ///
    /// # Errors
    /// `BadInput` with all mistakes of all files.
    pub fn prepare(&self, config: RuleConfig) -> Result<Prepared> {
        let restored = self.state.lock().started;
        let (mut groups, mut mistakes) = (Vec::new(), Vec::new());
        for file in &config.files {
            match load(file, &config, &self.parse) {
                Ok(file_groups) => groups.extend(file_groups),
                Err(error) => mistakes.push(error.to_string()),
            }
        }
        if !mistakes.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, mistakes.join("\n")));
        }
        let groups = groups
            .into_iter()
            .map(|(file, group)| Group::new(&file, group, config.interval_ms, restored, &self.environment));
        Ok(Prepared { groups: groups.collect::<Result<_>>()?, config })
    }

    /// Puts them in force. Must be called within the runtime that is to evaluate them.
    pub fn install(&self, prepared: Prepared) {
        let RuleConfig { server, query_offset_ms, scrape_interval_ms, .. } = prepared.config;
        self.environment.set(server, query_offset_ms, scrape_interval_ms);
        let mut state = self.state.lock();
        if self.stopped.is_cancelled() {
            return;
        }
        let is_first = !std::mem::replace(&mut state.started, true);
        if is_first {
            let groups = prepared.groups.iter().map(|group| (group.file.as_str(), group.name.as_str()));
            self.environment.history.begin(groups, self.environment.now_ms());
        }
        let mut old = std::mem::take(&mut state.running);
        for group in prepared.groups {
            let key = (group.file.clone(), group.name.clone());
            let running = match old.remove(&key) {
                Some(running) if running.group.equals(&group) && !running.task.is_finished() => running,
                before => self.start(Arc::new(group), before, is_first),
            };
            state.running.insert(key, running);
        }
        self.environment
            .stats
            .keep(|file, name| state.running.keys().any(|(known_file, known)| known_file == file && known == name));
        *self.shown.write() = state.running.values().map(|running| running.shown.clone()).collect();
        for gone in old.into_values() {
            self.end(gone);
        }
    }

    /// `restores`: what its alerts waited for before the process began is looked up.
    fn start(&self, group: Arc<Group>, before: Option<Running>, restores: bool) -> Running {
        let stop = self.stopped.child_token();
        let (environment, task_group, task_stop) = (self.environment.clone(), group.clone(), stop.clone());
        let shown: Shown = Arc::new(Mutex::new(before.as_ref().map_or(&group, |before| &before.group).clone()));
        let task_shown = shown.clone();
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.stop.cancel();
                // A panic was told when it happened.
                let _ = before.task.await;
                task_group.take_over(&before.group, &environment);
                *task_shown.lock() = task_group.clone();
            }
            keep_evaluating(&task_group, &environment, &task_stop, restores).await;
        });
        Running { group, shown, stop, task }
    }

    /// Ends what a group that is gone wrote.
    fn end(&self, gone: Running) {
        let (environment, stopped) = (self.environment.clone(), self.stopped.clone());
        gone.stop.cancel();
        tokio::spawn(async move {
            let at = environment.now_ms();
            let _ = gone.task.await;
            gone.group.rules.iter().for_each(|rule| gone.group.end_alerts(rule, &environment));
            environment.history.settle(&gone.group.file, &gone.group.name, environment.now_ms());
            gone.group.retire();
            let interval = Duration::from_millis(gone.group.interval_ms.unsigned_abs());
            let at = at - gone.group.query_offset_ms(&environment);
            tokio::select! {
                () = stopped.cancelled() => {}
                () = sleep(interval * INTERVALS_BEFORE_THE_END) => gone.group.end_series(&environment, at).await,
            }
        });
    }

    /// Waits for the evaluations under way. Series go on: the next process goes on with them.
    pub async fn shutdown(&self) {
        self.stopped.cancel();
        let running = std::mem::take(&mut self.state.lock().running);
        for group in running.into_values() {
            let _ = group.task.await;
        }
    }
}

/// The groups of a file with its name.
fn load(
    file: &Path,
    config: &RuleConfig,
    options: &ParseOptions,
) -> Result<Vec<(String, crate::config::rules::RuleGroup)>> {
    let name = file.display().to_string();
    let parsed = RuleFile::load(file, config.names, options)?;
    Ok(parsed.groups.into_iter().map(|group| (name.clone(), group)).collect())
}

/// The task of a group. A panic is a defect of ours, and no reason to lose a group: it begins anew.
async fn keep_evaluating(group: &Group, environment: &Environment, stop: &CancellationToken, mut restores: bool) {
    while AssertUnwindSafe(run(group, environment, stop, restores)).catch_unwind().await.is_err() {
        let (file, name) = (&group.file, &group.name);
        tracing::error!(file, group = name, "the evaluation of a group of rules panicked; it is started again");
        add(&group.stats.failures, 1);
        restores = false;
        for rule in &group.rules {
            rule.state.lock().restored = true;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(RESTART_PAUSE) => {}
        }
    }
}

async fn run(group: &Group, environment: &Environment, stop: &CancellationToken, restores: bool) {
    let mut ticks = Ticks::new(&group.file, &group.name, group.interval_ms, environment);
    let mut paused_until: Option<Instant> = None;
    let (mut evaluated, mut settled) = (0_u64, false);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep_until(ticks.next_at()) => {}
        }
        let now = Instant::now();
        if let Some(step) = ticks.step(now, environment.now_ms()) {
            let by_ms = step.ns.div_euclid(1_000_000);
            let pause = pause_after_step(group, environment);
            add(&environment.stats.clock_steps, 1);
            group.shift(by_ms);
            paused_until = Some(now + pause);
            let name = &group.name;
            tracing::warn!(
                group = name,
                by_ms,
                ?pause,
                "the clock was set; rules are evaluated again when there are samples of its time"
            );
            continue;
        }
        let tick = ticks.tick(now);
        if tick.missed > 0 {
            environment.stats.missed.tell(|left_out| {
                let (file, name, missed) = (&group.file, &group.name, tick.missed);
                tracing::warn!(
                    file,
                    group = name,
                    missed,
                    left_out,
                    "evaluations of rules are missed: they take longer than their interval"
                );
            });
        }
        add(&group.stats.missed, tick.missed);
        add(&group.stats.scheduled, tick.missed);
        if paused_until.is_some_and(|until| now < until) {
            add(&group.stats.missed, 1);
            add(&group.stats.scheduled, 1);
            continue;
        }
        paused_until = None;
        evaluate(group, environment, tick.at_ns, stop).await;
        if stop.is_cancelled() {
            return;
        }
        let at = tick.at_ns.div_euclid(1_000_000) - group.query_offset_ms(environment);
        group.end_series(environment, at).await;
        evaluated += 1;
        // The second evaluation is the first that sees what recording rules wrote.
        if evaluated == 2 && restores {
            restore::restore(group, environment).await;
        }
        // What an evaluation that failed has not found may be there all the same.
        if evaluated >= 2 && !settled && group.knows_its_alerts() {
            environment.history.settle(&group.file, &group.name, environment.now_ms());
            settled = true;
        }
    }
}
