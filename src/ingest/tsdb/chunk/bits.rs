//! Bits from the front of a byte slice, most significant first. A word of 64 bits is kept filled, so that most reads
//! are a shift; `None` says that the bits are used up.

/// See the module.
pub struct Bits<'a> {
    data: &'a [u8],
    /// The first byte that is not wholly in `word`.
    at: usize,
    /// The next bits, from the top. Bits below the `valid` ones are zeros or what comes next, never anything else.
    word: u64,
    valid: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, word: 0, valid: 0 }
    }

    /// An upper bound of the bits left.
    pub fn left(&self) -> usize {
        (self.data.len() - self.at) * 8 + self.valid as usize
    }

    /// Fills the word to at least 56 bits, or to all that is left.
    #[inline(always)]
    fn fill(&mut self) {
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            self.word |= u64::from_be_bytes(*bytes) >> self.valid;
            let bytes = (63 - self.valid) >> 3;
            self.at += bytes as usize;
            self.valid += bytes * 8;
        } else {
            self.fill_at_the_end();
        }
    }

    #[cold]
    fn fill_at_the_end(&mut self) {
        while self.valid <= 55
            && let Some(byte) = self.data.get(self.at)
        {
            self.word |= u64::from(*byte) << (56 - self.valid);
            self.at += 1;
            self.valid += 8;
        }
    }

    /// Up to 56 bits, without taking them; zeros behind the end.
    #[inline(always)]
    pub fn peek(&mut self, bits: u32) -> u64 {
        debug_assert!((1..=56).contains(&bits));
        if self.valid < bits {
            self.fill();
        }
        self.word >> (64 - bits)
    }

    /// Takes up to 56 bits that were peeked at.
    #[inline(always)]
    pub fn skip(&mut self, bits: u32) -> Option<()> {
        if self.valid < bits {
            self.fill();
            if self.valid < bits {
                return None;
            }
        }
        self.word <<= bits;
        self.valid -= bits;
        Some(())
    }

    /// Up to 56 bits, and at least one.
    #[inline(always)]
    pub fn take(&mut self, bits: u32) -> Option<u64> {
        let value = self.peek(bits);
        self.skip(bits)?;
        Some(value)
    }

    /// Up to 64 bits, and at least one.
    #[inline(always)]
    pub fn take_wide(&mut self, bits: u32) -> Option<u64> {
        if bits <= 56 {
            return self.take(bits);
        }
        let high = self.take(bits - 32)?;
        Some(high << 32 | self.take(32)?)
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.take_wide(64).map(f64::from_bits)
    }

    /// How many ones come first, up to `most`; takes them, and the zero that ends them where there are fewer.
    #[inline(always)]
    pub fn ones(&mut self, most: u32) -> Option<u32> {
        let ones = (!self.peek(most) << (64 - most)).leading_zeros().min(most);
        self.skip((ones + 1).min(most))?;
        Some(ones)
    }

    /// A number in so many bits, of which the largest positive one is a power of two: `docs/bstream.md` of the TSDB.
    #[inline(always)]
    pub fn signed(&mut self, bits: u32) -> Option<i64> {
        let value = self.take_wide(bits)?.cast_signed();
        Some(if bits < 64 && value > 1 << (bits - 1) { value - (1 << bits) } else { value })
    }

    /// Go's varint, whose bytes need not begin at one.
    pub fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for at in 0..10 {
            let byte = self.take(8)?;
            value |= (byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return (at < 9 || byte <= 1).then_some(value);
            }
        }
        None
    }

    pub fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(crate::ingest::tsdb::bytes::zigzag)
    }

    /// A signed number in one of nine widths, `varbit.go`.
    #[inline]
    pub fn varbit(&mut self) -> Option<i64> {
        match self.ones(8)? {
            0 => Some(0),
            8 => self.take_wide(64).map(u64::cast_signed),
            ones => self.signed(VARBIT_WIDTHS[ones as usize]),
        }
    }

    /// The same without a sign.
    #[inline]
    pub fn varbit_unsigned(&mut self) -> Option<u64> {
        match self.ones(8)? {
            0 => Some(0),
            ones => self.take_wide(VARBIT_WIDTHS[ones as usize]),
        }
    }
}

/// Bits of a number, by the ones before it.
const VARBIT_WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// A double as the bits in which it differs from the one before, `xor.go`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xor {
    pub bits: u64,
    leading: u32,
    trailing: u32,
}

impl Xor {
    pub fn new(bits: u64) -> Self {
        Self { bits, leading: 0, trailing: 0 }
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    #[inline(always)]
    pub fn next(&mut self, from: &mut Bits<'_>) -> Option<()> {
        match from.peek(2) {
            0 | 1 => from.skip(1),
            2 => {
                from.skip(2)?;
                self.in_window(from)
            }
            _ => {
                from.skip(2)?;
                self.in_new_window(from)
            }
        }
    }

    /// The bits that differ lie where they did the last time.
    #[inline(always)]
    pub fn in_window(&mut self, from: &mut Bits<'_>) -> Option<()> {
        let bits = from.take_wide(64 - self.leading - self.trailing)?;
        self.bits ^= bits << self.trailing;
        Some(())
    }

    #[inline(always)]
    pub fn in_new_window(&mut self, from: &mut Bits<'_>) -> Option<()> {
        let header = from.take(11)?;
        let leading = (header >> 6) as u32;
        let significant = match (header & 0x3f) as u32 {
            // 64 does not fit, and 0 is never needed.
            0 => 64,
            bits => bits,
        };
        self.trailing = 64u32.checked_sub(leading + significant)?;
        self.leading = leading;
        self.in_window(from)
    }
}
