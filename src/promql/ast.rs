//! The syntax tree of PromQL 3.16. Spans are byte offsets into the query text.

use super::durations::literal_millis;
use super::functions::Function;
use super::operators::{AggregateOp, BinaryOp};
use super::span::Span;
use super::value_type::ValueType;
use crate::model::matcher::Matcher;

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `duration` says the literal was written as a duration (`5m` is 300).
    Number {
        value: f64,
        duration: bool,
        span: Span,
    },
    String {
        value: String,
        span: Span,
    },
    Paren {
        inner: Box<Expr>,
        span: Span,
    },
    /// `+` or `-`.
    Unary {
        negative: bool,
        inner: Box<Expr>,
        span: Span,
    },
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Box<Call>),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<Subquery>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub left: Expr,
    pub right: Expr,
    /// `bool` after a comparison.
    pub return_bool: bool,
    /// `None` where a side is a scalar.
    pub matching: Option<Matching>,
    pub span: Span,
    /// Where the operator itself stands.
    pub op_span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How elements of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    pub cardinality: Cardinality,
    /// `labels` are those of `on(...)`, otherwise of `ignoring(...)`.
    pub on: bool,
    pub labels: Vec<String>,
    /// Labels copied from the "one" side by `group_left(...)` / `group_right(...)`.
    pub include: Vec<String>,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_left: Option<f64>,
    pub fill_right: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub inner: Expr,
    /// The parameter of topk, bottomk, quantile, count_values, limitk, limit_ratio.
    pub param: Option<Expr>,
    /// `labels` are those of `without(...)`, otherwise of `by(...)`.
    pub without: bool,
    pub labels: Vec<String>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
    pub span: Span,
}

/// `@ <timestamp>`, `@ start()`, `@ end()`.
#[derive(Clone, Debug, PartialEq)]
pub enum At {
    /// Milliseconds.
    Timestamp(i64),
    Start,
    End,
}

/// A duration of a range, step or offset: written out, or an expression resolved when the query's
/// start, end and step are known ([`resolve`](super::duration_expressions::resolve)).
#[derive(Clone, Debug, PartialEq)]
pub enum Duration {
    /// Milliseconds; offsets may be negative.
    Literal(i64),
    Expr(Box<DurationExpr>),
}

impl Duration {
    /// The milliseconds, where they are written out.
    pub fn literal(&self) -> Option<i64> {
        match self {
            Duration::Literal(ms) => Some(*ms),
            Duration::Expr(_) => None,
        }
    }

    /// The milliseconds of a resolved duration.
    pub fn millis(&self) -> i64 {
        match self {
            Duration::Literal(ms) => *ms,
            Duration::Expr(_) => unreachable!("durations are resolved before lowering"),
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

/// Arithmetic in durations (stable since 3.14).
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub node: DurationNode,
    pub span: Span,
    /// Written in parentheses.
    pub wrapped: bool,
}

impl DurationExpr {
    /// The seconds of a plain number.
    pub(crate) fn literal_seconds(&self) -> Option<f64> {
        match self.node {
            DurationNode::Number { seconds, .. } => Some(seconds),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum DurationNode {
    /// Seconds. `duration` says it was written as one (`5m`), not as a bare number.
    Number {
        seconds: f64,
        duration: bool,
    },
    Unary {
        negative: bool,
        inner: Box<DurationExpr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<DurationExpr>,
        right: Box<DurationExpr>,
    },
    Step,
    Range,
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces, which is also among `matchers`.
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub offset: Duration,
    pub at: Option<At>,
    pub anchored: bool,
    pub smoothed: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Carries matchers, offset, `@`, anchored and smoothed.
    pub selector: VectorSelector,
    pub range: Duration,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub inner: Expr,
    pub range: Duration,
    /// `None`: the default evaluation interval.
    pub step: Option<Duration>,
    pub offset: Duration,
    pub at: Option<At>,
    pub span: Span,
}

impl Expr {
    pub fn span(&self) -> Span {
        match self {
            Expr::Number { span, .. } | Expr::String { span, .. } => *span,
            Expr::Paren { span, .. } | Expr::Unary { span, .. } => *span,
            Expr::Binary(e) => e.span,
            Expr::Aggregate(e) => e.span,
            Expr::Call(e) => e.span,
            Expr::Vector(e) => e.span,
            Expr::Matrix(e) => e.span,
            Expr::Subquery(e) => e.span,
        }
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number { .. } => ValueType::Scalar,
            Expr::String { .. } => ValueType::String,
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => inner.value_type(),
            Expr::Binary(e) => match (e.left.value_type(), e.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Aggregate(_) | Expr::Vector(_) => ValueType::Vector,
            Expr::Call(e) => e.function.returns,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
        }
    }

    /// Without the parentheses around it.
    pub fn without_parens(&self) -> &Expr {
        match self {
            Expr::Paren { inner, .. } => inner.without_parens(),
            other => other,
        }
    }

    /// Whether it is a number or a text as it is written.
    pub fn is_literal(&self) -> bool {
        matches!(self.without_parens(), Expr::Number { .. } | Expr::String { .. })
    }

    /// Whether it is a range vector.
    pub fn is_range(&self) -> bool {
        self.value_type() == ValueType::Matrix
    }

    /// The selector, if it is a bare one, which some functions treat specially.
    pub fn as_selector(&self) -> Option<&VectorSelector> {
        match self.without_parens() {
            Expr::Vector(selector) => Some(selector),
            _ => None,
        }
    }

    /// The expressions directly below, in the order in which they are evaluated.
    pub fn for_each_child<'a>(&'a self, f: &mut dyn FnMut(&'a Expr)) {
        match self {
            Expr::Number { .. } | Expr::String { .. } | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => f(inner),
            Expr::Binary(e) => {
                f(&e.left);
                f(&e.right);
            }
            Expr::Aggregate(e) => {
                f(&e.inner);
                e.param.iter().for_each(f);
            }
            Expr::Call(e) => e.args.iter().for_each(f),
            Expr::Subquery(e) => f(&e.inner),
        }
    }

    /// As `for_each_child`, to change them.
    pub fn for_each_child_mut(&mut self, f: &mut dyn FnMut(&mut Expr)) {
        match self {
            Expr::Number { .. } | Expr::String { .. } | Expr::Vector(_) | Expr::Matrix(_) => {}
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => f(inner),
            Expr::Binary(e) => {
                f(&mut e.left);
                f(&mut e.right);
            }
            Expr::Aggregate(e) => {
                f(&mut e.inner);
                e.param.iter_mut().for_each(f);
            }
            Expr::Call(e) => e.args.iter_mut().for_each(f),
            Expr::Subquery(e) => f(&mut e.inner),
        }
    }
}
