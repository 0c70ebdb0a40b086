//! String literals: Go's quoting in both directions, as PromQL uses it.
//!
//! Go's strings are bytes, and `"\xff"` is a legal literal that is no UTF-8. Such a byte is kept as a
//! stand-in, a private character out of U+10FF80..U+10FFFF, so that it prints as it was written, makes a label
//! name invalid ([`is_label_name`]) and matches no label. A real text with one of these characters would be
//! mistaken for it, which is the price of `String`.

/// Stands for the byte 0x80.
const STAND_INS_START: char = '\u{10ff80}';

/// Whether a label can have this name: any UTF-8 but the empty text.
pub fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c| c >= STAND_INS_START)
}

/// `"text"` as Go's `%q` writes it.
pub fn quote(text: &str) -> String {
    quote_with(text, '"')
}

/// `'c'` as Go's `%q` writes a rune; `None` is the end of the input.
pub(crate) fn quote_char(c: Option<char>) -> String {
    quote_with(c.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]), '\'')
}

fn quote_with(text: &str, delimiter: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(delimiter);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c == delimiter => {
                out.push('\\');
                out.push(c);
            }
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
            STAND_INS_START..=char::MAX => out.push_str(&format!("\\x{:02x}", c as u32 & 0xff)),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push(delimiter);
    out
}

/// Letters, marks, numbers, punctuation and symbols. The standard library's `Debug` has the same table, but
/// escapes a combining mark at the start of a string, hence the letter in front.
fn is_printable(c: char) -> bool {
    !format!("{:?}", format!("a{c}")).contains('\\')
}

/// The value of a literal with its quotes. The lexer has checked the escapes, so `None` is only returned for
/// text that it did not produce.
pub fn unquote(literal: &str) -> Option<String> {
    let delimiter = literal.chars().next()?;
    let inner = literal.strip_prefix(delimiter)?.strip_suffix(delimiter)?;
    match delimiter {
        '`' => return (!inner.contains('`')).then(|| inner.to_string()),
        '"' | '\'' => {}
        _ => return None,
    }
    if inner.contains('\n') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == delimiter {
            return None;
        }
        if c == '\\' {
            rest = unescape(rest, delimiter, &mut out)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Some(String::from_utf8(out).unwrap_or_else(|e| with_stand_ins(e.as_bytes())))
}

fn with_stand_ins(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Invalid bytes are all above 0x7f.
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(0x10_ff00 + u32::from(*b))));
    }
    text
}

/// Decodes one escape after its backslash and returns the text behind it.
fn unescape<'a>(rest: &'a str, delimiter: char, out: &mut Vec<u8>) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let after = &rest[c.len_utf8()..];
    let byte = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        c if c == delimiter => c as u8,
        '0'..='7' => {
            out.push(u8::from_str_radix(rest.get(..3)?, 8).ok()?);
            return rest.get(3..);
        }
        'x' => {
            out.push(u8::from_str_radix(digits(after, 2)?, 16).ok()?);
            return after.get(2..);
        }
        'u' | 'U' => {
            let width = if c == 'u' { 4 } else { 8 };
            let code = u32::from_str_radix(digits(after, width)?, 16).ok()?;
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            return after.get(width..);
        }
        _ => return None,
    };
    out.push(byte);
    Some(after)
}

/// The next `width` hexadecimal digits; `from_str_radix` alone would accept a sign.
fn digits(text: &str, width: usize) -> Option<&str> {
    text.get(..width).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
}
