//! What the text of a template consists of, and how messages name it.

use std::borrow::Cow;
use std::fmt;

use super::quote::{quote, truncated};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text is no template; the token's text says why.
    Error,
    /// The text is at its end.
    End,
    /// What stands outside of actions.
    Text,
    LeftDelimiter,
    RightDelimiter,
    Space,
    LeftParen,
    RightParen,
    Pipe,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// Another printable ASCII character.
    Char,
    Bool,
    CharConstant,
    Complex,
    Number,
    String,
    RawString,
    /// `.name`
    Field,
    Identifier,
    /// `$` or `$name`
    Variable,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Keyword {
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Keyword::Block,
            "break" => Keyword::Break,
            "continue" => Keyword::Continue,
            "define" => Keyword::Define,
            "else" => Keyword::Else,
            "end" => Keyword::End,
            "if" => Keyword::If,
            "nil" => Keyword::Nil,
            "range" => Keyword::Range,
            "template" => Keyword::Template,
            "with" => Keyword::With,
            _ => return None,
        })
    }
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub at: usize,
    pub text: Cow<'t, str>,
    /// The line where it begins, from 1.
    pub line: usize,
}

/// As Go's messages name it.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::End => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            Kind::Keyword(_) => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => write!(f, "{}...", quote(truncated(self.text.as_bytes(), 10))),
            _ => f.write_str(&quote(self.text.as_bytes())),
        }
    }
}
