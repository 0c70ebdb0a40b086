//! Where the API is, and how it lets us in: by a URL and what the entry says about requests, by a file as `kubectl` has
//! them, or by what each pod finds in its own cluster.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::client::secrets::read_file;
use crate::config::discovery::settings::Settings;
use crate::config::http::{Authorization, HttpConfig, ProxyConfig, Secret, TlsConfig};
use crate::config::yaml::{self, Node};
use crate::discovery::api::Api;
use crate::discovery::way;
use crate::error::{Error, ErrorKind, Result};

/// What a pod finds: its token, which is another one every hour, who signs for the API, and its namespace.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Of a page of a list, or the head of a watch's answer.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Access {
    pub(super) api: Api,
    /// If it is asked for.
    pub(super) own_namespace: Option<String>,
}

pub(super) fn read(settings: &Settings<'_>, own_namespace: bool, context: &way::Context) -> Result<Access> {
    let (server, file) = (settings.text("api_server"), settings.text("kubeconfig_file"));
    let (base, config) = if !file.is_empty() {
        let text = read_file(Path::new(file)).map_err(|why| Error::new(ErrorKind::Unavailable, why))?;
        kubeconfig(&text, Path::new(file)).map_err(|error| Error::bad_input(format!("{file}: {error}")))?
    } else if server.is_empty() {
        in_cluster(context.env)?
    } else {
        (server.to_string(), settings.http())
    };
    let own_namespace = own_namespace.then(namespace_of_pod).transpose()?;
    Ok(Access { api: Api::new(&config, &base, TIMEOUT, &context.clock)?, own_namespace })
}

fn namespace_of_pod() -> Result<String> {
    let path = format!("{ACCOUNT}/namespace");
    let wrong = |why| format!("could not determine the pod's namespace: {why}");
    let text = read_file(Path::new(&path)).map_err(|why| Error::new(ErrorKind::Unavailable, wrong(why)))?;
    match text.trim() {
        "" => Err(Error::bad_input(format!("could not read own namespace name: {path} is empty"))),
        name => Ok(name.to_string()),
    }
}

fn in_cluster(env: fn(&str) -> Option<String>) -> Result<(String, HttpConfig)> {
    let get = |name: &str| env(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (get("KUBERNETES_SERVICE_HOST"), get("KUBERNETES_SERVICE_PORT")) else {
        return Err(Error::bad_input(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be \
             defined; outside of a cluster set api_server or kubeconfig_file",
        ));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let config = HttpConfig {
        authorization: bearer(Secret::File(format!("{ACCOUNT}/token").into())),
        tls: TlsConfig { ca: Secret::File(format!("{ACCOUNT}/ca.crt").into()), ..TlsConfig::default() },
        ..HttpConfig::default()
    };
    Ok((format!("https://{host}:{port}"), config))
}

fn bearer(credentials: Secret) -> Authorization {
    Authorization::Header { scheme: "Bearer".to_string(), credentials }
}

/// The cluster and the user of the current context.
fn kubeconfig(text: &str, file: &Path) -> Result<(String, HttpConfig)> {
    let (root, _) = yaml::parse(text).map_err(|fault| Error::bad_input(fault.message))?;
    let current = value(&root, "current-context");
    let context = named(&root, "contexts", "context", current)?;
    let cluster = named(&root, "clusters", "cluster", value(context, "cluster"))?;
    let server = value(cluster, "server");
    if server.is_empty() {
        return Err(Error::bad_input("the cluster of the current context has no server"));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut config = HttpConfig {
        tls: TlsConfig {
            ca: secret(cluster, "certificate-authority", folder)?,
            server_name: Some(value(cluster, "tls-server-name"))
                .filter(|name| !name.is_empty())
                .map(str::to_string),
            insecure_skip_verify: value(cluster, "insecure-skip-tls-verify") == "true",
            ..TlsConfig::default()
        },
        proxy: ProxyConfig { url: text_secret(value(cluster, "proxy-url")), ..ProxyConfig::default() },
        ..HttpConfig::default()
    };
    let user = value(context, "user");
    if !user.is_empty() {
        let user = named(&root, "users", "user", user)?;
        for key in ["exec", "auth-provider"] {
            if user.get(key).is_some_and(|node| !node.is_null()) {
                return Err(Error::unsupported(format!(
                    "users that log in with {key} are not supported, use a token or a client certificate"
                )));
            }
        }
        config.tls.cert = secret(user, "client-certificate", folder)?;
        config.tls.key = secret(user, "client-key", folder)?;
        config.authorization = authorization(user, folder);
    }
    let server = if server.contains("://") { server.to_string() } else { format!("https://{server}") };
    Ok((server, config))
}

fn authorization(user: &Node, folder: &Path) -> Authorization {
    let (token, file) = (value(user, "token"), value(user, "tokenFile"));
    let (username, password) = (value(user, "username"), value(user, "password"));
    if !file.is_empty() {
        bearer(Secret::File(folder.join(file)))
    } else if !token.is_empty() {
        bearer(text_secret(token))
    } else if !username.is_empty() || !password.is_empty() {
        Authorization::Basic { username: text_secret(username), password: text_secret(password) }
    } else {
        Authorization::None
    }
}

fn text_secret(text: &str) -> Secret {
    if text.is_empty() { Secret::None } else { Secret::Text(text.to_string()) }
}

fn value<'a>(node: &'a Node, key: &str) -> &'a str {
    node.get(key).and_then(Node::text).unwrap_or_default()
}

/// One of a list of `{name: …, KEY: …}`.
fn named<'a>(root: &'a Node, list: &str, key: &str, name: &str) -> Result<&'a Node> {
    let items = root.get(list).map(Node::items).unwrap_or_default();
    let found = items.iter().find(|item| value(item, "name") == name).and_then(|item| item.get(key));
    found.ok_or_else(|| Error::bad_input(format!("there is no {key} {name:?}")))
}

/// What is there as base64, or in a file.
fn secret(node: &Node, key: &str, folder: &Path) -> Result<Secret> {
    let data = value(node, &format!("{key}-data"));
    if data.is_empty() {
        let file = value(node, key);
        return Ok(if file.is_empty() { Secret::None } else { Secret::File(folder.join(file)) });
    }
    let wrong = || Error::bad_input(format!("{key}-data is not base64 of a text"));
    let bytes = BASE64_STANDARD.decode(data.trim()).map_err(|_| wrong())?;
    String::from_utf8(bytes).map(Secret::Text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_and_users_of_a_file() {
        let check = |user: &str, cluster: &str, server: &str, want: &HttpConfig| {
            let text = format!(
                "current-context: here\ncontexts:\n- {{name: other, context: {{cluster: x, user: y}}}}\n\
                 - {{name: here, context: {{cluster: c, user: u}}}}\nclusters:\n- name: c\n  cluster: {{{cluster}}}\n\
                 users:\n- name: u\n  user: {{{user}}}\n"
            );
            let (base, config) = kubeconfig(&text, Path::new("/etc/k/config")).unwrap();
            assert_eq!((base.as_str(), &config), (server, want), "{text}");
        };
        let tls = |tls| HttpConfig { tls, ..HttpConfig::default() };
        let ca = TlsConfig { ca: Secret::File("/etc/k/ca.crt".into()), ..TlsConfig::default() };
        check("", "server: 'https://a:6443', certificate-authority: ca.crt", "https://a:6443", &tls(ca));
        let inline = TlsConfig {
            ca: Secret::Text("ca".to_string()),
            cert: Secret::Text("cert".to_string()),
            key: Secret::Text("key".to_string()),
            server_name: Some("b".to_string()),
            ..TlsConfig::default()
        };
        check(
            "client-certificate-data: Y2VydA==, client-key-data: a2V5",
            "server: 'https://a', certificate-authority-data: Y2E=, tls-server-name: b",
            "https://a",
            &tls(inline),
        );
        let insecure = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
        check("", "server: 'a:1', insecure-skip-tls-verify: true", "https://a:1", &tls(insecure));
        let with = |authorization| HttpConfig { authorization, ..HttpConfig::default() };
        check("token: t", "server: 'http://a'", "http://a", &with(bearer(Secret::Text("t".to_string()))));
        let file = bearer(Secret::File("/run/t".into()));
        check("token: t, tokenFile: /run/t", "server: 'http://a'", "http://a", &with(file));
        let basic = Authorization::Basic { username: text_secret("x"), password: text_secret("y") };
        check("username: x, password: y", "server: 'http://a'", "http://a", &with(basic));
    }

    #[test]
    fn files_that_are_wrong() {
        let check = |text: &str, want: &str| {
            let error = kubeconfig(text, Path::new("config")).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        };
        check("{}", "there is no context \"\"");
        let rest = "contexts: [{name: h, context: {cluster: c, user: u}}]\ncurrent-context: h\n";
        check(rest, "there is no cluster \"c\"");
        check(&format!("{rest}clusters: [{{name: c, cluster: {{}}}}]"), "has no server");
        let cluster = "clusters: [{name: c, cluster: {server: 'http://a'}}]\n";
        check(&format!("{rest}{cluster}"), "there is no user \"u\"");
        let user = |user: &str| format!("{rest}{cluster}users: [{{name: u, user: {{{user}}}}}]");
        check(&user("exec: {command: aws}"), "log in with exec are not supported");
        check(&user("client-key-data: '-'"), "client-key-data is not base64");
    }

    #[test]
    fn the_cluster_around() {
        let (base, config) = in_cluster(|name| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_string()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_string()),
            _ => None,
        })
        .unwrap();
        assert_eq!(base, "https://[fd00::1]:443");
        assert_eq!(config.authorization, bearer(Secret::File(format!("{ACCOUNT}/token").into())));
        let error = in_cluster(|_| None).unwrap_err().to_string();
        assert!(error.contains("KUBERNETES_SERVICE_HOST"), "{error}");
    }
}
