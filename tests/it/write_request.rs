//! Remote Write 1.0 requests for tests, encoded by hand so that nothing of the receiver is used to test it.

/// One series with its labels and `(timestamp_ms, value)` samples.
pub struct Series<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    pub samples: &'a [(i64, f64)],
}

/// `prometheus.WriteRequest`, compressed with snappy's block format. Labels must be sorted by name.
pub fn encode(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let mut timeseries = Vec::new();
        for (name, value) in one.labels {
            let mut label = Vec::new();
            put_bytes(&mut label, 1, name.as_bytes());
            put_bytes(&mut label, 2, value.as_bytes());
            put_bytes(&mut timeseries, 1, &label);
        }
        for (timestamp, value) in one.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            put_varint(&mut sample, *timestamp as u64);
            put_bytes(&mut timeseries, 2, &sample);
        }
        put_bytes(&mut request, 1, &timeseries);
    }
    snap::raw::Encoder::new().compress_vec(&request).expect("a small request is compressible")
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
