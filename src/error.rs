//! One error type for the whole crate. A kind says what the caller can do about it; protocols map
//! kinds once, to Prometheus' `errorType` in `server/http` and to SQLSTATE in `server/pg`.

use std::fmt;

/// What the caller does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is wrong; the same call fails again (`bad_data`).
    BadInput,
    /// The input is understood, but a part of it is not supported here; the message names the part.
    Unsupported,
    /// A query failed while it ran, for a reason in its data (`execution`).
    Execution,
    /// A configured limit would be exceeded; ask for less or raise the limit.
    Limit,
    /// The deadline passed (`timeout`).
    Timeout,
    /// The client went away or cancelled (`canceled`).
    Canceled,
    /// The named thing does not exist.
    NotFound,
    /// The request cannot be served right now; the same call may succeed later.
    Unavailable,
    /// Another writer was first; refresh and decide again. Never leaves `storage`.
    Conflict,
    /// The store refuses writes after a durable write failed; restart the process.
    Poisoned,
    /// A defect of promlake, or of what it reads back from its own storage.
    Internal,
}

/// An error with a kind, a message that names the thing, and where it came from.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with the cause attached; `Display` prints it after a colon.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadInput, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub fn execution(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Execution, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// Attaches a kind and a message to any error.
pub trait Context<T> {
    fn context(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(kind, message()).with_source(e))
    }
}
