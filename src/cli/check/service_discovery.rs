//! `promlake check service-discovery`: what a job finds, and what relabelling makes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::app::{install_crypto, system_clock};
use crate::cli::print::{errln, outln};
use crate::config::file::Config;
use crate::config::scrape::ScrapeConfig;
use crate::discovery::group::Group;
use crate::discovery::manager::{LONGEST_WAIT, Manager};
use crate::discovery::way::Context;
use crate::ingest::scrape::target::{Resolved, Target};
use crate::model::labels::Labels;
use crate::telemetry::logs;

/// Prints what was found after `timeout`, since nobody can say when that is all.
pub fn run(file: &Path, job: &str, timeout: Duration) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            errln!("Cannot load config {error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(scrape) = config.scrape_configs.iter().find(|scrape| scrape.job_name == job) else {
        errln!("Job {job} not found. Select one of:");
        config.scrape_configs.iter().for_each(|scrape| errln!("\t{}", scrape.job_name));
        return ExitCode::FAILURE;
    };
    // What cannot be made to run is told there.
    let _ = logs::init("info", logs::Format::Logfmt, system_clock());
    install_crypto();
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let groups = runtime.block_on(find(scrape, timeout));
            runtime.shutdown_background();
            let found = Value::Array(results(scrape, &groups));
            outln!("{}", serde_json::to_string_pretty(&found).expect("texts have a JSON form"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("Could not start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The groups of the configuration, and those that are found.
async fn find(scrape: &ScrapeConfig, timeout: Duration) -> Vec<Arc<Group>> {
    let found: Arc<Mutex<Vec<Arc<Group>>>> = Arc::default();
    let into = found.clone();
    let context = Context { clock: system_clock(), stats: Arc::default(), env: |name| std::env::var(name).ok() };
    let consumer = Arc::new(move |jobs: Vec<(String, Vec<Arc<Group>>)>| {
        *into.lock() = jobs.into_iter().flat_map(|(_, groups)| groups).collect();
    });
    let statics = scrape.static_configs.iter().enumerate();
    let mut groups: Vec<Arc<Group>> = statics.map(|(at, config)| Arc::new(Group::of_static(at, config))).collect();
    if !scrape.discoveries.is_empty() {
        let manager = Manager::new(context, consumer, LONGEST_WAIT);
        manager.apply([(scrape.job_name.as_str(), scrape.discoveries.as_slice())]);
        tokio::time::sleep(timeout).await;
        manager.shutdown().await;
    }
    groups.append(&mut found.lock());
    groups
}

/// Each target once.
fn results(scrape: &ScrapeConfig, groups: &[Arc<Group>]) -> Vec<Value> {
    let mut all = vec![];
    for found in groups.iter().flat_map(|group| group.targets.iter().map(|target| group.labels_of(target))) {
        let discovered = Target::discovered(scrape, &found);
        let mut result = json!({ "discoveredLabels": labels_json(&discovered), "labels": {} });
        match Target::resolve(scrape, &found) {
            Ok(Resolved::Active(target)) => result["labels"] = labels_json(&target.labels),
            Ok(Resolved::Dropped(_)) => {}
            Err(error) => result["error"] = error.to_string().into(),
        }
        if !all.contains(&result) {
            all.push(result);
        }
    }
    all
}

fn labels_json(labels: &Labels) -> Value {
    json!(labels.iter().collect::<BTreeMap<_, _>>())
}
