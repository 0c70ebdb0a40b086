//! A stream of bits, and the ways in which chunks write numbers into it (`tsdb/docs/bstream.md`, `varbit.go`).

/// Bits from the highest of the first byte on.
#[derive(Debug, Default)]
pub struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

/// Ranges of numbers by the bits they take; the prefix of the n-th is n ones and a zero.
const RANGES: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

impl Bits {
    /// Behind a header of whole bytes.
    pub fn after(header: Vec<u8>) -> Self {
        Self { bytes: header, free: 0 }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn header(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn bit(&mut self, bit: bool) {
        self.write(u64::from(bit), 1);
    }

    /// The lowest `count` bits of a value, highest first.
    pub fn write(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part as u8) << (self.free - taken);
            }
            self.free -= taken;
            left -= taken;
        }
    }

    /// `binary.PutUvarint`, wherever a byte begins.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    pub fn varint(&mut self, value: i64) {
        self.uvarint((value << 1 ^ value >> 63).cast_unsigned());
    }

    pub fn varbit_int(&mut self, value: i64) {
        self.varbit(value == 0, value.cast_unsigned(), |bits| fits(value, bits));
    }

    pub fn varbit_uint(&mut self, value: u64) {
        self.varbit(value == 0, value, |bits| value >> bits == 0);
    }

    fn varbit(&mut self, zero: bool, value: u64, fits: impl Fn(u32) -> bool) {
        if zero {
            return self.bit(false);
        }
        match RANGES.iter().position(|bits| fits(*bits)) {
            Some(range) => {
                let ones = range as u32 + 1;
                self.write(((1 << ones) - 1) << 1, ones + 1);
                self.write(value, RANGES[range]);
            }
            None => {
                self.write(0xff, 8);
                self.write(value, 64);
            }
        }
    }
}

/// Whether a number is one of the 2^`bits` around 0, of which one more is positive.
pub fn fits(value: i64, bits: u32) -> bool {
    let half = 1i64 << (bits - 1);
    -(half - 1) <= value && value <= half
}

/// A float written as what of its bits differs from the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Xor {
    value: u64,
    /// The window of bits that was written last; `None` before the first.
    window: Option<(u32, u32)>,
}

/// What leading zeros are counted up to, as their number has five bits.
const MAX_LEADING: u32 = 31;

impl Xor {
    /// The first value, which stands in the stream as it is.
    pub fn first(value: f64) -> Self {
        Self { value: value.to_bits(), window: None }
    }

    pub fn write(&mut self, bits: &mut Bits, value: f64) {
        let delta = value.to_bits() ^ self.value;
        self.value = value.to_bits();
        if delta == 0 {
            return bits.bit(false);
        }
        bits.bit(true);
        let (leading, trailing) = (delta.leading_zeros().min(MAX_LEADING), delta.trailing_zeros());
        if let Some((first, last)) = self.window
            && leading >= first
            && trailing >= last
        {
            bits.bit(false);
            bits.write(delta >> last, 64 - first - last);
            return;
        }
        self.window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        bits.bit(true);
        bits.write(leading.into(), 5);
        // All 64 are written as 0.
        bits.write(u64::from(significant & 63), 6);
        bits.write(delta >> trailing, significant);
    }
}
