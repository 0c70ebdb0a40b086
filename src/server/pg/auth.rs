//! Who a client is. Users and their bcrypt hashes are those of the HTTP API, and bcrypt needs the password itself, so it
//! is asked for as it is, and only where nobody on the way can read it: over TLS, or from this machine.

use std::net::SocketAddr;

use pgwire::error::PgWireResult;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication;

use super::client::Client;
use super::errors::fatal;
use super::receive::Incoming;
use super::shared::Shared;
use crate::server::access::door::Password;

/// How a client is connected.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub encrypted: bool,
}

impl Peer {
    fn is_local(self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// Lets a client in, or tells why not.
///
/// # Errors
/// 28P01 for a user that there is not and for a wrong password alike, 28000 for a connection on which nobody is let in.
pub async fn authenticate(
    shared: &Shared,
    incoming: &mut Incoming,
    client: &mut Client,
    peer: Peer,
    user: &str,
) -> PgWireResult<()> {
    let access = &shared.access;
    let broken = |_| fatal("F0000", "the server's web configuration file cannot be used, see its log");
    let Some(rules) = access.rules().await.map_err(broken)? else { return Ok(()) };
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
        return Ok(());
    }
    if !peer.encrypted && !peer.is_local() {
        let text = "no encryption: passwords are taken from other machines over TLS only, which the server offers where \
                    its --web.config.file has tls_server_config";
        return Err(fatal("28000", text));
    }
    client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
    let password = incoming.password().await?;
    match access.check_password(&rules, user.as_bytes(), &password).await {
        Password::Right => Ok(()),
        Password::Wrong => {
            tracing::debug!(address = %peer.address, "a Postgres client has not given the right password");
            Err(fatal("28P01", format!("password authentication failed for user \"{user}\"")))
        }
        Password::Busy => Err(fatal("53300", "too many passwords are being checked, try again")),
    }
}
