//! Text to tokens, by the rules of Go's `text/template/parse`.
//!
//! The last token is the end of the text or an error. Lines are counted as Go counts them, which is not always how
//! one would: a line feed within a trimming delimiter counts twice.

use std::borrow::Cow;

use super::characters::{is_alphanumeric, is_printable};
use super::quote::{code_point, quote};
use super::token::{Keyword, Kind, Token};

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";
/// A hyphen and the space before or behind it.
const TRIM_MARKER_LENGTH: usize = 2;

pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, at: 0, start: 0, line: 1, start_line: 1, parens: 0, tokens: vec![] };
    let (kind, message) = match lexer.template() {
        Ok(()) => (Kind::End, String::new()),
        Err(message) => (Kind::Error, message),
    };
    let at = lexer.start;
    lexer.tokens.push(Token { kind, at, text: Cow::Owned(message), line: lexer.start_line });
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Where the token that is being read begins, and on which line.
    start: usize,
    start_line: usize,
    line: usize,
    /// Open parentheses of the action.
    parens: usize,
    tokens: Vec<Token<'t>>,
}

type Lexed = Result<(), String>;

impl<'t> Lexer<'t> {
    fn template(&mut self) -> Lexed {
        while let Some(length) = self.rest().find(LEFT) {
            self.outside(length);
            self.left_delimiter()?;
        }
        self.at = self.text.len();
        if self.at > self.start {
            self.count_lines();
            self.push(Kind::Text);
        }
        Ok(())
    }

    /// The text before an action, less the space that the action trims.
    fn outside(&mut self, length: usize) {
        let outside = &self.rest()[..length];
        let trimmed = match has_left_marker(&self.rest()[length + LEFT.len()..]) {
            true => outside.trim_end_matches(is_space).len(),
            false => length,
        };
        if length == 0 {
            return;
        }
        self.at += trimmed;
        self.count_lines();
        if trimmed > 0 {
            self.push(Kind::Text);
        }
        self.at += length - trimmed;
        self.ignore();
    }

    fn left_delimiter(&mut self) -> Lexed {
        self.at += LEFT.len();
        let marker = if has_left_marker(self.rest()) { TRIM_MARKER_LENGTH } else { 0 };
        if self.rest()[marker..].starts_with(LEFT_COMMENT) {
            self.at += marker;
            self.ignore();
            return self.comment();
        }
        self.push(Kind::LeftDelimiter);
        self.at += marker;
        self.ignore();
        self.parens = 0;
        self.action()
    }

    fn comment(&mut self) -> Lexed {
        let length = self.rest()[LEFT_COMMENT.len()..].find(RIGHT_COMMENT).ok_or("unclosed comment")?;
        self.at += LEFT_COMMENT.len() + length + RIGHT_COMMENT.len();
        let trims = self.right_delimiter().ok_or("comment ends before closing delimiter")?;
        self.count_lines();
        // As a token it would end here, and what follows be counted by itself.
        self.start = self.at;
        self.start_line = self.line;
        self.at += RIGHT.len();
        if trims {
            self.at += TRIM_MARKER_LENGTH;
            self.skip_space();
        }
        self.ignore();
        Ok(())
    }

    /// Whether the delimiter that comes next trims; `None` where none comes.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest[TRIM_MARKER_LENGTH..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    /// Up to the end of the action.
    fn action(&mut self) -> Lexed {
        loop {
            if let Some(trims) = self.right_delimiter() {
                if self.parens > 0 {
                    return Err("unclosed left paren".to_string());
                }
                self.end_of_action(trims);
                return Ok(());
            }
            let Some(c) = self.next() else { return Err("unclosed action".to_string()) };
            match c {
                c if is_space(c) => {
                    if self.space() {
                        return Ok(());
                    }
                }
                '=' => self.push(Kind::Assign),
                ':' if self.next() == Some('=') => self.push(Kind::Declare),
                ':' => return Err("expected :=".to_string()),
                '|' => self.push(Kind::Pipe),
                '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
                '`' => self.raw_string()?,
                '$' => self.name(Kind::Variable, Kind::Variable)?,
                '.' if self.rest().starts_with(|c: char| !c.is_ascii_digit()) => {
                    self.name(Kind::Keyword(Keyword::Dot), Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = self.start;
                    self.number()?;
                }
                c if is_alphanumeric(c) => self.word()?,
                '(' => {
                    self.parens += 1;
                    self.push(Kind::LeftParen);
                }
                ')' => {
                    self.parens = self.parens.checked_sub(1).ok_or("unexpected right paren")?;
                    self.push(Kind::RightParen);
                }
                c if c.is_ascii() && is_printable(c) => self.push(Kind::Char),
                c => return Err(format!("unrecognized character in action: {}", code_point(c))),
            }
        }
    }

    fn end_of_action(&mut self, trims: bool) {
        if trims {
            self.at += TRIM_MARKER_LENGTH;
            self.ignore();
        }
        self.at += RIGHT.len();
        self.push(Kind::RightDelimiter);
        if trims {
            self.skip_space();
            self.ignore();
        }
    }

    /// A run of spaces, less the last one where it belongs to a delimiter that trims. Whether that was read too, which it
    /// is if there was no other space, and then whatever parentheses are open.
    fn space(&mut self) -> bool {
        let mut last = self.start;
        while self.peek().is_some_and(is_space) {
            last = self.at;
            self.next();
        }
        let behind = &self.text[last..];
        if has_right_marker(behind) && behind[TRIM_MARKER_LENGTH..].starts_with(RIGHT) {
            self.line -= usize::from(behind.starts_with('\n'));
            self.at = last;
            if last == self.start {
                self.end_of_action(true);
                return true;
            }
        }
        self.push(Kind::Space);
        false
    }

    fn quoted(&mut self, delimiter: char, kind: Kind, unterminated: &str) -> Lexed {
        loop {
            let c = match self.next() {
                // What is escaped ends nothing, unless it is the end of the line.
                Some('\\') => self.next().filter(|c| *c != '\n').map(|_| '\\'),
                c => c,
            };
            match c {
                None | Some('\n') => return Err(unterminated.to_string()),
                Some(c) if c == delimiter => break,
                Some(_) => {}
            }
        }
        self.push(kind);
        Ok(())
    }

    fn raw_string(&mut self) -> Lexed {
        while self.next().ok_or("unterminated raw quoted string")? != '`' {}
        self.push(Kind::RawString);
        Ok(())
    }

    fn word(&mut self) -> Lexed {
        self.rest_of_name()?;
        let word = &self.text[self.start..self.at];
        self.push(match Keyword::of(word) {
            Some(keyword) => Kind::Keyword(keyword),
            None if matches!(word, "true" | "false") => Kind::Bool,
            None => Kind::Identifier,
        });
        Ok(())
    }

    /// What `.` or `$` begins: `alone` where no name follows.
    fn name(&mut self, alone: Kind, kind: Kind) -> Lexed {
        if self.is_at_terminator() {
            self.push(alone);
            return Ok(());
        }
        self.rest_of_name()?;
        self.push(kind);
        Ok(())
    }

    fn rest_of_name(&mut self) -> Lexed {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        match self.peek() {
            Some(c) if !self.is_at_terminator() => Err(format!("bad character {}", code_point(c))),
            _ => Ok(()),
        }
    }

    /// Whether a name may end here, so that `.X.Y` is two and `$x+2` an error.
    fn is_at_terminator(&self) -> bool {
        let follows = |c| is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(');
        self.peek().is_none_or(follows) || self.rest().starts_with(RIGHT)
    }

    /// What may be a number; whether it is one is for those who read it to say.
    fn number(&mut self) -> Lexed {
        let mut kind = Kind::Number;
        let mut is_good = self.scan_number();
        if is_good && matches!(self.peek(), Some('+' | '-')) {
            is_good = self.scan_number() && self.text[..self.at].ends_with('i');
            kind = Kind::Complex;
        }
        if !is_good {
            return Err(format!("bad number syntax: {}", quote(&self.text.as_bytes()[self.start..self.at])));
        }
        self.push(kind);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            // A leading zero alone does not mean octal, which floats may have.
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        while self.accept(digits) {}
        if self.accept(".") {
            while self.accept(digits) {}
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            while self.accept("0123456789_") {}
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }

    fn accept(&mut self, valid: &str) -> bool {
        let is_valid = self.peek().is_some_and(|c| valid.contains(c));
        if is_valid {
            self.next();
        }
        is_valid
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn push(&mut self, kind: Kind) {
        let text = Cow::Borrowed(&self.text[self.start..self.at]);
        self.tokens.push(Token { kind, at: self.start, text, line: self.start_line });
        self.start = self.at;
        self.start_line = self.line;
    }

    /// Leaves out what was skipped.
    fn ignore(&mut self) {
        self.count_lines();
        self.start = self.at;
        self.start_line = self.line;
    }

    /// Counts the lines of what was skipped, not read.
    fn count_lines(&mut self) {
        self.line += self.text[self.start..self.at].matches('\n').count();
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn has_left_marker(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn has_right_marker(text: &str) -> bool {
    text.starts_with(is_space) && text[1..].starts_with('-')
}
