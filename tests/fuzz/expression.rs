//! Expressions as the generator makes them and the shrinker cuts them: a tree with types, and its text.

use std::fmt::{self, Display, Formatter, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Scalar,
    Vector,
    Matrix,
    Text,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(String),
    Text(String),
    Selector(Selector),
    /// A selector's samples over a duration.
    Range(Selector, String),
    Subquery {
        of: Box<Expr>,
        range: String,
        /// Empty for the default.
        step: String,
        shift: Shift,
    },
    Call {
        function: &'static str,
        returns: Type,
        args: Vec<Expr>,
    },
    Negated(Box<Expr>),
    Binary {
        op: &'static str,
        /// `bool`, `on (…)`, `group_left (…)` in this order.
        modifiers: Vec<String>,
        sides: Box<[Expr; 2]>,
    },
    Aggregate {
        op: &'static str,
        /// `by (…)` or `without (…)`; empty for none.
        grouping: String,
        parameter: Option<Box<Expr>>,
        of: Box<Expr>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// Empty where a matcher names the metric.
    pub metric: &'static str,
    pub matchers: Vec<String>,
    pub shift: Shift,
}

/// `offset` and `@`, as they are written; empty for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shift {
    pub offset: String,
    pub at: String,
}

impl Expr {
    pub fn kind(&self) -> Type {
        match self {
            Self::Number(_) => Type::Scalar,
            Self::Text(_) => Type::Text,
            Self::Selector(_) | Self::Aggregate { .. } => Type::Vector,
            Self::Range(..) | Self::Subquery { .. } => Type::Matrix,
            Self::Call { returns, .. } => *returns,
            Self::Negated(of) => of.kind(),
            Self::Binary { sides, .. } if sides.iter().all(|s| s.kind() == Type::Scalar) => Type::Scalar,
            Self::Binary { .. } => Type::Vector,
        }
    }

    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(..) => Vec::new(),
            Self::Subquery { of, .. } | Self::Negated(of) => vec![of],
            Self::Call { args, .. } => args.iter().collect(),
            Self::Binary { sides, .. } => sides.iter().collect(),
            Self::Aggregate { parameter, of, .. } => {
                parameter.iter().map(Box::as_ref).chain([of.as_ref()]).collect()
            }
        }
    }

    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(..) => Vec::new(),
            Self::Subquery { of, .. } | Self::Negated(of) => vec![of],
            Self::Call { args, .. } => args.iter_mut().collect(),
            Self::Binary { sides, .. } => sides.iter_mut().collect(),
            Self::Aggregate { parameter, of, .. } => {
                parameter.iter_mut().map(Box::as_mut).chain([of.as_mut()]).collect()
            }
        }
    }

    /// Whether this or an expression inside it is so.
    pub fn any(&self, test: &impl Fn(&Self) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// A selector of native histograms, as far as its text tells.
    pub fn is_native(&self) -> bool {
        match self {
            Self::Selector(s) | Self::Range(s, _) => matches!(s.metric, "" | "sizes" | "spread" | "mixed"),
            _ => false,
        }
    }

    pub fn calls(&self, names: &[&str]) -> bool {
        self.any(&|e| match e {
            Self::Call { function, .. } => names.contains(function),
            Self::Aggregate { op, .. } | Self::Binary { op, .. } => names.contains(op),
            _ => false,
        })
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Selector(selector) => write!(f, "{selector}{}", selector.shift),
            Self::Range(selector, range) => write!(f, "{selector}[{range}]{}", selector.shift),
            Self::Subquery { of, range, step, shift } => write!(f, "({of})[{range}:{step}]{shift}"),
            Self::Call { function, args, .. } => write!(f, "{function}({})", list(args.iter())),
            Self::Negated(of) => write!(f, "-({of})"),
            Self::Binary { op, modifiers, sides } => {
                operand(&sides[0], f)?;
                write!(f, " {op} ")?;
                for modifier in modifiers {
                    write!(f, "{modifier} ")?;
                }
                operand(&sides[1], f)
            }
            Self::Aggregate { op, grouping, parameter, of } => {
                // The last bits of a value would show in a label.
                let of = if *op == "count_values" { format!("round({of})") } else { of.to_string() };
                let arguments: Vec<String> = parameter.iter().map(Box::to_string).chain([of]).collect();
                let space = if grouping.is_empty() { "" } else { " " };
                let text = format!("{op} {grouping}{space}({})", arguments.join(", "));
                // Which series it keeps is up to the server, how many is not.
                if *op == "limitk" { write!(f, "count({text})") } else { f.write_str(&text) }
            }
        }
    }
}

/// An operand in parentheses, unless it cannot be misread.
fn operand(expr: &Expr, f: &mut Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::Binary { .. } | Expr::Negated(_) => write!(f, "({expr})"),
        Expr::Number(number) if number.starts_with('-') => write!(f, "({number})"),
        _ => expr.fmt(f),
    }
}

fn list<'a>(exprs: impl Iterator<Item = &'a Expr>) -> String {
    exprs.map(Expr::to_string).collect::<Vec<_>>().join(", ")
}

/// Without `offset` and `@`, which stand behind a range.
impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric)?;
        if !self.matchers.is_empty() {
            write!(f, "{{{}}}", self.matchers.join(", "))?;
        }
        Ok(())
    }
}

impl Display for Shift {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (word, value) in [("offset", &self.offset), ("@", &self.at)] {
            if !value.is_empty() {
                f.write_char(' ')?;
                write!(f, "{word} {value}")?;
            }
        }
        Ok(())
    }
}
