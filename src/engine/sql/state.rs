//! Errors of SQL that have a SQLSTATE of their own.

use std::fmt;

use datafusion::error::DataFusionError;

/// An error as PostgreSQL has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Its five letters.
    pub state: &'static str,
    pub message: String,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Raised {}

/// For DataFusion to hand on.
pub fn raised(state: &'static str, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(Raised { state, message: message.into() }))
}
