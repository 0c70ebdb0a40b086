//! Start timestamps of a chunk: none, one for all samples, or from some sample on one each, as the delta of its distance
//! from the sample before (`st.go`).

use super::bits::Bits;

/// See the module.
pub struct Decoder {
    first_known: bool,
    /// The sample from which on each has one; 0 for never.
    each_from: u32,
    start: i64,
    distance: i64,
}

impl Decoder {
    pub fn new(header: u8) -> Self {
        Self { first_known: header & 0x80 != 0, each_from: u32::from(header & 0x7f), start: 0, distance: 0 }
    }

    /// The start timestamp of the sample with this number, 0 for none.
    #[inline]
    pub fn next(&mut self, bits: &mut Bits<'_>, at: u32, timestamp: i64, before: i64) -> Option<i64> {
        if at == 0 {
            if self.first_known {
                self.start = timestamp.wrapping_sub(bits.varint()?);
            }
        } else if self.each_from > 0 && at >= self.each_from {
            let read = bits.varbit()?;
            self.distance = if at == self.each_from { read } else { self.distance.wrapping_add(read) };
            self.start = before.wrapping_sub(self.distance);
        }
        Some(self.start)
    }
}
