//! OTLP's JSON as protobuf: names in lowerCamelCase (or as in the proto files), 64-bit integers as texts or numbers,
//! identifiers in hex, bytes in base64, enums by number or name. What is unknown is skipped, as in protobuf.
//!
//! The messages are tables; one visitor walks them. A message's length is written into room left for it, so nothing is
//! copied, and depth is limited by `serde_json`.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use Kind::{Base64, Bool, Double, Enum, Fixed64, Hex, Int64, List, Message, Sint32, Text, Uint32};

/// A field: its name in JSON, its number, and what it is.
type Field = (&'static str, u32, Kind);

/// A message; messages that hold each other refer to these by place.
type Table = &'static [Field];

enum Kind {
    Text,
    Bool,
    Double,
    /// Signed or not: both are eight bytes.
    Fixed64,
    Int64,
    Uint32,
    Sint32,
    /// Names of the numbers from 0 on.
    Enum(&'static [&'static str]),
    Hex,
    Base64,
    Message(&'static Table),
    /// Numbers are not packed.
    List(&'static Kind),
}

const TEMPORALITIES: Kind = Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

static REQUEST: Table = &[("resourceMetrics", 1, List(&Message(&RESOURCE_METRICS)))];
static RESOURCE_METRICS: Table = &[
    ("resource", 1, Message(&RESOURCE)),
    ("scopeMetrics", 2, List(&Message(&SCOPE_METRICS))),
    ("schemaUrl", 3, Text),
];
static RESOURCE: Table = &[("attributes", 1, List(&Message(&KEY_VALUE)))];
static SCOPE_METRICS: Table =
    &[("scope", 1, Message(&SCOPE)), ("metrics", 2, List(&Message(&METRIC))), ("schemaUrl", 3, Text)];
static SCOPE: Table = &[("name", 1, Text), ("version", 2, Text), ("attributes", 3, List(&Message(&KEY_VALUE)))];
static KEY_VALUE: Table = &[("key", 1, Text), ("value", 2, Message(&ANY_VALUE))];
static ANY_VALUE: Table = &[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Int64),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Message(&ARRAY_VALUE)),
    ("kvlistValue", 6, Message(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Base64),
];
static ARRAY_VALUE: Table = &[("values", 1, List(&Message(&ANY_VALUE)))];
static KEY_VALUE_LIST: Table = &[("values", 1, List(&Message(&KEY_VALUE)))];
static METRIC: Table = &[
    ("name", 1, Text),
    ("description", 2, Text),
    ("unit", 3, Text),
    ("gauge", 5, Message(&GAUGE)),
    ("sum", 7, Message(&SUM)),
    ("histogram", 9, Message(&HISTOGRAM)),
    ("exponentialHistogram", 10, Message(&EXPONENTIAL)),
    ("summary", 11, Message(&SUMMARY)),
];
static GAUGE: Table = &[("dataPoints", 1, List(&Message(&NUMBER_POINT)))];
static SUM: Table = &[
    ("dataPoints", 1, List(&Message(&NUMBER_POINT))),
    ("aggregationTemporality", 2, TEMPORALITIES),
    ("isMonotonic", 3, Bool),
];
static HISTOGRAM: Table =
    &[("dataPoints", 1, List(&Message(&HISTOGRAM_POINT))), ("aggregationTemporality", 2, TEMPORALITIES)];
static EXPONENTIAL: Table =
    &[("dataPoints", 1, List(&Message(&EXPONENTIAL_POINT))), ("aggregationTemporality", 2, TEMPORALITIES)];
static SUMMARY: Table = &[("dataPoints", 1, List(&Message(&SUMMARY_POINT)))];
static NUMBER_POINT: Table = &[
    ("attributes", 7, List(&Message(&KEY_VALUE))),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("asInt", 6, Fixed64),
    ("exemplars", 5, List(&Message(&EXEMPLAR))),
    ("flags", 8, Uint32),
];
static HISTOGRAM_POINT: Table = &[
    ("attributes", 9, List(&Message(&KEY_VALUE))),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("bucketCounts", 6, List(&Fixed64)),
    ("explicitBounds", 7, List(&Double)),
    ("exemplars", 8, List(&Message(&EXEMPLAR))),
    ("flags", 10, Uint32),
    ("min", 11, Double),
    ("max", 12, Double),
];
static EXPONENTIAL_POINT: Table = &[
    ("attributes", 1, List(&Message(&KEY_VALUE))),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("scale", 6, Sint32),
    ("zeroCount", 7, Fixed64),
    ("positive", 8, Message(&BUCKETS)),
    ("negative", 9, Message(&BUCKETS)),
    ("flags", 10, Uint32),
    ("exemplars", 11, List(&Message(&EXEMPLAR))),
    ("min", 12, Double),
    ("max", 13, Double),
    ("zeroThreshold", 14, Double),
];
static BUCKETS: Table = &[("offset", 1, Sint32), ("bucketCounts", 2, List(&Int64))];
static SUMMARY_POINT: Table = &[
    ("attributes", 7, List(&Message(&KEY_VALUE))),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("quantileValues", 6, List(&Message(&QUANTILE))),
    ("flags", 8, Uint32),
];
static QUANTILE: Table = &[("quantile", 1, Double), ("value", 2, Double)];
static EXEMPLAR: Table = &[
    ("filteredAttributes", 7, List(&Message(&KEY_VALUE))),
    ("timeUnixNano", 2, Fixed64),
    ("asDouble", 3, Double),
    ("asInt", 6, Fixed64),
    ("spanId", 4, Hex),
    ("traceId", 5, Hex),
];

/// How much larger protobuf can be than the JSON it is made of: a zero in a list of counts takes 2 bytes there, and 9
/// here.
pub const GROWTH: usize = 5;

/// A request in JSON as `ExportMetricsServiceRequest`.
///
/// # Errors
/// What is no such request, with its place.
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Fields { fields: REQUEST, out: &mut out }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// The object of a message, whose fields are appended.
struct Fields<'o> {
    fields: &'static [Field],
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { fields, out } = self;
        while let Some(known) = map.next_key_seed(Name(fields))? {
            match known {
                Some((_, number, kind)) => map.next_value_seed(Item { number: *number, kind, out: &mut *out })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field, looked up.
struct Name(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(camel, ..)| *camel == name || is_snake_of(name, camel)))
    }
}

/// Whether a name is `snake_case` of one in `camelCase`.
fn is_snake_of(snake: &str, camel: &str) -> bool {
    let expected = camel.bytes().flat_map(|b| {
        let upper = b.is_ascii_uppercase();
        upper.then_some(b'_').into_iter().chain([b.to_ascii_lowercase()])
    });
    expected.eq(snake.bytes())
}

/// A value of a field, which is appended with its tag. `null` is none.
struct Item<'o> {
    number: u32,
    kind: &'static Kind,
    out: &'o mut Vec<u8>,
}

impl Item<'_> {
    fn varint(&mut self, value: u64) {
        put_varint(self.out, u64::from(self.number) << 3);
        put_varint(self.out, value);
    }

    fn fixed(&mut self, bits: u64) {
        put_varint(self.out, u64::from(self.number) << 3 | 1);
        self.out.extend(bits.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        put_varint(self.out, u64::from(self.number) << 3 | 2);
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn integer<E: Error>(mut self, value: i128) -> Result<(), E> {
        let outside = |what: &str| E::custom(format!("{value} is outside of {what}"));
        // Both the signed and the unsigned are read from the same fields.
        let wide = || u64::try_from(value).or_else(|_| i64::try_from(value).map(i64::cast_unsigned));
        match self.kind {
            Double => self.fixed((value as f64).to_bits()),
            Fixed64 => self.fixed(wide().map_err(|_| outside("64 bits"))?),
            Int64 => self.varint(wide().map_err(|_| outside("64 bits"))?),
            Uint32 => self.varint(u32::try_from(value).map_err(|_| outside("32 bits"))?.into()),
            Enum(_) => self.varint(u32::try_from(value).map_err(|_| outside("an enum"))?.into()),
            Sint32 => {
                let value = i32::try_from(value).map_err(|_| outside("32 bits"))?;
                self.varint(u64::from((value << 1 ^ value >> 31).cast_unsigned()));
            }
            _ => return Err(self.unexpected("a number")),
        }
        Ok(())
    }

    fn unexpected<E: Error>(&self, what: &str) -> E {
        E::custom(format!("expected {}, got {what}", self.expected()))
    }

    fn expected(&self) -> &'static str {
        match self.kind {
            Text => "a text",
            Bool => "true or false",
            Double | Fixed64 | Int64 | Uint32 | Sint32 => "a number",
            Enum(_) => "a number or a name",
            Hex => "a text in hex",
            Base64 => "a text in base64",
            Message(_) => "an object",
            List(_) => "a list",
        }
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.kind {
            Bool => self.varint(value.into()),
            _ => return Err(self.unexpected("a boolean")),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.kind {
            Double => self.fixed(value.to_bits()),
            _ => return Err(self.unexpected("a number with a fraction")),
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.kind {
            Text => self.bytes(text.as_bytes()),
            Double => match text {
                "Infinity" => self.fixed(f64::INFINITY.to_bits()),
                "-Infinity" => self.fixed(f64::NEG_INFINITY.to_bits()),
                text => match text.parse::<f64>() {
                    Ok(value) => self.fixed(value.to_bits()),
                    Err(_) => return Err(self.unexpected(&format!("{text:?}"))),
                },
            },
            Fixed64 | Int64 | Uint32 | Sint32 => match text.parse::<i128>() {
                Ok(value) => return self.integer(value),
                Err(_) => return Err(self.unexpected(&format!("{text:?}"))),
            },
            Enum(names) => match names.iter().position(|name| *name == text) {
                Some(number) => self.varint(number as u64),
                None => return Err(self.unexpected(&format!("{text:?}"))),
            },
            Hex => match from_hex(text) {
                Some(bytes) => self.bytes(&bytes),
                None => return Err(self.unexpected(&format!("{text:?}"))),
            },
            Base64 => match from_base64(text) {
                Some(bytes) => self.bytes(&bytes),
                None => return Err(self.unexpected(&format!("{text:?}"))),
            },
            Bool | Message(_) | List(_) => return Err(self.unexpected("a text")),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let List(kind) = self.kind else { return Err(self.unexpected("a list")) };
        let Self { number, out, .. } = self;
        while items.next_element_seed(Item { number, kind, out: &mut *out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Message(fields) = self.kind else { return Err(self.unexpected("an object")) };
        let out = self.out;
        put_varint(out, u64::from(self.number) << 3 | 2);
        let start = out.len();
        out.extend([0; LENGTH_BYTES]);
        Fields { fields, out: &mut *out }.visit_map(map)?;
        let length = out.len() - start - LENGTH_BYTES;
        if length >= 1 << (7 * LENGTH_BYTES) {
            return Err(A::Error::custom("a message is too long"));
        }
        for (position, byte) in out[start..start + LENGTH_BYTES].iter_mut().enumerate() {
            let more = if position + 1 < LENGTH_BYTES { 0x80 } else { 0 };
            *byte = (length >> (7 * position) & 0x7f) as u8 | more;
        }
        Ok(())
    }
}

/// Of a length that is filled in when it is known: up to 256 MiB.
const LENGTH_BYTES: usize = 4;

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// With or without padding, in either alphabet.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bits, mut held) = (0u32, 0);
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
