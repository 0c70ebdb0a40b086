//! `prometheus.WriteRequest`: a message for each series with all its labels.

use crate::forward::encode::{histogram, pairs, runs};
use crate::forward::item::{Exemplar, Item, Sample};
use crate::model::labels::Labels;
use crate::model::metadata::Metadata;
use crate::model::protobuf;

/// Of `WriteRequest`.
const TIMESERIES: u32 = 1;
const METADATA: u32 = 3;

pub fn encode(items: &[Item], order: &[u32], external: &Labels, out: &mut Vec<u8>) {
    for run in runs(items, order, |a, b| a.series.id == b.series.id) {
        protobuf::nested(out, TIMESERIES, |out| series(run, external, out));
    }
}

fn series<'a>(run: impl Iterator<Item = &'a Item> + Clone, external: &Labels, out: &mut Vec<u8>) {
    let first = run.clone().next().expect("no run is empty");
    pairs(first, external).for_each(|(name, value)| label(out, name, value));
    // In the order of the fields, as other writers have it.
    for item in run.clone() {
        if let Sample::Float(value) = item.sample {
            protobuf::nested(out, 2, |out| {
                protobuf::double(out, 1, value);
                protobuf::int(out, 2, item.timestamp);
            });
        }
    }
    for one in run.clone().flat_map(|item| &item.exemplars) {
        protobuf::nested(out, 3, |out| exemplar(one, out));
    }
    for item in run {
        if let Sample::Histogram(histogram) = &item.sample {
            protobuf::nested(out, 4, |out| histogram::encode(out, histogram, item.timestamp));
        }
    }
}

#[inline]
fn label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    protobuf::nested(out, 1, |out| {
        protobuf::bytes(out, 1, name);
        protobuf::bytes(out, 2, value);
    });
}

fn exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    exemplar.labels.iter_bytes().for_each(|(name, value)| label(out, name, value));
    protobuf::double(out, 2, exemplar.value);
    protobuf::int(out, 3, exemplar.timestamp);
}

pub fn encode_metadata(families: &[(String, Metadata)], out: &mut Vec<u8>) {
    for (family, metadata) in families {
        protobuf::nested(out, METADATA, |out| {
            protobuf::int(out, 1, metadata.kind as i64);
            protobuf::text(out, 2, family);
            protobuf::text(out, 4, &metadata.help);
            protobuf::text(out, 5, &metadata.unit);
        });
    }
}
