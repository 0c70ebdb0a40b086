//! DataFusion's errors in our terms; the one place that maps them.

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Of a query that has written as much to temporary files as it may.
pub const DISK_LIMIT: &str =
    "query exceeds the limit of temporary files: ask for less at a time, or raise --query.disk-bytes";

/// What to tell of DataFusion's refusal to give more memory: who holds how much is of no use to who asked.
pub fn memory_limit(refusal: &str) -> String {
    let pools = ["Failed to allocate additional", "Additional allocation failed"];
    match pools.iter().any(|text| refusal.contains(text)) {
        true => "query exceeds its memory limit: ask for less at a time, or raise --query.memory-bytes, which all \
                 queries share"
            .to_string(),
        false => format!("query exceeds its memory limit: {refusal}"),
    }
}

/// Whether an error is the disk manager's refusal, which has no kind of its own.
pub fn is_disk_limit(error: &str) -> bool {
    error.contains("used disk space during the spilling process")
}

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
        DataFusionError::ResourcesExhausted(message) => Error::new(ErrorKind::Limit, memory_limit(&message)),
        DataFusionError::NotImplemented(message) => Error::unsupported(message),
        DataFusionError::ObjectStore(source) => {
            Error::new(ErrorKind::Unavailable, "reading from object storage failed").with_source(source)
        }
        DataFusionError::Execution(message) => Error::execution(message),
        other => defect(other),
    }
}

fn from_arrow(error: datafusion::arrow::error::ArrowError) -> Error {
    match error {
        datafusion::arrow::error::ArrowError::ExternalError(source) => {
            from_datafusion(DataFusionError::External(source))
        }
        other => defect(other),
    }
}

fn defect(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    match is_disk_limit(&error.to_string()) {
        true => Error::new(ErrorKind::Limit, DISK_LIMIT),
        false => Error::internal("a query failed").with_source(error),
    }
}

/// An error several partitions wait for cannot be taken apart; its root is copied.
fn from_shared(shared: &DataFusionError) -> Error {
    match shared.find_root() {
        DataFusionError::External(source) => match source.downcast_ref::<Error>() {
            Some(own) => Error::new(own.kind, own.to_string()),
            None => Error::internal(source.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => Error::new(ErrorKind::Limit, memory_limit(message)),
        DataFusionError::NotImplemented(message) => Error::unsupported(message.clone()),
        DataFusionError::Execution(message) => Error::execution(message.clone()),
        other if is_disk_limit(&other.to_string()) => Error::new(ErrorKind::Limit, DISK_LIMIT),
        other => Error::internal(other.to_string()),
    }
}
