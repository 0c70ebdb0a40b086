//! The web configuration file, `--web.config.file`: TLS, client certificates, users, headers and the rate of requests,
//! in the format of Prometheus' exporter-toolkit (`docs/web-configuration.md` there), with its checks; and roles, in a section
//! of our own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::http::{TlsVersion, line_of};
use crate::config::mistake::{Found, Mistakes};
use crate::config::schema::{Kind, Schema, below, field, with};
use crate::config::values::{self, is_true};
use crate::config::web::roles::Grants;
use crate::config::web::verifier::Verifier;
use crate::config::yaml::{self, Node};

/// Who may come from where.
pub mod access;
/// What a role is limited to.
pub mod allowed;
/// Files that SQL reads as tables.
pub mod external;
/// What users may do.
pub mod roles;
/// What is kept of passwords.
pub mod verifier;

static FILE: Schema = Schema {
    name: "the web configuration",
    fields: &[&[
        field("tls_server_config", Kind::Section(&TLS)),
        field("http_server_config", Kind::Section(&HTTP)),
        field("basic_auth_users", Kind::Map(&Kind::Secret)),
        field("rate_limit", Kind::Section(&RATE_LIMIT)),
        // Ours.
        field("promlake", Kind::Section(&PROMLAKE)),
    ]],
};

/// Prometheus knows no such section.
static PROMLAKE: Schema = Schema {
    name: "promlake",
    fields: &[&[
        field("roles", Kind::Section(&roles::ROLES)),
        field("access", Kind::List(&access::ACCESS)),
        field("external_locations", Kind::List(&Kind::Text)),
        field("external_tables", Kind::List(&external::TABLE)),
    ]],
};

static TLS: Schema = Schema {
    name: "tls_server_config",
    fields: &[&[
        field("cert", Kind::Text),
        field("key", Kind::Secret),
        field("client_ca", Kind::Text),
        field("cert_file", Kind::Path),
        field("key_file", Kind::Path),
        field("client_auth_type", Kind::Text),
        field("client_ca_file", Kind::Path),
        field("cipher_suites", Kind::List(&Kind::Text)),
        field("curve_preferences", Kind::List(&Kind::Text)),
        with("min_version", Kind::Text, "TLS12"),
        with("max_version", Kind::Text, "TLS13"),
        with("prefer_server_cipher_suites", Kind::Bool, "true"),
        field("client_allowed_sans", Kind::List(&Kind::Text)),
    ]],
};

/// Any of these, and the listeners ask for TLS.
const TLS_KEYS: &[&str] =
    &["cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type"];

static HTTP: Schema = Schema {
    name: "http_server_config",
    fields: &[&[with("http2", Kind::Bool, "true"), field("headers", Kind::Map(&Kind::Text))]],
};

/// A text for the duration, which is Go's.
static RATE_LIMIT: Schema =
    Schema { name: "rate_limit", fields: &[&[field("burst", Kind::Integer), field("interval", Kind::Text)]] };

/// Headers that may be set, with the values they may have where these are few.
const HEADERS: &[(&str, &[&str])] = &[
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// What Go calls its cipher suites of TLS 1.2 and 1.3 that it takes for secure.
const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

const CURVES: &[&str] = &["CurveP256", "CurveP384", "CurveP521", "X25519"];

/// A web configuration. There is no `Debug`, since it holds keys and hashes of passwords.
#[derive(Default)]
pub struct WebConfig {
    /// `None`: without TLS.
    pub tls: Option<Tls>,
    /// Names and values that every answer has.
    pub headers: Vec<(String, String)>,
    /// Names with what is kept of their passwords, `None` where no password could be right; who has the password may do
    /// everything. Empty: everyone may.
    pub users: Vec<(String, Option<Verifier>)>,
    /// `None`: whoever is a user may do everything.
    pub grants: Option<Grants>,
    /// `None`: from everywhere, by password where there are users.
    pub access: Option<Vec<access::Rule>>,
    /// Files that SQL reads as tables.
    pub external: Vec<external::ExternalTable>,
    pub rate_limit: Option<RateLimit>,
    /// What is right, and does nothing or less than it seems to; to be told at the start.
    pub notices: Vec<String>,
}

pub struct Tls {
    pub cert: Pem,
    pub key: Pem,
    pub client_auth: ClientAuth,
    pub client_ca: Option<Pem>,
    /// A client's certificate has to have one of these names.
    pub client_allowed_sans: Option<Vec<String>>,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
    /// In Go's names, each of which it has; empty for all.
    pub cipher_suites: Vec<String>,
    pub prefer_server_cipher_suites: bool,
    /// In Go's names, each of which it has; empty for all.
    pub curve_preferences: Vec<String>,
}

/// A certificate or key.
pub enum Pem {
    /// Joined with the directory of the file that names it.
    File(PathBuf),
    Inline(String),
}

/// Whether clients are asked for a certificate, and whether it has to be one that an authority has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    No,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// A bucket of tokens: a request takes one, and one comes each interval while there are fewer than `burst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub burst: u64,
    /// More than 0.
    pub interval: Duration,
}

impl WebConfig {
    /// Reads and checks a file's text. `directory` is what its paths are relative to. `check_tls` looks at what only those
    /// who have the files can judge; it returns keys with what is wrong with them.
    pub fn parse(
        text: &str,
        directory: &Path,
        check_tls: &mut dyn FnMut(&Tls) -> Vec<(&'static str, String)>,
    ) -> Result<Self, Mistakes> {
        let (mut root, twice) = yaml::parse(text).map_err(Mistakes::one)?;
        let found = Found::default();
        twice.into_iter().for_each(|fault| found.add_fault(fault));
        FILE.check(&root, "", &found);
        FILE.join_paths(&mut root, directory);
        let config = Self::read(&root, directory, &found);
        if let (Some(tls), Some(section)) = (&config.tls, root.get("tls_server_config")) {
            for (key, message) in check_tls(tls) {
                found.add(line_of(section, key), &below("tls_server_config", key), message);
            }
        }
        found.into_result()?;
        Ok(config)
    }

    fn read(root: &Node, directory: &Path, found: &Found) -> Self {
        let nothing = Node::nothing();
        let section = |key: &str| root.get(key).filter(|node| !node.is_null()).unwrap_or(&nothing);
        let mut notices = vec![];
        let tls = Tls::read(section("tls_server_config"), found, &mut notices);
        let rate_limit = rate_limit(section("rate_limit"), found);
        if rate_limit.is_some_and(|limit| limit.burst == 0) {
            notices.push("rate_limit.burst is not above 0, so that every request is refused".to_string());
        }
        let users = users(section("basic_auth_users"), found, &mut notices);
        let mut names: Vec<&str> = users.iter().map(|(name, _)| name.as_str()).collect();
        let verifies = tls.as_ref().map(|tls| tls.client_auth.verifies());
        let access = access::read(section("promlake"), &names, verifies, found);
        for user in access::without_password(access.as_deref()) {
            if !names.contains(&user) {
                names.push(user);
            }
        }
        let grants = roles::read(section("promlake"), &names, found);
        Self {
            tls,
            access,
            grants,
            external: external::read(section("promlake"), directory, found),
            headers: headers(section("http_server_config").get("headers").unwrap_or(&nothing), found),
            users,
            rate_limit,
            notices,
        }
    }
}

impl Tls {
    fn read(node: &Node, found: &Found, notices: &mut Vec<String>) -> Option<Self> {
        let section = TlsSection { node, found };
        let (min_version, max_version) =
            (section.version("min_version", TlsVersion::Tls12), section.version("max_version", TlsVersion::Tls13));
        let cipher_suites = section.names("cipher_suites", CIPHER_SUITES, "cipher");
        let curve_preferences = section.names("curve_preferences", CURVES, "curve");
        if !TLS_KEYS.iter().any(|key| values::text(node, key).is_some()) {
            if !node.entries().is_empty() {
                notices.push("tls_server_config names no certificate, so that TLS is off".to_string());
            }
            return None;
        }
        let (cert, key) = (section.needed("cert", "cert_file"), section.needed("key", "key_file"));
        let client_auth = section.client_auth();
        let sans = node.get("client_allowed_sans").filter(|node| !node.is_null());
        if sans.is_some() && client_auth == Some(ClientAuth::No) {
            let text = "client_allowed_sans does nothing, since client_auth_type asks clients for no certificate";
            notices.push(text.to_string());
        }
        Some(Self {
            cert: cert?,
            key: key?,
            client_auth: client_auth?,
            client_ca: section.pem("client_ca", "client_ca_file"),
            client_allowed_sans: sans
                .map(|node| node.items().iter().map(|item| item.text().unwrap_or("").to_string()).collect()),
            min_version,
            max_version,
            cipher_suites,
            prefer_server_cipher_suites: is_true(node, "prefer_server_cipher_suites", true),
            curve_preferences,
        })
    }
}

/// Reads the values of `tls_server_config`, and puts what is wrong with them into `found`.
struct TlsSection<'a> {
    node: &'a Node,
    found: &'a Found,
}

impl TlsSection<'_> {
    fn add(&self, key: &str, message: String) {
        self.found.add(line_of(self.node, key), &below("tls_server_config", key), message);
    }

    /// The file counts where both are given.
    fn pem(&self, inline: &str, file: &str) -> Option<Pem> {
        let given = |key: &str| values::text(self.node, key);
        let inline = || given(inline).map(|text| Pem::Inline(text.to_string()));
        given(file).map(|path| Pem::File(PathBuf::from(path))).or_else(inline)
    }

    fn needed(&self, inline: &str, file: &str) -> Option<Pem> {
        let pem = self.pem(inline, file);
        if pem.is_none() {
            self.found.add(self.node.line, "tls_server_config", format!("missing one of {inline} or {file}"));
        }
        pem
    }

    fn version(&self, key: &str, default: TlsVersion) -> TlsVersion {
        let Some(text) = self.node.get(key).and_then(Node::text) else { return default };
        TlsVersion::parse(text).unwrap_or_else(|| {
            self.add(key, format!("unknown TLS version: {text}"));
            default
        })
    }

    fn names(&self, key: &str, known: &[&str], what: &str) -> Vec<String> {
        let items = self.node.get(key).map(Node::items).unwrap_or_default();
        for item in items {
            let name = item.text().unwrap_or("");
            if !known.contains(&name) {
                let message = format!("unknown {what}: {name}");
                self.found.add(item.line, &below("tls_server_config", key), message);
            }
        }
        items.iter().filter_map(Node::text).map(str::to_string).collect()
    }

    fn client_auth(&self) -> Option<ClientAuth> {
        const KEY: &str = "client_auth_type";
        let policy = match values::text(self.node, KEY).unwrap_or("") {
            "" | "NoClientCert" => ClientAuth::No,
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            unknown => {
                self.add(KEY, format!("invalid ClientAuth: {unknown}"));
                return None;
            }
        };
        let named = ["client_ca_file", "client_ca"].into_iter().find(|key| values::text(self.node, key).is_some());
        if let Some(key) = named.filter(|_| policy == ClientAuth::No) {
            self.add(key, "client CA's have been configured without a Client Auth Policy".to_string());
        }
        Some(policy)
    }
}

impl ClientAuth {
    /// Whether a client without a certificate is refused.
    pub fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }

    /// Whether a certificate has to be signed by an authority that is known here.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }
}

/// A header that is blank is not set. Line breaks become spaces, as in Go: policies are often written on several lines.
fn headers(node: &Node, found: &Found) -> Vec<(String, String)> {
    let mut headers = vec![];
    for (name, value) in node.entries() {
        let add = |message: String| found.add(name.line, "http_server_config.headers", message);
        let text = value.text().unwrap_or("");
        let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name.text) else {
            add(format!("HTTP header {:?} can not be configured", name.text));
            continue;
        };
        if !allowed.is_empty() && !allowed.contains(&text) {
            let allowed: Vec<String> = allowed.iter().map(|value| format!("{value:?}")).collect();
            let (name, allowed) = (&name.text, allowed.join(" "));
            add(format!("invalid value for {name}. Expected one of: [{allowed}], but got: {text:?}"));
            continue;
        }
        let value = text.replace(['\r', '\n'], " ").trim().to_string();
        if value.chars().any(|c| c != '\t' && c.is_control()) {
            add(format!("the value of {} has a character that no header may have", name.text));
        } else if !value.is_empty() {
            headers.push((name.text.clone(), value));
        }
    }
    headers
}

fn users(node: &Node, found: &Found, notices: &mut Vec<String>) -> Vec<(String, Option<Verifier>)> {
    let mut users = vec![];
    for (name, value) in node.entries() {
        // Others are told already.
        if !(value.is_null() || value.text().is_some()) {
            continue;
        }
        match Verifier::parse(value.text().unwrap_or("")) {
            Ok(verifier) => {
                if verifier.is_none() {
                    notices.push(format!("no password is right for the user {:?}: its hash is damaged", name.text));
                }
                users.push((name.text.clone(), verifier));
            }
            Err(message) => found.add(name.line, &below("basic_auth_users", &name.text), message),
        }
    }
    users
}

fn rate_limit(node: &Node, found: &Found) -> Option<RateLimit> {
    let nanoseconds = match node.get("interval").map(|node| &node.value) {
        Some(yaml::Value::Scalar(scalar)) => match scalar.integer().or_else(|| go_duration(&scalar.text)) {
            Some(nanoseconds) => nanoseconds,
            None => {
                let message = format!("expected a duration as 500ms, 1s or 1m30s, got `{}`", scalar.text);
                found.add(line_of(node, "interval"), "rate_limit.interval", message);
                return None;
            }
        },
        _ => 0,
    };
    let interval = Duration::from_nanos(u64::try_from(nanoseconds).ok().filter(|n| *n > 0)?);
    Some(RateLimit { burst: values::count(node, "burst").unwrap_or(0), interval })
}

/// Nanoseconds of a duration as Go's `time.ParseDuration` reads it.
fn go_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let (mut total, mut parts) = (0.0, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        parts += 1;
        rest = next;
    }
    let in_range = parts > 0 && total <= i64::MAX as f64;
    in_range.then_some((sign * total) as i64)
}

#[cfg(test)]
#[path = "web/tests.rs"]
mod tests;
