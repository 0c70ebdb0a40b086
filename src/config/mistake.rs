//! What is wrong with a file: all of it, each with its line and key, so that people mend it in one go.

use std::cell::RefCell;
use std::fmt;

use crate::config::yaml::Fault;
use crate::error::{Error, ErrorKind};

/// More are not told: a file of another kind would have one for each line.
const MAX_TOLD: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: Option<usize>,
    /// As `scrape_configs[2].relabel_configs[0].action`; empty for the file.
    pub path: String,
    pub message: String,
}

/// All mistakes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

/// Where those who read a file put what they find.
#[derive(Debug, Default)]
pub(super) struct Found(RefCell<Vec<Mistake>>);

impl Found {
    pub fn add(&self, line: usize, path: &str, message: impl fmt::Display) {
        let mistake = Mistake { line: Some(line), path: path.to_string(), message: message.to_string() };
        self.0.borrow_mut().push(mistake);
    }

    pub fn add_fault(&self, fault: Fault) {
        self.0.borrow_mut().push(Mistake::of(fault));
    }

    /// Fails where there are any, in the order of their lines.
    pub fn into_result(self) -> Result<(), Mistakes> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|mistake| mistake.line);
        all.dedup();
        if all.is_empty() { Ok(()) } else { Err(Mistakes(all)) }
    }
}

impl Mistake {
    pub fn of(fault: Fault) -> Self {
        Self { line: fault.line, path: String::new(), message: fault.message }
    }
}

impl Mistakes {
    pub fn one(fault: Fault) -> Self {
        Self(vec![Mistake::of(fault)])
    }

    /// A line for each, as compilers write them: `FILE:LINE: KEY: MESSAGE`.
    pub fn shown(&self, file: &str) -> String {
        let mut lines: Vec<String> = self.0.iter().take(MAX_TOLD).map(|mistake| mistake.shown(file)).collect();
        if self.0.len() > MAX_TOLD {
            lines.push(format!("{file}: and {} more", self.0.len() - MAX_TOLD));
        }
        lines.join("\n")
    }

    pub fn into_error(self, file: &str) -> Error {
        Error::new(ErrorKind::BadInput, self.shown(file))
    }
}

impl Mistake {
    fn shown(&self, file: &str) -> String {
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{file}{line}: {path}{}", self.message)
    }
}
