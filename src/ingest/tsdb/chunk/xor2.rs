//! Floats with one prefix for timestamp and value, and optional start timestamps (`xor2.go`). Staleness markers have a
//! code of their own and do not disturb the values around them.

use super::bits::{Bits, Xor};
use super::{count, start};
use crate::ingest::tsdb::bytes::Fault;
use crate::model::sample::{STALE_NAN, is_stale};
use crate::storage::types::Run;

pub fn decode(data: &[u8], run: &mut Run) -> Result<(), Fault> {
    let (count, data) = count(data)?;
    let (header, data) = data.split_first().ok_or(Fault::SHORT)?;
    run.timestamps.reserve(usize::from(count));
    run.values.reserve(usize::from(count));
    samples(count, start::Decoder::new(*header), &mut Bits::new(data), run).ok_or(Fault::SHORT)
}

fn samples(count: u16, mut starts: start::Decoder, bits: &mut Bits<'_>, run: &mut Run) -> Option<()> {
    let (mut timestamp, mut delta) = (0i64, 0i64);
    // Of the newest value that is no staleness marker.
    let mut last = Xor::default();
    for at in 0..count {
        let before = timestamp;
        let value = match at {
            0 => {
                timestamp = bits.varint()?;
                let first = bits.f64()?;
                if !is_stale(first) {
                    last.bits = first.to_bits();
                }
                first
            }
            1 => {
                delta = bits.uvarint()?.cast_signed();
                timestamp = timestamp.wrapping_add(delta);
                value_after_delta(&mut last, bits)?
            }
            _ => {
                let value = match bits.ones(5)? {
                    0 => last.value(),
                    1 => changed(&mut last, bits)?,
                    5 => STALE_NAN,
                    ones => {
                        let dod = match ones {
                            2 => two_complement(bits.take(13)?, 13),
                            3 => two_complement(bits.take(20)?, 20),
                            _ => bits.take_wide(64)?.cast_signed(),
                        };
                        delta = delta.wrapping_add(dod);
                        value_after_delta(&mut last, bits)?
                    }
                };
                timestamp = timestamp.wrapping_add(delta);
                value
            }
        };
        let start_timestamp = starts.next(bits, u32::from(at), timestamp, before)?;
        super::push(run, timestamp, value, start_timestamp);
    }
    Some(())
}

/// The value where the prefix says nothing of it.
#[inline]
fn value_after_delta(last: &mut Xor, bits: &mut Bits<'_>) -> Option<f64> {
    match bits.ones(3)? {
        0 => {}
        1 => last.in_window(bits)?,
        2 => last.in_new_window(bits)?,
        _ => return Some(STALE_NAN),
    }
    Some(last.value())
}

/// The value where the prefix says that it changed.
#[inline]
fn changed(last: &mut Xor, bits: &mut Bits<'_>) -> Option<f64> {
    match bits.take(1)? {
        0 => last.in_window(bits)?,
        _ => last.in_new_window(bits)?,
    }
    Some(last.value())
}

fn two_complement(value: u64, bits: u32) -> i64 {
    (value << (64 - bits)).cast_signed() >> (64 - bits)
}
