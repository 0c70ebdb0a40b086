//! `io.prometheus.write.v2.Request`: texts stand once in a table, and series name their places in it.

use hashbrown::HashMap;

use crate::forward::encode::{histogram, pairs, runs, wire};
use crate::forward::item::{Item, Sample};
use crate::model::labels::Labels;

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
        wire::nested(series, TIMESERIES, |out| time_series(run, external, &mut symbols, out));
    }
    wire::bytes(out, SYMBOLS, b"");
    symbols.texts.iter().for_each(|text| wire::bytes(out, SYMBOLS, text));
    out.extend_from_slice(series);
}

fn time_series<'a>(
    run: impl Iterator<Item = &'a Item> + Clone,
    external: &'a Labels,
    symbols: &mut Symbols<'a>,
    out: &mut Vec<u8>,
) {
    let first = run.clone().next().expect("no run is empty");
    wire::nested(out, 1, |out| {
        for (name, value) in pairs(first, external) {
            wire::varint(out, u64::from(symbols.place(name)));
            wire::varint(out, u64::from(symbols.place(value)));
        }
    });
    for item in run.clone() {
        match &item.sample {
            Sample::Float(value) => wire::nested(out, 2, |out| {
                wire::double(out, 1, *value);
                wire::int(out, 2, item.timestamp);
                wire::int(out, 3, item.start_timestamp);
            }),
            Sample::Histogram(histogram) => wire::nested(out, 3, |out| {
                histogram::encode(out, histogram, item.timestamp);
                wire::int(out, 17, item.start_timestamp);
            }),
            Sample::None => {}
        }
    }
    for exemplar in run.flat_map(|item| &item.exemplars) {
        wire::nested(out, 4, |out| {
            wire::nested(out, 1, |out| {
                for (name, value) in exemplar.labels.iter_bytes() {
                    wire::varint(out, u64::from(symbols.place(name)));
                    wire::varint(out, u64::from(symbols.place(value)));
                }
            });
            wire::double(out, 2, exemplar.value);
            wire::int(out, 3, exemplar.timestamp);
        });
    }
    if let Some(metadata) = &first.series.metadata {
        wire::nested(out, 5, |out| {
            wire::int(out, 1, metadata.kind as i64);
            wire::int(out, 3, i64::from(symbols.place(metadata.help.as_bytes())));
            wire::int(out, 4, i64::from(symbols.place(metadata.unit.as_bytes())));
        });
    }
}
