//! DNS records. Each name is asked for at the servers of `resolv.conf`, one after the other, with its search domains; how
//! long an answer is valid does not matter, it is asked again at each interval.
//!
//! A name that some server knows, or all say there is none of, has the targets of that answer, or none. If that is not
//! known, since servers fail, the name keeps the targets it had.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::config::discovery::settings::Settings;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port};
use crate::discovery::stats::{Stats, add_one};
use crate::discovery::way::{Context, Polled, Way};
use crate::error::{Context as _, Error, ErrorKind, Result};

const NAME_LABEL: &str = "__meta_dns_name";
const SRV_TARGET_LABEL: &str = "__meta_dns_srv_record_target";
const SRV_PORT_LABEL: &str = "__meta_dns_srv_record_port";
const MX_LABEL: &str = "__meta_dns_mx_record_target";
const NS_LABEL: &str = "__meta_dns_ns_record_target";

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer in a datagram that is asked for.
const DATAGRAM_BYTES: u16 = 4096;

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let record = match settings.text("type").to_uppercase().as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::AAAA,
        "MX" => RecordType::MX,
        "NS" => RecordType::NS,
        _ => RecordType::SRV,
    };
    let source = Source {
        names: settings.texts("names"),
        record,
        port: settings.integer("port"),
        system: System { conf: RESOLV_CONF.into(), port: PORT },
        known: HashMap::new(),
        stats: context.stats.clone(),
    };
    Ok(Way::Polled { interval: settings.duration("refresh_interval"), source: Box::new(source) })
}

struct Source {
    names: Vec<String>,
    record: RecordType,
    /// Of all records but SRV, which have their own.
    port: i64,
    system: System,
    /// The last answers by name.
    known: HashMap<String, Group>,
    stats: Arc<Stats>,
}

/// Where the servers are found; another place in tests.
struct System {
    conf: PathBuf,
    port: u16,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let servers = &Servers::read(&self.system.conf, self.system.port).await?;
        let record = self.record;
        let asked = join_all(self.names.iter().map(|name| async move { (name, servers.find(name, record).await) }));
        for (name, answer) in asked.await {
            add_one(&self.stats.dns_lookups);
            match answer {
                Ok(records) => {
                    let group = group(name, &records, self.port);
                    self.known.insert(name.clone(), group);
                }
                Err(error) => {
                    add_one(&self.stats.dns_lookup_failures);
                    tracing::error!(discovery = "dns", name, %error, "error refreshing DNS targets, the last ones stay");
                }
            }
        }
        Ok(self.known.values().cloned().collect())
    }
}

fn group(name: &str, records: &[RData], port: i64) -> Group {
    let targets = records.iter().filter_map(|record| {
        let mut labels = Collected::new();
        let address = match record {
            RData::SRV(srv) => {
                labels.set(SRV_TARGET_LABEL, srv.target.to_ascii());
                labels.set(SRV_PORT_LABEL, srv.port.to_string());
                host_port(&without_dot(&srv.target), srv.port)
            }
            RData::MX(mx) => {
                labels.set(MX_LABEL, mx.exchange.to_ascii());
                host_port(&without_dot(&mx.exchange), port)
            }
            RData::NS(ns) => {
                labels.set(NS_LABEL, ns.0.to_ascii());
                host_port(&without_dot(&ns.0), port)
            }
            RData::A(address) => host_port(&address.0.to_string(), port),
            RData::AAAA(address) => host_port(&address.0.to_string(), port),
            // Aliases come with the addresses behind them.
            _ => return None,
        };
        labels.set(ADDRESS, address).set(NAME_LABEL, name);
        Some(labels.build())
    });
    Group { source: name.to_string(), targets: targets.collect(), ..Group::default() }
}

fn without_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_string()
}

/// The servers and what is tried behind a name.
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<Name>,
    ndots: usize,
}

impl Servers {
    /// Read each time, as a network can be another one.
    async fn read(conf: &Path, port: u16) -> Result<Self> {
        let wrong = || format!("could not load {}", conf.display());
        let text = tokio::fs::read(conf).await.context(ErrorKind::Unavailable, wrong)?;
        let (config, options) = parse_resolv_conf(text).context(ErrorKind::Unavailable, wrong)?;
        Ok(Self {
            addresses: config.name_servers().iter().map(|server| SocketAddr::new(server.ip, port)).collect(),
            search: config.search().to_vec(),
            ndots: options.ndots,
        })
    }

    /// The names to try for one, in their order.
    fn names(&self, name: &str) -> Result<Vec<Name>> {
        // Names of services have underscores, which those of hosts may not have: only what is not ASCII is held to that.
        let parsed = if name.is_ascii() { Name::from_ascii(name) } else { Name::from_utf8(name) };
        let parsed = parsed.map_err(|error| Error::bad_input(format!("{name:?}: {error}")))?;
        let mut rooted = parsed.clone();
        rooted.set_fqdn(true);
        if parsed.is_fqdn() {
            return Ok(vec![rooted]);
        }
        let searched = self.search.iter().filter_map(|domain| {
            let mut name = parsed.clone().append_domain(domain).ok()?;
            name.set_fqdn(true);
            Some(name)
        });
        let dots = name.matches('.').count();
        let mut names: Vec<Name> = searched.collect();
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, rooted);
        Ok(names)
    }

    async fn find(&self, name: &str, record: RecordType) -> Result<Vec<RData>> {
        let mut all_say_no = true;
        for candidate in self.names(name)? {
            match self.ask(&candidate, record).await {
                Some(answer) if answer.metadata.response_code == ResponseCode::NoError => {
                    return Ok(answer.answers.into_iter().map(|record| record.data).collect());
                }
                Some(_) => {}
                None => all_say_no = false,
            }
        }
        if all_say_no {
            return Ok(vec![]);
        }
        let why = "all servers responded with errors to at least one search domain";
        Err(Error::new(ErrorKind::Unavailable, format!("could not resolve {name:?}: {why}")))
    }

    /// The first answer that says yes or no.
    async fn ask(&self, name: &Name, record: RecordType) -> Option<Message> {
        for server in &self.addresses {
            match exchange(*server, name, record).await {
                Ok(answer)
                    if matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
                {
                    return Some(answer);
                }
                Ok(answer) => {
                    let code = answer.metadata.response_code;
                    tracing::debug!(discovery = "dns", %server, %name, %code, "no viable answer");
                }
                Err(error) => tracing::warn!(discovery = "dns", %server, %name, %error, "DNS resolution failed"),
            }
        }
        None
    }
}

/// By a datagram, and where that cannot hold the answer by a connection.
async fn exchange(server: SocketAddr, name: &Name, record: RecordType) -> Result<Message> {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), record));
    question.metadata.recursion_desired = true;
    let plain = question.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM_BYTES);
    question.set_edns(edns);
    let late = |_| Error::new(ErrorKind::Timeout, "no answer in time");
    let answer = timeout(PATIENCE, by_datagram(server, &question)).await.map_err(late)??;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    timeout(PATIENCE, by_connection(server, &plain)).await.map_err(late)?
}

async fn by_datagram(server: SocketAddr, question: &Message) -> Result<Message> {
    let asking = || "asking by UDP".to_string();
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.context(ErrorKind::Unavailable, asking)?;
    // Only what comes from the server is received then.
    socket.connect(server).await.context(ErrorKind::Unavailable, asking)?;
    socket.send(&encoded(question)?).await.context(ErrorKind::Unavailable, asking)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let len = socket.recv(&mut buffer).await.context(ErrorKind::Unavailable, asking)?;
        if let Ok(answer) = Message::from_vec(&buffer[..len])
            && answers(&answer, question)
        {
            return Ok(answer);
        }
    }
}

async fn by_connection(server: SocketAddr, question: &Message) -> Result<Message> {
    let asking = || "asking by TCP".to_string();
    let mut stream = TcpStream::connect(server).await.context(ErrorKind::Unavailable, asking)?;
    let bytes = encoded(question)?;
    let len = u16::try_from(bytes.len()).map_err(|_| Error::bad_input("the name is too long"))?;
    let framed = [&len.to_be_bytes()[..], &bytes].concat();
    stream.write_all(&framed).await.context(ErrorKind::Unavailable, asking)?;
    let len = stream.read_u16().await.context(ErrorKind::Unavailable, asking)?;
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await.context(ErrorKind::Unavailable, asking)?;
    let answer = Message::from_vec(&answer).context(ErrorKind::Unavailable, || "reading the answer".to_string())?;
    if !answers(&answer, question) || answer.metadata.truncation {
        return Err(Error::new(ErrorKind::Unavailable, "the answer is to another question, or not whole"));
    }
    Ok(answer)
}

fn encoded(question: &Message) -> Result<Vec<u8>> {
    question.to_vec().context(ErrorKind::BadInput, || "the name cannot be asked for".to_string())
}

/// Whether it is to this question and no other.
fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id && answer.queries == question.queries
}

#[cfg(test)]
#[path = "dns/tests.rs"]
mod tests;
