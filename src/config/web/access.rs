//! `promlake.access`: who may come from where, and how he shows who he is. As in PostgreSQL's `pg_hba.conf` the first rule that
//! fits a connection decides, and what no rule fits is refused.

use std::net::IpAddr;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, field};
use crate::config::values;
use crate::config::web::roles::{ALL, Role};
use crate::config::yaml::Node;

pub(super) static ACCESS: Kind = Kind::Section(&RULE);

static RULE: Schema = Schema {
    name: "a rule of access",
    fields: &[&[
        field("type", Kind::OneOf(&["local", "host", "hostssl", "hostnossl"])),
        field("users", Kind::List(&Kind::Text)),
        field("roles", Kind::List(&Kind::OneOf(&["reader", "writer", "admin"]))),
        field("address", Kind::Text),
        field("method", Kind::OneOf(&["trust", "password", "scram-sha-256", "cert", "reject"])),
    ]],
};

const PATH: &str = "promlake.access";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Connections with TLS only, or without only; `None` for both.
    pub encrypted: Option<bool>,
    /// `None`: all.
    pub users: Option<Vec<String>>,
    /// `None`: all, also where there are no roles.
    pub roles: Option<Vec<Role>>,
    pub addresses: Addresses,
    pub method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Whoever comes is who he says.
    Trust,
    /// By password, told or proved as what is kept of it asks for.
    Password,
    /// By password, of which a verifier has to be kept.
    Scram,
    /// By a name of the client's certificate.
    Cert,
    Reject,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    All,
    Loopback,
    /// The first so many bits are these.
    Net(IpAddr, u8),
}

impl Addresses {
    /// An address, or one with a number of bits behind a slash; `all`.
    fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = width(address);
        let bits = match bits {
            // No sign, and no space.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Self::Net(address, bits))
    }

    /// Addresses of IPv4 within IPv6 are those of IPv4.
    pub fn have(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::All => true,
            Self::Loopback => address.is_loopback(),
            Self::Net(net, bits) => {
                let unused = u32::from(width(net) - bits);
                let prefix = |address: IpAddr| match address {
                    IpAddr::V4(v4) => u32::from(v4).checked_shr(unused).map_or(0, u128::from),
                    IpAddr::V6(v6) => u128::from(v6).checked_shr(unused).unwrap_or(0),
                };
                net.is_ipv4() == address.is_ipv4() && prefix(net) == prefix(address)
            }
        }
    }

    /// Whether nobody comes from there but who is on this machine.
    fn is_loopback(self) -> bool {
        match self {
            Self::All => false,
            Self::Loopback => true,
            Self::Net(IpAddr::V4(v4), bits) => v4.octets()[0] == 127 && bits >= 8,
            Self::Net(IpAddr::V6(v6), bits) => v6.is_loopback() && bits == 128,
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The rules; `None` where the file has none. `verifies` says whether certificates of clients are looked at.
pub(super) fn read(section: &Node, users: &[&str], tls: Option<bool>, found: &Found) -> Option<Vec<Rule>> {
    let list = section.get("access").filter(|node| !node.is_null())?;
    let rules = list.items().iter().filter_map(|node| rule(node, users, tls, found));
    Some(rules.collect())
}

fn rule(node: &Node, users: &[&str], tls: Option<bool>, found: &Found) -> Option<Rule> {
    let add = |key: &str, message: String| found.add(line_of(node, key), PATH, message);
    let (kind, method) = (values::text(node, "type"), values::text(node, "method"));
    for (key, value) in [("type", kind), ("method", method)] {
        if value.is_none() {
            add(key, format!("a rule needs its {key}"));
        }
    }
    let (kind, method) = (kind?, method?);
    let method = match method {
        "trust" => Method::Trust,
        "password" => Method::Password,
        "scram-sha-256" => Method::Scram,
        "cert" => Method::Cert,
        "reject" => Method::Reject,
        // Told already.
        _ => return None,
    };
    let encrypted = match kind {
        "hostssl" => Some(true),
        "hostnossl" => Some(false),
        _ => None,
    };
    let addresses = match (kind, values::text(node, "address")) {
        ("local", None) => Addresses::Loopback,
        ("local", Some(_)) => {
            add("address", "local are connections of this machine, whatever their address".to_string());
            Addresses::Loopback
        }
        (_, None) => Addresses::All,
        (_, Some(text)) => match Addresses::parse(text) {
            Some(addresses) => addresses,
            None => {
                add("address", format!("{text:?} is no address with a number of bits, such as 10.0.0.0/8"));
                return None;
            }
        },
    };
    if method == Method::Trust && !addresses.is_loopback() {
        let message =
            "trust is for connections of this machine: type local, or an address within 127.0.0.0/8 or ::1";
        add("method", message.to_string());
    }
    if encrypted == Some(true) && tls.is_none() {
        add("type", "there is no tls_server_config, so that no connection would ever fit".to_string());
    }
    if method == Method::Cert && (encrypted != Some(true) || tls != Some(true)) {
        let message = "cert takes the type hostssl, and a client_auth_type that verifies certificates \
                       (VerifyClientCertIfGiven or RequireAndVerifyClientCert)";
        add("method", message.to_string());
    }
    let texts = |key: &str| {
        let items = node.get(key).filter(|node| !node.is_null())?.items();
        Some(items.iter().filter_map(Node::text).map(str::to_string).collect::<Vec<_>>())
    };
    let named = texts("users");
    let takes_password = matches!(method, Method::Password | Method::Scram);
    for user in named.iter().flatten().filter(|user| takes_password && !users.contains(&user.as_str())) {
        add("users", format!("there is no user {user:?} in basic_auth_users, and so no password"));
    }
    let roles = texts("roles")
        .map(|names| ALL.into_iter().filter(|role| names.contains(&role.to_string())).collect::<Vec<Role>>());
    Some(Rule { encrypted, users: named, roles, addresses, method })
}

/// Users who need no password, as rules name them.
pub(super) fn without_password(rules: Option<&[Rule]>) -> Vec<&str> {
    let rules = rules.unwrap_or_default().iter();
    let by_name = rules.filter(|rule| matches!(rule.method, Method::Cert | Method::Trust));
    by_name.flat_map(|rule| rule.users.iter().flatten()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::WebConfig;

    fn parse(rules: &str) -> Result<Option<Vec<Rule>>, String> {
        let hash = "$2y$10$rC4X9ThyEhQeRO4qQUqPbOqT1X63lbM61QZWFhm3uUxuOhx5nd8sy";
        let text = format!("basic_auth_users: {{ada: {hash}}}\npromlake:\n  access:\n{rules}");
        let read = WebConfig::parse(&text, std::path::Path::new(""), &mut |_| vec![]);
        read.map(|config| config.access).map_err(|mistakes| mistakes.shown("w.yml"))
    }

    #[test]
    fn addresses() {
        let check = |text: &str, inside: &[&str], outside: &[&str]| {
            let addresses = Addresses::parse(text).unwrap_or_else(|| panic!("{text}"));
            for address in inside {
                assert!(addresses.have(address.parse().unwrap()), "{text} {address}");
            }
            for address in outside {
                assert!(!addresses.have(address.parse().unwrap()), "{text} {address}");
            }
        };
        check("all", &["10.0.0.1", "2001:db8::1"], &[]);
        check("10.0.0.0/8", &["10.0.0.1", "10.255.0.1", "::ffff:10.1.1.1"], &["11.0.0.0", "::1"]);
        check("10.1.2.3", &["10.1.2.3"], &["10.1.2.4"]);
        check("0.0.0.0/0", &["8.8.8.8"], &["::1"]);
        check("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]);
        check("::/0", &["::1"], &["127.0.0.1"]);
        for wrong in
            ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::1/129", "localhost", "10.0.0.0/8/8"]
        {
            assert_eq!(Addresses::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rules_in_their_order() {
        let rules = parse(
            "  - {type: local, method: trust}\n  - {type: host, address: 10.0.0.0/8, users: [ada], method: password}\n  \
             - {type: host, roles: [admin], method: reject}\n",
        );
        let rules = rules.unwrap().unwrap();
        let methods: Vec<Method> = rules.iter().map(|rule| rule.method).collect();
        assert_eq!(methods, [Method::Trust, Method::Password, Method::Reject]);
        assert_eq!(rules[1].users.as_deref(), Some(&["ada".to_string()][..]));
        assert_eq!(rules[2].roles, Some(vec![Role::Admin]));
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("    []\n").unwrap(), Some(vec![]));
    }

    #[test]
    fn what_is_refused() {
        let check = |rule: &str, expected: &str| {
            let told = parse(&format!("  - {{{rule}}}\n")).err().unwrap_or_default();
            assert!(told.starts_with("w.yml:4: promlake.access") && told.contains(expected), "{rule}: {told}");
        };
        check("method: trust", "a rule needs its type");
        check("type: host", "a rule needs its method");
        check("type: tcp, method: reject", "tcp");
        check("type: host, method: md5", "md5");
        check("type: host, method: trust", "trust is for connections of this machine");
        check("type: host, address: 127.0.0.0/7, method: trust", "trust is for connections of this machine");
        check("type: host, address: 10.0.0.0/8, method: trust", "trust is for connections of this machine");
        check("type: host, address: example.org, method: reject", "\"example.org\" is no address");
        check("type: local, address: 127.0.0.1, method: trust", "local are connections of this machine");
        check("type: hostssl, method: password", "there is no tls_server_config");
        check("type: host, method: cert", "cert takes the type hostssl");
        check("type: host, users: [eve], method: password", "there is no user \"eve\"");
        check("type: host, owner: x, method: reject", "field owner not found");
        assert!(parse("  - {type: host, address: 127.0.0.1, method: trust}\n").is_ok());
    }
}
