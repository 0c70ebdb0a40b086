//! Numbers and texts of a TSDB's files, from a piece of one in memory. Fixed numbers are big-endian, the others
//! Go's varints. Nothing is allocated by what a length says: it is compared with what is there first.

use std::borrow::Cow;
use std::fmt;

/// What is wrong with bytes; who knows the file adds its name and the offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub Cow<'static, str>);

impl Fault {
    pub const SHORT: Fault = Fault(Cow::Borrowed("it ends too early"));

    pub const fn new(what: &'static str) -> Self {
        Fault(Cow::Borrowed(what))
    }

    pub fn of(what: String) -> Self {
        Fault(Cow::Owned(what))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Most bytes of a varint of 64 bits.
const VARINT_BYTES: usize = 10;

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Fault::SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::SHORT)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub fn u8(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Fault> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64, Fault> {
        self.u64().map(f64::from_bits)
    }

    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Fault> {
        // Most are one byte.
        if let Some((byte, rest)) = self.rest.split_first()
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_uvarint()
    }

    fn long_uvarint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(VARINT_BYTES) {
            if at == VARINT_BYTES - 1 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < VARINT_BYTES { Fault::SHORT } else { Fault::new("a number has too many bytes") })
    }

    #[inline]
    pub fn varint(&mut self) -> Result<i64, Fault> {
        self.uvarint().map(zigzag)
    }

    /// A length, or a count of what takes at least `unit` bytes each; never more than what is left can hold.
    pub fn count(&mut self, unit: usize) -> Result<usize, Fault> {
        let count = self.uvarint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() / unit.max(1) => Ok(count),
            _ => Err(Fault::SHORT),
        }
    }

    /// Bytes with their length in front.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.count(1)?;
        self.bytes(len)
    }

    pub fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.prefixed()?).map_err(|_| Fault::new("a text is not valid UTF-8"))
    }
}

/// Signed numbers as unsigned ones, small ones small.
pub fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uvarint(bytes: &[u8]) -> Result<u64, Fault> {
        Cursor::new(bytes).uvarint()
    }

    #[test]
    fn varints() {
        assert_eq!(uvarint(&[0]), Ok(0));
        assert_eq!(uvarint(&[0x7f]), Ok(127));
        assert_eq!(uvarint(&[0x80, 1]), Ok(128));
        assert_eq!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
        assert_eq!(uvarint(&[]), Err(Fault::SHORT));
        assert_eq!(uvarint(&[0x80, 0x80]), Err(Fault::SHORT));
        assert!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
        assert!(uvarint(&[0x80; 12]).is_err());
        let signed = |byte: u8| Cursor::new(&[byte]).varint();
        assert_eq!((signed(0), signed(1), signed(2), signed(3)), (Ok(0), Ok(-1), Ok(1), Ok(-2)));
        assert_eq!(zigzag(u64::MAX), i64::MIN);
    }

    #[test]
    fn lengths_are_bounded_by_what_is_there() {
        assert_eq!(Cursor::new(&[3, b'a', b'b', b'c']).text(), Ok("abc"));
        assert_eq!(Cursor::new(&[4, b'a', b'b', b'c']).text(), Err(Fault::SHORT));
        assert_eq!(Cursor::new(&[2, 0, 0, 0]).count(8), Err(Fault::SHORT));
        assert!(Cursor::new(&[1, 0xff]).text().is_err());
    }
}
