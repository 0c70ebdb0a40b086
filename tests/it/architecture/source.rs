//! Rust as far as the checks read it: text without comments and literals, without what only tests see, and the paths that
//! it names.

use std::ops::Range;

/// The text with blanks for comments and literals. Every byte stays where it is.
pub fn masked(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        blank(&mut out, at..end);
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("only whole characters were blanked")
}

/// Where a comment or literal ends that begins at `at`; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let behind = |from: usize, wanted: &[u8]| {
        let found = bytes[from..].windows(wanted.len()).position(|window| window == wanted);
        found.map_or(bytes.len(), |found| from + found + wanted.len())
    };
    match rest[0] {
        b'/' if rest.starts_with(b"//") => behind(at, b"\n").max(at + 2) - usize::from(rest.contains(&b'\n')),
        b'/' if rest.starts_with(b"/*") => behind(at + 2, b"*/"),
        b'"' => {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            (end + 1).min(bytes.len())
        }
        b'r' if !continues_word(bytes, at) => {
            let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
            match rest.get(1 + hashes) {
                Some(b'"') => behind(at + 2 + hashes, &[b"\"", &b"#".repeat(hashes)[..]].concat()),
                _ => at,
            }
        }
        b'\'' => match rest.get(1) {
            Some(b'\\') => behind((at + 3).min(bytes.len()), b"'"),
            // One character and a quote; a lifetime has no second quote.
            Some(first) => {
                let width = match first {
                    0..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                if rest.get(1 + width) == Some(&b'\'') { at + 2 + width } else { at }
            }
            None => at,
        },
        _ => at,
    }
}

/// Whether a letter is not the first of its word; the `b` and `c` in front of literals are no words.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    match at.checked_sub(1) {
        Some(before) if matches!(bytes[before], b'b' | b'c') => before > 0 && is_word(before - 1),
        Some(before) => is_word(before),
        None => false,
    }
}

fn blank(out: &mut [u8], range: Range<usize>) {
    out[range].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
}

/// Where masked code has items that only tests see.
fn test_items(code: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut found: Vec<Range<usize>> = vec![];
    for (start, _) in code.match_indices(MARK) {
        if found.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let (mut depth, mut end) = (0usize, code.len());
        for (i, c) in code[start + MARK.len()..].char_indices() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                end = start + MARK.len() + i + 1;
                break;
            }
        }
        found.push(start..end);
    }
    found
}

/// A source without what only tests see, as it is and masked.
pub fn without_tests(source: &str) -> (String, String) {
    let code = masked(source);
    let items = test_items(&code);
    let cut = |text: &str| {
        let mut out = text.as_bytes().to_vec();
        items.iter().for_each(|item| blank(&mut out, item.clone()));
        String::from_utf8(out).expect("items begin and end with whole characters")
    };
    (cut(source), cut(&code))
}

/// All paths of masked code whose first word is wanted: that word, and what follows it, with groups written out.
/// `crate::a::{b, c::d}` is `a/b` and `a/c/d`, both behind `crate`.
pub fn paths(code: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<(&str, String)> {
    let mut out = vec![];
    let mut at = 0;
    while let Some(start) = code[at..].find(|c: char| c.is_alphabetic() || c == '_') {
        let start = at + start;
        let word = word_of(&code[start..]);
        at = start + word.len();
        // Further words of a path are no beginnings, but those behind `..` of a range are.
        let before = code[..start].trim_end();
        let is_first = !before.ends_with("::") && (!before.ends_with('.') || before.ends_with(".."));
        if let Some(rest) = code[at..].strip_prefix("::")
            && is_first
            && is_wanted(word)
        {
            let mut found = vec![];
            let rest = expand(rest, String::new(), &mut found);
            at = code.len() - rest.len();
            out.extend(found.into_iter().map(|path| (word, path)));
        }
    }
    out
}

fn word_of(text: &str) -> &str {
    &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
}

/// The modules that masked code declares to be in files of their own.
pub fn declared(code: &str) -> Vec<&str> {
    let mut out = vec![];
    for (at, mark) in code.match_indices("mod ") {
        let name = word_of(&code[at + mark.len()..]);
        let is_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if is_word && !name.is_empty() && code[at + mark.len() + name.len()..].starts_with(';') {
            out.push(name);
        }
    }
    out
}

/// Reads one path, or a group of them, and returns what is left.
fn expand<'a>(mut text: &'a str, prefix: String, out: &mut Vec<String>) -> &'a str {
    let mut path = prefix;
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = expand(rest, path.clone(), out).trim_start();
                match rest.strip_prefix(',') {
                    Some(next) => rest = next,
                    None => return rest.strip_prefix('}').unwrap_or(rest),
                }
            }
        }
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
        // Types and functions do not decide the layer, and a lower-case item is no worse than a module.
        if end > 0 {
            path = if path.is_empty() { text[..end].to_string() } else { format!("{path}/{}", &text[..end]) };
        }
        text = &text[end..];
        match text.strip_prefix("::") {
            Some(rest) if end > 0 => text = rest,
            _ => break,
        }
    }
    if !path.is_empty() {
        out.push(path);
    }
    // The rest of `a as b`.
    let skipped = text.trim_start();
    match skipped.strip_prefix("as ") {
        Some(rest) => rest.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => text,
    }
}

#[test]
fn comments_and_literals_are_masked() {
    let check = |source: &str, expected: &str| assert_eq!(masked(source), expected, "{source}");
    check("a // b\nc", "a     \nc");
    check("a /* b\n */ c", "a     \n    c");
    check("a // b", "a     ");
    check(r#"f("a::b \" c", d)"#, "f(           , d)");
    check("f(\"a\nb\")", "f(  \n  )");
    check(r##"f(r"\", r#"a"b"#, br"c")"##, "f(    ,         , b    )");
    check(r"f('\'', '\\', 'é', '{')", "f(    ,     ,     ,    )");
    check("fn f<'a>(a: &'a str) {}", "fn f<'a>(a: &'a str) {}");
    check("for r in r#mod {}", "for r in r#mod {}");
}

#[test]
fn tests_are_left_out() {
    let check = |source: &str, expected: &str| {
        let words: Vec<String> = without_tests(source).0.split_whitespace().map(String::from).collect();
        assert_eq!(words.join(" "), expected, "{source}");
    };
    check("mod a;\n#[cfg(test)]\nmod tests;\nuse a::b;", "mod a; use a::b;");
    check("a();\n#[cfg(test)]\nmod tests { fn f() { g(\"}\") } }\nb();", "a(); b();");
    check("#[cfg(test)]\nfn f(a: [u8; 2]) -> u8 { a[0] }\nb();", "b();");
    check("#[cfg(test)]\nuse a::{b, c};\nb();", "; b();");
}

#[test]
fn paths_are_found() {
    let check = |code: &str, expected: &[&str]| {
        let found: Vec<String> = paths(code, |word| matches!(word, "crate" | "super" | "a"))
            .into_iter()
            .map(|(w, p)| format!("{w}/{p}"))
            .collect();
        assert_eq!(found, expected, "{code}");
    };
    check("use crate::b::{C, d::{self, E}};", &["crate/b/C", "crate/b/d/self", "crate/b/d/E"]);
    check("use super::*;", &["super/*"]);
    check("use super::super::b as c;", &["super/super/b"]);
    check("fn f() -> a::B { b::a::c(a::d(x.a)) }", &["a/B", "a/d"]);
    check("mycrate::b(); aa::b(); a: a::B", &["a/B"]);
    check("f::<a::B>(0..a::C)", &["a/B", "a/C"]);
    assert_eq!(declared("pub mod a;\nmod b { }\nmod c;\nlet mod_d = 1;"), ["a", "c"]);
}
