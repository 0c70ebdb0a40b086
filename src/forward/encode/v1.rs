//! `prometheus.WriteRequest`: a message for each series with all its labels.

use crate::forward::encode::{histogram, pairs, runs, wire};
use crate::forward::item::{Exemplar, Item, Sample};
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;

/// Of `WriteRequest`.
const TIMESERIES: u32 = 1;
const METADATA: u32 = 3;

pub fn encode(items: &[Item], order: &[u32], external: &Labels, out: &mut Vec<u8>) {
    for run in runs(items, order, |a, b| a.series.id == b.series.id) {
        wire::nested(out, TIMESERIES, |out| series(run, external, out));
    }
}

fn series<'a>(run: impl Iterator<Item = &'a Item> + Clone, external: &Labels, out: &mut Vec<u8>) {
    let first = run.clone().next().expect("no run is empty");
    pairs(first, external).for_each(|(name, value)| label(out, name, value));
    // In the order of the fields, as other writers have it.
    for item in run.clone() {
        if let Sample::Float(value) = item.sample {
            wire::nested(out, 2, |out| {
                wire::double(out, 1, value);
                wire::int(out, 2, item.timestamp);
            });
        }
    }
    for one in run.clone().flat_map(|item| &item.exemplars) {
        wire::nested(out, 3, |out| exemplar(one, out));
    }
    for item in run {
        if let Sample::Histogram(histogram) = &item.sample {
            wire::nested(out, 4, |out| histogram::encode(out, histogram, item.timestamp));
        }
    }
}

#[inline]
fn label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    wire::nested(out, 1, |out| {
        wire::bytes(out, 1, name);
        wire::bytes(out, 2, value);
    });
}

fn exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    exemplar.labels.iter_bytes().for_each(|(name, value)| label(out, name, value));
    wire::double(out, 2, exemplar.value);
    wire::int(out, 3, exemplar.timestamp);
}

pub fn encode_metadata(families: &[(String, Metadata)], out: &mut Vec<u8>) {
    for (family, metadata) in families {
        wire::nested(out, METADATA, |out| {
            wire::int(out, 1, metadata.kind as i64);
            wire::text(out, 2, family);
            wire::text(out, 4, &metadata.help);
            wire::text(out, 5, &metadata.unit);
        });
    }
}
