//! Certificates of clients, as Go's `tls.ClientAuthType` has it: asked for, demanded, signed by an authority that is
//! known, and with one of the names that are allowed.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore, SignatureScheme,
};

use crate::server::access::x509::Certificate;

#[derive(Debug)]
pub struct Clients {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
    /// `None`: any certificate will do.
    signed: Option<Arc<dyn ClientCertVerifier>>,
    /// The certificates of the authorities. One that is shown by a client itself is its own authority, which the library
    /// would not take.
    authorities: Vec<CertificateDer<'static>>,
    /// `None`: any name, or none.
    names: Option<Vec<String>>,
}

impl Clients {
    /// `authorities` are those who sign, where that is asked for.
    ///
    /// # Errors
    /// Where an authority's certificate cannot be read, or there is none.
    pub fn new(
        provider: Arc<CryptoProvider>,
        mandatory: bool,
        authorities: Option<Vec<CertificateDer<'static>>>,
        names: Option<Vec<String>>,
    ) -> Result<Self, String> {
        let signed = authorities.as_ref().map(|authorities| signed_by(authorities, &provider)).transpose()?;
        Ok(Self {
            provider,
            // A name that has to be among some cannot be left out.
            mandatory: mandatory || names.is_some(),
            signed,
            authorities: authorities.unwrap_or_default(),
            names,
        })
    }

    fn check_name(&self, certificate: &Certificate) -> Result<(), TlsError> {
        let Some(allowed) = &self.names else { return Ok(()) };
        if certificate.names.iter().any(|name| allowed.contains(name)) {
            return Ok(());
        }
        Err(TlsError::General(format!(
            "could not find allowed SANs in client cert, which has {:?}",
            certificate.names
        )))
    }
}

fn signed_by(
    authorities: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| format!("a certificate of an authority cannot be used: {e}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    builder.build().map_err(|e| e.to_string())
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.as_ref().map_or(&[], |signed| signed.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let bad = || TlsError::InvalidCertificate(CertificateError::BadEncoding);
        let certificate = Certificate::parse(end_entity).ok_or_else(bad)?;
        if let Some(signed) = &self.signed {
            if self.authorities.iter().any(|authority| authority == end_entity) {
                let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                if !certificate.is_valid_at(seconds) {
                    return Err(TlsError::InvalidCertificate(CertificateError::Expired));
                }
            } else {
                signed.verify_client_cert(end_entity, intermediates, now)?;
            }
        }
        self.check_name(&certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
