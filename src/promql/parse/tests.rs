use super::*;
use crate::promql::ast::Cardinality;
use crate::promql::numbers::parse_number;
use crate::promql::operators::{AggregateOp, BinaryOp};
use crate::promql::selectors::matches_anything;
use crate::promql::strings::{is_label_name, quote, unquote};
use crate::promql::value_type::ValueType;

fn parsed(query: &str) -> Expr {
    parse(query, &ParseOptions::all()).unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// Shows how a query was grouped: every operator in brackets.
fn grouped(expr: &Expr) -> String {
    match expr {
        Expr::Binary(e) => format!("[{} {} {}]", grouped(&e.left), e.op.as_str(), grouped(&e.right)),
        Expr::Unary { negative, inner, .. } => format!("[{}{}]", if *negative { "-" } else { "+" }, grouped(inner)),
        Expr::Paren { inner, .. } => grouped(inner),
        other => other.to_string(),
    }
}

#[test]
fn operators_bind_by_precedence() {
    for (query, expected) in [
        ("a + b * c", "[a + [b * c]]"),
        ("a - b - c", "[[a - b] - c]"),
        ("a ^ b ^ c", "[a ^ [b ^ c]]"),
        ("-a ^ b", "[-[a ^ b]]"),
        ("-a * b", "[[-a] * b]"),
        ("a ^ -b * c", "[[a ^ [-b]] * c]"),
        ("a or b and c unless d", "[a or [[b and c] unless d]]"),
        ("a == bool b + c", "[a == [b + c]]"),
        ("a % b atan2 c", "[[a % b] atan2 c]"),
        ("a </ 1 + 2 or b >/ 3", "[[a </ [1 + 2]] or [b >/ 3]]"),
        ("-2 ^ 2", "[-[2 ^ 2]]"),
        ("a offset 5m + b", "[a offset 5m + b]"),
        ("a offset -5m ^ 2", "[a offset -5m ^ 2]"),
        ("a offset (5m) * 2", "a offset (5m) * 2"),
        ("a offset step() + 3", "[a offset step() + 3]"),
    ] {
        assert_eq!(grouped(&parsed(query)), expected, "{query}");
    }
}

#[test]
fn literals_have_their_values() {
    let number = |query: &str| match parsed(query) {
        Expr::Number { value, .. } => value,
        other => panic!("{query} is {other:?}"),
    };
    for (query, expected) in [
        ("1", 1.0),
        ("-0.5e-3", -0.5e-3),
        ("1_000", 1000.0),
        ("0x1F", 31.0),
        ("010", 8.0),
        ("09", 9.0),
        (".5", 0.5),
        ("5m", 300.0),
        ("-1h30m", -5400.0),
        ("250ms", 0.25),
        ("Inf", f64::INFINITY),
        ("-iNf", f64::NEG_INFINITY),
    ] {
        assert_eq!(number(query), expected, "{query}");
    }
    assert!(number("nan").is_nan());
}

#[test]
fn strings_are_unquoted_and_quoted() {
    for (literal, expected) in [
        (r#""a\tb""#, "a\tb"),
        (r#"'it\'s'"#, "it's"),
        (r"`raw \n`", r"raw \n"),
        (r#""\x41\102\u00e9\U0001F600""#, "ABé😀"),
        (r#""\xc3\xa9""#, "é"),
    ] {
        assert_eq!(unquote(literal).as_deref(), Some(expected), "{literal}");
        assert_eq!(unquote(&quote(expected)).as_deref(), Some(expected), "{literal}");
    }
    for bad in [r#""\q""#, r#""\'""#, r#""\u12""#, "\"a\nb\"", r#""\777""#, "plain", "\""] {
        assert_eq!(unquote(bad), None, "{bad}");
    }
    let half = unquote(r#""a\xc3z""#).expect("a byte may be anything");
    assert!(!is_label_name(&half) && is_label_name("é") && !is_label_name(""));
    assert_eq!(quote(&half), r#""a\xc3z""#);
    assert_eq!(quote("\u{7}\u{1}é\u{200b}\u{10ffff}"), r#""\a\x01é\u200b\xff""#);
}

#[test]
fn numbers_are_read_as_go_reads_them() {
    assert_eq!(parse_number("+3"), Ok(3.0));
    assert_eq!(parse_number("0b101"), Ok(5.0));
    assert_eq!(
        parse_number("1__0").unwrap_err(),
        r#"error parsing number: strconv.ParseFloat: parsing "1__0": invalid syntax"#
    );
    assert_eq!(
        parse_number("1e999").unwrap_err(),
        r#"error parsing number: strconv.ParseFloat: parsing "1e999": value out of range"#
    );
}

#[test]
fn words_are_keywords_only_where_they_must_be() {
    for query in [
        "sum",
        "by",
        "offset",
        "and",
        "or and unless",
        "start",
        "end{a=\"b\"}",
        "step",
        "fill + fill_left",
        "sum by (by, on, sum, atan2, offset) (sum)",
        "max_of",
        "anchored",
        "limitk",
        "foo{on=\"1\", by=\"2\"}",
        "SUM(x) BY (y)",
        "a:b",
        ":c",
        "sum without (group_left) (x)",
    ] {
        parsed(query);
    }
}

#[test]
fn selectors_take_their_modifiers_in_any_order() {
    for (query, printed) in [
        ("a offset 5m @ 100", "a @ 100.000 offset 5m"),
        ("a @ 100 offset 5m", "a @ 100.000 offset 5m"),
        ("a[5m] @ end() offset -1h30m", "a[5m] @ end() offset -1h30m"),
        ("a[5m] smoothed offset 1m", "a[5m] smoothed offset 1m"),
        ("a anchored", "a anchored"),
        ("rate(a[1m])[1h:5m] @ start()", "rate(a[1m])[1h:5m] @ start()"),
        ("a[1h:]", "a[1h:]"),
        ("a[90]", "a[1m30s]"),
        (
            "{\"my.metric\", \"label.x\"=\"y\", z!~\"w.*\",}",
            "{\"label.x\"=\"y\",__name__=\"my.metric\",z!~\"w.*\"}",
        ),
        ("a @ -1.5", "a @ -1.500"),
        ("a[step() * 2 + (1m)]", "a[step() * 2 + (1m)]"),
        ("a[min_of(5m, range() / 2):max_of(10s, step())]", "a[min_of(5m, range() / 2):max_of(10s, step())]"),
        ("a offset -(1h - 30m)", "a offset -(1h - 30m)"),
        ("a # comment\n [5m] # and another", "a[5m]"),
    ] {
        assert_eq!(parsed(query).to_string(), printed, "{query}");
    }
}

#[test]
fn matching_is_kept() {
    let Expr::Binary(binary) = parsed("a / on (x, \"y.z\") group_left (w) fill_right(-1) fill_left(2m) b") else {
        panic!("not a binary expression");
    };
    let matching = binary.matching.expect("both sides are vectors");
    assert_eq!((matching.cardinality, matching.on), (Cardinality::ManyToOne, true));
    assert_eq!((matching.labels, matching.include), (vec!["x".into(), "y.z".into()], vec!["w".into()]));
    assert_eq!((matching.fill_left, matching.fill_right), (Some(120.0), Some(-1.0)));
    let Expr::Binary(set) = parsed("a and on () b") else { panic!("not a binary expression") };
    assert_eq!(set.matching.map(|m| m.cardinality), Some(Cardinality::ManyToMany));
    let Expr::Binary(scalar) = parsed("a > bool 1") else { panic!("not a binary expression") };
    assert_eq!((scalar.matching, scalar.op), (None, BinaryOp::Greater));
}

#[test]
fn aggregations_take_their_grouping_on_either_side() {
    for query in ["topk by (x) (3, a)", "topk(3, a) by (x)", "topk(3, a) by (x,)"] {
        let Expr::Aggregate(aggregate) = parsed(query) else { panic!("{query} is no aggregation") };
        assert_eq!((aggregate.op, aggregate.without), (AggregateOp::TopK, false));
        assert_eq!((aggregate.labels.as_slice(), aggregate.param.is_some()), (&["x".to_string()][..], true));
    }
}

#[test]
fn spans_cover_what_was_written() {
    for (query, inner) in [
        ("1 + rate(a[5m])", "rate(a[5m])"),
        ("(b offset 5m)", "b offset 5m"),
        ("-sum by (x) (a)", "sum by (x) (a)"),
    ] {
        let expr = parsed(query);
        assert_eq!((expr.span().start, expr.span().end), (0, query.len()), "{query}");
        let mut found = String::new();
        expr.for_each_child(&mut |child| found = query[child.span().start..child.span().end].to_string());
        assert_eq!(found, inner, "{query}");
    }
}

/// Texts and positions that users and other tools know from Prometheus.
#[test]
fn mistakes_are_reported_in_prometheus_words() {
    for (query, expected) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("# only this", "1:1: parse error: no expression found in input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("a\n  + ", "2:5: parse error: unexpected end of input"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("a $", "1:3: parse error: unexpected character: '$'"),
        ("a =~ b", "1:3: parse error: unexpected character after '=': '~'"),
        ("a{b=\"c\" d", "1:9: parse error: unexpected identifier \"d\" in label matching, expected \",\" or \"}\""),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("a{b=c}", "1:5: parse error: unexpected identifier \"c\" in label matching, expected string"),
        ("a{=\"c\"}", "1:3: parse error: unexpected \"=\" in label matching, expected identifier or \"}\""),
        ("a{b=\"c\"", "1:8: parse error: unexpected end of input inside braces"),
        ("\"open", "1:1: parse error: unterminated quoted string"),
        ("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
        ("1x", "1:1: parse error: bad number or duration syntax: \"1\""),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum by a (b)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        (
            "sum by (a b) (c)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("sum by (1) (c)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("topk(\"1\", a)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("nope(a)", "1:1: parse error: unknown function with name \"nope\""),
        ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("label_join(a)", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1"),
        ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
        (
            "rate(a)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("a[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("1 and a", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a + on(b) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "a + on(b) group_left(b) c",
            "1:3: parse error: label \"b\" must not occur in ON and GROUP clause at once",
        ),
        ("a or on(b) group_left c", "1:1: parse error: no grouping allowed for \"or\" operation"),
        ("a and fill(1) b", "1:1: parse error: filling in missing series not allowed for set operators"),
        (
            "-a[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        ("a[5m][5m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
        ("(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("a offset 1m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
        ("a @ 1 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("a[5m / 0]", "1:6: parse error: division by zero"),
        ("a[300y]", "1:3: parse error: duration out of range"),
        (
            "a[]",
            "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        ("a[b]", "1:3: parse error: unexpected character in duration expression: 'b'"),
        (
            "a offset b",
            "1:10: parse error: unexpected identifier \"b\" in offset, expected number, duration, step(), or range()",
        ),
        ("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "sum(a) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp"),
        ("a @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        (
            "1 @ 2",
            "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("a[1m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
    ] {
        match parse(query, &ParseOptions::all()) {
            Ok(expr) => panic!("{query} parsed as {expr}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{query}"),
        }
    }
}

#[test]
fn features_can_be_off() {
    let off = ParseOptions::default();
    for (query, expected) in [
        ("ts_of_max_over_time(a[5m])", "function \"ts_of_max_over_time\" is not enabled"),
        (
            "limitk(1, a)",
            "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("a + fill(0) b", "binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(parse(query, &off).expect_err(query).message, expected);
        parsed(query);
    }
    for stable in ["a[5m * 2]", "a anchored", "rate(a[5m] smoothed)"] {
        assert!(parse(stable, &off).is_ok(), "{stable}");
    }
}

#[test]
fn hostile_queries_are_errors() {
    let deep = |open: &str, middle: &str, close: &str, n: usize| open.repeat(n) + middle + &close.repeat(n);
    for query in [
        deep("(", "a", ")", 100_000),
        deep("abs(", "a", ")", 20_000),
        deep("-", "a", "", 100_000),
        deep("", "1", "+1", 50_000),
        deep("", "1", "^1", 50_000),
        deep("", "a", "[1m:]", 20_000),
        format!("a[{}]", deep("(", "1", ")", 50_000)),
        format!("a[{}]", deep("", "1", "+1", 50_000)),
        "x".repeat(MAX_QUERY_BYTES + 1),
    ] {
        assert!(parse(&query, &ParseOptions::all()).is_err(), "{} bytes", query.len());
    }
    parsed(&deep("", "a", " or a", 400));
    parsed(&deep("(", "a", ")", 100));
}

/// Whatever is cut off or put in, the parser answers.
#[test]
fn mutilated_queries_do_not_panic() {
    let query =
        "sum by (a, \"b\") (rate(x{y=~\"z\"}[5m * step()] @ end() offset -1h)) / on (q) group_left w{} </ 0x1f";
    for at in 0..query.len() {
        for piece in ["", "(", "[", "{", "\"", "é", "@", ":", "1e", "#", "\\"] {
            let _ = parse(&format!("{}{piece}{}", &query[..at], &query[at..]), &ParseOptions::all());
            let _ = parse(&format!("{}{piece}", &query[..at]), &ParseOptions::all());
        }
    }
}

#[test]
fn selectors_for_match_parameters() {
    let matchers = parse_selector("up{job=\"x\", a!=\"b\"}").expect("a selector");
    let texts: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    assert_eq!(texts, ["job=\"x\"", "a!=\"b\"", "__name__=\"up\""]);
    assert!(matches_anything(&parse_selector("{a=~\".*\"}").expect("a selector")));
    assert!(!matches_anything(&matchers));
    for bad in ["", "up + 1", "up[5m]", "sum(up)", "up offset 5m", "1"] {
        assert!(parse_selector(bad).is_err(), "{bad}");
    }
}

#[test]
fn types_follow_the_functions() {
    for (query, kind) in [
        ("1 + 2", ValueType::Scalar),
        ("a + 2", ValueType::Vector),
        ("a[5m]", ValueType::Matrix),
        ("a[5m:]", ValueType::Matrix),
        ("\"s\"", ValueType::String),
        ("scalar(a)", ValueType::Scalar),
        ("vector(1)", ValueType::Vector),
        ("-(time())", ValueType::Scalar),
    ] {
        assert_eq!(parsed(query).value_type(), kind, "{query}");
    }
}
