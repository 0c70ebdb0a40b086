//! The targets that a configuration itself and the files it names give: what relabelling makes of each, as the server
//! would find out when it starts.

use crate::config::discovery::Discovery;
use crate::config::file::Config;
use crate::config::scrape::ScrapeConfig;
use crate::discovery::group::Group;
use crate::discovery::kinds::file;
use crate::ingest::scrape::target::Target;

/// What the targets of all jobs have shown.
#[derive(Default)]
pub struct Findings {
    pub faults: Vec<String>,
    pub warnings: Vec<String>,
}

/// Looks at what is written down; nothing is asked for over the network.
pub fn check(config: &Config) -> Findings {
    let mut found = Findings::default();
    for job in &config.scrape_configs {
        for (at, group) in job.static_configs.iter().enumerate() {
            found.faults.extend(fault(job, &Group::of_static(at, group)).map(|what| told(job, &what)));
        }
        for discovery in job.discoveries.iter().filter(|discovery| discovery.kind.name == file::NAME) {
            look(job, discovery, &mut found);
        }
    }
    found
}

fn look(job: &ScrapeConfig, discovery: &Discovery, found: &mut Findings) {
    for pattern in discovery.settings().texts("files") {
        let files = file::matching(&pattern);
        if files.is_empty() && !pattern.contains('*') {
            let name = &job.job_name;
            found.warnings.push(format!("file {pattern:?} for file_sd in scrape job {name:?} does not exist"));
        }
        for path in files {
            let mut tell = |what: &str| found.faults.push(told(job, &format!("{}: {what}", path.display())));
            match file::groups(&path) {
                Ok(groups) => groups.iter().filter_map(|group| fault(job, group)).for_each(|what| tell(&what)),
                Err(error) => tell(&format!("checking SD file: {error}")),
            }
        }
    }
}

/// The first target of a group that cannot be scraped.
fn fault(job: &ScrapeConfig, group: &Group) -> Option<String> {
    let of = |(at, found): (usize, _)| {
        let error = Target::resolve(job, &group.labels_of(found)).err()?;
        Some(format!("instance {at} in group {}: {error}", group.source))
    };
    group.targets.iter().enumerate().find_map(of)
}

fn told(job: &ScrapeConfig, what: &str) -> String {
    format!("scrape job {:?}: {what}", job.job_name)
}
