//! Templates and their expansion (`template/template.go`, and `rules/alerting.go` for alerts).
//!
//! Queries take time and are not for this module to run. An [`Expansion`] runs up to a query whose result it does not
//! know, names it, and when it was answered runs once more from the beginning, now with that answer. That is the same
//! run again, since nothing else can change; two queries of the same text have the same answer, as both are at the time
//! of the evaluation.

use std::collections::HashMap;

use crate::error::{Error, Result};

use super::characters::to_text;
use super::execute::{Halt, Run};
use super::functions::link;
use super::host::Host;
use super::limits::{Budget, MAX_QUERIES};
use super::source::Template;
use super::subject::{Answer, Answers, Subject};

/// How far an expansion has come.
#[derive(Debug)]
pub enum Progress {
    /// To its end: the text, or Prometheus' message, which it shows as `<error expanding template: …>`.
    Done(Result<String>),
    /// To this query, of which it needs the answer.
    Query(String),
}

impl Template {
    /// Begins an expansion.
    pub fn start(&self, subject: Subject) -> Expansion<'_> {
        Expansion { template: self, subject, answers: Answers::new(), budget: Budget::new() }
    }
}

/// A template on its way to text.
#[derive(Debug)]
pub struct Expansion<'t> {
    template: &'t Template,
    subject: Subject,
    answers: Answers,
    budget: Budget,
}

impl Expansion<'_> {
    /// Runs to the end, or to a query that was not answered.
    pub fn run(&mut self) -> Progress {
        let host = Host {
            subject: &self.subject,
            answers: &self.answers,
            budget: &mut self.budget,
            expressions: HashMap::new(),
        };
        let name = &self.template.name;
        let problem = match Run::new(self.template, host).run(self.subject.to_data()) {
            Ok(text) => return Progress::Done(Ok(to_text(&text))),
            Err(Halt::Query(text)) if self.answers.len() < MAX_QUERIES => return Progress::Query(text),
            Err(Halt::Query(_)) => format!("template: {name}: more than {MAX_QUERIES} queries"),
            Err(Halt::Error(message)) => message,
            // The parser lets neither stand outside of a range.
            Err(Halt::Break | Halt::Continue) => format!("template: {name}: nothing to break or continue"),
        };
        Progress::Done(Err(Error::execution(format!("error executing template {name}: {problem}"))))
    }

    /// What [`Progress::Query`] asked for.
    pub fn answer(&mut self, query: String, answer: Answer) {
        self.answers.insert(query, answer);
    }
}

/// Where the table of an expression is shown, below the external URL: what an alert names as its origin.
pub fn table_link(expression: &str) -> String {
    link(expression.as_bytes(), 1)
}
