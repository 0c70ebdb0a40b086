use super::*;

/// Patterns by what they become.
const ONE_OF: &[&str] = &[
    "",
    "a",
    "a|b",
    "(a|b)",
    "api|web|db",
    "ab|ac|abc",
    "a?",
    "(foo|bar)-[12]",
    "x{2}",
    "(?:a|b){0,2}",
    "(?i)ab",
    "a||b",
    r"host-1:9100",
    r"10\.0\.0\.[1-9]",
    "é|ß",
    "[a&&b]",
    "x{,2}",
];
const PIECES: &[&str] = &[
    ".*",
    ".+",
    "a.*",
    ".*a",
    "a.+",
    ".+a",
    "a.*b",
    "a.+b.*c",
    ".*a.*",
    ".+a.+",
    "(.*)",
    "(.*):(.*)",
    ".*?a",
    "host-.*:9100",
    ".*.+",
    "(?s:.)*",
    "é.*ß",
];
const REGEX: &[&str] = &[
    "[a-z]+",
    "a.b",
    ".",
    "a.*|b",
    "(?-s:.)*",
    "^a$",
    r"\d+",
    "a{3,}",
    "(?i)abcdefghijklmnopqrstuvwxyz",
    ".+.+",
    r"\ba.*",
    r"[^\x00-\x{10FFFF}]",
];

const VALUES: &[&str] = &[
    "",
    "a",
    "b",
    "c",
    "ab",
    "ac",
    "abc",
    "aab",
    "ba",
    "api",
    "web",
    "db",
    "foo-1",
    "bar-2",
    "foo-3",
    "xx",
    "x",
    "xxx",
    "AB",
    "Ab",
    "aa",
    "bb",
    "host-1:9100",
    "host-:9100",
    "host-1x9100",
    "10.0.0.1",
    "10.0.0.0",
    "10x0.0.1",
    "é",
    "ß",
    "éß",
    "éxß",
    "a\nb",
    "\n",
    "axbxc",
    "abxc",
    "axbc",
    "aaa",
    "a:b",
    ":",
    "::",
    "12",
    "z",
    "abab",
    "bcbca",
];

#[test]
fn patterns_match_what_their_regular_expressions_match() {
    for pattern in ONE_OF.iter().chain(PIECES).chain(REGEX) {
        let (ours, theirs) = (Pattern::new(pattern).unwrap(), anchored(pattern).unwrap());
        for value in VALUES {
            assert_eq!(ours.is_match(value), theirs.is_match(value), "{pattern:?} and {value:?}: {ours:?}");
        }
    }
}

#[test]
fn plain_patterns_are_not_compiled() {
    let check = |patterns: &[&str], is_it: fn(&Pattern) -> bool| {
        for pattern in patterns {
            let compiled = Pattern::new(pattern).unwrap();
            assert!(is_it(&compiled), "{pattern:?} became {compiled:?}");
        }
    };
    check(ONE_OF, |p| matches!(p, Pattern::OneOf(_)));
    check(PIECES, |p| matches!(p, Pattern::Pieces { .. }));
    check(REGEX, |p| matches!(p, Pattern::Regex(_)));
}

#[test]
fn what_rust_reads_the_same_keeps_its_text() {
    let check = |pattern: &str, expected: &str| assert_eq!(anchored(pattern).unwrap().as_str(), expected);
    check(".*", "^(?s:.*)$");
    check("(?<name>a|b)+", "^(?s:(?<name>a|b)+)$");
    // In Rust's grammar digits are those of all scripts.
    check(r"\d", "^(?:[0-9])$");
    check("x{,2}", r"^(?:(?:x\{,2\}))$");
}

#[test]
fn texts_are_bounded() {
    // Two to the power of 40 texts; and few enough, of many times the pattern's size.
    assert!(matches!(Pattern::new("[a-p]{4}").unwrap(), Pattern::Regex(_)));
    assert!(matches!(Pattern::new(&"[ab]".repeat(40)).unwrap(), Pattern::Regex(_)));
    // Few texts, each of a quarter of a MiB: the room is for all of them together, here and in pieces. The regular
    // expression is too large as well.
    let long = format!("(?:(?:(?:{}){{10}}){{10}}){{10}}", "x".repeat(256));
    assert!(texts(&parse(&long).unwrap(), &mut Room(8 << 20)).is_some());
    let longest = vec![long; 100];
    for pattern in [longest.join("|"), longest.join(".*"), longest.join("y?")] {
        assert!(Pattern::new(&pattern).is_err(), "{pattern}");
    }
    let hosts: Vec<String> = (0..20_000).map(|i| format!("host-{i}:9100")).collect();
    let many = Pattern::new(&hosts.join("|")).unwrap();
    assert!(many.is_match("host-19999:9100") && !many.is_match("host-20000:9100"));
}

#[test]
fn mistakes_are_told() {
    for pattern in ["a)(b", "(", "[", "a**b(", "*", r"\1", r"(?<n>a)\k<n>"] {
        for error in [Pattern::new(pattern).unwrap_err(), anchored(pattern).unwrap_err()] {
            let expected = format!("invalid regular expression {pattern:?}: error parsing regexp: ");
            assert!(error.message.starts_with(&expected), "{}", error.message);
        }
    }
}
