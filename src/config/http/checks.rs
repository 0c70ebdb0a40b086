//! What does not go together in a section that says how requests are sent.

use crate::config::http::{JWT_BEARER, TLS_VERSIONS, is_set, is_true, line_of, text};
use crate::config::mistake::Found;
use crate::config::schema::below;
use crate::config::yaml::Node;

/// Headers that a request has anyway, in the form that Go gives names.
const RESERVED_HEADERS: &[&str] = &[
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// Puts what does not go together into `found`. `others` are further ways to authorize that this client has.
pub fn check(node: &Node, path: &str, others: &[&str], found: &Found) {
    check_authorization(node, path, others, found);
    if let Some(tls) = node.get("tls_config") {
        check_tls(tls, &below(path, "tls_config"), found);
    }
    if let Some(oauth2) = node.get("oauth2").filter(|node| !node.is_null()) {
        check_oauth2(oauth2, &below(path, "oauth2"), found);
    }
    check_proxy(node, path, found);
    for (name, _) in node.get("http_headers").map(Node::entries).unwrap_or_default() {
        if RESERVED_HEADERS.iter().any(|reserved| reserved.eq_ignore_ascii_case(&name.text)) {
            let path = below(path, "http_headers");
            found.add(name.line, &path, format!("setting header {:?} is not allowed", name.text));
        }
    }
    if is_set(node, "basic_auth") || is_set(node, "authorization") || is_set(node, "oauth2") {
        return;
    }
    let exclusive = ["bearer_token", "bearer_token_file"];
    at_most_one(
        node,
        path,
        &exclusive,
        "at most one of bearer_token & bearer_token_file must be configured",
        found,
    );
}

fn check_authorization(node: &Node, path: &str, others: &[&str], found: &Found) {
    let bearer = ["bearer_token", "bearer_token_file"];
    let ways: Vec<&str> =
        ["basic_auth", "authorization", "oauth2"].into_iter().chain(others.iter().copied()).collect();
    let used: Vec<&str> = ways.iter().copied().filter(|key| is_set(node, key)).collect();
    if let [_, second, ..] = used.as_slice() {
        let message = match others {
            [] => "at most one of basic_auth, oauth2 & authorization must be configured".to_string(),
            others => format!(
                "at most one of basic_auth, authorization, oauth2, & {} must be configured",
                others.join(", ")
            ),
        };
        found.add(line_of(node, second), &below(path, second), message);
    }
    if let Some(token) = bearer.iter().find(|key| is_set(node, key))
        && !used.is_empty()
    {
        let message = match used[0] {
            "authorization" => "authorization is not compatible with bearer_token & bearer_token_file",
            _ => "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        };
        found.add(line_of(node, token), &below(path, token), message);
    }
    if let Some(basic) = node.get("basic_auth") {
        let path = below(path, "basic_auth");
        let users = ["username", "username_file", "username_ref"];
        at_most_one(
            basic,
            &path,
            &users,
            "at most one of basic_auth username, username_file & username_ref must be configured",
            found,
        );
        let passwords = ["password", "password_file", "password_ref"];
        at_most_one(
            basic,
            &path,
            &passwords,
            "at most one of basic_auth password, password_file & password_ref must be configured",
            found,
        );
    }
    if let Some(authorization) = node.get("authorization") {
        let path = below(path, "authorization");
        let credentials = ["credentials", "credentials_file", "credentials_ref"];
        let message =
            "at most one of authorization credentials & credentials_file & credentials_ref must be configured";
        at_most_one(authorization, &path, &credentials, message, found);
        if text(authorization, "type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("basic")) {
            let message = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
            found.add(line_of(authorization, "type"), &below(&path, "type"), message);
        }
    }
}

pub fn check_tls(node: &Node, path: &str, found: &Found) {
    for [inline, file, reference] in
        [["ca", "ca_file", "ca_ref"], ["cert", "cert_file", "cert_ref"], ["key", "key_file", "key_ref"]]
    {
        let message = format!("at most one of {inline}, {file} & {reference} must be configured");
        at_most_one(node, path, &[inline, file, reference], &message, found);
    }
    let has = |what: &str| {
        [what.to_string(), format!("{what}_file"), format!("{what}_ref")].iter().any(|k| is_set(node, k))
    };
    match (has("cert"), has("key")) {
        (true, false) => found.add(
            node.line,
            path,
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
        (false, true) => found.add(
            node.line,
            path,
            "exactly one of cert or cert_file must be configured when a client key is configured",
        ),
        _ => {}
    }
    let place = |key: &str| text(node, key).and_then(|text| TLS_VERSIONS.iter().position(|known| *known == text));
    if let (Some(least), Some(most)) = (place("min_version"), place("max_version"))
        && most < least
    {
        let message =
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified";
        found.add(line_of(node, "max_version"), &below(path, "max_version"), message);
    }
}

fn check_oauth2(node: &Node, path: &str, found: &Found) {
    for key in ["client_id", "token_url"] {
        if !is_set(node, key) {
            found.add(node.line, path, format!("oauth2 {key} must be configured"));
        }
    }
    if text(node, "grant_type") == Some(JWT_BEARER) {
        let keys = ["client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref"];
        let message = format!(
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref \
             must be configured using grant-type={JWT_BEARER}"
        );
        at_most_one(node, path, &keys, &message, found);
        if text(node, "signature_algorithm").is_some_and(|name| !["", "RS256", "RS384", "RS512"].contains(&name)) {
            let message = "valid signature algorithms are RS256, RS384 and RS512";
            found.add(line_of(node, "signature_algorithm"), &below(path, "signature_algorithm"), message);
        }
    } else {
        let secrets = ["client_secret", "client_secret_file", "client_secret_ref"];
        let message = "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using \
             grant-type=client_credentials";
        at_most_one(node, path, &secrets, message, found);
    }
    if let Some(tls) = node.get("tls_config") {
        check_tls(tls, &below(path, "tls_config"), found);
    }
    check_proxy(node, path, found);
}

fn check_proxy(node: &Node, path: &str, found: &Found) {
    let from_environment = node.get("proxy_from_environment").is_some_and(is_true);
    let add = |key: &str, message: &str| found.add(line_of(node, key), &below(path, key), message);
    if from_environment && is_set(node, "proxy_url") {
        add("proxy_url", "if proxy_from_environment is configured, proxy_url must not be configured");
    }
    if from_environment && is_set(node, "no_proxy") {
        add("no_proxy", "if proxy_from_environment is configured, no_proxy must not be configured");
    }
    if !is_set(node, "proxy_url") && is_set(node, "no_proxy") && !from_environment {
        add("no_proxy", "if no_proxy is configured, proxy_url must also be configured");
    }
    let connects = node.get("proxy_connect_header").is_some_and(|node| !node.entries().is_empty());
    if connects && !is_set(node, "proxy_url") && !from_environment {
        add(
            "proxy_connect_header",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        );
    }
}

fn at_most_one(node: &Node, path: &str, keys: &[&str], message: &str, found: &Found) {
    let set: Vec<&&str> = keys.iter().filter(|key| is_set(node, key)).collect();
    if let [_, second, ..] = set.as_slice() {
        found.add(line_of(node, second), &below(path, second), message);
    }
}
