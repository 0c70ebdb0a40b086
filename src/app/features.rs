//! What this server can do, by part and name, as `/api/v1/features` tells it: names that a client may rely on where they
//! are true. Names and parts are those of Prometheus, with what is here of them; functions, operators and kinds of discovery
//! come from the tables that decide about them.

use crate::app::settings::Settings;
use crate::config::discovery;
use crate::engine::search::Algorithm;
use crate::ingest::otlp::translated::Delta;
use crate::promql::features as language;
use crate::server::http::server::Features;
use crate::template::functions;

/// Of a server with these settings, which takes remote writes or does not.
pub fn of(settings: &Settings, remote_write: bool) -> Features {
    let mut features = Features::new();
    let mut add = |part: &'static str, name: &str, on: bool| {
        features.entry(part).or_default().insert(name.to_string(), on);
    };
    let (web, agent, promql) = (&settings.web, settings.config_options.agent, &settings.engine.features);

    add("api", "lifecycle", web.lifecycle);
    // Nothing of it is built.
    add("api", "admin", false);
    add("api", "remote_write_receiver", remote_write);
    add("api", "otlp_write_receiver", web.otlp);
    add("api", "search", web.search.is_some() && !agent);
    Algorithm::ALL
        .iter()
        .for_each(|algorithm| add("api", &format!("search_fuzz_alg_{}", algorithm.name()), !agent));
    for name in [
        "exclude_alerts",
        "label_values_match",
        "query_stats",
        "query_warnings",
        "time_range_labels",
        "time_range_series",
    ] {
        add("api", name, !agent);
    }
    add("api", "openapi_3.1", true);
    add("api", "openapi_3.2", true);

    add("otlp_receiver", "delta_conversion", web.otlp_delta == Delta::Summed);
    add("otlp_receiver", "native_delta_ingestion", web.otlp_delta == Delta::Native);

    add("prometheus", "agent_mode", agent);
    add("prometheus", "server_mode", !agent);
    add("prometheus", "auto_reload_config", settings.auto_reload.is_some());

    add("scrape", "extra_scrape_metrics", true);
    add("scrape", "start_timestamp_zero_ingestion", settings.scrape.features.zero_samples);
    add("scrape", "st-synthesis", settings.scrape.features.synthesize_starts);
    add("scrape", "type_and_unit_labels", settings.scrape.features.type_and_unit_labels);

    // Entries of targets that the configuration has itself are one of Prometheus' kinds, too.
    let kinds = discovery::BUILT.iter().copied().chain(["static"]);
    kinds.for_each(|kind| add("service_discovery_providers", kind, true));

    // The page is not Prometheus'.
    add("ui", "ui_v2", false);
    add("ui", "ui_v3", false);
    if agent {
        return features;
    }

    let language = language::features(&promql.language());
    language.into_iter().for_each(|(part, name, on)| add(part, name, on));
    for name in ["at_modifier", "negative_offset", "per_query_lookback_delta", "per_step_stats", "subqueries"] {
        add("promql", name, true);
    }
    add("promql", "delayed_name_removal", promql.delayed_name_removal);
    add("promql", "type_and_unit_labels", promql.type_and_unit_labels);

    add("rules", "concurrent_rule_eval", settings.rules.concurrent.is_some());
    add("rules", "keep_firing_for", true);
    add("rules", "query_offset", true);

    functions::names().for_each(|name| add("templating_functions", name, true));

    for name in ["exemplar_storage", "isolation", "metadata_wal_records", "native_histograms"] {
        add("tsdb", name, true);
    }
    add("tsdb", "st_storage", settings.scrape.features.start_timestamps);
    // Of Prometheus' own storage.
    for name in ["delayed_compaction", "histograms_st_encoding", "use_uncached_io", "xor2_encoding"] {
        add("tsdb", name, false);
    }
    features
}
