use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};

use super::*;
use crate::fuzzing::Fuzz;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u32;
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// One of each kind, with everything in it that may be there more than once.
fn samples() -> Vec<Vec<u8>> {
    let bind = [
        &b"portal\0statement\0"[..],
        &[0, 2, 0, 1, 0, 0],
        &[0, 3, 0, 0, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0, 1, 0, 1],
    ]
    .concat();
    vec![
        message(QUERY, b"SELECT 1\0"),
        message(PARSE, b"s\0SELECT $1, $2\0\0\x02\0\0\0\x17\0\0\0\x19"),
        message(BIND, &bind),
        message(DESCRIBE, b"Sname\0"),
        message(CLOSE, b"P\0"),
        message(EXECUTE, b"portal\0\x7f\xff\xff\xff"),
        message(FLUSH, b""),
        message(SYNC, b""),
        message(TERMINATE, b""),
    ]
}

fn decode(message: &[u8]) -> (Option<PgWireFrontendMessage>, usize) {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    let mut bytes = BytesMut::from(message);
    let decoded = PgWireFrontendMessage::decode(&mut bytes, &context).expect("a message the library knows");
    (decoded, bytes.len())
}

#[test]
fn whole_messages_pass() {
    for message in samples() {
        check(&message).unwrap_or_else(|e| panic!("{message:?}: {e}"));
        let (decoded, left) = decode(&message);
        assert!(decoded.is_some() && left == 0, "{message:?}");
    }
}

#[test]
fn what_does_not_add_up_is_refused() {
    let cases: &[(u8, &[u8], &str)] = &[
        (QUERY, b"SELECT 1", "08P01"),
        (QUERY, b"SELECT 1\0more", "08P01"),
        (QUERY, b"SELECT '\xff'\0", "22021"),
        (PARSE, b"\0SELECT 1\0", "08P01"),
        (PARSE, b"\0SELECT 1\0\xff\xff", "08P01"),
        (PARSE, b"\0SELECT 1\0\0\x01\0\0\0", "08P01"),
        (BIND, b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0", "08P01"),
        (BIND, b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "08P01"),
        (BIND, b"\0\0\xff\xff", "08P01"),
        (BIND, b"\0\0\0\0\0\0\xff\xff", "08P01"),
        (BIND, b"\0\0\0\0\xff\xff\0\0", "08P01"),
        (DESCRIBE, b"", "08P01"),
        (DESCRIBE, b"Xname\0", "08P01"),
        (CLOSE, b"Sname", "08P01"),
        (EXECUTE, b"\0\0\0", "08P01"),
        (SYNC, b"\0", "08P01"),
        (FUNCTION_CALL, b"", "0A000"),
    ];
    for (kind, body, code) in cases {
        match check(&message(*kind, body)) {
            Err(error) => assert_eq!(error.code(), *code, "{} {body:?}: {error}", char::from(*kind)),
            Ok(()) => panic!("{} {body:?} passed", char::from(*kind)),
        }
    }
}

/// Bodies cut, stretched and changed at random: what passes is decoded to its last byte, and nothing panics.
#[test]
fn mutated_messages_are_refused_or_decoded_whole() {
    let mut fuzz = Fuzz::new(200_000);
    let samples = samples();
    let mut passed = 0;
    while fuzz.goes_on() {
        let sample = &samples[fuzz.random.usize(..samples.len())];
        let mut body = sample[HEADER_BYTES..].to_vec();
        for _ in 0..fuzz.random.usize(1..4) {
            fuzz.change(&mut body, &[], &[]);
        }
        let message = message(sample[0], &body);
        if check(&message).is_ok() {
            passed += 1;
            let (decoded, left) = decode(&message);
            assert!(decoded.is_some() && left == 0, "{message:?}");
        }
    }
    assert!(passed > 1_000, "only {passed} of the messages were whole");
}
