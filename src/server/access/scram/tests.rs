use super::*;
use crate::config::web::verifier::Verifier;

/// The exchange of RFC 7677, 3, of the user `user` with the password `pencil`.
const KEPT: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                    WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const NONCE: &[u8; NONCE_BYTES] = &[7; NONCE_BYTES];

fn kept() -> Scram {
    match Verifier::parse(KEPT).unwrap() {
        Some(Verifier::Scram(kept)) => kept,
        _ => panic!("a verifier of SCRAM"),
    }
}

fn begin(channel: Channel, message: &str) -> Result<(Exchange, String), Fault> {
    Exchange::begin(Challenge { kept: kept(), hopeless: false }, channel, message.as_bytes(), NONCE)
}

fn digest() -> Channel {
    Channel::Bound(Arc::from(&b"digest"[..]))
}

/// What a client makes of the server's answer.
fn last(password: &str, header: &[u8], bare: &str, server_first: &str) -> String {
    let attribute = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(attribute("s=")).unwrap();
    let salted = salted(password.as_bytes(), &salt, attribute("i=").parse().unwrap());
    let client_key = sign(&salted, &[b"Client Key"]);
    let before = format!("c={},r={}", STANDARD.encode(header), attribute("r="));
    let message = format!("{bare},{server_first},{before}");
    let mut proof = sign(&hash(&client_key), &[message.as_bytes()]);
    proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
    format!("{before},p={}", STANDARD.encode(proof))
}

#[test]
fn the_example_of_the_standard() {
    assert_eq!(verifier(b"pencil", kept().salt, 4096).to_string(), KEPT);
    let exchange = Exchange {
        challenge: Challenge { kept: kept(), hopeless: false },
        channel: Channel::Unbound,
        header: "n,,".to_string(),
        client_first: format!("n=user,r={CLIENT_NONCE}"),
        server_first: format!("r={CLIENT_NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        nonce: format!("{CLIENT_NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
    };
    let message = format!(
        "c=biws,r={CLIENT_NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let answer = exchange.finish(message.as_bytes()).unwrap();
    assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
}

#[test]
fn only_who_knows_the_password_is_answered() {
    let bare = format!("n=,r={CLIENT_NONCE}");
    let check = |channel: Channel, header: &str, said: &[u8], password: &str, expected: Result<bool, Fault>| {
        let (exchange, first) = begin(channel, &format!("{header}{bare}")).unwrap();
        assert!(first.starts_with(&format!("r={CLIENT_NONCE}{},s=", STANDARD.encode(NONCE))), "{first}");
        let message = last(password, said, &bare, &first);
        let got = exchange.finish(message.as_bytes()).map(|answer| answer.is_some());
        assert_eq!(got, expected, "{header} {password}");
    };
    let broken = Err(Fault::Binding("SCRAM channel binding check failed"));
    check(Channel::Unbound, "n,,", b"n,,", "pencil", Ok(true));
    check(Channel::Unbound, "y,,", b"y,,", "pencil", Ok(true));
    check(Channel::Offered, "n,,", b"n,,", "pencil", Ok(true));
    check(Channel::Unbound, "n,,", b"n,,", "pen", Ok(false));
    check(Channel::Unbound, "n,,", b"n,,", "", Ok(false));
    check(Channel::Unbound, "n,,", b"y,,", "pencil", broken);
    let bound = "p=tls-server-end-point,,";
    check(digest(), bound, b"p=tls-server-end-point,,digest", "pencil", Ok(true));
    check(digest(), bound, b"p=tls-server-end-point,,digest", "pen", Ok(false));
    // Another certificate, or none.
    check(digest(), bound, b"p=tls-server-end-point,,another", "pencil", broken);
    check(digest(), bound, b"p=tls-server-end-point,,", "pencil", broken);
    // A user that there is not, by the right password of another one.
    let hopeless = Challenge { kept: kept(), hopeless: true };
    let message = format!("n,,{bare}");
    let (exchange, first) = Exchange::begin(hopeless, Channel::Unbound, message.as_bytes(), NONCE).unwrap();
    assert_eq!(exchange.finish(last("pencil", b"n,,", &bare, &first).as_bytes()), Ok(None));
}

#[test]
fn first_messages_that_are_refused() {
    let check = |channel: Channel, message: &str, expected: &str| {
        let told = match begin(channel, message) {
            Ok(_) => "taken",
            Err(Fault::Malformed(text) | Fault::Unsupported(text) | Fault::Binding(text)) => text,
        };
        assert!(told.contains(expected), "{message}: {told}");
    };
    check(Channel::Unbound, "n,,n=,r=abc", "taken");
    check(Channel::Unbound, "n,,n=any=2Cone,r=abc,x=more", "taken");
    check(Channel::Unbound, "", "empty");
    check(Channel::Unbound, "n", "end of message");
    check(Channel::Unbound, "n,", "unexpected attribute");
    check(Channel::Unbound, "n,,", "user");
    check(Channel::Unbound, "x,,n=,r=abc", "flag");
    check(Channel::Unbound, "n,a=admin,n=,r=abc", "authorization identity");
    check(Channel::Unbound, "n,b=admin,n=,r=abc", "unexpected attribute");
    check(Channel::Unbound, "n,,m=x,n=,r=abc", "extension");
    check(Channel::Unbound, "n,,n=,r=", "nonce");
    check(Channel::Unbound, "n,,n=", "nonce");
    check(Channel::Unbound, "n,,n=,r=a b", "nonce");
    check(Channel::Unbound, "n,,n=,r=\u{fc}", "nonce");
    check(Channel::Unbound, "n,,n=,r=a\0", "length");
    check(Channel::Unbound, "p=tls-server-end-point,,n=,r=abc", "without channel binding");
    check(Channel::Offered, "p=tls-server-end-point,,n=,r=abc", "without channel binding");
    check(Channel::Offered, "y,,n=,r=abc", "negotiation error");
    check(digest(), "n,,n=,r=abc", "does not include");
    check(digest(), "y,,n=,r=abc", "does not include");
    check(digest(), "p=tls-unique,,n=,r=abc", "channel-binding type");
    assert!(
        Exchange::begin(Challenge { kept: kept(), hopeless: false }, Channel::Unbound, b"n,,n=,r=\xff", NONCE)
            .is_err()
    );
}

#[test]
fn last_messages_that_are_refused() {
    let bare = format!("n=,r={CLIENT_NONCE}");
    let (exchange, first) = begin(Channel::Unbound, &format!("n,,{bare}")).unwrap();
    let right = last("pencil", b"n,,", &bare, &first);
    assert!(exchange.finish(right.as_bytes()).unwrap().is_some());
    for broken in [
        "".to_string(),
        right.replace(",p=", ",q="),
        right.replace("c=", "d="),
        right.replace("c=biws", "c=!"),
        right.replace(",r=", ",s="),
        right.replace(CLIENT_NONCE, "another"),
        right[..right.len() - 4].to_string(),
        format!("{right}AAAA"),
        format!("{right}\0"),
    ] {
        assert!(exchange.finish(broken.as_bytes()).is_err(), "{broken}");
    }
    // What is signed counts, with attributes that nobody knows.
    assert_eq!(exchange.finish(right.replace(",p=", ",x=y,p=").as_bytes()), Ok(None));
}

/// As Python's and PostgreSQL's clients prepare them (RFC 4013).
#[test]
fn passwords_are_prepared() {
    let check = |password: &[u8], expected: &[u8]| assert_eq!(&prepared(password)[..], expected, "{password:?}");
    check(b"pencil", b"pencil");
    check("I\u{ad}X".as_bytes(), b"IX");
    check("\u{aa}".as_bytes(), b"a");
    check("\u{2168}".as_bytes(), b"IX");
    check("a\u{a0}b".as_bytes(), b"a b");
    // Prohibited, in two directions, not assigned, nothing left, and no text: as they are.
    for odd in ["a\u{7}", "\u{627}1", "\u{221}", "\u{ad}", ""] {
        check(odd.as_bytes(), odd.as_bytes());
    }
    check(b"\xff\xfe", b"\xff\xfe");
    assert!(is_password(&verifier("I\u{ad}X".as_bytes(), vec![1; 16], 4096), b"IX"));
    assert!(!is_password(&kept(), b"Pencil"));
    assert!(is_password(&kept(), b"pencil"));
}
