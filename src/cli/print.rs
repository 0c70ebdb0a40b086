//! Texts for people and scripts, on standard output and standard error. A reader that went away, as `head` does, ends the
//! program quietly, as the signal does by which such programs end elsewhere; what Rust has for printing would panic.

use std::io::{self, ErrorKind, Write};

/// Of a shell for a program that SIGPIPE ended.
const READER_GONE: i32 = 128 + 13;

/// Prints on standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::print::to_output(&format!($($text)*)) };
}

/// Prints a line on standard output.
macro_rules! outln {
    () => { $crate::cli::print::to_output("\n") };
    ($($text:tt)*) => { $crate::cli::print::to_output(&(format!($($text)*) + "\n")) };
}

/// Prints on standard error.
macro_rules! err {
    ($($text:tt)*) => { $crate::cli::print::to_error(&format!($($text)*)) };
}

/// Prints a line on standard error.
macro_rules! errln {
    () => { $crate::cli::print::to_error("\n") };
    ($($text:tt)*) => { $crate::cli::print::to_error(&(format!($($text)*) + "\n")) };
}

pub(crate) use {err, errln, out, outln};

/// What cannot be written is a failure: nobody may take half of a text for the whole.
pub fn to_output(text: &str) {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if let Err(error) = written {
        if error.kind() != ErrorKind::BrokenPipe {
            to_error(&format!("cannot write to standard output: {error}\n"));
            std::process::exit(1);
        }
        std::process::exit(READER_GONE);
    }
}

pub fn to_error(text: &str) {
    let written = io::stderr().lock().write_all(text.as_bytes());
    // There is no other place to tell of another mistake.
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(READER_GONE);
    }
}
