//! What is kept of a password in the web configuration file: a bcrypt hash, as Prometheus has it, or a verifier of
//! SCRAM-SHA-256, in the text PostgreSQL keeps in `pg_authid`. Here both are texts; to compute with them is
//! `server/access`' business.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a verifier of SCRAM begins with.
const SCRAM: &str = "SCRAM-SHA-256$";
/// Bytes of the keys of SCRAM-SHA-256.
pub const KEY_BYTES: usize = 32;
/// Rounds of PBKDF2: at least as RFC 7677 has it, and no more than take half a second.
pub const ITERATIONS: RangeInclusive<u32> = 4096..=1_000_000;
/// PostgreSQL's salts have 16.
const SALT_BYTES: RangeInclusive<usize> = 8..=64;

/// There is no `Debug`, so that none of it comes into a log.
#[derive(Clone, PartialEq, Eq)]
pub enum Verifier {
    /// In the form that checks passwords, see [`bcrypt_hash`].
    Bcrypt(String),
    Scram(Scram),
}

/// Of SCRAM-SHA-256 (RFC 5803). Whoever has it can look for the password by guessing, and pass for the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Scram {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; KEY_BYTES],
    pub server_key: [u8; KEY_BYTES],
}

impl Verifier {
    /// `None` for a bcrypt hash of which no password could be right, which Go finds out only when one is checked.
    ///
    /// # Errors
    /// What is wrong with the text, without telling it.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        match text.strip_prefix(SCRAM) {
            Some(rest) => Scram::parse(rest).map(|scram| Some(Self::Scram(scram))),
            None => Ok(bcrypt_hash(text)?.map(Self::Bcrypt)),
        }
    }
}

impl Scram {
    /// What follows the name of the mechanism: `ITERATIONS:SALT$STOREDKEY:SERVERKEY`, in base64 but for the first.
    fn parse(text: &str) -> Result<Self, String> {
        let shape = || {
            format!(
                "a verifier of SCRAM has the form {SCRAM}ITERATIONS:SALT$STOREDKEY:SERVERKEY, see promlake user"
            )
        };
        let (numbers, keys) = text.split_once('$').ok_or_else(shape)?;
        let (iterations, salt) = numbers.split_once(':').ok_or_else(shape)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or_else(shape)?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let scram = Self {
            iterations: iterations.parse().map_err(|_| shape())?,
            salt: STANDARD.decode(salt).map_err(|_| shape())?,
            stored_key: key(stored_key).ok_or_else(shape)?,
            server_key: key(server_key).ok_or_else(shape)?,
        };
        if !ITERATIONS.contains(&scram.iterations) {
            let (least, most) = (ITERATIONS.start(), ITERATIONS.end());
            return Err(format!("a verifier of SCRAM has {least} to {most} iterations, not {}", scram.iterations));
        }
        if !SALT_BYTES.contains(&scram.salt.len()) {
            let (least, most) = (SALT_BYTES.start(), SALT_BYTES.end());
            return Err(format!("the salt of a verifier of SCRAM has {least} to {most} bytes"));
        }
        Ok(scram)
    }
}

/// As it stands in the file.
impl fmt::Display for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{SCRAM}{}:{salt}${stored}:{server}", self.iterations)
    }
}

/// A bcrypt hash in the form that checks passwords: `$2b$`, two digits of cost, `$`, 22 letters of salt and 31 of the hash.
/// `None` where no password could be right, which Go finds out only when one is checked. As in Go, what follows a hash is
/// passed over, and so is the minor version.
///
/// # Errors
/// In the words of Go's bcrypt, without those that would tell a part of what may be a password.
fn bcrypt_hash(text: &str) -> Result<Option<String>, String> {
    /// The shortest, without a letter behind the version.
    const LEAST: usize = 59;
    const ALPHABET: &[u8] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let bytes = text.as_bytes();
    if bytes.len() < LEAST {
        return Err("crypto/bcrypt: hashedSecret too short to be a bcrypted password".to_string());
    }
    let Some(rest) = bytes.strip_prefix(b"$") else {
        return Err("crypto/bcrypt: bcrypt hashes must start with '$'".to_string());
    };
    let rest = match rest {
        [b'0'..=b'2', b'$', rest @ ..] | [b'0'..=b'2', _, _, rest @ ..] => rest,
        [major @ b'3'..=b'9', ..] => {
            let major = char::from(*major);
            return Err(format!(
                "crypto/bcrypt: bcrypt algorithm version '{major}' requested is newer than current version '2'"
            ));
        }
        _ => return Err("crypto/bcrypt: not a bcrypt hash".to_string()),
    };
    let cost = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    let cost = cost.ok_or("crypto/bcrypt: the cost is not a number of two digits")?;
    if !(4..=31).contains(&cost) {
        return Err(format!("crypto/bcrypt: cost {cost} is outside allowed inclusive range 4..31"));
    }
    let place = |byte: &u8| ALPHABET.iter().position(|known| known == byte);
    match rest.get(3..56) {
        Some(encoded) if encoded.iter().all(|byte| place(byte).is_some()) => {
            // 22 letters have room for four bits more than a salt has; nobody says what is in them.
            let (salt, hash) = encoded.split_at(22);
            let last = salt.last().and_then(place).and_then(|place| ALPHABET.get(place & 0b11_0000));
            let letters = salt[..21].iter().chain(last).chain(hash);
            let letters: String = letters.map(|byte| char::from(*byte)).collect();
            Ok(Some(format!("$2b${cost:02}${letters}")))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$rC4X9ThyEhQeRO4qQUqPbOqT1X63lbM61QZWFhm3uUxuOhx5nd8sy";
    /// Of PostgreSQL 15, for `pencil`.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                          WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn verifiers_of_scram() {
        let Some(Verifier::Scram(scram)) = Verifier::parse(PENCIL).unwrap() else { panic!("a verifier of SCRAM") };
        assert_eq!((scram.iterations, scram.salt.len()), (4096, 16));
        assert_eq!(scram.to_string(), PENCIL);
        let refused = |text: &str, part: &str| {
            let error = Verifier::parse(text).err().unwrap_or_default();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("W22Z") && !error.contains("WG5d"), "{error}");
        };
        for broken in [
            "SCRAM-SHA-256$",
            "SCRAM-SHA-256$4096",
            &PENCIL[..PENCIL.len() - 1],
            &PENCIL.replace("$WG5", ":WG5"),
            &PENCIL.replace(":wfP", "$wfP"),
            &PENCIL.replace("4096", "many"),
            &PENCIL.replace("4096", "-1"),
            &PENCIL.replace("4096", "99999999999"),
            &PENCIL.replace("W22Z", "W22!"),
            &PENCIL.replace("wfPL", ""),
        ] {
            refused(broken, "has the form");
        }
        refused(&PENCIL.replace("4096", "4095"), "4096 to 1000000 iterations, not 4095");
        refused(&PENCIL.replace("4096", "1000001"), "not 1000001");
        refused(&PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""), "8 to 64 bytes");
        refused(&PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &"A".repeat(88)), "8 to 64 bytes");
        // Another mechanism is no hash of bcrypt either.
        refused("SCRAM-SHA-512$4096:salt$a:b", "crypto/bcrypt: ");
    }

    /// Judged by Go's `bcrypt.Cost`.
    #[test]
    fn hashes() {
        let body = HASH.split_once("$10$").unwrap().1;
        let taken = |text: &str, expected: Option<&str>| {
            assert_eq!(bcrypt_hash(text), Ok(expected.map(str::to_string)), "{text}");
        };
        let refused = |text: &str, part: &str| {
            let error = bcrypt_hash(text).unwrap_err();
            assert!(error.starts_with("crypto/bcrypt: ") && error.contains(part), "{text}: {error}");
        };
        let normal = format!("$2b$10${body}");
        for version in ["2y", "2a", "2b", "2x", "2"] {
            taken(&format!("${version}$10${body}"), Some(&normal));
        }
        taken(&format!("{HASH}###"), Some(&normal));
        // The salt's last letter has four bits that do not count.
        taken(&HASH.replace("qPbOqT", "qPbPqT"), Some(&normal));
        taken(&HASH.replace("QUqP", "QU!!"), None);
        taken(&HASH[..59], None);
        taken(&HASH.replace("QUqP", "QUü"), None);
        refused("", "too short");
        refused(&HASH[..58], "too short");
        refused(&"5".repeat(60), "must start with '$'");
        refused(&format!("$3y$10${body}"), "version '3' requested is newer than current version '2'");
        refused(&format!("$zy$10${body}"), "not a bcrypt hash");
        refused(&format!("$2y$99${body}"), "cost 99 is outside allowed inclusive range 4..31");
        refused(&format!("$2y$03${body}"), "cost 3 is outside allowed inclusive range 4..31");
        refused(&format!("$2y$xx${body}"), "the cost");
    }
}
