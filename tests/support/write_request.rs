//! Remote Write 1.0 requests for tests, encoded by hand so that nothing of the receiver is used to test it.

/// One series with its labels and `(timestamp_ms, value)` samples. Labels must be sorted by name.
pub struct Series<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    pub samples: &'a [(i64, f64)],
}

/// `prometheus.WriteRequest`, compressed with snappy's block format.
pub fn encode(series: &[Series<'_>]) -> Vec<u8> {
    let samples =
        |one: &Series<'_>| one.samples.iter().map(|(timestamp, value)| sample(*timestamp, *value)).collect();
    compress(series.iter().map(|one| timeseries(one.labels, 2, samples(one))))
}

/// `prometheus.TimeSeries` with messages of one kind: samples are field 2, histograms field 4.
pub fn timeseries(labels: &[(&str, &str)], field: u8, messages: Vec<Vec<u8>>) -> Vec<u8> {
    let mut timeseries = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut timeseries, 1, &label);
    }
    messages.iter().for_each(|message| put_bytes(&mut timeseries, field, message));
    timeseries
}

pub fn compress(timeseries: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut request = Vec::new();
    timeseries.for_each(|one| put_bytes(&mut request, 1, &one));
    snap::raw::Encoder::new().compress_vec(&request).expect("a small request is compressible")
}

fn sample(timestamp: i64, value: f64) -> Vec<u8> {
    let mut sample = Vec::new();
    put_double(&mut sample, 1, value);
    put_number(&mut sample, 2, timestamp as u64);
    sample
}

pub fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_number(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    put_varint(out, number);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
