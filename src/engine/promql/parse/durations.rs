//! Durations: the notation (`1h30m`), the arithmetic allowed wherever a duration may stand, and its
//! evaluation once a query's start, end and step are known.
//!
//! A duration that is a plain number becomes `Duration::Literal` while parsing; everything else is kept as
//! written, both for printing and because `step()` and `range()` are not known yet. `resolve` is the only way
//! from one to the other.

use super::numbers::parse_number;
use super::strings::quote;
use super::token::{Kind, Special};
use super::{Parsed, Parser, problem, span};
use crate::engine::promql::ast::{BinaryOp, Duration, DurationExpr, DurationNode, Expr, Span};
use crate::error::{Error, Result};

/// Units from large to small, with their nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Prometheus' durations are nanoseconds in 64 bits; what does not fit is an error, for compatibility.
const LIMIT_NANOS: u64 = i64::MAX as u64;

/// The milliseconds of `1h30m` or `0`: units in falling order, each at most once, a year has 365 days.
pub fn parse_duration(text: &str) -> Result<i64> {
    parse_nanos(text).map(|nanos| nanos / 1_000_000).map_err(Error::bad_input)
}

pub(super) fn parse_nanos(text: &str) -> Result<i64, String> {
    match text {
        "" => return Err("empty duration string".to_string()),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut rest = text;
    let mut next_unit = 0;
    let mut total = 0u64;
    while !rest.is_empty() {
        let (digits, tail) = split_at_first(rest, |c| !c.is_ascii_digit());
        let (unit, tail) = split_at_first(tail, |c| c.is_ascii_digit());
        rest = tail;
        let value: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        if index < next_unit {
            return Err(invalid());
        }
        next_unit = index + 1;
        total = value
            .checked_mul(UNITS[index].1)
            .and_then(|nanos| total.checked_add(nanos))
            .filter(|nanos| *nanos <= LIMIT_NANOS)
            .ok_or("duration out of range")?;
    }
    Ok(total as i64)
}

fn split_at_first(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// Milliseconds in Prometheus' notation; years and weeks only where nothing is left over.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = if ms < 0 { "-".to_string() } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (unit, nanos) in UNITS {
        let size = nanos / 1_000_000;
        if rest < size || (matches!(unit, "y" | "w") && !rest.is_multiple_of(size)) {
            continue;
        }
        out += &format!("{}{unit}", rest / size);
        rest %= size;
    }
    out
}

/// Seconds that do not fit Prometheus' durations.
fn out_of_range(seconds: f64) -> bool {
    seconds.abs() > LIMIT_NANOS as f64 / 1e9
}

/// Seconds of a literal to milliseconds, by way of whole nanoseconds.
fn literal_millis(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

impl DurationExpr {
    /// The seconds of a plain number.
    pub(super) fn literal_seconds(&self) -> Option<f64> {
        match self.node {
            DurationNode::Number { seconds, .. } => Some(seconds),
            _ => None,
        }
    }
}

impl From<DurationExpr> for Duration {
    fn from(expr: DurationExpr) -> Self {
        match expr.literal_seconds() {
            Some(seconds) => Duration::Literal(literal_millis(seconds)),
            None => Duration::Expr(Box::new(expr)),
        }
    }
}

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
            self.require_duration_expressions(&left)?;
            if right.literal_seconds() == Some(0.0) && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                let word = if op == BinaryOp::Div { "division" } else { "modulo" };
                return Err(problem(span(op_token), format!("{word} by zero")));
            }
            links += 1;
            if links > super::MAX_NESTING {
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
                self.gated(DurationExpr { node, span: Span::new(token.start, end), wrapped: false })
            }
            Kind::Special(which @ (Special::MinOf | Special::MaxOf)) => {
                self.advance();
                self.duration_pair(which)
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.duration_expression()?;
                let end = self.expect(Kind::RightParen)?.end;
                self.require_duration_expressions(&inner)?;
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
        self.gated(DurationExpr { node, span: whole, wrapped: false })
    }

    fn gated(&self, expr: DurationExpr) -> Parsed<DurationExpr> {
        self.require_duration_expressions(&expr)?;
        Ok(expr)
    }

    fn require_duration_expressions(&self, expr: &DurationExpr) -> Parsed<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(problem(expr.span, "experimental duration expression is not enabled"))
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

/// What duration expressions can ask for.
#[derive(Clone, Copy)]
struct QueryTimes {
    step_seconds: f64,
    range_seconds: f64,
}

/// Replaces every duration expression by its value in milliseconds. An instant query has step 0 and
/// `start == end`, so that a range of `step()` is an error there.
pub fn resolve(expr: &mut Expr, start_ms: i64, end_ms: i64, step_ms: i64) -> Result<()> {
    let times = QueryTimes {
        step_seconds: step_ms as f64 / 1000.0,
        range_seconds: end_ms.saturating_sub(start_ms) as f64 / 1000.0,
    };
    resolve_in(expr, times)
}

fn resolve_in(expr: &mut Expr, times: QueryTimes) -> Result<()> {
    match expr {
        Expr::Vector(v) => settle(&mut v.offset, times, true)?,
        Expr::Matrix(m) => {
            settle(&mut m.range, times, false)?;
            settle(&mut m.selector.offset, times, true)?;
        }
        Expr::Subquery(s) => {
            settle(&mut s.offset, times, true)?;
            if let Some(step) = &mut s.step {
                settle(step, times, false)?;
            }
            settle(&mut s.range, times, false)?;
        }
        _ => {}
    }
    let mut result = Ok(());
    expr.for_each_child_mut(&mut |child| {
        if result.is_ok() {
            result = resolve_in(child, times);
        }
    });
    result
}

fn settle(duration: &mut Duration, times: QueryTimes, may_be_negative: bool) -> Result<()> {
    let Duration::Expr(expr) = duration else {
        return Ok(());
    };
    let seconds = evaluate(expr, times)?;
    if !seconds.is_finite() {
        return Err(complain(expr, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !may_be_negative {
        return Err(complain(expr, "duration must be greater than 0"));
    }
    if out_of_range(seconds) {
        return Err(complain(expr, "duration is out of range"));
    }
    *duration = Duration::Literal((seconds * 1000.0) as i64);
    Ok(())
}

fn evaluate(expr: &DurationExpr, times: QueryTimes) -> Result<f64> {
    Ok(match &expr.node {
        DurationNode::Number { seconds, .. } => *seconds,
        DurationNode::Step => times.step_seconds,
        DurationNode::Range => times.range_seconds,
        DurationNode::Unary { negative, inner } => {
            let value = evaluate(inner, times)?;
            if *negative { -value } else { value }
        }
        // The standard library's min and max skip NaN, Go's do not.
        DurationNode::MinOf(a, b) | DurationNode::MaxOf(a, b) => {
            let (a, b) = (evaluate(a, times)?, evaluate(b, times)?);
            let min = matches!(expr.node, DurationNode::MinOf(..));
            if a.is_nan() || b.is_nan() {
                f64::NAN
            } else if min {
                a.min(b)
            } else {
                a.max(b)
            }
        }
        DurationNode::Binary { op, left, right } => {
            let (left, right) = (evaluate(left, times)?, evaluate(right, times)?);
            match op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                BinaryOp::Div if right == 0.0 => return Err(complain(expr, "division by zero")),
                BinaryOp::Div => left / right,
                BinaryOp::Mod if right == 0.0 => return Err(complain(expr, "modulo by zero")),
                BinaryOp::Mod => left % right,
                BinaryOp::Pow => left.powf(right),
                _ => unreachable!("the parser builds no other operator into a duration"),
            }
        }
    })
}

/// Prometheus gives these two byte offsets and no line.
fn complain(expr: &DurationExpr, message: &str) -> Error {
    Error::bad_input(format!("{}:{}: {message}", expr.span.start, expr.span.end))
}

/// Seconds as a number, or a duration: what the HTTP API takes for `step`, `timeout` and their like.
pub fn parse_seconds_or_duration(text: &str) -> Result<i64> {
    if let Ok(seconds) = parse_number(text) {
        if !seconds.is_finite() || out_of_range(seconds) {
            return Err(Error::bad_input(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                quote(text)
            )));
        }
        return Ok(literal_millis(seconds));
    }
    parse_duration(text).map_err(|_| Error::bad_input(format!("cannot parse {} to a valid duration", quote(text))))
}
