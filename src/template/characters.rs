//! Characters as Go's packages `unicode`, `unicode/utf8` and `golang.org/x/text/cases` see them.
//!
//! Go's strings are bytes, and a template can cut one in the middle of a character. So text is bytes here too.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// What stands for a byte that belongs to no character.
pub(super) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The first character and its length; `None` and 1 for a byte that begins none.
pub(super) fn decode(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(first) = bytes.first() else { return (None, 0) };
    let length = match first {
        0..0x80 => return (Some(char::from(*first)), 1),
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text.and_then(|text| text.chars().next()) {
        Some(c) => (Some(c), length),
        None => (None, 1),
    }
}

/// The characters of a text with the bytes that each takes.
pub(super) fn characters(mut bytes: &[u8]) -> impl Iterator<Item = (Option<char>, &[u8])> {
    std::iter::from_fn(move || {
        let (c, length) = decode(bytes);
        let (taken, rest) = bytes.split_at(length);
        bytes = rest;
        (length > 0).then_some((c, taken))
    })
}

/// Characters, counting a byte that belongs to none as one.
pub(super) fn count(bytes: &[u8]) -> usize {
    characters(bytes).count()
}

/// The text with U+FFFD for each byte that belongs to no character.
pub(super) fn to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_string(),
        Err(_) => characters(bytes).map(|(c, _)| c.unwrap_or(REPLACEMENT)).collect(),
    }
}

/// A set of characters.
struct Set(Vec<(char, char)>);

impl Set {
    fn new(class: &str) -> Self {
        let tree = regex_syntax::parse(class).expect("the class is as it stands");
        let HirKind::Class(Class::Unicode(class)) = tree.kind() else { unreachable!("{class} is a class") };
        Self(class.iter().map(|range| (range.start(), range.end())).collect())
    }

    fn contains(&self, c: char) -> bool {
        let behind = self.0.partition_point(|(start, _)| *start <= c);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| c <= *end)
    }
}

/// `unicode.IsLetter` or `unicode.IsDigit`, or an underscore.
pub(super) fn is_alphanumeric(c: char) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new(r"[\p{L}\p{Nd}]"));
    if c.is_ascii() { c == '_' || c.is_ascii_alphanumeric() } else { SET.contains(c) }
}

/// `unicode.IsPrint` and `strconv.IsPrint`.
pub(super) fn is_printable(c: char) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| Set::new(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"));
    if c.is_ascii() { matches!(c, ' '..='~') } else { SET.contains(c) }
}

/// `strings.ToUpper`: characters become one character each, so that `ß` stays.
pub(super) fn to_upper(bytes: &[u8]) -> Vec<u8> {
    map(bytes, |c| match c {
        // With iota subscript, which the mapping to several characters writes out.
        '\u{1f80}'..='\u{1faf}' => char::from_u32(c as u32 | 8).unwrap_or(c),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(c as u32 + 9).unwrap_or(c),
        _ => only(c.to_uppercase()).unwrap_or(c),
    })
}

/// `strings.ToLower`, likewise.
pub(super) fn to_lower(bytes: &[u8]) -> Vec<u8> {
    map(bytes, |c| c.to_lowercase().next().unwrap_or(c))
}

fn map(bytes: &[u8], mapped: impl Fn(char) -> char) -> Vec<u8> {
    if bytes.is_ascii() {
        return bytes.iter().map(|byte| mapped(char::from(*byte)) as u8).collect();
    }
    let text: String = characters(bytes).map(|(c, _)| c.map_or(REPLACEMENT, &mapped)).collect();
    text.into_bytes()
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// `cases.Title(language.AmericanEnglish, cases.NoLower)`: the first letter with a case of each word. Words end as
/// that package has it, an approximation of Unicode's annex 29: at what is neither letter, digit, underscore nor mark,
/// and at two of the characters that may stand within a word.
pub(super) fn title(bytes: &[u8]) -> Vec<u8> {
    static CASED: LazyLock<Set> = LazyLock::new(|| Set::new(r"\p{Cased}"));
    static WITHIN: LazyLock<Set> =
        LazyLock::new(|| Set::new(r"[\p{wb=MidLetter}\p{wb=MidNumLet}\p{wb=Single_Quote}]"));
    static WORD: LazyLock<Set> = LazyLock::new(|| {
        Set::new(concat!(
            r"[\p{wb=ALetter}\p{wb=Hebrew_Letter}\p{wb=Numeric}\p{wb=Extend}\p{wb=ExtendNumLet}\p{wb=Format}",
            r"\p{wb=ZWJ}\p{wb=MidLetter}\p{wb=MidNumLet}\p{wb=Single_Quote}]"
        ))
    });
    let mut out = Vec::with_capacity(bytes.len());
    let (mut in_word, mut was_within) = (false, false);
    for (c, taken) in characters(bytes) {
        // A byte that is no character has no properties, and so ends no word.
        let is_within = c.is_some_and(|c| WITHIN.contains(c));
        in_word &= !(was_within && is_within);
        was_within = is_within;
        match c {
            Some(c) if CASED.contains(c) => {
                if in_word {
                    out.extend_from_slice(taken);
                } else {
                    out.extend_from_slice(title_case(c).as_bytes());
                }
                in_word = true;
            }
            _ => {
                out.extend_from_slice(taken);
                in_word &= c.is_none_or(|c| WORD.contains(c));
            }
        }
    }
    out
}

/// The title case of a character, which the standard library does not have.
fn title_case(c: char) -> String {
    let single = match c {
        '\u{1c4}'..='\u{1c6}' => Some('\u{1c5}'),
        '\u{1c7}'..='\u{1c9}' => Some('\u{1c8}'),
        '\u{1ca}'..='\u{1cc}' => Some('\u{1cb}'),
        '\u{1f1}'..='\u{1f3}' => Some('\u{1f2}'),
        // Georgian has capitals, but not at the beginning of words.
        '\u{10d0}'..='\u{10ff}' | '\u{1c90}'..='\u{1cbf}' => Some(c),
        '\u{1f80}'..='\u{1faf}' => char::from_u32(c as u32 | 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(c as u32 + 9),
        '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}' => Some(c),
        _ => None,
    };
    if let Some(single) = single {
        return single.to_string();
    }
    let mut upper = c.to_uppercase();
    let mut out: String = upper.next().into_iter().collect();
    match c {
        // An apostrophe and a letter.
        '\u{149}' => out.extend(upper),
        _ => out.extend(upper.flat_map(|c| match c {
            '\u{399}' => '\u{345}'.to_lowercase(),
            _ => c.to_lowercase(),
        })),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        let check = |text: &str, expected: &str| assert_eq!(to_text(&title(text.as_bytes())), expected, "{text}");
        check("hello world", "Hello World");
        check("don't STOP a.b a:b a_b a-b 2nd x2y", "Don't STOP A.b A:b A_b A-B 2Nd X2y");
        check("a..b a.'b", "A..B A.'B");
        check("élan ñandú ßa ﬁx ǆ", "Élan Ñandú Ssa Fix ǅ");
        check("", "");
    }

    #[test]
    fn cases() {
        assert_eq!(to_text(&to_upper("straße ŉ ǆ ᾳ ﬁ é\u{345}".as_bytes())), "STRAßE ŉ Ǆ ᾼ ﬁ É\u{399}");
        assert_eq!(to_text(&to_lower("İ ÀΣ ǅ".as_bytes())), "i àσ ǆ");
        assert_eq!(to_upper(b"a\xffb"), "A\u{fffd}B".as_bytes());
    }

    #[test]
    fn bytes_that_are_no_characters() {
        assert_eq!(decode(b"\xe2\x82"), (None, 1));
        assert_eq!(decode("é!".as_bytes()), (Some('é'), 2));
        assert_eq!(count(b"a\xff\xc3\xa9"), 3);
        assert_eq!(to_text(b"\xe2\x82x"), "\u{fffd}\u{fffd}x");
    }
}
