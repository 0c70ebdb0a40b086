//! The tree back to text, as Prometheus prints it: one line (`Display`), lines of at most 100 characters
//! where it can be split ([`pretty`]). Parentheses are nodes, so none are added, and what is printed parses to the same
//! tree.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{
    Aggregate, At, Binary, Call, Cardinality, Duration, DurationExpr, DurationNode, Expr, Matching, MatrixSelector,
    Subquery, VectorSelector,
};
use super::durations::format_duration;
use super::numbers::format_float;
use super::strings::quote;
use crate::model::labels::{METRIC_NAME, is_legacy_label_name};
use crate::model::matcher::{MatchOp, Matcher};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number { value, duration, .. } => f.write_str(&number(*value, *duration)),
            Expr::String { value, .. } => f.write_str(&quote(value)),
            Expr::Paren { inner, .. } => write!(f, "({inner})"),
            Expr::Unary { negative, inner, .. } => write!(f, "{}{inner}", sign(*negative)),
            Expr::Binary(e) => write!(f, "{} {} {}", e.left, operator(e), e.right),
            Expr::Aggregate(e) => {
                write!(f, "{}(", aggregation(e))?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.inner)
            }
            Expr::Call(e) => call(e, f),
            Expr::Vector(e) => f.write_str(&vector(e)),
            Expr::Matrix(e) => f.write_str(&matrix(e)),
            Expr::Subquery(e) => write!(f, "{}{}", e.inner, subquery_suffix(e)),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_char('(')?;
        }
        match &self.node {
            DurationNode::Number { seconds, duration } => f.write_str(&number(*seconds, *duration))?,
            DurationNode::Unary { negative, inner } => {
                write!(f, "{}{inner}", if *negative { "-" } else { "" })?;
            }
            DurationNode::Binary { op, left, right } => write!(f, "{left} {} {right}", op.as_str())?,
            DurationNode::Step => f.write_str("step()")?,
            DurationNode::Range => f.write_str("range()")?,
            DurationNode::MinOf(left, right) => write!(f, "min_of({left}, {right})")?,
            DurationNode::MaxOf(left, right) => write!(f, "max_of({left}, {right})")?,
        }
        if self.wrapped {
            f.write_char(')')?;
        }
        Ok(())
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Literal(ms) => f.write_str(&format_duration(*ms)),
            Duration::Expr(expr) => expr.fmt(f),
        }
    }
}

fn number(value: f64, duration: bool) -> String {
    if duration { format_duration((value * 1000.0) as i64) } else { format_float(value) }
}

fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "+" }
}

fn call(call: &Call, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}(", call.function.name)?;
    for (i, arg) in call.args.iter().enumerate() {
        write!(f, "{}{arg}", if i > 0 { ", " } else { "" })?;
    }
    f.write_char(')')
}

/// `sum by (a, b) `
fn aggregation(e: &Aggregate) -> String {
    let op = e.op.as_str();
    if e.without {
        format!("{op} without ({}) ", label_list(&e.labels))
    } else if e.labels.is_empty() {
        op.to_string()
    } else {
        format!("{op} by ({}) ", label_list(&e.labels))
    }
}

fn label_list(labels: &[String]) -> String {
    labels.iter().map(|label| label_name(label)).collect::<Vec<_>>().join(", ")
}

fn label_name(name: &str) -> String {
    if is_legacy_label_name(name) { name.to_string() } else { quote(name) }
}

/// An operator with `bool`, matching and fills.
fn operator(e: &Binary) -> String {
    let matching = e.matching.as_ref().map(matching).unwrap_or_default();
    format!("{}{}{matching}", e.op.as_str(), if e.return_bool { " bool" } else { "" })
}

fn matching(m: &Matching) -> String {
    let mut out = String::new();
    let grouped = match m.cardinality {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !m.labels.is_empty() || m.on || grouped.is_some() {
        out += &format!(" {} ({})", if m.on { "on" } else { "ignoring" }, label_list(&m.labels));
    }
    if let Some(side) = grouped {
        out += &format!(" group_{side} ({})", label_list(&m.include));
    }
    match (m.fill_left, m.fill_right) {
        (Some(left), Some(right)) if left == right => out += &format!(" fill ({})", short_float(left)),
        (left, right) => {
            out += &left.map(|v| format!(" fill_left ({})", short_float(v))).unwrap_or_default();
            out += &right.map(|v| format!(" fill_right ({})", short_float(v))).unwrap_or_default();
        }
    }
    out
}

/// Go's `%v`: the shortest digits, with an exponent below 1e-4 and from 1e21.
fn short_float(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-4..1e21).contains(&size) {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("LowerExp writes an exponent");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Name and matchers, without what shifts the time.
fn series(v: &VectorSelector) -> String {
    let name = v.name.as_deref().unwrap_or("");
    let is_name =
        |m: &&Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal && m.value == name && !name.is_empty();
    let mut matchers: Vec<String> = v.matchers.iter().filter(|m| !is_name(m)).map(matcher).collect();
    matchers.sort_unstable();
    // Prometheus prints nothing at all for `{}`, which `info(v, {})` allows; that does not parse again.
    if matchers.is_empty() && !name.is_empty() {
        return name.to_string();
    }
    format!("{name}{{{}}}", matchers.join(","))
}

fn matcher(m: &Matcher) -> String {
    format!("{}{}{}", label_name(&m.name), m.op.as_str(), quote(&m.value))
}

fn at(at: &Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Timestamp(ms)) => format!(" @ {:.3}", *ms as f64 / 1000.0),
        Some(At::Start) => " @ start()".to_string(),
        Some(At::End) => " @ end()".to_string(),
    }
}

fn offset(offset: &Duration) -> String {
    match offset {
        Duration::Literal(0) => String::new(),
        offset => format!(" offset {offset}"),
    }
}

fn extension(v: &VectorSelector) -> &'static str {
    match (v.anchored, v.smoothed) {
        (true, _) => " anchored",
        (_, true) => " smoothed",
        _ => "",
    }
}

fn vector(v: &VectorSelector) -> String {
    format!("{}{}{}{}", series(v), at(&v.at), extension(v), offset(&v.offset))
}

fn matrix(m: &MatrixSelector) -> String {
    let v = &m.selector;
    format!("{}[{}]{}{}{}", series(v), m.range, extension(v), at(&v.at), offset(&v.offset))
}

fn subquery_suffix(s: &Subquery) -> String {
    let step = s.step.as_ref().map(Duration::to_string).unwrap_or_default();
    format!("[{}:{step}]{}{}", s.range, at(&s.at), offset(&s.offset))
}

/// What fits into this many characters stays on one line.
const MAX_LINE: usize = 100;

/// The query over several lines, as `/api/v1/format_query` returns it.
pub fn pretty(expr: &Expr) -> String {
    pretty_at(expr, 0)
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn pretty_at(expr: &Expr, level: usize) -> String {
    let line = expr.to_string();
    let (here, below) = (indent(level), level + 1);
    match expr {
        Expr::Unary { negative, inner, .. } => {
            return format!("{here}{}{}", sign(*negative), pretty_at(inner, level).trim());
        }
        // Prometheus does not indent subqueries that fit.
        Expr::Subquery(_) if line.len() <= MAX_LINE => return line,
        _ if line.len() <= MAX_LINE => return here + &line,
        _ => {}
    }
    match expr {
        Expr::Paren { inner, .. } => format!("{here}(\n{}\n{here})", pretty_at(inner, below)),
        Expr::Binary(e) => {
            let (left, right) = (pretty_at(&e.left, below), pretty_at(&e.right, below));
            format!("{left}\n{here}{}\n{right}", operator(e))
        }
        Expr::Aggregate(e) => {
            let param = e.param.as_ref().map(|p| pretty_at(p, below) + ",\n").unwrap_or_default();
            format!("{here}{}(\n{param}{}\n{here})", aggregation(e), pretty_at(&e.inner, below))
        }
        Expr::Call(e) => {
            let args: Vec<String> = e.args.iter().map(|arg| pretty_at(arg, below)).collect();
            format!("{here}{}(\n{}\n{here})", e.function.name, args.join(",\n"))
        }
        Expr::Subquery(e) => pretty_at(&e.inner, level) + &subquery_suffix(e),
        _ => here + &line,
    }
}

#[cfg(test)]
mod tests;
