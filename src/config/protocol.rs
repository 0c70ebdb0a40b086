//! Exposition formats by Prometheus' names, and the schemes for metric names.

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, below, field};
use crate::config::values;
use crate::config::yaml::Node;
use crate::error::{Error, Result};

/// What a section says of names and histograms.
pub const FIELDS: &[Field] = &[
    field("metric_name_validation_scheme", Kind::Text),
    field("metric_name_escaping_scheme", Kind::OneOf(&["", "allow-utf-8", "underscores", "dots", "values"])),
    field("scrape_native_histograms", Kind::Bool),
    field("convert_classic_histograms_to_nhcb", Kind::Bool),
    field("always_scrape_classic_histograms", Kind::Bool),
    field("extra_scrape_metrics", Kind::Bool),
];

/// A format a target may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeProtocol {
    PrometheusProto,
    OpenMetricsText1_0_0,
    OpenMetricsText0_0_1,
    PrometheusText1_0_0,
    PrometheusText0_0_4,
}

impl ScrapeProtocol {
    /// What is asked for unless the configuration says otherwise, best first.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::PrometheusText1_0_0,
        ScrapeProtocol::PrometheusText0_0_4,
    ];

    /// In the order of the enum.
    const ALL: [ScrapeProtocol; 5] = [
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::OpenMetricsText1_0_0,
        ScrapeProtocol::OpenMetricsText0_0_1,
        ScrapeProtocol::PrometheusText1_0_0,
        ScrapeProtocol::PrometheusText0_0_4,
    ];

    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(" ");
            Error::bad_input(format!("unknown scrape protocol {name}, supported: [{known}]"))
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => "PrometheusProto",
            ScrapeProtocol::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            ScrapeProtocol::PrometheusText1_0_0 => "PrometheusText1.0.0",
            ScrapeProtocol::PrometheusText0_0_4 => "PrometheusText0.0.4",
        }
    }

    /// The media type of the `Accept` header.
    pub fn media_type(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            ScrapeProtocol::PrometheusText0_0_4 => "text/plain;version=0.0.4",
        }
    }

    /// Only the 1.0.0 formats know about escaping of names.
    pub fn negotiates_escaping(self) -> bool {
        matches!(self, ScrapeProtocol::OpenMetricsText1_0_0 | ScrapeProtocol::PrometheusText1_0_0)
    }
}

/// Which metric and label names are valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    #[default]
    Utf8,
    Legacy,
}

impl NameValidation {
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "" | "utf8" => Ok(NameValidation::Utf8),
            "legacy" => Ok(NameValidation::Legacy),
            other => Err(Error::bad_input(format!(
                "unknown metric name validation scheme {other:?}, must be either \"legacy\" or \"utf8\""
            ))),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            NameValidation::Utf8 => "utf8",
            NameValidation::Legacy => "legacy",
        }
    }

    /// The escaping a target is asked for.
    pub fn escaping(self) -> &'static str {
        match self {
            NameValidation::Utf8 => "allow-utf-8",
            NameValidation::Legacy => "underscores",
        }
    }

    pub fn is_valid_label_name(self, name: &str) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => crate::model::labels::is_legacy_label_name(name),
        }
    }

    pub fn is_valid_metric_name(self, name: &str) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => crate::model::labels::is_legacy_metric_name(name),
        }
    }
}

/// The protocols of a section, without repetitions; `None` where the key is absent.
pub(super) fn list(section: &Node, path: &str, found: &Found) -> Option<Vec<ScrapeProtocol>> {
    let node = section.get("scrape_protocols").filter(|node| !node.is_null())?;
    let path = below(path, "scrape_protocols");
    let mut protocols = Vec::with_capacity(node.items().len());
    for item in node.items() {
        match ScrapeProtocol::parse(item.text().unwrap_or_default()) {
            Ok(protocol) if protocols.contains(&protocol) => {
                let message = format!("duplicated protocol in scrape_protocols, got {}", protocol.as_str());
                found.add(item.line, &path, message);
            }
            Ok(protocol) => protocols.push(protocol),
            Err(error) => found.add(item.line, &path, error.message),
        }
    }
    if node.items().is_empty() {
        found.add(node.line, &path, "scrape_protocols cannot be empty");
    }
    Some(protocols).filter(|protocols| !protocols.is_empty())
}

pub(super) fn name_validation(
    section: &Node,
    path: &str,
    inherited: NameValidation,
    found: &Found,
) -> NameValidation {
    let key = "metric_name_validation_scheme";
    let Some(name) = values::text(section, key) else { return inherited };
    NameValidation::parse(name).unwrap_or_else(|error| {
        found.add(line_of(section, key), &below(path, key), error.message);
        inherited
    })
}

pub(super) fn shown(protocols: &[ScrapeProtocol]) -> serde_yaml::Value {
    protocols.iter().map(|protocol| serde_yaml::Value::from(protocol.as_str())).collect::<Vec<_>>().into()
}
