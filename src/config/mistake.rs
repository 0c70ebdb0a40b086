//! What is wrong with a file: all of it, each with its line and key, so that people mend it in one go.

use std::cell::RefCell;
use std::fmt;

use crate::config::yaml::Fault;
use crate::error::{Error, ErrorKind};

/// More are not told: a file of another kind would have one for each line.
const MAX_TOLD: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is not the file that was read first.
    pub file: Option<String>,
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
pub(super) struct Found {
    file: Option<String>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Found {
    /// In a file that another one names.
    pub fn of_file(file: &str) -> Self {
        Self { file: Some(file.to_string()), ..Self::default() }
    }

    pub fn add(&self, line: usize, path: &str, message: impl fmt::Display) {
        self.put(Mistake { file: None, line: Some(line), path: path.to_string(), message: message.to_string() });
    }

    pub fn add_fault(&self, fault: Fault) {
        self.put(Mistake::of(fault));
    }

    fn put(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(Mistake { file: self.file.clone(), ..mistake });
    }

    pub fn append(&self, other: Found) {
        self.mistakes.borrow_mut().extend(other.mistakes.into_inner());
    }

    /// Fails where there are any, in the order of their files and lines.
    pub fn into_result(self) -> Result<(), Mistakes> {
        let mut all = self.mistakes.into_inner();
        all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        all.dedup();
        if all.is_empty() { Ok(()) } else { Err(Mistakes(all)) }
    }
}

impl Mistake {
    pub fn of(fault: Fault) -> Self {
        Self { file: None, line: fault.line, path: String::new(), message: fault.message }
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
        let file = self.file.as_deref().unwrap_or(file);
        let line = self.line.map_or_else(String::new, |line| format!(":{line}"));
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{file}{line}: {path}{}", self.message)
    }
}
