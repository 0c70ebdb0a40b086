//! What a text may be before it is parsed: a look at its tokens bounds how deep its tree can be.
//!
//! The parser bounds its own recursion, but chains (`a + b + c`, `x::t::t`, `UNION`) it reads in a loop that puts one
//! box around another, and who drops or copies such a tree goes down it. A few constructs it reads recursively
//! without counting: types within types and intervals of intervals.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::{Result, TooComplex};

/// Tokens of a text, spaces left out.
const MAX_TOKENS: usize = 100_000;
/// Links of chains on one way down the tree. Dropping a tree takes some hundred bytes of stack for each.
const MAX_LINKS: usize = 12_000;
/// Brackets within brackets; the parser has a lower limit for most of them.
const MAX_BRACKETS: usize = 200;
/// Constructs that the parser reads recursively and does not count.
const MAX_UNCOUNTED: usize = 50;

/// Refuses what could become too deep a tree.
pub fn check(tokens: &[TokenWithSpan]) -> Result<usize> {
    let mut scan = Scan { frames: vec![Frame::default()], ..Scan::default() };
    let (mut before, mut count) = (&Token::EOF, 0);
    let meaning = tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_)));
    for token in meaning {
        count += 1;
        if count > MAX_TOKENS {
            return Err(TooComplex::new(format!("it has more than {MAX_TOKENS} words and signs")));
        }
        scan.uncounted(before, token)?;
        scan.token(token)?;
        before = token;
    }
    while scan.frames.len() > 1 {
        scan.close()?;
    }
    scan.top().depth().map(|_| count)
}

#[derive(Default)]
struct Scan {
    frames: Vec<Frame>,
    types: usize,
    intervals: usize,
    /// Subscripts or array signs one behind the other.
    subscripts: usize,
}

/// What is within a pair of brackets.
#[derive(Default)]
struct Frame {
    /// Of the item since the last comma.
    links: usize,
    /// The deepest bracket of that item.
    within: usize,
    /// The deepest item so far.
    deepest: usize,
    /// Set operations have lists as operands, so that a comma does not end their chain.
    set_operations: usize,
}

impl Frame {
    fn item(&self) -> usize {
        self.links + self.within
    }

    fn depth(&self) -> Result<usize> {
        let depth = self.deepest.max(self.item()) + self.set_operations;
        if depth > MAX_LINKS {
            return Err(TooComplex::new(format!("a chain or nest in it has more than {MAX_LINKS} parts")));
        }
        Ok(depth)
    }
}

impl Scan {
    fn top(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
        }
        self.frames.last_mut().expect("one was pushed if there was none")
    }

    fn token(&mut self, token: &Token) -> Result<()> {
        let top = self.top();
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                top.links += 1;
                self.frames.push(Frame::default());
                if self.frames.len() > MAX_BRACKETS {
                    return Err(TooComplex::new(format!(
                        "brackets in it are nested more than {MAX_BRACKETS} deep"
                    )));
                }
            }
            Token::RParen | Token::RBracket | Token::RBrace => self.close()?,
            Token::Comma | Token::SemiColon => {
                top.deepest = top.deepest.max(top.item());
                (top.links, top.within) = (0, 0);
                if *token == Token::SemiColon {
                    top.depth()?;
                    *top = Frame::default();
                }
            }
            Token::Word(word) if is_set_operation(word) => top.set_operations += 1,
            Token::Word(Word { keyword: Keyword::NoKeyword, .. }) | Token::Number(..) | Token::Period => {}
            Token::SingleQuotedString(_) | Token::Placeholder(_) => {}
            // Operators, and keywords that may be some.
            _ => top.links += 1,
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if self.frames.len() > 1
            && let Some(frame) = self.frames.pop()
        {
            let depth = frame.depth()? + 1;
            let top = self.top();
            top.within = top.within.max(depth);
        }
        Ok(())
    }

    fn uncounted(&mut self, before: &Token, token: &Token) -> Result<()> {
        match (before, token) {
            (Token::Word(word), Token::Lt | Token::ShiftLeft | Token::Neq) if is_type_of_types(word) => {
                self.types += 1
            }
            (Token::DoubleColon, Token::Word(_)) => {}
            (Token::Word(Word { keyword: Keyword::AS, .. }), Token::Word(_)) => {}
            // `INTERVAL '1 day'` is none of these: what follows is an expression of its own.
            (_, Token::Word(Word { keyword: Keyword::INTERVAL, .. })) => self.intervals += 1,
            (Token::Word(Word { keyword: Keyword::INTERVAL, .. }), Token::SingleQuotedString(_)) => {
                self.intervals = self.intervals.saturating_sub(1);
            }
            (Token::RBracket, Token::LBracket) => self.subscripts += 1,
            _ => {}
        }
        if token != &Token::LBracket && before == &Token::RBracket {
            self.subscripts = 0;
        }
        let most = self.types.max(self.intervals).max(self.subscripts);
        if most > MAX_UNCOUNTED {
            let message = format!("types, subscripts or intervals in it are nested more than {MAX_UNCOUNTED} deep");
            return Err(TooComplex::new(message));
        }
        Ok(())
    }
}

fn is_set_operation(word: &Word) -> bool {
    matches!(word.keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS)
}

fn is_type_of_types(word: &Word) -> bool {
    matches!(word.keyword, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP)
}
