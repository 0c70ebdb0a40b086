//! Targets of requests as people write them: `/api/v1/query?query=up{job="api"}`, its quotes and letters beyond ASCII as
//! they are. Go's server takes those and the HTTP library refuses them, so they are written as RFC 3986 has them before it
//! sees them.
//!
//! To know where a target is one has to know where a request ends. That is followed only as far as it is certain: behind
//! a body of unknown length nothing is changed any more.

use std::io::Write;

/// How much of a header is kept, to see whether it tells the length of the body.
const MAX_KEPT: usize = 128;

/// The requests on a connection, as far as they have come in.
#[derive(Debug)]
pub struct Targets {
    place: Place,
    /// What there is of a line of the head, at most [`MAX_KEPT`] bytes.
    line: Vec<u8>,
    /// Of the request whose head comes in.
    body: Length,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Method,
    Target,
    /// Behind the target, up to the empty line.
    Head,
    /// This many bytes of it are still to come.
    Body(u64),
    /// Nothing more is looked at.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Bytes(u64),
    Unknown,
}

impl Targets {
    pub fn new() -> Self {
        Self { place: Place::Method, line: Vec::new(), body: Length::Bytes(0) }
    }

    /// The next bytes of the connection as they are to be read, at most three times as many; `None` where they are to be
    /// read as they are.
    pub fn rewrite(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut written: Option<Vec<u8>> = None;
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match self.place {
                Place::Unknown => break,
                Place::Body(missing) => {
                    let here = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
                    if let Some(written) = &mut written {
                        written.extend_from_slice(&rest[..here]);
                    }
                    rest = &rest[here..];
                    self.place = match missing - here as u64 {
                        0 => Place::Method,
                        missing => Place::Body(missing),
                    };
                    continue;
                }
                Place::Target if is_unwritten(byte) => {
                    let written = written.get_or_insert_with(|| {
                        let mut before = Vec::with_capacity(bytes.len() + 64);
                        before.extend_from_slice(&bytes[..bytes.len() - rest.len()]);
                        before
                    });
                    write!(written, "%{byte:02X}").expect("a vector takes all");
                    rest = behind;
                    continue;
                }
                Place::Method | Place::Target | Place::Head => self.take(byte),
            }
            if let Some(written) = &mut written {
                written.push(byte);
            }
            rest = behind;
        }
        if let Some(written) = &mut written {
            written.extend_from_slice(rest);
        }
        written
    }

    /// One byte of a head.
    fn take(&mut self, byte: u8) {
        match (self.place, byte) {
            // Empty lines before a request are none of it.
            (Place::Method, b' ') => self.place = Place::Target,
            (Place::Target, b' ' | b'\n') => self.place = Place::Head,
            (Place::Head, b'\n') => self.line_ends(),
            (Place::Head, _) if self.line.len() < MAX_KEPT => self.line.push(byte),
            _ => {}
        }
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            self.place = match std::mem::replace(&mut self.body, Length::Bytes(0)) {
                Length::Bytes(0) => Place::Method,
                Length::Bytes(bytes) => Place::Body(bytes),
                Length::Unknown => Place::Unknown,
            };
            return;
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()),
            None => return,
        };
        if name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade") {
            self.body = Length::Unknown;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let bytes = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            self.body = match (self.body, bytes) {
                (Length::Bytes(0), Some(bytes)) => Length::Bytes(bytes),
                // Said twice, or no number: the HTTP library refuses it, or knows better.
                _ => Length::Unknown,
            };
        }
    }
}

/// Whether RFC 3986 has this byte nowhere in a target. `#` has a meaning in links alone, and none in a request.
fn is_unwritten(byte: u8) -> bool {
    !byte.is_ascii() || matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of these bytes, whole and one by one.
    fn read(bytes: &[u8]) -> String {
        let whole = Targets::new().rewrite(bytes).unwrap_or_else(|| bytes.to_vec());
        let mut targets = Targets::new();
        let one_by_one: Vec<u8> =
            bytes.iter().flat_map(|byte| targets.rewrite(&[*byte]).unwrap_or_else(|| vec![*byte])).collect();
        assert_eq!(whole, one_by_one);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn what_is_written_otherwise() {
        let check = |target: &str, expected: &str| {
            let with = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: \"a\"\r\n\r\n");
            assert_eq!(read(with(target).as_bytes()), with(expected));
        };
        check("/api/v1/query?query=up&time=1%22", "/api/v1/query?query=up&time=1%22");
        check("/q?query=up{job=\"a\"}", "/q?query=up%7Bjob=%22a%22%7D");
        check("/q?query=größe#x", "/q?query=gr%C3%B6%C3%9Fe%23x");
        check("/a|b^c`d<e>\\", "/a%7Cb%5Ec%60d%3Ce%3E%5C");
        check("http://[::1]:9090/q?a=[]", "http://[::1]:9090/q?a=[]");
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(Targets::new().rewrite(b"GET /\xff HTTP/1.1\r\n").unwrap(), b"GET /%FF HTTP/1.1\r\n");
    }

    #[test]
    fn nothing_is_copied_that_stays() {
        assert_eq!(Targets::new().rewrite(b"POST /q HTTP/1.1\r\nContent-Length: 5\r\n\r\n{\"a\"}"), None);
    }

    #[test]
    fn only_targets_are() {
        let body = "\r\n\r\nGET /{ HTTP/1.1\r\n";
        let length = body.len();
        let post = format!("\r\nPOST /a?{{ HTTP/1.1\r\ncontent-LENGTH:  {length}\r\nX: {{\r\n\r\n{body}");
        let expected = post.replacen("/a?{", "/a?%7B", 1);
        let get = "GET /{ HTTP/1.1\n\nGET /} HTTP/1.1\r\n\r\n";
        assert_eq!(
            read(format!("{post}{get}").as_bytes()),
            format!("{expected}GET /%7B HTTP/1.1\n\nGET /%7D HTTP/1.1\r\n\r\n")
        );
    }

    #[test]
    fn nothing_behind_what_is_not_certain() {
        for header in [
            "Transfer-Encoding: chunked",
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 0x3",
            "Content-Length: 99999999999999999999",
            "Upgrade: h2c",
        ] {
            let requests = format!("POST /{{ HTTP/1.1\r\n{header}\r\n\r\nGET /{{ HTTP/1.1\r\n\r\n");
            assert_eq!(read(requests.as_bytes()), requests.replacen('{', "%7B", 1), "{header}");
        }
    }

    #[test]
    fn long_headers() {
        let long = format!("X: {}\r\nContent-Length: 1\r\n\r\n", "a".repeat(100_000));
        let requests = format!("POST / HTTP/1.1\r\n{long}{{GET /{{ HTTP/1.1\r\n\r\n");
        assert_eq!(read(requests.as_bytes()), format!("POST / HTTP/1.1\r\n{long}{{GET /%7B HTTP/1.1\r\n\r\n"));
    }
}
