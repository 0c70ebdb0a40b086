//! Names under which the server may be asked. A page of any site can make its own name lead to a loopback address
//! (DNS rebinding), and is then of the same origin as our API for its reader's browser; what it cannot change is the
//! name in `Host`. So listeners on loopback, and all where `--web.allowed-hosts` is set, answer to known names only.
//! An address is never such a name, so clients and probes that know the address are always heard. Names of a proxy,
//! `X-Forwarded-Host`, are not looked at: a page may set them.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, StatusCode, Uri, Version, header};

/// The names, and where they are checked.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: Vec<String>,
    /// On listeners that are not on loopback, too.
    everywhere: bool,
}

impl Hosts {
    /// `allowed` is `--web.allowed-hosts`: names, `*.name` for all below one, `*` for all. `own` are names that are
    /// allowed without being asked for: the machine's, and that of the external URL.
    pub fn new<'a>(allowed: &[String], own: impl IntoIterator<Item = &'a str>) -> Self {
        let own = own.into_iter().filter(|name| !name.is_empty()).map(normal);
        let names = allowed.iter().map(|name| normal(name)).chain(own).collect();
        Self { names, everywhere: !allowed.is_empty() }
    }

    /// Whether requests that came in by a listener on loopback, or by another, are checked.
    pub fn checks(&self, loopback: bool) -> bool {
        loopback || self.everywhere
    }

    /// Of a `Host` header, or of the target of a request: a name or an address, with or without a port.
    pub fn allows(&self, authority: &str) -> bool {
        let (name, _) = split_port(authority);
        let name = normal(name);
        let local = name == "localhost" || name.ends_with(".localhost");
        local || is_address(&name) || self.names.iter().any(|allowed| covers(allowed, &name))
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn covers(allowed: &str, name: &str) -> bool {
    match allowed.strip_prefix('*') {
        // `*` or `*.name`
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => allowed == name,
    }
}

fn is_address(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}

/// `name:port`, where the port may be absent or empty. What is no port stays in the name, and matches nothing.
pub fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((name, "")) => (name, None),
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// The authorities that a request names: of its target, where it is a whole URL, and of its `Host`, which HTTP/1.1 must
/// have once. None is none at all. The error is the status for a request that breaks these rules.
pub fn authorities<'a>(uri: &'a Uri, headers: &'a HeaderMap, version: Version) -> Result<Vec<&'a str>, StatusCode> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return Err(StatusCode::BAD_REQUEST),
        (Some(_), Some(_)) => return Err(StatusCode::BAD_REQUEST),
        (None, _) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| StatusCode::BAD_REQUEST)?),
    };
    let target = uri.authority().map(|authority| authority.as_str());
    Ok(target.into_iter().chain(host).filter(|authority| !authority.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let allowed = ["metrics.example".to_string(), "*.Svc.example".to_string()];
        let own = ["node-1", "prom.example", ""];
        let check = |authority: &str, expected: bool| {
            assert_eq!(Hosts::new(&allowed, own).allows(authority), expected, "{authority}");
        };
        for known in [
            "localhost",
            "LOCALHOST:9090",
            "localhost.:9090",
            "promlake.localhost:80",
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9090",
            "[fe80::1%25eth0]:9090",
            "node-1:9090",
            "prom.example:",
            "metrics.example:443",
            "a.svc.example",
            "a.b.SVC.example:1",
        ] {
            check(known, true);
        }
        for unknown in [
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "svc.example",
            "evilsvc.example",
            "metrics.example.evil",
            "localhost:80@evil.example",
            "localhost:evil",
            "localhost:99999",
            "evil.example:localhost",
            "0177.0.0.1",
            "[::1",
            "::1",
            "[localhost]",
        ] {
            check(unknown, false);
        }
        assert!(Hosts::new(&["*".to_string()], []).allows("anything.example:1"));
    }

    #[test]
    fn listeners() {
        let check = |allowed: &[String], loopback: bool, expected: bool| {
            assert_eq!(Hosts::new(allowed, ["node-1"]).checks(loopback), expected);
        };
        check(&[], true, true);
        check(&[], false, false);
        check(&["a".to_string()], false, true);
        check(&["a".to_string()], true, true);
    }
}
