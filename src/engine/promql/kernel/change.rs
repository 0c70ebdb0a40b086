//! What changes over a window are made of, extrapolated or not.

use super::types::Notes;
use crate::engine::promql::annotations::text::{self, Operation};
use crate::model::histogram::FloatHistogram;

/// Which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub counter: bool,
    pub per_second: bool,
}

/// `base += other`; `None`, with the warning, if that is impossible.
pub(super) fn add(base: &mut FloatHistogram, other: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    match base.add(other) {
        Ok(combined) if combined.bounds_reconciled => {
            notes.info(text::mismatched_custom_buckets(Operation::Addition));
            Some(())
        }
        Ok(_) => Some(()),
        Err(_) => {
            notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
            None
        }
    }
}

/// `base -= other`; `None`, with the warning, if that is impossible.
pub(super) fn subtract(base: &mut FloatHistogram, other: &FloatHistogram, notes: &Notes<'_>) -> Option<()> {
    match base.sub(other) {
        Ok(combined) if combined.bounds_reconciled => {
            notes.info(text::mismatched_custom_buckets(Operation::Subtraction));
            Some(())
        }
        Ok(_) => Some(()),
        Err(_) => {
            notes.warn(text::mixed_exponential_custom_histograms(notes.metric));
            None
        }
    }
}
