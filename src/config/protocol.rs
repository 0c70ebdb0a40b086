//! Exposition formats by Prometheus' names, and the schemes for metric names.

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Printed, below, field};
use crate::config::values;
use crate::config::yaml::Node;
use crate::error::{Error, Result};
use crate::model::histogram::EXPONENTIAL_SCHEMAS;

/// What a section says of names.
pub const NAMES: &[Field] = &[
    field("metric_name_validation_scheme", Kind::Text),
    field("metric_name_escaping_scheme", Kind::OneOf(&["", "allow-utf-8", "underscores", "dots", "values"])),
];

/// What it says of histograms, and of further metrics.
pub const NATIVE: Field = field("scrape_native_histograms", Kind::Bool).printed(Printed::Always);
pub const TO_CUSTOM: Field = field("convert_classic_histograms_to_nhcb", Kind::Bool);
pub const CLASSIC_AS_WELL: Field = field("always_scrape_classic_histograms", Kind::Bool);
pub const EXTRA: Field = field("extra_scrape_metrics", Kind::Bool).printed(Printed::Always);

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

    /// The same where native histograms or start timestamps are wanted, which no other format has.
    pub const PROTOBUF_FIRST: [ScrapeProtocol; 5] = Self::ALL;

    /// In the order of the enum.
    pub const ALL: [ScrapeProtocol; 5] = [
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

    /// The escaping a target is asked for unless the configuration says otherwise.
    pub fn escaping(self) -> Escaping {
        match self {
            NameValidation::Utf8 => Escaping::AllowUtf8,
            NameValidation::Legacy => Escaping::Underscores,
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

/// What a target is asked to do with names that are no legacy names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    #[default]
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl Escaping {
    const ALL: [Escaping; 4] = [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values];

    /// `None` for a word that is no scheme.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|escaping| escaping.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }
}

/// Which forms of histograms are taken of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histograms {
    /// Native ones, where the format has them.
    pub native: bool,
    /// Classic series also of histograms that are native or made so.
    pub always_classic: bool,
    /// Classic histograms as native ones with custom buckets.
    pub convert_classic: bool,
}

impl Histograms {
    pub(super) fn read(section: &Node, inherited: Histograms) -> Self {
        Self {
            native: values::is_true(section, "scrape_native_histograms", inherited.native),
            always_classic: values::is_true(section, "always_scrape_classic_histograms", inherited.always_classic),
            convert_classic: values::is_true(
                section,
                "convert_classic_histograms_to_nhcb",
                inherited.convert_classic,
            ),
        }
    }

    pub(super) fn shown(self) -> [(&'static str, serde_yaml::Value); 3] {
        [
            ("scrape_native_histograms", self.native.into()),
            ("convert_classic_histograms_to_nhcb", self.convert_classic.into()),
            ("always_scrape_classic_histograms", self.always_classic.into()),
        ]
    }
}

/// Limits of what one native histogram may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramLimits {
    /// Buckets of both signs; finer ones are merged until they fit. 0 for no limit.
    pub buckets: u64,
    /// Finer ones are reduced to it.
    pub finest_schema: i32,
}

impl Default for HistogramLimits {
    fn default() -> Self {
        Self { buckets: 0, finest_schema: *EXPONENTIAL_SCHEMAS.end() }
    }
}

impl HistogramLimits {
    pub(super) fn read(section: &Node) -> Self {
        let factor = values::float(section, "native_histogram_min_bucket_factor").unwrap_or(0.0);
        let buckets = values::count(section, "native_histogram_bucket_limit").unwrap_or(0);
        Self { buckets, finest_schema: schema_of(factor) }
    }
}

/// The finest schema whose buckets grow at least by this factor (`pickSchema` of Prometheus' `scrape/scrape.go`).
fn schema_of(bucket_factor: f64) -> i32 {
    let (coarsest, finest) = (*EXPONENTIAL_SCHEMAS.start(), *EXPONENTIAL_SCHEMAS.end());
    if bucket_factor.is_nan() || bucket_factor <= 1.0 {
        return finest;
    }
    let schema = (-bucket_factor.log2().log2()).floor();
    schema.clamp(f64::from(coarsest), f64::from(finest)) as i32
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

/// `inherited` is for a section that says nothing of validation either.
pub(super) fn escaping(
    section: &Node,
    path: &str,
    names: NameValidation,
    inherited: Option<Escaping>,
    found: &Found,
) -> Escaping {
    let key = "metric_name_escaping_scheme";
    let says_validation = values::text(section, "metric_name_validation_scheme").is_some();
    let default = inherited.filter(|_| !says_validation).unwrap_or(names.escaping());
    // A word that is none was told already.
    let escaping = values::text(section, key).and_then(Escaping::parse).unwrap_or(default);
    if escaping == Escaping::AllowUtf8 && names == NameValidation::Legacy {
        let message = "utf8 metric names requested but validation scheme is not set to UTF8";
        found.add(line_of(section, key), &below(path, key), message);
    }
    escaping
}

pub(super) fn shown(protocols: &[ScrapeProtocol]) -> serde_yaml::Value {
    protocols.iter().map(|protocol| serde_yaml::Value::from(protocol.as_str())).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Prometheus' documentation: schemas by the least growth factor, between its rows.
    #[test]
    fn schemas_of_bucket_factors() {
        let check = |factor: f64, schema: i32| assert_eq!(schema_of(factor), schema, "{factor}");
        for (factor, schema) in [
            (65536.0, -4),
            (256.0, -3),
            (16.0, -2),
            (4.0, -1),
            (2.0, 0),
            (1.414, 1),
            (1.1892, 2),
            (1.0905, 3),
            (1.0442, 4),
            (1.0218, 5),
            (1.0108, 6),
            (1.0054, 7),
            (1.0027, 8),
        ] {
            check(factor, schema);
        }
        check(0.0, 8);
        check(1.0, 8);
        check(f64::NAN, 8);
        check(1.3, 1);
        check(1e300, -4);
    }
}
