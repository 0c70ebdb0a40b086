//! Tokens of PromQL, and how messages name them.

use crate::promql::operators::{AggregateOp, BinaryOp};
use crate::promql::strings::quote;

/// A token without its text; the text is `query[start..end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Eof,
    /// The lexer stopped here; it holds the message.
    Error,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=`
    Assign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// `@`
    At,
    Number,
    Duration,
    String,
    Identifier,
    /// An identifier with a colon, which can only be a metric.
    MetricIdentifier,
    /// `!=` inside braces is this token too.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Special(Special),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// Words that stand for values of the query: functions, arguments of `@`, and terms of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// Words with a meaning, sorted.
pub const WORDS: &[(&str, Kind)] = &[
    ("anchored", Kind::Keyword(Keyword::Anchored)),
    ("and", Kind::Op(BinaryOp::And)),
    ("atan2", Kind::Op(BinaryOp::Atan2)),
    ("avg", Kind::Aggregate(AggregateOp::Avg)),
    ("bool", Kind::Keyword(Keyword::Bool)),
    ("bottomk", Kind::Aggregate(AggregateOp::BottomK)),
    ("by", Kind::Keyword(Keyword::By)),
    ("count", Kind::Aggregate(AggregateOp::Count)),
    ("count_values", Kind::Aggregate(AggregateOp::CountValues)),
    ("end", Kind::Special(Special::End)),
    ("fill", Kind::Keyword(Keyword::Fill)),
    ("fill_left", Kind::Keyword(Keyword::FillLeft)),
    ("fill_right", Kind::Keyword(Keyword::FillRight)),
    ("group", Kind::Aggregate(AggregateOp::Group)),
    ("group_left", Kind::Keyword(Keyword::GroupLeft)),
    ("group_right", Kind::Keyword(Keyword::GroupRight)),
    ("ignoring", Kind::Keyword(Keyword::Ignoring)),
    ("inf", Kind::Number),
    ("limit_ratio", Kind::Aggregate(AggregateOp::LimitRatio)),
    ("limitk", Kind::Aggregate(AggregateOp::LimitK)),
    ("max", Kind::Aggregate(AggregateOp::Max)),
    ("max_of", Kind::Special(Special::MaxOf)),
    ("min", Kind::Aggregate(AggregateOp::Min)),
    ("min_of", Kind::Special(Special::MinOf)),
    ("nan", Kind::Number),
    ("offset", Kind::Keyword(Keyword::Offset)),
    ("on", Kind::Keyword(Keyword::On)),
    ("or", Kind::Op(BinaryOp::Or)),
    ("quantile", Kind::Aggregate(AggregateOp::Quantile)),
    ("range", Kind::Special(Special::Range)),
    ("smoothed", Kind::Keyword(Keyword::Smoothed)),
    ("start", Kind::Special(Special::Start)),
    ("stddev", Kind::Aggregate(AggregateOp::Stddev)),
    ("stdvar", Kind::Aggregate(AggregateOp::Stdvar)),
    ("step", Kind::Special(Special::Step)),
    ("sum", Kind::Aggregate(AggregateOp::Sum)),
    ("topk", Kind::Aggregate(AggregateOp::TopK)),
    ("unless", Kind::Op(BinaryOp::Unless)),
    ("without", Kind::Keyword(Keyword::Without)),
];

/// No word is longer, so most names are told apart without lowering them.
const MAX_WORD_BYTES: usize = 12;

/// The keyword of a word; keywords are case-insensitive. Every keyword is also a legal metric name or label
/// name somewhere, which is the parser's business.
pub fn keyword(word: &str) -> Option<Kind> {
    let mut lower = [0; MAX_WORD_BYTES];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    let place = WORDS.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(WORDS[place].1)
}

impl Kind {
    /// Whether the word can name a metric in front of braces or alone.
    pub fn is_metric_name(self) -> bool {
        use BinaryOp::{And, Or, Unless};
        use Keyword::*;
        match self {
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) | Kind::Special(_) => true,
            Kind::Op(op) => matches!(op, And | Or | Unless),
            Kind::Keyword(k) => {
                matches!(k, By | Fill | FillLeft | FillRight | Offset | Without | Anchored | Smoothed)
            }
            _ => false,
        }
    }

    /// Whether the word can name a label in `by (...)`, `on (...)` and their like.
    pub fn is_grouping_label(self) -> bool {
        match self {
            Kind::Op(op) => op == BinaryOp::Atan2 || self.is_metric_name(),
            Kind::Keyword(k) => k != Keyword::Without,
            _ => self.is_metric_name(),
        }
    }

    /// The token as messages call it.
    pub fn describe(self, text: &str) -> String {
        match self {
            Kind::Eof => "end of input".to_string(),
            Kind::Error => "error".to_string(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::Number => format!("number {}", shortened(text)),
            Kind::Duration => format!("duration {}", shortened(text)),
            Kind::String => format!("string {}", shortened(text)),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Op(_) | Kind::At | Kind::EqualRegex | Kind::NotRegex => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            _ => shortened(text),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() > 10 {
        let head: String = text.chars().take(10).collect();
        return format!("{}...", quote(&head));
    }
    quote(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert!(WORDS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(WORDS.iter().all(|(word, _)| word.len() <= MAX_WORD_BYTES));
        for (word, kind) in WORDS {
            assert_eq!(keyword(word), Some(*kind), "{word}");
        }
        assert_eq!(keyword("Count_Values"), Some(Kind::Aggregate(AggregateOp::CountValues)));
        assert_eq!(keyword("NaN"), Some(Kind::Number));
        for none in ["", "up", "sums", "count_values_", "a_name_that_is_long"] {
            assert_eq!(keyword(none), None, "{none}");
        }
    }
}
