//! The syntax tree of PromQL 3.14. Spans are byte offsets into the query text.

use crate::model::matcher::Matcher;

/// Half-open byte range of the query text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// Prometheus' value types of expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    Scalar,
    /// Instant vector.
    Vector,
    /// Range vector.
    Matrix,
    String,
}

impl ValueType {
    /// The word Prometheus uses in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }
}

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
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
    /// `</`: keep the part of a histogram below the scalar.
    TrimUpper,
    /// `>/`: keep the part of a histogram above the scalar.
    TrimLower,
}

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        use BinaryOp::*;
        match self {
            Add => "+",
            Sub => "-",
            Mul => "*",
            Div => "/",
            Mod => "%",
            Pow => "^",
            Atan2 => "atan2",
            Equal => "==",
            NotEqual => "!=",
            Greater => ">",
            Less => "<",
            GreaterEqual => ">=",
            LessEqual => "<=",
            And => "and",
            Or => "or",
            Unless => "unless",
            TrimUpper => "</",
            TrimLower => ">/",
        }
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Greater | Less | GreaterEqual | LessEqual)
    }

    /// Of floats; histograms know some of these.
    pub fn is_arithmetic(self) -> bool {
        use BinaryOp::*;
        matches!(self, Add | Sub | Mul | Div | Mod | Pow | Atan2)
    }

    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

impl AggregateOp {
    pub fn as_str(self) -> &'static str {
        use AggregateOp::*;
        match self {
            Sum => "sum",
            Avg => "avg",
            Count => "count",
            Min => "min",
            Max => "max",
            Group => "group",
            Stddev => "stddev",
            Stdvar => "stdvar",
            TopK => "topk",
            BottomK => "bottomk",
            CountValues => "count_values",
            Quantile => "quantile",
            LimitK => "limitk",
            LimitRatio => "limit_ratio",
        }
    }
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
    pub function: &'static super::functions::Function,
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
/// start, end and step are known (`parse::durations::resolve`).
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

/// Arithmetic in durations (stable since 3.14).
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub node: DurationNode,
    pub span: Span,
    /// Written in parentheses.
    pub wrapped: bool,
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
