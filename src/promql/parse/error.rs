//! Mistakes in a query: found at a place while parsing, told with line and column.

use std::fmt;

use crate::error::Error;
use crate::promql::span::{Span, line_column};

/// A message and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub message: String,
    pub span: Span,
}

pub(super) type Parsed<T> = Result<T, Problem>;

pub(super) fn problem(span: Span, message: impl Into<String>) -> Problem {
    Problem { message: message.into(), span }
}

/// Why a query is no PromQL. `Display` is Prometheus' text, `<line>:<col>: parse error: <message>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub message: String,
    pub span: Span,
    /// One-based; `None` for an empty query.
    pub position: Option<(usize, usize)>,
}

impl ParseError {
    pub(super) fn new(problem: Problem, query: &str) -> Self {
        let position = (!query.is_empty()).then(|| line_column(query, problem.span.start));
        Self { message: problem.message, span: problem.span, position }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::bad_input(error.to_string())
    }
}
