//! A parsed template.

use crate::error::{Error, Result};

use super::limits::MAX_OUTPUT_BYTES;
use super::parse::parse;
use super::tree::Trees;

/// What Prometheus puts before the templates of alerts. It counts in the positions of messages.
const ALERT_VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                               {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) trees: Trees,
    /// What it is always expanded to.
    constant: Option<String>,
}

impl Template {
    /// Parses a template by itself. The message is that of Prometheus' check of rules.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let trees = parse(name, text).map_err(Error::bad_input)?;
        Ok(Self { name: name.to_string(), text: text.to_string(), trees, constant: None })
    }

    /// Parses the text of a label or an annotation of an alerting rule, which knows `$labels`, `$value`, `$externalLabels`
    /// and `$externalURL`.
    pub fn of_alert(alert: &str, text: &str) -> Result<Self> {
        let template = Self::parse(&format!("__alert_{alert}"), &format!("{ALERT_VARIABLES}{text}"))?;
        let constant = (!text.contains("{{") && text.len() <= MAX_OUTPUT_BYTES).then(|| text.to_string());
        Ok(Self { constant, ..template })
    }

    /// The text of one that has nothing to expand.
    pub fn constant(&self) -> Option<&str> {
        self.constant.as_deref()
    }
}
