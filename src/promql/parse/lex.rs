//! Text to tokens. The lexer knows where it is (inside braces, inside brackets), since words and characters
//! mean different things there; it does not know the grammar. It stops at the first error, which the parser
//! reports when it gets there, so that an earlier mistake of the grammar is reported first.

use super::error::{Parsed, Problem};
use super::token::{Keyword, Kind, Special, Token, keyword};
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;
use crate::promql::strings::{quote, quote_char};

/// The tokens of a query, ending in `Eof`, or in `Error` with the problem.
pub(super) fn tokenize(query: &str) -> (Vec<Token>, Option<Problem>) {
    let mut lexer = Lexer {
        query,
        tokens: Vec::with_capacity(query.len() / 4 + 2),
        start: 0,
        pos: 0,
        paren_depth: 0,
        in_braces: false,
        in_brackets: false,
        bracket_start: false,
        seen_colon: false,
        seen_duration: false,
    };
    let problem = lexer.run().err();
    if problem.is_some() {
        lexer.tokens.push(Token { kind: Kind::Error, start: lexer.start, end: query.len() });
    }
    (lexer.tokens, problem)
}

struct Lexer<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    /// Where the current token starts.
    start: usize,
    pos: usize,
    paren_depth: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Inside brackets and before the first literal: the stricter of the two states there.
    bracket_start: bool,
    seen_colon: bool,
    seen_duration: bool,
}

impl Lexer<'_> {
    fn run(&mut self) -> Parsed<()> {
        loop {
            self.skip_spaces();
            if self.rest().starts_with('#') && !self.bracket_start {
                self.skip_comment();
                continue;
            }
            let done = if self.in_braces {
                self.inside_braces()?
            } else if self.bracket_start {
                self.inside_brackets()?
            } else {
                self.statement()?
            };
            if done {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &str {
        &self.query[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.next();
        }
        found
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, start: self.start, end: self.pos });
        self.start = self.pos;
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Problem { message: message.into(), span: Span::new(self.start, self.query.len()) })
    }

    fn text(&self) -> &str {
        &self.query[self.start..self.pos]
    }

    fn skip_spaces(&mut self) {
        self.accept_run(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        self.start = self.pos;
    }

    fn skip_comment(&mut self) {
        self.accept_run(|c| c != '\n' && c != '\r');
        self.start = self.pos;
    }

    /// One token outside braces. `true` at the end of the input.
    fn statement(&mut self) -> Parsed<bool> {
        let Some(c) = self.next() else {
            return self.end_of_input();
        };
        match c {
            ',' => self.emit(Kind::Comma),
            '@' => self.emit(Kind::At),
            '=' | '!' | '<' | '>' => self.comparison(c)?,
            '"' | '\'' => self.string(c)?,
            '`' => self.raw_string()?,
            '{' => {
                self.emit(Kind::LeftBrace);
                self.in_braces = true;
            }
            '[' => self.open_bracket()?,
            ']' if self.in_brackets => self.close_bracket(),
            ']' => return self.fail(format!("unexpected right bracket {}", quote_char(Some(c)))),
            ':' if self.in_brackets => {
                if self.seen_colon {
                    return self.fail(format!("unexpected colon {}", quote_char(Some(c))));
                }
                self.emit(Kind::Colon);
                self.seen_colon = true;
            }
            c if is_alpha(c) && self.in_brackets => {
                if !self.duration_word() {
                    return self.fail(format!(
                        "unexpected character: {}, expected {}",
                        quote_char(Some(c)),
                        quote_char(Some(':'))
                    ));
                }
            }
            c if is_alpha(c) || c == ':' => self.word(),
            c if self.starts_number(c) => self.number()?,
            c => {
                if !self.punctuation(c)? {
                    return self.fail(format!("unexpected character: {}", quote_char(Some(c))));
                }
            }
        }
        Ok(false)
    }

    fn end_of_input(&mut self) -> Parsed<bool> {
        if self.paren_depth != 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.in_brackets {
            return self.fail("unclosed left bracket");
        }
        self.emit(Kind::Eof);
        Ok(true)
    }

    /// Arithmetic and parentheses, which look alike everywhere. `false` for another character.
    fn punctuation(&mut self, c: char) -> Parsed<bool> {
        let kind = match c {
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            '(' => {
                self.paren_depth += 1;
                Kind::LeftParen
            }
            ')' if self.paren_depth == 0 => {
                self.start = self.pos;
                return self.fail(format!("unexpected right parenthesis {}", quote_char(Some(c))));
            }
            ')' => {
                self.paren_depth -= 1;
                Kind::RightParen
            }
            _ => return Ok(false),
        };
        self.emit(kind);
        Ok(true)
    }

    fn comparison(&mut self, first: char) -> Parsed<()> {
        let second = self.peek();
        let (kind, width) = match (first, second) {
            ('=', Some('=')) => (Kind::Op(BinaryOp::Equal), 1),
            ('=', Some('~')) => {
                return self.fail(format!("unexpected character after '=': {}", quote_char(second)));
            }
            ('=', _) => (Kind::Assign, 0),
            ('!', Some('=')) => (Kind::Op(BinaryOp::NotEqual), 1),
            ('!', _) => return self.fail(format!("unexpected character after '!': {}", quote_char(second))),
            ('<', Some('=')) => (Kind::Op(BinaryOp::LessEqual), 1),
            ('<', Some('/')) => (Kind::Op(BinaryOp::TrimUpper), 1),
            ('<', _) => (Kind::Op(BinaryOp::Less), 0),
            (_, Some('=')) => (Kind::Op(BinaryOp::GreaterEqual), 1),
            (_, Some('/')) => (Kind::Op(BinaryOp::TrimLower), 1),
            (_, _) => (Kind::Op(BinaryOp::Greater), 0),
        };
        self.pos += width;
        self.emit(kind);
        Ok(())
    }

    fn inside_braces(&mut self) -> Parsed<bool> {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input inside braces");
        };
        match c {
            ',' => self.emit(Kind::Comma),
            '"' | '\'' => self.string(c)?,
            '`' => self.raw_string()?,
            '=' => {
                let regex = self.accept(|c| c == '~');
                self.emit(if regex { Kind::EqualRegex } else { Kind::Assign });
            }
            '!' => match self.next() {
                Some('~') => self.emit(Kind::NotRegex),
                Some('=') => self.emit(Kind::Op(BinaryOp::NotEqual)),
                other => {
                    let other = quote_char(other);
                    return self.fail(format!("unexpected character after '!' inside braces: {other}"));
                }
            },
            '{' => return self.fail(format!("unexpected left brace {}", quote_char(Some(c)))),
            '}' => {
                self.emit(Kind::RightBrace);
                self.in_braces = false;
            }
            c if is_alpha(c) => {
                self.accept_run(is_alphanumeric);
                self.emit(Kind::Identifier);
            }
            c => return self.fail(format!("unexpected character inside braces: {}", quote_char(Some(c)))),
        }
        Ok(false)
    }

    fn open_bracket(&mut self) -> Parsed<()> {
        if self.in_brackets {
            return self.fail(format!("unexpected left bracket {}", quote_char(Some('['))));
        }
        self.emit(Kind::LeftBracket);
        self.in_brackets = true;
        self.bracket_start = true;
        self.seen_colon = false;
        Ok(())
    }

    fn close_bracket(&mut self) {
        self.emit(Kind::RightBracket);
        self.in_brackets = false;
        self.bracket_start = false;
    }

    /// One token of a range before its first literal.
    fn inside_brackets(&mut self) -> Parsed<bool> {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                self.close_bracket();
                self.seen_colon = false;
            }
            ':' => {
                self.start = self.pos;
                if !self.seen_duration {
                    return self.fail("unexpected colon before duration in duration expression");
                }
                if self.seen_colon {
                    return self.fail("unexpected repeated colon in duration expression");
                }
                self.start = self.pos - 1;
                self.emit(Kind::Colon);
                self.seen_colon = true;
            }
            ',' => self.emit(Kind::Comma),
            c if self.starts_number(c) => {
                self.seen_duration = true;
                self.bracket_start = false;
                self.number()?;
            }
            c if is_alpha(c) && self.duration_word() => {}
            c => {
                if !self.punctuation(c)? {
                    let c = quote_char(Some(c));
                    return self.fail(format!("unexpected character in duration expression: {c}"));
                }
            }
        }
        Ok(false)
    }

    /// `step`, `range`, `min_of`, `max_of`, whose first letter is read; nothing else is a word in brackets.
    fn duration_word(&mut self) -> bool {
        let after_first = self.pos;
        self.accept_run(is_alpha);
        match keyword(self.text()) {
            Some(kind @ Kind::Special(Special::Step | Special::Range | Special::MaxOf | Special::MinOf)) => {
                self.emit(kind);
                true
            }
            _ => {
                self.pos = after_first;
                false
            }
        }
    }

    /// A name or keyword, whose first character is read.
    fn word(&mut self) {
        self.accept_run(|c| is_alphanumeric(c) || c == ':');
        let kind = match keyword(self.text()) {
            // Young keywords are keywords only where they can be, so that metrics of that name go on working.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if self.text().contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind);
    }

    fn starts_number(&self, c: char) -> bool {
        c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|next| next.is_ascii_digit()))
    }

    fn number(&mut self) -> Parsed<()> {
        self.pos = self.start;
        if self.scan_number() {
            self.emit(Kind::Number);
            return Ok(());
        }
        if self.scan_units() {
            self.emit(Kind::Duration);
            return Ok(());
        }
        let text = quote(self.text());
        self.fail(format!("bad number or duration syntax: {text}"))
    }

    /// Reads `[.]digits[._eE digits]*`, not all of which is a number: the parser reads it again. `false` where
    /// it cannot be one; what was read may still start a duration.
    fn scan_number(&mut self) -> bool {
        let hex = self.accept(|c| c == '0') && self.accept(|c| c == 'x' || c == 'X');
        let is_digit = move |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        if hex {
            self.accept(|c| c == '_');
        }
        self.accept(|c| c == '.');
        self.accept(is_digit);
        let (mut seen_dot, mut seen_exponent) = (false, false);
        while let Some(c) = self.peek().filter(|&c| is_digit(c) || matches!(c, '.' | '_' | 'e' | 'E')) {
            let exponent = matches!(c, 'e' | 'E');
            if (c == '.' && seen_dot) || (exponent && seen_exponent) {
                self.next();
                return false;
            }
            if c == '.' {
                self.next();
                seen_dot = true;
                if self.accept(|c| c == '_' || c == '.') || hex {
                    return false;
                }
            } else if exponent || c == '_' {
                self.next();
                if exponent {
                    seen_exponent = true;
                    self.accept(|c| c == '+' || c == '-');
                }
                if self.accept(|c| matches!(c, '.' | '_' | 'e' | 'E')) || self.peek().is_none() {
                    return false;
                }
            } else {
                self.accept_run(is_digit);
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// The rest of a duration behind its first digits.
    fn scan_units(&mut self) -> bool {
        let unit = |first: bool| move |c: char| "smhdw".contains(c) || (first && c == 'y');
        if !self.accept(unit(true)) {
            return false;
        }
        self.accept(|c| c == 's');
        while self.accept(|c| c.is_ascii_digit()) {
            self.accept_run(|c| c.is_ascii_digit());
            if !self.accept(unit(false)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        // The character that does not fit becomes part of the message.
        !self.accept(is_alphanumeric)
    }

    fn string(&mut self, delimiter: char) -> Parsed<()> {
        loop {
            match self.next() {
                Some('\\') => self.escape(delimiter)?,
                Some('\u{fffd}') => return self.fail("invalid UTF-8 rune"),
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some(c) if c == delimiter => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::String);
        Ok(())
    }

    fn raw_string(&mut self) -> Parsed<()> {
        loop {
            match self.next() {
                Some('\u{fffd}') => return self.fail("invalid UTF-8 rune"),
                None => return self.fail("unterminated raw string"),
                Some('`') => break,
                Some(_) => {}
            }
        }
        self.emit(Kind::String);
        Ok(())
    }

    /// Checks an escape whose backslash is read.
    fn escape(&mut self, delimiter: char) -> Parsed<()> {
        let first = self.next();
        let (width, radix, max) = match first {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == delimiter => return Ok(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, u32::from(char::MAX)),
            Some('U') => (8, 16, u32::from(char::MAX)),
            None => return self.fail("escape sequence not terminated"),
            Some(c) => return self.fail(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut code = 0u32;
        for _ in 0..width {
            let Some(c) = self.next() else {
                return self.fail("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(radix) else {
                return self.fail(format!("illegal character {} in escape sequence", code_point(c)));
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        if code > max || (0xd800..0xe000).contains(&code) {
            return self.fail("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}

/// `U+0078 'x'`
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}
