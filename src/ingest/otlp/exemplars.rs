//! Exemplars of points.

use crate::ingest::labels::exemplar_labels;
use crate::ingest::otlp::labels::Refusal;
use crate::ingest::otlp::message::{Common, Exemplar};
use crate::ingest::otlp::times::{Times, millis};
use crate::ingest::otlp::value;
use crate::model::labels::Labels;

/// Time, value and labels of an exemplar.
pub(super) type Made = (i64, f64, Labels);

/// The exemplars of a point. One without a time has the point's.
pub(super) fn exemplars(common: &Common<'_>, times: Times) -> Result<Vec<Made>, Refusal> {
    let mut made = Vec::new();
    for message in &common.exemplars {
        let exemplar = Exemplar::read(message)?;
        let Some(number) = exemplar.value else {
            return Err("unsupported exemplar value type: Empty".to_string().into());
        };
        let timestamp = match millis(exemplar.time_ns) {
            0 => times.timestamp,
            timestamp => timestamp,
        };
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for (name, id) in [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)] {
            if id.iter().any(|byte| *byte != 0) {
                pairs.push((name, hex(id)));
            }
        }
        let identifiers = pairs.len();
        for attribute in &exemplar.attributes {
            let (key, found) = value::attribute(attribute)?;
            let mut text = String::new();
            found.write(&mut text)?;
            pairs.push((key, text));
        }
        // Attributes that make it too long are left out, not the exemplar.
        if let Some(labels) = exemplar_labels(&pairs).or_else(|| exemplar_labels(&pairs[..identifiers])) {
            made.push((timestamp, number, labels));
        }
    }
    Ok(made)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
