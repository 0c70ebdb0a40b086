//! Operators by precedence, literals and parentheses.

use super::error::{Parsed, problem};
use super::token::{Keyword, Kind, Token};
use super::{Node, Parser, span};
use crate::promql::ast::{Binary, Cardinality, Expr, Matching};
use crate::promql::durations;
use crate::promql::numbers::parse_number;
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;
use crate::promql::strings::{quote, unquote};

/// How tightly an operator binds; unary operators bind as multiplication does.
fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 1,
        And | Unless => 2,
        Equal | NotEqual | Greater | Less | GreaterEqual | LessEqual | TrimUpper | TrimLower => 3,
        Add | Sub => 4,
        Mul | Div | Mod | Atan2 => 5,
        Pow => 6,
    }
}

/// What stands between an operator and its right operand.
struct Modifiers {
    return_bool: bool,
    matching: Matching,
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Node> {
        self.binary(0)
    }

    fn binary(&mut self, min_precedence: u8) -> Parsed<Node> {
        self.enter()?;
        let mut left = self.unary()?;
        while let Kind::Op(op) = self.peek() {
            let level = precedence(op);
            if level < min_precedence {
                break;
            }
            let op_token = self.advance();
            let modifiers = self.modifiers()?;
            let right = self.binary(if op == BinaryOp::Pow { level } else { level + 1 })?;
            left = self.join(op, op_token, modifiers, left, right)?;
        }
        self.leave();
        Ok(left)
    }

    fn join(&self, op: BinaryOp, op_token: Token, modifiers: Modifiers, left: Node, right: Node) -> Parsed<Node> {
        let whole = Span::new(left.expr.span().start, right.expr.span().end);
        let mut matching = modifiers.matching;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills && !self.options.binop_fill_modifiers {
            return Err(problem(whole, "binop fill modifiers are experimental and not enabled"));
        }
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        let height = left.height.max(right.height) + 1;
        let binary = Binary {
            op,
            left: left.expr,
            right: right.expr,
            return_bool: modifiers.return_bool,
            matching: Some(matching),
            span: whole,
            op_span: span(op_token),
        };
        self.node(Expr::Binary(Box::new(binary)), height)
    }

    /// `bool`, `on`/`ignoring` with `group_left`/`group_right`, and fills, in this order.
    fn modifiers(&mut self) -> Parsed<Modifiers> {
        let return_bool = self.accept(Kind::Keyword(Keyword::Bool));
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let Kind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.peek() {
            self.advance();
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Kind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.peek() {
                self.advance();
                let left = keyword == Keyword::GroupLeft;
                matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.peek() == Kind::LeftParen {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok(Modifiers { return_bool, matching })
    }

    /// `fill(x)`, or `fill_left(x)` and `fill_right(x)` in either order.
    fn fills(&mut self, matching: &mut Matching) -> Parsed<()> {
        if self.accept(Kind::Keyword(Keyword::Fill)) {
            let value = self.fill_value()?;
            (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
        } else if self.accept(Kind::Keyword(Keyword::FillLeft)) {
            matching.fill_left = Some(self.fill_value()?);
            if self.accept(Kind::Keyword(Keyword::FillRight)) {
                matching.fill_right = Some(self.fill_value()?);
            }
        } else if self.accept(Kind::Keyword(Keyword::FillRight)) {
            matching.fill_right = Some(self.fill_value()?);
            if self.accept(Kind::Keyword(Keyword::FillLeft)) {
                matching.fill_left = Some(self.fill_value()?);
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Parsed<f64> {
        self.expect(Kind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Kind::RightParen)?;
        Ok(value)
    }

    /// A number or duration with an optional sign.
    pub(super) fn signed_number(&mut self) -> Parsed<f64> {
        let sign = match self.peek() {
            Kind::Op(BinaryOp::Sub) => -1.0,
            _ => 1.0,
        };
        if matches!(self.peek(), Kind::Op(BinaryOp::Add | BinaryOp::Sub)) {
            self.advance();
        }
        if !matches!(self.peek(), Kind::Number | Kind::Duration) {
            return Err(self.unexpected());
        }
        let token = self.advance();
        Ok(sign * self.number(token)?)
    }

    /// The value of a number or duration token, durations in seconds.
    pub(super) fn number(&self, token: Token) -> Parsed<f64> {
        let text = self.text(token);
        let value = if token.kind == Kind::Duration {
            durations::parse_nanos(text).map(|nanos| nanos as f64 / 1e9)
        } else {
            parse_number(text)
        };
        value.map_err(|message| problem(span(token), message))
    }

    fn unary(&mut self) -> Parsed<Node> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek() else {
            return self.postfix();
        };
        let start = self.advance().start;
        let negative = op == BinaryOp::Sub;
        // The operand takes powers, and nothing that binds less.
        let inner = self.binary(precedence(BinaryOp::Pow))?;
        let whole = Span::new(start, inner.expr.span().end);
        if let Expr::Number { value, duration, .. } = inner.expr {
            let value = if negative { -value } else { value };
            return Ok(Node { expr: Expr::Number { value, duration, span: whole }, height: 1 });
        }
        let expr = Expr::Unary { negative, inner: Box::new(inner.expr), span: whole };
        self.node(expr, inner.height + 1)
    }

    /// An operand with everything that may follow it: ranges, `offset`, `@`, `anchored`, `smoothed`.
    fn postfix(&mut self) -> Parsed<Node> {
        let mut node = self.primary()?;
        loop {
            node = match self.peek() {
                Kind::LeftBracket => self.range_or_subquery(node)?,
                Kind::At => self.at_modifier(node)?,
                Kind::Keyword(Keyword::Offset) => self.offset_modifier(node)?,
                Kind::Keyword(keyword @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.advance();
                    self.extend_range(node, keyword)?
                }
                _ => return Ok(node),
            };
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.token();
        match token.kind {
            Kind::LeftParen => {
                self.advance();
                let inner = self.expression()?;
                let end = self.expect(Kind::RightParen)?.end;
                let expr = Expr::Paren { inner: Box::new(inner.expr), span: Span::new(token.start, end) };
                self.node(expr, inner.height + 1)
            }
            Kind::Number | Kind::Duration => {
                self.advance();
                let duration = token.kind == Kind::Duration;
                self.node(Expr::Number { value: self.number(token)?, duration, span: span(token) }, 1)
            }
            Kind::String => {
                self.advance();
                self.node(Expr::String { value: self.unquoted(token)?, span: span(token) }, 1)
            }
            Kind::LeftBrace => self.vector_selector(None),
            Kind::Aggregate(op) => {
                self.advance();
                match self.peek() {
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => self.aggregate(op, token),
                    _ => self.vector_selector(Some(token)),
                }
            }
            Kind::Identifier | Kind::Special(_) => {
                self.advance();
                match self.peek() {
                    Kind::LeftParen => self.call(token),
                    _ => self.vector_selector(Some(token)),
                }
            }
            kind if kind.is_metric_name() => {
                self.advance();
                self.vector_selector(Some(token))
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn unquoted(&self, token: Token) -> Parsed<String> {
        let literal = self.text(token);
        unquote(literal).ok_or_else(|| {
            let quoted = quote(literal);
            problem(span(token), format!("error unquoting string {quoted}: invalid syntax"))
        })
    }
}
