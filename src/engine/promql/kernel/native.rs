//! Quantiles and fractions of native histograms, and what is left of one whose buckets nobody asks for. Classic buckets
//! are in [`super::buckets`].

use std::sync::Arc;

use super::types::Notes;
use crate::engine::promql::annotations::text;
use crate::model::histogram::FloatHistogram;
use crate::model::histogram::estimate::QuantileNote;

/// The quantile of one histogram, with its annotations.
pub fn quantile_of(q: f64, histogram: &FloatHistogram, notes: &Notes<'_>) -> f64 {
    let (value, note) = histogram.quantile(q);
    match note {
        Some(QuantileNote::ResultIsNan) => notes.info(text::quantile_nan_result(notes.metric)),
        Some(QuantileNote::SkewedHigher) => notes.info(text::quantile_nan_skew(notes.metric)),
        None => {}
    }
    value
}

/// The fraction of one histogram, with its annotations.
pub fn fraction_of(lower: f64, upper: f64, histogram: &FloatHistogram, notes: &Notes<'_>) -> f64 {
    let (value, nan_excluded) = histogram.fraction(lower, upper);
    if nan_excluded {
        notes.info(text::fraction_nans(notes.metric));
    }
    value
}

/// What `histogram_count`, `histogram_sum` and `histogram_avg` need of the histograms of a series: count and sum,
/// without buckets. Resets are found while the buckets are at hand, so every hint but the first is explicit, and
/// aggregations in between warn of conflicting ones (Prometheus' `HistogramStatsIterator`).
pub fn statistics(histograms: &[Option<Arc<FloatHistogram>>]) -> Vec<Option<Arc<FloatHistogram>>> {
    let mut previous: Option<&Arc<FloatHistogram>> = None;
    let strip = |histogram: &FloatHistogram, previous: Option<&FloatHistogram>| FloatHistogram {
        counter_reset_hint: histogram.resolved_hint(previous),
        schema: histogram.schema,
        count: histogram.count,
        sum: histogram.sum,
        ..FloatHistogram::default()
    };
    let mut out = Vec::with_capacity(histograms.len());
    for histogram in histograms {
        let Some(histogram) = histogram else {
            out.push(None);
            continue;
        };
        if histogram.is_stale() {
            out.push(Some(histogram.clone()));
            continue;
        }
        out.push(Some(Arc::new(strip(histogram, previous.map(Arc::as_ref)))));
        previous = Some(histogram);
    }
    out
}
