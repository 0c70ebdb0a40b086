//! What matches, what is refused in which words, and what replacements become, as Prometheus 3.5.3 answers. The files
//! were written from its answers: the cases by series with these values that were selected by `{v=~"…"}` and asked by
//! `label_replace`, which agreed, the mistakes by the same selector, the templates by `label_replace`.
//!
//! Prometheus does not read patterns with Go's own package but with a fork of it, which takes the names of categories
//! and scripts only as Unicode writes them. Which of them there are depends on the version of Go.

use regex::{Captures, Regex};

use super::*;

/// After `: `, values, and lines of a pattern, a tab, and those of the values that match.
const CASES: &str = include_str!("cases.txt");
/// A pattern, a tab, and the message.
const MISTAKES: &str = include_str!("mistakes.txt");
/// A pattern, a value, a template and what it becomes, with tabs between them.
const TEMPLATES: &str = include_str!("templates.txt");

/// Patterns that match something else here, and why.
const DIFFERENT: &[(&str, &str)] = &[(
    r"\x{D800}",
    "half a surrogate pair is in no text; Go looks for the replacement character at the beginning",
)];

const FLAGS: Flags = Flags { dot_matches_newline: true };

fn compile(pattern: &str) -> Regex {
    let tree = parse(pattern, FLAGS).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let text = format!("^(?:{})$", to_rust(&tree));
    // What is printed is read as just that tree.
    assert_eq!(regex_syntax::parse(&to_rust(&tree)).unwrap(), tree, "{pattern}");
    Regex::new(&text).unwrap_or_else(|e| panic!("{pattern} became {text}: {e}"))
}

/// A value as it is in the files: nothing, white space and marks without a letter are escaped.
fn value(text: &str) -> String {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('e')) => {}
            ('\\', Some('s')) => value.push(' '),
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some('t')) => value.push('\t'),
            ('\\', Some('u')) => {
                let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                value.extend(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()));
            }
            _ => value.push(c),
        }
    }
    value
}

#[test]
fn patterns_match_what_prometheus_says() {
    let mut values: Vec<&str> = vec![];
    let mut wrong = vec![];
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(listed) = line.strip_prefix(": ") {
            values = listed.split(' ').collect();
            continue;
        }
        let (pattern, hits) = line.split_once('\t').unwrap();
        let regex = compile(pattern);
        let got: Vec<&str> = values.iter().copied().filter(|text| regex.is_match(&value(text))).collect();
        let expected: Vec<&str> = hits.split(' ').filter(|text| !text.is_empty()).collect();
        let is_different = DIFFERENT.iter().any(|(known, _)| *known == pattern);
        if (got != expected) != is_different {
            wrong.push(format!("{pattern}\n  matches {got:?}\n  and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes_are_told_in_gos_words() {
    let mut wrong = vec![];
    for line in MISTAKES.lines() {
        let (pattern, message) = line.split_once('\t').unwrap();
        let got = parse(pattern, FLAGS).map_or_else(|e| e.to_string(), |_| "accepted".to_string());
        if got != message {
            wrong.push(format!("{pattern}\n  {got}\n  {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn templates_become_what_prometheus_says() {
    for line in TEMPLATES.lines() {
        let [pattern, text, template, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (text, template) = (value(text), value(template));
        let regex = compile(pattern);
        let captures = regex.captures(&text).unwrap();
        let mut got = "before ".to_string();
        expand(&template, &captures, &mut got);
        assert_eq!(got.strip_prefix("before ").unwrap(), value(expected), "{line}");
        assert!(!is_plain(&template) || got == format!("before {template}"), "{line}");
    }
}

#[test]
fn parts_of_a_template() {
    use Part::{Group, Name, Text};
    let check = |template: &str, expected: &[Part<'_>]| {
        assert_eq!(parts(template).collect::<Vec<_>>(), expected, "{template}");
    };
    check("", &[]);
    check("plain", &[Text("plain")]);
    check("a$1b${2}", &[Text("a"), Name("1b"), Group(2)]);
    check("$$1$", &[Text("$"), Text("1"), Text("$")]);
    check("${a$b}-$c", &[Text("$"), Text("{a"), Name("b"), Text("}-"), Name("c")]);
    check("${open", &[Text("$"), Text("{open")]);
    check("$0$00$999999999$1000000000", &[Group(0), Name("00"), Group(999_999_999), Name("1000000000")]);
}

#[test]
fn groups_of_one_name_are_told_apart_up_to_a_number() {
    let pattern: Vec<String> = ('a'..='z').map(|c| format!("(?P<n>{c})")).collect();
    let regex = compile(&pattern.join("|"));
    let check = |value: &str, expected: &str| {
        let captures: Captures<'_> = regex.captures(value).unwrap();
        let mut got = String::new();
        expand("$n", &captures, &mut got);
        assert_eq!(got, expected);
    };
    check("a", "a");
    check("h", "h");
    // Go goes through all of them.
    check("i", "");
}

#[test]
fn a_dot_matches_a_newline_by_flag() {
    let matches = |flags| Regex::new(&to_rust(&parse("^a.b$", flags).unwrap())).unwrap().is_match("a\nb");
    assert!(!matches(Flags::default()));
    assert!(matches(FLAGS));
}

#[test]
fn what_is_too_much_is_refused_before_it_is_built() {
    let check = |pattern: String, expected: Option<&str>| {
        let got = parse(&pattern, FLAGS).err();
        let expected = expected.map(|words| format!("error parsing regexp: {words}: `{pattern}`"));
        assert_eq!(got.map(|e| e.to_string()), expected, "{} bytes", pattern.len());
    };
    let nested = |open: &str, count, close: &str| format!("{}x{}", open.repeat(count), close.repeat(count));
    check(nested("(", 249, ")"), None);
    check(nested("(", 250, ")"), Some("expression nests too deeply"));
    check(nested("(?:", 100_000, ")*"), Some("expression nests too deeply"));
    // Groups that only hold together are nothing in the tree.
    check(nested("(?:", 50_000, ")"), None);
    check(nested("(?:", 100_000, ")"), Some("expression nests too deeply"));
    check(nested("(?:a", 1_000, ")"), None);
    check(nested("(?i:a", 1_000, ")"), None);
    check(nested("(?:aaaa", 50_000, ")"), Some("expression too large"));
    check(nested("(?i:a", 50_000, ")"), Some("expression too large"));
    check(nested("(?:a|bb|", 50_000, ")"), Some("expression too large"));
    check("(".repeat(50_000), Some("missing closing )"));
    check(".".repeat(600_000), Some("expression too large"));
    check(format!(r"(?i)\Q{}", "a".repeat(600_000)), Some("expression too large"));
    check("a".repeat(600_000), None);
    check("|".repeat(600_000), Some("expression too large"));
    // The end of a name is looked for once.
    let unfinished = format!("[{}", "[:a".repeat(300_000));
    check(unfinished, Some("missing closing ]"));
    check(format!("(?:{}){{1000}}", "x".repeat(4000)), Some("expression too large"));
    check("x{999}".repeat(10_000), Some("expression too large"));
    check(r"\pL".repeat(1_000), None);
    check(r"\pL".repeat(10_000), Some("expression too large"));
    check(format!("[{}]", r"\pL".repeat(10_000)), Some("expression too large"));
    check(r"(?i)[\x00-\x{10fffe}]".repeat(1_000), None);
    check(r"(?i)[\x01-\x{1e942}]".repeat(1_000), Some("expression too large"));
}
