//! What stands between `%` and the verb, and texts and integers by it.

use super::super::characters::{count, is_printable};
use super::super::quote::{Escapes, can_backquote, quote_char, quote_with, to_char, truncated};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub width: Option<usize>,
    pub precision: Option<usize>,
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v`, where the plus sign is none of numbers.
    pub plus_v: bool,
    /// `%#v`, likewise.
    pub sharp_v: bool,
}

/// The base of an integer and how its digits look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Binary,
    Octal,
    /// With `0o`.
    MarkedOctal,
    Decimal,
    Hex,
    UpperHex,
}

impl Flags {
    /// With spaces, or zeros where they are asked for, up to the width.
    pub(super) fn pad(&self, text: &[u8]) -> Vec<u8> {
        let missing = self.width.unwrap_or(0).saturating_sub(count(text));
        let mut out = Vec::with_capacity(text.len() + missing);
        if self.minus {
            out.extend_from_slice(text);
        }
        // Zeros are for the left only.
        let filler = if self.zero && !self.minus { b'0' } else { b' ' };
        out.resize(out.len() + missing, filler);
        if !self.minus {
            out.extend_from_slice(text);
        }
        out
    }

    pub(super) fn pad_with_spaces(&self, text: &[u8]) -> Vec<u8> {
        Flags { zero: false, ..*self }.pad(text)
    }

    pub(super) fn text(&self, text: &[u8]) -> Vec<u8> {
        self.pad(self.truncated(text))
    }

    fn truncated<'b>(&self, text: &'b [u8]) -> &'b [u8] {
        self.precision.map_or(text, |most| truncated(text, most))
    }

    /// `%q`
    pub(super) fn quoted(&self, text: &[u8]) -> Vec<u8> {
        let text = self.truncated(text);
        if self.sharp && can_backquote(text) {
            return self.pad(&[b"`", text, b"`"].concat());
        }
        self.pad(quote_with(text, self.escapes()).as_bytes())
    }

    fn escapes(&self) -> Escapes {
        if self.plus { Escapes::NonAscii } else { Escapes::Invisible }
    }

    /// `%x` of a text: its bytes.
    pub(super) fn hex(&self, text: &[u8], is_upper: bool) -> Vec<u8> {
        let text = &text[..self.precision.unwrap_or(text.len()).min(text.len())];
        if text.is_empty() {
            return self.pad(b"");
        }
        let prefix = if is_upper { "0X" } else { "0x" };
        let mut out = String::with_capacity(2 * text.len() + 2);
        for (nth, byte) in text.iter().enumerate() {
            if self.space && nth > 0 {
                out.push(' ');
            }
            if self.sharp && (nth == 0 || self.space) {
                out.push_str(prefix);
            }
            out.push_str(&if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(out.as_bytes())
    }

    pub(super) fn integer(&self, number: i128, base: Base) -> Vec<u8> {
        if self.precision == Some(0) && number == 0 {
            return self.pad_with_spaces(b"");
        }
        let magnitude = number.unsigned_abs();
        let digits = match base {
            Base::Binary => format!("{magnitude:b}"),
            Base::Octal | Base::MarkedOctal => format!("{magnitude:o}"),
            Base::Decimal => format!("{magnitude}"),
            Base::Hex => format!("{magnitude:x}"),
            Base::UpperHex => format!("{magnitude:X}"),
        };
        let sign = match () {
            () if number < 0 => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        };
        // Zeros are asked for by the precision, or by a flag and the width.
        let least = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let zeros = least.saturating_sub(digits.len());
        let prefix = match base {
            Base::MarkedOctal if self.sharp && zeros == 0 && !digits.starts_with('0') => "0o0",
            Base::MarkedOctal => "0o",
            Base::Binary if self.sharp => "0b",
            Base::Octal if self.sharp && zeros == 0 && !digits.starts_with('0') => "0",
            Base::Hex if self.sharp => "0x",
            Base::UpperHex if self.sharp => "0X",
            _ => "",
        };
        self.pad_with_spaces(format!("{sign}{prefix}{}{digits}", "0".repeat(zeros)).as_bytes())
    }

    /// `%c`
    pub(super) fn char(&self, number: u64) -> Vec<u8> {
        self.pad(to_char(number).encode_utf8(&mut [0; 4]).as_bytes())
    }

    /// `%q` of an integer.
    pub(super) fn quoted_char(&self, number: u64) -> Vec<u8> {
        self.pad(quote_char(to_char(number), self.escapes()).as_bytes())
    }

    /// `%U`
    pub(super) fn code_point(&self, number: u64) -> Vec<u8> {
        let least = self.precision.unwrap_or(0).max(4);
        let digits = format!("{number:X}");
        let zeros = least.saturating_sub(digits.len());
        let mut out = format!("U+{}{digits}", "0".repeat(zeros));
        let c = u32::try_from(number).ok().and_then(char::from_u32);
        if let (true, Some(c)) = (self.sharp, c.filter(|c| is_printable(*c))) {
            out.push_str(&format!(" '{c}'"));
        }
        self.pad_with_spaces(out.as_bytes())
    }
}
