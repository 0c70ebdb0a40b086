use std::sync::atomic::Ordering;

use hickory_resolver::proto::op::{MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, NS, SRV};
use hickory_resolver::proto::rr::{RData, Record};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;

/// What a server answers to `NAME TYPE`: records, or a code.
type Zone = Arc<Mutex<HashMap<String, Result<Vec<RData>, ResponseCode>>>>;

fn name(text: &str) -> Name {
    Name::from_utf8(text).unwrap()
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

/// A server at `address`; a question for a name that it does not know is one for no name.
async fn server(address: &str, port: u16, zone: Zone) -> u16 {
    let socket = UdpSocket::bind((address, port)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let by_tcp = zone.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = answer(&buffer[..len], &zone);
            if answer.answers.len() > 20 {
                answer.answers.clear();
                answer.metadata.truncation = true;
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let len = stream.read_u16().await.unwrap();
            let mut question = vec![0; usize::from(len)];
            stream.read_exact(&mut question).await.unwrap();
            let bytes = answer(&question, &by_tcp).to_vec().unwrap();
            stream.write_u16(bytes.len() as u16).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    port
}

fn answer(question: &[u8], zone: &Zone) -> Message {
    let question = Message::from_vec(question).unwrap();
    let query = &question.queries[0];
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.add_query(query.clone());
    match zone.lock().get(&format!("{} {}", query.name, query.query_type)) {
        Some(Ok(records)) => {
            let record = |data: &RData| Record::from_rdata(query.name.clone(), 5, data.clone());
            answer.add_answers(records.iter().map(record));
        }
        Some(Err(code)) => answer.metadata.response_code = *code,
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer
}

fn zone<const N: usize>(records: [(&str, Result<Vec<RData>, ResponseCode>); N]) -> Zone {
    Arc::new(Mutex::new(records.into_iter().map(|(key, records)| (key.to_string(), records)).collect()))
}

struct World {
    source: Source,
    _folder: tempfile::TempDir,
}

fn world(conf: &str, port: u16, record: RecordType, names: &[&str]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    std::fs::write(&path, conf).unwrap();
    let source = Source {
        names: names.iter().map(|name| name.to_string()).collect(),
        record,
        port: 9100,
        system: System { conf: path, port },
        known: HashMap::new(),
        stats: Arc::default(),
    };
    World { source, _folder: folder }
}

/// `SOURCE: LABELS …` of each group, sorted.
async fn found(world: &mut World) -> Vec<String> {
    let groups = world.source.refresh().await.unwrap();
    let mut all: Vec<String> =
        groups.iter().map(|group| format!("{}: {:?}", group.source, group.targets)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn records_and_their_labels() {
    let srv = |port, target| RData::SRV(SRV::new(1, 2, port, name(target)));
    let zone = zone([
        ("_web._tcp.x. SRV", Ok(vec![srv(80, "a.x."), srv(81, "b.x.")])),
        ("x. MX", Ok(vec![RData::MX(MX::new(10, name("mail.x.")))])),
        ("x. NS", Ok(vec![RData::NS(NS(name("ns.x.")))])),
        ("x. A", Ok(vec![RData::CNAME(CNAME(name("y."))), a("10.0.0.1")])),
        ("x. AAAA", Ok(vec![RData::AAAA("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into())])),
    ]);
    let port = server("127.0.0.1", 0, zone).await;
    let conf = "nameserver 127.0.0.1\n";
    let check = async |record, asked: &str, want: &str| {
        let mut world = world(conf, port, record, &[asked]);
        assert_eq!(found(&mut world).await, [format!("{asked}: {want}")]);
    };
    check(
        RecordType::SRV,
        "_web._tcp.x",
        "[{__address__=\"a.x:80\", __meta_dns_name=\"_web._tcp.x\", __meta_dns_srv_record_port=\"80\", \
         __meta_dns_srv_record_target=\"a.x.\"}, {__address__=\"b.x:81\", __meta_dns_name=\"_web._tcp.x\", \
         __meta_dns_srv_record_port=\"81\", __meta_dns_srv_record_target=\"b.x.\"}]",
    )
    .await;
    let mx = "[{__address__=\"mail.x:9100\", __meta_dns_mx_record_target=\"mail.x.\", __meta_dns_name=\"x\"}]";
    check(RecordType::MX, "x", mx).await;
    let ns = "[{__address__=\"ns.x:9100\", __meta_dns_name=\"x\", __meta_dns_ns_record_target=\"ns.x.\"}]";
    check(RecordType::NS, "x", ns).await;
    check(RecordType::A, "x", "[{__address__=\"10.0.0.1:9100\", __meta_dns_name=\"x\"}]").await;
    check(RecordType::AAAA, "x", "[{__address__=\"[2001:db8::1]:9100\", __meta_dns_name=\"x\"}]").await;
    check(RecordType::A, "none", "[]").await;
}

/// An answer that is too large for a datagram is asked for once more, by a connection.
#[tokio::test]
async fn large_answers() {
    let many = (0..100).map(|i| a(&format!("10.0.0.{i}"))).collect();
    let port = server("127.0.0.1", 0, zone([("x. A", Ok(many))])).await;
    let mut world = world("nameserver 127.0.0.1\n", port, RecordType::A, &["x"]);
    assert_eq!(world.source.refresh().await.unwrap()[0].targets.len(), 100);
}

#[tokio::test]
async fn search_domains_are_tried_in_their_order() {
    let zone = zone([
        ("db.one. A", Err(ResponseCode::NXDomain)),
        ("db.two. A", Ok(vec![a("10.0.0.2")])),
        ("db. A", Ok(vec![a("10.0.0.3")])),
        ("db.dots. A", Ok(vec![a("10.0.0.4")])),
        ("db.dots.two. A", Ok(vec![a("10.0.0.5")])),
    ]);
    let port = server("127.0.0.1", 0, zone).await;
    let conf = "nameserver 127.0.0.1\nsearch one two\n";
    let check = async |conf: &str, asked: &str, want: &str| {
        let mut world = world(conf, port, RecordType::A, &[asked]);
        let target = format!("{{__address__=\"{want}:9100\", __meta_dns_name=\"{asked}\"}}");
        assert_eq!(found(&mut world).await, [format!("{asked}: [{target}]")], "{conf}");
    };
    check(conf, "db", "10.0.0.2").await;
    check(conf, "db.", "10.0.0.3").await;
    check(conf, "db.dots", "10.0.0.4").await;
    check(&format!("{conf}options ndots:2\n"), "db.dots", "10.0.0.5").await;
}

/// Yes from any server counts, no from all is none, and without either the name keeps what it had.
#[tokio::test]
async fn servers_that_fail() {
    let failing = zone([("x. A", Err(ResponseCode::ServFail)), ("y. A", Err(ResponseCode::Refused))]);
    let good = zone([("x. A", Ok(vec![a("10.0.0.1")])), ("y. A", Ok(vec![a("10.0.0.2")]))]);
    let port = server("127.0.0.1", 0, failing).await;
    server("127.0.0.2", port, good.clone()).await;
    // Nobody listens at the third.
    let conf = "nameserver 127.0.0.3\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n";
    let mut world = world(conf, port, RecordType::A, &["x", "y"]);
    let x = "x: [{__address__=\"10.0.0.1:9100\", __meta_dns_name=\"x\"}]";
    let y = "y: [{__address__=\"10.0.0.2:9100\", __meta_dns_name=\"y\"}]";
    assert_eq!(found(&mut world).await, [x, y]);
    good.lock().insert("x. A".to_string(), Err(ResponseCode::ServFail));
    good.lock().remove("y. A");
    assert_eq!(found(&mut world).await, [x, "y: []"]);
    assert_eq!(world.source.stats.dns_lookups.load(Ordering::Relaxed), 4);
    assert_eq!(world.source.stats.dns_lookup_failures.load(Ordering::Relaxed), 1);
}

/// Names of services as Docker Swarm and SRV records have them.
#[test]
fn names_with_underscores_are_asked_for() {
    let servers = Servers { addresses: vec![], search: vec![], ndots: 1 };
    for name in ["tasks.my_stack_web", "_http._tcp.a_b.example", "xn--bcher-kva.example"] {
        let names: Vec<String> = servers.names(name).unwrap().iter().map(Name::to_ascii).collect();
        assert_eq!(names, [format!("{name}.")]);
    }
    assert_eq!(servers.names("b\u{fc}cher.example").unwrap()[0].to_ascii(), "xn--bcher-kva.example.");
}
