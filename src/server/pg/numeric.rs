//! `numeric` in the binary format: digits of ten thousand, a weight for the first of them, a sign, and digits behind the point.

use bytes::{Buf, BufMut, BytesMut};

const POSITIVE: u16 = 0;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;
/// Digits of ten in one of ten thousand.
const PLACES: usize = 4;
/// Digits before the point, of which PostgreSQL keeps 131,072: those of the engine have at most 309 of them.
const MOST_WHOLE: usize = 400;
/// Zeros behind the last digit that are kept.
const MOST_ZEROS: usize = 100;

/// The text of a number; `None` for bytes that are none, and for a number that is larger than any that there is.
pub fn read(bytes: &[u8]) -> Option<String> {
    let mut data = bytes;
    if data.len() < 8 {
        return None;
    }
    let (count, weight, sign, scale) = (data.get_u16(), data.get_i16(), data.get_u16(), data.get_u16());
    if data.len() != usize::from(count) * 2 || scale > 0x3fff {
        return None;
    }
    match sign {
        NAN => return Some("NaN".into()),
        INFINITY => return Some("Infinity".into()),
        MINUS_INFINITY => return Some("-Infinity".into()),
        POSITIVE | NEGATIVE => {}
        _ => return None,
    }
    let groups: Vec<u16> = std::iter::from_fn(|| data.has_remaining().then(|| data.get_u16())).collect();
    if groups.iter().any(|group| *group > 9_999) {
        return None;
    }
    let group = |place: i32| -> u16 {
        let at = i32::from(weight) - place;
        usize::try_from(at).ok().and_then(|at| groups.get(at).copied()).unwrap_or(0)
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count() as i32;
    // Eight bytes may say that there are a hundred thousand digits.
    let whole = if zeros as usize == groups.len() { 0 } else { (i32::from(weight) - zeros).max(0) };
    if whole as usize * PLACES > MOST_WHOLE {
        return None;
    }
    let behind = (groups.len() as i32 - 1 - i32::from(weight)).max(0) as usize * PLACES;
    let scale = usize::from(scale).min(behind + MOST_ZEROS);
    text.push_str(&group(whole).to_string());
    for place in (0..whole).rev() {
        text.push_str(&format!("{:04}", group(place)));
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(place)));
            place -= 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Some(text)
}

/// Appends a number that is written in plain digits. What is none is written as NaN.
pub fn put(text: &str, out: &mut BytesMut) {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || whole.len() + fraction.len() == 0 {
        return head(out, 0, 0, NAN, 0);
    }
    let before = (PLACES - whole.len() % PLACES) % PLACES;
    let behind = (PLACES - fraction.len() % PLACES) % PLACES;
    let padded = [&"000"[..before], whole, fraction, &"000"[..behind]].concat();
    let mut groups: Vec<u16> = padded
        .as_bytes()
        .chunks(PLACES)
        .map(|four| four.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
        .collect();
    let mut weight = (whole.len() + before) as i64 / PLACES as i64 - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= leading as i64;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (sign, weight) = if groups.is_empty() { (POSITIVE, 0) } else { (sign, weight) };
    // Numbers of the engine have at most 76 digits.
    head(out, groups.len() as u16, weight as i16, sign, fraction.len() as u16);
    groups.iter().for_each(|group| out.put_u16(*group));
}

fn head(out: &mut BytesMut, count: u16, weight: i16, sign: u16, scale: u16) {
    out.put_u16(count);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let check = |text: &str, words: &[u16]| {
            let mut out = BytesMut::new();
            put(text, &mut out);
            let got: Vec<u16> = out.chunks(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
            assert_eq!(got, words, "{text}");
            assert_eq!(read(&out).as_deref(), Some(text));
        };
        check("0", &[0, 0, 0, 0]);
        check("0.00", &[0, 0, 0, 2]);
        check("1", &[1, 0, 0, 0, 1]);
        check("-12345.678", &[3, 1, 0x4000, 3, 1, 2345, 6780]);
        check("10000", &[1, 1, 0, 0, 1]);
        check("0.00012", &[2, 0xffff, 0, 5, 1, 2000]);
        check("NaN", &[0, 0, 0xc000, 0]);
        check(
            "123456789012345678901234567890.5",
            &[9, 7, 0, 1, 12, 3456, 7890, 1234, 5678, 9012, 3456, 7890, 5000],
        );
    }

    #[test]
    fn bytes_that_are_no_number() {
        for bytes in [
            &[][..],
            &[0; 7],
            &[0, 1, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0, 0, 0, 0, 1, 1, 0, 0],
        ] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
        // Once, each of these was a text of a hundred thousand digits.
        assert_eq!(read(&[0, 0, 0x7f, 0xff, 0, 0, 0, 0]).as_deref(), Some("0"));
        assert_eq!(read(&[0, 2, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(read(&[0, 1, 0, 0, 0, 0, 0x3f, 0xff, 0, 1]).map(|text| text.len()), Some(2 + MOST_ZEROS));
        assert_eq!(read(&[0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7]).as_deref(), Some("7"));
    }
}
