//! `multipart/form-data` (RFC 7578): the fields of a form that came whole. Files are left out, since no route takes one.

use crate::error::{Error, Result};

/// Of a boundary, as RFC 2046 has it.
const MAX_BOUNDARY_BYTES: usize = 70;
/// Of the head of a part: a name, and a type.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Names and values in their order, and no more than `most`; `content_type` is the header of the request.
///
/// # Errors
/// `BadInput` for what is no such form.
pub fn fields(body: &[u8], content_type: &str, most: usize) -> Result<Vec<(String, String)>> {
    let boundary = parameter(content_type, "boundary")
        .filter(|boundary| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()))
        .ok_or_else(|| wrong("no multipart boundary param in Content-Type"))?;
    let delimiter = format!("--{boundary}");
    let finder = memchr::memmem::Finder::new(&delimiter);
    let mut fields = Vec::new();
    // What is in front of the first delimiter is nobody's.
    let mut rest = match body.strip_prefix(delimiter.as_bytes()) {
        Some(rest) => rest,
        None => next(body, &finder).ok_or_else(ended)?.1,
    };
    loop {
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        let part = line_end(rest).ok_or_else(|| wrong("unexpected text behind a boundary"))?;
        let (content, behind) = next(part, &finder).ok_or_else(ended)?;
        rest = behind;
        let head_bytes = memchr::memmem::find(content, b"\r\n\r\n")
            .filter(|bytes| *bytes <= MAX_HEAD_BYTES)
            .ok_or_else(|| wrong("a part has no head, or a long one"))?;
        let head = String::from_utf8_lossy(&content[..head_bytes]);
        if let Some(name) = field_name(&head) {
            if fields.len() >= most {
                return Ok(fields);
            }
            let value = String::from_utf8_lossy(&content[head_bytes + 4..]).into_owned();
            fields.push((name, value));
        }
    }
}

/// What is in front of the next delimiter, which begins a line, and what is behind it.
fn next<'a>(text: &'a [u8], finder: &memchr::memmem::Finder<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let places = finder.find_iter(text);
    let at = places.into_iter().find(|at| text[..*at].ends_with(b"\r\n"))?;
    Some((&text[..at - 2], &text[at + finder.needle().len()..]))
}

/// Behind the end of the line, in front of which there may be blanks.
fn line_end(text: &[u8]) -> Option<&[u8]> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text[blanks..].strip_prefix(b"\r\n")
}

/// `None` for a file, and for what has no name.
fn field_name(head: &str) -> Option<String> {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    })?;
    let kind = disposition.split(';').next()?.trim();
    let is_field = kind.eq_ignore_ascii_case("form-data") && parameter(disposition, "filename").is_none();
    parameter(disposition, "name").filter(|_| is_field)
}

/// A parameter of a header's value, quoted or not.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (key, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_string(), &behind[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind.trim_start().strip_prefix(';')?;
    }
}

/// A text up to its quote, and what is behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            // Browsers send the backslashes of names as they are.
            '\\' => match chars.clone().next() {
                Some((_, escaped @ ('"' | '\\'))) => {
                    value.push(escaped);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    None
}

fn ended() -> Error {
    wrong("unexpected EOF")
}

fn wrong(what: &str) -> Error {
    Error::bad_input(format!("error parsing form values: multipart: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::Fuzz;

    const TYPE: &str = "multipart/form-data; boundary=xx";

    fn read(body: &str, content_type: &str) -> std::result::Result<Vec<(String, String)>, String> {
        fields(body.as_bytes(), content_type, 3).map_err(|error| error.message)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn part(head: &str, value: &str) -> String {
        format!("--xx\r\nContent-Disposition: {head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn forms() {
        let check = |body: String, expected: &[(&str, &str)]| {
            assert_eq!(read(&body, TYPE).as_deref(), Ok(pairs(expected).as_slice()), "{body}");
        };
        let query = part("form-data; name=\"query\"", "up");
        check("--xx--\r\n".to_string(), &[]);
        check(format!("{query}--xx--\r\n"), &[("query", "up")]);
        // As Go reads it: without a line behind the end, with text around it, with blanks behind a boundary.
        check(format!("preamble\r\n{query}--xx--"), &[("query", "up")]);
        check(format!("{}--xx--", query.replace("--xx\r", "--xx \t\r")), &[("query", "up")]);
        let several = format!(
            "{query}{}{}--xx--\r\n",
            part("form-data; name=\"match[]\"\r\nContent-Type: text/plain", "a\r\n--x\r\nb --xx"),
            part("FORM-DATA; a=b; name=plain", ""),
        );
        check(several, &[("query", "up"), ("match[]", "a\r\n--x\r\nb --xx"), ("plain", "")]);
        let quoted = part(r#"form-data; name="a\"b\\c\d;e""#, "é");
        check(format!("{quoted}--xx--"), &[(r#"a"b\c\d;e"#, "é")]);
        let others =
            format!("{}{}--xx--", part("form-data; name=\"f\"; filename=\"q\"", "x"), part("attachment", "y"));
        check(others, &[]);
    }

    #[test]
    fn what_is_no_form() {
        let check = |body: &str, content_type: &str, expected: &str| {
            let error = read(body, content_type).unwrap_err();
            assert!(error.contains(expected), "{body:?} {content_type}: {error}");
        };
        let query = part("form-data; name=\"query\"", "up");
        check("--xx--", "multipart/form-data", "no multipart boundary");
        check("--xx--", "multipart/form-data; boundary=", "no multipart boundary");
        check("--xx--", &format!("multipart/form-data; boundary={}", "x".repeat(71)), "no multipart boundary");
        check("", TYPE, "unexpected EOF");
        check("--xx\r\n", TYPE, "unexpected EOF");
        check(&query, TYPE, "unexpected EOF");
        check("--xxx\r\n", TYPE, "behind a boundary");
        check("--xx\r\nno head\r\n--xx--", TYPE, "no head");
        // Nothing is read behind those that are wanted.
        assert_eq!(read(&query.repeat(5), TYPE).unwrap(), pairs(&[("query", "up"); 3]));
    }

    #[test]
    fn boundaries_may_be_quoted() {
        let body = part("form-data; name=\"query\"", "up") + "--xx--";
        let read = |content_type: &str| read(&body, content_type);
        assert_eq!(read("multipart/form-data; charset=utf-8; boundary=\"xx\""), Ok(pairs(&[("query", "up")])));
    }

    /// It ends without a panic whatever comes, and takes no more than was sent.
    #[test]
    fn damaged_forms() {
        let form =
            format!("{}{}--xx--\r\n", part("form-data; name=\"a\"", "1"), part("form-data; name=b", "--xx2"));
        let words: &[&[u8]] = &[b"--xx", b"--xx--", b"\r\n", b"\r\n\r\n", b"\"", b"\\", b"name=", b";"];
        let (mut read, mut fuzz) = (0, Fuzz::new(20_000));
        while fuzz.goes_on() {
            let damaged = fuzz.input(&[form.clone().into_bytes()], words);
            if let Ok(found) = fields(&damaged, TYPE, usize::MAX) {
                read += 1;
                // What is no UTF-8 becomes three bytes instead of one.
                let bytes: usize = found.iter().map(|(name, value)| name.len() + value.len()).sum();
                assert!(bytes <= 3 * damaged.len(), "{:?}", String::from_utf8_lossy(&damaged));
            }
        }
        assert!(read > fuzz.tried / 50, "of {} only {read} could be read", fuzz.tried);
    }
}
