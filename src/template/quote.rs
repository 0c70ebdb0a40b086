//! Go's literals of texts and characters, in both directions: `strconv.Quote` and `strconv.Unquote`.

use super::characters::{REPLACEMENT, characters, decode, is_printable};

/// How much of a text is escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// What cannot be seen.
    Invisible,
    /// All but ASCII, too.
    NonAscii,
}

/// `"text"`.
pub(super) fn quote(text: &[u8]) -> String {
    quote_with(text, Escapes::Invisible)
}

pub(super) fn quote_with(text: &[u8], escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for (c, taken) in characters(text) {
        match c {
            Some(c) => push_escaped(&mut out, c, '"', escapes),
            None => taken.iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}"))),
        }
    }
    out.push('"');
    out
}

/// `'c'`.
pub(super) fn quote_char(c: char, escapes: Escapes) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'', escapes);
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, delimiter: char, escapes: Escapes) {
    let escaped = match c {
        '\\' => "\\\\",
        c if c == delimiter => {
            out.push('\\');
            return out.push(c);
        }
        c if is_printable(c) && (c.is_ascii() || escapes == Escapes::Invisible) => return out.push(c),
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        '\0'..=' ' | '\x7f' => return out.push_str(&format!("\\x{:02x}", c as u32)),
        '\u{80}'..='\u{ffff}' => return out.push_str(&format!("\\u{:04x}", c as u32)),
        _ => return out.push_str(&format!("\\U{:08x}", c as u32)),
    };
    out.push_str(escaped);
}

/// Whether a text can stand between backquotes on one line as it is (`strconv.CanBackquote`).
pub(super) fn can_backquote(text: &[u8]) -> bool {
    characters(text).all(|(c, _)| match c {
        None | Some('\u{feff}' | '`' | '\x7f') => false,
        Some(c) => c == '\t' || c >= ' ',
    })
}

/// The character with its number, `U+0021 '!'`, as Go's `%#U` writes it.
pub(super) fn code_point(c: char) -> String {
    match is_printable(c) {
        true => format!("U+{:04X} '{c}'", c as u32),
        false => format!("U+{:04X}", c as u32),
    }
}

/// The text of a literal with its quotes, or backquotes.
pub(super) fn unquote(literal: &str) -> Option<Vec<u8>> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        if rest.starts_with('\n') {
            return None;
        }
        let (unit, behind) = unquote_unit(rest, '"')?;
        match unit {
            Unit::Byte(byte) => out.push(byte),
            Unit::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = behind;
    }
    Some(out)
}

/// A character, or a byte that was written as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Byte(u8),
    Char(char),
}

impl Unit {
    pub(super) fn number(self) -> u32 {
        match self {
            Unit::Byte(byte) => byte.into(),
            Unit::Char(c) => c.into(),
        }
    }
}

/// What a text in quotes begins with, and the rest (`strconv.UnquoteChar`).
pub(super) fn unquote_unit(text: &str, delimiter: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        c if c == delimiter => return None,
        '\\' => chars.next()?,
        c => return Some((Unit::Char(c), chars.as_str())),
    };
    let rest = chars.as_str();
    let simple = match c {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        'x' => {
            let (number, rest) = digits(rest, 2, 16)?;
            return Some((Unit::Byte(u8::try_from(number).ok()?), rest));
        }
        'u' | 'U' => {
            let (number, rest) = digits(rest, if c == 'u' { 4 } else { 8 }, 16)?;
            return Some((Unit::Char(char::from_u32(number)?), rest));
        }
        '0'..='7' => {
            let (number, rest) = digits(&text[1..], 3, 8)?;
            return Some((Unit::Byte(u8::try_from(number).ok()?), rest));
        }
        '\'' | '"' if c == delimiter => c,
        _ => return None,
    };
    Some((Unit::Char(simple), rest))
}

fn digits(text: &str, count: usize, base: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    let number =
        digits.chars().try_fold(0u32, |number, c| number.checked_mul(base)?.checked_add(c.to_digit(base)?));
    Some((number?, rest))
}

/// At most so many characters of a text.
pub(super) fn truncated(text: &[u8], most: usize) -> &[u8] {
    let mut length = 0;
    for _ in 0..most.min(text.len()) {
        length += decode(&text[length..]).1;
    }
    &text[..length]
}

/// The character of a number, or what stands for none.
pub(super) fn to_char(number: u64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(REPLACEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        let check = |text: &[u8], expected: &str| assert_eq!(quote(text), expected);
        check(b"a\"b\\'`", r#""a\"b\\'`""#);
        check(b"\x07\n\x01\x7f\xff", r#""\a\n\x01\x7f\xff""#);
        check("é\u{200b}\u{1f600}\u{10ffff}".as_bytes(), "\"é\\u200b\u{1f600}\\U0010ffff\"");
        assert_eq!(quote_with("é😀".as_bytes(), Escapes::NonAscii), r#""\u00e9\U0001f600""#);
        assert_eq!(quote_char('\'', Escapes::Invisible), r"'\''");
        assert_eq!(code_point('!'), "U+0021 '!'");
        assert_eq!(code_point('\x01'), "U+0001");
        assert!(
            can_backquote(b"a\tb c") && !can_backquote(b"a`") && !can_backquote(b"\n") && !can_backquote(b"\xff")
        );
    }

    #[test]
    fn unquotes() {
        let check = |literal: &str, expected: Option<&[u8]>| assert_eq!(unquote(literal).as_deref(), expected);
        check(r#""a\t\"\x41\101\u00e9\U0001F600""#, Some("a\t\"AA\u{e9}\u{1f600}".as_bytes()));
        check("`a\\t\r\n`", Some(b"a\\t\n"));
        check(r#""\xff""#, Some(b"\xff"));
        for bad in [r#""\q""#, r#""\'""#, r#""\x4""#, r#""\ud800""#, r#""\400""#, r#""a"#, "\"\n\""] {
            check(bad, None);
        }
    }
}
