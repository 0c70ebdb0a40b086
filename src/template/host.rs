//! What functions are, and what they need besides their arguments.

use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::limits::{Budget, MAX_OUTPUT_BYTES};
use super::subject::{Answers, Subject};
use super::value::Value;

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// `interface {}`
    Any,
    /// `reflect.Value`: any value, as it is.
    Reflected,
    String,
    Int,
    Duration,
    Time,
    Samples,
    Sample,
}

impl Param {
    pub(super) fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Reflected => "reflect.Value",
            Param::String => "string",
            Param::Int => "int",
            Param::Duration => "time.Duration",
            Param::Time => "time.Time",
            Param::Samples => "template.queryResult",
            Param::Sample => "*template.sample",
        }
    }
}

#[derive(Debug)]
pub(super) struct Function {
    pub name: &'static str,
    pub fixed: &'static [Param],
    /// Of any number of arguments behind the fixed ones.
    pub rest: Option<Param>,
    pub body: Body,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Arguments are evaluated one by one, up to the one that decides.
    And,
    Or,
    /// There are no functions among the values, so it only has messages.
    Call,
    Of(fn(&mut Host<'_>, &[Value]) -> Outcome),
}

pub(super) type Outcome = Result<Value, Fault>;

/// Why a function has no result.
#[derive(Debug)]
pub(super) enum Fault {
    Error(String),
    /// A limit of an execution was met.
    Limit(String),
    /// The result of this query has to be known.
    Query(String),
}

impl<T: Into<String>> From<T> for Fault {
    fn from(message: T) -> Self {
        Fault::Error(message.into())
    }
}

/// What functions need besides their arguments.
pub(super) struct Host<'r> {
    pub subject: &'r Subject,
    pub answers: &'r Answers,
    pub budget: &'r mut Budget,
    /// Compiled, or why they can't be.
    pub expressions: HashMap<String, Result<Rc<Regex>, String>>,
}

impl Host<'_> {
    pub(super) fn take_steps(&mut self, steps: usize) -> Result<(), Fault> {
        self.budget.take_steps(steps).map_err(Fault::Limit)
    }

    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.budget.take_bytes(bytes).map_err(Fault::Limit)
    }

    /// A text that was made, if there is room for it.
    pub(super) fn made(&mut self, text: Option<Vec<u8>>) -> Outcome {
        let text = text.filter(|text| text.len() <= MAX_OUTPUT_BYTES);
        let text = text.ok_or_else(|| Fault::Limit(format!("a text of more than {MAX_OUTPUT_BYTES} bytes")))?;
        self.take_bytes(text.len())?;
        Ok(Value::text(text))
    }
}

/// An argument of a text parameter.
pub(super) fn text(arguments: &[Value], nth: usize) -> &[u8] {
    match arguments.get(nth) {
        Some(Value::String(text)) => text,
        _ => b"",
    }
}

/// What is printed of a value that an action gives: what pointers point to, and a text for no value.
pub(super) fn printable(value: &Value) -> Value {
    match value {
        Value::Invalid | Value::Any(None) => Value::text("<no value>"),
        Value::Sample(Some(sample)) => Value::SampleStruct(sample.clone()),
        Value::TimePointer(_) | Value::DurationPointer(_) => value.clone().indirect().unwrap_or(Value::Invalid),
        value => value.clone(),
    }
}
