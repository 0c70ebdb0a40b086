//! The assertion by which a token is asked for: RFC 7523 section 3.1, signed with an RSA key.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value as Json};

use crate::client::error::Reason;
use crate::config::http::{JwtBearer, OAuth2};

/// As Prometheus': a token is asked for at once.
const VALID_SECONDS: i64 = 600;

/// `key` is the text of a PEM. Errors never show any of it.
pub fn assertion(oauth2: &OAuth2, settings: &JwtBearer, key: &str, now_ms: i64) -> Result<String, Reason> {
    let key = EncodingKey::from_rsa_pem(key.as_bytes()).map_err(|_| {
        Reason::other("oauth2: client_certificate_key is not an RSA private key in PEM without a passphrase")
    })?;
    let algorithm = match settings.algorithm.as_str() {
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        _ => Algorithm::RS256,
    };
    let header = Header { kid: settings.key_id.clone(), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims(oauth2, settings, now_ms), &key)
        .map_err(|_| Reason::other("oauth2: client_certificate_key cannot sign"))
}

fn claims(oauth2: &OAuth2, settings: &JwtBearer, now_ms: i64) -> Map<String, Json> {
    let or = |given: &str, other: &str| Json::from(if given.is_empty() { other } else { given });
    let now = now_ms.div_euclid(1000);
    let mut claims = Map::new();
    claims.insert("iss".to_string(), or(&settings.issuer, &oauth2.client_id));
    claims.insert("sub".to_string(), oauth2.client_id.as_str().into());
    claims.insert("aud".to_string(), or(&settings.audience, &oauth2.token_url));
    claims.insert("jti".to_string(), uuid::Uuid::new_v4().to_string().into());
    claims.insert("iat".to_string(), now.into());
    claims.insert("exp".to_string(), (now + VALID_SECONDS).into());
    if !oauth2.scopes.is_empty() {
        claims.insert("scope".to_string(), oauth2.scopes.join(" ").into());
    }
    claims.extend(settings.claims.iter().cloned());
    claims
}
