//! Why a request has no answer. People know these errors from Prometheus' page of targets and search for them, so they are in the
//! words of Go's library.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use http::Method;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use url::Url;

/// `Get "http://host/metrics": dial tcp host:80: connect: connection refused`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError(String);

/// What is behind the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason(String);

impl SendError {
    pub(super) fn new(method: &Method, url: &Url, reason: Reason) -> Self {
        let name = method.as_str();
        let (first, rest) = name.split_at(1.min(name.len()));
        let verb = format!("{first}{}", rest.to_ascii_lowercase());
        Self(format!("{verb} {:?}: {}", without_password(url), reason.0))
    }

    /// What a caller says about a request that takes too long.
    pub fn deadline(method: &Method, url: &Url) -> Self {
        Self::new(method, url, Reason::other("context deadline exceeded"))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for SendError {}

impl Reason {
    pub fn other(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The first cause that says what happened; the links before it say that something did.
    pub fn of(error: &reqwest::Error, url: &Url) -> Self {
        let mut causes = vec![];
        let mut next: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(cause) = next {
            causes.push(cause);
            next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // An error of input and output hides the one it is made of.
                Some(inner) => Some(inner as &(dyn StdError + 'static)),
                None => cause.source(),
            };
        }
        if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self(of_tls(tls, url));
        }
        let text = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        if causes.iter().any(|cause| cause.to_string() == "dns error") {
            let host = url.host_str().unwrap_or_default();
            let unknown = ["not known", "No address", "no such host"].iter().any(|known| text.contains(known));
            let why = if unknown { "no such host" } else { &text };
            return Self(format!("dial tcp: lookup {host}: {why}"));
        }
        let kind = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let dialled = |why: &str| format!("dial tcp {}: connect: {why}", address(url));
        let ended = causes.iter().filter_map(|cause| cause.downcast_ref::<hyper::Error>());
        Self(match kind {
            Some(io::ErrorKind::ConnectionRefused) => dialled("connection refused"),
            Some(io::ErrorKind::NetworkUnreachable) => dialled("network is unreachable"),
            Some(io::ErrorKind::HostUnreachable) => dialled("no route to host"),
            Some(io::ErrorKind::NotFound) if error.is_connect() => dialled("no such file or directory"),
            Some(io::ErrorKind::ConnectionReset) => "read: connection reset by peer".to_string(),
            Some(io::ErrorKind::UnexpectedEof) => "unexpected EOF".to_string(),
            _ if ended.clone().any(hyper::Error::is_incomplete_message) => "EOF".to_string(),
            _ if ended.clone().any(hyper::Error::is_parse) => format!("malformed HTTP response: {text}"),
            _ => text,
        })
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

fn of_tls(error: &rustls::Error, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let unverified = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            // Of an authority that has the name of another one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                unverified("certificate signed by unknown authority")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                unverified("certificate has expired or is not yet valid")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                unverified(&format!("certificate is not valid for {host}"))
            }
            other => unverified(&other.to_string()),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_string()
        }
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_in_words(*alert)),
        other => format!("tls: {other}"),
    }
}

fn alert_in_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => "handshake failure".to_string(),
        AlertDescription::BadCertificate => "bad certificate".to_string(),
        AlertDescription::CertificateExpired => "expired certificate".to_string(),
        AlertDescription::CertificateRequired => "certificate required".to_string(),
        AlertDescription::UnknownCA => "unknown certificate authority".to_string(),
        AlertDescription::ProtocolVersion => "protocol version not supported".to_string(),
        AlertDescription::InternalError => "internal error".to_string(),
        AlertDescription::UnrecognisedName => "unrecognized name".to_string(),
        other => format!("{other:?}"),
    }
}

/// With the port that is meant.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Fails only for URLs that can have none.
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}
