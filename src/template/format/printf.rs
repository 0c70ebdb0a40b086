//! Formats: text with verbs, each with its flags, width, precision and the argument that it is for.

use super::super::characters::{REPLACEMENT, decode};
use super::super::value::Value;
use super::flags::Flags;
use super::printer::{Printer, bare};

/// Widths and precisions beyond are none.
const MOST: i64 = 1_000_000;

pub(super) fn write(printer: &mut Printer, format: &[u8], values: &[Value]) {
    let mut run = Run { printer, format, at: 0, values, next: 0, is_reordered: false, is_good: true };
    while !run.printer.is_full() && run.directive() {}
    run.extra();
}

struct Run<'p> {
    printer: &'p mut Printer,
    format: &'p [u8],
    at: usize,
    values: &'p [Value],
    /// The argument of the next verb.
    next: usize,
    /// An argument was asked for by its number.
    is_reordered: bool,
    /// The numbers of the directive's arguments are numbers, and there are such arguments.
    is_good: bool,
}

impl Run<'_> {
    /// The text up to a verb, and what it stands for; whether there was one.
    fn directive(&mut self) -> bool {
        let rest = &self.format[self.at..];
        let length = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        self.printer.write(&rest[..length]);
        self.at += length;
        if length == rest.len() {
            return false;
        }
        self.at += 1;
        self.is_good = true;
        let mut flags = self.flags();
        let mut is_numbered = self.argument_number();
        self.width(&mut flags, &mut is_numbered);
        self.precision(&mut flags, &mut is_numbered);
        if !is_numbered {
            self.argument_number();
        }
        let (verb, length) = decode(&self.format[self.at..]);
        if length == 0 {
            self.printer.write(b"%!(NOVERB)");
            return false;
        }
        self.at += length;
        self.verb(verb.unwrap_or(REPLACEMENT), flags);
        true
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        flags
    }

    fn width(&mut self, flags: &mut Flags, is_numbered: &mut bool) {
        if self.peek() != Some(b'*') {
            flags.width = self.number();
            // `%[3]2d`
            self.is_good &= !(*is_numbered && flags.width.is_some());
            return;
        }
        self.at += 1;
        match self.integer() {
            Some(width) => {
                if width < 0 {
                    flags.minus = true;
                    flags.zero = false;
                }
                flags.width = Some(width.unsigned_abs() as usize);
            }
            None => self.printer.write(b"%!(BADWIDTH)"),
        }
        *is_numbered = false;
    }

    fn precision(&mut self, flags: &mut Flags, is_numbered: &mut bool) {
        // A point at the end is a verb.
        if self.peek() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        // `%[3].2d`
        self.is_good &= !*is_numbered;
        *is_numbered = self.argument_number();
        if self.peek() != Some(b'*') {
            flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.at += 1;
        flags.precision = self.integer().and_then(|precision| usize::try_from(precision).ok());
        if flags.precision.is_none() {
            self.printer.write(b"%!(BADPREC)");
        }
        *is_numbered = false;
    }

    fn verb(&mut self, verb: char, mut flags: Flags) {
        if verb == '%' {
            return self.printer.write(b"%");
        }
        let Some(value) = self.values.get(self.next).filter(|_| self.is_good) else {
            let problem = if self.is_good { "(MISSING)" } else { "(BADINDEX)" };
            return self.printer.write(format!("%!{verb}{problem}").as_bytes());
        };
        if matches!(verb, 'v' | 'w') {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        self.printer.flags = flags;
        self.printer.argument(value, verb);
        self.next += 1;
    }

    /// Arguments that no verb has asked for.
    fn extra(&mut self) {
        let Some(extra) = self.values.get(self.next..).filter(|extra| !extra.is_empty() && !self.is_reordered)
        else {
            return;
        };
        self.printer.flags = Flags::default();
        self.printer.write(b"%!(EXTRA ");
        for (nth, value) in extra.iter().enumerate() {
            if nth > 0 {
                self.printer.write(b", ");
            }
            match bare(value) {
                Value::Invalid | Value::Any(None) => self.printer.write(b"<nil>"),
                value => {
                    self.printer.write(value.type_name().as_bytes());
                    self.printer.write(b"=");
                    self.printer.argument(value, 'v');
                }
            }
        }
        self.printer.write(b")");
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// Digits. Too many of them take all that is left of the format.
    fn number(&mut self) -> Option<usize> {
        let (number, end) = parse_number(self.format, self.at, self.format.len());
        self.at = end;
        number
    }

    /// An argument that is a width or a precision.
    fn integer(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match bare(value) {
            Value::Int(_, number) => *number,
            Value::Uint(_, number) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (-MOST..=MOST).contains(&number).then_some(number)
    }

    /// `[2]`: which argument comes next. Whether there was such a number.
    fn argument_number(&mut self) -> bool {
        let Some(rest) = self.format.get(self.at..).filter(|rest| rest.starts_with(b"[")) else { return false };
        self.is_reordered = true;
        let close = if rest.len() < 3 { None } else { rest.iter().position(|byte| *byte == b']') };
        let (number, length) = match close {
            Some(close) => {
                let (number, end) = parse_number(rest, 1, close);
                (number.filter(|_| end == close), close + 1)
            }
            None => (None, 1),
        };
        self.at += length;
        match number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.values.len()) {
            Some(index) => self.next = index,
            None => self.is_good = false,
        }
        number.is_some()
    }
}

/// Digits from `start` on, and what is behind them.
fn parse_number(text: &[u8], start: usize, end: usize) -> (Option<usize>, usize) {
    let mut number = None;
    for (at, byte) in text.iter().enumerate().take(end).skip(start) {
        if !byte.is_ascii_digit() {
            return (number, at);
        }
        if number.unwrap_or(0) > MOST as usize {
            return (None, end);
        }
        number = Some(number.unwrap_or(0) * 10 + usize::from(byte - b'0'));
    }
    (number, end.max(start))
}
