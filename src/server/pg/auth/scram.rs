//! The messages of SASL: the client picks a mechanism, says who it is and proves that it knows the password. What is in
//! them is `server/access/scram`'s business.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication;

use crate::server::access::door::{Access, Password};
use crate::server::access::scram::{Challenge, Channel, Exchange, Fault, MECHANISM, MECHANISM_PLUS, NONCE_BYTES};
use crate::server::pg::client::Client;
use crate::server::pg::errors::fatal;
use crate::server::pg::receive::Incoming;

/// Goes through an exchange to its end. `binding` is what the TLS of the connection can be bound to.
///
/// # Errors
/// 08P01 and 0A000 for messages that do not belong here, 28000 where the channel is not the one that the client sees.
pub async fn exchange(
    access: &Access,
    incoming: &mut Incoming,
    client: &mut Client,
    (from, user): (IpAddr, &[u8]),
    binding: Option<Arc<[u8]>>,
    challenge: Challenge,
) -> PgWireResult<Password> {
    let offered = binding.iter().map(|_| MECHANISM_PLUS).chain([MECHANISM]).map(str::to_string).collect();
    client.send(PgWireBackendMessage::Authentication(Authentication::SASL(offered))).await?;
    let (mechanism, first) = initial(incoming.sasl().await?)?;
    let channel = match (mechanism.as_ref(), binding) {
        (name, Some(digest)) if name == MECHANISM_PLUS.as_bytes() => Channel::Bound(digest),
        (name, binding) if name == MECHANISM.as_bytes() => binding.map_or(Channel::Unbound, |_| Channel::Offered),
        _ => return Err(fatal("08P01", "client selected an invalid SASL authentication mechanism")),
    };
    let mut nonce = [0; NONCE_BYTES];
    getrandom::getrandom(&mut nonce).map_err(|e| fatal("XX000", format!("no random numbers: {e}")))?;
    let (exchange, answer) = Exchange::begin(challenge, channel, &first, &nonce).map_err(told)?;
    send(client, Authentication::SASLContinue(answer.into())).await?;

    let proof = incoming.sasl().await?;
    let (verdict, answer) = access.check_proof(&exchange, from, user, &proof).await.map_err(told)?;
    if verdict == Password::Right {
        // The client goes on without an answer, at once with what tells it that it is in.
        client.feed(PgWireBackendMessage::Authentication(Authentication::SASLFinal(answer.into()))).await?;
    }
    Ok(verdict)
}

async fn send(client: &mut Client, message: Authentication) -> PgWireResult<()> {
    client.send(PgWireBackendMessage::Authentication(message)).await
}

/// The mechanism of the client's choice, and its first message, for which we do not ask.
fn initial(mut body: BytesMut) -> PgWireResult<(Bytes, Bytes)> {
    let invalid = || fatal("08P01", "invalid SASL response");
    let end = memchr::memchr(0, &body).ok_or_else(invalid)?;
    let mechanism = body.split_to(end).freeze();
    body.advance(1);
    if body.len() < 4 {
        return Err(invalid());
    }
    let length = body.get_i32();
    if usize::try_from(length).ok() != Some(body.len()) {
        return Err(invalid());
    }
    Ok((mechanism, body.freeze()))
}

fn told(fault: Fault) -> PgWireError {
    match fault {
        Fault::Malformed(what) => fatal("08P01", format!("malformed SCRAM message: {what}")),
        Fault::Unsupported(what) => fatal("0A000", what),
        Fault::Binding(what) => fatal("28000", what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_is_whole() {
        let check = |body: &[u8], expected: Option<(&str, &str)>| {
            let got = initial(BytesMut::from(body)).ok();
            let expected =
                expected.map(|(mechanism, first)| (mechanism.to_string().into(), first.to_string().into()));
            assert_eq!(got, expected, "{body:?}");
        };
        check(b"SCRAM-SHA-256\0\0\0\0\x03n,,", Some(("SCRAM-SHA-256", "n,,")));
        check(b"\0\0\0\0\0", Some(("", "")));
        for broken in [
            &b""[..],
            b"SCRAM",
            b"SCRAM\0",
            b"SCRAM\0\0\0\0",
            b"SCRAM\0\xff\xff\xff\xff",
            b"SCRAM\0\0\0\0\x04n,,",
            b"SCRAM\0\0\0\0\x02n,,",
            b"SCRAM\0\x7f\xff\xff\xffn,,",
        ] {
            check(broken, None);
        }
    }
}
