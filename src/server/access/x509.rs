//! The parts of an X.509 certificate (RFC 5280) that are looked at here: the time it is valid for, the names of its owner
//! and how it is signed. Signatures and chains are the TLS library's business. Whatever does not parse is no certificate.

use std::net::{Ipv4Addr, Ipv6Addr};

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `UTF8String`, `PrintableString` and `IA5String`.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Kinds of names: `rfc822Name`, `dNSName`, `uniformResourceIdentifier` and `iPAddress`.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Seconds since 1970, both inclusive.
    pub not_before: i64,
    pub not_after: i64,
    /// Of the subject, where it has exactly one.
    pub common_name: Option<String>,
    /// Subject alternative names, as Go writes them.
    pub names: Vec<String>,
}

impl Certificate {
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
        let mut body = Reader(certificate.expect(SEQUENCE)?);
        body.optional(VERSION)?;
        body.expect(INTEGER)?;
        // The algorithm of the signature and the issuer.
        body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?;
        let mut validity = Reader(body.expect(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let common_name = common_name(body.expect(SEQUENCE)?)?;
        // The subject's key.
        body.expect(SEQUENCE)?;
        let mut names = vec![];
        while !body.0.is_empty() {
            let (tag, value) = body.next()?;
            if tag == EXTENSIONS {
                names = alternative_names(value)?;
            }
        }
        Some(Self { not_before, not_after, common_name, names })
    }

    pub fn is_valid_at(&self, seconds: i64) -> bool {
        (self.not_before..=self.not_after).contains(&seconds)
    }
}

/// The object identifier of the signature's algorithm, in DER without tag and length.
pub fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
    certificate.expect(SEQUENCE)?;
    Reader(certificate.expect(SEQUENCE)?).expect(OBJECT_IDENTIFIER)
}

/// `None` for what is no name; a name without a text that can be read, or with several, has none.
fn common_name(subject: &[u8]) -> Option<Option<String>> {
    let (mut subject, mut found) = (Reader(subject), vec![]);
    while !subject.0.is_empty() {
        let mut set = Reader(subject.expect(SET)?);
        while !set.0.is_empty() {
            let mut pair = Reader(set.expect(SEQUENCE)?);
            let identifier = pair.expect(OBJECT_IDENTIFIER)?;
            let (kind, value) = pair.next()?;
            if identifier == COMMON_NAME {
                let text = TEXTS.contains(&kind).then(|| std::str::from_utf8(value).ok()).flatten();
                // As some libraries end a text there, it could be meant as another one.
                found.push(text.filter(|text| !text.contains('\0')).map(str::to_string));
            }
        }
    }
    Some(if found.len() == 1 { found.pop().flatten() } else { None })
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut names = vec![];
    let mut extensions = Reader(Reader(extensions).expect(SEQUENCE)?);
    while !extensions.0.is_empty() {
        let mut extension = Reader(extensions.expect(SEQUENCE)?);
        if extension.expect(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        // Whether it is critical may stand before it.
        let (mut tag, mut value) = extension.next()?;
        if tag != OCTETS {
            (tag, value) = extension.next()?;
        }
        let mut all = Reader((tag == OCTETS).then(|| Reader(value).expect(SEQUENCE))??);
        while !all.0.is_empty() {
            let (kind, value) = all.next()?;
            names.extend(name(kind, value));
        }
    }
    Some(names)
}

/// `None` for kinds that Go does not know, and what cannot be written as text.
fn name(kind: u8, value: &[u8]) -> Option<String> {
    match kind {
        EMAIL | DNS | URI => std::str::from_utf8(value).ok().map(str::to_string),
        IP => match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).to_canonical().to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Elements of DER one after the other, each with a tag of one byte.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let length = match usize::from(*first) {
            short @ 0..=127 => short,
            // Lengths of up to four bytes.
            long @ 129..=132 => {
                let (bytes, behind) = rest.split_at_checked(long & 127)?;
                rest = behind;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(got, _)| *got == tag).map(|(_, value)| value)
    }

    fn optional(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) { self.next().map(|_| ()) } else { Some(()) }
    }

    /// `YYMMDDHHMMSSZ` of 1950 to 2049, or with four digits of the year (RFC 5280, 4.1.2.5).
    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let text = std::str::from_utf8(text).ok()?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (year, rest) = text.split_at_checked(2)?;
                let year: i32 = digits(year)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                (digits(year)?, rest)
            }
            _ => return None,
        };
        let parts = rest.strip_suffix('Z').filter(|rest| rest.len() == 10)?;
        let part = |at: usize| digits(parts.get(at..at + 2)?).and_then(|part| u32::try_from(part).ok());
        let date = chrono::NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)?;
        Some(date.and_hms_opt(part(4)?, part(6)?, part(8)?)?.and_utc().timestamp())
    }
}

fn digits(text: &str) -> Option<i32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// See `tests/tls/README.md`.
    const CERTIFICATE: &[u8] = include_bytes!("../../../tests/tls/client.crt");

    fn der() -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
    }

    #[test]
    fn names_and_times() {
        let certificate = Certificate::parse(&der()).unwrap();
        assert_eq!(
            certificate.names,
            ["client.example", "127.0.0.1", "2001:db8::1", "admin@example.org", "spiffe://example.org/client"]
        );
        let (begins, ends) = (certificate.not_before, certificate.not_after);
        assert_eq!((begins, ends), (1_735_689_600, 4_891_363_200));
        let check = |at: i64, expected: bool| assert_eq!(certificate.is_valid_at(at), expected, "{at}");
        check(begins - 1, false);
        check(begins, true);
        check(ends, true);
        check(ends + 1, false);
    }

    /// Whatever is cut off or changed is no certificate, or another, and never a panic.
    #[test]
    fn damage() {
        let der = der();
        for length in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..length]), None, "{length}");
        }
        for at in 0..der.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.to_vec();
                damaged[at] = byte;
                let _ = Certificate::parse(&damaged);
            }
        }
    }
}
