//! The first signal stops the server in order; the second one ends it at once, whatever it waits for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{Home, NO_TARGETS, S3Server, write};
use crate::write_request::{Series, encode};

/// A request that does not end keeps the server for as long as requests may take at the end: 5 seconds, after which it
/// stops with success. So the code says which of the two it was.
#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let home = Home::on_disk();
        let mut server = home.start(NO_TARGETS, &[]);
        let mut open = TcpStream::connect(server.http.trim_start_matches("http://")).expect("connecting");
        let head =
            "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        open.write_all(head.as_bytes()).expect("sending");
        let mut going_on = [0; 12];
        open.read_exact(&mut going_on).expect("100 Continue");
        server.signal(signal);
        server.wait_for_line("stopping: ");
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(code), "SIG{signal}");
        drop(open);
    }
}

/// Nobody looked at signals while the last samples waited for a bucket that was away.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_flush_that_hangs() {
    let Some(s3) = S3Server::start() else { return };
    let home = Home::on_s3(&s3, "signals");
    let mut server = home.start(NO_TARGETS, &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
    let body = encode(&[Series { labels: &[("__name__", "kept")], samples: &[(now, 1.0)] }]);
    assert_eq!(write(&reqwest::Client::new(), &server.http, body).await, Some(204));
    s3.pause();
    server.signal("TERM");
    server.wait_for_line("stopping: ");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(143));
}

#[test]
fn a_signal_ends_a_start_that_waits_for_a_bucket() {
    // Connections are taken and never answered.
    let bucket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = Home::on_bucket_at(&format!("http://{}", bucket.local_addr().expect("an address")), "away");
    let mut server = home.launch(NO_TARGETS, &[]);
    server.wait_for_line("opening the store");
    server.signal("INT");
    let status = server.wait();
    assert!(!status.success(), "{status}");
    drop(bucket);
}
