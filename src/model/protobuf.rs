//! The protobuf wire format, as much as a writer needs. Fields with their default are left out, as proto3 has it.

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

/// `int64`, `uint64`, enumerations.
#[inline]
pub fn int(out: &mut Vec<u8>, field: u32, value: i64) {
    if value != 0 {
        tag(out, field, VARINT);
        varint(out, value.cast_unsigned());
    }
}

/// A member of a `oneof`, which is there also as its default.
#[inline]
pub fn int_of_choice(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// `sint32` and `sint64`.
#[inline]
pub fn signed(out: &mut Vec<u8>, field: u32, value: i64) {
    if value != 0 {
        tag(out, field, VARINT);
        varint(out, zigzag(value));
    }
}

#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Negative zero is no default: it has bits of its own.
#[inline]
pub fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    if value.to_bits() != 0 {
        double_of_choice(out, field, value);
    }
}

/// A member of a `oneof`.
#[inline]
pub fn double_of_choice(out: &mut Vec<u8>, field: u32, value: f64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A string that is there also when it is empty, as in lists.
#[inline]
pub fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A string, left out when it is empty.
pub fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

/// A message within another, or a packed list. Its length is known behind it: one byte is left for it, and what follows
/// moves up where it needs more.
#[inline]
pub fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, BYTES);
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let more = (usize::BITS - length.leading_zeros() - 1) as usize / 7;
    let end = out.len();
    out.resize(end + more, 0);
    out.copy_within(start + 1..end, start + 1 + more);
    let mut rest = length;
    for byte in &mut out[start..start + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start + more] = rest as u8;
}

/// A packed list, left out when it is empty.
pub fn packed<T: Copy>(out: &mut Vec<u8>, field: u32, values: &[T], write: impl Fn(&mut Vec<u8>, T)) {
    if !values.is_empty() {
        nested(out, field, |out| values.iter().for_each(|value| write(out, *value)));
    }
}

/// A packed list of doubles, left out when it is empty.
pub fn packed_doubles(out: &mut Vec<u8>, field: u32, values: &[f64]) {
    packed(out, field, values, |out, value| out.extend_from_slice(&value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_any_size() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
            let body: Vec<u8> = (0..length).map(|i: u32| i as u8).collect();
            let (mut patched, mut plain) = (vec![7], vec![7]);
            nested(&mut patched, 3, |out| out.extend_from_slice(&body));
            bytes(&mut plain, 3, &body);
            assert!(patched == plain, "{length}");
        }
    }

    #[test]
    fn numbers() {
        let check = |write: &dyn Fn(&mut Vec<u8>), expected: &[u8]| {
            let mut out = vec![];
            write(&mut out);
            assert_eq!(out, expected);
        };
        check(&|out| int(out, 2, 0), &[]);
        check(&|out| int(out, 2, 300), &[0x10, 0xac, 0x02]);
        check(&|out| int(out, 2, -1), &[0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        check(&|out| signed(out, 4, -53), &[0x20, 105]);
        check(&|out| int_of_choice(out, 1, 0), &[8, 0]);
        check(&|out| double(out, 1, 0.0), &[]);
        check(&|out| double(out, 1, -0.0), &[9, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        assert_eq!((zigzag(i64::MIN), zigzag(i64::MAX)), (u64::MAX, u64::MAX - 1));
    }
}
