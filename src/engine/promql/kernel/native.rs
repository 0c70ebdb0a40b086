//! Functions of native histograms. Floats have no result here; classic buckets are in [`super::buckets`].

use std::sync::Arc;

use super::types::{Notes, Param, VectorIn, VectorOut};
use crate::engine::promql::annotations::text;
use crate::model::histogram::FloatHistogram;
use crate::model::histogram::estimate::QuantileNote;

/// A number of one histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistogramFunction {
    Count,
    Sum,
    Avg,
    Stddev,
    Stdvar,
}

impl HistogramFunction {
    /// The function of a PromQL name.
    pub fn from_name(name: &str) -> Option<Self> {
        use HistogramFunction::*;
        Some(match name {
            "histogram_count" => Count,
            "histogram_sum" => Sum,
            "histogram_avg" => Avg,
            "histogram_stddev" => Stddev,
            "histogram_stdvar" => Stdvar,
            _ => return None,
        })
    }

    pub fn apply(self, histogram: &FloatHistogram) -> f64 {
        match self {
            Self::Count => histogram.count,
            Self::Sum => histogram.sum,
            Self::Avg => histogram.mean(),
            Self::Stddev => histogram.variance().sqrt(),
            Self::Stdvar => histogram.variance(),
        }
    }

    pub fn evaluate(self, input: &VectorIn<'_>, out: &mut VectorOut<'_>) {
        map_histograms(input, out, |_, histogram| self.apply(histogram));
    }
}

/// `histogram_quantile` of the histograms of a row. Whether `q` is valid is checked once a query, see
/// [`super::buckets::check_quantiles`].
pub fn quantile(q: &Param<'_>, input: &VectorIn<'_>, notes: &Notes<'_>, out: &mut VectorOut<'_>) {
    map_histograms(input, out, |k, histogram| quantile_of(q.at(k), histogram, notes));
}

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

/// `histogram_fraction` of the histograms of a row.
pub fn fraction(
    lower: &Param<'_>,
    upper: &Param<'_>,
    input: &VectorIn<'_>,
    notes: &Notes<'_>,
    out: &mut VectorOut<'_>,
) {
    map_histograms(input, out, |k, histogram| fraction_of(lower.at(k), upper.at(k), histogram, notes));
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

fn map_histograms(input: &VectorIn<'_>, out: &mut VectorOut<'_>, mut f: impl FnMut(usize, &FloatHistogram) -> f64) {
    out.clear();
    for k in 0..out.values.len().min(input.histograms.len()) {
        if let Some(histogram) = input.histogram(k) {
            out.set(k, f(k, histogram));
        }
    }
}
