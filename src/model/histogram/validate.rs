//! What must hold of a histogram before it is stored or computed with.

use super::{EXPONENTIAL_SCHEMAS, FloatHistogram, RESERVED_SCHEMAS, Span};
use crate::error::{Error, Result};

impl FloatHistogram {
    /// Checks spans against buckets, signs of counts, and that only the fields of the schema's kind are used.
    /// The total count is not compared with the buckets, since rounding would give false alarms.
    pub fn validate(&self) -> Result<()> {
        if self.uses_custom_buckets() {
            self.validate_custom_buckets()?;
        } else if EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            self.validate_spans()?;
            check_counts(&self.negative_buckets, "negative side")?;
            if self.zero_count < 0.0 {
                return Err(Error::bad_input(format!(
                    "zero bucket has observation count of {}: histogram has a bucket whose observation count is negative",
                    self.zero_count
                )));
            }
            if !self.custom_values.is_empty() {
                return Err(Error::bad_input("histogram with exponential schema must not have custom bounds"));
            }
        } else {
            return Err(Error::bad_input(format!(
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema {}",
                self.schema
            )));
        }
        if self.count < 0.0 {
            return Err(Error::bad_input(format!(
                "observation count is  {}: histogram's observation count is negative",
                self.count
            )));
        }
        check_counts(&self.positive_buckets, "positive side")
    }

    /// Checks that the spans of either side cover as many buckets as there are.
    pub fn validate_spans(&self) -> Result<()> {
        check_spans(&self.positive_spans, &self.positive_buckets, "positive side")?;
        check_spans(&self.negative_spans, &self.negative_buckets, "negative side")
    }

    /// Reduces the resolution of a schema that is known but too fine (9 to 52), as ingestion does.
    pub fn reduce_to_supported_schema(&mut self) -> Result<()> {
        let finest = *EXPONENTIAL_SCHEMAS.end();
        if self.uses_custom_buckets() || EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            return Ok(());
        }
        if !RESERVED_SCHEMAS.contains(&self.schema) || self.schema < finest {
            return Err(Error::bad_input(format!("histogram has an unknown schema, got schema {}", self.schema)));
        }
        self.validate_spans()?;
        self.reduce_resolution(finest);
        Ok(())
    }

    fn validate_custom_buckets(&self) -> Result<()> {
        check_bounds(&self.custom_values)?;
        // Here that of the first span, too.
        if let Some(first) = self.positive_spans.first().filter(|span| span.offset < 0) {
            return Err(Error::bad_input(format!(
                "custom buckets: span number 1 with offset {}: histogram has a span whose offset is negative",
                first.offset
            )));
        }
        check_spans(&self.positive_spans, &self.positive_buckets, "custom buckets")?;
        let covered: i64 = self.positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
        if covered > self.custom_values.len() as i64 + 1 {
            return Err(Error::bad_input(format!(
                "custom buckets: only {} custom bounds defined which is insufficient to cover total span length of {covered}: histogram custom bounds are too few",
                self.custom_values.len()
            )));
        }
        let unused = [
            (self.zero_count != 0.0, "custom buckets: must have zero count of 0"),
            (self.zero_threshold != 0.0, "custom buckets: must have zero threshold of 0"),
            (!self.negative_spans.is_empty(), "custom buckets: must not have negative spans"),
            (!self.negative_buckets.is_empty(), "custom buckets: must not have negative buckets"),
        ];
        match unused.iter().find(|(used, _)| *used) {
            Some((_, message)) => Err(Error::bad_input(*message)),
            None => Ok(()),
        }
    }
}

fn check_bounds(bounds: &[f64]) -> Result<()> {
    if bounds.iter().any(|b| b.is_nan()) {
        return Err(Error::bad_input("custom buckets: histogram custom bounds must not be NaN"));
    }
    if let Some(pair) = bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(Error::bad_input(format!(
            "custom buckets: previous bound is {:.6} and current is {:.6}: histogram custom bounds must be in strictly increasing order",
            pair[0], pair[1]
        )));
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(Error::bad_input(
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite",
        ));
    }
    Ok(())
}

fn check_spans(spans: &[Span], buckets: &[f64], side: &str) -> Result<()> {
    if let Some(position) = spans.iter().skip(1).position(|s| s.offset < 0) {
        return Err(Error::bad_input(format!(
            "{side}: span number {} with offset {}: histogram has a span whose offset is negative",
            position + 2,
            spans[position + 1].offset
        )));
    }
    let needed: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if needed != buckets.len() as u64 {
        return Err(Error::bad_input(format!(
            "{side}: spans need {needed} buckets, have {} buckets: histogram spans specify different number of buckets than provided",
            buckets.len()
        )));
    }
    Ok(())
}

fn check_counts(buckets: &[f64], side: &str) -> Result<()> {
    match buckets.iter().position(|count| *count < 0.0) {
        None => Ok(()),
        Some(i) => Err(Error::bad_input(format!(
            "{side}: bucket number {} has observation count of {}: histogram has a bucket whose observation count is negative",
            i + 1,
            buckets[i]
        ))),
    }
}
