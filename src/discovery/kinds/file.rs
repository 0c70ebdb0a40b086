//! Files with lists of targets. They are looked at every second, which sees what a notifier would miss: a link that
//! points elsewhere (as Kubernetes changes mounted ConfigMaps), an editor that writes a new file and renames it, a folder
//! that comes later, and network file systems. A file that cannot be read, or is wrong, keeps the targets it had.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::discovery::settings::Settings;
use crate::config::glob;
use crate::discovery::group::Group;
use crate::discovery::list;
use crate::discovery::manager::Updates;
use crate::discovery::stats::{Stats, add_one};
use crate::discovery::way::{Context, Watched, Way};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Of the kind.
pub const NAME: &str = "file";
const PATH_LABEL: &str = "__meta_filepath";
const LOOK: Duration = Duration::from_secs(1);
const MAX_BYTES: u64 = 128 << 20;
/// Looks that have to miss a file before its targets go: an editor may remove it before it puts the new one there.
const MISSES: u32 = 2;

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let files = Files {
        patterns: settings.texts("files"),
        interval: settings.duration("refresh_interval"),
        seen: BTreeMap::new(),
        stats: context.stats.clone(),
    };
    Ok(Way::Watched(Box::new(Source(Some(files)))))
}

/// The files, and none while they are looked at elsewhere.
struct Source(Option<Files>);

struct Files {
    patterns: Vec<String>,
    /// Files are read this often even if they seem to be as they were.
    interval: Duration,
    seen: BTreeMap<String, Seen>,
    stats: Arc<Stats>,
}

/// A file as it was when it was last looked at.
#[derive(Default)]
struct Seen {
    version: Option<Version>,
    groups: usize,
    misses: u32,
}

/// Device, file, time and size.
type Version = (u64, u64, i64, i64, u64);

#[async_trait]
impl Watched for Source {
    async fn run(&mut self, updates: &Updates) {
        let mut since_all = Duration::ZERO;
        let mut ticker = tokio::time::interval(LOOK);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while let Some(mut files) = self.0.take() {
            ticker.tick().await;
            let all = since_all >= files.interval;
            since_all = if all { Duration::ZERO } else { since_all + LOOK };
            // A panic there is one here.
            let looked = tokio::task::spawn_blocking(move || {
                let groups = files.look(all);
                (files, groups)
            });
            let (files, groups) = looked.await.expect("looking at files does not panic");
            self.0 = Some(files);
            if !groups.is_empty() {
                updates.change(groups);
            }
        }
    }
}

impl Files {
    /// The groups that changed. `all`: also of files that seem to be as they were.
    fn look(&mut self, all: bool) -> Vec<Group> {
        let mut changed = vec![];
        let mut there = HashSet::new();
        for path in self.patterns.iter().flat_map(|pattern| glob::files(pattern)) {
            let Some(name) = path.to_str().map(str::to_string) else { continue };
            let version = version(&path);
            let seen = self.seen.entry(name.clone()).or_default();
            seen.misses = 0;
            there.insert(name.clone());
            if !all && seen.version == version && version.is_some() {
                continue;
            }
            let told = seen.version == version;
            seen.version = version;
            match read(&path, &name) {
                Ok((groups, time)) => {
                    self.stats.file_times.lock().insert(name.clone(), time);
                    let before = std::mem::replace(&mut seen.groups, groups.len());
                    let gone = (groups.len()..before).map(|position| Group::empty(source(&name, position)));
                    changed.extend(groups.into_iter().chain(gone));
                }
                Err(error) => {
                    add_one(&self.stats.file_read_errors);
                    if !told {
                        tracing::error!(discovery = "file", path = name, %error, "error reading file, its last targets stay");
                    }
                }
            }
        }
        self.forget(&there, &mut changed);
        changed
    }

    fn forget(&mut self, there: &HashSet<String>, changed: &mut Vec<Group>) {
        let stats = &self.stats;
        self.seen.retain(|name, seen| {
            if there.contains(name) {
                return true;
            }
            seen.misses += 1;
            // What comes back is read.
            seen.version = None;
            if seen.misses < MISSES {
                return true;
            }
            stats.file_times.lock().remove(name);
            changed.extend((0..seen.groups).map(|position| Group::empty(source(name, position))));
            false
        });
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let mut times = self.stats.file_times.lock();
        self.seen.keys().for_each(|name| {
            times.remove(name);
        });
    }
}

fn source(name: &str, position: usize) -> String {
    format!("{name}:{position}")
}

fn version(path: &Path) -> Option<Version> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.len()))
}

/// The files that an entry of `files` names, sorted.
pub fn matching(pattern: &str) -> Vec<PathBuf> {
    glob::files(pattern)
}

/// The groups of a file.
pub fn groups(path: &Path) -> Result<Vec<Group>> {
    Ok(read(path, &path.display().to_string())?.0)
}

/// The groups of a file, and when it was written.
fn read(path: &Path, name: &str) -> Result<(Vec<Group>, f64)> {
    let opening = || format!("reading {name}");
    let file = std::fs::File::open(path).context(ErrorKind::Unavailable, opening)?;
    let data = file.metadata().context(ErrorKind::Unavailable, opening)?;
    if !data.is_file() {
        return Err(Error::bad_input("it is no file"));
    }
    let mut bytes = vec![];
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).context(ErrorKind::Unavailable, opening)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::bad_input(format!("the file has more than {} MiB", MAX_BYTES >> 20)));
    }
    let label = (PATH_LABEL, name);
    let mut groups = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        true => list::of_json(&bytes, label)?,
        false => {
            let text = std::str::from_utf8(&bytes).map_err(|_| Error::bad_input("it is not UTF-8"))?;
            list::of_yaml(text, label)?
        }
    };
    for (position, group) in groups.iter_mut().enumerate() {
        group.source = source(name, position);
    }
    Ok((groups, data.mtime() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        folder: tempfile::TempDir,
        files: Files,
    }

    impl World {
        fn new(pattern: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let patterns = vec![folder.path().join(pattern).display().to_string()];
            let files = Files {
                patterns,
                interval: Duration::from_secs(300),
                seen: BTreeMap::new(),
                stats: Arc::default(),
            };
            Self { folder, files }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        }

        /// `NAME:POSITION=ADDRESSES` of what changed.
        fn look(&mut self) -> Vec<String> {
            let root = format!("{}/", self.folder.path().display());
            let addresses = |group: &Group| {
                let all = group.targets.iter().map(|target| target.get("__address__").unwrap_or(""));
                all.collect::<Vec<_>>().join("+")
            };
            let groups = self.files.look(false);
            for group in groups.iter().filter(|group| !group.targets.is_empty()) {
                let path = group.labels.get(PATH_LABEL).unwrap();
                assert!(group.source.starts_with(&format!("{path}:")), "{group:?}");
            }
            groups.iter().map(|group| format!("{}={}", group.source.replace(&root, ""), addresses(group))).collect()
        }
    }

    #[test]
    fn files_that_come_change_and_go() {
        let mut world = World::new("t*.yml");
        assert_eq!(world.look(), Vec::<String>::new());
        world.write("t1.yml", "- targets: [a, b]\n- targets: [c]\n");
        world.write("other.yml", "- targets: [x]\n");
        assert_eq!(world.look(), ["t1.yml:0=a+b", "t1.yml:1=c"]);
        assert_eq!(world.look(), Vec::<String>::new());
        world.write("t1.yml", "- targets: [d, b]\n");
        world.write("t2.yml", "- targets: [e]\n");
        assert_eq!(world.look(), ["t1.yml:0=d+b", "t1.yml:1=", "t2.yml:0=e"]);
        std::fs::remove_file(world.folder.path().join("t1.yml")).unwrap();
        assert_eq!(world.look(), Vec::<String>::new());
        assert_eq!(world.look(), ["t1.yml:0="]);
        assert_eq!(world.files.stats.file_times.lock().len(), 1);
    }

    /// As Kubernetes swaps a mounted ConfigMap: the file's path is a link through a link to a folder.
    #[test]
    fn links_that_point_elsewhere() {
        let mut world = World::new("t.json");
        let root = world.folder.path().to_path_buf();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        for (folder, target) in [("v1", "a"), ("v2", "b")] {
            std::fs::create_dir(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("t.json"), format!("[{{\"targets\": [\"{target}\"]}}]")).unwrap();
        }
        link("v1", "..data");
        link("..data/t.json", "t.json");
        assert_eq!(world.look(), ["t.json:0=a"]);
        link("v2", "..new");
        std::fs::rename(root.join("..new"), root.join("..data")).unwrap();
        assert_eq!(world.look(), ["t.json:0=b"]);
    }

    #[test]
    fn a_file_that_is_wrong_keeps_its_targets() {
        let mut world = World::new("t.yml");
        world.write("t.yml", "- targets: [a]\n- targets: [b]\n");
        assert_eq!(world.look(), ["t.yml:0=a", "t.yml:1=b"]);
        world.write("t.yml", "- targets: [a\n");
        assert_eq!(world.look(), Vec::<String>::new());
        assert_eq!(world.files.stats.file_read_errors.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert_eq!(world.look(), Vec::<String>::new());
        assert_eq!(world.files.stats.file_read_errors.load(std::sync::atomic::Ordering::Relaxed), 1);
        world.write("t.yml", "- targets: [c]\n");
        assert_eq!(world.look(), ["t.yml:0=c", "t.yml:1="]);
    }
}
