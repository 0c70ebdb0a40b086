//! Who a client is. Users and what is kept of their passwords are those of the HTTP API. Where that is a verifier of SCRAM
//! the client proves that it knows the password; bcrypt needs the password itself, so it is asked for as it is, and only
//! where nobody on the way can read it: over TLS, or from this machine.

use std::net::SocketAddr;
use std::sync::Arc;

use pgwire::error::PgWireResult;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication;

use super::client::Client;
use super::errors::fatal;
use super::receive::Incoming;
use super::shared::Shared;
use crate::server::access::door::{Challenged, Grant, Password};

/// Passwords that are proved instead of told.
mod scram;

/// How a client is connected.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub encrypted: bool,
    /// What a login may be bound to: a digest of the certificate that the client was shown.
    pub binding: Option<Arc<[u8]>>,
}

impl Peer {
    fn is_local(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// Lets a client in, with what it was given where there are roles, or tells why not.
///
/// # Errors
/// 28P01 for a user that there is not and for a wrong password alike, 28000 for a connection on which nobody is let in.
pub async fn authenticate(
    shared: &Shared,
    incoming: &mut Incoming,
    client: &mut Client,
    peer: Peer,
    user: &str,
) -> PgWireResult<Option<Grant>> {
    let access = &shared.access;
    let broken = |_| fatal("F0000", "the server's web configuration file cannot be used, see its log");
    let Some(rules) = access.rules().await.map_err(broken)? else { return Ok(None) };
    if !peer.encrypted && access.has_tls() {
        if rules.wants_certificate() {
            let text = "connection requires a client certificate: connect with sslmode=require, sslcert and sslkey";
            return Err(fatal("28000", text));
        }
        if !peer.is_local() {
            return Err(fatal("28000", "no encryption: connect with sslmode=require"));
        }
    }
    if rules.is_open() {
        return Ok(None);
    }
    let from = peer.address.ip();
    let verdict = match rules.ask(user.as_bytes()) {
        Challenged::Scram(challenge) => {
            let who = (from, user.as_bytes());
            scram::exchange(access, incoming, client, who, peer.binding, challenge).await?
        }
        Challenged::Password if !peer.encrypted && !peer.is_local() => {
            let text = "no encryption: passwords are taken from other machines over TLS only, which the server offers \
                        where its --web.config.file has tls_server_config, or as SCRAM-SHA-256, where it has a verifier \
                        of promlake user";
            return Err(fatal("28000", text));
        }
        Challenged::Password => {
            client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
            let password = incoming.password().await?;
            access.check_password(&rules, from, user.as_bytes(), &password).await
        }
    };
    match verdict {
        Password::Right => Ok(rules.grant(user.as_bytes())),
        Password::Wrong => Err(fatal("28P01", format!("password authentication failed for user \"{user}\""))),
        Password::Busy => Err(fatal("53300", "too many passwords are being checked, try again")),
    }
}
