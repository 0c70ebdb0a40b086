//! Durations wherever one may stand: a number, the notation, or arithmetic with both.
//!
//! A duration that is a plain number becomes [`Duration::Literal`] while parsing; everything else is kept as
//! written, both for printing and because `step()` and `range()` are not known yet.
//! [`duration_expressions`](crate::promql::duration_expressions) is the only way from one to the other.

use super::error::{Parsed, problem};
use super::token::{Kind, Special};
use super::{MAX_NESTING, Parser, span};
use crate::promql::ast::{Duration, DurationExpr, DurationNode};
use crate::promql::durations::out_of_range;
use crate::promql::operators::BinaryOp;
use crate::promql::span::Span;

/// The precedence of an operator of durations, as in expressions.
fn precedence(op: BinaryOp) -> Option<u8> {
    use BinaryOp::*;
    match op {
        Add | Sub => Some(1),
        Mul | Div | Mod => Some(2),
        Pow => Some(3),
        _ => None,
    }
}

impl Parser<'_> {
    pub(super) fn duration_expression(&mut self) -> Parsed<DurationExpr> {
        self.duration_binary(0)
    }

    /// The duration behind `offset`. A single term ends it, so that `a offset 5m + b` adds `b`; only what
    /// starts with a parenthesis or two signs goes on with operators, as in Prometheus.
    pub(super) fn offset_duration(&mut self) -> Parsed<Duration> {
        let sign = self.token();
        let signed = matches!(sign.kind, Kind::Op(BinaryOp::Add | BinaryOp::Sub));
        let after_sign = if signed { self.tokens.get(self.at + 1).map(|t| t.kind) } else { None };
        let expr = match after_sign.unwrap_or(sign.kind) {
            Kind::Number | Kind::Duration | Kind::Special(_) | Kind::LeftParen if signed => {
                self.advance();
                let inner = self.duration_term()?;
                let special = matches!(after_sign, Some(Kind::Special(_)));
                self.apply_sign(sign.kind == Kind::Op(BinaryOp::Sub), special, span(sign), inner)?
            }
            Kind::Number | Kind::Duration | Kind::Special(_) => self.duration_term()?,
            _ => self.duration_expression()?,
        };
        Ok(expr.into())
    }

    fn duration_binary(&mut self, min_precedence: u8) -> Parsed<DurationExpr> {
        self.enter()?;
        let mut left = self.duration_unary()?;
        let mut links = 0;
        while let Kind::Op(op) = self.peek() {
            let Some(level) = precedence(op).filter(|level| *level >= min_precedence) else {
                break;
            };
            let op_token = self.advance();
            let right = self.duration_binary(if op == BinaryOp::Pow { level } else { level + 1 })?;
            if right.literal_seconds() == Some(0.0) && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                let word = if op == BinaryOp::Div { "division" } else { "modulo" };
                return Err(problem(span(op_token), format!("{word} by zero")));
            }
            links += 1;
            if links > MAX_NESTING {
                return Err(problem(left.span, "duration expression is too long"));
            }
            let whole = Span::new(left.span.start, right.span.end);
            let node = DurationNode::Binary { op, left: Box::new(left), right: Box::new(right) };
            left = DurationExpr { node, span: whole, wrapped: false };
        }
        self.leave();
        Ok(left)
    }

    fn duration_unary(&mut self) -> Parsed<DurationExpr> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek() else {
            return self.duration_term();
        };
        let sign = self.advance();
        let inner = self.duration_binary(3)?;
        self.apply_sign(op == BinaryOp::Sub, false, span(sign), inner)
    }

    /// A sign before a duration: folded into numbers, and kept elsewhere unless it is a plus that says nothing.
    fn apply_sign(&self, negative: bool, keep_plus: bool, sign: Span, inner: DurationExpr) -> Parsed<DurationExpr> {
        let whole = Span::new(sign.start, inner.span.end);
        if let DurationNode::Number { seconds, duration } = inner.node {
            let seconds = if negative { -seconds } else { seconds };
            return Ok(DurationExpr {
                node: DurationNode::Number { seconds, duration },
                span: whole,
                wrapped: false,
            });
        }
        if !negative && !keep_plus {
            return Ok(inner);
        }
        let node = DurationNode::Unary { negative, inner: Box::new(inner) };
        Ok(DurationExpr { node, span: whole, wrapped: false })
    }

    fn duration_term(&mut self) -> Parsed<DurationExpr> {
        let token = self.token();
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.advance();
                let seconds = self.number(token)?;
                if out_of_range(seconds) {
                    return Err(problem(span(token), "duration out of range"));
                }
                let node = DurationNode::Number { seconds, duration: token.kind == Kind::Duration };
                Ok(DurationExpr { node, span: span(token), wrapped: false })
            }
            Kind::Special(Special::Step | Special::Range) => {
                self.advance();
                self.expect(Kind::LeftParen)?;
                let end = self.expect(Kind::RightParen)?.end;
                let step = token.kind == Kind::Special(Special::Step);
                let node = if step { DurationNode::Step } else { DurationNode::Range };
                Ok(DurationExpr { node, span: Span::new(token.start, end), wrapped: false })
            }
            Kind::Special(which @ (Special::MinOf | Special::MaxOf)) => {
                self.advance();
                self.duration_pair(which)
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.duration_expression()?;
                let end = self.expect(Kind::RightParen)?.end;
                Ok(wrap(inner, Span::new(token.start, end)))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `min_of(a, b)` and `max_of(a, b)` behind their name. The span is that of the arguments, which is where
    /// Prometheus' messages point.
    fn duration_pair(&mut self, which: Special) -> Parsed<DurationExpr> {
        self.expect(Kind::LeftParen)?;
        let left = Box::new(self.duration_expression()?);
        self.expect(Kind::Comma)?;
        let right = Box::new(self.duration_expression()?);
        self.expect(Kind::RightParen)?;
        let whole = Span::new(left.span.start, right.span.end);
        let min = which == Special::MinOf;
        let node = if min { DurationNode::MinOf(left, right) } else { DurationNode::MaxOf(left, right) };
        Ok(DurationExpr { node, span: whole, wrapped: false })
    }
}

/// Marks parentheses. A number has no room for the mark and gets a plus that carries it.
fn wrap(inner: DurationExpr, parens: Span) -> DurationExpr {
    if inner.literal_seconds().is_none() {
        return DurationExpr { wrapped: true, ..inner };
    }
    let whole = Span::new(parens.start, inner.span.end);
    let node = DurationNode::Unary { negative: false, inner: Box::new(inner) };
    DurationExpr { node, span: whole, wrapped: true }
}
