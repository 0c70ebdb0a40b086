//! Certificates of both sides, for `rustls`. What Go takes and `webpki` does not is taken here: a server that shows the very
//! certificate which the configuration trusts, though it is one of an authority (`openssl req -x509` makes no others).

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use crate::client::error::Reason;
use crate::client::secrets;
use crate::config::http::{Secret, TlsConfig, TlsVersion};

/// Certificates and keys are read now.
pub async fn client_config(config: &TlsConfig, http2: bool) -> Result<ClientConfig, Reason> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier::new(config, &provider).await?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config)?)
        .map_err(|e| Reason::other(format!("tls_config: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut made = match (config.cert.is_none(), config.key.is_none()) {
        (false, false) => {
            let (chain, key) = client_certificate(config).await?;
            let unusable = |e: rustls::Error| Reason::other(format!("{}: tls: {e}", unusable_certificate(config)));
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
        _ => builder.with_no_client_auth(),
    };
    if http2 {
        made.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(made)
}

/// Those that are asked for and exist: 1.0 and 1.1 are broken, and as a lower bound mean 1.2.
pub fn versions(config: &TlsConfig) -> Result<Vec<&'static SupportedProtocolVersion>, Reason> {
    let least = config.min_version.unwrap_or(TlsVersion::Tls12);
    let most = config.max_version.unwrap_or(TlsVersion::Tls13);
    let all = [(TlsVersion::Tls12, &rustls::version::TLS12), (TlsVersion::Tls13, &rustls::version::TLS13)];
    let usable: Vec<_> =
        all.into_iter().filter(|(version, _)| (least..=most).contains(version)).map(|(_, known)| known).collect();
    if usable.is_empty() {
        return Err(Reason::other(
            "tls_config.max_version: TLS 1.0 and 1.1 are not supported, TLS12 is the lowest",
        ));
    }
    Ok(usable)
}

async fn client_certificate(
    config: &TlsConfig,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Reason> {
    let chain = secrets::read(&config.cert, "client cert").await?;
    let key = secrets::read(&config.key, "client key").await?;
    let unusable = |why: &str| Reason::other(format!("{}: tls: {why}", unusable_certificate(config)));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable("failed to find any PEM data in certificate input"))?;
    // What is wrong with a key is not told, as that could show some of it.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| unusable("failed to find any PEM data in key input"))?;
    Ok((chain, key))
}

fn unusable_certificate(config: &TlsConfig) -> String {
    format!("unable to use specified client cert ({}) & key ({})", place(&config.cert), place(&config.key))
}

fn place(secret: &Secret) -> String {
    match secret {
        Secret::File(path) => path.display().to_string(),
        _ => "<inline>".to_string(),
    }
}

/// Whose certificates are taken.
#[derive(Debug)]
struct Verifier {
    /// None where there is nobody to trust, or nobody is asked.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Those that the configuration names.
    named: Vec<CertificateDer<'static>>,
    /// To be verified instead of the name that was asked for.
    name: Option<ServerName<'static>>,
    anybody: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    async fn new(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Self, Reason> {
        let named = authorities(&config.ca).await?;
        let name = config.server_name.clone().map(ServerName::try_from).transpose();
        let name =
            name.map_err(|_| Reason::other("tls_config.server_name is neither a DNS name nor an address"))?;
        let roots = match config.ca.is_none() {
            true => system_roots().clone(),
            false => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(named.iter().cloned());
                Arc::new(roots)
            }
        };
        let authorities = match config.insecure_skip_verify || roots.is_empty() {
            true => None,
            false => {
                let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
                Some(built.map_err(|e| Reason::other(format!("tls_config: {e}")))?)
            }
        };
        Ok(Self { authorities, named, name, anybody: config.insecure_skip_verify, provider: provider.clone() })
    }
}

async fn authorities(ca: &Secret) -> Result<Vec<CertificateDer<'static>>, Reason> {
    if ca.is_none() {
        return Ok(vec![]);
    }
    let text = secrets::read(ca, "CA cert").await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| Reason::other(format!("unable to use specified CA cert {}", place(ca))))
}

/// Read once.
fn system_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.anybody {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authorities) = &self.authorities else { return Err(CertificateError::UnknownIssuer.into()) };
        let name = self.name.as_ref().unwrap_or(server_name);
        match authorities.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // Told after the time was checked and before the name is.
            Err(rustls::Error::InvalidCertificate(why))
                if is_of_an_authority(&why) && self.named.contains(end_entity) =>
            {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.anybody {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.anybody {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_of_an_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}
