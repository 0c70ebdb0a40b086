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

/// The keyword of a word; keywords are case-insensitive. Every keyword is also a legal metric name or label
/// name somewhere, which is the parser's business.
pub fn keyword(word: &str) -> Option<Kind> {
    use AggregateOp::*;
    use BinaryOp::*;
    // No keyword is longer, so most names are told apart without lowering them.
    if word.len() > 12 {
        return None;
    }
    Some(match word.to_ascii_lowercase().as_str() {
        "and" => Kind::Op(And),
        "or" => Kind::Op(Or),
        "unless" => Kind::Op(Unless),
        "atan2" => Kind::Op(Atan2),
        "sum" => Kind::Aggregate(Sum),
        "avg" => Kind::Aggregate(Avg),
        "count" => Kind::Aggregate(Count),
        "min" => Kind::Aggregate(Min),
        "max" => Kind::Aggregate(Max),
        "group" => Kind::Aggregate(Group),
        "stddev" => Kind::Aggregate(Stddev),
        "stdvar" => Kind::Aggregate(Stdvar),
        "topk" => Kind::Aggregate(TopK),
        "bottomk" => Kind::Aggregate(BottomK),
        "count_values" => Kind::Aggregate(CountValues),
        "quantile" => Kind::Aggregate(Quantile),
        "limitk" => Kind::Aggregate(LimitK),
        "limit_ratio" => Kind::Aggregate(LimitRatio),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "bool" => Kind::Keyword(Keyword::Bool),
        "by" => Kind::Keyword(Keyword::By),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "offset" => Kind::Keyword(Keyword::Offset),
        "on" => Kind::Keyword(Keyword::On),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "without" => Kind::Keyword(Keyword::Without),
        "start" => Kind::Special(Special::Start),
        "end" => Kind::Special(Special::End),
        "step" => Kind::Special(Special::Step),
        "range" => Kind::Special(Special::Range),
        "max_of" => Kind::Special(Special::MaxOf),
        "min_of" => Kind::Special(Special::MinOf),
        "inf" | "nan" => Kind::Number,
        _ => return None,
    })
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
