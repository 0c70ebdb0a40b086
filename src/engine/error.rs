//! DataFusion's errors in our terms; the one place that maps them.

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Our own errors come back as they went in; limits keep their kind; anything else is a defect of a plan or of
/// what it read.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => match source.downcast::<Error>() {
            Ok(own) => *own,
            Err(source) => match source.downcast::<DataFusionError>() {
                Ok(inner) => from_datafusion(*inner),
                Err(source) => Error::internal("a query failed").with_source(source),
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(shared) => from_shared(&shared),
        DataFusionError::ArrowError(error, _) => from_arrow(*error),
        DataFusionError::ResourcesExhausted(message) => {
            Error::new(ErrorKind::Limit, format!("query exceeds its memory limit: {message}"))
        }
        DataFusionError::NotImplemented(message) => Error::unsupported(message),
        DataFusionError::ObjectStore(source) => {
            Error::new(ErrorKind::Unavailable, "reading from object storage failed").with_source(source)
        }
        DataFusionError::Execution(message) => Error::execution(message),
        other => Error::internal("a query failed").with_source(other),
    }
}

fn from_arrow(error: datafusion::arrow::error::ArrowError) -> Error {
    match error {
        datafusion::arrow::error::ArrowError::ExternalError(source) => {
            from_datafusion(DataFusionError::External(source))
        }
        other => Error::internal("a query failed").with_source(other),
    }
}

/// An error several partitions wait for cannot be taken apart; its root is copied.
fn from_shared(shared: &DataFusionError) -> Error {
    match shared.find_root() {
        DataFusionError::External(source) => match source.downcast_ref::<Error>() {
            Some(own) => Error::new(own.kind, own.to_string()),
            None => Error::internal(source.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => {
            Error::new(ErrorKind::Limit, format!("query exceeds its memory limit: {message}"))
        }
        DataFusionError::NotImplemented(message) => Error::unsupported(message.clone()),
        DataFusionError::Execution(message) => Error::execution(message.clone()),
        other => Error::internal(other.to_string()),
    }
}
