//! Flags that Prometheus 3.14 has and promlake does not: known by name, so that a command line written for
//! Prometheus says which part of it would have had no effect, instead of "unexpected argument".

use std::ffi::OsString;

use crate::error::{Error, Result};

/// Why a flag is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NotYet,
    /// There is nothing here that it could mean.
    NoSuchThing(&'static str),
}

use Why::{NoSuchThing, NotYet};

const GO: Why = NoSuchThing("it tunes Go's runtime");
const BLOCKS: Why = NoSuchThing("it tunes Prometheus' own storage, and samples are kept in a lake here");

const FLAGS: &[(&str, Why)] = &[
    ("agent", NotYet),
    ("alertmanager.drain-notification-queue-on-shutdown", NotYet),
    ("alertmanager.notification-batch-size", NotYet),
    ("alertmanager.notification-queue-capacity", NotYet),
    ("auto-gomaxprocs", GO),
    ("auto-gomemlimit", GO),
    ("auto-gomemlimit.ratio", GO),
    ("auto-gomemlimit.refresh-interval", GO),
    ("config.auto-reload", NotYet),
    ("config.auto-reload-interval", NotYet),
    ("rules.alert.for-grace-period", NotYet),
    ("rules.alert.for-outage-tolerance", NotYet),
    ("rules.alert.resend-delay", NotYet),
    ("rules.max-concurrent-evals", NotYet),
    ("scrape.adjust-timestamps", NotYet),
    ("scrape.discovery-reload-interval", NotYet),
    ("scrape.timestamp-tolerance", NotYet),
    ("storage.agent.checkpoint-batch-size", NotYet),
    ("storage.agent.checkpoint-from-in-memory-series", NotYet),
    ("storage.agent.no-lockfile", NotYet),
    ("storage.agent.path", NotYet),
    ("storage.agent.retention.max-time", NotYet),
    ("storage.agent.retention.min-time", NotYet),
    ("storage.agent.wal-compression", NotYet),
    ("storage.remote.flush-deadline", NotYet),
    ("storage.remote.read-concurrent-limit", NotYet),
    ("storage.remote.read-max-bytes-in-frame", NotYet),
    ("storage.remote.read-sample-limit", NotYet),
    ("storage.tsdb.block-reload-interval", BLOCKS),
    ("storage.tsdb.delay-compact-file.path", BLOCKS),
    ("storage.tsdb.delayed-compaction.max-percent", BLOCKS),
    ("storage.tsdb.head-chunks-write-queue-size", BLOCKS),
    ("storage.tsdb.max-block-duration", BLOCKS),
    ("storage.tsdb.min-block-duration", BLOCKS),
    ("storage.tsdb.no-lockfile", BLOCKS),
    ("storage.tsdb.retention.size", NotYet),
    ("storage.tsdb.retention.time", NotYet),
    ("storage.tsdb.samples-per-chunk", BLOCKS),
    ("storage.tsdb.wal-compression", BLOCKS),
    ("storage.tsdb.wal-compression-type", BLOCKS),
    ("storage.tsdb.wal-segment-size", BLOCKS),
    ("web.config.file", NotYet),
    ("web.console.libraries", NotYet),
    ("web.console.templates", NotYet),
    ("web.enable-admin-api", NotYet),
    ("web.enable-otlp-receiver", NotYet),
    ("web.max-notifications-subscribers", NotYet),
    ("web.page-title", NotYet),
    ("web.remote-write-receiver.accepted-protobuf-messages", NotYet),
    ("web.search.max-limit", NotYet),
    ("web.user-assets", NotYet),
];

/// Feature names of Prometheus that change nothing PromQL does, or parts that are not built yet.
pub const FEATURES: &[&str] = &[
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "exemplar-storage",
    "extra-scrape-metrics",
    "fast-startup",
    "histograms-st-encoding",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "old-ui",
    "otlp-deltatocumulative",
    "otlp-native-delta-ingestion",
    "promql-per-step-stats",
    "search-api",
    "st-storage",
    "st-synthesis",
    "use-uncached-io",
    "xor2-encoding",
];

/// Fails at the first flag of the table, also in its `--no-` form.
pub fn check(args: &[OsString]) -> Result<()> {
    let names = args.iter().skip(1).filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    for name in names.filter_map(|arg| arg.strip_prefix("--")) {
        let name = name.split('=').next().unwrap_or(name);
        let plain = name.strip_prefix("no-").unwrap_or(name);
        if let Some((_, why)) = FLAGS.iter().find(|(flag, _)| *flag == plain) {
            return Err(Error::unsupported(match why {
                NotYet => format!("the flag --{name} of Prometheus is not supported yet"),
                NoSuchThing(reason) => format!("the flag --{name} of Prometheus has no meaning here: {reason}"),
            }));
        }
    }
    Ok(())
}
