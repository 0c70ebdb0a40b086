//! Floats: delta-of-delta timestamps, and values as the bits in which they differ (`xor.go`).

use super::bits::{Bits, Xor};
use super::count;
use crate::ingest::tsdb::bytes::Fault;
use crate::storage::types::Run;

/// Bits of a delta of deltas, by the ones before it.
const DELTA_WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];

pub fn decode(data: &[u8], run: &mut Run) -> Result<(), Fault> {
    let (count, data) = count(data)?;
    run.timestamps.reserve(usize::from(count));
    run.values.reserve(usize::from(count));
    samples(count, &mut Bits::new(data), run).ok_or(Fault::SHORT)
}

fn samples(count: u16, bits: &mut Bits<'_>, run: &mut Run) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let mut timestamp = bits.varint()?;
    let mut value = Xor::new(bits.take_wide(64)?);
    run.timestamps.push(timestamp);
    run.values.push(value.value());
    if count == 1 {
        return Some(());
    }
    let mut delta = bits.uvarint()?.cast_signed();
    timestamp = timestamp.wrapping_add(delta);
    value.next(bits)?;
    run.timestamps.push(timestamp);
    run.values.push(value.value());
    for _ in 2..count {
        // A regular interval, and with it often an unchanged value.
        match bits.peek(2) {
            0 => bits.skip(2)?,
            1 => {
                bits.skip(1)?;
                value.next(bits)?;
            }
            _ => {
                let dod = match bits.ones(4)? {
                    4 => bits.take_wide(64)?.cast_signed(),
                    ones => bits.signed(DELTA_WIDTHS[ones as usize])?,
                };
                delta = delta.wrapping_add(dod);
                value.next(bits)?;
            }
        }
        timestamp = timestamp.wrapping_add(delta);
        run.timestamps.push(timestamp);
        run.values.push(value.value());
    }
    Some(())
}
