//! Log lines on stderr in Prometheus' shape: `time=… level=INFO source=… msg="…" key=value`, or the same
//! keys as one JSON object per line. What is logged, and that it holds no secret, is the caller's business.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Context, Error, ErrorKind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Logfmt,
    Json,
}

/// Milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Sends all logs of the process to stderr. `level` is one of `debug`, `info`, `warn`, `error`; libraries are
/// one level quieter than we are, since their `info` is our `debug`. `RUST_LOG` overrides both.
pub fn init(level: &str, format: Format, clock: Clock) -> Result<()> {
    let libraries = match level {
        "debug" => "info",
        "info" | "warn" => "warn",
        "error" => "error",
        other => {
            return Err(Error::bad_input(format!(
                "unknown log level {other:?}: it is one of debug, info, warn, error"
            )));
        }
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{libraries},promlake={level}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .event_format(Lines { format, clock })
        .try_init()
        .context(ErrorKind::Internal, || "cannot install the log subscriber".into())
}

struct Lines {
    format: Format,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut pairs = vec![
            ("time".to_string(), render_time((self.clock)())),
            ("level".to_string(), render_level(metadata.level()).to_string()),
            ("source".to_string(), metadata.target().to_string()),
            ("msg".to_string(), fields.message),
        ];
        pairs.extend(fields.others);
        let line = match self.format {
            Format::Logfmt => logfmt(&pairs),
            Format::Json => json(&pairs),
        };
        writeln!(out, "{line}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            // Left by the bridge from the `log` crate; the target is already the source.
            name if name.starts_with("log.") => {}
            name => self.others.push((name.to_string(), value)),
        }
    }
}

fn render_time(now_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn render_level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

fn logfmt(pairs: &[(String, String)]) -> String {
    let mut line = String::new();
    for (key, value) in pairs {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "-_./:+@*,[]()%".contains(c));
        // Writing to a string cannot fail.
        let _ = if plain { write!(line, "{key}={value}") } else { write!(line, "{key}={value:?}") };
    }
    line
}

fn json(pairs: &[(String, String)]) -> String {
    let object: serde_json::Map<_, _> = pairs.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn logfmt_quotes_what_would_be_ambiguous() {
        let line = logfmt(&pairs(&[("msg", "listening on"), ("address", "127.0.0.1:9090"), ("empty", "")]));
        assert_eq!(line, r#"msg="listening on" address=127.0.0.1:9090 empty="""#);
        assert_eq!(logfmt(&pairs(&[("err", "a \"b\"\nc=d")])), r#"err="a \"b\"\nc=d""#);
    }

    #[test]
    fn json_is_one_object() {
        let line = json(&pairs(&[("level", "INFO"), ("msg", "a \"b\"")]));
        assert_eq!(line, r#"{"level":"INFO","msg":"a \"b\""}"#);
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(render_time(1_700_000_000_007), "2023-11-14T22:13:20.007Z");
    }
}
