//! SCRAM-SHA-256 (RFC 5802 and 7677) from the server's side, with PostgreSQL's habits: the name of the user is that of the
//! connection, the one in the messages is passed over. Texts in, texts out; who sends them is not known here.
//!
//! An exchange for a user that there is not goes on like any other, and fails at its end as a wrong password does.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::web::verifier::{KEY_BYTES, Scram};

/// The names of the mechanism, without binding to the channel and with it.
pub const MECHANISM: &str = "SCRAM-SHA-256";
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The longest message that is looked at, as in PostgreSQL (`PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MESSAGE_BYTES: usize = 1024;
/// Bytes of what the server adds to the client's nonce, as in PostgreSQL.
pub const NONCE_BYTES: usize = 18;
/// The one kind of binding to a channel (RFC 5929): to the certificate of the server.
const BINDING: &str = "tls-server-end-point";

type Key = [u8; KEY_BYTES];

/// What is kept of a password.
pub fn verifier(password: &[u8], salt: Vec<u8>, iterations: u32) -> Scram {
    let salted = salted(password, &salt, iterations);
    let stored_key = hash(&sign(&salted, &[b"Client Key"]));
    Scram { stored_key, server_key: sign(&salted, &[b"Server Key"]), iterations, salt }
}

/// Whether this is the password, which somebody told as it is.
pub fn is_password(kept: &Scram, password: &[u8]) -> bool {
    let told = verifier(password, kept.salt.clone(), kept.iterations);
    verify_slices_are_equal(&told.stored_key, &kept.stored_key).is_ok()
}

/// What a client did wrong, besides not knowing the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message that the protocol has not.
    Malformed(&'static str),
    Unsupported(&'static str),
    /// Somebody is between client and server, as far as either can see.
    Binding(&'static str),
}

/// What the server knows of the user and of the connection.
#[derive(Clone)]
pub struct Challenge {
    pub kept: Scram,
    /// Nobody can answer this.
    pub hopeless: bool,
}

/// The channel, as both sides have to see it.
#[derive(Clone, Debug)]
pub enum Channel {
    /// Without encryption, or with a certificate of which no digest is agreed on.
    Unbound,
    /// The server offers to bind, and the client has chosen the mechanism without.
    Offered,
    /// The client has chosen to bind, to this digest of the certificate.
    Bound(Arc<[u8]>),
}

/// After the first message of each side.
pub struct Exchange {
    challenge: Challenge,
    channel: Channel,
    /// Of the client's first message: what is before its attributes, which its last message repeats.
    header: String,
    client_first: String,
    server_first: String,
    nonce: String,
}

impl Exchange {
    /// From the client's first message; `nonce` is random, and new for each exchange. With the server's answer.
    ///
    /// # Errors
    /// Where the client does not keep to the protocol.
    pub fn begin(
        challenge: Challenge,
        channel: Channel,
        message: &[u8],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<(Self, String), Fault> {
        let message = text(message)?;
        let bare_at = header_end(message, &channel)?;
        let (header, bare) = message.split_at(bare_at);
        let mut attributes = bare.split(',');
        if bare.starts_with("m=") {
            return Err(Fault::Unsupported("client requires an unsupported SCRAM extension"));
        }
        attributes.next().and_then(|user| user.strip_prefix("n=")).ok_or(Fault::Malformed("a user is missing"))?;
        let theirs = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let theirs = theirs.filter(|nonce| is_nonce(nonce)).ok_or(Fault::Malformed("a nonce is missing"))?;
        let nonce = format!("{theirs}{}", STANDARD.encode(nonce));
        let kept = &challenge.kept;
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&kept.salt), kept.iterations);
        let exchange = Self {
            header: header.to_string(),
            client_first: bare.to_string(),
            server_first: answer.clone(),
            nonce,
            challenge,
            channel,
        };
        Ok((exchange, answer))
    }

    /// From the client's last message: the server's last, where the client knows the password.
    ///
    /// # Errors
    /// Where the client does not keep to the protocol.
    pub fn finish(&self, message: &[u8]) -> Result<Option<String>, Fault> {
        let message = text(message)?;
        let (before, proof) = message.rsplit_once(",p=").ok_or(Fault::Malformed("a proof is missing"))?;
        let mut attributes = before.split(',');
        let binding = attributes.next().and_then(|binding| binding.strip_prefix("c="));
        let binding = binding.ok_or(Fault::Malformed("the channel binding is missing"))?;
        if STANDARD.decode(binding).ok().as_deref() != Some(&self.binding()[..]) {
            return Err(Fault::Binding("SCRAM channel binding check failed"));
        }
        if attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(Fault::Malformed("nonce does not match"));
        }
        let proof: Option<Key> = STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok());
        let proof = proof.ok_or(Fault::Malformed("malformed proof"))?;
        let signed = [&self.client_first, ",", &self.server_first, ",", before].map(str::as_bytes);
        let kept = &self.challenge.kept;
        let mut client_key = sign(&kept.stored_key, &signed);
        client_key.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
        let right = verify_slices_are_equal(&hash(&client_key), &kept.stored_key).is_ok();
        let answer = format!("v={}", STANDARD.encode(sign(&kept.server_key, &signed)));
        Ok((right && !self.challenge.hopeless).then_some(answer))
    }

    /// What the client says of the channel in its last message.
    fn binding(&self) -> Vec<u8> {
        let mut binding = self.header.clone().into_bytes();
        if let Channel::Bound(digest) = &self.channel {
            binding.extend_from_slice(digest);
        }
        binding
    }
}

/// Where the attributes of a first message begin: behind the flag of channel binding and the name to act for.
fn header_end(message: &str, channel: &Channel) -> Result<usize, Fault> {
    let (flag, rest) = message.split_once(',').ok_or(Fault::Malformed("unexpected end of message"))?;
    match (flag, channel) {
        ("n", Channel::Unbound | Channel::Offered) | ("y", Channel::Unbound) => {}
        // The client can bind, and was made to believe that the server cannot.
        ("y", Channel::Offered) => return Err(Fault::Binding("SCRAM channel binding negotiation error")),
        ("n" | "y", Channel::Bound(_)) => {
            return Err(Fault::Malformed(
                "the client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data",
            ));
        }
        (flag, Channel::Bound(_)) if flag.starts_with("p=") => {
            if flag.strip_prefix("p=") != Some(BINDING) {
                return Err(Fault::Malformed("unsupported SCRAM channel-binding type"));
            }
        }
        (flag, _) if flag.starts_with("p=") => {
            return Err(Fault::Malformed(
                "the client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel \
                 binding data",
            ));
        }
        _ => return Err(Fault::Malformed("unexpected channel-binding flag")),
    }
    match rest.split_once(',') {
        Some(("", bare)) => Ok(message.len() - bare.len()),
        Some((name, _)) if name.starts_with("a=") => {
            Err(Fault::Unsupported("client uses authorization identity, but it is not supported"))
        }
        _ => Err(Fault::Malformed("unexpected attribute")),
    }
}

fn text(message: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(message).map_err(|_| Fault::Malformed("not UTF-8"))?;
    match text {
        "" => Err(Fault::Malformed("empty message")),
        text if text.contains('\0') => Err(Fault::Malformed("length mismatch")),
        text => Ok(text),
    }
}

/// Printable characters of ASCII but the comma (RFC 5802, 7).
fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
}

/// Where SASLprep makes nothing of it the password counts as it is, as PostgreSQL's clients have it.
fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(password).ok();
    match text.and_then(|text| stringprep::saslprep(text).ok()).filter(|text| !text.is_empty()) {
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(password),
    }
}

fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut key = [0; KEY_BYTES];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, &prepared(password), &mut key);
    key
}

fn sign(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    key_of(context.sign().as_ref())
}

fn hash(bytes: &[u8]) -> Key {
    key_of(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What SHA-256 gives, which is as long as a key.
fn key_of(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(bytes);
    key
}

#[cfg(test)]
#[path = "scram/tests.rs"]
mod tests;
