use std::future::Future;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::session::EngineOptions;
use crate::server::pg::receive::STARTUP_BYTES;
use crate::storage::store::{Options, Store};

/// How long anything here may take before the test fails; the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);
/// Without an end, and rows from the start.
const ENDLESS: &str = "SELECT a FROM generate_series(1, 3000000) a, generate_series(1, 3000000) b";

struct World {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            url: folder.path().to_string_lossy().into_owned(),
            node: "pg".to_string(),
            wal_flush_interval: None,
            flush_interval: Duration::from_secs(86_400),
            flush_bytes: 1 << 30,
            cache_bytes: 0,
            out_of_order_window_ms: 0,
            ..Options::default()
        };
        let store = Store::open(options, Arc::new(|| 0)).await.unwrap();
        let engine = Engine::new(store, EngineOptions::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let access = Arc::new(Access::open(None).unwrap());
        let shared = Arc::new(shared(engine, None, access, (limits, Arc::default()), CancellationToken::new()));
        let task = tokio::spawn(serve_shared(shared.clone(), listener));
        Self { shared, address, task, _folder: folder }
    }

    async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A session, read up to its first ReadyForQuery.
    async fn session(&self) -> TcpStream {
        let mut socket = self.socket().await;
        socket.write_all(&startup("")).await.unwrap();
        let answer = until(&mut socket, b'Z').await;
        assert!(answer.iter().any(|(kind, _)| *kind == b'R'), "{answer:?}");
        socket
    }

    async fn idle(&self) {
        eventually("no session is left", || self.shared.sessions.all().is_empty()).await;
    }
}

fn startup(more: &str) -> Vec<u8> {
    let body =
        [&196_608i32.to_be_bytes()[..], b"user\0reader\0database\0promlake\0", more.as_bytes(), b"\0"].concat();
    [&(body.len() as i32 + 4).to_be_bytes()[..], &body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as i32 + 4).to_be_bytes()[..], body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// Messages up to and with one of this kind, or to the end of the connection.
async fn until(socket: &mut TcpStream, last: u8) -> Vec<(u8, Vec<u8>)> {
    let read = async {
        let mut messages = Vec::new();
        while let Ok(kind) = socket.read_u8().await {
            let mut body = vec![0; socket.read_i32().await.unwrap() as usize - 4];
            socket.read_exact(&mut body).await.unwrap();
            messages.push((kind, body));
            if kind == last {
                break;
            }
        }
        messages
    };
    tokio::time::timeout(DEADLINE, read).await.expect("an answer in time")
}

fn code(messages: &[(u8, Vec<u8>)]) -> Option<String> {
    let (_, body) = messages.iter().find(|(kind, _)| *kind == b'E')?;
    let mut fields = body.split(|byte| *byte == 0);
    fields.find_map(|field| field.strip_prefix(b"C")).map(|code| String::from_utf8_lossy(code).into_owned())
}

/// What the server says before it ends the connection.
async fn last_words(mut socket: TcpStream) -> Option<String> {
    code(&until(&mut socket, 0).await)
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_nothing_behind() {
    let world = World::new(Limits::default()).await;
    let mut socket = world.session().await;
    let session: Weak<_> = world.shared.sessions.all().pop().unwrap();
    let state = session.upgrade().unwrap().context().state_weak_ref();
    for sql in [
        "SELECT count(*) FROM pg_class",
        "SELECT datname, current_user FROM pg_database",
        "SELECT * FROM information_schema.columns",
        "SET TimeZone = 'Asia/Tokyo'; SELECT value FROM promql('1')",
        "SELECT nope",
    ] {
        socket.write_all(&query(sql)).await.unwrap();
        until(&mut socket, b'Z').await;
    }
    // A portal in a transaction, with rows to come.
    socket.write_all(&query("BEGIN")).await.unwrap();
    until(&mut socket, b'Z').await;
    let parse = message(b'P', format!("s\0{ENDLESS}\0\0\0").as_bytes());
    let suspended =
        [parse, message(b'B', b"p\0s\0\0\0\0\0\0\0"), message(b'E', b"p\0\0\0\0\x05"), message(b'S', b"")];
    socket.write_all(&suspended.concat()).await.unwrap();
    let answer = until(&mut socket, b'Z').await;
    assert!(answer.iter().any(|(kind, _)| *kind == b's'), "{answer:?}");
    drop(socket);
    world.idle().await;
    eventually("the session is gone", || session.strong_count() == 0).await;
    eventually("its DataFusion state is gone", || state.strong_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_short_in_bytes_and_time() {
    let world = World::new(Limits { startup_timeout: SHORT, ..Limits::default() }).await;
    // Nothing, half a message, and what is no start at all: closed without a word.
    let too_long = STARTUP_BYTES as i32 + 1;
    let silent: &[Vec<u8>] = &[
        vec![],
        startup("")[..10].to_vec(),
        [&too_long.to_be_bytes()[..], &196_608i32.to_be_bytes()].concat(),
        i32::MAX.to_be_bytes().to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        7i32.to_be_bytes().to_vec(),
        // TLS without asking, HTTP, and a cancel request cut short.
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [8i32.to_be_bytes(), 80_877_102i32.to_be_bytes()].concat(),
    ];
    for bytes in silent {
        let mut socket = world.socket().await;
        socket.write_all(bytes).await.unwrap();
        assert_eq!(last_words(socket).await, None, "{bytes:?}");
    }
    let told: &[(Vec<u8>, &str)] = &[
        (startup("")[..startup("").len() - 1].to_vec(), "08P01"),
        ([9i32.to_be_bytes(), 196_608i32.to_be_bytes()].concat().into_iter().chain([0]).collect(), "28000"),
        ([9i32.to_be_bytes(), 131_072i32.to_be_bytes()].concat().into_iter().chain([0]).collect(), "0A000"),
        (startup("nope\0yes\0"), "42704"),
        (startup("options\0nope\0"), "42601"),
    ];
    for (bytes, expected) in told {
        let mut bytes = bytes.clone();
        let length = bytes.len() as i32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        let mut socket = world.socket().await;
        socket.write_all(&bytes).await.unwrap();
        assert_eq!(last_words(socket).await.as_deref(), Some(*expected), "{bytes:?}");
    }
    // As long as it may be.
    let value = "x".repeat(STARTUP_BYTES - startup("a.b\0\0").len());
    let mut socket = world.socket().await;
    socket.write_all(&startup(&format!("a.b\0{value}\0"))).await.unwrap();
    assert_eq!(code(&until(&mut socket, b'Z').await).as_deref(), Some("54000"));
    let value = "x".repeat(8_000);
    let mut socket = world.socket().await;
    socket.write_all(&startup(&format!("a.b\0{value}\0"))).await.unwrap();
    assert_eq!(code(&until(&mut socket, b'Z').await), None);
    drop(socket);
    world.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_starts_and_full_slots_keep_nobody_waiting() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let world = World::new(limits).await;
    let mut stalled = world.socket().await;
    stalled.write_all(&startup("")[..6]).await.unwrap();
    let first = within(world.session()).await;
    let second = within(world.session()).await;
    let mut third = world.socket().await;
    third.write_all(&startup("")).await.unwrap();
    assert_eq!(last_words(third).await.as_deref(), Some("53300"));
    drop(first);
    let fourth = within(world.session()).await;
    // A start cut short does not count as a session, and can still become one.
    drop(second);
    stalled.write_all(&startup("")[6..]).await.unwrap();
    assert_eq!(code(&until(&mut stalled, b'Z').await), None);
    drop((stalled, fourth));
    world.idle().await;
    // Sockets beyond those that may be starting are closed at once.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(world.socket().await);
    }
    assert_eq!(last_words(world.socket().await).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_bounded_in_bytes_and_time() {
    let limits =
        Limits { message_bytes: 1 << 20, receive_bytes: 1 << 20, message_timeout: SHORT, ..Limits::default() };
    let world = World::new(limits).await;
    let long = |length: i32| [&b"Q"[..], &length.to_be_bytes(), b"SELECT"].concat();
    let fatal: &[Vec<u8>] = &[
        long((1 << 20) + 1),
        long(i32::MAX),
        long(-1),
        long(3),
        // Begun and not finished: within the header, within the body.
        b"Q\0".to_vec(),
        long(100),
        long(1 << 20),
        // No message at all, and names longer than names may be.
        b"!\0\0\0\x04".to_vec(),
        [&b"E"[..], &20_000i32.to_be_bytes()].concat(),
    ];
    for bytes in fatal {
        let mut socket = world.session().await;
        socket.write_all(bytes).await.unwrap();
        assert_eq!(last_words(socket).await.as_deref(), Some("08P01"), "{bytes:?}");
    }
    // Idle for longer than a message may take, and long messages one after the other, within one budget.
    let mut socket = world.session().await;
    tokio::time::sleep(2 * SHORT).await;
    for _ in 0..5 {
        socket.write_all(&query(&format!("SELECT 1 /* {} */", "x".repeat(900_000)))).await.unwrap();
        assert_eq!(code(&until(&mut socket, b'Z').await), None);
    }
    drop(socket);
    world.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_kept_in_portals_keep_their_room() {
    let limits = Limits { message_bytes: 1 << 20, receive_bytes: 1 << 20, ..Limits::default() };
    let world = World::new(limits).await;
    let (mut holder, mut other) = (world.session().await, world.session().await);
    holder.write_all(&query("BEGIN")).await.unwrap();
    until(&mut holder, b'Z').await;
    let value = vec![b'x'; 600_000];
    let bind = [&b"p\0s\0\0\0\0\x01"[..], &(value.len() as i32).to_be_bytes(), &value, b"\0\0"].concat();
    let portal =
        [message(b'P', b"s\0SELECT length($1::text)\0\0\0"), message(b'B', &bind), message(b'S', b"")].concat();
    holder.write_all(&portal).await.unwrap();
    assert_eq!(code(&until(&mut holder, b'Z').await), None);
    let long = query(&format!("SELECT 1 /* {} */", "x".repeat(600_000)));
    let mut answered = std::pin::pin!(async {
        other.write_all(&long).await.unwrap();
        until(&mut other, b'Z').await
    });
    assert!(tokio::time::timeout(SHORT, &mut answered).await.is_err(), "there was room for both");
    holder.write_all(&query("COMMIT")).await.unwrap();
    until(&mut holder, b'Z').await;
    assert_eq!(code(&answered.await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off() {
    let world = World::new(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let mut socket = world.session().await;
    socket.write_all(&query(ENDLESS)).await.unwrap();
    world.idle().await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_what_runs() {
    let world = World::new(Limits::default()).await;
    let compute = format!("SELECT count(*) FROM ({ENDLESS})");
    let good_bye = message(b'X', b"");
    // Behind the good-bye nothing is read; before it, more than is read ahead.
    let many = query("SELECT 1").repeat(5_000);
    let cases: [(&str, Vec<u8>); 4] = [
        ("closes", query(&compute)),
        ("says good-bye", [query(&compute), good_bye.clone()].concat()),
        ("closes while it is sent rows", query(ENDLESS)),
        ("closes with messages waiting", [query(&compute), many].concat()),
    ];
    let queries = || world.shared.engine.load().queries;
    for (what, bytes) in cases {
        let mut socket = world.session().await;
        let session = world.shared.sessions.all().pop().unwrap();
        // The one that says good-bye has said it before anything runs.
        let stays = what == "says good-bye";
        socket.write_all(&bytes).await.unwrap();
        if !stays {
            eventually(what, || queries() == 1).await;
        }
        let left = Instant::now();
        let socket = stays.then_some(socket);
        eventually(what, || session.strong_count() == 0 && queries() == 0).await;
        // A moment, and what a busy machine adds.
        assert!(left.elapsed() < Duration::from_secs(5), "{what}: noticed after {:?}", left.elapsed());
        drop(socket);
        world.idle().await;
    }
}

/// One cancel request for a message of several statements, on a connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_ends_the_whole_message() {
    let world = World::new(Limits::default()).await;
    let compute = format!("SELECT count(*) FROM ({ENDLESS})");
    let portal = |sql: &str| {
        let parse = message(b'P', format!("\0{sql}\0\0\0").as_bytes());
        [parse, message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat()
    };
    let cases = [
        ("first of three", query(&format!("{compute}; SELECT 2; SELECT 3")), 0),
        // What is before it is no work of the engine's, so the one query that is seen is the endless one.
        ("second of three", query(&format!("SET DateStyle TO ISO; {compute}; SELECT 3")), 1),
        ("streaming", query(&format!("SET DateStyle TO ISO; {ENDLESS}")), 1),
        ("extended", [portal(&compute), portal("SELECT 2"), message(b'S', b"")].concat(), 0),
    ];
    for (what, bytes, complete) in cases {
        let mut socket = world.socket().await;
        socket.write_all(&startup("")).await.unwrap();
        let start = until(&mut socket, b'Z').await;
        let key = start.iter().find(|(kind, _)| *kind == b'K').unwrap().1.clone();
        let cancel = |key: &[u8]| [&16i32.to_be_bytes()[..], &80_877_102i32.to_be_bytes(), key].concat();
        socket.write_all(&bytes).await.unwrap();
        eventually(what, || world.shared.engine.load().queries == 1).await;
        // Somebody else's key does nothing.
        let wrong: Vec<u8> = key.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == 7)).collect();
        for key in [wrong, key] {
            let mut canceling = world.socket().await;
            canceling.write_all(&cancel(&key)).await.unwrap();
            assert_eq!(last_words(canceling).await, None);
        }
        let answer = until(&mut socket, b'Z').await;
        assert_eq!(code(&answer).as_deref(), Some("57014"), "{what}");
        assert_eq!(answer.iter().filter(|(kind, _)| *kind == b'C').count(), complete, "{what}");
        eventually(what, || world.shared.engine.load().queries == 0).await;
        // The next message is another.
        socket.write_all(&query("SELECT 1")).await.unwrap();
        assert_eq!(code(&until(&mut socket, b'Z').await), None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_end_at_shutdown() {
    let world = World::new(Limits::default()).await;
    let idle = world.session().await;
    let start = Instant::now();
    world.shared.shutdown.cancel();
    assert_eq!(last_words(idle).await.as_deref(), Some("57P01"));
    within(world.task).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
