//! What a connection shows of its client by TLS, and of itself.

use std::sync::Arc;

use rustls::ServerConnection;

use crate::server::access::x509::Certificate;

/// Of one connection with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As PostgreSQL writes it: `TLSv1.3`.
    pub version: &'static str,
    pub cipher: &'static str,
    /// Who the client is: the common name and the alternative names of its certificate, where an authority that is known
    /// here has signed it.
    pub names: Arc<[String]>,
    /// The common name, of a certificate that was checked or not.
    pub common_name: Option<String>,
}

impl Shown {
    /// `verified` says whether certificates were checked when hands were shaken.
    pub fn of(connection: &ServerConnection, verified: bool) -> Self {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(|der| Certificate::parse(der));
        let common_name = certificate.as_ref().and_then(|certificate| certificate.common_name.clone());
        let names = certificate.filter(|_| verified).map(|certificate| {
            let Certificate { common_name, names, .. } = certificate;
            common_name.into_iter().chain(names).collect::<Vec<_>>()
        });
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Self { version, cipher: cipher.unwrap_or(""), names: names.unwrap_or_default().into(), common_name }
    }

    /// Of the key of the cipher.
    pub fn bits(&self) -> i32 {
        if self.cipher.contains("_128_") { 128 } else { 256 }
    }
}
