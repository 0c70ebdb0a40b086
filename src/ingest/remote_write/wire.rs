//! The protobuf wire format, as much as a reader in place needs. Every length is checked against what is left.

/// A field with its payload. 32-bit fields occur in none of our messages and are skipped.
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
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Skipped
            }
            _ => return Err(Malformed),
        };
        if number == 0 { Err(Malformed) } else { Ok(Some((number, value))) }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let Some((&first, rest)) = self.rest.split_first() else { return Err(Malformed) };
        if first < 0x80 {
            self.rest = rest;
            return Ok(u64::from(first));
        }
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

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
