//! Go's package `fmt` for the values of templates: every verb and flag, and the messages for those that do not fit.
//!
//! Addresses are the one thing that is not Go's: a pointer within other values prints as one that is always the same.

use super::characters::to_text;
use super::value::Value;

/// Flags, width and precision, and what is padded by them.
mod flags;
/// Floats in all of Go's notations.
mod float;
/// Formats: text with verbs.
mod printf;
/// Values by their type.
mod printer;

use printer::Printer;
pub(super) use printer::{field, name};

/// `fmt.Sprint`: a space between two that are no texts. `None` where the text would be longer than `limit`.
pub(super) fn print(values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut printer = Printer::new(limit);
    let mut was_text = false;
    for (nth, value) in values.iter().enumerate() {
        let is_text = matches!(printer::bare(value), Value::String(_) | Value::Html(_));
        if nth > 0 && !is_text && !was_text {
            printer.write(b" ");
        }
        printer.argument(value, 'v');
        was_text = is_text;
    }
    printer.finish()
}

/// `fmt.Sprintln`
pub(super) fn println(values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut printer = Printer::new(limit);
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            printer.write(b" ");
        }
        printer.argument(value, 'v');
    }
    printer.write(b"\n");
    printer.finish()
}

/// `fmt.Sprintf`
pub(super) fn printf(format: &[u8], values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut printer = Printer::new(limit);
    printf::write(&mut printer, format, values);
    printer.finish()
}

/// A value as messages show it, which get it as a `reflect.Value`.
pub(super) fn reflected(value: &Value, verb: char, limit: usize) -> String {
    let mut printer = Printer::new(limit);
    match value {
        Value::Invalid => printer.write(b"<invalid reflect.Value>"),
        value => printer.argument(value, verb),
    }
    printer.finish().map(|text| to_text(&text)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
