//! The protobuf wire format, as much as a reader in place needs. Every length is checked against what is left.

/// Groups within each other.
const MAX_GROUPS: usize = 100;

/// A field with its payload. 32-bit fields and groups occur in none of our messages and are skipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Skipped,
}

/// The bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and payload; `None` at the end of the message.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = tag >> 3;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            3 => {
                self.skip_group(number)?;
                Value::Skipped
            }
            5 => {
                self.take(4)?;
                Value::Skipped
            }
            _ => return Err(Malformed),
        };
        if number == 0 { Err(Malformed) } else { Ok(Some((number, value))) }
    }

    /// The payload of a field with this tag, if one stands here that is short, as most are.
    #[inline]
    pub fn short(&mut self, tag: u8) -> Option<&'a [u8]> {
        let [first, len @ 0..=0x7f, rest @ ..] = self.rest else { return None };
        let (payload, rest) = rest.split_at_checked(usize::from(*len)).filter(|_| *first == tag)?;
        self.rest = rest;
        Some(payload)
    }

    /// Goes behind the end of a group, which no message of ours has, and which a message of a later version may have.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let tag = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
            match tag & 7 {
                0 => {
                    self.varint()?;
                }
                1 => {
                    self.take(8)?;
                }
                2 => {
                    let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                    self.take(len)?;
                }
                3 if open.len() < MAX_GROUPS => open.push(tag >> 3),
                4 if tag >> 3 == innermost => open.truncate(open.len() - 1),
                5 => {
                    self.take(4)?;
                }
                _ => return Err(Malformed),
            }
            if tag >> 3 == 0 {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let Some((&first, rest)) = self.rest.split_first() else { return Err(Malformed) };
        if first < 0x80 {
            self.rest = rest;
            return Ok(u64::from(first));
        }
        if let Some((&second @ 0..=0x7f, rest)) = rest.split_first() {
            self.rest = rest;
            return Ok(u64::from(first & 0x7f) | u64::from(second) << 7);
        }
        match self.rest.first_chunk::<8>() {
            Some(chunk) => self.wide_varint(u64::from_le_bytes(*chunk)),
            None => self.long_varint(),
        }
    }

    /// One whose bytes are all in `word`, as those of times are: without a loop over them.
    #[inline]
    fn wide_varint(&mut self, word: u64) -> Result<u64, Malformed> {
        let Some((value, len)) = varint_of(word) else { return self.long_varint() };
        self.rest = &self.rest[len..];
        Ok(value)
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                if i == 9 && byte > 1 {
                    return Err(Malformed);
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl Value<'_> {
    /// A `double`; 0 for another wire type, as for a missing field.
    pub fn double(self) -> f64 {
        match self {
            Value::Fixed64(bits) => f64::from_bits(bits),
            _ => 0.0,
        }
    }

    pub fn int64(self) -> i64 {
        match self {
            Value::Varint(value) => value as i64,
            _ => 0,
        }
    }

    /// `sint32` and `sint64`.
    pub fn zigzag(self) -> i64 {
        match self {
            Value::Varint(value) => unzigzag(value),
            _ => 0,
        }
    }
}

/// The number at the start of 8 bytes, and how many of them it takes; `None` for a longer one.
#[inline]
pub fn varint_of(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let len = ends.trailing_zeros() / 8 + 1;
    let bits = word & (u64::MAX >> (64 - 8 * len)) & 0x7f7f_7f7f_7f7f_7f7f;
    // Groups of 7 bits are joined to 14, 28 and 56.
    let bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
    let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
    let bits = (bits & 0x0000_0000_0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4);
    Some((bits, len as usize))
}

/// A `sint32`, which is what is left of a larger number.
pub fn unzigzag32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
