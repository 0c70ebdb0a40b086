//! Looks a client's message over before the protocol library decodes it. The library takes counts and lengths from
//! the wire at their word: it reads past the end of a message into the next one, and panics where nothing follows.
//! What passes here is as long as it says, and every count and text in it is within it.

use pgwire::error::{PgWireError, PgWireResult};

use super::errors;

pub const QUERY: u8 = b'Q';
pub const PARSE: u8 = b'P';
pub const BIND: u8 = b'B';
pub const DESCRIBE: u8 = b'D';
pub const EXECUTE: u8 = b'E';
pub const CLOSE: u8 = b'C';
pub const FLUSH: u8 = b'H';
pub const SYNC: u8 = b'S';
pub const TERMINATE: u8 = b'X';
/// Before a session only.
pub const PASSWORD: u8 = b'p';
const FUNCTION_CALL: u8 = b'F';
pub const COPY_DATA: u8 = b'd';
pub const COPY_DONE: u8 = b'c';
pub const COPY_FAIL: u8 = b'f';

/// The kind, and a length that counts itself.
pub const HEADER_BYTES: usize = 5;
/// The longest message of a kind that holds names only; Postgres' `PQ_SMALL_MESSAGE_LIMIT`.
const SMALL_BYTES: usize = 10_000;

/// How long a message of this kind may be as its length says, of which `large` holds for those with statements or
/// values. `None` for kinds there are none of.
pub fn limit(kind: u8, large: usize) -> Option<usize> {
    match kind {
        QUERY | PARSE | BIND | FUNCTION_CALL | COPY_DATA => Some(large),
        DESCRIBE | EXECUTE | CLOSE | FLUSH | SYNC | TERMINATE | COPY_DONE | COPY_FAIL => Some(SMALL_BYTES),
        _ => None,
    }
}

/// After an error in one of these, everything is passed over until Sync.
pub fn is_extended(kind: u8) -> bool {
    matches!(kind, PARSE | BIND | DESCRIBE | EXECUTE | CLOSE | FLUSH | SYNC)
}

/// What clients may send at any time and nobody reads: the rest of a COPY that failed.
pub fn is_ignored(kind: u8) -> bool {
    matches!(kind, COPY_DATA | COPY_DONE | COPY_FAIL)
}

/// Checks a whole message, header and all.
///
/// # Errors
/// 08P01 where the parts do not add up, 22021 for text that is not UTF-8, 0A000 for a function call.
pub fn check(message: &[u8]) -> PgWireResult<()> {
    let (Some(kind), Some(body)) = (message.first(), message.get(HEADER_BYTES..)) else {
        return Err(violation("insufficient data left in message"));
    };
    let mut body = Body(body);
    match *kind {
        QUERY => body.text()?,
        PARSE => {
            body.text()?;
            body.text()?;
            let types = body.count()?;
            body.take(types * 4)?;
        }
        BIND => bind(&mut body)?,
        DESCRIBE | CLOSE => {
            let target = body.take(1)?;
            if !matches!(target, [b'S' | b'P']) {
                return Err(violation("invalid message subtype"));
            }
            body.text()?;
        }
        EXECUTE => {
            body.text()?;
            body.take(4)?;
        }
        FUNCTION_CALL => return Err(errors::unsupported("a function call message")),
        _ => {}
    }
    body.end()
}

fn bind(body: &mut Body<'_>) -> PgWireResult<()> {
    body.text()?;
    body.text()?;
    let formats = body.count()?;
    body.take(formats * 2)?;
    for _ in 0..body.count()? {
        match body.length()? {
            -1 => {}
            length => {
                let length = usize::try_from(length).map_err(|_| violation("invalid length of a parameter"))?;
                body.take(length)?;
            }
        }
    }
    let formats = body.count()?;
    body.take(formats * 2)?;
    Ok(())
}

/// What is left of a message's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> PgWireResult<&'a [u8]> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| violation("insufficient data left in message"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Counts are unsigned: statements may have 65,535 parameters.
    fn count(&mut self) -> PgWireResult<usize> {
        let bytes = self.take(2)?;
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    fn length(&mut self) -> PgWireResult<i32> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | i32::from(*byte)))
    }

    fn text(&mut self) -> PgWireResult<()> {
        let end = memchr::memchr(0, self.0).ok_or_else(|| violation("invalid string in message"))?;
        let text = self.take(end + 1)?;
        match std::str::from_utf8(text) {
            Ok(_) => Ok(()),
            Err(_) => Err(errors::error("22021", "invalid byte sequence for encoding \"UTF8\"")),
        }
    }

    fn end(&self) -> PgWireResult<()> {
        if self.0.is_empty() { Ok(()) } else { Err(violation("invalid message format")) }
    }
}

fn violation(text: &str) -> PgWireError {
    errors::error("08P01", text)
}

#[cfg(test)]
mod tests;
