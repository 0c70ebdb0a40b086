use super::event::{Event, Format, Parser};
use super::negotiate::{accept_header, response_format};
use super::number;
use crate::config::protocol::{NameValidation, ScrapeProtocol};

/// Prints every event on a line of its own; an error ends the list.
fn render(format: Format, body: &str) -> Vec<String> {
    let mut parser = Parser::new(format, body.as_bytes());
    let mut out = Vec::new();
    while let Some(event) = parser.next() {
        out.push(match event {
            Err(error) => format!("error {error}"),
            Ok(Event::Type { family, kind }) => format!("type {family} {}", kind.as_str()),
            Ok(Event::Help { family, text }) => format!("help {family} {text:?}"),
            Ok(Event::Unit { family, unit }) => format!("unit {family} {unit}"),
            Ok(Event::Sample(sample)) => {
                let mut pairs = Vec::new();
                match sample.series.decode(&mut pairs) {
                    Err(message) => format!("error {}", parser.error(message)),
                    Ok(()) => {
                        let mut line: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                        line.push(sample.value.to_string());
                        line.extend(sample.timestamp.map(|t| format!("@{t}")));
                        if let Some(exemplar) = sample.exemplar {
                            exemplar.labels.decode(&mut pairs).unwrap();
                            line.push(format!("exemplar {pairs:?} {} {:?}", exemplar.value, exemplar.timestamp));
                        }
                        line.join(" ")
                    }
                }
            }
        });
    }
    out
}

#[track_caller]
fn text(body: &str, want: &[&str]) {
    assert_eq!(render(Format::Text, body), want, "{body:?}");
}

#[track_caller]
fn openmetrics(body: &str, want: &[&str]) {
    assert_eq!(render(Format::OpenMetrics, body), want, "{body:?}");
}

#[test]
fn text_samples() {
    text("", &[]);
    text("a 1", &[r#"__name__="a" 1"#]);
    text("a 1\n", &[r#"__name__="a" 1"#]);
    text("\n\n  a\t 1   123 \n", &[r#"__name__="a" 1 @123"#]);
    text("a:b_c -1.5e3 -7\n", &[r#"__name__="a:b_c" -1500 @-7"#]);
    text("a{} 1\n", &[r#"__name__="a" 1"#]);
    text("a{b=\"c\"} NaN\n", &[r#"__name__="a" b="c" NaN"#]);
    text("a {b=\"c\"} 1\n", &[r#"__name__="a" b="c" 1"#]);
    text("a { b = \"c\" , d=\"e\", } +Inf\n", &[r#"__name__="a" b="c" d="e" inf"#]);
    text("a{b=\"c\"}1\n", &[r#"__name__="a" b="c" 1"#]);
    text(r#"a{b="x\"y\\z\nw\d"} 1"#, &[r#"__name__="a" b="x\"y\\z\nw\\d" 1"#]);
    text(r#"a{b="} # {"} 1"#, &[r#"__name__="a" b="} # {" 1"#]);
    text(r#"a{b=""} 1"#, &[r#"__name__="a" b="" 1"#]);
    text("a{b=\"two\nlines\"} 1\nc 2", &[r#"__name__="a" b="two\nlines" 1"#, r#"__name__="c" 2"#]);
}

#[test]
fn utf8_names_are_quoted() {
    text(r#"{"my.metric"} 1"#, &[r#"__name__="my.metric" 1"#]);
    text(r#"{"my.metric", "a.b"="c", d="é"} 1"#, &[r#"__name__="my.metric" a.b="c" d="é" 1"#]);
    text(r#"{a="b", "my.metric"} 1"#, &[r#"__name__="my.metric" a="b" 1"#]);
    text("# TYPE \"my.metric\" gauge\n", &["type my.metric gauge"]);
    text(r#"{"a", "b"} 1"#, &["error line 1: metric name is given twice"]);
    text(r#"a{"b"} 1"#, &["error line 1: metric name is given twice"]);
}

#[test]
fn text_comments() {
    text("# just words\n#\n# TYPE\n#HELP x y\na 1", &["help x \"y\"", r#"__name__="a" 1"#]);
    text("# HELP a one \\\\ two\\nthree \\\"\n", &[r#"help a "one \\ two\nthree \\\"""#]);
    text("# HELP a\n", &[r#"help a """#]);
    text("#  TYPE  a   counter\n", &["type a counter"]);
    text("# TYPE a untyped\n", &["type a unknown"]);
    text("# TYPE a info\n", &["error line 1: invalid metric type \"info\""]);
    text("# TYPE 9a gauge\n", &["error line 1: expected a metric name, got '9'"]);
}

#[test]
fn text_errors_name_the_line() {
    text("a 1\nb x\nc 1", &[r#"__name__="a" 1"#, r#"error line 2: expected a value after the metric, got "x""#]);
    text("a\n", &[r#"error line 1: expected a value after the metric, got """#]);
    text("a 1 2 3\n", &[r#"error line 1: expected the end of the line after the sample, got "3""#]);
    text("a 1 1.5\n", &[r#"error line 1: invalid timestamp "1.5""#]);
    text("a 0x1p3\n", &[r#"error line 1: expected a value after the metric, got "0x1p3""#]);
    text("a 1_000\n", &[r#"error line 1: expected a value after the metric, got "1_000""#]);
    text("a{b=\"c\n", &["error line 1: unterminated string"]);
    text("a{b=\n", &["error line 1: unexpected end of line inside braces"]);
    text("a{b='c'} 1", &["error line 1: expected a label value in quotes, got '\\''"]);
    text("a{1b=\"c\"} 1", &["error line 1: expected a label name, got '1'"]);
    text("a{b=\"c\" d=\"e\"} 1", &["error line 1: expected ',', got 'd'"]);
    text("a{b=\"c\",b=\"d\"} 1", &["error line 1: label name \"b\" is not unique"]);
    text("a-b 1", &["error line 1: expected '{', got '-'"]);
    text("a 1\r\n", &["error line 1: expected a value after the metric, got \"1\\r\""]);
}

#[test]
fn bucket_bounds_are_normalised() {
    text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1000000\"} 1\nh_bucket{le=\"x\"} 1\n",
        &[
            "type h histogram",
            r#"__name__="h_bucket" le="1.0" 1"#,
            r#"__name__="h_bucket" le="1e+06" 1"#,
            r#"__name__="h_bucket" le="x" 1"#,
        ],
    );
    text("# TYPE s summary\ns{quantile=\"0\"} 1", &["type s summary", r#"__name__="s" quantile="0.0" 1"#]);
    text("# TYPE g gauge\ng{le=\"1\"} 1", &["type g gauge", r#"__name__="g" le="1" 1"#]);
}

#[test]
fn openmetrics_bodies() {
    openmetrics("# EOF", &[]);
    openmetrics("# EOF\n", &[]);
    openmetrics(
        "# HELP a_seconds about \\\"a\\\"\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"c\"} 1 1.5\n# EOF\n",
        &[
            "help a_seconds \"about \\\"a\\\"\"",
            "type a_seconds counter",
            "unit a_seconds seconds",
            r#"__name__="a_seconds_total" b="c" 1 @1500"#,
        ],
    );
    openmetrics(
        "a_total 3 # {id=\"x\"} 0.5 2\nb_total 4 7 # {} 1\n# EOF",
        &[
            r#"__name__="a_total" 3 exemplar [("id", "x")] 0.5 Some(2000)"#,
            r#"__name__="b_total" 4 @7000 exemplar [] 1 None"#,
        ],
    );
}

#[test]
fn openmetrics_is_strict() {
    openmetrics("", &["error line 1: data does not end with # EOF"]);
    openmetrics("a 1\n", &[r#"__name__="a" 1"#, "error line 2: data does not end with # EOF"]);
    openmetrics("a 1", &["error line 1: data does not end with # EOF"]);
    openmetrics("# EOF\n\n", &["error line 2: unexpected data after # EOF"]);
    openmetrics("# EOF\na 1\n", &["error line 2: unexpected data after # EOF"]);
    openmetrics("\n# EOF\n", &["error line 1: expected a metric name or a left brace"]);
    openmetrics("# words\n# EOF\n", &["error line 1: expected # HELP, # TYPE, # UNIT or # EOF"]);
    openmetrics("a  1\n# EOF\n", &[r#"error line 1: expected a value after the metric, got """#]);
    openmetrics("a 1 \n# EOF\n", &[r#"error line 1: expected a timestamp, got """#]);
    openmetrics("a 1 NaN\n# EOF\n", &["error line 1: invalid timestamp NaN"]);
    openmetrics("# TYPE a untyped\n# EOF\n", &["error line 1: invalid metric type \"untyped\""]);
    openmetrics("# UNIT a_b s\n# EOF\n", &[r#"error line 1: unit "s" not a suffix of metric "a_b""#]);
    openmetrics("a 1 # x\n# EOF\n", &["error line 1: expected the labels of an exemplar"]);
}

#[test]
fn numbers() {
    let check = |text: &str, want: Option<f64>| {
        assert_eq!(number::parse(text.as_bytes()).map(f64::to_bits), want.map(f64::to_bits), "{text}");
    };
    for text in [
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        ".5",
        "5.",
        "0.1",
        "123456789.123456789",
        "1e22",
        "1E-7",
        "4.9e-324",
        "9007199254740993",
        "179769313486231570000",
        "0.000000000000000001",
        "99999999999999999999999",
    ] {
        check(text, Some(text.parse().unwrap()));
    }
    check("+Inf", Some(f64::INFINITY));
    check("-infinity", Some(f64::NEG_INFINITY));
    check("nan", Some(f64::from_bits(crate::model::sample::NORMAL_NAN_BITS)));
    for bad in ["", ".", "-", "+", "1e", "e5", "1..2", "0x10", "1e999", "-nan", "1 ", "1_0", "--1", "é"] {
        check(bad, None);
    }
    let form = |value: f64, want: &str| assert_eq!(number::format_openmetrics(value), want);
    form(1.0, "1.0");
    form(-0.0, "0.0");
    form(0.005, "0.005");
    form(0.00001, "1e-05");
    form(100000.0, "100000.0");
    form(1234567.0, "1.234567e+06");
    form(f64::INFINITY, "+Inf");
    form(2.5e300, "2.5e+300");
}

#[test]
fn content_negotiation() {
    let header = accept_header(&ScrapeProtocol::DEFAULT, NameValidation::Utf8);
    assert_eq!(
        header,
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    let fallback = Some(ScrapeProtocol::PrometheusText0_0_4);
    assert_eq!(response_format(Some("text/plain; version=0.0.4; charset=utf-8"), None), Ok(Format::Text));
    assert_eq!(response_format(Some("Application/OpenMetrics-Text"), None), Ok(Format::OpenMetrics));
    assert!(response_format(None, None).unwrap_err().contains("blank Content-Type"));
    assert_eq!(response_format(None, fallback), Ok(Format::Text));
    assert!(
        response_format(Some("text/html"), None).unwrap_err().contains("unsupported Content-Type \"text/html\"")
    );
    assert_eq!(response_format(Some("text/html"), fallback), Ok(Format::Text));
    assert!(response_format(Some("application/vnd.google.protobuf"), fallback).is_err());
}

/// Every prefix, and every single byte changed, of bodies that exercise the grammar: an error is fine, a panic
/// or an endless loop is not.
#[test]
fn no_input_panics() {
    let body = "# HELP a x\\n\n# TYPE a histogram\n# UNIT a_s s\na_bucket{le=\"1\",b=\"\\\"é\"} 1 2 # {t=\"x\"} 1 2\n\
                {\"m.x\", \"l.y\"=\"z\"} NaN\n# EOF\n";
    for format in [Format::Text, Format::OpenMetrics] {
        let run = |bytes: &[u8]| {
            let mut pairs = Vec::new();
            for event in Parser::new(format, bytes).flatten() {
                if let Event::Sample(sample) = event {
                    let _ = sample.series.decode(&mut pairs);
                    let _ = sample.exemplar.map(|e| e.labels.decode(&mut Vec::new()));
                }
            }
        };
        for at in 0..body.len() {
            run(&body.as_bytes()[..at]);
            for byte in [0u8, b'\n', b' ', b'"', b'\\', b'{', b'}', b'#', b'=', b',', b'9', 0xff] {
                let mut changed = body.as_bytes().to_vec();
                changed[at] = byte;
                run(&changed);
            }
        }
    }
}
