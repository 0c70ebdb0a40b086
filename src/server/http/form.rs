//! `application/x-www-form-urlencoded` as Go's `net/url` reads it: a pair with a `%` that is no escape, or with a semicolon, is
//! none, and the others are.

use crate::promql::strings::quote;

/// The name and the value of a part between two `&`; bytes that are no UTF-8 are replaced.
///
/// # Errors
/// Go's words for what is wrong.
pub fn pair(part: &[u8]) -> Result<(String, String), String> {
    if part.contains(&b';') {
        return Err("invalid semicolon separator in query".to_string());
    }
    let (name, value) = match part.iter().position(|byte| *byte == b'=') {
        Some(at) => (&part[..at], &part[at + 1..]),
        None => (part, &b""[..]),
    };
    Ok((unescape(name)?, unescape(value)?))
}

fn unescape(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = behind.first_chunk().and_then(|[high, low]| Some((hex(*high)?, hex(*low)?)));
                let Some((high, low)) = digits else {
                    let shown = String::from_utf8_lossy(&behind[..behind.len().min(2)]);
                    return Err(format!("invalid URL escape {}", quote(&format!("%{shown}"))));
                };
                rest = &behind[2..];
                high << 4 | low
            }
            byte => *byte,
        });
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let check = |part: &str, expected: Result<(&str, &str), &str>| {
            let got = pair(part.as_bytes());
            let got = got.as_ref().map(|(name, value)| (name.as_str(), value.as_str())).map_err(String::as_str);
            assert_eq!(got, expected, "{part}");
        };
        check("a=b", Ok(("a", "b")));
        check("a", Ok(("a", "")));
        check("=b=c", Ok(("", "b=c")));
        check("match%5B%5d=%7bx%3D%22%C3%BC%22}+1", Ok(("match[]", "{x=\"ü\"} 1")));
        check("a=%ff", Ok(("a", "\u{fffd}")));
        check("a=1;b=2", Err("invalid semicolon separator in query"));
        check("a=%zz", Err(r#"invalid URL escape "%zz""#));
        check("a=1%2", Err(r#"invalid URL escape "%2""#));
        check("%=1", Err(r#"invalid URL escape "%""#));
    }
}
