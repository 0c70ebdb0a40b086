//! The way that a request took.

use std::sync::Arc;

use crate::server::access::shown::Shown;

/// By which kind of listener a request came in, and from whom; an extension of it.
#[derive(Clone, Debug)]
pub struct Via {
    pub loopback: bool,
    /// `None` where the connection was gone already.
    pub client: Option<std::net::IpAddr>,
    /// `None` without TLS.
    pub shown: Option<Arc<Shown>>,
}
