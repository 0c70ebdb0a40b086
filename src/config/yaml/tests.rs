use super::*;
use crate::config::file::Config;
use crate::fuzzing::Fuzz;

fn parsed(text: &str) -> Node {
    let (node, twice) = parse(text).unwrap();
    assert_eq!(twice, []);
    node
}

/// The tree on one line: `{key@line: text, …}`, quoted where it was.
fn shape(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_string(),
        Value::Scalar(Scalar { text, plain: true }) => text.clone(),
        Value::Scalar(Scalar { text, plain: false }) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entry = |(key, node): &(Key, Node)| format!("{}@{}: {}", key.text, key.line, shape(node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn trees_know_lines_and_texts() {
    let check = |text: &str, expected: &str| assert_eq!(shape(&parsed(text)), expected, "{text:?}");
    check("", "null");
    check("# nothing\n", "null");
    check("---\n", "null");
    check("a: 1\nb:\n  - x\n  - 'y'\n", "{a@1: 1, b@2: [x, \"y\"]}");
    check(
        "regex: On\nshard: 0x1F\nkey: 012\nold: 2001-01-01\n",
        "{regex@1: On, shard@2: 0x1F, key@3: 012, old@4: 2001-01-01}",
    );
    check("rule_files:\nlabels: ~\non: null\n", "{rule_files@1: null, labels@2: null, on@3: null}");
    check("a: ''\nb: !!str true\n", "{a@1: \"\", b@2: \"true\"}");
    check("\u{feff}a: 1\r\nb: 2\r\n", "{a@1: 1, b@2: 2}");
    check("a: 1\n...\n", "{a@1: 1}");
    check("a: 1\n---\nb: 2\n", "{a@1: 1}");
    check("a: |\n  x", "{a@1: \"x\"}");
    check("a: |\n  x\n ", "{a@1: \"x\\n\"}");
    check("a: |\n  x\n   ", "{a@1: \"x\\n \"}");
    check("a: |\n  x\n    \n  ", "{a@1: \"x\\n  \\n\"}");
    check("a: |\n  x\n  y\nb: >-\n  p\n  q\n", "{a@1: \"x\\ny\\n\", b@4: \"p q\"}");
    // As people write lists over several lines, and paste JSON.
    check("a:\n- b: [\n  'x',\n  y\n  ]\n", "{a@1: [{b@2: [\"x\", y]}]}");
    check("a: [\n{\"b\": \"c\"}\n]\n", "{a@1: [{b@2: \"c\"}]}");
    check("a: [b,\nc]\nd:\te\nf: ['g']#h\n", "{a@1: [b, c], d@3: e, f@4: [\"g\"]}");
    check("a: !!int \"5\"\nb: !!bool 'true'\n", "{a@1: 5, b@2: true}");
    check("a: [x, {b: 1}]\t# a tab before a comment\n", "{a@1: [x, {b@1: 1}]}");
}

#[test]
fn anchors_and_merge_keys() {
    let check = |text: &str, expected: &str| assert_eq!(shape(&parsed(text)), expected, "{text:?}");
    check("a: &x {b: 1}\nc: *x\n", "{a@1: {b@1: 1}, c@2: {b@1: 1}}");
    check("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n", "{a@1: {b@1: 1, c@1: 2}, d@2: {b@1: 1, c@4: 3}}");
    check(
        "a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}\n",
        "{a@1: {b@1: 1}, c@2: {b@2: 2, d@2: 3}, e@3: {b@1: 1, d@2: 3}}",
    );
    // Where it stands: what is behind it wins, and mappings within become one.
    check(
        "a: &x {b: 1, c: {d: 1}}\ne: {b: 2, <<: *x}\nf: {<<: *x, c: {g: 2}}\n",
        "{a@1: {b@1: 1, c@1: {d@1: 1}}, e@2: {b@1: 1, c@1: {d@1: 1}}, f@3: {b@1: 1, c@3: {d@1: 1, g@3: 2}}}",
    );
    // In quotes it is a key like any other.
    check("a: {'<<': 1}\n", "{a@1: {<<@1: 1}}");
}

#[test]
fn keys_given_twice_are_told_and_the_first_stays() {
    let (node, twice) = parse("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\n").unwrap();
    assert_eq!(shape(&node), "{a@1: 1, b@2: {c@3: 1, d@4: 2}}");
    let told: Vec<_> = twice.iter().map(|fault| (fault.line, fault.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(5), "\"c\" is already set in this mapping, on line 3"),
            (Some(6), "\"a\" is already set in this mapping, on line 1"),
        ]
    );
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let check = |text: &str, line: usize, words: &str| {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.line, Some(line), "{text:?}: {fault:?}");
        assert!(fault.message.contains(words), "{text:?}: {fault:?}");
    };
    check("a:\n\t- b\n", 2, "cannot start any token");
    check("a:\n  - b\n c: 1\n", 3, "did not find expected");
    check("a: {{ x }}\n", 1, "template");
    check("a: 'x\n", 2, "unexpected end of stream");
    check("a: *none\n", 1, "unknown anchor");
    check("a: &x [*x]\n", 1, "contains itself");
    check("a: {<<: 1}\n", 1, "map merge requires");
}

#[test]
fn texts_that_would_be_large_are_refused() {
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(parse(&deep).unwrap_err().message.contains("within each other"));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..10 {
        let names = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{names}]\n"));
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 300].join(", "));
    assert!(parse(&long).unwrap_err().message.contains("excessive aliasing"));
    let fault = parse(&bomb).unwrap_err();
    assert!(fault.message.contains("repetition limit") || fault.message.contains("aliasing"), "{fault:?}");
}

#[test]
fn scalars_are_what_yaml_1_1_has() {
    let plain = |text: &str| Scalar { text: text.to_string(), plain: true };
    for (text, value) in [("yes", true), ("On", true), ("y", true), ("off", false), ("FALSE", false)] {
        assert_eq!(plain(text).bool(), Some(value), "{text}");
    }
    assert_eq!(plain("tRue").bool(), None);
    assert_eq!(Scalar { text: "true".into(), plain: false }.bool(), None);
    for (text, value) in
        [("0", 0), ("12", 12), ("-3", -3), ("+4", 4), ("0x1F", 31), ("010", 8), ("0b11", 3), ("1_000", 1000)]
    {
        assert_eq!(plain(text).integer(), Some(value), "{text}");
    }
    for (text, value) in [("1e6", 1_000_000), ("1000.0", 1000), ("1.5", 1), ("-2.7", -2)] {
        assert_eq!(plain(text).integer(), Some(value), "{text}");
    }
    for text in ["", "x", ".inf", "0x", "99999999999999999999"] {
        assert_eq!(plain(text).integer(), None, "{text}");
    }
    assert_eq!(plain("1.5").float(), Some(1.5));
    assert_eq!(plain("1e3").float(), Some(1000.0));
    assert_eq!(plain("7").float(), Some(7.0));
    assert_eq!(plain("-.inf").float(), Some(f64::NEG_INFINITY));
    assert_eq!(plain("inf").float(), None);
}

/// Texts that mean something to YAML or to a configuration.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\n  ",
    b"\t",
    b" ",
    b": ",
    b":",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"<<: ",
    b"? ",
    b"|\n",
    b">-\n",
    b"\"",
    b"'",
    b"#",
    b"!!str ",
    b"!!int ",
    b"!x ",
    b"~",
    b"null",
    b"yes",
    b"0x1F",
    b"1e999",
    b"-0",
    b"%YAML 1.1\n",
    b"---\n",
    b"...\n",
    b"\\",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"${HOME}",
    b"$$",
    b"scrape_configs",
    b"job_name",
    b"__name__",
    b"15s",
    b"1h30m",
    b"(",
    b".*",
    b"replace",
];

const CONFIGS: &[&str] = &[
    "global: {scrape_interval: 15s, external_labels: {dc: fra}}\nscrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['x:1']\n",
    "x: &a {b: 1, c: [1, 2]}\nd:\n  <<: *a\n  c: 3\ne: *a\n",
    "scrape_configs:\n- job_name: b\n  relabel_configs:\n  - {source_labels: [a, b], regex: '(.+);(.*)', target_label: c, replacement: $1}\n  basic_auth: {username: u, password: p}\n",
    "rule_files: [a.yml]\nalerting:\n  alertmanagers:\n  - static_configs: [{targets: [am:9093]}]\nremote_write:\n- url: http://x/\n  queue_config: {capacity: 5}\n",
    "a: |\n  x\n  y\nb: >-\n  p\n  q\n? c\n: 'd''e'\nf: \"g\\n\\u0041\"\n",
];

/// What libyaml's binding makes of a text.
fn by_serde(text: &str) -> Option<serde_yaml::Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = serde_yaml::Deserializer::from_str(text).next()?;
    serde_yaml::Value::deserialize(document).ok()
}

/// Whether a tree has the same lists, keys in the same order, and as many values.
fn alike(node: &Node, value: &serde_yaml::Value) -> bool {
    match (&node.value, value) {
        (Value::List(items), serde_yaml::Value::Sequence(values)) => {
            items.len() == values.len() && items.iter().zip(values).all(|(item, value)| alike(item, value))
        }
        (Value::Map(entries), serde_yaml::Value::Mapping(values)) => {
            entries.len() == values.len()
                && entries.iter().all(|(key, item)| {
                    let found = values.iter().find(|(name, _)| name.as_str() == Some(&key.text));
                    // A key that is a number is known by its text here.
                    found.is_none_or(|(_, value)| alike(item, value))
                })
        }
        (Value::Scalar(scalar), serde_yaml::Value::String(text)) => scalar.text == *text,
        (Value::Null | Value::Scalar(_), value) => !value.is_mapping() && !value.is_sequence(),
        _ => false,
    }
}

/// Texts of which `serde_yaml` makes something else than Prometheus does: tags, and merge keys.
fn is_read_differently(text: &str) -> bool {
    text.contains('!') || text.contains("<<")
}

/// Go's YAML knows one escape more.
#[test]
fn quotes_with_a_backslash() {
    let check = |text: &str, expected: &str| {
        let shown = parse(text)
            .map(|(node, _)| shape(&node))
            .map_err(|fault| format!("{:?} {}", fault.line, fault.message));
        assert_eq!(shown.unwrap_or_else(|error| error), expected, "{text:?}");
    };
    check("a: \"it\\'s\"", "{a@1: \"it's\"}");
    check("ü: x\nb:\n  c: \"é\\'\\\\\\'\" # \\'\nd: '\\'\n", "{ü@1: x, b@2: {c@3: \"é'\\\\'\"}, d@4: \"\\\\\"}");
    check("a: \"it\\'s\"\nb: \"\\q\"", "Some(2) found unknown escape character");
    let many = format!("a: \"{}\"", "\\'".repeat(300));
    check(&many, "None more than 256 times \\' in double quotes; it is ' without the \\");
}

/// Last lines of blanks, less and more than the block is indented, behind others of them.
#[test]
fn blocks_end_where_the_text_does() {
    for header in ["|", ">", "|-", ">-", "|+", ">+", "|3", "|1"] {
        for content in ["  x\n", "  x\n\n  y\n", "   x\n", "  x\n    y\n", "", "\n", "  x\r\n"] {
            for (before, last) in (0..6).flat_map(|before| (0..6).map(move |last| (before, last))) {
                let between = if before == 0 { String::new() } else { format!("{}\n", " ".repeat(before)) };
                let text = format!("a: {header}\n{content}{between}{}", " ".repeat(last));
                if let (Ok((node, _)), Some(value)) = (parse(&text), by_serde(&text)) {
                    assert!(alike(&node, &value), "{text:?}\n{}\n{value:?}", shape(&node));
                }
            }
        }
    }
}

/// Any text is read as libyaml reads it, or refused; and a configuration made of it is one or has mistakes.
#[test]
fn damaged_files() {
    let seeds: Vec<Vec<u8>> = CONFIGS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let (mut read, mut fuzz) = (0, Fuzz::new(20_000));
    while fuzz.goes_on() {
        let bytes = fuzz.input(&seeds, WORDS);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let _ = Config::parse_with_env(&text, &|_| None);
        let Ok((node, twice)) = parse(&text) else { continue };
        read += 1;
        let Some(value) = by_serde(&text).filter(|_| twice.is_empty() && !is_read_differently(&text)) else {
            continue;
        };
        assert!(alike(&node, &value), "{text:?}\n{}\n{value:?}", shape(&node));
    }
    assert!(read > fuzz.tried / 20, "of {} only {read} could be read", fuzz.tried);
}
