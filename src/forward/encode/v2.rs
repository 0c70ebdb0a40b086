//! `io.prometheus.write.v2.Request`: texts stand once in a table, and series name their places in it.

use hashbrown::HashMap;

use crate::forward::encode::{histogram, pairs, runs};
use crate::forward::item::{Item, Sample};
use crate::model::labels::Labels;
use crate::model::protobuf;

/// Of `Request`.
const SYMBOLS: u32 = 4;
const TIMESERIES: u32 = 5;

/// Numbers of texts; the empty one is 0.
#[derive(Default)]
struct Symbols<'a> {
    places: HashMap<&'a [u8], u32>,
    texts: Vec<&'a [u8]>,
}

impl<'a> Symbols<'a> {
    fn place(&mut self, text: &'a [u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u32
        })
    }
}

/// `series` is scratch memory: the table goes first, and is known last.
pub fn encode<'a>(
    items: &'a [Item],
    order: &'a [u32],
    external: &'a Labels,
    series: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    let mut symbols = Symbols::default();
    // A message has samples or histograms, not both.
    for run in runs(items, order, |a, b| a.series.id == b.series.id && a.is_histogram() == b.is_histogram()) {
        protobuf::nested(series, TIMESERIES, |out| time_series(run, external, &mut symbols, out));
    }
    protobuf::bytes(out, SYMBOLS, b"");
    symbols.texts.iter().for_each(|text| protobuf::bytes(out, SYMBOLS, text));
    out.extend_from_slice(series);
}

fn time_series<'a>(
    run: impl Iterator<Item = &'a Item> + Clone,
    external: &'a Labels,
    symbols: &mut Symbols<'a>,
    out: &mut Vec<u8>,
) {
    let first = run.clone().next().expect("no run is empty");
    protobuf::nested(out, 1, |out| {
        for (name, value) in pairs(first, external) {
            protobuf::varint(out, u64::from(symbols.place(name)));
            protobuf::varint(out, u64::from(symbols.place(value)));
        }
    });
    for item in run.clone() {
        match &item.sample {
            Sample::Float(value) => protobuf::nested(out, 2, |out| {
                protobuf::double(out, 1, *value);
                protobuf::int(out, 2, item.timestamp);
                protobuf::int(out, 3, item.start_timestamp);
            }),
            Sample::Histogram(histogram) => protobuf::nested(out, 3, |out| {
                histogram::encode(out, histogram, item.timestamp);
                protobuf::int(out, 17, item.start_timestamp);
            }),
            Sample::None => {}
        }
    }
    for exemplar in run.flat_map(|item| &item.exemplars) {
        protobuf::nested(out, 4, |out| {
            protobuf::nested(out, 1, |out| {
                for (name, value) in exemplar.labels.iter_bytes() {
                    protobuf::varint(out, u64::from(symbols.place(name)));
                    protobuf::varint(out, u64::from(symbols.place(value)));
                }
            });
            protobuf::double(out, 2, exemplar.value);
            protobuf::int(out, 3, exemplar.timestamp);
        });
    }
    if let Some(metadata) = &first.series.metadata {
        protobuf::nested(out, 5, |out| {
            protobuf::int(out, 1, metadata.kind as i64);
            protobuf::int(out, 3, i64::from(symbols.place(metadata.help.as_bytes())));
            protobuf::int(out, 4, i64::from(symbols.place(metadata.unit.as_bytes())));
        });
    }
}
