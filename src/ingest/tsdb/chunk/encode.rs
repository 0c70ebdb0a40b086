//! Chunks for tests, encoded after the same description that the decoders follow: `tsdb/docs/format/chunks.md`.

use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use crate::model::sample::is_stale;

/// Bits, most significant first.
#[derive(Default)]
pub struct BitWriter {
    pub bytes: Vec<u8>,
    free: u32,
}

impl BitWriter {
    pub fn put(&mut self, value: u64, bits: u32) {
        for bit in (0..bits).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << self.free;
        }
    }

    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    pub fn varint(&mut self, value: i64) {
        self.uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn varbit(&mut self, value: i64) {
        if value == 0 {
            return self.put(0, 1);
        }
        for (ones, width) in [(1, 3), (2, 6), (3, 9), (4, 12), (5, 18), (6, 25), (7, 56)] {
            if -((1i64 << (width - 1)) - 1) <= value && value <= 1 << (width - 1) {
                self.put((1 << (ones + 1)) - 2, ones + 1);
                return self.put(value as u64, width);
            }
        }
        self.put(0xff, 8);
        self.put(value as u64, 64);
    }

    pub fn varbit_unsigned(&mut self, value: u64) {
        if value == 0 {
            return self.put(0, 1);
        }
        for (ones, width) in [(1, 3), (2, 6), (3, 9), (4, 12), (5, 18), (6, 25), (7, 56)] {
            if value < 1 << width {
                self.put((1 << (ones + 1)) - 2, ones + 1);
                return self.put(value, width);
            }
        }
        self.put(0xff, 8);
        self.put(value, 64);
    }
}

/// The window of the bits in which two values differ.
#[derive(Clone, Copy)]
pub struct Window {
    last: u64,
    leading: u32,
    trailing: u32,
    fresh: bool,
}

impl Window {
    pub fn new(first: f64) -> Self {
        Self { last: first.to_bits(), leading: 0, trailing: 0, fresh: true }
    }

    fn differs(&mut self, value: f64) -> u64 {
        let delta = value.to_bits() ^ self.last;
        self.last = value.to_bits();
        delta
    }

    /// `reuse` and `renew` are the prefixes of the two cases.
    fn put_delta(&mut self, delta: u64, bits: &mut BitWriter, reuse: (u64, u32), renew: (u64, u32)) {
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if !self.fresh && leading >= self.leading && trailing >= self.trailing {
            bits.put(reuse.0, reuse.1);
            return bits.put(delta >> self.trailing, 64 - self.leading - self.trailing);
        }
        (self.leading, self.trailing, self.fresh) = (leading, trailing, false);
        let significant = 64 - leading - trailing;
        bits.put(renew.0, renew.1);
        bits.put(u64::from(leading), 5);
        bits.put(u64::from(significant), 6);
        bits.put(delta >> trailing, significant);
    }

    pub fn put(&mut self, value: f64, bits: &mut BitWriter) {
        match self.differs(value) {
            0 => bits.put(0, 1),
            delta => self.put_delta(delta, bits, (0b10, 2), (0b11, 2)),
        }
    }
}

pub fn xor(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put(samples.len() as u64, 16);
    let (mut timestamp, mut delta) = (0i64, 0i64);
    let mut window = Window::new(samples.first().map_or(0.0, |first| first.1));
    for (at, (t, value)) in samples.iter().enumerate() {
        match at {
            0 => {
                bits.varint(*t);
                bits.put(value.to_bits(), 64);
            }
            1 => {
                delta = t - timestamp;
                bits.uvarint(delta as u64);
                window.put(*value, &mut bits);
            }
            _ => {
                let dod = (t - timestamp).wrapping_sub(delta);
                delta = t - timestamp;
                let fits = |width: u32| -((1i64 << (width - 1)) - 1) <= dod && dod <= 1 << (width - 1);
                match dod {
                    0 => bits.put(0, 1),
                    _ if fits(14) => (bits.put(0b10, 2), bits.put(dod as u64, 14)).1,
                    _ if fits(17) => (bits.put(0b110, 3), bits.put(dod as u64, 17)).1,
                    _ if fits(20) => (bits.put(0b1110, 4), bits.put(dod as u64, 20)).1,
                    _ => (bits.put(0b1111, 4), bits.put(dod as u64, 64)).1,
                }
                window.put(*value, &mut bits);
            }
        }
        timestamp = *t;
    }
    bits.bytes
}

/// Samples with start timestamps, 0 for none.
pub fn xor2(samples: &[(i64, f64, i64)]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put(samples.len() as u64, 16);
    bits.put(0, 8);
    let mut starts = Starts::default();
    let (mut timestamp, mut delta) = (0i64, 0i64);
    let mut window = Window::new(0.0);
    for (at, (t, value, start)) in samples.iter().enumerate() {
        let before = timestamp;
        match at {
            0 => {
                bits.varint(*t);
                bits.put(value.to_bits(), 64);
                if !is_stale(*value) {
                    window.last = value.to_bits();
                }
            }
            1 => {
                delta = t - timestamp;
                bits.uvarint(delta as u64);
                xor2_value(&mut window, *value, &mut bits);
            }
            _ => {
                let dod = (t - timestamp).wrapping_sub(delta);
                delta = t - timestamp;
                if dod == 0 && is_stale(*value) {
                    bits.put(0b11111, 5);
                } else if dod == 0 && value.to_bits() == window.last {
                    bits.put(0, 1);
                } else if dod == 0 {
                    bits.put(0b10, 2);
                    let changed = window.differs(*value);
                    window.put_delta(changed, &mut bits, (0, 1), (1, 1));
                } else {
                    match dod {
                        -4096..=4095 => (bits.put(0b110, 3), bits.put(dod as u64, 13)).1,
                        -524_288..=524_287 => (bits.put(0b1110, 4), bits.put(dod as u64, 20)).1,
                        _ => (bits.put(0b11110, 5), bits.put(dod as u64, 64)).1,
                    }
                    xor2_value(&mut window, *value, &mut bits);
                }
            }
        }
        timestamp = *t;
        starts.put(at, *t, before, *start, &mut bits);
    }
    bits.bytes[2] = starts.header;
    bits.bytes
}

fn xor2_value(window: &mut Window, value: f64, bits: &mut BitWriter) {
    if is_stale(value) {
        return bits.put(0b111, 3);
    }
    match window.differs(value) {
        0 => bits.put(0, 1),
        delta => window.put_delta(delta, bits, (0b10, 2), (0b110, 3)),
    }
}

/// Start timestamps of a chunk.
#[derive(Default)]
pub struct Starts {
    pub header: u8,
    last: i64,
    distance: i64,
}

impl Starts {
    pub fn put(&mut self, at: usize, timestamp: i64, before: i64, start: i64, bits: &mut BitWriter) {
        let each_from = usize::from(self.header & 0x7f);
        if at == 0 {
            if start != 0 {
                bits.varint(timestamp - start);
                self.header = 0x80;
            }
        } else if each_from > 0 {
            bits.varbit(before - start - self.distance);
            self.distance = before - start;
        } else if start != self.last || at == 0x7f {
            self.header |= at as u8;
            bits.varbit(before - start);
            self.distance = before - start;
        }
        self.last = start;
    }
}

/// Histograms of one layout as integers, with start timestamps where `starts` has them. `resets` is the header.
pub fn histograms(samples: &[(i64, FloatHistogram)], resets: u8, starts: Option<&[i64]>) -> Vec<u8> {
    let mut bits = header(samples.len(), resets, starts.is_some());
    layout(&samples[0].1, &mut bits);
    let mut tracker = Starts::default();
    let (mut t, mut t_delta) = (0i64, 0i64);
    let mut moving: Vec<(i64, i64)> = Vec::new();
    let mut sum = Window::new(samples[0].1.sum);
    for (at, (timestamp, h)) in samples.iter().enumerate() {
        let before = t;
        let mut numbers = vec![h.count as i64, h.zero_count as i64];
        numbers.extend(differences(&h.positive_buckets).chain(differences(&h.negative_buckets)));
        if at == 0 {
            bits.varbit(*timestamp);
            bits.varbit_unsigned(h.count as u64);
            bits.varbit_unsigned(h.zero_count as u64);
            bits.put(h.sum.to_bits(), 64);
            numbers[2..].iter().for_each(|number| bits.varbit(*number));
            moving = numbers.iter().map(|number| (*number, 0)).collect();
        } else {
            let delta = timestamp - t;
            bits.varbit(delta - t_delta);
            t_delta = delta;
            let stale = is_stale(h.sum);
            for (number, (last, delta)) in numbers.iter().zip(&mut moving).take(2) {
                bits.varbit(number - *last - *delta);
                (*delta, *last) = (number - *last, *number);
            }
            sum.put(h.sum, &mut bits);
            for (number, (last, delta)) in numbers.iter().zip(&mut moving).skip(2).filter(|_| !stale) {
                bits.varbit(number - *last - *delta);
                (*delta, *last) = (number - *last, *number);
            }
        }
        t = *timestamp;
        if let Some(starts) = starts {
            tracker.put(at, t, before, starts[at], &mut bits);
        }
    }
    finish(bits, tracker, starts.is_some())
}

/// The same as floats.
pub fn float_histograms(samples: &[(i64, FloatHistogram)], resets: u8, starts: Option<&[i64]>) -> Vec<u8> {
    let mut bits = header(samples.len(), resets, starts.is_some());
    layout(&samples[0].1, &mut bits);
    let mut tracker = Starts::default();
    let (mut t, mut t_delta) = (0i64, 0i64);
    let mut windows: Vec<Window> = Vec::new();
    for (at, (timestamp, h)) in samples.iter().enumerate() {
        let before = t;
        let mut numbers = vec![h.count, h.zero_count, h.sum];
        numbers.extend(h.positive_buckets.iter().chain(&h.negative_buckets));
        if at == 0 {
            bits.varbit(*timestamp);
            numbers.iter().for_each(|number| bits.put(number.to_bits(), 64));
            windows = numbers.iter().map(|number| Window::new(*number)).collect();
        } else {
            let delta = timestamp - t;
            bits.varbit(delta - t_delta);
            t_delta = delta;
            let count = if is_stale(h.sum) { 3 } else { numbers.len() };
            numbers
                .iter()
                .zip(&mut windows)
                .take(count)
                .for_each(|(number, window)| window.put(*number, &mut bits));
        }
        t = *timestamp;
        if let Some(starts) = starts {
            tracker.put(at, t, before, starts[at], &mut bits);
        }
    }
    finish(bits, tracker, starts.is_some())
}

fn header(count: usize, resets: u8, with_starts: bool) -> BitWriter {
    let mut bits = BitWriter::default();
    match with_starts {
        true => bits.put(u64::from(resets) << 22 | (count as u64) << 8, 24),
        false => bits.put((count as u64) << 8 | u64::from(resets) << 6, 24),
    }
    bits
}

fn finish(mut bits: BitWriter, starts: Starts, with_starts: bool) -> Vec<u8> {
    if with_starts {
        bits.bytes[2] = starts.header;
    }
    bits.bytes
}

fn differences(counts: &[f64]) -> impl Iterator<Item = i64> + '_ {
    let before = std::iter::once(0.0).chain(counts.iter().copied());
    counts.iter().zip(before).map(|(count, before)| *count as i64 - before as i64)
}

fn layout(h: &FloatHistogram, bits: &mut BitWriter) {
    let power = h.zero_threshold.log2();
    match h.zero_threshold {
        0.0 => bits.put(0, 8),
        _ if power.fract() == 0.0 && (-243.0..=10.0).contains(&power) => bits.put((power + 244.0) as u64, 8),
        other => {
            bits.put(255, 8);
            bits.put(other.to_bits(), 64);
        }
    }
    bits.varbit(i64::from(h.schema));
    for spans in [&h.positive_spans, &h.negative_spans] {
        bits.varbit_unsigned(spans.len() as u64);
        for Span { offset, length } in spans {
            bits.varbit_unsigned(u64::from(*length));
            bits.varbit(i64::from(*offset));
        }
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        bits.varbit_unsigned(h.custom_values.len() as u64);
        for bound in &h.custom_values {
            let thousandths = (bound * 1000.0).round();
            if thousandths / 1000.0 == *bound && (0.0..=33_554_430.0).contains(&thousandths) {
                bits.varbit_unsigned(thousandths as u64 + 1);
            } else {
                bits.put(0, 1);
                bits.put(bound.to_bits(), 64);
            }
        }
    }
}
