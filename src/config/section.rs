//! One YAML mapping, read key by key. Every key must be taken by somebody: what is left over when the section is
//! finished is unknown to Prometheus and an error, and what Prometheus knows but promlake does not do yet is
//! another error, so that no setting is silently ignored.

use serde_yaml::{Mapping, Value};

use crate::config::size;
use crate::error::{Error, Result};
use crate::model::duration;

/// A mapping with the words that name it in errors, such as `scrape_config "node"`.
pub struct Section {
    pub name: String,
    entries: Mapping,
}

impl Section {
    /// An absent or empty (`null`) section has no keys.
    pub fn new(name: impl Into<String>, value: Value) -> Result<Self> {
        let name = name.into();
        match value {
            Value::Mapping(entries) => Ok(Self { name, entries }),
            Value::Null => Ok(Self { name, entries: Mapping::new() }),
            other => Err(Error::bad_input(format!("{name} must be a mapping, not {}", kind_of(&other)))),
        }
    }

    /// The raw value; `None` where the key is absent or `null`.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).filter(|v| !v.is_null())
    }

    pub fn section(&mut self, key: &str) -> Result<Section> {
        let name = if self.name == "the configuration" { key.to_string() } else { format!("{}.{key}", self.name) };
        Section::new(name, self.take(key).unwrap_or(Value::Null))
    }

    /// A list; `null` entries are kept, as they have errors of their own.
    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Sequence(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(key, "a list", &other)),
        }
    }

    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => scalar(&value).map(Some).ok_or_else(|| self.wrong(key, "a string", &value)),
        }
    }

    /// Also `yes`, `no`, `on` and `off`, which YAML 1.1, and so Prometheus, takes for booleans.
    pub fn bool(&mut self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match scalar(&value).unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(Some(true)),
            "false" | "no" | "off" | "n" => Ok(Some(false)),
            _ => Err(self.wrong(key, "true or false", &value)),
        }
    }

    pub fn duration_ms(&mut self, key: &str) -> Result<Option<i64>> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        duration::parse(&text).map(Some).map_err(|e| self.inside(key, e))
    }

    pub fn bytes(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        size::parse(&text).map(Some).map_err(|e| self.inside(key, e))
    }

    pub fn count(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(key, "a whole number of at least 0", &value))
    }

    /// A mapping of strings, in the order of the file.
    pub fn strings(&mut self, key: &str) -> Result<Vec<(String, String)>> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Mapping(entries)) => entries
                .iter()
                .map(|(k, v)| Some((scalar(k)?, if v.is_null() { String::new() } else { scalar(v)? })))
                .collect::<Option<_>>()
                .ok_or_else(|| Error::bad_input(format!("{}: {key} must map names to strings", self.name))),
            Some(other) => Err(self.wrong(key, "a mapping", &other)),
        }
    }

    /// Refuses keys that Prometheus has and promlake has not built yet. A key without content, or with the value
    /// it has anyway, asks for nothing and passes.
    pub fn refuse(&mut self, keys: &[(&str, &str)]) -> Result<()> {
        for (key, default) in keys {
            let Some(value) = self.take(key) else { continue };
            let empty = match &value {
                Value::Sequence(items) => items.is_empty(),
                Value::Mapping(entries) => entries.is_empty(),
                other => scalar(other).is_some_and(|text| text.is_empty() || text == *default),
            };
            if !empty {
                return Err(Error::unsupported(format!("{}: {key} is not supported yet", self.name)));
            }
        }
        Ok(())
    }

    /// Fails when a key is left that nobody took.
    pub fn finish(self) -> Result<()> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(key) => {
                let key = scalar(key).unwrap_or_else(|| format!("{key:?}"));
                Err(Error::bad_input(format!("unknown key {key:?} in {}", self.name)))
            }
        }
    }

    /// An error about one key of this section.
    pub fn error(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::bad_input(format!("{}: {key}: {message}", self.name))
    }

    fn inside(&self, key: &str, error: Error) -> Error {
        self.error(key, error.message)
    }

    fn wrong(&self, key: &str, expected: &str, value: &Value) -> Error {
        self.error(key, format!("expected {expected}, got {}", kind_of(value)))
    }
}

/// The text of a scalar; `None` for lists and mappings.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Sequence(_) => "a list".to_string(),
        Value::Mapping(_) => "a mapping".to_string(),
        Value::Null => "nothing".to_string(),
        other => format!("{:?}", scalar(other).unwrap_or_default()),
    }
}
