//! Messages of both versions, made by hand so that nothing of the receiver is used to test it.

use crate::write_request::{put_bytes, put_double, put_number};

/// Names and values of labels.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// `application/x-protobuf` with the message of 2.0.
pub const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

pub fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("a small message is compressible")
}

/// A request of 1.0 with one sample for each series.
pub fn request(series: &[(Pairs<'_>, i64, f64)]) -> Vec<u8> {
    let message: Vec<u8> = series.iter().flat_map(|(labels, t, v)| labelled(labels, &[(*t, *v)])).collect();
    snappy(&message)
}

/// One series of 1.0, as a field of the request.
pub fn labelled(labels: Pairs<'_>, samples: &[(i64, f64)]) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut series, 1, &label);
    }
    for (timestamp, value) in samples {
        put_bytes(&mut series, 2, &sample(*timestamp, *value, 0));
    }
    let mut field = Vec::new();
    put_bytes(&mut field, 1, &series);
    field
}

pub fn sample(timestamp: i64, value: f64, start_timestamp: i64) -> Vec<u8> {
    let mut sample = Vec::new();
    put_double(&mut sample, 1, value);
    put_number(&mut sample, 2, timestamp as u64);
    if start_timestamp != 0 {
        put_number(&mut sample, 3, start_timestamp as u64);
    }
    sample
}

/// An integer histogram: one bucket for each count, `count` is told apart.
pub struct Histogram {
    pub timestamp: i64,
    pub schema: i64,
    pub count: u64,
    pub zero: u64,
    pub sum: f64,
    /// Positive buckets, from the first on.
    pub positive: Vec<i64>,
    pub negative: Vec<i64>,
    /// The counts are doubles.
    pub float: bool,
    pub hint: u64,
    pub custom: Vec<f64>,
    pub start_timestamp: i64,
}

impl Histogram {
    /// Whose count is right.
    pub fn of(timestamp: i64, positive: &[i64]) -> Self {
        Self {
            timestamp,
            schema: 0,
            count: positive.iter().sum::<i64>() as u64,
            zero: 0,
            sum: 1.5,
            positive: positive.to_vec(),
            negative: Vec::new(),
            float: false,
            hint: 0,
            custom: Vec::new(),
            start_timestamp: 0,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.float {
            true => put_double(&mut out, 2, self.count as f64),
            false => put_number(&mut out, 1, self.count),
        }
        put_double(&mut out, 3, self.sum);
        put_number(&mut out, 4, zigzag(self.schema));
        match self.float {
            true => put_double(&mut out, 7, self.zero as f64),
            false => put_number(&mut out, 6, self.zero),
        }
        for (side, counts) in [(8, &self.negative), (11, &self.positive)] {
            if counts.is_empty() {
                continue;
            }
            let mut span = Vec::new();
            put_number(&mut span, 2, counts.len() as u64);
            put_bytes(&mut out, side, &span);
            let mut before = 0;
            for count in counts {
                match self.float {
                    true => put_double(&mut out, side + 2, *count as f64),
                    false => put_number(&mut out, side + 1, zigzag(count - before)),
                }
                before = *count;
            }
        }
        put_number(&mut out, 14, self.hint);
        put_number(&mut out, 15, self.timestamp as u64);
        for bound in &self.custom {
            put_wide(&mut out, 16, |out| out.extend(bound.to_le_bytes()), 1);
        }
        if self.start_timestamp != 0 {
            put_wide(&mut out, 17, |out| put_varint(out, self.start_timestamp as u64), 0);
        }
        out
    }
}

/// A field whose tag takes two bytes.
fn put_wide(out: &mut Vec<u8>, field: u64, value: impl FnOnce(&mut Vec<u8>), wire_type: u64) {
    put_varint(out, field << 3 | wire_type);
    value(out);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A request of 2.0 under construction.
#[derive(Clone)]
pub struct Symbolized {
    pub symbols: Vec<String>,
    series: Vec<u8>,
}

/// What one of its series has.
#[derive(Default)]
pub struct Parts<'a> {
    /// Time, value, start.
    pub samples: &'a [(i64, f64, i64)],
    pub histograms: Vec<Histogram>,
    /// Labels, value, time.
    pub exemplars: &'a [(Pairs<'a>, f64, i64)],
    /// Type, help, unit.
    pub metadata: Option<(u64, &'a str, &'a str)>,
}

impl Symbolized {
    pub fn new() -> Self {
        Self { symbols: vec![String::new()], series: Vec::new() }
    }

    /// With one sample for each series.
    pub fn of(series: &[(Pairs<'_>, i64, f64)]) -> Self {
        series.iter().fold(Self::new(), |request, (labels, timestamp, value)| {
            request.series(labels, Parts { samples: &[(*timestamp, *value, 0)], ..Parts::default() })
        })
    }

    pub fn symbol(&mut self, text: &str) -> u64 {
        let at = self.symbols.iter().position(|other| other == text).unwrap_or_else(|| {
            self.symbols.push(text.to_string());
            self.symbols.len() - 1
        });
        at as u64
    }

    fn refs(&mut self, labels: Pairs<'_>) -> Vec<u64> {
        labels.iter().flat_map(|(name, value)| [self.symbol(name), self.symbol(value)]).collect()
    }

    pub fn series(mut self, labels: Pairs<'_>, parts: Parts<'_>) -> Self {
        let refs = self.refs(labels);
        self.series_with_refs(&refs, parts)
    }

    pub fn series_with_refs(mut self, refs: &[u64], parts: Parts<'_>) -> Self {
        let mut series = packed(refs);
        for (timestamp, value, start) in parts.samples {
            put_bytes(&mut series, 2, &sample(*timestamp, *value, *start));
        }
        for histogram in &parts.histograms {
            put_bytes(&mut series, 3, &histogram.encode());
        }
        for (labels, value, timestamp) in parts.exemplars {
            let mut exemplar = packed(&self.refs(labels));
            put_double(&mut exemplar, 2, *value);
            put_number(&mut exemplar, 3, *timestamp as u64);
            put_bytes(&mut series, 4, &exemplar);
        }
        if let Some((kind, help, unit)) = parts.metadata {
            let mut metadata = Vec::new();
            put_number(&mut metadata, 1, kind);
            put_number(&mut metadata, 3, self.symbol(help));
            put_number(&mut metadata, 4, self.symbol(unit));
            put_bytes(&mut series, 5, &metadata);
        }
        put_bytes(&mut self.series, 5, &series);
        self
    }

    pub fn body(&self) -> Vec<u8> {
        let mut message = Vec::new();
        self.symbols.iter().for_each(|symbol| put_bytes(&mut message, 4, symbol.as_bytes()));
        message.extend_from_slice(&self.series);
        snappy(&message)
    }
}

fn packed(refs: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    refs.iter().for_each(|symbol| put_varint(&mut packed, *symbol));
    let mut field = Vec::new();
    if !refs.is_empty() {
        put_bytes(&mut field, 1, &packed);
    }
    field
}
