//! The Postgres protocol of the real binary, byte by byte: what no driver would send, and what is left of those that
//! sent it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Home, NO_TARGETS, Promlake};

const DEADLINE: Duration = Duration::from_secs(60);
/// Without an end.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as i32 + 4).to_be_bytes()[..], body].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

pub fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let oids: Vec<u8> = types.iter().flat_map(|oid| oid.to_be_bytes()).collect();
    let texts = format!("{name}\0{sql}\0");
    message(b'P', &[texts.as_bytes(), &(types.len() as u16).to_be_bytes(), &oids].concat())
}

fn codes(codes: &[i16]) -> Vec<u8> {
    let bytes = codes.iter().flat_map(|code| code.to_be_bytes()).collect();
    [(codes.len() as u16).to_be_bytes().to_vec(), bytes].concat()
}

/// Of the statement and into the portal without names.
pub fn bind(formats: &[i16], values: &[Option<&[u8]>], results: &[i16]) -> Vec<u8> {
    let mut body = b"\0\0".to_vec();
    body.extend(codes(formats));
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    body.extend(codes(results));
    message(b'B', &body)
}

pub fn execute(max_rows: i32) -> Vec<u8> {
    message(b'E', &[&b"\0"[..], &max_rows.to_be_bytes()].concat())
}

pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// A connection that speaks bytes.
pub struct Wire {
    socket: TcpStream,
}

impl Wire {
    async fn open(server: &Promlake) -> Self {
        Self { socket: TcpStream::connect(&server.pg).await.expect("a connection") }
    }

    pub async fn session(server: &Promlake) -> Self {
        let mut wire = Self::open(server).await;
        let body = [&196_608i32.to_be_bytes()[..], b"user\0reader\0database\0promlake\0\0"].concat();
        let startup = [&(body.len() as i32 + 4).to_be_bytes()[..], &body].concat();
        let answer = wire.ask(&startup).await;
        assert!(answer.ends_with("Z:I"), "{answer}");
        wire
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have had enough already; what it said tells.
        let _ = self.socket.write_all(bytes).await;
    }

    /// Sends, and reads up to ReadyForQuery or the end: the kinds of the messages that came, with what matters of
    /// them: `T D C:SELECT 1 Z:I`, `E:42P01 Z:I`.
    pub async fn ask(&mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        tokio::time::timeout(DEADLINE, self.answer(false)).await.expect("an answer in time")
    }

    /// The same of a simple query, with the values of rows, warnings and settings: `D(1,) N:25P01 S:TimeZone=UTC`.
    pub async fn tell(&mut self, sql: &str) -> String {
        self.send(&query(sql)).await;
        tokio::time::timeout(DEADLINE, self.answer(true)).await.expect("an answer in time")
    }

    /// The values of the only row of an answer.
    pub async fn values(&mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        let told = tokio::time::timeout(DEADLINE, self.answer(true)).await.expect("an answer in time");
        let row = told.split_once("D(").and_then(|(_, rest)| rest.split_once(')'));
        row.unwrap_or_else(|| panic!("no row in {told}")).0.to_string()
    }

    async fn answer(&mut self, whole: bool) -> String {
        let mut told = String::new();
        while let Ok(kind) = self.socket.read_u8().await {
            let length = self.socket.read_i32().await.expect("a length") as usize;
            let mut body = vec![0; length - 4];
            self.socket.read_exact(&mut body).await.expect("a whole message");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string();
            let what = match kind {
                b'S' if whole => format!("S:{}", text(&body).replace('\0', "=")),
                b'D' if whole => format!("D({})", values(&body).join(",")),
                b'd' if whole => format!("d({})", text(&body)),
                b'R' | b'S' | b'K' => continue,
                b'N' if !whole => continue,
                b'C' | b'Z' => format!("{}:{}", char::from(kind), text(&body)),
                b'E' | b'N' => {
                    let code = body.split(|b| *b == 0).find_map(|field| field.strip_prefix(b"C"));
                    format!("{}:{}", char::from(kind), text(code.unwrap_or_default()))
                }
                _ => char::from(kind).to_string(),
            };
            let space = if told.is_empty() { "" } else { " " };
            write!(told, "{space}{what}").expect("writing to a string");
            if kind == b'Z' {
                break;
            }
        }
        told
    }
}

/// The values of a row as texts; NULL is empty.
fn values(mut body: &[u8]) -> Vec<String> {
    let (count, rest) = body.split_at(2);
    body = rest;
    let count = u16::from_be_bytes(count.try_into().expect("two bytes"));
    let value = |_| {
        let (length, rest) = body.split_at(4);
        let length = i32::from_be_bytes(length.try_into().expect("four bytes")).max(0);
        let (value, rest) = rest.split_at(length as usize);
        body = rest;
        String::from_utf8_lossy(value).into_owned()
    };
    (0..count).map(value).collect()
}

async fn check(server: &Promlake, what: &str, messages: &[Vec<u8>], expected: &str) {
    let mut wire = Wire::session(server).await;
    assert_eq!(wire.ask(&messages.concat()).await, expected, "{what}");
    // An error is the message's; the connection goes on unless it was ended.
    if expected.contains("Z:") {
        assert_eq!(wire.ask(&query("ROLLBACK; SELECT 1")).await, "C:ROLLBACK T D C:SELECT 1 Z:I", "after {what}");
    }
}

#[tokio::test]
async fn row_counts_of_any_size() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let rows = "SELECT * FROM generate_series(1, 3)";
    let cases = [
        ("SHOW TimeZone", i32::MAX, "1 2 D C:SHOW Z:I"),
        ("SHOW TimeZone", -1, "1 2 D C:SHOW Z:I"),
        ("SHOW TimeZone", i32::MIN, "1 2 D C:SHOW Z:I"),
        ("SHOW TimeZone", 0, "1 2 D C:SHOW Z:I"),
        ("SHOW TimeZone", 1, "1 2 D s Z:I"),
        ("SET TimeZone = 'UTC'", i32::MAX, "1 2 C:SET Z:I"),
        ("BEGIN", i32::MAX, "1 2 C:BEGIN Z:T"),
        ("BEGIN", -7, "1 2 C:BEGIN Z:T"),
        (rows, i32::MAX, "1 2 D D D C:SELECT 3 Z:I"),
        (rows, -1, "1 2 D D D C:SELECT 3 Z:I"),
        (rows, 3, "1 2 D D D s Z:I"),
        (rows, 2, "1 2 D D s Z:I"),
        ("", i32::MAX, "1 2 I Z:I"),
    ];
    for (sql, max_rows, expected) in cases {
        let messages = [parse("", sql, &[]), bind(&[], &[], &[]), execute(max_rows), sync()];
        check(&server, &format!("{max_rows} rows of {sql:?}"), &messages, expected).await;
    }
    // A portal is continued within its transaction, and gone with it.
    let begin = query("BEGIN");
    let open = [parse("", rows, &[]), bind(&[], &[], &[]), execute(1)].concat();
    let again = [open.clone(), execute(1), execute(i32::MAX), execute(i32::MAX), sync()].concat();
    check(&server, "a portal run again", &[again], "1 2 D s D s D C:SELECT 1 C:SELECT 0 Z:I").await;
    let twice = [parse("", "SET TimeZone = 'UTC'", &[]), bind(&[], &[], &[]), execute(0), execute(0), sync()];
    check(&server, "a command run again", &twice, "1 2 C:SET E:55000 Z:I").await;
    let mut wire = Wire::session(&server).await;
    assert_eq!(wire.ask(&begin).await, "C:BEGIN Z:T");
    let named =
        [parse("s", rows, &[]), message(b'B', b"p\0s\0\0\0\0\0\0\0"), message(b'E', b"p\0\0\0\0\x01"), sync()];
    assert_eq!(wire.ask(&named.concat()).await, "1 2 D s Z:T");
    let rest = [message(b'E', b"p\0\x7f\xff\xff\xff"), sync()].concat();
    assert_eq!(wire.ask(&rest).await, "D D C:SELECT 2 Z:T");
    assert_eq!(wire.ask(&query("COMMIT")).await, "C:COMMIT Z:I");
    assert_eq!(wire.ask(&rest).await, "E:34000 Z:I");
    assert_eq!(wire.ask(&[parse("s", rows, &[]), sync()].concat()).await, "E:42P05 Z:I");
}

#[tokio::test]
async fn values_and_formats_that_do_not_fit() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    const THREE: &str = "SELECT $1::bigint, $2::double precision, $3::text";
    let long = 7i64.to_be_bytes();
    let double = 1.5f64.to_be_bytes();
    let binary: &[Option<&[u8]>] = &[Some(&long), Some(&double), Some(b"x")];
    let text: &[Option<&[u8]>] = &[Some(b"7"), Some(b"1.5"), None];
    let rows = "1 2 D C:SELECT 1 Z:I";
    let wrong = "1 E:08P01 Z:I";
    type Case<'a> = (&'a [i16], &'a [Option<&'a [u8]>], &'a [i16], &'a str);
    let cases: &[Case<'_>] = &[
        (&[], text, &[], rows),
        (&[0], text, &[1], rows),
        (&[1], binary, &[0, 1, 1], rows),
        (&[1, 1, 0], binary, &[], rows),
        (&[1, 1], binary, &[], wrong),
        (&[1, 1, 1, 1], binary, &[], wrong),
        (&[1; 400], binary, &[], wrong),
        (&[2], text, &[], "1 E:22023 Z:I"),
        (&[], text, &[9], "1 E:22023 Z:I"),
        (&[], text, &[0, 1], wrong),
        (&[], &text[..2], &[], wrong),
        (&[], &[None; 4], &[], wrong),
        (&[1], &[Some(&long[..7]), Some(&double), None], &[], "1 E:22P03 Z:I"),
        (&[1], &[Some(b""), Some(&double), None], &[], "1 E:22P03 Z:I"),
        (&[1], &[Some(&long), Some(&double), Some(b"\xff")], &[], "1 E:22021 Z:I"),
        (&[0], &[Some(b"seven"), None, None], &[], "1 E:22P02 Z:I"),
    ];
    for (formats, values, results, expected) in cases {
        let messages = [parse("", THREE, &[20, 701, 25]), bind(formats, values, results), execute(0), sync()];
        check(&server, &format!("{formats:?} {values:?} {results:?}"), &messages, expected).await;
    }
    let types: &[(&[u32], &str)] = &[
        (&[20, 701, 25], rows),
        (&[0, 0, 0], rows),
        (&[20], rows),
        (&[4_000_000_000], "E:42704 Z:I"),
        (&[20, 701, 25, 25], wrong),
    ];
    for (types, expected) in types {
        let messages = [parse("", THREE, types), bind(&[], text, &[]), execute(0), sync()];
        check(&server, &format!("types {types:?}"), &messages, expected).await;
    }
}

#[tokio::test]
async fn messages_that_do_not_add_up() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let broken = |kind: u8, body: &[u8]| vec![message(kind, body), sync()];
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![message(b'Q', b"SELECT 1")], "E:08P01 Z:I"),
        (vec![message(b'Q', b"SELECT '\xff'\0")], "E:22021 Z:I"),
        (broken(b'P', b"\0SELECT 1\0\xff\xff"), "E:08P01 Z:I"),
        (broken(b'B', b"\0\0\xff\xff"), "E:08P01 Z:I"),
        (broken(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"), "E:08P01 Z:I"),
        (broken(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), "E:08P01 Z:I"),
        (broken(b'B', b"\0nosuch\0\0\0\0\0\0\0"), "E:26000 Z:I"),
        (broken(b'E', b"nosuch\0\0\0\0\0"), "E:34000 Z:I"),
        (broken(b'E', b"\0\0"), "E:08P01 Z:I"),
        (broken(b'D', b"Pnosuch\0"), "E:34000 Z:I"),
        (broken(b'D', b"Xnosuch\0"), "E:08P01 Z:I"),
        (broken(b'C', b"Snosuch\0"), "3 Z:I"),
        (broken(b'C', b""), "E:08P01 Z:I"),
        (vec![message(b'F', b"\0\0\0\x01\0\0\0\0\0\0")], "E:0A000 Z:I"),
        // What is left of a COPY that failed.
        (
            vec![message(b'd', b"data"), message(b'c', b""), message(b'f', b"why\0"), query("SELECT 1")],
            "T D C:SELECT 1 Z:I",
        ),
        // The end of the connection.
        (vec![message(b'!', b"")], "E:08P01"),
        (vec![message(b'p', b"password\0")], "E:08P01"),
        (vec![[&b"Q"[..], &i32::MAX.to_be_bytes(), b"SELECT 1\0"].concat()], "E:08P01"),
        (vec![[&b"Q"[..], &(-1i32).to_be_bytes(), b"SELECT 1\0"].concat()], "E:08P01"),
        (vec![message(b'E', &[b'x'; 20_000])], "E:08P01"),
    ];
    for (messages, expected) in &cases {
        let start: Vec<u8> = messages.concat().into_iter().take(60).collect();
        check(&server, &format!("{:?}", String::from_utf8_lossy(&start)), messages, expected).await;
    }
}

#[tokio::test]
async fn random_messages_end_nothing_but_their_connection() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    let samples = [
        query("SELECT 1"),
        parse("", "SELECT $1::bigint, $2::text", &[20, 25]),
        bind(&[1, 0], &[Some(&7i64.to_be_bytes()), Some(b"x")], &[1]),
        message(b'D', b"P\0"),
        execute(1),
        message(b'C', b"P\0"),
        message(b'H', b""),
        sync(),
    ];
    let mut random = fastrand::Rng::with_seed(10);
    for _ in 0..300 {
        let mut wire = Wire::session(&server).await;
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..12) {
            let mut next = samples[random.usize(..samples.len())].clone();
            for _ in 0..random.usize(..3) {
                let at = random.usize(..next.len());
                next[at] = random.u8(..);
            }
            bytes.extend(next);
        }
        wire.send(&bytes).await;
    }
    assert_eq!(Wire::session(&server).await.ask(&query("SELECT 1")).await, "T D C:SELECT 1 Z:I");
}

async fn metric(server: &Promlake, name: &str) -> f64 {
    let text = reqwest::get(server.url("/metrics")).await.expect("metrics").text().await.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().parse().expect("a number")
}

async fn wait_for(server: &Promlake, name: &str, at_most: f64) -> f64 {
    let start = Instant::now();
    loop {
        let value = metric(server, name).await;
        if value <= at_most {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "{name} stays at {value}, above {at_most}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client whose query runs goes away: its slot is free within a second.
#[tokio::test]
async fn queries_end_with_their_client() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    for good_bye in [false, true] {
        let mut wire = Wire::session(&server).await;
        wire.send(&query(&format!("{LONG}; SELECT 1"))).await;
        let start = Instant::now();
        while metric(&server, "promlake_engine_queries").await < 1.0 {
            assert!(start.elapsed() < DEADLINE, "the query does not run");
        }
        let left = Instant::now();
        let wire = if good_bye {
            wire.send(&message(b'X', b"")).await;
            Some(wire)
        } else {
            drop(wire);
            None
        };
        wait_for(&server, "promlake_engine_queries", 0.0).await;
        // A second at most, and what a busy machine adds.
        assert!(left.elapsed() < Duration::from_secs(5), "noticed after {:?}", left.elapsed());
        drop(wire);
    }
}

/// Connections that come and go in every way leave neither memory nor file handles behind.
///
/// Once, the schema `pg_catalog` of each connection held the context that held it.
#[tokio::test]
async fn connections_leave_nothing_behind() {
    let home = Home::on_disk();
    let server = home.start(NO_TARGETS, &[]);
    connect_and_leave(&server, 200).await;
    let files = settled(&server, "process_open_fds").await;
    let memory = settled(&server, "promlake_memory_allocated_bytes").await;
    connect_and_leave(&server, 2_000).await;
    wait_for(&server, "process_open_fds", files + 5.0).await;
    // 2,000 sessions of half a kilobyte would show.
    wait_for(&server, "promlake_memory_allocated_bytes", memory + 4e6).await;
}

/// Many at a time; each asks for something that its session has to plan.
async fn connect_and_leave(server: &Promlake, count: usize) {
    const AT_A_TIME: usize = 20;
    for round in 0..count / AT_A_TIME {
        let one = async |i: usize| {
            let mut wire = Wire::session(server).await;
            match i % 4 {
                0 => assert!(wire.ask(&query("SELECT datname FROM pg_database")).await.ends_with("Z:I")),
                1 => wire.send(&message(b'X', b"")).await,
                2 => wire.send(&query("SELECT relname FROM pg_class")).await,
                _ => {}
            }
        };
        futures::future::join_all((0..AT_A_TIME).map(|i| one(round + i))).await;
    }
}

/// A value once it no longer falls: connections end a little after their clients.
async fn settled(server: &Promlake, name: &str) -> f64 {
    let mut last = metric(server, name).await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let next = metric(server, name).await;
        if next >= last {
            return next;
        }
        last = next;
    }
}
