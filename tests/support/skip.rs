//! Tests that do not run say so: at once, past the capturing of output, and once more at the end of `cargo test`, by
//! `tests/what_was_skipped.rs`.

use std::io::Write;
use std::path::PathBuf;

/// Says why a test does not run; fails it where all peers are required, as in CI.
pub fn skip(what: &str, reason: &str) {
    assert!(std::env::var("PROMLAKE_PEERS").as_deref() != Ok("required"), "{what}: {reason}");
    skip_for_now(what, reason);
}

/// The same for a peer of a distribution that moves: it may be gone for a while, and is never required.
pub fn skip_for_now(what: &str, reason: &str) {
    let line = format!("SKIPPED: {what}: {reason}\n");
    // Not by a macro, whose output is shown only of tests that fail.
    let mut stderr = std::io::stderr();
    let list = std::fs::OpenOptions::new().create(true).append(true).open(list());
    let written = stderr.write_all(line.as_bytes()).and_then(|()| list?.write_all(line.as_bytes()));
    written.expect("saying what is skipped");
}

/// Of one run of `cargo test`, which starts all test programs, in the folder where they are.
pub fn list() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    program.with_file_name(format!("skipped-{}", std::os::unix::process::parent_id()))
}
