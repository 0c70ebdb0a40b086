//! Exposition formats by Prometheus' names, and the schemes for metric names.

use crate::error::{Error, Result};

/// A format a target may be asked for. `PrometheusProto` is known and refused: it is not built yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrapeProtocol {
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

    pub fn parse(name: &str) -> Result<Self> {
        if name == "PrometheusProto" {
            return Err(Error::unsupported("scrape protocol PrometheusProto is not supported yet"));
        }
        Self::DEFAULT.into_iter().find(|p| p.as_str() == name).ok_or_else(|| {
            let known = Self::DEFAULT.map(Self::as_str).join(" ");
            Error::bad_input(format!("unknown scrape protocol {name}, supported: [{known}]"))
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ScrapeProtocol::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            ScrapeProtocol::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            ScrapeProtocol::PrometheusText1_0_0 => "PrometheusText1.0.0",
            ScrapeProtocol::PrometheusText0_0_4 => "PrometheusText0.0.4",
        }
    }

    /// The media type of the `Accept` header.
    pub fn media_type(self) -> &'static str {
        match self {
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

/// A list of protocols without repetitions; `None` where the key is absent.
pub fn parse_list(names: Option<Vec<serde_yaml::Value>>) -> Result<Option<Vec<ScrapeProtocol>>> {
    let Some(names) = names else { return Ok(None) };
    let mut protocols = Vec::with_capacity(names.len());
    for name in &names {
        let protocol = ScrapeProtocol::parse(name.as_str().unwrap_or_default())?;
        if protocols.contains(&protocol) {
            return Err(Error::bad_input(format!(
                "duplicated protocol in scrape_protocols, got {}",
                protocol.as_str()
            )));
        }
        protocols.push(protocol);
    }
    if protocols.is_empty() {
        return Err(Error::bad_input("scrape_protocols cannot be empty"));
    }
    Ok(Some(protocols))
}
