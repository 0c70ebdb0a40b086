//! Templates against what Prometheus made of them, limits, and templates at random.

use std::sync::Arc;

use crate::fuzzing::Fuzz;
use crate::model::labels::Labels;

use super::expand::Progress;
use super::source::Template;
use super::subject::{Answer, Sample, SampleValue, Server, Subject};

mod corpus;

const CORPUS: &str = include_str!("corpus.json");

/// Expands a template with all the queries that it needs, one by one.
async fn expand<Q: AsyncFnMut(&str) -> Answer>(
    template: &Template,
    subject: Subject,
    mut query: Q,
) -> crate::error::Result<String> {
    let mut expansion = template.start(subject);
    loop {
        match expansion.run() {
            Progress::Done(result) => return result,
            Progress::Query(text) => {
                let answer = query(&text).await;
                expansion.answer(text, answer);
            }
        }
    }
}

#[test]
fn templates_are_what_prometheus_makes_of_them() {
    let corpus = corpus::Corpus::parse(CORPUS);
    let mut different = vec![];
    for (nth, case) in corpus.templates.iter().enumerate() {
        let ours = corpus.render(nth);
        if Some(&ours) != case.expected.as_ref() {
            different
                .push(format!("{}: {}\n  theirs {:?}\n  ours   {ours:?}", case.subject, case.text, case.expected));
        }
    }
    assert!(corpus.templates.len() > 1000, "{}", corpus.templates.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn subject() -> Subject {
    Subject {
        labels: Labels::from_pairs([("instance", "a:80"), ("job", "api")]),
        value: SampleValue::Float(1.5),
        timestamp_ms: 1_435_065_584_128,
        server: Arc::new(Server {
            external_labels: Labels::from_pairs([("region", "eu")]),
            external_url: "http://localhost:9090/sub".to_string(),
            path_prefix: "/sub".to_string(),
        }),
    }
}

/// The text or the message, with an answer to all queries.
fn render(text: &str) -> String {
    let template = match Template::of_alert("A", text) {
        Ok(template) => template,
        Err(e) => return e.message,
    };
    let mut expansion = template.start(subject());
    loop {
        match expansion.run() {
            Progress::Done(Ok(text)) => return text,
            Progress::Done(Err(e)) => return e.message,
            Progress::Query(text) => {
                let answer = answer(&text);
                expansion.answer(text, answer);
            }
        }
    }
}

/// Two samples that have the query as a label.
fn answer(query: &str) -> Answer {
    let sample = |nth: &str| Sample {
        labels: Labels::from_pairs([("nth", nth), ("query", query)]),
        value: SampleValue::Float(query.len() as f64),
    };
    if query.is_empty() { Err("no query".to_string()) } else { Ok(vec![sample("2"), sample("1")]) }
}

#[test]
fn functions_that_came_after_3_5() {
    let check = |text: &str, expected: &str| assert_eq!(render(text), expected, "{text}");
    let times = "1.435065584128e+09 2015 2015-06-23 13:19:44.128 +0000 UTC";
    check("{{ now }} {{ (toTime now).Year }} {{ humanizeTimestamp now }}", times);
    check(
        "{{ toDuration 5025.5 }} {{ (toDuration 90).Minutes }} {{ (toDuration 0.0015).String }}",
        "1h23m45.5s 1.5 1.5ms",
    );
    check(
        "{{ printf \"%d %T %v\" (toDuration 1).Milliseconds (toDuration 1) (toDuration 1) }}",
        "1000 *time.Duration 1s",
    );
    check("{{ (toTime 5).Add (toDuration 60) }}", "1970-01-01 00:01:05 +0000 UTC");
    check("{{ parseDuration \"-1h30m\" }} {{ parseDuration \"-0\" }}", "-5400 0");
    check("{{ urlQueryEscape \"a b/ü\" }}", "a+b%2F%C3%BC");
    let check_error = |text: &str, expected: &str| {
        let place = "error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at ";
        assert_eq!(render(&format!("{{{{ {text} }}}}")), format!("{place}<{text}>: error calling {expected}"));
    };
    check_error("parseDuration \"-5\"", "parseDuration: not a valid duration string: \"5\"");
    check_error("humanize (toDuration 5)", "humanize: can't convert *time.Duration to float");
}

#[test]
fn queries_are_asked_for_one_by_one() {
    let text = "{{ range query \"a\" }}{{ with query .Labels.nth }}{{ (first .).Labels.query }}{{ end }}{{ end }}{{ query \"\" }}";
    let template = Template::of_alert("A", text).unwrap();
    let asked = std::cell::RefCell::new(vec![]);
    let expansion = expand(&template, subject(), async |query| {
        asked.borrow_mut().push(query.to_string());
        answer(query)
    });
    let mut expansion = std::pin::pin!(expansion);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = expansion.as_mut().poll(&mut context) else {
        panic!("nothing to wait for")
    };
    assert!(result.unwrap_err().message.ends_with("error calling query: no query"));
    assert_eq!(*asked.borrow(), ["a", "2", "1", ""]);
}

#[test]
fn an_expansion_can_be_sent_to_another_thread() {
    fn is_send<T: Send>(_: T) {}
    let template = Template::of_alert("A", "{{ query \"a\" }}").unwrap();
    is_send(template.start(subject()));
    is_send(expand(&template, subject(), async |query| answer(query)));
}

#[test]
fn limits() {
    let check = |text: &str, expected: &str| {
        let message = render(text);
        let shown: String = message.chars().take(300).collect();
        assert!(message.ends_with(expected), "{}: {shown}", &text[..text.len().min(200)]);
    };
    let too_long = ": a text of more than 1048576 bytes";
    check(
        "{{ define \"r\" }}{{ template \"r\" . }}{{ end }}{{ template \"r\" . }}",
        "exceeded maximum template depth (400)",
    );
    check("{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}", ": more than 2097152 steps");
    check("{{ range 9223372036854775807 }}{{ end }}", ": more than 2097152 steps");
    // What long texts are made of takes time, whoever reads them.
    let long = "{{ $l := printf \"%1000000s\" \"x\" }}{{ range 200000 }}";
    for read in ["(toTime 1).Format $l", "match \"x\" $l", "len $l", "safeHtml $l"] {
        check(&format!("{long}{{{{ $x := {read} }}}}{{{{ end }}}}"), ": more than 2097152 steps");
    }
    let unset = format!(
        "{{{{ range 100000 }}}}{{{{ $x := reReplaceAll \"(a)?b\" \"{}\" \"bbbb\" }}}}{{{{ end }}}}",
        "$1".repeat(100_000)
    );
    check(&unset, ": more than 2097152 steps");
    check("{{ range 10000000 }}{{ print $labels $externalLabels }}{{ end }}", too_long);
    check("{{ range 10000000 }}{{ $x := printf \"%1000d\" . }}{{ end }}", ": more than 67108864 bytes of text");
    check("{{ $x := \"ab\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}", too_long);
    check("{{ printf \"%10000000d\" 1 }}", too_long);
    check("{{ printf \"%.10000000f\" 1.5 }}", too_long);
    check(&format!("{{{{ printf \"{}\" 1 2 3 }}}}", "%9999999[1]d".repeat(20_000)), too_long);
    check(
        "{{ $x := args 1 }}{{ range 100 }}{{ $x = args $x $x }}{{ end }}",
        ": more than 32 maps within each other",
    );
    check("{{ $x := args 1 }}{{ range 30 }}{{ $x = args $x $x }}{{ end }}{{ $x }}", too_long);
    check("{{ range 200 }}{{ $x := query (printf \"%d\" .) }}{{ end }}", ": more than 100 queries");
    check("{{ range 200 }}{{ match (printf \"a%d\" .) \"b\" }}{{ end }}", ": more than 100 regular expressions");
    check("{{ $x := printf \"%01000000d\" 0 }}{{ reReplaceAll \"(0*y)|0\" \"\" $x }}", ": more than 2097152 steps");
    check("{{ match \"(\\\\pL{500}){2}\" \"b\" }}", ": regular expression of more than 1048576 bytes");
    check("{{ $x := printf \"%0100000d\" 0 }}{{ reReplaceAll \"0\" $x $x }}", too_long);
    check(
        &format!(
            "{{{{ $x := printf \"%01000000d\" 0 }}}}{{{{ reReplaceAll \"0+\" \"{}\" $x }}}}",
            "$0".repeat(20_000)
        ),
        too_long,
    );
    check(&format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)), ": max expression depth exceeded");
    check(&"{{ if true }}".repeat(100_000), ": more than 100 actions within each other");
    check(
        &format!("{{{{ if 0 }}}}{}", "{{ else if 0 }}".repeat(100_000)),
        ": more than 100 actions within each other",
    );
    check(&"{{ $x := 1 }}".repeat(2_000), ": more than 1000 variables");
}

/// As deep as it may be, with the stack of a thread that is not the main one.
#[test]
fn depth_fits_the_stack() {
    let nested =
        |open: &str, text: &str, close: &str| [open.repeat(95), text.to_string(), close.repeat(95)].concat();
    assert_eq!(render(&nested("{{ if true }}", "x", "{{ end }}")), "x");
    assert_eq!(render(&format!("{{{{ {} }}}}", nested("(print ", "1", ")"))), "1");
    let recursion = "{{ define \"r\" }}{{ with 1 }}{{ if true }}{{ template \"r\" (print (print .)) }}{{ end }}{{ end }}{{ end }}";
    assert!(
        render(&format!("{recursion}{{{{ template \"r\" . }}}}"))
            .ends_with("exceeded maximum template depth (400)")
    );
    let maps = "{{ $x := args 1 }}{{ range 31 }}{{ $x = args $x }}{{ end }}{{ $x | printf \"%#v\" | len }}";
    assert_eq!(render(maps), "1025");
}

/// What templates consist of, with `¦` between and `⏎` for a line feed.
const WORDS: &[&str] = &[
    r#"{{¦}}¦{{- ¦ -}}¦{{/*¦*/}}¦(¦)¦|¦.¦$¦,¦:=¦=¦ ¦⏎¦"¦`¦'¦{{end}}¦{{else}}¦{{if ¦{{range ¦{{with "#,
    r#"{{define "x"}}¦{{template "x" .}}¦{{block "x" .}}¦{{break}}¦{{continue}}¦nil¦true¦0¦-1¦1e9"#,
    r#"9223372036854775807¦0x1p-2¦1i¦'x'¦"a.b:80"¦"\xff"¦"(a|b)*"¦$labels¦$value¦.Labels.job¦.Value¦$x¦print"#,
    r#"printf "%[2]*.[1]*d %v %#v %x %q"¦printf "%1000000d"¦html¦js¦urlquery¦len¦index¦slice¦and¦or¦not¦eq¦lt"#,
    r#"call¦query "q"¦first¦value¦label "nth"¦sortByLabel "nth"¦args¦reReplaceAll¦match¦title¦toUpper¦toLower"#,
    r#"stripPort¦stripDomain¦humanize¦humanize1024¦humanizeDuration¦humanizeTimestamp¦toTime¦toDuration"#,
    r#"parseDuration¦now¦.Format "Jan _2 .000"¦.Add¦.AddDate 1 2 3¦.Month"#,
];

/// Whatever is in a template, it ends soon and without a panic.
#[test]
fn templates_at_random() {
    let corpus = corpus::Corpus::parse(CORPUS);
    let seeds: Vec<Vec<u8>> = corpus.templates.iter().map(|case| case.text.clone().into_bytes()).collect();
    let words: Vec<String> = WORDS.join("¦").split('¦').map(|word| word.replace('⏎', "\n")).collect();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let mut fuzz = Fuzz::new(20_000);
    let mut texts = 0;
    while fuzz.goes_on() {
        let input = match fuzz.random.u8(..4) {
            0 => (0..fuzz.random.usize(1..12))
                .flat_map(|_| *fuzz.random.choice(&words).expect("there are words"))
                .copied()
                .collect(),
            _ => fuzz.input(&seeds, &words),
        };
        let text = String::from_utf8_lossy(&input);
        let result = render(&text);
        texts += u64::from(!result.contains("__alert_A"));
    }
    // Enough of them are templates, so that it is not only the parser that is tried.
    assert!(texts * 10 > fuzz.tried, "{texts} of {}", fuzz.tried);
}
