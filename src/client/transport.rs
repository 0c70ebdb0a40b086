//! Connections. They are made by `reqwest`, one pool for each way to reach a host, and anew when a file of certificates has
//! changed: what is under way ends with the old ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::client::error::Reason;
use crate::client::header_value;
use crate::client::proxy::Proxies;
use crate::client::tls;
use crate::config::http::{ProxyConfig, Secret, TlsConfig};
use crate::error::{Error, Result};

/// What is asked again and again keeps its connection; not forever.
const IDLE: Duration = Duration::from_secs(300);

/// Files are looked at no more often than this.
const LOOK: Duration = Duration::from_secs(1);

/// Pools of hosts that are reached by another name; beyond this all begin anew.
const MAX_POOLS: usize = 1 << 14;

pub struct Transport {
    tls: TlsConfig,
    proxies: Proxies,
    connect_headers: HeaderMap,
    http2: bool,
    http2_only: bool,
    compressed: bool,
    /// Each connection takes one of the host's addresses at random.
    round_robin: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    stamps: Vec<Stamp>,
    config: Option<rustls::ClientConfig>,
    pools: HashMap<Way, reqwest::Client>,
}

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    Network,
    /// TLS is spoken with `name`, at the address of `host`. The library takes one name for both, so the URL has `name` and the
    /// resolver knows better.
    Named {
        name: String,
        host: String,
    },
    Socket(PathBuf),
}

/// What tells that a file is another one: its time, its length and its number; nothing where there is no file.
type Stamp = Option<(SystemTime, u64, u64)>;

impl Transport {
    pub fn new(tls: &TlsConfig, proxy: &ProxyConfig, http2: bool, compressed: bool) -> Result<Self> {
        let unusable = |reason: Reason| Error::bad_input(reason.text());
        tls::versions(tls).map_err(unusable)?;
        let references = [&tls.ca, &tls.cert, &tls.key];
        if references.iter().any(|secret| matches!(secret, Secret::Reference(_))) {
            return Err(Error::bad_input("tls_config: cannot use secret ref without manager"));
        }
        let proxies = Proxies::new(proxy, &|name| std::env::var(name).ok()).map_err(unusable)?;
        let mut connect_headers = HeaderMap::new();
        for (name, values) in &proxy.connect_headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Error::bad_input(format!("proxy_connect_header: invalid header name {name:?}")))?;
            for value in values {
                if let Secret::Text(text) = value {
                    connect_headers.append(header.clone(), header_value(text, name).map_err(unusable)?);
                }
            }
        }
        let (tls, state) = (tls.clone(), Mutex::default());
        Ok(Self { tls, proxies, connect_headers, http2, http2_only: false, compressed, round_robin: false, state })
    }

    pub fn round_robin(self) -> Self {
        Self { round_robin: true, ..self }
    }

    pub fn http2_only(self) -> Self {
        Self { http2: true, http2_only: true, ..self }
    }

    pub fn way(&self, url: &Url) -> Way {
        let host = url.host_str().unwrap_or_default();
        match &self.tls.server_name {
            // Through a proxy the name is verified and not asked for: it is the proxy that finds the host.
            Some(name) if url.scheme() == "https" && name != host && self.proxies.of(url).is_none() => {
                Way::Named { name: name.clone(), host: host.to_string() }
            }
            _ => Way::Network,
        }
    }

    pub async fn client(&self, way: &Way) -> Result<reqwest::Client, Reason> {
        let mut state = self.state.lock().await;
        self.look_at_files(&mut state).await;
        if let Some(client) = state.pools.get(way) {
            return Ok(client.clone());
        }
        let config = match &state.config {
            Some(config) => config.clone(),
            None => state.config.insert(tls::client_config(&self.tls, self.http2).await?).clone(),
        };
        if state.pools.len() >= MAX_POOLS {
            state.pools.clear();
        }
        let client = self.build(way, config)?;
        state.pools.insert(way.clone(), client.clone());
        Ok(client)
    }

    async fn look_at_files(&self, state: &mut State) {
        let files: Vec<PathBuf> = [&self.tls.ca, &self.tls.cert, &self.tls.key]
            .into_iter()
            .filter_map(|secret| if let Secret::File(path) = secret { Some(path.clone()) } else { None })
            .collect();
        if files.is_empty() || state.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        // Files may be on a network. Without an answer nothing has changed.
        let stamps = tokio::task::spawn_blocking(move || files.iter().map(stamp).collect::<Vec<_>>()).await;
        state.looked = Some(Instant::now());
        if let Ok(stamps) = stamps
            && stamps != state.stamps
        {
            *state = State { looked: state.looked, stamps, ..State::default() };
        }
    }

    fn build(&self, way: &Way, mut tls: rustls::ClientConfig) -> Result<reqwest::Client, Reason> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .gzip(self.compressed)
            .no_proxy()
            .pool_idle_timeout(IDLE);
        match way {
            Way::Network => {
                if self.round_robin {
                    builder = builder.dns_resolver(Arc::new(Shuffled));
                }
                // The headers are for the proxy, and would go on to the host where there is no tunnel.
                if !self.proxies.is_empty() {
                    let of = |scheme: &'static str| {
                        let proxies = self.proxies.clone();
                        let chosen = move |url: &Url| proxies.of(url).filter(|_| url.scheme() == scheme).cloned();
                        reqwest::Proxy::custom(chosen)
                    };
                    builder = builder.proxy(of("https").headers(self.connect_headers.clone())).proxy(of("http"));
                }
            }
            Way::Named { host, .. } => {
                // HTTP/2 would tell the server the name as its authority.
                tls.alpn_protocols.clear();
                builder = builder.dns_resolver(Arc::new(Pinned(host.clone())));
            }
            Way::Socket(path) => builder = builder.unix_socket(path.as_path()),
        }
        if self.http2_only {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            builder = builder.http2_prior_knowledge();
        } else if tls.alpn_protocols.is_empty() {
            builder = builder.http1_only();
        }
        let built = builder.tls_backend_preconfigured(tls).build();
        built.map_err(|e| Reason::other(format!("cannot make an HTTP client: {e}")))
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Finds the addresses of a host in another order each time.
struct Shuffled;

impl Resolve for Shuffled {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let mut found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            fastrand::shuffle(&mut found);
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Finds one host, whatever name is asked for.
struct Pinned(String);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.trim_start_matches('[').trim_end_matches(']').to_string();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
