//! SQL text to statements that can be planned: bounded before it is parsed, while it is, and after, so that no text
//! takes more stack or more time than there is. What is refused could be meant well, and says what it has too much of.

use std::fmt;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

/// Chains of `AND` and `OR` made shallow.
mod chains;
/// COPY and what comes behind it.
mod copies;
/// The parser's attempts are counted.
mod dialect;
/// FETCH and MOVE.
pub mod fetch;
/// FETCH FIRST.
mod limits;
/// How deep and how heavy a statement is.
mod shape;
/// BETWEEN SYMMETRIC.
mod symmetric;
/// TABLE.
mod table;
/// How deep a text can become.
mod tokens;
/// One walk over a tree for all visitors.
pub mod walk;

pub use shape::{MAX_DEPTH, check};

/// The largest text accepted.
pub const MAX_BYTES: usize = 1 << 20;
/// Words, signs and spaces of a text, roughly counted; the tokenizer makes a hundred bytes of each.
const MAX_RUNS: usize = 300_000;
/// Attempts of the parser: some for each token, and some.
const ATTEMPTS_PER_TOKEN: usize = 8;
const ATTEMPTS: usize = 20_000;

/// Why a text is no list of statements.
#[derive(Debug)]
pub enum Refused {
    /// Bytes it may have at most.
    TooLong(usize),
    TooComplex(TooComplex),
    Syntax(ParserError),
    /// What is not built, named.
    Unsupported(&'static str),
}

/// What a text has too much of.
#[derive(Debug, PartialEq, Eq)]
pub struct TooComplex(Box<str>);

type Result<T> = std::result::Result<T, TooComplex>;

impl TooComplex {
    fn new(reason: impl Into<Box<str>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement too complex: {}", self.0)
    }
}

impl From<TooComplex> for Refused {
    fn from(reason: TooComplex) -> Self {
        Self::TooComplex(reason)
    }
}

impl From<ParserError> for Refused {
    fn from(error: ParserError) -> Self {
        match error {
            ParserError::RecursionLimitExceeded => Self::TooComplex(TooComplex::new("it is nested too deeply")),
            error => Self::Syntax(error),
        }
    }
}

/// All statements of a text, in PostgreSQL's dialect, each fit to be planned.
pub fn parse(sql: &str) -> std::result::Result<Vec<Statement>, Refused> {
    if sql.len() > MAX_BYTES {
        return Err(Refused::TooLong(MAX_BYTES));
    }
    if runs(sql) > MAX_RUNS {
        return Err(TooComplex::new(format!("it has more than {MAX_RUNS} words, signs and spaces")).into());
    }
    // A dialect knows its own tokens; it counts nothing there.
    let dialect = dialect::Bounded::new(0);
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(ParserError::from)?;
    let count = tokens::check(&tokens)?;
    let dialect = dialect::Bounded::new(ATTEMPTS + ATTEMPTS_PER_TOKEN * count);
    let mut statements = vec![];
    for part in copies::apart(table::written_out(tokens)) {
        statements.extend(Parser::new(&dialect).with_tokens_with_locations(part).parse_statements()?);
    }
    for statement in &mut statements {
        limits::plain(statement).map_err(|wrong| match wrong {
            limits::Wrong::Unsupported(what) => Refused::Unsupported(what),
            limits::Wrong::Twice => {
                Refused::Syntax(ParserError::ParserError("multiple LIMIT clauses not allowed".into()))
            }
        })?;
        chains::balance(statement);
        shape::check(statement)?;
    }
    Ok(statements)
}

/// At least as many as the text has tokens: of letters and digits that follow each other there is at most one, of
/// everything else one for each.
fn runs(sql: &str) -> usize {
    let mut in_word = false;
    let begins = |byte: u8| {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        let begins = !(is_word && in_word);
        in_word = is_word;
        begins
    };
    sql.bytes().map(begins).filter(|begins| *begins).count()
}

#[cfg(test)]
mod tests;
