//! Go's regular expressions (RE2), which is what Prometheus means by a regular expression.
//!
//! A pattern becomes a syntax tree of the regex crate ([`parse`]), and that tree a pattern of the regex crate's own
//! grammar ([`to_rust`]), so that whoever compiles it need not know where the two grammars differ. Replacements that
//! refer to groups are read here too ([`expand`]). The rules and the messages are those of Go's regexp/syntax with its
//! Perl flags, as it was before Go 1.25.
//!
//! What is not here: anchors, which each user adds, and matching.

use std::fmt;

use regex_syntax::hir::{self, Hir};

/// Text to tree.
mod parser;
/// What is in brackets, and the classes that have names.
mod class;
/// A backslash and what follows it, where that is one character.
mod escape;
/// Unicode's categories and scripts by Go's names.
mod unicode;
/// Trees with their sizes, heights and repetitions.
mod node;
/// Tree to text.
mod printer;
/// `$1` and `${name}`.
mod template;

pub use template::{Part, expand, is_plain, parts};

/// What holds from the beginning of a pattern until it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `(?s)`.
    pub dot_matches_newline: bool,
}

/// The tree of a pattern.
///
/// A group's name is in the tree as [`expand`] looks for it, which is not always as it was written.
pub fn parse(pattern: &str, flags: Flags) -> Result<Hir, Error> {
    parser::parse(pattern, flags)
}

/// A pattern which the regex crate, without flags, reads as that tree. It is far larger than the original where that
/// had classes with names.
pub fn to_rust(tree: &Hir) -> String {
    hir::visit(tree, printer::Printer::default()).expect("a string can be written to")
}

/// Why a pattern is none, and the part of it which is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    mistake: Mistake,
    part: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    ClassRange,
    Escape,
    NamedCapture,
    PerlSyntax,
    NestedRepetition,
    RepeatCount,
    MissingBracket,
    MissingParen,
    MissingArgument,
    TrailingBackslash,
    UnexpectedParen,
    TooDeep,
    TooLarge,
}

impl Mistake {
    /// Go's words.
    fn words(self) -> &'static str {
        match self {
            Mistake::ClassRange => "invalid character class range",
            Mistake::Escape => "invalid escape sequence",
            Mistake::NamedCapture => "invalid named capture",
            Mistake::PerlSyntax => "invalid or unsupported Perl syntax",
            Mistake::NestedRepetition => "invalid nested repetition operator",
            Mistake::RepeatCount => "invalid repeat count",
            Mistake::MissingBracket => "missing closing ]",
            Mistake::MissingParen => "missing closing )",
            Mistake::MissingArgument => "missing argument to repetition operator",
            Mistake::TrailingBackslash => "trailing backslash at end of expression",
            Mistake::UnexpectedParen => "unexpected )",
            Mistake::TooDeep => "expression nests too deeply",
            Mistake::TooLarge => "expression too large",
        }
    }
}

impl Error {
    fn new(mistake: Mistake, part: &str) -> Self {
        Self { mistake, part: part.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing regexp: {}: `{}`", self.mistake.words(), self.part)
    }
}

impl std::error::Error for Error {}

/// The text from where `from` begins to where its end `to` begins.
fn before<'p>(from: &'p str, to: &str) -> &'p str {
    &from[..from.len() - to.len()]
}

#[cfg(test)]
mod tests;
