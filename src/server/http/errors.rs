//! The one place where an [`ErrorKind`] becomes Prometheus' `errorType` and an HTTP status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::error::{Error, ErrorKind};
use crate::server::http::envelope;

/// What an API handler answers with when it fails.
#[derive(Debug)]
pub struct ApiError(pub Error);

pub type ApiResult = Result<Response, ApiError>;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (error_type, status) = classify(self.0.kind);
        if status.is_server_error() && self.0.kind != ErrorKind::Timeout {
            tracing::error!(error = %self.0, error_type, "request failed");
        }
        envelope::error(status, error_type, &self.0.to_string())
    }
}

/// `errorType` and status. An `unavailable` is a 500 in Prometheus, not a 503, and clients were written to it.
pub fn classify(kind: ErrorKind) -> (&'static str, StatusCode) {
    match kind {
        ErrorKind::BadInput | ErrorKind::Unsupported => ("bad_data", StatusCode::BAD_REQUEST),
        ErrorKind::Execution | ErrorKind::Limit => ("execution", StatusCode::UNPROCESSABLE_ENTITY),
        ErrorKind::Timeout => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
        ErrorKind::Canceled => ("canceled", client_closed_request()),
        ErrorKind::NotFound => ("not_found", StatusCode::NOT_FOUND),
        ErrorKind::Unavailable => ("unavailable", StatusCode::INTERNAL_SERVER_ERROR),
        ErrorKind::Conflict | ErrorKind::Poisoned | ErrorKind::Internal => {
            ("internal", StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// nginx' number for a client that went away, which Prometheus uses too.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).expect("499 is a status code")
}

/// The error of a parameter, in Prometheus' words. Errors that are not about the input keep their kind.
pub fn invalid_parameter(name: &str, error: Error) -> ApiError {
    ApiError(Error { message: format!("invalid parameter {name:?}: {}", error.message), ..error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let check = |kind, error_type, status: u16| {
            assert_eq!(classify(kind), (error_type, StatusCode::from_u16(status).unwrap()), "{kind:?}");
        };
        check(ErrorKind::BadInput, "bad_data", 400);
        check(ErrorKind::Unsupported, "bad_data", 400);
        check(ErrorKind::Execution, "execution", 422);
        check(ErrorKind::Limit, "execution", 422);
        check(ErrorKind::Timeout, "timeout", 503);
        check(ErrorKind::Canceled, "canceled", 499);
        check(ErrorKind::NotFound, "not_found", 404);
        check(ErrorKind::Unavailable, "unavailable", 500);
        check(ErrorKind::Conflict, "internal", 500);
        check(ErrorKind::Poisoned, "internal", 500);
        check(ErrorKind::Internal, "internal", 500);
    }

    #[test]
    fn parameter_errors_name_the_parameter() {
        let error = invalid_parameter("start", Error::bad_input("cannot parse \"x\" to a valid timestamp"));
        assert_eq!(error.0.to_string(), r#"invalid parameter "start": cannot parse "x" to a valid timestamp"#);
    }
}
