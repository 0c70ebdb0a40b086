//! The `process_*` metrics every Prometheus client exposes, read from `/proc/self`. What cannot be read is
//! left out, so other systems simply have fewer of them.

use std::fs;

use crate::telemetry::metrics::Family;

/// Clock ticks per second in `/proc`; the kernel's user interface fixes it to 100 on every Linux platform we
/// build for (`sysconf(_SC_CLK_TCK)` would say so, at the price of a libc binding).
const TICKS_PER_SECOND: f64 = 100.0;

pub fn families() -> Vec<Family> {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/stat").unwrap_or_default();
    let network = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let mut out = Vec::new();
    let mut gauge =
        |name: &'static str, help, value: Option<f64>| out.extend(value.map(|v| Family::gauge(name, help, v)));
    gauge("process_resident_memory_bytes", "Resident memory size in bytes", kilobytes(&status, "VmRSS:"));
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes", kilobytes(&status, "VmSize:"));
    gauge("process_open_fds", "Number of open file descriptors", open_files());
    gauge("process_max_fds", "Maximum number of open file descriptors", limit(&limits, "Max open files"));
    let help = "Maximum amount of virtual memory available in bytes";
    gauge("process_virtual_memory_max_bytes", help, limit(&limits, "Max address space"));
    if let Some(stat) = stat {
        gauge(
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds",
            start_seconds(&stat, &kernel),
        );
        out.extend(cpu_seconds(&stat).map(|seconds| {
            Family::counter("process_cpu_seconds", "Total user and system CPU time spent in seconds", seconds)
        }));
    }
    let mut counter =
        |name: &'static str, help, value: Option<f64>| out.extend(value.map(|v| Family::counter(name, help, v)));
    // Of all processes that share its network, which is what the Go client has under this name, too.
    let help = "Number of bytes received by the process over the network";
    counter("process_network_receive_bytes", help, octets(&network, "InOctets"));
    let help = "Number of bytes sent by the process over the network";
    counter("process_network_transmit_bytes", help, octets(&network, "OutOctets"));
    out
}

/// Field `number` of `/proc/<pid>/stat`, one-based as in proc(5). The second one, the command in parentheses,
/// may hold spaces, so counting begins behind it.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, kernel: &str) -> Option<f64> {
    let boot: f64 = kernel.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn kilobytes(status: &str, key: &str) -> Option<f64> {
    let value: f64 = status.lines().find_map(|l| l.strip_prefix(key))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(value * 1024.0)
}

/// A soft limit of the process; one that is unlimited is the largest there is, as in Go.
fn limit(limits: &str, key: &str) -> Option<f64> {
    let line = limits.lines().find_map(|l| l.strip_prefix(key))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

/// A column of the `IpExt` table: a line of names, and one of values below it.
fn octets(netstat: &str, column: &str) -> Option<f64> {
    let mut rows = netstat.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let place = rows.next()?.split_whitespace().position(|name| name == column)?;
    rows.next()?.split_whitespace().nth(place)?.parse().ok()
}

fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000000 200 18446744073709551615";

    #[test]
    fn fields_are_counted_behind_the_command() {
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(start_seconds(STAT, "cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_123.45));
    }

    #[test]
    fn sizes_and_limits() {
        assert_eq!(kilobytes("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2_097_152.0));
        let limits = "Max open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(18_446_744_073_709_551_615.0));
        assert_eq!(limit(limits, "Max cpu time"), None);
    }

    #[test]
    fn octets_stand_below_their_names() {
        let netstat = "TcpExt: InOctets\nTcpExt: 7\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 12 34\n";
        assert_eq!(octets(netstat, "InOctets"), Some(12.0));
        assert_eq!(octets(netstat, "OutOctets"), Some(34.0));
        assert_eq!(octets(netstat, "None"), None);
        assert_eq!(octets("", "InOctets"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_them_all() {
        let names: Vec<_> = families().iter().map(|f| f.name.clone()).collect();
        assert_eq!(names.len(), 9, "{names:?}");
    }
}
