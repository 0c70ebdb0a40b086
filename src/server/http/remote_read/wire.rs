//! Protobuf on its way out: fields appended to a buffer.

/// Appends a message with what `write` puts into it.
pub fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(out, number, &inner);
}

pub fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn text(out: &mut Vec<u8>, number: u32, text: &str) {
    bytes(out, number, text.as_bytes());
}

pub fn int64(out: &mut Vec<u8>, number: u32, value: i64) {
    uint64(out, number, value.cast_unsigned());
}

pub fn uint64(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, 0);
    varint(out, value);
}

pub fn sint32(out: &mut Vec<u8>, number: u32, value: i32) {
    uint64(out, number, u64::from((value << 1 ^ value >> 31).cast_unsigned()));
}

pub fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    tag(out, number, 1);
    out.extend(value.to_bits().to_le_bytes());
}

/// A repeated double as one field; nothing where there is none.
pub fn packed_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    tag(out, number, 2);
    varint(out, 8 * values.len() as u64);
    values.iter().for_each(|value| out.extend(value.to_bits().to_le_bytes()));
}

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire_type));
}
