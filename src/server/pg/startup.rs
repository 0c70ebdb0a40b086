//! From the first message to `ReadyForQuery`: cancel requests passed on, the client known, a session made. Most of it
//! is before anybody is known, so messages are short and few; the caller limits the time.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
};
use pgwire::messages::{PgWireBackendMessage, ProtocolVersion};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::auth::{self, Peer};
use super::client::Client;
use super::errors::{self, fatal};
use super::receive::Incoming;
use super::session::{DATABASE, Registered, Session};
use super::settings::values::Scope;
use super::shared::Shared;
use super::stats::Counted;
use super::{advisory, catalog};
use crate::server::access::door::Role;

const CANCEL_REQUEST: i32 = 80_877_102;
/// The major version of the protocol, in the upper half of the code.
const MAJOR: i32 = 3;
/// Parameters of the protocol itself, of which there are none.
const PROTOCOL_PARAMETER: &str = "_pq_.";
/// How long a client waits for a place: one that leaves and comes again at once finds the one it has left.
const SLOT_WAIT: Duration = Duration::from_millis(500);
/// Bytes of a cancel key, where the client's protocol has room for more than four.
const KEY_BYTES: usize = 32;

/// A session, and what its connection holds for as long as it lasts.
pub struct Opened {
    pub session: Arc<Session>,
    /// What it shares with others, within the limits of its role.
    pub shared: Shared,
    _slot: OwnedSemaphorePermit,
    _registered: Registered,
    _counted: Counted,
}

/// Goes on until the client has a session; `None` where it wanted none, or is gone.
///
/// # Errors
/// What the client is told before the connection ends; all are fatal.
pub async fn start(
    shared: &Shared,
    incoming: &mut Incoming,
    client: &mut Client,
    peer: Peer,
) -> PgWireResult<Option<Opened>> {
    let Some(mut message) = incoming.startup_message().await? else { return Ok(None) };
    let version = message.get_i32();
    if version == CANCEL_REQUEST {
        // Whoever has the key of a session may end what it runs; old clients send this without encryption.
        if message.len() > 4 {
            let process_id = message.get_i32();
            shared.sessions.cancel(process_id, &message);
        }
        return Ok(None);
    }
    match open(shared, incoming, client, peer, version, &message).await {
        Ok(opened) => Ok(Some(opened)),
        // Gone instead of telling its password.
        Err(PgWireError::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(errors::made_fatal(error)),
    }
}

async fn open(
    shared: &Shared,
    incoming: &mut Incoming,
    client: &mut Client,
    peer: Peer,
    version: i32,
    message: &BytesMut,
) -> PgWireResult<Opened> {
    let parameters = parameters(message)?;
    negotiate(client, version, &parameters).await?;
    let user = parameters.get("user").filter(|user| !user.is_empty()).cloned();
    let user = user.ok_or_else(|| fatal("28000", "no PostgreSQL user name specified in startup packet"))?;
    // Those who are not known yet take no session from those who are.
    let (address, shown) = (peer.address, peer.shown.clone());
    let grant = auth::authenticate(shared, incoming, client, peer, &user).await?;
    let Ok(Ok(slot)) = timeout(SLOT_WAIT, shared.slots.clone().acquire_owned()).await else {
        return Err(fatal("53300", "sorry, too many clients already"));
    };
    check_database(parameters.get("database").unwrap_or(&user), &user)?;

    let id = shared.sessions.next_process_id();
    let key = cancel_key(client.version)?;
    let shared = match &grant {
        Some(grant) => shared.within(&user, grant),
        None => shared.clone(),
    };
    let members = auth::members(&shared, &user, grant.as_ref()).await;
    let context = catalog::context(&shared.engine);
    let may_write = shared.inserter.is_some() && grant.as_ref().is_none_or(|grant| grant.role >= Role::Writer);
    let session = Arc::new(Session::new(user, id, context, may_write).granted(grant, members));
    session.activity.connected(address, shown);
    configure(&session, &parameters)?;
    catalog::install(&session, &shared.catalog);
    advisory::install(&session, &shared.sessions.locks);
    let registered = shared.sessions.add(id, key.to_bytes(), session.clone());

    client.feed(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
    let told = session.settings().untold();
    for (name, value) in told {
        let status = ParameterStatus::new(name.to_string(), value);
        client.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
    }
    client.feed(PgWireBackendMessage::BackendKeyData(BackendKeyData::new(id, key))).await?;
    client.send(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle))).await?;
    let counted = shared.stats.session();
    Ok(Opened { session, shared, _slot: slot, _registered: registered, _counted: counted })
}

/// Names and values, each ended by a zero byte, and one more at the end.
fn parameters(message: &[u8]) -> PgWireResult<HashMap<String, String>> {
    let layout = || fatal("08P01", "invalid startup packet layout: expected terminator as last byte");
    let Some((0, texts)) = message.split_last() else { return Err(layout()) };
    let texts = std::str::from_utf8(texts).map_err(|_| fatal("22021", "start-up parameters are not UTF-8"))?;
    if !texts.is_empty() && !texts.ends_with('\0') {
        return Err(layout());
    }
    let mut parameters = HashMap::new();
    let mut texts = texts.split_terminator('\0');
    while let Some(name) = texts.next() {
        if name.is_empty() {
            return Err(layout());
        }
        parameters.insert(name.to_string(), texts.next().ok_or_else(layout)?.to_string());
    }
    Ok(parameters)
}

/// Tells the client a version that both have, and the parameters of the protocol that are not known here.
async fn negotiate(client: &mut Client, version: i32, parameters: &HashMap<String, String>) -> PgWireResult<()> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != MAJOR {
        let text = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(fatal("0A000", text));
    }
    let ours = match minor {
        0 | 1 => ProtocolVersion::PROTOCOL3_0,
        _ => ProtocolVersion::PROTOCOL3_2,
    };
    let unknown: Vec<String> =
        parameters.keys().filter(|name| name.starts_with(PROTOCOL_PARAMETER)).cloned().collect();
    if i32::from(ours) != version || !unknown.is_empty() {
        let negotiate = NegotiateProtocolVersion::new(ours.into(), unknown);
        client.send(PgWireBackendMessage::NegotiateProtocolVersion(negotiate)).await?;
    }
    client.version = ours;
    Ok(())
}

/// A secret from the system's random source. The older protocol has four bytes for it.
fn cancel_key(version: ProtocolVersion) -> PgWireResult<SecretKey> {
    let mut key = [0; KEY_BYTES];
    getrandom::getrandom(&mut key).map_err(|e| fatal("XX000", format!("no random numbers: {e}")))?;
    Ok(match version {
        ProtocolVersion::PROTOCOL3_0 => SecretKey::I32((&key[..]).get_i32()),
        _ => SecretKey::Bytes(Bytes::copy_from_slice(&key)),
    })
}

/// Clients name a database: ours, their own user name (psql's default), or `postgres` (what tools try first).
fn check_database(name: &str, user: &str) -> PgWireResult<()> {
    if name.is_empty() || name == DATABASE || name == "postgres" || name == user {
        return Ok(());
    }
    Err(fatal("3D000", format!("database \"{name}\" does not exist")))
}

/// Start-up parameters and `options=-c name=value` become settings.
fn configure(session: &Session, parameters: &HashMap<String, String>) -> PgWireResult<()> {
    const NOT_SETTINGS: &[&str] = &["user", "database", "options", "replication"];
    let is_off = |value: &str| ["false", "off", "no", "0"].contains(&value.to_ascii_lowercase().as_str());
    if parameters.get("replication").is_some_and(|value| !is_off(value)) {
        return Err(fatal("0A000", "replication is not supported"));
    }
    let mut settings = session.settings();
    // In order, so that a start that fails does so for the same reason each time.
    for (name, value) in parameters.iter().collect::<BTreeMap<_, _>>() {
        if !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with(PROTOCOL_PARAMETER) {
            settings.set(name, Some(value), Scope::Session)?;
        }
    }
    let options = words(parameters.get("options").map_or("", String::as_str));
    let mut options = options.iter().map(String::as_str);
    while let Some(word) = options.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => options.next().unwrap_or(""),
            Some(rest) => rest,
            None => return Err(fatal("42601", format!("unrecognized option \"{word}\""))),
        };
        let Some((name, value)) = setting.split_once('=') else {
            return Err(fatal("42601", format!("option \"{setting}\" has no value")));
        };
        settings.set(&name.replace('-', "_"), Some(value), Scope::Session)?;
    }
    settings.begin_session();
    Ok(())
}

/// Words of `options`: a backslash makes the next character a part of its word.
fn words(options: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (vec![], String::new(), false);
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            if std::mem::take(&mut begun) {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        begun = true;
        word.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    words.extend(begun.then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_pairs_with_an_end() {
        let check = |message: &[u8], want: Option<&[(&str, &str)]>| {
            let got = parameters(message).ok();
            let want = want.map(|pairs| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
            assert_eq!(got, want, "{message:?}");
        };
        check(b"user\0me\0database\0\0\0", Some(&[("user", "me"), ("database", "")]));
        check(b"\0", Some(&[]));
        check(b"", None);
        check(b"user\0me", None);
        check(b"user\0me\0", None);
        check(b"user\0\0", None);
        check(b"user\0me\0\0more\0", None);
        check(b"us\xffer\0me\0\0", None);
    }

    #[test]
    fn words_of_options() {
        let check = |options: &str, want: &[&str]| assert_eq!(words(options), want, "{options:?}");
        check("", &[]);
        check("  -c a=b  --c=d ", &["-c", "a=b", "--c=d"]);
        check("-c search_path=a,\\ b \\\\", &["-c", "search_path=a, b", "\\"]);
    }

    #[test]
    fn cancel_keys_differ() {
        for (version, bytes) in [(ProtocolVersion::PROTOCOL3_0, 4), (ProtocolVersion::PROTOCOL3_2, KEY_BYTES)] {
            let (a, b) = (cancel_key(version).unwrap(), cancel_key(version).unwrap());
            assert_eq!(a.to_bytes().len(), bytes);
            assert_ne!(a.to_bytes(), b.to_bytes());
        }
    }
}
