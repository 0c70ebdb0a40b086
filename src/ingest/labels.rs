//! Label sets from outside, checked before anything remembers them.

use std::fmt;

use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};

/// Bounds on one series, far above what people mean and far below what hurts.
pub const MAX_LABELS: usize = 512;
pub const MAX_NAME_BYTES: usize = 1 << 10;
pub const MAX_VALUE_BYTES: usize = 64 << 10;

/// Of the labels of an exemplar, names and values together, as in Prometheus.
pub const MAX_EXEMPLAR_CHARS: usize = 128;

/// Why a label set is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidLabels {
    NoMetricName,
    EmptyName,
    Repeated(String),
    TooMany(usize),
    NameTooLong(usize),
    ValueTooLong(String, usize),
}

impl fmt::Display for InvalidLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidLabels::NoMetricName => write!(f, "missing metric name ({METRIC_NAME} label)"),
            InvalidLabels::EmptyName => f.write_str("empty label name"),
            InvalidLabels::Repeated(name) => write!(f, "label name {name:?} is not unique"),
            InvalidLabels::TooMany(count) => write!(f, "{count} labels, more than {MAX_LABELS}"),
            InvalidLabels::NameTooLong(len) => write!(f, "a label name of {len} bytes, more than {MAX_NAME_BYTES}"),
            InvalidLabels::ValueTooLong(name, len) => {
                write!(f, "a value of {len} bytes for label {name:?}, more than {MAX_VALUE_BYTES}")
            }
        }
    }
}

/// The label set of a stored series from pairs in any order. A pair with an empty value is no label.
pub fn checked<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Result<Labels, InvalidLabels> {
    check_bounds(pairs)?;
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_ref()).collect();
    if !names.is_sorted() {
        names.sort_unstable();
    }
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(InvalidLabels::Repeated(pair[0].to_string()));
    }
    let mut builder = LabelsBuilder::new();
    for (name, value) in pairs {
        builder.set(name.as_ref(), value.as_ref());
    }
    if builder.get(METRIC_NAME).is_none() {
        return Err(InvalidLabels::NoMetricName);
    }
    Ok(builder.build())
}

/// The same of labels that were made here, which are sorted and have a name.
pub fn check(labels: &Labels) -> Result<(), InvalidLabels> {
    check_bounds(&labels.iter().collect::<Vec<_>>())
}

/// The labels of an exemplar; `None` for those that Prometheus would not keep either.
pub fn exemplar_labels<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Option<Labels> {
    let chars = |text: &str| text.chars().count();
    let total: usize = pairs.iter().map(|(name, value)| chars(name.as_ref()) + chars(value.as_ref())).sum();
    let named = pairs.iter().any(|(name, _)| name.as_ref() == METRIC_NAME);
    let is_twice = |at: usize| pairs[..at].iter().any(|(name, _)| name.as_ref() == pairs[at].0.as_ref());
    // What is short has few labels.
    (total <= MAX_EXEMPLAR_CHARS && pairs.len() <= MAX_EXEMPLAR_CHARS && !named && !(0..pairs.len()).any(is_twice))
        .then(|| Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))))
}

fn check_bounds<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Result<(), InvalidLabels> {
    if pairs.len() > MAX_LABELS {
        return Err(InvalidLabels::TooMany(pairs.len()));
    }
    for (name, value) in pairs {
        let (name, value) = (name.as_ref(), value.as_ref());
        if name.is_empty() {
            return Err(InvalidLabels::EmptyName);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidLabels::NameTooLong(name.len()));
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(InvalidLabels::ValueTooLong(name.to_string(), value.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked() {
        let check = |pairs: &[(&str, &str)], want: Result<&str, InvalidLabels>| {
            assert_eq!(checked(pairs).map(|l| l.to_string()), want.map(str::to_string), "{pairs:?}");
        };
        check(&[("__name__", "a")], Ok("a"));
        check(&[("z", "1"), ("__name__", "a"), ("b", "")], Ok(r#"a{z="1"}"#));
        check(&[("a", "b")], Err(InvalidLabels::NoMetricName));
        check(&[("__name__", "")], Err(InvalidLabels::NoMetricName));
        check(&[("__name__", "a"), ("", "x")], Err(InvalidLabels::EmptyName));
        check(&[("__name__", "a"), ("b", "1"), ("b", "2")], Err(InvalidLabels::Repeated("b".into())));
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        check(&[("__name__", "a"), (&long, "1")], Err(InvalidLabels::NameTooLong(MAX_NAME_BYTES + 1)));
        let many: Vec<(String, &str)> = (0..=MAX_LABELS).map(|i| (format!("l{i}"), "x")).collect();
        assert_eq!(checked(&many), Err(InvalidLabels::TooMany(MAX_LABELS + 1)));
    }
}
