//! What binds a login to the TLS below it: `tls-server-end-point` (RFC 5929, 4), a digest of the server's certificate.
//! Whoever stands between client and server has another certificate, and so another digest.

use std::sync::Arc;

use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512, digest};

use crate::server::access::x509;

/// Object identifiers of signatures, in DER without tag and length, and the digest of the certificate that goes with them:
/// that of the signature, save for those that are too weak.
const SIGNATURES: &[(&[u8], &Algorithm)] = &[
    // MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512 with RSA, 1.2.840.113549.1.1.
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e], &SHA224),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], &SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], &SHA512),
    // The same with ECDSA, 1.2.840.10045.4.
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], &SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01], &SHA224),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], &SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], &SHA384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], &SHA512),
];

/// `None` where the signature has no digest that client and server agree on (Ed25519), or one that its parameters name
/// (RSASSA-PSS), which is not looked at; then nothing is offered to bind to.
pub fn end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let signature = x509::signature_algorithm(certificate)?;
    let (_, algorithm) = SIGNATURES.iter().find(|(identifier, _)| *identifier == signature)?;
    Some(Arc::from(digest(algorithm, certificate).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: &'static rcgen::SignatureAlgorithm) -> Option<(usize, bool)> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate =
            rcgen::CertificateParams::new(["localhost".to_string()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der();
        let digest = end_point(der)?;
        let is = |algorithm| digest[..] == *aws_lc_rs::digest::digest(algorithm, der).as_ref();
        Some((digest.len(), is(&SHA256) || is(&SHA384)))
    }

    #[test]
    fn by_the_digest_of_the_signature() {
        assert_eq!(of(&rcgen::PKCS_ECDSA_P256_SHA256), Some((32, true)));
        assert_eq!(of(&rcgen::PKCS_ECDSA_P384_SHA384), Some((48, true)));
        assert_eq!(of(&rcgen::PKCS_ED25519), None);
        assert_eq!(end_point(b"no certificate"), None);
        assert_eq!(end_point(b""), None);
    }
}
