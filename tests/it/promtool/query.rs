//! `promtool query` and `promtool push` by the real binary: what is printed of a server's answers, and what becomes of bad ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::{Folder, printed};
use crate::support::{Home, NO_TARGETS};

/// A server with one answer for each path, which it takes from what is asked of it.
fn canned(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let asked = Asked::read(&stream);
            let (status, body) = answer(&asked);
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // Who has enough of it may be gone.
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

/// A request: its first line, its headers in small letters, its body.
struct Asked {
    line: String,
    headers: Vec<String>,
    body: String,
}

impl Asked {
    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_string()),
            }
        }
        let line = lines.remove(0);
        let headers: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("the body");
        Self { line, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }
}

const PAGE: &str = "# TYPE pushed_total counter\npushed_total{job=\"q\"} 7\n# TYPE pushed_h histogram\npushed_h_bucket{le=\"1.0\"} 1\n\
                    pushed_h_sum 3\npushed_h_count 2\n";

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_pushed_and_asked_for() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let folder = Folder::new(&[("page.prom", PAGE), ("bad.prom", "a{\n")]);
    let url = server.http.as_str();
    let pushed = "Parsing metrics file page.prom\n  SUCCESS: metrics file page.prom pushed to remote write.\n";
    assert_eq!(folder.promtool(&["push", "metrics", url, "page.prom"]), printed(0, pushed, ""));
    let write = format!("{url}/api/v1/write");
    let second =
        ["push", "metrics", "--protobuf_message=io.prometheus.write.v2.Request", "--label=zone=two", &write];
    let pushed = "Parsing standard input\n  SUCCESS: metrics pushed to remote write.\n";
    assert_eq!(folder.run(&folder.path("promtool"), &second, Some("page.prom")), printed(0, pushed, ""));
    let (code, out, errors) = folder.promtool(&["push", "metrics", url, "bad.prom", "page.prom"]);
    assert_eq!((code, out.lines().count()), (1, 3), "the other one is pushed all the same: {out}");
    assert!(errors.starts_with("  FAILED: line 1: "), "{errors}");

    let check = |args: &[&str], expected: &str| {
        assert_eq!(folder.promtool(args), printed(0, expected, ""), "{args:?}");
        assert_eq!(folder.promlake(args), printed(0, expected, ""), "promlake {args:?}");
    };
    check(
        &["query", "series", "--match=pushed_total", url],
        "{__name__=\"pushed_total\", exported_job=\"q\", job=\"promtool\"}\n{__name__=\"pushed_total\", exported_job=\"q\", zone=\"two\"}\n",
    );
    check(
        &["query", "labels", "--match={job=\"promtool\"}", url, "__name__"],
        "pushed_h_bucket\npushed_h_count\npushed_h_sum\npushed_total\n",
    );
    check(&["query", "-o", "json", "labels", url, "le"], "[\"+Inf\",\"1\"]\n");
    check(&["query", "labels", url, "nothing"], "");
    check(
        &["query", "instant", "--time=1.5", url, "label_replace(vector(0/0), \"a\", \"<\", \"\", \"\")"],
        "{a=\"<\"} => NaN @[1.5]\n",
    );
    check(&["query", "instant", "-o", "json", "--time=1.5", url, "1/0"], "[1.5,\"+Inf\"]\n");
    check(&["query", "instant", "--time=1.5", url, "nothing"], "\n");
    check(&["query", "instant", "--time=1", url, "'a text'"], "a text\n");
    check(
        &["query", "range", "--start=0", "--end=2000", url, "vector(time()) > 1987"],
        "{} =>\n1992 @[1992]\n2000 @[2000]\n",
    );
    check(
        &["query", "range", "--start=1970-01-01T00:00:01Z", "--end=2", "--step=500ms", url, "time()"],
        "{} =>\n1 @[1]\n1.5 @[1.5]\n2 @[2]\n",
    );
    let values = folder.promtool(&["query", "instant", url, "pushed_h_bucket{zone=\"two\"} * 2"]);
    let with_times_cut = values.1.lines().map(|line| line.split(" @").next().unwrap_or("").to_string());
    let mut lines: Vec<String> = with_times_cut.collect();
    lines.sort();
    assert_eq!(lines, ["{le=\"+Inf\", zone=\"two\"} => 4", "{le=\"1\", zone=\"two\"} => 2"]);

    let fails = |args: &[&str], expected: &str| {
        let failed = printed(1, "", &format!("{expected}\n"));
        assert_eq!(folder.promtool(args), failed, "{args:?}");
        assert_eq!(folder.promlake(args), failed, "promlake {args:?}");
    };
    fails(
        &["query", "instant", url, "sum("],
        "query error: bad_data: invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
    );
    fails(
        &["query", "instant", "--time=x", url, "1"],
        "error parsing evaluation time: cannot parse \"x\" to a valid timestamp",
    );
    fails(
        &["query", "range", "--start=x", url, "1"],
        "error parsing start time: cannot parse \"x\" to a valid timestamp",
    );
    fails(&["query", "range", "--start=2", "--end=2", url, "1"], "start time is not before end time");
    fails(
        &["query", "labels", "--end=x", url, "a"],
        "error parsing end time: cannot parse \"x\" to a valid timestamp",
    );
    let missing = format!("{url}/nope");
    let (code, _, errors) = folder.promtool(&["query", "instant", &missing, "1"]);
    assert!(code == 1 && errors.starts_with("query error: client_error: client error: 404"), "{errors}");
}

#[test]
fn answers_of_other_servers() {
    let histogram = r#"{"count":"3","sum":"4.5","buckets":[[3,"-0.001","0.001","1"],[0,"1","2","2"]]}"#;
    let url = canned(move |asked| {
        let success =
            |data: &str| (200, format!("{{\"status\":\"success\",\"data\":{data},\"warnings\":[\"w\"]}}"));
        match asked.line.split(['/', ' ']).nth(2).unwrap_or_default() {
            "histograms" => success(&format!(
                r#"{{"resultType":"matrix","result":[{{"metric":{{"__name__":"h"}},"histograms":[[1,{histogram}],[2,{histogram}]]}}]}}"#
            )),
            "posts-refused" if asked.line.starts_with("POST") => (405, String::new()),
            "posts-refused" => success(&format!("{{\"resultType\":\"string\",\"result\":[1,{:?}]}}", asked.line)),
            "echo" => success(&format!("{{\"resultType\":\"string\",\"result\":[1,{:?}]}}", asked.body)),
            "user" => match asked.headers.iter().find_map(|line| line.strip_prefix("authorization: ")) {
                Some(shown) => success(&format!("[{shown:?}]")),
                None => (401, "who?".to_string()),
            },
            "html" => (200, "<html>".to_string()),
            _ => (500, " boom\n".to_string()),
        }
    });
    let folder = Folder::new(&[("client.yml", "basic_auth: {username: ada, password: lovelace}\n")]);
    let at = |path: &str| format!("{url}/{path}");
    let warned = |out: &str| printed(0, out, "query warning: w\n");
    let text = "Count: 3.000000, Sum: 4.500000, Buckets: [[-0.001,0.001]:1 (1,2]:2]";
    assert_eq!(
        folder.promtool(&["query", "instant", &at("histograms"), "h[1m]"]),
        warned(&format!("h =>\n{text} @[1]\n{text} @[2]\n"))
    );
    let (code, out, _) =
        folder.promtool(&["query", "analyze", "--type=histogram", "--match=h", "--server", &at("histograms")]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\n- h (native): 2/2.000/2\n") && out.contains("\nNative histogram series (1 in total):\n"),
        "{out}"
    );
    assert_eq!(
        folder.promtool(&["query", "instant", "--time=1.25", &at("echo"), "a+b"]),
        warned("query=a%2Bb&time=1.25\n")
    );
    let asked = folder.promtool(&["query", "instant", "--time=1", &at("posts-refused"), "up"]);
    assert_eq!(asked, warned("GET /posts-refused/api/v1/query?query=up&time=1 HTTP/1.1\n"));

    let user = at("user");
    let with_file = ["query", "labels", "--http.config.file=client.yml", &user, "a"];
    assert_eq!(folder.promtool(&with_file), warned("basic ywrhomxvdmvsywnl\n"));
    let without = printed(1, "", "query error: client_error: client error: 401 (detail: who?)\n");
    assert_eq!(folder.promtool(&["query", "labels", &user, "a"]), without);
    let both = user.replace("http://", "http://eve:geheim@");
    let (code, _, errors) = folder.promtool(&["query", "labels", "--http.config.file=client.yml", &both, "a"]);
    assert!(code == 1 && errors.contains("cannot set basic auth") && !errors.contains("geheim"), "{errors}");
    let header = ["query", "instant", "--header", "Authorization=Bearer x", &user, "a"];
    assert!(folder.promtool(&header).2.starts_with("query error: bad_response: "), "it was let in");

    let (code, _, errors) = folder.promtool(&["query", "instant", &at("html"), "up"]);
    assert!(code == 1 && errors.starts_with("query error: bad_response: "), "{errors}");
    let boom = printed(1, "", "query error: server_error: server error: 500 (detail: boom)\n");
    assert_eq!(folder.promtool(&["query", "series", "--match=up", &at("x")]), boom);
    let refused = folder.promtool(&["query", "instant", "http://eve:geheim@127.0.0.1:1", "up"]);
    let expected = "query error: Post \"http://eve:***@127.0.0.1:1/api/v1/query\": dial tcp 127.0.0.1:1: connect: connection refused\n";
    assert_eq!(refused, printed(1, "", expected));
}

#[test]
fn expressions_are_edited() {
    let folder = Folder::new(&[]);
    let check = |args: &[&str], expected: &str| {
        let args = [&["--experimental", "promql"], args].concat();
        assert_eq!(folder.promtool(&args), printed(0, expected, ""), "{args:?}");
    };
    check(&["format", "sum by(job)(up{b='c',a=\"b\"})"], "sum by (job) (up{a=\"b\",b=\"c\"})\n");
    check(
        &["label-matchers", "set", "-t", "=~", "up + rate(x[5m])", "job", "a.*"],
        "up{job=~\"a.*\"} + rate(x{job=~\"a.*\"}[5m])\n",
    );
    check(&["label-matchers", "delete", "up{a=\"b\",c=\"d\"}", "a"], "up{c=\"d\"}\n");
    let refused = printed(1, "", "This command is experimental and requires the --experimental flag to be set.\n");
    assert_eq!(folder.promtool(&["promql", "format", "up"]), refused);
    let wrong = printed(1, "", "1:5: parse error: unclosed left parenthesis\n");
    assert_eq!(folder.promtool(&["promql", "format", "sum(", "--experimental"]), wrong);
}
