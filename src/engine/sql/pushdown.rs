//! WHERE clauses to matchers and a time range.
//!
//! A clause is translated only where the translation is exact, so that DataFusion need not filter again. SQL and
//! matchers differ in what is absent: a label a series does not have is NULL in SQL and `""` to a matcher, so
//! a clause that NULL would fail gets a second matcher that wants the label.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator, TryCast};
use datafusion::scalar::ScalarValue;

use crate::engine::scan::table::Column;
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::TimeRange;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushdown {
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
}

impl Default for Pushdown {
    fn default() -> Self {
        Self { matchers: Vec::new(), range: TimeRange::ALL }
    }
}

impl Pushdown {
    pub fn and(&mut self, other: Pushdown) {
        self.matchers.extend(other.matchers);
        self.range.start_inclusive = self.range.start_inclusive.max(other.range.start_inclusive);
        self.range.end_inclusive = self.range.end_inclusive.min(other.range.end_inclusive);
    }

    fn matchers(matchers: Vec<Matcher>) -> Self {
        Self { matchers, ..Self::default() }
    }

    fn range(start_inclusive: i64, end_inclusive: i64) -> Self {
        Self { range: TimeRange::new(start_inclusive, end_inclusive), ..Self::default() }
    }
}

/// The exact meaning of one clause over the table's columns, or `None`.
pub fn translate(filter: &Expr, columns: &[(String, Column)]) -> Option<Pushdown> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut both = translate(left, columns)?;
            both.and(translate(right, columns)?);
            Some(both)
        }
        // Short IN lists arrive as this.
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            let (name, values) = alternatives(filter, columns)?;
            one_of(&name, &values, MatchOp::Regex)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (subject(left, columns), literal(right)) {
            (Some(subject), Some(value)) => compare(subject, *op, value),
            _ => compare(subject(right, columns)?, op.swap()?, literal(left)?),
        },
        Expr::Between(between) if !between.negated => {
            let subject = subject(&between.expr, columns)?;
            let mut both = compare(subject.clone(), Operator::GtEq, literal(&between.low)?)?;
            both.and(compare(subject, Operator::LtEq, literal(&between.high)?)?);
            Some(both)
        }
        Expr::InList(list) => in_list(list, columns),
        Expr::Like(like) => self::like(like, columns),
        Expr::IsNull(expr) => match subject(expr, columns)? {
            Subject::Label(name) => Some(Pushdown::matchers(vec![Matcher::equal(name, "")])),
            Subject::Timestamp => Some(Pushdown::range(1, 0)),
        },
        Expr::IsNotNull(expr) => match subject(expr, columns)? {
            Subject::Label(name) => Some(Pushdown::matchers(vec![present(&name)])),
            Subject::Timestamp => Some(Pushdown::default()),
        },
        _ => None,
    }
}

/// What a clause is about.
#[derive(Clone, Debug)]
enum Subject {
    Label(String),
    Timestamp,
}

fn subject(expr: &Expr, columns: &[(String, Column)]) -> Option<Subject> {
    match expr {
        Expr::Column(column) => match columns.iter().find(|(name, _)| *name == column.name)? {
            (_, Column::Label(label)) => Some(Subject::Label(label.clone())),
            (_, Column::Timestamp) => Some(Subject::Timestamp),
            _ => None,
        },
        // `labels['job']`
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "get_field" => {
            let [Expr::Column(column), key] = args.as_slice() else { return None };
            let is_labels = columns.iter().any(|(name, c)| *name == column.name && *c == Column::Labels);
            let key = literal(key).and_then(text)?;
            is_labels.then_some(Subject::Label(key))
        }
        // A cast of a timestamp to a finer unit keeps the instant; texts are only cast between text types.
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let inner = subject(expr, columns)?;
            let data_type = field.data_type();
            match inner {
                Subject::Timestamp => {
                    let finer = matches!(data_type, DataType::Timestamp(unit, _) if *unit != TimeUnit::Second);
                    finer.then_some(inner)
                }
                Subject::Label(_) => data_type.is_string().then_some(inner),
            }
        }
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => Some(value),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_string)
}

fn compare(subject: Subject, op: Operator, value: &ScalarValue) -> Option<Pushdown> {
    match subject {
        Subject::Label(name) => compare_label(&name, op, &text(value)?),
        Subject::Timestamp => compare_time(op, nanoseconds(value)?),
    }
}

fn compare_label(name: &str, op: Operator, value: &str) -> Option<Pushdown> {
    let matchers = match op {
        // No label is ever empty, so nothing equals the empty text and everything present differs from it.
        Operator::Eq if value.is_empty() => return Some(Pushdown::range(1, 0)),
        Operator::Eq => vec![Matcher::equal(name, value)],
        Operator::NotEq => vec![present(name), Matcher::new(name, MatchOp::NotEqual, value).ok()?],
        Operator::RegexMatch => vec![present(name), regex(name, MatchOp::Regex, "", value)?],
        Operator::RegexIMatch => vec![present(name), regex(name, MatchOp::Regex, "i", value)?],
        Operator::RegexNotMatch => vec![present(name), regex(name, MatchOp::NotRegex, "", value)?],
        Operator::RegexNotIMatch => vec![present(name), regex(name, MatchOp::NotRegex, "i", value)?],
        _ => return None,
    };
    Some(Pushdown::matchers(matchers))
}

fn present(name: &str) -> Matcher {
    Matcher::new(name, MatchOp::NotEqual, "").expect("a comparison with a text has no expression to compile")
}

/// SQL's `~` searches, matchers are anchored; and in a matcher's expression a dot takes newlines.
fn regex(name: &str, op: MatchOp, flags: &str, pattern: &str) -> Option<Matcher> {
    Matcher::new(name, op, format!("(?s:.*)(?{flags}-s:{pattern})(?s:.*)")).ok()
}

fn in_list(list: &InList, columns: &[(String, Column)]) -> Option<Pushdown> {
    let Subject::Label(name) = subject(&list.expr, columns)? else { return None };
    let values = list.list.iter().map(|item| literal(item).and_then(text)).collect::<Option<Vec<_>>>()?;
    one_of(&name, &values, if list.negated { MatchOp::NotRegex } else { MatchOp::Regex })
}

/// The label and the values of `a = 'x' OR a = 'y' OR …`.
fn alternatives(filter: &Expr, columns: &[(String, Column)]) -> Option<(String, Vec<String>)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match op {
        Operator::Or => {
            let (name, mut values) = alternatives(left, columns)?;
            let (other, more) = alternatives(right, columns)?;
            values.extend(more);
            (name == other).then_some((name, values))
        }
        Operator::Eq => match subject(left, columns)? {
            Subject::Label(name) => Some((name, vec![literal(right).and_then(text)?])),
            Subject::Timestamp => None,
        },
        _ => None,
    }
}

fn one_of(name: &str, values: &[String], op: MatchOp) -> Option<Pushdown> {
    // The empty text equals no label; an alternative for it would match absent ones.
    let values: Vec<String> = values.iter().filter(|v| !v.is_empty()).map(|v| regex::escape(v)).collect();
    match (values.is_empty(), op) {
        (true, MatchOp::Regex) => Some(Pushdown::range(1, 0)),
        (true, _) => Some(Pushdown::matchers(vec![present(name)])),
        _ => Some(Pushdown::matchers(vec![present(name), Matcher::new(name, op, values.join("|")).ok()?])),
    }
}

fn like(like: &Like, columns: &[(String, Column)]) -> Option<Pushdown> {
    let Subject::Label(name) = subject(&like.expr, columns)? else { return None };
    let pattern = text(literal(&like.pattern)?)?;
    // Escapes are left to DataFusion.
    if like.escape_char.is_some() || pattern.contains('\\') {
        return None;
    }
    let mut expression = String::from(if like.case_insensitive { "(?i)" } else { "" });
    for character in pattern.chars() {
        match character {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    let op = if like.negated { MatchOp::NotRegex } else { MatchOp::Regex };
    Some(Pushdown::matchers(vec![present(&name), Matcher::new(name, op, expression).ok()?]))
}

fn compare_time(op: Operator, nanoseconds: i128) -> Option<Pushdown> {
    const MILLISECOND: i128 = 1_000_000;
    let floor = clamp(nanoseconds.div_euclid(MILLISECOND));
    let whole = nanoseconds.rem_euclid(MILLISECOND) == 0;
    let ceiling = if whole { floor } else { floor.saturating_add(1) };
    Some(match op {
        Operator::Eq if whole => Pushdown::range(floor, floor),
        Operator::Eq => Pushdown::range(1, 0),
        Operator::GtEq => Pushdown::range(ceiling, i64::MAX),
        Operator::Gt => Pushdown::range(floor.saturating_add(1), i64::MAX),
        Operator::LtEq => Pushdown::range(i64::MIN, floor),
        Operator::Lt => Pushdown::range(i64::MIN, ceiling.saturating_sub(1)),
        _ => return None,
    })
}

fn clamp(milliseconds: i128) -> i64 {
    milliseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// A timestamp literal in nanoseconds since the epoch. A zone changes how it is shown, not the instant.
pub(super) fn nanoseconds(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::TimestampSecond(Some(t), _) => i128::from(*t) * 1_000_000_000,
        ScalarValue::TimestampMillisecond(Some(t), _) => i128::from(*t) * 1_000_000,
        ScalarValue::TimestampMicrosecond(Some(t), _) => i128::from(*t) * 1_000,
        ScalarValue::TimestampNanosecond(Some(t), _) => i128::from(*t),
        _ => return None,
    })
}
