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
use crate::server::access::door::{Challenged, Grant, Method, Password, Role, Way};
use crate::server::access::shown::Shown;

/// Passwords that are proved instead of told.
mod scram;

/// How a client is connected.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// `None` without TLS.
    pub shown: Option<Arc<Shown>>,
    /// What a login may be bound to: a digest of the certificate that the client was shown.
    pub binding: Option<Arc<[u8]>>,
}

impl Peer {
    fn is_encrypted(&self) -> bool {
        self.shown.is_some()
    }

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
    if !peer.is_encrypted() && access.has_tls() {
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
    let way = rules.way(from, peer.is_encrypted(), user.as_bytes());
    let only_proved = match way {
        None | Some(Way::By(Method::Password)) => false,
        Some(Way::By(Method::Scram)) => true,
        Some(Way::By(Method::Trust)) if rules.knows(user.as_bytes()) => return Ok(rules.grant(user.as_bytes())),
        Some(Way::By(Method::Cert)) => {
            let names = peer.shown.as_ref().map(|shown| shown.names.clone()).unwrap_or_default();
            if names.iter().any(|name| name == user) && rules.knows(user.as_bytes()) {
                return Ok(rules.grant(user.as_bytes()));
            }
            return Err(fatal("28000", format!("certificate authentication failed for user \"{user}\"")));
        }
        Some(Way::By(Method::Trust)) => return Err(fatal("28000", format!("role \"{user}\" does not exist"))),
        Some(Way::By(Method::Reject)) => {
            return Err(fatal("28000", format!("a rule of access rejects {}", whence(&peer, user))));
        }
        Some(Way::NoRule) => return Err(fatal("28000", format!("no rule of access for {}", whence(&peer, user)))),
    };
    let verdict = match rules.ask(user.as_bytes()) {
        Challenged::Scram(challenge) => {
            let who = (from, user.as_bytes());
            scram::exchange(access, incoming, client, who, peer.binding, challenge).await?
        }
        Challenged::Password if only_proved => {
            let text = format!("user \"{user}\" has no verifier of SCRAM-SHA-256, as promlake user makes it");
            return Err(fatal("28000", text));
        }
        Challenged::Password if !peer.is_encrypted() && !peer.is_local() => {
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

/// Users with their roles: of all for an admin, for others their own.
pub async fn members(shared: &Shared, user: &str, grant: Option<&Grant>) -> Vec<(String, Role)> {
    let Some(grant) = grant else { return vec![] };
    match shared.access.rules().await {
        Ok(Some(rules)) if grant.role == Role::Admin => rules.members(),
        _ => vec![(user.to_string(), grant.role)],
    }
}

/// A connection in PostgreSQL's words.
fn whence(peer: &Peer, user: &str) -> String {
    let encryption = if peer.is_encrypted() { "SSL encryption" } else { "no encryption" };
    format!("host \"{}\", user \"{user}\", {encryption}", peer.address.ip().to_canonical())
}
