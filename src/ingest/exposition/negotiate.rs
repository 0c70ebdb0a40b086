//! `Accept` and `Content-Type`. Since version 3 Prometheus does not guess a format, nor does this.

use crate::config::protocol::{NameValidation, ScrapeProtocol};
use crate::ingest::exposition::event::Format;

/// Prometheus begins at one tenth more than it knows protocols, the protobuf one included.
const FIRST_WEIGHT: usize = 6;

/// The header that asks for the protocols in their order.
pub fn accept_header(protocols: &[ScrapeProtocol], names: NameValidation) -> String {
    let mut out = String::new();
    let mut weight = FIRST_WEIGHT;
    for protocol in protocols {
        out.push_str(protocol.media_type());
        if protocol.negotiates_escaping() {
            out.push_str(";escaping=");
            out.push_str(names.escaping());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

/// The format of a response. Falls back where the job says to what, else fails.
pub fn response_format(content_type: Option<&str>, fallback: Option<ScrapeProtocol>) -> Result<Format, String> {
    let content_type = content_type.unwrap_or_default().trim();
    let why = match media_type(content_type) {
        Some(format) => match format {
            Known::Format(format) => return Ok(format),
            Known::Protobuf => return Err("scrape protocol PrometheusProto is not supported yet".to_string()),
        },
        None if content_type.is_empty() => {
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
                .to_string()
        }
        None => format!(
            "received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target"
        ),
    };
    match fallback {
        None => Err(why),
        Some(ScrapeProtocol::OpenMetricsText1_0_0 | ScrapeProtocol::OpenMetricsText0_0_1) => {
            Ok(Format::OpenMetrics)
        }
        Some(ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::PrometheusText0_0_4) => Ok(Format::Text),
        Some(ScrapeProtocol::PrometheusProto) => {
            Err("scrape protocol PrometheusProto is not supported yet".to_string())
        }
    }
}

enum Known {
    Format(Format),
    Protobuf,
}

fn media_type(content_type: &str) -> Option<Known> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let well_formed = parameters.split(';').all(|p| p.trim().is_empty() || p.contains('='));
    match media_type.trim().to_ascii_lowercase().as_str() {
        _ if !well_formed => None,
        "text/plain" => Some(Known::Format(Format::Text)),
        "application/openmetrics-text" => Some(Known::Format(Format::OpenMetrics)),
        "application/vnd.google.protobuf" => Some(Known::Protobuf),
        _ => None,
    }
}
