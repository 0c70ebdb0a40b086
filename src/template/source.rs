//! A parsed template.

use crate::error::{Error, Result};

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
}

impl Template {
    /// Parses a template by itself. The message is that of Prometheus' check of rules.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let trees = parse(name, text).map_err(Error::bad_input)?;
        Ok(Self { name: name.to_string(), text: text.to_string(), trees })
    }

    /// Parses the text of a label or an annotation of an alerting rule, which knows `$labels`, `$value`, `$externalLabels`
    /// and `$externalURL`.
    pub fn of_alert(alert: &str, text: &str) -> Result<Self> {
        Self::parse(&format!("__alert_{alert}"), &format!("{ALERT_VARIABLES}{text}"))
    }
}
