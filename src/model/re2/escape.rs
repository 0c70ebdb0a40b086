//! A backslash and what follows it, where that is one character.

use super::{Error, Mistake, before};

/// Letters that stand for a control character, as in C. `\b` is none of them: it is a word boundary.
const CONTROLS: &[(char, u32)] = &[('a', 7), ('t', 9), ('n', 10), ('v', 11), ('f', 12), ('r', 13)];

/// The code point that the escape at the beginning of `text` stands for, and what is behind it. It may be a surrogate,
/// which Go has in patterns though not in texts.
pub(super) fn escape(text: &str) -> Result<(u32, &str), Error> {
    let mut rest = text.chars();
    rest.next();
    let Some(c) = rest.next() else { return Err(Error::new(Mistake::TrailingBackslash, "")) };
    let after = rest.as_str();
    let control = CONTROLS.iter().find(|(letter, _)| *letter == c);
    match c {
        // A digit alone would be a reference to a group.
        '0'..='7' if c == '0' || after.starts_with(is_octal) => Ok(octal(&text[1..])),
        'x' => hexadecimal(after).map_err(|behind| Error::new(Mistake::Escape, before(text, behind))),
        _ if let Some((_, code)) = control => Ok((*code, after)),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok((u32::from(c), after)),
        _ => Err(Error::new(Mistake::Escape, before(text, after))),
    }
}

fn is_octal(c: char) -> bool {
    c.is_digit(8)
}

/// Up to three digits.
fn octal(text: &str) -> (u32, &str) {
    let count = text.bytes().take(3).take_while(|byte| is_octal(char::from(*byte))).count();
    let (digits, rest) = text.split_at(count);
    (digits.bytes().fold(0, |code, digit| code * 8 + u32::from(digit - b'0')), rest)
}

/// What follows `\x`: two digits, or any number in braces. The error is the text behind the character at fault.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let mut rest = text.chars();
    let Some(first) = rest.next() else { return Err(text) };
    if first == '{' {
        return in_braces(rest.as_str());
    }
    let second = rest.next().and_then(|c| c.to_digit(16));
    match (first.to_digit(16), second) {
        (Some(high), Some(low)) => Ok((high * 16 + low, rest.as_str())),
        _ => Err(rest.as_str()),
    }
}

fn in_braces(text: &str) -> Result<(u32, &str), &str> {
    let (mut code, mut rest) = (0, text.chars());
    while let Some(c) = rest.next() {
        if c == '}' {
            let has_digits = rest.as_str().len() + 1 < text.len();
            return if has_digits { Ok((code, rest.as_str())) } else { Err(rest.as_str()) };
        }
        let Some(digit) = c.to_digit(16) else { return Err(rest.as_str()) };
        code = code * 16 + digit;
        if code > u32::from(char::MAX) {
            return Err(rest.as_str());
        }
    }
    Err("")
}
