//! Values of expressions, from the JSON of Prometheus' API.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::cli::query::labels::LabelSet;
use crate::model::float;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub enum Value {
    Scalar((Millis, Number)),
    String((Millis, String)),
    Vector(Vec<Sample>),
    Matrix(Vec<Series>),
}

#[derive(Debug, PartialEq, Deserialize)]
pub struct Sample {
    pub metric: LabelSet,
    /// Either this or a histogram.
    pub value: Option<(Millis, Number)>,
    pub histogram: Option<(Millis, Histogram)>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub struct Series {
    pub metric: LabelSet,
    pub values: Option<Vec<(Millis, Number)>>,
    pub histograms: Option<Vec<(Millis, Histogram)>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub struct Histogram {
    pub count: Number,
    pub sum: Number,
    /// Those that are not empty.
    pub buckets: Option<Vec<Bucket>>,
}

/// Which bounds belong to it (as [`Histogram`]'s JSON numbers it), the lower and the upper one, and what is in it.
pub type Bucket = (i32, Number, Number, Number);

/// A time. Written as seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub i64);

/// A float. Written as text, since JSON has no infinity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Whole milliseconds are exact in there for 285,000 years.
        Ok(Self((seconds * 1000.0).round() as i64))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in quotes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let number = float::parse(text);
                number.map(Number).ok_or_else(|| E::custom(format_args!("{text:?} is no number")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Sample {
    fn is_whole(&self) -> bool {
        self.value.is_some() != self.histogram.is_some()
    }
}

impl Value {
    /// What their types cannot say.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Value::Vector(samples) if !samples.iter().all(Sample::is_whole) => {
                Err("a sample has either a value or a histogram")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
        let point = (Millis(1500), Number(2.0));
        assert_eq!(parse(r#"{"resultType":"scalar","result":[1.5,"2"]}"#), Ok(Value::Scalar(point)));
        assert_eq!(parse(r#"{"stats":{},"result":[1.5,"2"],"resultType":"scalar"}"#), Ok(Value::Scalar(point)));
        assert_eq!(
            parse(r#"{"resultType":"string","result":[0,"a"]}"#),
            Ok(Value::String((Millis(0), "a".to_string())))
        );
        let series = Series { metric: LabelSet::default(), values: Some(vec![point]), histograms: None };
        assert_eq!(
            parse(r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1.5,"2"]]}]}"#),
            Ok(Value::Matrix(vec![series]))
        );
        let check = |text: &str, part: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check(r#"{"resultType":"table","result":[]}"#, "unknown variant `table`");
        check(r#"{"resultType":"scalar","result":[1.5,2]}"#, "a number in quotes");
        check(r#"{"resultType":"scalar","result":[1.5,"x"]}"#, "\"x\" is no number");
        check(r#"{"resultType":"scalar","result":[1.5]}"#, "invalid length 1");
        check(r#"{"result":[]}"#, "missing field `resultType`");
        let empty = parse(r#"{"resultType":"vector","result":[{"metric":{}}]}"#).unwrap();
        assert!(empty.check().is_err());
    }
}
