//! Which requests go through which proxy: a configured one, with exceptions, or those that the environment names. Rules
//! and spellings are those of Go's `httpproxy`, which people have in `NO_PROXY`.

use std::net::IpAddr;

use url::Url;

use crate::client::error::Reason;
use crate::config::http::{ProxyConfig, Secret};

/// What a client asks before it connects.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Exceptions,
    /// Names of this machine are never asked through a proxy, save through one that was configured without exceptions.
    local_too: bool,
}

#[derive(Clone, Debug, Default)]
struct Exceptions {
    all: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Network {
        address: IpAddr,
        bits: u32,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    /// A name with a dot in front, and its parts.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// `env` is asked for the names of variables. Fails for a URL that cannot be a proxy's, which it does not show, since it
    /// may hold a password.
    pub fn new(config: &ProxyConfig, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Reason> {
        if config.from_environment {
            let either =
                |name: &str| env(&name.to_ascii_uppercase()).or_else(|| env(name)).filter(|v| !v.is_empty());
            // Set by a CGI server from a header of a request.
            let is_cgi = env("REQUEST_METHOD").is_some_and(|method| !method.is_empty());
            let http =
                either("http_proxy").filter(|_| !is_cgi).map(|text| parse(&text, "HTTP_PROXY")).transpose()?;
            let https = either("https_proxy").map(|text| parse(&text, "HTTPS_PROXY")).transpose()?;
            let except = Exceptions::parse(&either("no_proxy").unwrap_or_default());
            return Ok(Self { http, https, except, local_too: false });
        }
        let Secret::Text(text) = &config.url else { return Ok(Self::default()) };
        let url = parse(text, "proxy_url")?;
        let except = Exceptions::parse(config.no_proxy.as_deref().unwrap_or_default());
        Ok(Self { http: Some(url.clone()), https: Some(url), except, local_too: config.no_proxy.is_none() })
    }

    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if local && !self.local_too {
            return None;
        }
        let port = url.port_or_known_default();
        (!self.except.names(&host, address, port)).then_some(proxy)
    }
}

impl Exceptions {
    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for entry in
            text.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty())
        {
            if entry == "*" {
                all.all = true;
            } else {
                all.rules.extend(Rule::parse(&entry));
            }
        }
        all
    }

    fn names(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        self.all || self.rules.iter().any(|rule| rule.names(host, address, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if let Some((address, bits)) = entry.split_once('/')
            && let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>())
        {
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Rule::Network { address, bits });
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            _ => (entry, None),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Some(Rule::Address { address, port });
        }
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        if name.is_empty() {
            return None;
        }
        let itself = !name.starts_with('.');
        let suffix = if itself { format!(".{name}") } else { name.to_string() };
        Some(Rule::Domain { suffix, itself, port })
    }

    fn names(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Rule::Network { address: network, bits } => {
                address.is_some_and(|address| is_within(address, *network, *bits))
            }
            Rule::Address { address: known, port: wanted } => {
                address == Some(*known) && (wanted.is_none() || *wanted == port)
            }
            Rule::Domain { suffix, itself, port: wanted } => {
                let fits = host.ends_with(suffix.as_str()) || *itself && host == &suffix[1..];
                address.is_none() && fits && (wanted.is_none() || *wanted == port)
            }
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            bits == 0 || differ >> (32 - bits) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differ = a.to_bits() ^ b.to_bits();
            bits == 0 || differ >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// Without a scheme it is one of HTTP.
fn parse(text: &str, what: &str) -> Result<Url, Reason> {
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.host().is_some();
    let text = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let mut url = match Url::parse(&text).ok().filter(known) {
        Some(url) => url,
        None => return Err(Reason::other(format!("{what} is not a URL of an HTTP, HTTPS or SOCKS5 proxy"))),
    };
    // A proxy is told names, as Go's client does, since only it may know them.
    if url.scheme() == "socks5" {
        let named = url.as_str().replacen("socks5:", "socks5h:", 1);
        url = Url::parse(&named).map_err(|e| Reason::other(format!("{what}: {e}")))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
