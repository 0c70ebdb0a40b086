//! What became of a file, and the exit code of all of them.

use std::process::ExitCode;

/// The exit code of linters.
pub const LINT_FAILURE: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Right,
    /// Right, and a linter has something to say.
    Linted,
    Wrong,
}

/// What linters have to say is a failure where they are `fatal`.
pub fn exit_code(outcomes: &[Outcome], fatal: bool) -> ExitCode {
    if outcomes.contains(&Outcome::Wrong) {
        ExitCode::FAILURE
    } else if fatal && outcomes.contains(&Outcome::Linted) {
        ExitCode::from(LINT_FAILURE)
    } else {
        ExitCode::SUCCESS
    }
}
