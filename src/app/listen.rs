//! Binding listen addresses: `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, or `:9090` for every interface.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::{Context, ErrorKind, Result};

pub async fn bind(flag: &str, address: &str) -> Result<TcpListener> {
    let failed = || format!("--{flag}: cannot listen on {address}");
    match address.strip_prefix(':') {
        // `::` takes IPv4 as well, where there is IPv6 at all.
        Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await.context(ErrorKind::BadInput, failed),
        },
        None => TcpListener::bind(address).await.context(ErrorKind::BadInput, failed),
    }
}

pub fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().context(ErrorKind::Internal, || "a listener has no address".into())
}

/// An address one can connect to from this machine.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn addresses_to_connect_to() {
        let check = |bound: &str, expected: &str| {
            assert_eq!(reachable(bound.parse().unwrap()), expected.parse().unwrap());
        };
        check("0.0.0.0:9090", "127.0.0.1:9090");
        check("[::]:9090", "127.0.0.1:9090");
        check("[::1]:9090", "[::1]:9090");
        check("10.0.0.1:80", "10.0.0.1:80");
    }
}
