//! A label set: sorted by name, names unique, no empty values, in one shared buffer.
//!
//! The buffer is the canonical form: `(varint name length, name, varint value length, value)*`. Equality and
//! the series id are taken from its bytes; order is Prometheus' (pair by pair).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The label that carries the metric name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted label set. Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Builds a label set from pairs in any order. Empty values are left out, as an empty label is no label;
    /// of two pairs with one name the later wins.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// The same of pairs that are sorted by name, each name once.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut out = Vec::with_capacity(256);
        let mut last = None;
        for (name, value) in pairs {
            debug_assert!(last < Some(name), "{name:?} after {last:?}");
            last = Some(name);
            if !value.is_empty() {
                put_str(&mut out, name);
                put_str(&mut out, value);
            }
        }
        Self(out.into())
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter(&self.0)
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values as bytes: for those who look at many series and read few of their labels as text.
    pub fn iter_bytes(&self) -> BytesIter<'_> {
        BytesIter(&self.0)
    }

    /// The value of a label; `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Names are sorted; most that are absent are found to be so at the first label behind them.
        let mut from_name = self.iter_bytes().skip_while(|(n, _)| *n < name.as_bytes());
        from_name.next().filter(|(n, _)| *n == name.as_bytes()).map(|(_, value)| text(value))
    }

    /// The metric name, or `""`.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The canonical bytes, see the module.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The series id: 64-bit xxh3 of the canonical bytes. Collisions are resolved by the series registry,
    /// so the id a series is stored under may be a later one.
    pub fn hash_id(&self) -> i64 {
        xxh3_64(&self.0) as i64
    }

    /// A hash of the labels that are not `left_out`, which is equal where they are.
    pub fn hash_without(&self, left_out: impl Fn(&str) -> bool) -> u64 {
        // Each label by itself: what is left out may stand between them.
        let kept = self.iter_bytes().filter(|(name, _)| !left_out(text(name)));
        kept.fold(0, |hash, (name, value)| xxh3_64_with_seed(value, xxh3_64_with_seed(name, hash)))
    }

    /// The label set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        Self::from_pairs(self.iter().filter(|(n, _)| !names.contains(n)))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        // Text is ordered as its bytes are.
        self.iter_bytes().cmp(other.iter_bytes())
    }
}

/// Prometheus' notation, `{a="1", b="2"}` with the metric name in front where it is a legacy name.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric();
        let bare = !metric.is_empty() && is_legacy_metric_name(metric);
        if bare {
            f.write_str(metric)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        f.write_str("{")?;
        let mut first = true;
        for (name, value) in self.iter().filter(|(n, _)| !(bare && *n == METRIC_NAME)) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            if is_legacy_label_name(name) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates `(name, value)` in name order.
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = BytesIter(self.0);
        let (name, value) = bytes.next()?;
        self.0 = bytes.0;
        Some((text(name), text(value)))
    }
}

/// Iterates `(name, value)` in name order, as bytes.
#[derive(Clone)]
pub struct BytesIter<'a>(&'a [u8]);

impl<'a> Iterator for BytesIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = take_bytes(&mut self.0);
        let value = take_bytes(&mut self.0);
        Some((name, value))
    }
}

/// A name or value as text.
pub fn text(bytes: &[u8]) -> &str {
    // The buffer is only ever written from `str`s.
    std::str::from_utf8(bytes).expect("label text was written from a str")
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let mut len = 0usize;
    let mut shift = 0;
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    let (text, rest) = bytes.split_at(len);
    *bytes = rest;
    text
}

fn put_str(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Collects labels in any order; reusable, so that a hot loop allocates once.
#[derive(Default, Clone, Debug)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn from_labels(labels: &Labels) -> Self {
        Self { pairs: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => pair.1 = value.to_string(),
            None => self.pairs.push((name.to_string(), value.to_string())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// Keeps the labels whose names are wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.pairs.retain(|(name, _)| wanted(name));
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn clear(&mut self) -> &mut Self {
        self.pairs.clear();
        self
    }

    pub fn build(&mut self) -> Labels {
        self.pairs.sort_unstable();
        let mut out = Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
        for (name, value) in &self.pairs {
            put_str(&mut out, name);
            put_str(&mut out, value);
        }
        Labels(out.into())
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_metric_name(name) && !name.contains(':')
}

#[cfg(test)]
mod tests;
