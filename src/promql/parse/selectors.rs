//! Selectors: matchers, ranges, subqueries, and the modifiers that shift their time.

use super::error::{Parsed, problem};
use super::token::{Keyword, Kind, Special, Token};
use super::{Node, Parser};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::ast::{At, Duration, Expr, MatrixSelector, Subquery, VectorSelector};
use crate::promql::numbers::format_float;
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;

const NOT_A_SELECTOR: &str =
    "must be preceded by an instant vector selector or range vector selector or a subquery";
const ANY_DURATION: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// A selector alone, for `match[]`.
    pub(super) fn selector(&mut self) -> Parsed<Vec<Matcher>> {
        let token = self.token();
        let node = if token.kind == Kind::LeftBrace {
            self.vector_selector(None)?
        } else if token.kind.is_metric_name() {
            self.advance();
            self.vector_selector(Some(token))?
        } else {
            return Err(self.unexpected());
        };
        self.expect(Kind::Eof)?;
        match node.expr {
            Expr::Vector(selector) => Ok(selector.matchers),
            _ => unreachable!("vector_selector returns a vector selector"),
        }
    }

    /// A selector whose name, if it has one, is taken.
    pub(super) fn vector_selector(&mut self, name_token: Option<Token>) -> Parsed<Node> {
        let start = name_token.unwrap_or(self.token()).start;
        let mut matchers = Vec::new();
        if self.accept(Kind::LeftBrace) {
            matchers = self.matchers()?;
        }
        let name = name_token.map(|token| self.text(token).to_string());
        matchers.extend(name.iter().map(Matcher::metric));
        let selector = VectorSelector {
            name,
            matchers,
            offset: Duration::Literal(0),
            at: None,
            anchored: false,
            smoothed: false,
            span: Span::new(start, self.previous_end()),
        };
        self.node(Expr::Vector(Box::new(selector)), 1)
    }

    /// The matchers behind `{`, and the `}`.
    fn matchers(&mut self) -> Parsed<Vec<Matcher>> {
        const PLACE: &str = "label matching";
        let mut matchers = Vec::new();
        loop {
            if self.accept(Kind::RightBrace) {
                return Ok(matchers);
            }
            matchers.push(self.within(PLACE, "identifier or \"}\"", Self::matcher)?);
            if self.accept(Kind::RightBrace) {
                return Ok(matchers);
            }
            self.within(PLACE, "\",\" or \"}\"", |p| p.expect(Kind::Comma))?;
        }
    }

    /// `name op "value"`, with the name quoted or not, or a quoted metric name alone.
    fn matcher(&mut self) -> Parsed<Matcher> {
        const PLACE: &str = "label matching";
        let token = self.token();
        let name = match token.kind {
            Kind::Identifier => {
                self.advance();
                self.text(token).to_string()
            }
            Kind::String => {
                self.advance();
                self.unquoted(token)?
            }
            _ => return Err(self.unexpected()),
        };
        let op = match self.peek() {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            _ if token.kind == Kind::String => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return self.within(PLACE, "label matching operator", |p| Err(p.unexpected())),
        };
        self.advance();
        let value_token = self.within(PLACE, "string", |p| p.expect(Kind::String))?;
        let value = self.unquoted(value_token)?;
        let whole = Span::new(token.start, value_token.end);
        Matcher::new(name, op, value).map_err(|e| problem(whole, e.to_string()))
    }

    /// `[range]`, `[range:]` or `[range:step]` behind an expression.
    pub(super) fn range_or_subquery(&mut self, node: Node) -> Parsed<Node> {
        let open = self.advance();
        let range = self.within("subquery or range selector", ANY_DURATION, Self::positive_duration)?;
        match self.peek() {
            Kind::RightBracket => {
                let brackets = Span::new(open.start, self.advance().end);
                self.matrix_selector(node, range, brackets)
            }
            Kind::Colon => {
                self.advance();
                let step = self.subquery_step()?;
                let whole = Span::new(node.expr.span().start, self.previous_end());
                let height = node.height + 1;
                let (offset, at) = (Duration::Literal(0), None);
                let subquery = Subquery { inner: node.expr, range, step, offset, at, span: whole };
                self.node(Expr::Subquery(Box::new(subquery)), height)
            }
            _ => self.within("subquery or range", "\":\" or \"]\"", |p| Err(p.unexpected())),
        }
    }

    fn subquery_step(&mut self) -> Parsed<Option<Duration>> {
        const PLACE: &str = "subquery selector";
        if self.accept(Kind::RightBracket) {
            return Ok(None);
        }
        let step = self.within(PLACE, "number, duration, step(), range(), or \"]\"", Self::positive_duration)?;
        self.within(PLACE, "\"]\"", |p| p.expect(Kind::RightBracket))?;
        Ok(Some(step))
    }

    fn matrix_selector(&mut self, node: Node, range: Duration, brackets: Span) -> Parsed<Node> {
        let Expr::Vector(selector) = node.expr else {
            return Err(problem(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.offset != Duration::Literal(0) {
            return Err(problem(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(problem(brackets, "no @ modifiers allowed before range"));
        }
        let whole = Span::new(selector.span.start, brackets.end);
        let matrix = MatrixSelector { selector: *selector, range, span: whole };
        self.node(Expr::Matrix(Box::new(matrix)), 2)
    }

    pub(super) fn offset_modifier(&mut self, mut node: Node) -> Parsed<Node> {
        self.advance();
        let value = self.within("offset", ANY_DURATION, Self::offset_duration)?;
        let end = self.previous_end();
        let whole = node.expr.span();
        let Some(shift) = shift_of(&mut node.expr) else {
            return Err(problem(whole, format!("offset modifier {NOT_A_SELECTOR}")));
        };
        if *shift.offset != Duration::Literal(0) {
            return Err(problem(whole, "offset may not be set multiple times"));
        }
        *shift.offset = value;
        shift.span.end = end;
        Ok(node)
    }

    pub(super) fn at_modifier(&mut self, mut node: Node) -> Parsed<Node> {
        self.advance();
        let whole = node.expr.span();
        let at = self.within("@", "timestamp", |p| p.at_value(whole))?;
        let end = self.previous_end();
        let Some(shift) = shift_of(&mut node.expr) else {
            return Err(problem(whole, format!("@ modifier {NOT_A_SELECTOR}")));
        };
        if shift.at.is_some() {
            return Err(problem(whole, "@ <timestamp> may not be set multiple times"));
        }
        *shift.at = Some(at);
        shift.span.end = end;
        Ok(node)
    }

    fn at_value(&mut self, selector: Span) -> Parsed<At> {
        if let Kind::Special(special @ (Special::Start | Special::End)) = self.peek() {
            self.advance();
            self.expect(Kind::LeftParen)?;
            self.expect(Kind::RightParen)?;
            return Ok(if special == Special::Start { At::Start } else { At::End });
        }
        let seconds = self.signed_number()?;
        if seconds.is_nan() || seconds.abs() >= i64::MAX as f64 {
            let seconds = if seconds.is_finite() { format!("{seconds:.6}") } else { format_float(seconds) };
            return Err(problem(selector, format!("timestamp out of bounds for @ modifier: {seconds}")));
        }
        Ok(At::Timestamp((seconds * 1000.0).round() as i64))
    }

    pub(super) fn extend_range(&self, mut node: Node, keyword: Keyword) -> Parsed<Node> {
        let anchored = keyword == Keyword::Anchored;
        let word = if anchored { "anchored" } else { "smoothed" };
        let whole = node.expr.span();
        let fail = |message: String| Err(problem(whole, message));
        let selector = match &mut node.expr {
            Expr::Vector(selector) => selector.as_mut(),
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => return fail(format!("{word} modifier is not supported for subqueries")),
            _ => return fail(format!("{word} modifier not implemented")),
        };
        selector.anchored |= anchored;
        selector.smoothed |= !anchored;
        if selector.anchored && selector.smoothed {
            return fail("anchored and smoothed modifiers cannot be used together".to_string());
        }
        Ok(node)
    }

    fn positive_duration(&mut self) -> Parsed<Duration> {
        let duration = self.duration_expression()?;
        if duration.literal_seconds().is_some_and(|seconds| seconds <= 0.0) {
            return Err(problem(duration.span, "duration must be greater than 0"));
        }
        Ok(duration.into())
    }
}

/// The parts of a selector or subquery that shift its time.
struct Shift<'e> {
    offset: &'e mut Duration,
    at: &'e mut Option<At>,
    span: &'e mut Span,
}

fn shift_of(expr: &mut Expr) -> Option<Shift<'_>> {
    Some(match expr {
        Expr::Vector(v) => Shift { offset: &mut v.offset, at: &mut v.at, span: &mut v.span },
        Expr::Matrix(m) => Shift { offset: &mut m.selector.offset, at: &mut m.selector.at, span: &mut m.span },
        Expr::Subquery(s) => Shift { offset: &mut s.offset, at: &mut s.at, span: &mut s.span },
        _ => return None,
    })
}
