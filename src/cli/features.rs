//! `--enable-feature`: names of Prometheus' features, and what they do here. A name that nobody knows is a warning, as in
//! Prometheus.

use crate::engine::session::Features;
use crate::error::{Error, Result};
use crate::ingest::otlp::translated::Delta;
use crate::ingest::scrape::features as scrape;

/// What a feature's name does.
#[derive(Clone, Copy)]
enum Effect {
    PromQl(fn(&mut Features)),
    Scrape(fn(&mut scrape::Features)),
    AutoReload,
    ConcurrentRules,
    ExtraScrapeMetrics,
    Search,
    OtlpDelta(Delta),
    /// On in any case.
    Permanent,
    /// Prometheus' name for something that is asked for in another way.
    Instead(&'static str),
    /// There is nothing to switch, and why.
    Nothing(&'static str),
}

const NATIVE_DELTA: &str = "otlp-native-delta-ingestion";
const SUMMED_DELTA: &str = "otlp-deltatocumulative";

const RUNS: &str = "it tunes Prometheus' own storage, and samples are kept in a lake here";

/// Prometheus 3.16 and older ones.
static ROWS: &[(&str, Effect)] = &[
    ("agent", Effect::Instead("agent mode is --agent since Prometheus 3")),
    ("auto-gomaxprocs", Effect::Nothing("it tunes Go's runtime")),
    ("auto-gomemlimit", Effect::Nothing("it tunes Go's runtime")),
    ("auto-reload-config", Effect::AutoReload),
    ("concurrent-rule-eval", Effect::ConcurrentRules),
    ("created-timestamp-zero-ingestion", Effect::Scrape(|features| features.zero_samples = true)),
    ("delayed-compaction", Effect::Nothing(RUNS)),
    ("exemplar-storage", Effect::Permanent),
    ("expand-external-labels", Effect::Permanent),
    ("extra-scrape-metrics", Effect::ExtraScrapeMetrics),
    ("fast-startup", Effect::Nothing(RUNS)),
    ("histograms-st-encoding", Effect::Nothing(RUNS)),
    ("memory-snapshot-on-shutdown", Effect::Nothing("everything is in the lake after a shutdown")),
    ("metadata-wal-records", Effect::Permanent),
    (
        "native-histograms",
        Effect::Instead(
            "to scrape native histograms, set the scrape_native_histograms scrape config setting to true",
        ),
    ),
    ("new-service-discovery-manager", Effect::Permanent),
    ("no-default-scrape-port", Effect::Permanent),
    ("old-ui", Effect::Nothing("there is no user interface of Prometheus here")),
    ("ooo-native-histograms", Effect::Permanent),
    (SUMMED_DELTA, Effect::OtlpDelta(Delta::Summed)),
    (NATIVE_DELTA, Effect::OtlpDelta(Delta::Native)),
    ("otlp-write-receiver", Effect::Instead("the receiver is --web.enable-otlp-receiver since Prometheus 3")),
    ("promql-at-modifier", Effect::Permanent),
    ("promql-binop-fill-modifiers", Effect::PromQl(|features| features.binop_fill_modifiers = true)),
    ("promql-delayed-name-removal", Effect::PromQl(|features| features.delayed_name_removal = true)),
    ("promql-duration-expr", Effect::Permanent),
    ("promql-experimental-functions", Effect::PromQl(|features| features.experimental_functions = true)),
    ("promql-extended-range-selectors", Effect::Permanent),
    ("promql-negative-offset", Effect::Permanent),
    // Samples are counted by step for every query that asks for `stats=all`.
    ("promql-per-step-stats", Effect::Permanent),
    (
        "remote-write-receiver",
        Effect::Instead("the receiver is --web.enable-remote-write-receiver since Prometheus 3"),
    ),
    ("search-api", Effect::Search),
    ("st-storage", Effect::Scrape(|features| features.start_timestamps = true)),
    ("st-synthesis", Effect::Scrape(|features| features.synthesize_starts = true)),
    ("type-and-unit-labels", Effect::PromQl(|features| features.type_and_unit_labels = true)),
    ("use-start-timestamps", Effect::PromQl(|features| features.use_start_timestamps = true)),
    ("use-uncached-io", Effect::Nothing(RUNS)),
    ("utf8-names", Effect::Permanent),
    ("xor2-encoding", Effect::Nothing(RUNS)),
];

/// What the names ask for.
#[derive(Debug, Default)]
pub struct Chosen {
    pub promql: Features,
    pub scrape: scrape::Features,
    pub auto_reload: bool,
    pub concurrent_rules: bool,
    pub extra_scrape_metrics: bool,
    pub otlp_delta: Delta,
    pub search: bool,
    /// To be told at the start.
    pub notes: Vec<String>,
}

/// # Errors
/// `BadInput` for features of which only one can be.
pub fn choose(names: &[String]) -> Result<Chosen> {
    let mut chosen = Chosen::default();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let Some((_, effect)) = ROWS.iter().find(|(known, _)| *known == name) else {
            chosen.notes.push(format!("Unknown option for --enable-feature: {name}"));
            continue;
        };
        let mut note = |text: &str| chosen.notes.push(format!("--enable-feature={name} {text}"));
        match effect {
            Effect::PromQl(enable) => enable(&mut chosen.promql),
            Effect::Scrape(enable) => enable(&mut chosen.scrape),
            Effect::AutoReload => {
                note("is deprecated, use --config.auto-reload instead");
                chosen.auto_reload = true;
            }
            Effect::ExtraScrapeMetrics => {
                note("is being phased out, set extra_scrape_metrics in the configuration file instead");
                chosen.extra_scrape_metrics = true;
            }
            Effect::ConcurrentRules => chosen.concurrent_rules = true,
            Effect::Search => chosen.search = true,
            Effect::OtlpDelta(delta) if chosen.otlp_delta == Delta::Refused => chosen.otlp_delta = *delta,
            Effect::OtlpDelta(delta) if chosen.otlp_delta == *delta => {}
            Effect::OtlpDelta(_) => {
                return Err(Error::bad_input(format!(
                    "cannot enable {SUMMED_DELTA} and {NATIVE_DELTA} features at the same time"
                )));
            }
            Effect::Permanent => note("is now permanently enabled and therefore a no-op"),
            Effect::Instead(hint) => note(&format!("is a no-op: {hint}")),
            Effect::Nothing(why) => note(&format!("has no effect: {why}")),
        }
    }
    chosen.scrape.type_and_unit_labels = chosen.promql.type_and_unit_labels;
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Chosen, String> {
        choose(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).map_err(|e| e.to_string())
    }

    #[test]
    fn features_of_promql() {
        let default = chosen(&[]).unwrap();
        assert!(!default.promql.experimental_functions);
        let both = chosen(&["promql-experimental-functions", " promql-delayed-name-removal", ""]).unwrap();
        assert!(both.promql.experimental_functions && both.promql.delayed_name_removal);
        assert!(default.notes.is_empty() && both.notes.is_empty());
    }

    /// What became the default, or never was there, is told and refused by nobody.
    #[test]
    fn notes() {
        let check = |name: &str, part: &str| {
            let notes = chosen(&[name]).unwrap().notes;
            assert!(matches!(&notes[..], [note] if note.contains(name) && note.contains(part)), "{notes:?}");
        };
        check("no-such-feature", "Unknown option for --enable-feature");
        check("promql-at-modifier", "permanently enabled");
        check("exemplar-storage", "permanently enabled");
        check("native-histograms", "scrape_native_histograms");
        check("remote-write-receiver", "--web.enable-remote-write-receiver");
        check("agent", "--agent");
        check("xor2-encoding", "no effect");
        check("auto-reload-config", "--config.auto-reload");
        assert!(chosen(&["auto-reload-config"]).unwrap().auto_reload);
        assert!(chosen(&["extra-scrape-metrics"]).unwrap().extra_scrape_metrics);
        let search = chosen(&["search-api"]).unwrap();
        assert!(search.search && search.notes.is_empty());
    }

    #[test]
    fn features_of_scrapes() {
        let of = |name: &str| chosen(&["exemplar-storage", name]).unwrap().scrape;
        assert!(of("created-timestamp-zero-ingestion").zero_samples);
        assert!(of("st-storage").start_timestamps && of("st-synthesis").synthesize_starts);
        assert!(of("type-and-unit-labels").type_and_unit_labels);
        assert_eq!(of("use-start-timestamps"), scrape::Features::default());
    }

    #[test]
    fn deltas_are_taken_in_one_way() {
        assert_eq!(chosen(&[NATIVE_DELTA]).unwrap().otlp_delta, Delta::Native);
        assert_eq!(chosen(&[SUMMED_DELTA, SUMMED_DELTA]).unwrap().otlp_delta, Delta::Summed);
        assert!(chosen(&[SUMMED_DELTA, NATIVE_DELTA]).unwrap_err().contains("at the same time"));
    }

    #[test]
    fn names_are_sorted() {
        assert!(ROWS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
