//! Text to a checked syntax tree: the whole grammar of PromQL 3.16, with Prometheus' error texts.
//!
//! A lexer that knows braces and brackets, then a Pratt parser, then type checks. The first mistake found is
//! the one reported, in the order in which Prometheus' parser would find it. Nothing is evaluated here.
//!
//! The parser is one type. What it knows of tokens and mistakes is here, its rules are methods in files by topic, which
//! call each other as the grammar does.

/// Aggregations and function calls.
mod calls;
/// Type checks over the finished tree.
mod checks;
/// Durations and their arithmetic.
mod durations;
/// Mistakes, and how they are told.
pub mod error;
/// Operators, literals, parentheses.
mod expression;
/// Text to tokens.
mod lex;
/// Selectors and their modifiers: ranges, subqueries, offset, `@`.
mod selectors;
/// Tokens and their names in messages.
pub(super) mod token;

#[cfg(test)]
mod tests;

use self::error::{ParseError, Parsed, Problem, problem};
use self::lex::tokenize;
use self::token::{Kind, Token};
use super::ast::Expr;
use super::span::Span;
use crate::model::matcher::Matcher;

/// Queries longer than this are refused; generated queries of real dashboards stay far below.
pub const MAX_QUERY_BYTES: usize = 256 * 1024;
/// Nesting of parentheses, calls and unary operators, which costs stack while parsing.
const MAX_NESTING: usize = 128;
/// Height of the tree, which costs stack in everything that walks it; `a + b + c` has height 3.
const MAX_HEIGHT: usize = 512;

/// Parts of the language behind `--enable-feature`; the default is what Prometheus 3.16 allows without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    pub experimental_functions: bool,
    pub binop_fill_modifiers: bool,
}

impl ParseOptions {
    /// Everything the parser knows.
    pub fn all() -> Self {
        Self { experimental_functions: true, binop_fill_modifiers: true }
    }
}

/// Parses and checks one expression.
pub fn parse(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let located = |problem| ParseError::new(problem, query);
    let mut parser = Parser::new(query, *options).map_err(located)?;
    let mut expr = parser.query().map_err(located)?;
    checks::check(&mut expr).map_err(located)?;
    Ok(expr)
}

/// Parses a series selector, as `match[]` parameters hold it. Selectors that could match a series without
/// any of their labels are not refused here, since callers have their own words for that
/// (see [`matches_anything`](super::selectors::matches_anything)).
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let located = |problem| ParseError::new(problem, text);
    let mut parser = Parser::new(text, ParseOptions::default()).map_err(located)?;
    parser.selector().map_err(located)
}

/// An expression and the height of its tree.
struct Node {
    expr: Expr,
    height: usize,
}

/// What a syntax error says while inside a construct: `unexpected … in <place>, expected <expected>`.
#[derive(Clone, Copy)]
struct Context {
    place: &'static str,
    expected: &'static str,
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    at: usize,
    lexical: Option<Problem>,
    options: ParseOptions,
    /// Innermost last.
    contexts: Vec<Context>,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParseOptions) -> Parsed<Self> {
        if query.len() > MAX_QUERY_BYTES {
            let message = format!("query has {} bytes, more than the limit of {MAX_QUERY_BYTES}", query.len());
            return Err(problem(Span::default(), message));
        }
        let (tokens, lexical) = tokenize(query);
        Ok(Self { query, tokens, at: 0, lexical, options, contexts: Vec::new(), nesting: 0 })
    }

    /// A whole query.
    fn query(&mut self) -> Parsed<Expr> {
        if self.peek() == Kind::Eof {
            return Err(problem(Span::default(), "no expression found in input"));
        }
        let node = self.expression()?;
        self.expect(Kind::Eof)?;
        Ok(node.expr)
    }

    fn peek(&self) -> Kind {
        self.tokens[self.at].kind
    }

    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    /// Takes the current token; the last one, `Eof` or `Error`, stays.
    fn advance(&mut self) -> Token {
        let token = self.tokens[self.at];
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn accept(&mut self, kind: Kind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, kind: Kind) -> Parsed<Token> {
        if self.peek() != kind {
            return Err(self.unexpected());
        }
        Ok(self.advance())
    }

    fn text(&self, token: Token) -> &'a str {
        &self.query[token.start..token.end]
    }

    /// Where the last taken token ends.
    fn previous_end(&self) -> usize {
        self.tokens[self.at.saturating_sub(1)].end
    }

    /// Runs `f` with syntax errors worded for a construct.
    fn within<T>(
        &mut self,
        place: &'static str,
        expected: &'static str,
        f: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        self.contexts.push(Context { place, expected });
        let result = f(self);
        self.contexts.pop();
        result
    }

    /// The syntax error of the current token.
    fn unexpected(&self) -> Problem {
        if let (Kind::Error, Some(lexical)) = (self.peek(), &self.lexical) {
            return lexical.clone();
        }
        let token = self.token();
        let mut message = format!("unexpected {}", token.kind.describe(self.text(token)));
        if let Some(context) = self.contexts.last() {
            message += &format!(" in {}", context.place);
            if !context.expected.is_empty() {
                message += &format!(", expected {}", context.expected);
            }
        }
        problem(span(token), message)
    }

    /// Counts one level of recursion; undone by `leave`.
    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(problem(
                span(self.token()),
                format!("query is nested more than {MAX_NESTING} levels deep"),
            ));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn node(&self, expr: Expr, height: usize) -> Parsed<Node> {
        if height > MAX_HEIGHT {
            let message = format!("query has more than {MAX_HEIGHT} operators on top of each other");
            return Err(problem(expr.span(), message));
        }
        Ok(Node { expr, height })
    }
}

fn span(token: Token) -> Span {
    Span::new(token.start, token.end)
}
