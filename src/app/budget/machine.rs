//! The limit of the control group, or the memory of the machine, and the cores. Linux; elsewhere only the cores are known.
//!
//! Cores are the standard library's, which looks at the affinity of the process and at the quotas of control groups of
//! both versions. It does not know of memory, so that is read here.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What there is where nothing can be read: a small machine.
const UNKNOWN_BYTES: u64 = 2 << 30;

/// What the process was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    pub memory_bytes: u64,
    pub from: Source,
    pub cores: usize,
}

/// Who sets the limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Cgroup,
    Machine,
    /// Nothing could be read; a small machine is assumed.
    Guess,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Cgroup => "cgroup",
            Source::Machine => "machine",
            Source::Guess => "guess",
        })
    }
}

impl Machine {
    /// `root` is `/` outside of tests. The lowest limit of the group and those above it counts.
    pub fn read(root: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let total = fs::read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total_bytes);
        let limit = cgroup_limit(root);
        // A group that has more than the machine has no limit; the first version writes 2^63 for that.
        let (memory_bytes, from) = match (limit, total) {
            (Some(limit), Some(total)) if limit >= total => (total, Source::Machine),
            (Some(limit), _) => (limit, Source::Cgroup),
            (None, Some(total)) => (total, Source::Machine),
            (None, None) => (UNKNOWN_BYTES, Source::Guess),
        };
        Self { memory_bytes, from, cores }
    }
}

/// The lowest limit of memory on the way from the group of this process up to the mount, in either version.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
    let hierarchies = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let unified = number == "0" && controllers.is_empty();
        let wanted = unified || controllers.split(',').any(|name| name == "memory");
        let mount = mounts.iter().find(|mount| wanted && mount.unified == unified)?;
        // Above `memory.high` processes are slowed down until they hardly run, so that is a limit as well.
        let files: &[&str] = if unified { &["memory.max", "memory.high"] } else { &["memory.limit_in_bytes"] };
        lowest(root, mount, path, files)
    });
    hierarchies.min()
}

/// Every folder from the group's to the mount's is asked. A group outside of what is mounted, as seen in a container
/// that shares the names of its host, is the mount's own.
fn lowest(root: &Path, mount: &Mount<'_>, group: &str, files: &[&str]) -> Option<u64> {
    let top = root.join(mount.point.trim_start_matches('/'));
    let below = group.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or("");
    let below = Path::new(below.trim_start_matches('/'));
    let inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let folders: Vec<PathBuf> = match inside {
        true => below.ancestors().map(|part| top.join(part)).collect(),
        false => vec![top],
    };
    let limit = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    folders.iter().flat_map(|folder| files.iter().map(|file| folder.join(file))).filter_map(limit).min()
}

/// A line of `/proc/self/mountinfo` that mounts control groups with the memory controller, see proc(5).
struct Mount<'a> {
    /// The group that is mounted.
    root: &'a str,
    point: &'a str,
    /// The second version, where all controllers are in one tree.
    unified: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let unified = match kind {
            "cgroup2" => true,
            "cgroup" if options.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Self { root, point, unified })
    }
}

/// `MemTotal` of `/proc/meminfo`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "25 1 0:22 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 1 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 1 0:30 ROOT /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 1 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    /// A machine of 8 GiB with these files below its root.
    fn check(files: &[(&str, &str)], limit_mib: u64, from: Source) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n")].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::read(root.path());
        assert_eq!((machine.memory_bytes >> 20, machine.from), (limit_mib, from), "{files:?}");
    }

    #[test]
    fn without_control_groups() {
        check(&[], 8192, Source::Machine);
        check(&[("proc/meminfo", "")], 2048, Source::Guess);
        // No mount that could be looked into.
        check(&[("proc/self/cgroup", "0::/x\n"), ("proc/self/mountinfo", "")], 8192, Source::Machine);
    }

    #[test]
    fn the_second_version_walks_up() {
        let check = |group: &str, files: &[(&str, &str)], limit_mib, from| {
            let own = [("proc/self/cgroup", group), ("proc/self/mountinfo", V2)];
            check(&[&own[..], files].concat(), limit_mib, from);
        };
        let (a, b) = ("sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/b/memory.max");
        check("0::/a/b\n", &[(a, "max\n"), (b, "536870912\n")], 512, Source::Cgroup);
        check("0::/a/b\n", &[(a, "268435456\n"), (b, "536870912\n")], 256, Source::Cgroup);
        check("0::/a/b\n", &[(a, "268435456\n"), (b, "max\n")], 256, Source::Cgroup);
        check("0::/a/b\n", &[(a, "max\n"), (b, "max\n")], 8192, Source::Machine);
        check("0::/a/b\n", &[(b, "99999999999\n")], 8192, Source::Machine);
        // A container with a name space of its own is at the root of what it sees.
        check("0::/\n", &[("sys/fs/cgroup/memory.max", "536870912\n")], 512, Source::Cgroup);
        // Without one that was mounted for it, the mount is the container's.
        check("0::/../other\n", &[("sys/fs/cgroup/memory.max", "536870912\n")], 512, Source::Cgroup);
        check(
            "0::/a\n",
            &[(a, "1073741824\n"), ("sys/fs/cgroup/a/memory.high", "536870912\n")],
            512,
            Source::Cgroup,
        );
    }

    #[test]
    fn the_first_version() {
        let check = |root: &str, group: &str, files: &[(&str, &str)], limit_mib, from| {
            let mounts = V1.replace("ROOT", root);
            let own = [("proc/self/cgroup", group), ("proc/self/mountinfo", mounts.as_str())];
            check(&[&own[..], files].concat(), limit_mib, from);
        };
        let unlimited = "9223372036854771712\n";
        let top = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        let below = "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes";
        let group = "5:cpu:/other\n4:hugetlb,memory:/docker/x\n0::/\n";
        check("/", group, &[(top, unlimited), (below, "536870912\n")], 512, Source::Cgroup);
        check("/", group, &[(top, unlimited), (below, unlimited)], 8192, Source::Machine);
        // A container sees the names of its host, and its own group as the mount.
        check("/docker/x", group, &[(top, "536870912\n")], 512, Source::Cgroup);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.memory_bytes > 64 << 20 && machine.cores > 0, "{machine:?}");
    }
}
