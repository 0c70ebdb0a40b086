//! A series of the protobuf format: the name of its family, the label fields of its message, and what it is of a
//! histogram or summary.

use std::borrow::Cow;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::ingest::exposition::number;
use crate::ingest::exposition::series::Pairs;
use crate::ingest::labels::MAX_LABELS;
use crate::ingest::wire::{Malformed, Reader, Value};
use crate::model::labels::METRIC_NAME;

#[derive(Clone, Debug, PartialEq)]
pub struct MessageSeries<'a> {
    pub family: Family<'a>,
    /// Fields of number 1, with their tags.
    pub labels: Cow<'a, [u8]>,
    pub part: Part,
}

/// The name of a metric family, and what it adds to keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family<'a> {
    name: &'a str,
    key: u128,
}

/// What a series is of a metric. Bounds and quantiles become labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Whole,
    Count,
    Sum,
    Bucket(f64),
    Quantile(f64),
}

const FAMILY_SEED: u64 = 1;
const PART_SEED: u64 = 2;

impl<'a> Family<'a> {
    pub fn new(name: &'a str) -> Self {
        Self { name, key: xxh3_128_with_seed(name.as_bytes(), FAMILY_SEED) }
    }
}

impl<'a> MessageSeries<'a> {
    #[inline]
    pub(super) fn key(&self) -> u128 {
        xxh3_128(&self.labels).wrapping_add(self.family.key).wrapping_add(self.part.key())
    }

    pub(super) fn decode(&self, pairs: &mut Pairs<'a>) -> Result<(), String> {
        let name = self.family.name;
        let name = match self.part {
            Part::Whole | Part::Quantile(_) => Cow::Borrowed(name),
            Part::Count => Cow::Owned(format!("{name}_count")),
            Part::Sum => Cow::Owned(format!("{name}_sum")),
            Part::Bucket(_) => Cow::Owned(format!("{name}_bucket")),
        };
        pairs.push((Cow::Borrowed(METRIC_NAME), name));
        match &self.labels {
            Cow::Borrowed(bytes) => labels(bytes, pairs)?,
            Cow::Owned(bytes) => {
                let mut own = Pairs::new();
                labels(bytes, &mut own)?;
                let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
                pairs.extend(own.into_iter().map(|(name, value)| (owned(name), owned(value))));
            }
        }
        let magic = match self.part {
            Part::Bucket(bound) => Some(("le", bound)),
            Part::Quantile(quantile) => Some(("quantile", quantile)),
            Part::Whole | Part::Count | Part::Sum => None,
        };
        pairs.extend(magic.map(|(name, number)| (Cow::Borrowed(name), number::format_openmetrics(number).into())));
        Ok(())
    }
}

impl Part {
    #[inline]
    fn key(self) -> u128 {
        let (tag, number) = match self {
            Part::Whole => return 0,
            Part::Count => (1, 0.0),
            Part::Sum => (2, 0.0),
            Part::Bucket(bound) => (3, bound),
            Part::Quantile(quantile) => (4, quantile),
        };
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&f64::to_le_bytes(number));
        xxh3_128_with_seed(&bytes, PART_SEED)
    }
}

/// Appends the labels of a message: its fields of number 1.
pub(super) fn labels<'a>(message: &'a [u8], pairs: &mut Pairs<'a>) -> Result<(), String> {
    let malformed = |_: Malformed| "a label is no protobuf message".to_string();
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field().map_err(malformed)? {
        let (1, Value::Bytes(label)) = (number, value) else { continue };
        let (mut name, mut value) = (&b""[..], &b""[..]);
        let mut label = Reader::new(label);
        while let Some(field) = label.field().map_err(malformed)? {
            match field {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        let text = |bytes: &'a [u8], what: &str| {
            std::str::from_utf8(bytes).map_err(|_| format!("invalid {what}: {:?}", String::from_utf8_lossy(bytes)))
        };
        let (name, value) = (text(name, "label name")?, text(value, "label value")?);
        if name.is_empty() {
            return Err("invalid label name: it is empty".to_string());
        }
        if pairs.len() > MAX_LABELS {
            return Err(format!("more than {MAX_LABELS} labels"));
        }
        pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    }
    Ok(())
}
