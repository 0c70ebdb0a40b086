//! Compressed bodies. How large one becomes is known before anything is allocated for it.

use crate::ingest::remote_write::outcome::WriteError;

/// Compressed; the decoded length may be no larger either.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// What snappy can make of a byte at most, rounded up: its copies take 3 bytes for 64.
const MAX_EXPANSION: usize = 22;

/// Asks for memory that a request will take until it is answered; refused where there is none.
pub type Reserve<'r> = dyn FnMut(usize) -> Result<(), WriteError> + Send + 'r;

/// The decoded body in `buffer`, which may be longer.
pub fn decompress<'b>(
    body: &[u8],
    buffer: &'b mut Vec<u8>,
    reserve: &mut Reserve<'_>,
) -> Result<&'b [u8], WriteError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(WriteError::new(413, format!("request body exceeds the {MAX_BODY_BYTES} bytes limit")));
    }
    let declared = declared_bytes(body)?;
    reserve(declared)?;
    if buffer.len() < declared {
        *buffer = vec![0; declared];
    }
    let length = snap::raw::Decoder::new().decompress(body, &mut buffer[..declared]).map_err(|_| corrupt())?;
    Ok(&buffer[..length])
}

/// What a body says that it becomes, in bytes; 0 for one that does not say it, or lies. Nothing is allocated.
fn declared_bytes(body: &[u8]) -> Result<usize, WriteError> {
    match snap::raw::decompress_len(body) {
        Ok(declared) if declared > MAX_BODY_BYTES => {
            Err(WriteError::new(400, format!("snappy: decoded length {declared} exceeds limit {MAX_BODY_BYTES}")))
        }
        Ok(declared) if !body.is_empty() && declared <= MAX_EXPANSION * body.len() => Ok(declared),
        _ => Err(corrupt()),
    }
}

fn corrupt() -> WriteError {
    WriteError::new(400, "snappy: corrupt input")
}
