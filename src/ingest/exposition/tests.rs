use super::event::{Event, Format, Options, Parser, Value};
use super::negotiate::{accept_header, response_format};
use super::number;
use crate::config::protocol::{Escaping, ScrapeProtocol};

/// Prints every event on a line of its own; an error ends the list, unless it is one of labels.
pub(super) fn render(format: Format, body: &[u8]) -> Vec<String> {
    render_with(format, body, Options::default())
}

fn render_with(format: Format, body: &[u8], options: Options) -> Vec<String> {
    let mut parser = Parser::new(format, body, options);
    let mut out = Vec::new();
    while let Some(event) = parser.next() {
        out.push(match event {
            Err(error) => format!("error {error}"),
            Ok(Event::Type { family, kind }) => format!("type {family} {}", kind.as_str()),
            Ok(Event::Help { family, text }) => format!("help {family} {text:?}"),
            Ok(Event::Unit { family, unit }) => format!("unit {family} {unit}"),
            Ok(Event::Sample(sample)) => {
                let mut pairs = Vec::new();
                let decoded = sample.series.decode(&mut pairs);
                let mut line: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                line.push(match &sample.value {
                    Value::Float(value) => value.to_string(),
                    Value::Histogram(histogram) => histogram.test_expression(),
                });
                line.extend(sample.timestamp.map(|t| format!("@{t}")));
                line.extend(Some(sample.start_timestamp).filter(|t| *t != 0).map(|t| format!("from {t}")));
                let exemplars = sample.exemplars.iter().try_for_each(|exemplar| {
                    let mut pairs = Vec::new();
                    exemplar.labels.decode(&mut pairs)?;
                    line.push(format!("exemplar {pairs:?} {} {:?}", exemplar.value, exemplar.timestamp));
                    Ok(())
                });
                match decoded.and(exemplars) {
                    Err(message) => format!("error {}", parser.error(message)),
                    Ok(()) => line.join(" "),
                }
            }
        });
    }
    out
}

#[track_caller]
fn text(body: &str, want: &[&str]) {
    assert_eq!(render(Format::Text, body.as_bytes()), want, "{body:?}");
}

#[track_caller]
fn openmetrics(body: &str, want: &[&str]) {
    assert_eq!(render(Format::OpenMetrics, body.as_bytes()), want, "{body:?}");
}

/// Where fuzzing begins, with what Prometheus takes and what it refuses.
pub(super) const TEXT: &[&str] = &[
    "# HELP a text\n# TYPE a gauge\na{b=\"c\",d=\"e\"} 1\na 2 12345\n",
    "a{x=\"1\"y=\"2\"}3\nb{x=\"1\"\ty=\"2\" z=\"3\",} 4\n",
    "  a 1\n\tb {c=\"d\"} 2\n  {\"e.f\"} 3\n",
    "#TYPE h histogram\n#\n# note\n# TYPE\n# HELP\n# TYPEa b\nh_bucket{le=\"1\"} 1\n",
    "# HELP nginx-vts text\n# HELP a.b c\n# HELP d{e=\"f\"} g\n# HELP b\n# HELP c  \n",
    "{\"a.b\",\"c.d\"=\"e\",f=\"g\"} 1\n{h=\"i\",\"k l\"} 3\n{\"x\",} 1\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# TYPE s summary\ns{quantile=\"0\"} 1\n",
    "a{x=\"\\\"\\\\\\n\\t\",y=\"two\nlines\"} NaN\na+5\nb -Inf\nc .5 1\n",
    "a 1\n\0b 2\n#x\0\n# HELP a b\0c\nd{e=\"\0\"} 1\n",
    "# HELP \"a.b\" text\n# TYPE \"c\nd\" gauge\n{\"c\nd\"} 1\n",
    "a{} 1\nb{ } 2\nc{,} 3\nd{x=\"1\",,} 4\n",
];

pub(super) const OPENMETRICS: &[&str] = &[
    "# HELP a_seconds text \\\"x\\\"\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"c\"} 1 1.5\n# EOF\n",
    "# TYPE c counter\nc_total{a=\"1\"} 3 # {id=\"x\"} 0.5 2\nc_created{a=\"1\"} 1.5\nc_total{a=\"2\"} 4\n# EOF",
    "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{le=\"+Inf\",a=\"1\"} 2 # {} 1\nh_sum{a=\"1\"} 3\nh_count{a=\"1\"} 2\nh_created{a=\"1\"} 1\n# EOF\n",
    "# TYPE \"a.b\" gauge\n{\"a.b\",\"c.d\"=\"e\"} 1\n{f=\"g\",\"h\"} 2\n# EOF\n",
    "a{x=\"1\",} 1 5 # {a=\"b\",c=\"d\",} 1 2\nb NaN\n# EOF\n",
    "# TYPE a info\n# TYPE b stateset\n# TYPE c gaugehistogram\n# TYPE d unknown\n# UNIT e \n# EOF\n",
];

pub(super) const MESSAGES: &[fn() -> Vec<u8>] = &[
    || family("a", 0, &[[label("x", "y"), field(3, &[double(1, 5.0), field(2, &exemplar())].concat())].concat()]),
    || {
        family(
            "b",
            1,
            &[[label("x", "é"), label("z", ""), field(2, &double(1, -1.5)), varint_field(6, 12345)].concat()],
        )
    },
    || {
        family(
            "c",
            2,
            &[field(
                4,
                &[varint_field(1, 3), double(2, 6.5), field(3, &[double(1, 0.5), double(2, 2.0)].concat())]
                    .concat(),
            )],
        )
    },
    || family("d", 3, &[field(5, &double(1, f64::NAN)), field(5, &[])]),
    || family("e", 4, &[field(7, &classic())]),
    || family("f", 4, &[field(7, &[classic(), native()].concat())]),
    || family("g", 5, &[field(7, &native())]),
    || family("h", 4, &[]),
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn varint_field(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn double(number: u32, value: f64) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 2), varint(payload.len() as u64), payload.to_vec()].concat()
}

fn label(name: &str, value: &str) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
}

fn exemplar() -> Vec<u8> {
    let stamp = [varint_field(1, 2), varint_field(2, 500_000_000)].concat();
    [label("id", "q"), double(2, 0.25), field(3, &stamp)].concat()
}

fn bucket(bound: f64, count: u64) -> Vec<u8> {
    field(3, &[varint_field(1, count), double(2, bound)].concat())
}

/// 7 observations in (-Inf, 0.5], (0.5, 1] and (1, +Inf].
fn classic() -> Vec<u8> {
    [varint_field(1, 7), double(2, 9.5), bucket(0.5, 1), bucket(1.0, 3)].concat()
}

/// 7 observations: 1 in the zero bucket, 1, 3 and 2 in the buckets 0, 1 and 2.
fn native() -> Vec<u8> {
    let span = [varint_field(1, zigzag(0)), varint_field(2, 3)].concat();
    let deltas = [varint(zigzag(1)), varint(zigzag(2)), varint(zigzag(-1))].concat();
    [
        varint_field(1, 7),
        double(2, 9.5),
        varint_field(5, zigzag(1)),
        double(6, 0.001),
        varint_field(7, 1),
        field(12, &span),
        field(13, &deltas),
    ]
    .concat()
}

fn family(name: &str, kind: u64, metrics: &[Vec<u8>]) -> Vec<u8> {
    let metrics: Vec<u8> = metrics.iter().flat_map(|metric| field(4, metric)).collect();
    let message = [field(1, name.as_bytes()), varint_field(3, kind), metrics].concat();
    [varint(message.len() as u64), message].concat()
}

#[test]
fn text_samples() {
    text("", &[]);
    text("a 1", &[r#"__name__="a" 1"#]);
    text("a\t 1   123 \n", &[r#"__name__="a" 1 @123"#]);
    text("\n\n a:b_c -1.5e3 7\n", &[r#"__name__=" a:b_c" -1500 @7"#]);
    text("a{} 1\n", &[r#"__name__="a" 1"#]);
    text("a{b=\"c\"} NaN\n", &[r#"__name__="a" b="c" NaN"#]);
    text("a {b=\"c\"} 1\n", &[r#"__name__="a" b="c" 1"#]);
    text("a { b = \"c\" , d=\"e\", } +Inf\n", &[r#"__name__="a" b="c" d="e" inf"#]);
    text("a{b=\"c\"}1\nd+5\n", &[r#"__name__="a" b="c" 1"#, r#"__name__="d" 5"#]);
    text(r#"a{b="x\"y\\z\nw\d"} 1"#, &[r#"__name__="a" b="x\"y\\z\nw\\d" 1"#]);
    text(r#"a{b="} # {"} 1"#, &[r#"__name__="a" b="} # {" 1"#]);
    text(r#"a{b=""} 1"#, &[r#"__name__="a" b="" 1"#]);
    text("a{b=\"two\nlines\"} 1\nc 2", &[r#"__name__="a" b="two\nlines" 1"#, r#"__name__="c" 2"#]);
    text("a{b=\"two\\\\\nlines\"} 1", &[r#"__name__="a" b="two\\\nlines" 1"#]);
}

/// As if the commas were there.
#[test]
fn labels_divided_by_blanks_or_nothing() {
    text("b{x=\"1\" y=\"2\"} 3", &[r#"__name__="b" x="1" y="2" 3"#]);
    text("b{x=\"1\"y=\"2\"} 3", &[r#"__name__="b" x="1" y="2" 3"#]);
    text("b{x=\"1\",,y=\"2\"} 3", &["error line 1: expected label name, got ','"]);
    text("b{,x=\"1\"} 3", &["error line 1: expected label name, got ','"]);
    text("{\"b\" x=\"1\"} 3", &["error line 1: expected '=', got 'x'"]);
    openmetrics("b{x=\"1\"y=\"2\"} 3\n# EOF", &["error line 1: expected comma or brace close, got 'y'"]);
    openmetrics("b{x=\"1\", y=\"2\"} 3\n# EOF", &["error line 1: expected label name, got ' '"]);
}

#[test]
fn utf8_names_are_quoted() {
    text(r#"{"my.metric"} 1"#, &[r#"__name__="my.metric" 1"#]);
    text(r#"{"my.metric", "a.b"="c", d="é"} 1"#, &[r#"__name__="my.metric" a.b="c" d="é" 1"#]);
    text(r#"{a="b", "my.metric"} 1"#, &[r#"__name__="my.metric" a="b" 1"#]);
    text("# TYPE \"my.metric\" gauge\n", &["type my.metric gauge"]);
    text("# HELP \"my\nmetric\" x\n{\"my\nmetric\"} 1", &["help my\nmetric \"x\"", r#"__name__="my\nmetric" 1"#]);
    text(r#"{"a", "b"} 1"#, &["error line 1: metric name already set"]);
    text(r#"a{"b"} 1"#, &["error line 1: metric name already set"]);
    text(r#"{b="c"} 1"#, &["error line 1: metric name not set"]);
}

#[test]
fn text_comments() {
    text("# just words\n#\n# TYPE\n# HELP\n# TYPEx y\na 1", &[r#"__name__="a" 1"#]);
    text("#TYPE a counter\n#HELP a b\n#x\n", &[]);
    text("# HELP a one \\\\ two\\nthree \\\"\n", &[r#"help a "one \\ two\nthree \\\"""#]);
    text(
        "# HELP a\n# HELP b \n# HELP c  \n# HELP d  x",
        &["help a \"\"", "help b \"\"", "help c \"\"", "help d \" x\""],
    );
    text("#  TYPE  a counter\n #\tHELP\ta\tb", &["type a counter", "help a \"b\""]);
    text("# TYPE a untyped\n", &["type a unknown"]);
    for (line, kind) in [
        ("# TYPE a info", "info"),
        ("# TYPE a unknown", "unknown"),
        ("# TYPE a Gauge", "Gauge"),
        ("# TYPE a  gauge", " gauge"),
        ("# TYPE a gauge ", "gauge "),
        ("# TYPE a gauge\r", "gauge\\r"),
        ("# TYPE a", ""),
        ("# TYPE a.b gauge", "b gauge"),
    ] {
        text(line, &[&format!("error line 1: invalid metric type \"{kind}\"")]);
    }
    text("# TYPE 9a gauge\n", &["error line 1: expected metric name, got '9' after TYPE"]);
    text("# HELP \n", &["error line 1: expected metric name, got '\\n' after HELP"]);
}

/// The name goes as far as it is one.
#[test]
fn help_for_names_that_are_none() {
    text("# HELP nginx-vts text here", &["help nginx \"vts text here\""]);
    text("# HELP http.server.duration time", &["help http \"server.duration time\""]);
    text("# HELP req{code=\"200\"} requests", &["help req \"code=\\\"200\\\"} requests\""]);
}

#[test]
fn text_errors_name_the_line() {
    text("a 1\nb x\nc 1", &[r#"__name__="a" 1"#, r#"error line 2: expected value after metric, got "x""#]);
    text("a\n", &[r#"error line 1: expected value after metric, got """#]);
    text("a 1 2 3\n", &[r#"error line 1: expected next entry after timestamp, got "3""#]);
    text("a 1 1.5\n", &[r#"error line 1: expected timestamp or new record, got "1.5""#]);
    text("a 1 -5\n", &[r#"error line 1: expected timestamp or new record, got "-5""#]);
    text(
        "a 1 99999999999999999999\n",
        &[r#"error line 1: expected timestamp or new record, got "99999999999999999999""#],
    );
    text("a 0x1p3\n", &[r#"error line 1: expected value after metric, got "0x1p3""#]);
    text("a 1_000\n", &[r#"error line 1: expected value after metric, got "1_000""#]);
    text("a{b=\"c\n", &["error line 1: unterminated string"]);
    text("a{b=\n", &["error line 1: unexpected end of line inside braces"]);
    text("a{b='c'} 1", &["error line 1: expected label value in quotes, got '\\''"]);
    text("a{1b=\"c\"} 1", &["error line 1: expected label name, got '1'"]);
    text("a{b:c=\"d\"} 1", &["error line 1: expected '=', got ':'"]);
    text("a{b=\"c\\\nd\"} 1", &["error line 1: invalid string \"c\\\\\\nd\""]);
    text("a-b 1", &[r#"error line 1: expected value after metric, got "-b""#]);
    text("a 1\r\n", &["error line 1: expected value after metric, got \"1\\r\""]);
    text("\u{feff}a 1", &["error line 1: expected a metric name or a left brace"]);
    assert_eq!(render(Format::Text, b"a{b=\"\xff\"} 1"), ["error line 1: invalid UTF-8 label value: \"\u{fffd}\""]);
}

/// The lexer's end of input, which is none of ours anywhere else.
#[test]
fn bytes_of_zero() {
    text("a 1\n\0b{", &[r#"__name__="a" 1"#]);
    text("a 1\n#x\0y\nb{", &[r#"__name__="a" 1"#]);
    text("# x\0y\na{b=\"\0\"} 1", &["__name__=\"a\" b=\"\\0\" 1"]);
    text("a 1\0", &["error line 1: expected value after metric, got \"1\\0\""]);
}

#[test]
fn bucket_bounds_are_normalised() {
    text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1000000\"} 1\nh_bucket{le=\"0x1p3\"} 1\nh_bucket{le=\"x\"} 1\n",
        &[
            "type h histogram",
            r#"__name__="h_bucket" le="1.0" 1"#,
            r#"__name__="h_bucket" le="1e+06" 1"#,
            r#"__name__="h_bucket" le="8.0" 1"#,
            r#"__name__="h_bucket" le="x" 1"#,
        ],
    );
    text("# TYPE s summary\ns{quantile=\"0\"} 1", &["type s summary", r#"__name__="s" quantile="0.0" 1"#]);
    text("# TYPE g gauge\ng{le=\"1\"} 1", &["type g gauge", r#"__name__="g" le="1" 1"#]);
    text("#TYPE h histogram\nh_bucket{le=\"1\"} 1", &[r#"__name__="h_bucket" le="1" 1"#]);
    openmetrics(
        "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\n# EOF",
        &["type g gaugehistogram", r#"__name__="g_bucket" le="1" 1"#],
    );
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
    openmetrics("# UNIT _s s\n# UNIT c \n# EOF", &["unit _s s", "unit c "]);
}

#[test]
fn openmetrics_is_strict() {
    openmetrics("", &["error line 1: data does not end with # EOF"]);
    openmetrics("a 1\n", &[r#"__name__="a" 1"#, "error line 2: data does not end with # EOF"]);
    openmetrics("a 1", &["error line 1: data does not end with # EOF"]);
    openmetrics("# EOF\n\n", &["error line 1: unexpected data after # EOF"]);
    openmetrics("# EOF\na 1\n", &["error line 1: unexpected data after # EOF"]);
    openmetrics("\n# EOF\n", &["error line 1: expected a metric name or a left brace"]);
    openmetrics("# words\n# EOF\n", &["error line 1: expected # HELP, # TYPE, # UNIT or # EOF"]);
    openmetrics("# HELP a\n# EOF\n", &["error line 1: expected a blank and a text after the metric name \"a\""]);
    openmetrics("a  1\n# EOF\n", &[r#"error line 1: expected value after metric, got """#]);
    openmetrics("a 1 \n# EOF\n", &[r#"error line 1: expected timestamp, got """#]);
    openmetrics("a 1 NaN\n# EOF\n", &["error line 1: invalid timestamp NaN"]);
    openmetrics("a {b=\"c\"} 1\n# EOF\n", &[r#"error line 1: expected value after metric, got "{b=\"c\"}""#]);
    openmetrics("a{b=\"c\nd\"} 1\n# EOF\n", &["error line 1: invalid string \"c\\nd\""]);
    openmetrics("# TYPE a untyped\n# EOF\n", &["error line 1: invalid metric type \"untyped\""]);
    openmetrics("# UNIT a_b s\n# EOF\n", &[r#"error line 1: unit "s" not a suffix of metric "a_b""#]);
    openmetrics("a 1 # x\n# EOF\n", &["error line 1: expected the labels of an exemplar"]);
    openmetrics("a 1 # {\"x\"} 1\n# EOF\n", &["error line 1: expected '=', got '}'"]);
    openmetrics("a 1 # {x=\"y\"}\n# EOF\n", &["error line 1: expected a blank and value after exemplar labels"]);
}

#[test]
fn openmetrics_starts() {
    let body = "# TYPE c counter\nc_total{a=\"1\"} 3\nc_created{a=\"1\"} 1.5\nc_total{a=\"2\"} 4\n\
                # TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_count{a=\"1\"} 2\nh_created{a=\"1\"} 2\n\
                # TYPE g gauge\ng_created 3\n# EOF\n";
    let options = Options { start_timestamps: true, ..Options::default() };
    let wanted = [
        "type c counter",
        "__name__=\"c_total\" a=\"1\" 3 from 1500",
        "__name__=\"c_total\" a=\"2\" 4",
        "type h histogram",
        "__name__=\"h_bucket\" a=\"1\" le=\"1.0\" 1 from 2000",
        "__name__=\"h_count\" a=\"1\" 2 from 2000",
        "type g gauge",
        "__name__=\"g_created\" 3",
    ];
    assert_eq!(render_with(Format::OpenMetrics, body.as_bytes(), options), wanted);
    assert!(
        render(Format::OpenMetrics, body.as_bytes()).contains(&"__name__=\"c_created\" a=\"1\" 1.5".to_string())
    );
}

#[test]
fn protobuf_families() {
    let check = |message: &[u8], want: &[&str]| assert_eq!(render(Format::Protobuf, message), want);
    check(
        &MESSAGES[0](),
        &["help a \"\"", "type a counter", r#"__name__="a" x="y" 5 exemplar [("id", "q")] 0.25 Some(2500)"#],
    );
    check(&MESSAGES[1](), &["help b \"\"", "type b gauge", r#"__name__="b" x="é" z="" -1.5 @12345"#]);
    check(
        &MESSAGES[2](),
        &[
            "help c \"\"",
            "type c summary",
            r#"__name__="c_count" 3"#,
            r#"__name__="c_sum" 6.5"#,
            r#"__name__="c" quantile="0.5" 2"#,
        ],
    );
    check(&MESSAGES[3](), &["help d \"\"", "type d unknown", r#"__name__="d" NaN"#, r#"__name__="d" 0"#]);
    check(&MESSAGES[7](), &[]);
    let scattered = [field(2, &double(1, 1.0)), label("x", "1"), varint_field(6, 5), label("y", "2")].concat();
    check(&family("a", 1, &[scattered]), &["help a \"\"", "type a gauge", r#"__name__="a" x="1" y="2" 1 @5"#]);
    let of_two = [MESSAGES[1](), MESSAGES[0]()].concat();
    assert_eq!(render(Format::Protobuf, &of_two).len(), 6);
}

#[test]
fn protobuf_errors() {
    let check = |message: &[u8], want: &str| {
        let last = render(Format::Protobuf, message).pop();
        assert_eq!(last.as_deref(), Some(format!("error {want}").as_str()));
    };
    check(b"a 1\nb 2\n", "the body ends within a metric family of 97 bytes, of which there are 7");
    check(&[0x80], "the body does not end with a metric family");
    check(&[2, 0x0b, 0x0c], "the body is no list of metric families");
    check(&family("", 1, &[vec![]]), "invalid metric name: it is empty or not valid UTF-8");
    check(&family("a", 9, &[vec![]]), "unknown metric type for metric \"a\": 9");
    check(&family("a", 1, &[label("", "x")]), "invalid label name: it is empty");
    check(&family("a", 1, &[field(2, &[0x08, 1])]), "a metric of family \"a\" is no protobuf message");
    let bad = field(1, &field(1, b"\xff"));
    check(&family("a", 1, &[bad]), "invalid label name: \"\u{fffd}\"");
}

#[track_caller]
fn histogram(options: Options, message: &[u8], want: &[&str]) {
    let body = family("n", 4, &[[label("a", "1"), field(7, message)].concat()]);
    let got = render_with(Format::Protobuf, &body, options);
    assert_eq!(got[..2], ["help n \"\"", "type n histogram"]);
    assert_eq!(got[2..], *want);
}

const CLASSIC: [&str; 5] = [
    r#"__name__="n_count" a="1" 7"#,
    r#"__name__="n_sum" a="1" 9.5"#,
    r#"__name__="n_bucket" a="1" le="0.5" 1"#,
    r#"__name__="n_bucket" a="1" le="1.0" 3"#,
    r#"__name__="n_bucket" a="1" le="+Inf" 7"#,
];
const NATIVE: &str =
    r#"__name__="n" a="1" {{schema:1 count:7 sum:9.5 z_bucket:1 z_bucket_w:0.001 buckets:[1 3 2]}}"#;
const CUSTOM: &str = r#"__name__="n" a="1" {{schema:-53 count:7 sum:9.5 custom_values:[0.5 1] buckets:[1 2 4]}}"#;

/// Cases 1 to 3 of Prometheus' documentation of `scrape_native_histograms` and its siblings.
#[test]
fn forms_of_histograms() {
    let both = [classic(), native()].concat();
    let options = |native_histograms, always_classic_histograms, convert_classic_histograms| Options {
        native_histograms,
        always_classic_histograms,
        convert_classic_histograms,
        start_timestamps: false,
    };
    let and = |more: &[&'static str]| [&CLASSIC[..], more].concat();
    histogram(options(false, false, false), &classic(), &CLASSIC);
    histogram(options(true, false, false), &classic(), &CLASSIC);
    histogram(options(true, true, true), &classic(), &and(&[CUSTOM]));
    histogram(options(false, false, true), &classic(), &[CUSTOM]);
    histogram(options(false, false, false), &both, &CLASSIC);
    histogram(options(true, false, false), &both, &[NATIVE]);
    histogram(options(true, false, true), &both, &[NATIVE]);
    histogram(options(true, true, true), &both, &[&[NATIVE][..], &CLASSIC].concat());
    histogram(options(false, false, true), &both, &[CUSTOM]);
    histogram(options(true, true, false), &native(), &[NATIVE]);
}

#[test]
fn native_histograms_are_checked() {
    let options = Options { native_histograms: true, ..Options::default() };
    let span = |length: u64| field(12, &varint_field(2, length));
    let delta = |delta: i64| varint_field(13, zigzag(delta));
    let check = |parts: &[Vec<u8>], want: &str| {
        histogram(options, &parts.concat(), &[&format!("error histogram \"n\": {want}")]);
    };
    check(
        &[varint_field(1, 2), span(3), delta(2)],
        "positive side: spans need 3 buckets, have 1 buckets: histogram spans specify different number of buckets than provided",
    );
    check(
        &[varint_field(1, 1), span(2), delta(1), delta(-2)],
        "positive side: bucket number 2 has observation count of -1: histogram has a bucket whose observation count is negative",
    );
    check(
        &[varint_field(1, 99), span(1), delta(2)],
        "2 observations found in buckets, but the Count field is 99: histogram's observation count should equal the number of observations found in the buckets",
    );
    check(
        &[varint_field(1, 2), varint_field(5, zigzag(-7)), span(1), delta(2)],
        "histogram has an unknown schema, got schema -7",
    );
    // Observations that are no numbers are in no bucket.
    let of_nan = [varint_field(1, 3), double(2, f64::NAN), span(1), delta(2)].concat();
    histogram(options, &of_nan, &[r#"__name__="n" a="1" {{count:3 sum:NaN buckets:[2]}}"#]);
    let float = [double(4, 2.5), field(12, &varint_field(2, 2)), double(14, 1.5), double(14, 0.0)].concat();
    histogram(options, &float, &[r#"__name__="n" a="1" {{count:2.5 buckets:[1.5]}}"#]);
    let nothing = [varint_field(1, 0), field(12, &[])].concat();
    histogram(options, &nothing, &[r#"__name__="n" a="1" {{}}"#]);
    // Too fine a schema is reduced.
    let fine = [varint_field(1, 2), varint_field(5, zigzag(9)), span(2), delta(1), delta(0)].concat();
    histogram(options, &fine, &[r#"__name__="n" a="1" {{schema:8 count:2 buckets:[1 1]}}"#]);
}

#[test]
fn exemplars_of_native_histograms_need_a_time() {
    let options = Options { native_histograms: true, ..Options::default() };
    let untimed = field(16, &[label("id", "r"), double(2, 1.0)].concat());
    let own = [native(), untimed.clone(), field(16, &exemplar())].concat();
    let timed = format!("{NATIVE} exemplar [(\"id\", \"q\")] 0.25 Some(2500)");
    histogram(options, &own, &[&timed]);
    histogram(options, &[native(), untimed].concat(), &[NATIVE]);
    let of_bucket = field(3, &[varint_field(1, 1), double(2, 0.5), field(3, &exemplar())].concat());
    histogram(options, &[native(), of_bucket].concat(), &[&timed]);
}

#[test]
fn classic_histograms_of_text_become_native() {
    let check = |body: &str, always_classic_histograms: bool, want: &[&str]| {
        let convert_classic_histograms = true;
        let options = Options { always_classic_histograms, convert_classic_histograms, ..Options::default() };
        let got = render_with(Format::Text, format!("# TYPE h histogram\n{body}").as_bytes(), options);
        assert_eq!(got[1..], *want, "{body}");
    };
    let whole = r#"__name__="h" a="1" {{schema:-53 count:6 sum:7.5 custom_values:[0.5 1] buckets:[1 3 2]}}"#;
    let lines = [
        "h_bucket{a=\"1\",le=\"0.5\"} 1",
        "h_bucket{le=\"1\",a=\"1\"} 4",
        "h_bucket{a=\"1\",le=\"+Inf\"} 6",
        "h_sum{a=\"1\"} 7.5",
        "h_count{a=\"1\"} 6",
    ];
    let body = lines.join("\n");
    check(&body, false, &[whole]);
    check(&format!("{body}\n# TYPE g gauge\ng 1"), false, &[whole, "type g gauge", r#"__name__="g" 1"#]);
    check(&format!("{body}\nx 1"), false, &[whole, r#"__name__="x" 1"#]);
    let mut turned = lines;
    turned.reverse();
    check(&turned.join("\n"), false, &[whole]);
    assert_eq!(check_count(&body), 6);
    // What contradicts itself is nothing.
    check("h_bucket{le=\"1\"} 4\nh_bucket{le=\"+Inf\"} 2\nh_count 2", false, &[]);
    check("h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 3", false, &[]);
    check("h_bucket{le=\"1\"} -1\nh_count 3", false, &[]);
    // Without +Inf or a count.
    let open = r#"__name__="h" {{schema:-53 count:3 sum:1 custom_values:[1 2] buckets:[1 1 1]}}"#;
    check("h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_sum 1\nh_count 3", false, &[open]);
    let uncounted = r#"__name__="h" {{schema:-53 count:2 custom_values:[1 2] buckets:[1 1]}}"#;
    check("h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2", false, &[uncounted]);
    // A comment ends it, as everything does that comes between.
    let half = r#"__name__="h" {{schema:-53 count:1 custom_values:[1] buckets:[1]}}"#;
    let rest = r#"__name__="h" {{schema:-53 count:2 custom_values:[] buckets:[2]}}"#;
    check("h_bucket{le=\"1\"} 1\n# note\nh_bucket{le=\"+Inf\"} 2\nh_count 2", false, &[half, rest]);
    check("h_bucket{le=\"1\"} 1\nh_created 7", false, &[half, r#"__name__="h_created" 7"#]);
    check(
        "h_bucket{le=\"x\"} 1\nh_bucket 2",
        false,
        &[r#"__name__="h_bucket" le="x" 1"#, r#"__name__="h_bucket" 2"#],
    );
    check("h_bucket{le=\"1\"} 1\nh_bucket{le=", false, &["error line 3: unexpected end of input inside braces"]);

    fn check_count(body: &str) -> usize {
        let (always_classic_histograms, convert_classic_histograms) = (true, true);
        let options = Options { always_classic_histograms, convert_classic_histograms, ..Options::default() };
        let body = format!("# TYPE h histogram\n{body}");
        render_with(Format::Text, body.as_bytes(), options).len() - 1
    }
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
    let label = |text: &str, want: Option<f64>| assert_eq!(number::parse_label(text.as_bytes()), want, "{text}");
    label("0x1.8p3", Some(12.0));
    label("-0X10p-1", Some(-8.0));
    label("1_000.5", Some(1000.5));
    for bad in ["0x1", "0xp1", "0x1p", "_1", "1_", "1__0", "0x1p99999", "x"] {
        label(bad, None);
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
fn accept_headers() {
    assert_eq!(
        accept_header(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8),
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    );
    assert_eq!(
        accept_header(&ScrapeProtocol::PROTOBUF_FIRST, Escaping::Values),
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=values;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=values;q=0.3,\
         text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    );
}

#[test]
fn content_types() {
    let fallback = Some(ScrapeProtocol::PrometheusText0_0_4);
    let check = |content_type: &str, want: Result<Format, &str>| {
        let got = response_format(Some(content_type), None);
        match want {
            Ok(format) => assert_eq!(got, Ok(format), "{content_type}"),
            Err(why) => {
                assert!(got.as_ref().is_err_and(|e| e.contains(why)), "{content_type}: {got:?}");
                assert_eq!(response_format(Some(content_type), fallback), Ok(Format::Text));
            }
        }
    };
    check("text/plain; version=0.0.4; charset=utf-8", Ok(Format::Text));
    check("text/plain", Ok(Format::Text));
    check("text/plain;", Ok(Format::Text));
    check("TEXT/PLAIN;VERSION=9", Ok(Format::Text));
    check("text/plain; version=1; version=1", Ok(Format::Text));
    check("text/plain; version=\"0.0.4\"; a=\"b\\\"c;d\"", Ok(Format::Text));
    check(" Application/OpenMetrics-Text ;version=1.0.0", Ok(Format::OpenMetrics));
    check("application/vnd.google.protobuf; encoding=delimited", Ok(Format::Protobuf));
    check("application/vnd.google.protobuf", Ok(Format::Protobuf));
    check("", Err("blank Content-Type"));
    check("text/html", Err("unsupported Content-Type \"text/html\""));
    check("application/json", Err("unsupported"));
    check("text/plain; charset", Err("invalid media parameter"));
    check("text/plain; a=\"b", Err("invalid media parameter"));
    check("text/plain; a=1; a=2", Err("duplicate parameter name"));
    check("text /plain", Err("invalid media type"));
    check("text/plain, text/html", Err("invalid media type"));
    assert!(response_format(None, None).unwrap_err().contains("blank Content-Type"));
    assert_eq!(response_format(None, fallback), Ok(Format::Text));
    assert_eq!(response_format(Some("text/html"), Some(ScrapeProtocol::PrometheusProto)), Ok(Format::Protobuf));
}
