//! `tls_server_config` → what the TLS library serves with. Its words are Go's where there are any. What the library does
//! not have (TLS before 1.2, suites with CBC, the curve P-521) is left out where something else was asked for as well,
//! and refused where nothing would be left.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::config::http::TlsVersion;
use crate::config::web::{ClientAuth, Pem, Tls};
use crate::server::access::binding;
use crate::server::access::clients::Clients;

/// A key of the section, and what is wrong with it.
pub type Wrong = (&'static str, String);

/// What the listeners serve with; both have the same certificate and ask the same of their clients.
#[derive(Clone)]
pub struct Served {
    pub http: Arc<ServerConfig>,
    pub postgres: Arc<ServerConfig>,
    /// Whether a client without a certificate is refused.
    pub wants_certificate: bool,
    /// Whether that of a client that has one is checked.
    pub verifies: bool,
    /// What a login may be bound to, if anything.
    pub end_point: Option<Arc<[u8]>>,
}

/// Reads a file.
pub type Read<'a> = dyn FnMut(&Path) -> io::Result<Vec<u8>> + 'a;

/// What is served, and what was asked for and is left out.
///
/// # Errors
/// All that is wrong.
pub fn build(tls: &Tls, read: &mut Read<'_>) -> Result<(Served, Vec<String>), Vec<Wrong>> {
    let (mut wrong, mut notices) = (All::default(), vec![]);
    let chain = wrong.take(chain(tls, read));
    let key = wrong.take(private_key(tls, read));
    let authorities = wrong.take(authorities(tls, read));
    let versions = wrong.take(versions(tls, &mut notices));
    let provider = wrong.take(provider(tls, &mut notices));
    let (Some(chain), Some(key), Some(authorities), Some(versions), Some(provider)) =
        (chain, key, authorities, versions, provider)
    else {
        return Err(wrong.0);
    };
    let provider = Arc::new(provider);
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
    let builder = builder.map_err(|e| vec![("cipher_suites", e.to_string())])?;
    let builder = match tls.client_auth {
        ClientAuth::No => builder.with_no_client_auth(),
        policy => {
            let names = tls.client_allowed_sans.clone();
            let clients = Clients::new(provider, policy.requires(), authorities, names);
            builder.with_client_cert_verifier(Arc::new(clients.map_err(|e| vec![(authorities_key(tls), e)])?))
        }
    };
    let end_point = chain.first().and_then(|certificate| binding::end_point(certificate));
    let mut config = builder.with_single_cert(chain, key).map_err(|e| vec![pair(&e)])?;
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    let with_protocol = |name: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![name.to_vec()];
        Arc::new(config)
    };
    let wants_certificate =
        tls.client_auth.requires() || tls.client_auth != ClientAuth::No && tls.client_allowed_sans.is_some();
    let served = Served {
        http: with_protocol(b"http/1.1"),
        postgres: with_protocol(POSTGRESQL),
        wants_certificate,
        verifies: tls.client_auth.verifies(),
        end_point,
    };
    Ok((served, notices))
}

/// The name of Postgres' protocol (ALPN).
pub const POSTGRESQL: &[u8] = b"postgresql";

/// All that is wrong, in the order it is found.
#[derive(Default)]
struct All(Vec<Wrong>);

impl All {
    fn take<T>(&mut self, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.0.push(wrong)).ok()
    }
}

fn content(pem: &Pem, key: &'static str, read: &mut Read<'_>) -> Result<Vec<u8>, Wrong> {
    match pem {
        Pem::Inline(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => read(path).map_err(|error| {
            let name = path.display();
            (key, format!("failed to read {key} ({name}): open {name}: {}", go_words(&error)))
        }),
    }
}

/// Of an error of the system.
pub fn go_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

fn key_of(pem: &Pem, inline: &'static str, file: &'static str) -> &'static str {
    if matches!(pem, Pem::File(_)) { file } else { inline }
}

fn chain(tls: &Tls, read: &mut Read<'_>) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let key = key_of(&tls.cert, "cert", "cert_file");
    let pem = content(&tls.cert, key, read)?;
    let told = |what: String| (key, format!("failed to load X509KeyPair: {what}"));
    let chain = certificates(&pem).map_err(told)?;
    if chain.is_empty() {
        return Err(told("tls: failed to find any PEM data in certificate input".to_string()));
    }
    Ok(chain)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn private_key(tls: &Tls, read: &mut Read<'_>) -> Result<PrivateKeyDer<'static>, Wrong> {
    let key = key_of(&tls.key, "key", "key_file");
    let pem = content(&tls.key, key, read)?;
    let encrypted = pem.windows(9).any(|text| text == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let what = match encrypted {
            true => "tls: failed to parse private key: it is encrypted, and has to be without a passphrase here",
            false => "tls: failed to find any PEM data in key input",
        };
        (key, format!("failed to load X509KeyPair: {what}"))
    })
}

/// Why a certificate and a key are no pair.
fn pair(error: &rustls::Error) -> Wrong {
    let what = match error {
        rustls::Error::InconsistentKeys(_) => "tls: private key does not match public key".to_string(),
        other => format!("tls: {other}"),
    };
    ("cert_file", format!("failed to load X509KeyPair: {what}"))
}

fn authorities_key(tls: &Tls) -> &'static str {
    tls.client_ca.as_ref().map_or("client_auth_type", |ca| key_of(ca, "client_ca", "client_ca_file"))
}

/// Those who sign certificates of clients, where that is asked for: of the file, or the system's.
fn authorities(tls: &Tls, read: &mut Read<'_>) -> Result<Option<Vec<CertificateDer<'static>>>, Wrong> {
    let key = authorities_key(tls);
    let all = match &tls.client_ca {
        Some(ca) => certificates(&content(ca, key, read)?).map_err(|e| (key, e))?,
        None if tls.client_auth.verifies() => rustls_native_certs::load_native_certs().certs,
        None => return Ok(None),
    };
    match all.is_empty() {
        _ if !tls.client_auth.verifies() => Ok(None),
        true if tls.client_ca.is_some() => Err((key, "there is no certificate of an authority".to_string())),
        true => Err((key, "the system has no authorities, name them in client_ca_file".to_string())),
        false => Ok(Some(all)),
    }
}

fn versions(tls: &Tls, notices: &mut Vec<String>) -> Result<Vec<&'static SupportedProtocolVersion>, Wrong> {
    let (least, most) = (tls.min_version, tls.max_version);
    if most < TlsVersion::Tls12 {
        return Err((
            "max_version",
            "TLS 1.0 and 1.1 are not supported, clients need at least TLS 1.2".to_string(),
        ));
    }
    if most < least {
        return Err(("max_version", "no version of TLS is left between min_version and max_version".to_string()));
    }
    if least < TlsVersion::Tls12 {
        notices.push("TLS 1.0 and 1.1 are not supported, clients need at least TLS 1.2 (min_version)".to_string());
    }
    let all = [(TlsVersion::Tls13, &version::TLS13), (TlsVersion::Tls12, &version::TLS12)];
    let wanted = all.into_iter().filter(|(version, _)| (least..=most).contains(version));
    Ok(wanted.map(|(_, version)| version).collect())
}

/// With the suites and curves that were asked for. As in Go, suites of TLS 1.3 are not chosen but all there.
fn provider(tls: &Tls, notices: &mut Vec<String>) -> Result<CryptoProvider, Wrong> {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        let (newer, older): (Vec<_>, Vec<_>) =
            provider.cipher_suites.iter().copied().partition(|suite| suite.tls13().is_some());
        let older_only: Vec<&String> = tls.cipher_suites.iter().filter(|name| name.contains("_WITH_")).collect();
        let named =
            |name: &&String| older.iter().copied().find(|suite| suite.suite().as_str() == Some(name.as_str()));
        let chosen: Vec<_> = older_only.iter().filter_map(named).collect();
        let missing: Vec<&str> =
            older_only.iter().filter(|name| named(name).is_none()).map(|name| name.as_str()).collect();
        leave_out("cipher_suites", &missing, chosen.is_empty(), notices)?;
        if chosen.is_empty() && tls.max_version < TlsVersion::Tls13 {
            return Err((
                "cipher_suites",
                "there is no cipher suite of TLS 1.2, the newest of max_version".to_string(),
            ));
        }
        provider.cipher_suites = newer.into_iter().chain(chosen).collect();
    }
    if !tls.curve_preferences.is_empty() {
        let group = |name: &String| -> Option<&'static dyn SupportedKxGroup> {
            match name.as_str() {
                "X25519" => Some(kx_group::X25519),
                "CurveP256" => Some(kx_group::SECP256R1),
                "CurveP384" => Some(kx_group::SECP384R1),
                _ => None,
            }
        };
        let missing: Vec<&str> =
            tls.curve_preferences.iter().filter(|name| group(name).is_none()).map(String::as_str).collect();
        provider.kx_groups = tls.curve_preferences.iter().filter_map(group).collect();
        leave_out("curve_preferences", &missing, provider.kx_groups.is_empty(), notices)?;
    }
    Ok(provider)
}

fn leave_out(
    key: &'static str,
    missing: &[&str],
    nothing_left: bool,
    notices: &mut Vec<String>,
) -> Result<(), Wrong> {
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    if nothing_left {
        return Err((key, format!("not supported, and nothing else is named: {missing}")));
    }
    notices.push(format!("{key}: not supported and left out: {missing}"));
    Ok(())
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
