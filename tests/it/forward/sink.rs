//! A remote write receiver of the tests' own: answers as it is told, and keeps what it was sent. Requests are read by a
//! reader of the wire format of its own, and what the specifications forbid fails the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub delay: Duration,
    /// What was sent counts as stored.
    pub stores: bool,
}

/// Everything was written.
pub fn stored() -> Answer {
    Answer { status: 204, headers: vec![], delay: Duration::ZERO, stores: true }
}

pub fn refused(status: u16) -> Answer {
    Answer { status, stores: false, ..stored() }
}

/// A sample as it was sent: value and start timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Got {
    pub value: f64,
    pub start: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub headers: BTreeMap<String, String>,
    /// Samples by series text and timestamp.
    pub samples: Vec<(String, i64, Got)>,
    pub exemplars: usize,
    pub histograms: usize,
    /// Help texts by metric name.
    pub metadata: BTreeMap<String, String>,
}

type Script = Box<dyn FnMut(usize, &Seen) -> Answer + Send>;

struct State {
    script: Script,
    requests: Vec<Seen>,
    /// What was answered with success.
    stored: BTreeMap<(String, i64), Got>,
    /// How often a stored sample was stored again.
    again: usize,
    faults: Vec<String>,
}

#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Sink {
    /// `script` gets the number of the request and what is in it.
    pub async fn start(script: impl FnMut(usize, &Seen) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state =
            State { script: Box::new(script), requests: vec![], stored: BTreeMap::new(), again: 0, faults: vec![] };
        let sink = Self { address, state: Arc::new(Mutex::new(state)) };
        let served = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream));
            }
        });
        sink
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// From now on.
    pub fn answers(&self, script: impl FnMut(usize, &Seen) -> Answer + Send + 'static) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state.lock().unwrap().requests.clone()
    }

    /// What was stored; fails on what no sender may send.
    pub fn stored(&self) -> BTreeMap<(String, i64), Got> {
        let state = self.state.lock().unwrap();
        assert!(state.faults.is_empty(), "{:?}", state.faults);
        state.stored.clone()
    }

    /// Samples that were stored more than once.
    pub fn again(&self) -> usize {
        self.state.lock().unwrap().again
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some((headers, body)) = read_request(&mut stream, &mut buffer).await {
            let (text, delay) = {
                let mut state = self.state.lock().unwrap();
                let mut faults = vec![];
                let seen = decode(headers, &body, &mut faults);
                state.faults.extend(faults);
                let number = state.requests.len();
                let answer = (state.script)(number, &seen);
                if answer.stores {
                    state.store(&seen);
                }
                let text = answer.text(&seen);
                state.requests.push(seen);
                (text, answer.delay)
            };
            tokio::time::sleep(delay).await;
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl State {
    fn store(&mut self, seen: &Seen) {
        for (series, timestamp, got) in &seen.samples {
            match self.stored.insert((series.clone(), *timestamp), *got) {
                None => {}
                Some(before) if before.value.to_bits() == got.value.to_bits() => self.again += 1,
                Some(before) => self.faults.push(format!("{series} @{timestamp}: {before:?}, and then {got:?}")),
            }
        }
    }
}

impl Answer {
    fn text(&self, seen: &Seen) -> String {
        let mut text = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.stores && seen.headers["x-prometheus-remote-write-version"] == "2.0.0" {
            let counts =
                [("Samples", seen.samples.len()), ("Histograms", seen.histograms), ("Exemplars", seen.exemplars)];
            for (kind, count) in counts {
                text.push_str(&format!("X-Prometheus-Remote-Write-{kind}-Written: {count}\r\n"));
            }
        }
        if self.status == 204 {
            return format!("{text}\r\n");
        }
        let body = format!("status {} for you", self.status);
        format!("{text}Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut headers = BTreeMap::new();
            for line in head.lines().skip(1) {
                let (name, value) = line.split_once(':')?;
                headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
            }
            let length: usize = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((headers, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut out = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        match tag & 7 {
            0 => out.push((tag >> 3, Field::Varint(varint(&mut bytes)))),
            1 => {
                let (eight, rest) = bytes.split_first_chunk::<8>().expect("eight bytes");
                bytes = rest;
                out.push((tag >> 3, Field::Double(f64::from_le_bytes(*eight))));
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (body, rest) = bytes.split_at(length);
                bytes = rest;
                out.push((tag >> 3, Field::Bytes(body)));
            }
            other => panic!("wire type {other}"),
        }
    }
    out
}

fn decode(headers: BTreeMap<String, String>, body: &[u8], faults: &mut Vec<String>) -> Seen {
    let message = snap::raw::Decoder::new().decompress_vec(body).expect("a snappy block");
    let mut seen = Seen::default();
    let (mut symbols, mut series) = (vec![], vec![]);
    let is_v2 = headers["x-prometheus-remote-write-version"] == "2.0.0";
    let expected = if is_v2 {
        "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    } else {
        "application/x-protobuf"
    };
    if headers["content-type"] != expected || headers["content-encoding"] != "snappy" {
        faults.push(format!("{headers:?}"));
    }
    if !headers.get("user-agent").is_some_and(|agent| agent.starts_with("promlake/")) {
        faults.push("no user agent".to_string());
    }
    for (number, field) in fields(&message) {
        match (is_v2, number, field) {
            (true, 4, Field::Bytes(text)) => symbols.push(String::from_utf8(text.to_vec()).expect("UTF-8")),
            (true, 5, Field::Bytes(one)) | (false, 1, Field::Bytes(one)) => series.push(one),
            (false, 3, Field::Bytes(metadata)) => {
                let (mut name, mut help) = (String::new(), String::new());
                for (number, field) in fields(metadata) {
                    match (number, field) {
                        (2, Field::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
                        (4, Field::Bytes(text)) => help = String::from_utf8_lossy(text).into_owned(),
                        _ => {}
                    }
                }
                seen.metadata.insert(name, help);
            }
            (_, number, _) => faults.push(format!("field {number} of the request")),
        }
    }
    if is_v2 && symbols.first().is_none_or(|first| !first.is_empty()) {
        faults.push("the first symbol is not empty".to_string());
    }
    for one in series {
        take_series(one, is_v2, &symbols, &mut seen, faults);
    }
    seen.headers = headers;
    seen
}

fn take_series(series: &[u8], is_v2: bool, symbols: &[String], seen: &mut Seen, faults: &mut Vec<String>) {
    let mut labels: Vec<(String, String)> = vec![];
    let (mut samples, mut histograms) = (vec![], 0);
    let mut help = None;
    for (number, field) in fields(series) {
        let Field::Bytes(mut bytes) = field else { panic!("a number in a series") };
        match (is_v2, number) {
            (true, 1) => {
                let mut refs = vec![];
                while !bytes.is_empty() {
                    refs.push(symbols[varint(&mut bytes) as usize].clone());
                }
                labels.extend(refs.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())));
            }
            (false, 1) => {
                let texts: Vec<String> = fields(bytes)
                    .into_iter()
                    .map(|(_, field)| match field {
                        Field::Bytes(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
                        _ => panic!("a label is a text"),
                    })
                    .collect();
                labels.push((texts[0].clone(), texts[1].clone()));
            }
            (_, 2) => {
                let (mut timestamp, mut got) = (0, Got { value: 0.0, start: 0 });
                for (number, field) in fields(bytes) {
                    match (number, field) {
                        (1, Field::Double(value)) => got.value = value,
                        (2, Field::Varint(ms)) => timestamp = ms.cast_signed(),
                        (3, Field::Varint(ms)) if is_v2 => got.start = ms.cast_signed(),
                        (number, _) => panic!("field {number} of a sample"),
                    }
                }
                samples.push((timestamp, got));
            }
            (true, 3) | (false, 4) => histograms += 1,
            (true, 4) | (false, 3) => seen.exemplars += 1,
            (true, 5) => {
                for (number, field) in fields(bytes) {
                    if let (3, Field::Varint(at)) = (number, field) {
                        help = Some(symbols[at as usize].clone());
                    }
                }
            }
            (_, number) => panic!("field {number} of a series"),
        }
    }
    if !labels.is_sorted() || labels.iter().any(|(name, value)| name.is_empty() || value.is_empty()) {
        faults.push(format!("labels {labels:?}"));
    }
    if is_v2 && (samples.is_empty() == (histograms == 0)) {
        faults.push(format!("{} samples and {histograms} histograms of {labels:?}", samples.len()));
    }
    if !samples.is_sorted_by(|a, b| a.0 < b.0) {
        faults.push(format!("samples of {labels:?} are not in order: {samples:?}"));
    }
    let name = labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value).to_string();
    let rest: Vec<String> =
        labels.iter().filter(|(n, _)| n != "__name__").map(|(n, v)| format!("{n}={v}")).collect();
    let text = format!("{name}{{{}}}", rest.join(","));
    seen.histograms += histograms;
    seen.metadata.extend(help.map(|help| (name, help)));
    seen.samples.extend(samples.into_iter().map(|(timestamp, got)| (text.clone(), timestamp, got)));
}
