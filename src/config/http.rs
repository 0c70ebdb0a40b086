//! How requests are sent: scrapes, discovery, Alertmanagers, remote write and read have these keys alike.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::config::schema::{Field, Kind, Schema, field, with};
use crate::config::values;
use crate::config::yaml::{Node, Value};

mod checks;
/// A section as a file of its own.
mod file;

pub(super) use checks::{check, check_tls};

/// The keys, to be taken into a section.
pub const FIELDS: &[Field] = &[
    field("basic_auth", Kind::Section(&BASIC_AUTH)),
    field("authorization", Kind::Section(&AUTHORIZATION)),
    field("oauth2", Kind::Section(&OAUTH2)),
    field("bearer_token", Kind::Secret),
    field("bearer_token_file", Kind::Path),
    field("tls_config", Kind::Section(&TLS)),
    with("follow_redirects", Kind::Bool, "true"),
    with("enable_http2", Kind::Bool, "true"),
    field("http_headers", Kind::Map(const { &Kind::Section(&HEADER) })),
    field("proxy_url", Kind::Url),
    field("no_proxy", Kind::Text),
    field("proxy_from_environment", Kind::Bool),
    field("proxy_connect_header", Kind::Map(const { &Kind::List(&Kind::Secret) })),
];

/// The first of them, which say who asks and whom is trusted.
pub const CREDENTIALS: &[Field] = FIELDS.split_at(6).0;

/// Those of a client that has no other.
pub const PROXY: &[Field] = &[
    field("proxy_url", Kind::Url),
    field("no_proxy", Kind::Text),
    field("proxy_from_environment", Kind::Bool),
    field("proxy_connect_header", Kind::Map(const { &Kind::List(&Kind::Secret) })),
];

pub static BASIC_AUTH: Schema = Schema {
    name: "basic_auth",
    fields: &[&[
        field("username", Kind::Text),
        field("username_file", Kind::Path),
        field("username_ref", Kind::Text),
        field("password", Kind::Secret),
        field("password_file", Kind::Path),
        field("password_ref", Kind::Text),
    ]],
};

pub static AUTHORIZATION: Schema = Schema {
    name: "authorization",
    fields: &[&[
        with("type", Kind::Text, "Bearer"),
        field("credentials", Kind::Secret),
        field("credentials_file", Kind::Path),
        field("credentials_ref", Kind::Text),
    ]],
};

pub static TLS: Schema = Schema {
    name: "tls_config",
    fields: &[&[
        field("ca", Kind::Text),
        field("cert", Kind::Text),
        field("key", Kind::Secret),
        field("ca_file", Kind::Path),
        field("cert_file", Kind::Path),
        field("key_file", Kind::Path),
        field("ca_ref", Kind::Text),
        field("cert_ref", Kind::Text),
        field("key_ref", Kind::Text),
        field("server_name", Kind::Text),
        with("insecure_skip_verify", Kind::Bool, "false"),
        field("min_version", Kind::OneOf(TLS_VERSIONS)),
        field("max_version", Kind::OneOf(TLS_VERSIONS)),
    ]],
};

/// Oldest first.
const TLS_VERSIONS: &[&str] = &["TLS10", "TLS11", "TLS12", "TLS13"];

static HEADER: Schema = Schema {
    name: "http_headers",
    fields: &[&[
        field("values", Kind::List(&Kind::Text)),
        field("secrets", Kind::List(&Kind::Secret)),
        field("files", Kind::List(&Kind::Path)),
    ]],
};

/// Grant types; any other means the first, as in Prometheus.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub static OAUTH2: Schema = Schema {
    name: "oauth2",
    fields: &[
        &[
            field("client_id", Kind::Text),
            field("client_secret", Kind::Secret),
            field("client_secret_file", Kind::Path),
            field("client_secret_ref", Kind::Text),
            field("client_certificate_key_id", Kind::Text),
            field("client_certificate_key", Kind::Secret),
            field("client_certificate_key_file", Kind::Text),
            field("client_certificate_key_ref", Kind::Text),
            field("grant_type", Kind::Text),
            field("signature_algorithm", Kind::Text),
            field("iss", Kind::Text),
            field("audience", Kind::Text),
            field("claims", Kind::Map(&Kind::Any)),
            field("scopes", Kind::List(&Kind::Text)),
            field("token_url", Kind::Text),
            field("endpoint_params", Kind::Map(&Kind::Text)),
            field("tls_config", Kind::Section(&TLS)),
        ],
        PROXY,
    ],
};

/// How the requests of a section are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpConfig {
    pub authorization: Authorization,
    pub tls: TlsConfig,
    pub no_redirects: bool,
    pub no_http2: bool,
    /// Names with their values, all of which are sent.
    pub headers: Vec<(String, Vec<Secret>)>,
    pub proxy: ProxyConfig,
}

/// What a request shows to be let in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Authorization {
    #[default]
    None,
    Basic {
        username: Secret,
        password: Secret,
    },
    /// `Authorization: SCHEME CREDENTIALS`.
    Header {
        scheme: String,
        credentials: Secret,
    },
    OAuth2(Box<OAuth2>),
}

/// A text that is given in place, or read when it is used; neither printed nor logged.
#[derive(Clone, Default, PartialEq)]
pub enum Secret {
    /// An empty one.
    #[default]
    None,
    Text(String),
    File(PathBuf),
    /// Of a secret store, which there is none of; as in Prometheus it is an error when it is used.
    Reference(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// Who may sign for the server; the system's if there is none.
    pub ca: Secret,
    /// Of the client, with its key.
    pub cert: Secret,
    pub key: Secret,
    /// The name to ask for and to verify, instead of the URL's host.
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    /// As it is written; it may hold a password.
    pub url: Secret,
    /// Hosts that are asked without it.
    pub no_proxy: Option<String>,
    pub from_environment: bool,
    /// Sent with `CONNECT`.
    pub connect_headers: Vec<(String, Vec<Secret>)>,
}

/// Tokens are fetched before requests, and shown as bearer tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2 {
    pub client_id: String,
    pub grant: Grant,
    pub token_url: String,
    pub scopes: Vec<String>,
    pub endpoint_params: Vec<(String, String)>,
    pub tls: TlsConfig,
    pub proxy: ProxyConfig,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// RFC 6749 section 4.4.
    ClientCredentials { secret: Secret },
    /// RFC 7523 section 3.1.
    JwtBearer(JwtBearer),
}

#[derive(Clone, Debug, PartialEq)]
pub struct JwtBearer {
    /// An RSA key in PEM.
    pub key: Secret,
    pub key_id: Option<String>,
    /// `RS256`, `RS384` or `RS512`.
    pub algorithm: String,
    /// Empty for the client's id.
    pub issuer: String,
    /// Empty for the token's URL.
    pub audience: String,
    /// Set over the standard ones.
    pub claims: Vec<(String, Json)>,
}

impl HttpConfig {
    /// Of a section that was checked.
    pub(super) fn read(node: &Node) -> Self {
        Self {
            authorization: Authorization::read(node),
            tls: section(node, "tls_config").map(TlsConfig::read).unwrap_or_default(),
            no_redirects: !values::is_true(node, "follow_redirects", true),
            no_http2: !values::is_true(node, "enable_http2", true),
            headers: headers(node),
            proxy: ProxyConfig::read(node),
        }
    }
}

impl Authorization {
    fn read(node: &Node) -> Self {
        if let Some(basic) = section(node, "basic_auth") {
            return Authorization::Basic {
                username: Secret::read(basic, "username"),
                password: Secret::read(basic, "password"),
            };
        }
        if let Some(given) = section(node, "authorization") {
            let scheme = text(given, "type").map(str::trim).filter(|scheme| !scheme.is_empty());
            return Authorization::Header {
                scheme: scheme.unwrap_or("Bearer").to_string(),
                credentials: Secret::read(given, "credentials"),
            };
        }
        if let Some(oauth2) = section(node, "oauth2") {
            return Authorization::OAuth2(Box::new(OAuth2::read(oauth2)));
        }
        match Secret::read(node, "bearer_token") {
            Secret::None => Authorization::None,
            credentials => Authorization::Header { scheme: "Bearer".to_string(), credentials },
        }
    }
}

impl Secret {
    /// From `KEY`, `KEY_file` or `KEY_ref`, of which one is set.
    pub(super) fn read(node: &Node, key: &str) -> Self {
        let given = |suffix: &str| values::text(node, &format!("{key}{suffix}")).map(str::to_string);
        given("")
            .map(Secret::Text)
            .or_else(|| given("_file").map(|path| Secret::File(path.into())))
            .or_else(|| given("_ref").map(Secret::Reference))
            .unwrap_or_default()
    }

    pub fn is_none(&self) -> bool {
        *self == Secret::None
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::None => f.write_str("none"),
            Secret::Text(_) => f.write_str("<secret>"),
            Secret::File(path) => write!(f, "file {}", path.display()),
            Secret::Reference(name) => write!(f, "ref {name}"),
        }
    }
}

impl TlsConfig {
    pub(super) fn read(node: &Node) -> Self {
        Self {
            ca: Secret::read(node, "ca"),
            cert: Secret::read(node, "cert"),
            key: Secret::read(node, "key"),
            server_name: values::text(node, "server_name").map(str::to_string),
            insecure_skip_verify: values::is_true(node, "insecure_skip_verify", false),
            min_version: values::text(node, "min_version").and_then(TlsVersion::parse),
            max_version: values::text(node, "max_version").and_then(TlsVersion::parse),
        }
    }
}

impl TlsVersion {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let all = [TlsVersion::Tls10, TlsVersion::Tls11, TlsVersion::Tls12, TlsVersion::Tls13];
        TLS_VERSIONS.iter().position(|known| *known == name).map(|position| all[position])
    }
}

impl ProxyConfig {
    fn read(node: &Node) -> Self {
        let connect = node.get("proxy_connect_header").map(Node::entries).unwrap_or_default();
        let secrets = |node: &Node| node.items().iter().filter_map(Node::text).map(inline).collect();
        Self {
            url: values::text(node, "proxy_url").map(inline).unwrap_or_default(),
            no_proxy: values::text(node, "no_proxy").map(str::to_string),
            from_environment: values::is_true(node, "proxy_from_environment", false),
            connect_headers: connect.iter().map(|(name, node)| (name.text.clone(), secrets(node))).collect(),
        }
    }
}

impl OAuth2 {
    fn read(node: &Node) -> Self {
        let owned = |key: &str| values::text(node, key).unwrap_or_default().to_string();
        let map = |key: &str| node.get(key).map(Node::entries).unwrap_or_default();
        let grant = if owned("grant_type") == JWT_BEARER {
            let algorithm = Some(owned("signature_algorithm")).filter(|name| !name.is_empty());
            Grant::JwtBearer(JwtBearer {
                key: Secret::read(node, "client_certificate_key"),
                key_id: values::text(node, "client_certificate_key_id").map(str::to_string),
                algorithm: algorithm.unwrap_or_else(|| "RS256".to_string()),
                issuer: owned("iss"),
                audience: owned("audience"),
                claims: map("claims").iter().map(|(name, node)| (name.text.clone(), json(node))).collect(),
            })
        } else {
            Grant::ClientCredentials { secret: Secret::read(node, "client_secret") }
        };
        let params = map("endpoint_params").iter();
        Self {
            client_id: owned("client_id"),
            grant,
            token_url: owned("token_url"),
            scopes: node
                .get("scopes")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .filter_map(Node::text)
                .map(String::from)
                .collect(),
            endpoint_params: params
                .map(|(name, node)| (name.text.clone(), node.text().unwrap_or_default().to_string()))
                .collect(),
            tls: section(node, "tls_config").map(TlsConfig::read).unwrap_or_default(),
            proxy: ProxyConfig::read(node),
        }
    }
}

fn headers(node: &Node) -> Vec<(String, Vec<Secret>)> {
    let all = node.get("http_headers").map(Node::entries).unwrap_or_default();
    let values = |node: &Node| {
        let list = |key: &str| node.get(key).map(Node::items).unwrap_or_default().iter().filter_map(Node::text);
        let inlined = list("values").chain(list("secrets")).map(inline);
        inlined.chain(list("files").map(|path| Secret::File(path.into()))).collect()
    };
    all.iter().map(|(name, node)| (name.text.clone(), values(node))).collect()
}

fn inline(text: &str) -> Secret {
    Secret::Text(text.to_string())
}

/// A section that says something; one without a value says nothing.
pub(super) fn section<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.get(key).filter(|node| !node.is_null())
}

/// A claim as a token has it.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar(scalar) => match (scalar.bool(), scalar.integer(), scalar.float()) {
            (Some(given), ..) => given.into(),
            (_, Some(number), _) => number.into(),
            (_, _, Some(number)) => number.into(),
            _ => scalar.text.clone().into(),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect())
        }
    }
}

/// Whether there is more than an empty text or nothing.
pub(super) fn is_set(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|node| !node.is_null() && node.text() != Some(""))
}

pub(super) fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key)?.text()
}

pub(super) fn is_true(node: &Node) -> bool {
    matches!(&node.value, crate::config::yaml::Value::Scalar(scalar) if scalar.bool() == Some(true))
}

/// Where a key is, or its section where it is not.
pub(super) fn line_of(node: &Node, key: &str) -> usize {
    node.get(key).map_or(node.line, |node| node.line)
}
