//! Who asks Amazon's APIs: the keys of the entry, or what the machine has for its programs, in the order of Amazon's own
//! libraries: a profile that the entry names, the environment, a web identity (as Kubernetes gives one), the default
//! profile, the container, the machine.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::client::Request;
use crate::client::secrets::read_file;
use crate::config::http::HttpConfig;
use crate::discovery::api::Api;
use crate::discovery::way;
use crate::discovery::xml::Element;
use crate::error::{Context, Error, ErrorKind, Result};

const TIMEOUT: Duration = Duration::from_secs(5);
const MACHINE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
const TOKEN_LIFE: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// Never shown.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// Of a session; empty for keys that last.
    pub(super) token: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) credentials: Credentials,
    /// Milliseconds since the epoch.
    pub(super) expires_ms: Option<i64>,
}

/// What there is.
#[derive(Debug)]
pub(super) enum Source {
    Keys(Found),
    /// To be exchanged for keys.
    WebIdentity {
        role_arn: String,
        session: String,
        token: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

pub(super) struct Chain {
    configured: Option<Credentials>,
    /// The one that the entry names, or empty.
    profile: String,
    context: way::Context,
}

/// Keys of a container or a machine.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    token: String,
    expiration: Option<String>,
}

impl Session {
    fn found(self) -> Found {
        Found {
            credentials: Credentials {
                access_key: self.access_key_id,
                secret_key: self.secret_access_key,
                token: self.token,
            },
            expires_ms: self.expiration.as_deref().and_then(time),
        }
    }
}

fn time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// The keys in an answer of the service that gives roles.
pub(super) fn of_sts(root: &Element) -> Result<Found> {
    let result = root.children.iter().find(|child| child.name.ends_with("Result"));
    let keys = result.and_then(|result| result.child("Credentials"));
    let keys = keys.ok_or_else(|| Error::bad_input("the answer has no credentials"))?;
    let text = |name| keys.text_of(name).unwrap_or_default().to_string();
    let credentials = Credentials {
        access_key: text("AccessKeyId"),
        secret_key: text("SecretAccessKey"),
        token: text("SessionToken"),
    };
    Ok(Found { credentials, expires_ms: keys.text_of("Expiration").and_then(time) })
}

impl Chain {
    pub(super) fn new([access_key, secret_key, profile]: [&str; 3], context: &way::Context) -> Self {
        let configured = (!access_key.is_empty() && !secret_key.is_empty()).then(|| Credentials {
            access_key: access_key.to_string(),
            secret_key: secret_key.to_string(),
            token: String::new(),
        });
        Self { configured, profile: profile.to_string(), context: context.clone() }
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.context.env)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn sts_endpoint(&self) -> Option<String> {
        self.env("AWS_ENDPOINT_URL_STS")
    }

    pub(super) async fn find(&self) -> Result<Source> {
        if let Some(credentials) = &self.configured {
            return Ok(Source::Keys(lasting(credentials.clone())));
        }
        if !self.profile.is_empty() {
            let found = self.of_profile()?;
            return found
                .map(Source::Keys)
                .ok_or_else(|| Error::bad_input(format!("profile {:?} has no keys", self.profile)));
        }
        if let (Some(access_key), Some(secret_key)) =
            (self.env("AWS_ACCESS_KEY_ID"), self.env("AWS_SECRET_ACCESS_KEY"))
        {
            let token = self.env("AWS_SESSION_TOKEN").unwrap_or_default();
            return Ok(Source::Keys(lasting(Credentials { access_key, secret_key, token })));
        }
        if let (Some(file), Some(role_arn)) = (self.env("AWS_WEB_IDENTITY_TOKEN_FILE"), self.env("AWS_ROLE_ARN")) {
            let token = read_file(Path::new(&file)).map_err(|why| Error::new(ErrorKind::Unavailable, why))?;
            let token = token.trim().to_string();
            let session = self.env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "promlake".to_string());
            return Ok(Source::WebIdentity { role_arn, session, token });
        }
        if let Some(found) = self.of_profile()? {
            return Ok(Source::Keys(found));
        }
        if let Some(found) = self.of_container().await? {
            return Ok(Source::Keys(found));
        }
        let found = self.of_machine().await.map_err(|error| {
            let message = "no AWS credentials: none in the configuration, the environment, a profile or the machine's metadata";
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        })?;
        Ok(Source::Keys(found))
    }

    pub(super) async fn region(&self) -> Result<String> {
        if let Some(region) = self.env("AWS_REGION").or_else(|| self.env("AWS_DEFAULT_REGION")) {
            return Ok(region);
        }
        if let Some(region) = self.profile_values()?.remove("region") {
            return Ok(region);
        }
        let machine = self.machine()?;
        let answer = machine.get("latest/meta-data/placement/region").await?;
        Ok(answer.trim().to_string())
    }

    /// The values of a profile in the files for credentials and for the rest, none where there is no file.
    fn profile_values(&self) -> Result<HashMap<String, String>> {
        let named = match self.profile.as_str() {
            "" => self.env("AWS_PROFILE"),
            profile => Some(profile.to_string()),
        };
        let profile = named.as_deref().unwrap_or("default");
        let home = self.env("HOME").map(PathBuf::from).unwrap_or_default();
        let file = |name: &str, default: &str| self.env(name).map_or_else(|| home.join(default), PathBuf::from);
        let mut values = HashMap::new();
        let mut is_there = false;
        for (path, prefix) in [
            (file("AWS_CONFIG_FILE", ".aws/config"), "profile "),
            (file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), ""),
        ] {
            let Ok(text) = read_file(Path::new(&path)) else { continue };
            let section = if profile == "default" { profile.to_string() } else { format!("{prefix}{profile}") };
            if let Some(of_file) = section_of(&text, &section) {
                is_there = true;
                values.extend(of_file);
            }
        }
        if named.is_some() && !is_there {
            return Err(Error::bad_input(format!("failed to get shared config profile, {profile}")));
        }
        Ok(values)
    }

    fn of_profile(&self) -> Result<Option<Found>> {
        let mut values = self.profile_values()?;
        let mut take = |key: &str| values.remove(key).unwrap_or_default();
        let (access_key, secret_key) = (take("aws_access_key_id"), take("aws_secret_access_key"));
        let token = take("aws_session_token");
        if !access_key.is_empty() && !secret_key.is_empty() {
            return Ok(Some(lasting(Credentials { access_key, secret_key, token })));
        }
        const OTHERS: [&str; 5] =
            ["credential_process", "sso_session", "sso_start_url", "source_profile", "credential_source"];
        match OTHERS.into_iter().find(|key| values.contains_key(*key)) {
            Some(key) => Err(Error::unsupported(format!(
                "the profile has {key}, which is not supported; give it keys, and the entry its role_arn"
            ))),
            None => Ok(None),
        }
    }

    /// What ECS and EKS give to containers.
    async fn of_container(&self) -> Result<Option<Found>> {
        let base = match (
            self.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            self.env("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(relative), _) => format!("{CONTAINER}{relative}"),
            (None, Some(full)) => full,
            (None, None) => return Ok(None),
        };
        let api = Api::new(&HttpConfig::default(), &base, TIMEOUT, &self.context.clock)?;
        let token = match self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => {
                let text = read_file(Path::new(&file)).map_err(|why| Error::new(ErrorKind::Unavailable, why))?;
                Some(text.trim().to_string())
            }
            None => self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let api = match token {
            Some(token) => api.with_header("authorization", &token)?,
            None => api,
        };
        Ok(Some(api.json::<Session>("", &[]).await?.found()))
    }

    fn machine(&self) -> Result<Machine> {
        if self.env("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err(Error::bad_input("the machine's metadata is disabled by AWS_EC2_METADATA_DISABLED"));
        }
        let base = self.env("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| MACHINE.to_string());
        Ok(Machine(Api::new(&HttpConfig::default(), &base, TIMEOUT, &self.context.clock)?))
    }

    async fn of_machine(&self) -> Result<Found> {
        const PATH: &str = "latest/meta-data/iam/security-credentials/";
        let machine = self.machine()?;
        let roles = machine.get(PATH).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let text = machine.get(&format!("{PATH}{role}")).await?;
        let wrong = || format!("reading the credentials of the machine's role {role}");
        let session: Session = serde_json::from_str(&text).context(ErrorKind::Unavailable, wrong)?;
        Ok(session.found())
    }
}

fn lasting(credentials: Credentials) -> Found {
    Found { credentials, expires_ms: None }
}

/// The metadata of the machine we run on, version 2: a token first.
struct Machine(Api);

impl Machine {
    async fn get(&self, path: &str) -> Result<String> {
        let mut request = Request::get(self.0.url("latest/api/token", &[]));
        request.method = Method::PUT;
        request.headers.insert(TOKEN_LIFE, HeaderValue::from_static("300"));
        let token = self.0.exchange(request, TIMEOUT).await?.good()?;
        let mut request = Request::get(self.0.url(path, &[]));
        let mut value = HeaderValue::from_bytes(&token.body).map_err(|_| Error::bad_input("the token is none"))?;
        value.set_sensitive(true);
        request.headers.insert(TOKEN, value);
        let answer = self.0.exchange(request, TIMEOUT).await?.good()?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// The values of `[SECTION]` in an INI file.
fn section_of(text: &str, section: &str) -> Option<HashMap<String, String>> {
    let mut values = None;
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) =
            trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name.trim())
        {
            inside = name == section;
            if inside {
                values.get_or_insert_with(HashMap::new);
            }
        } else if inside
            && !trimmed.starts_with(['#', ';'])
            // What is set in belongs to the key above.
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            values.get_or_insert_with(HashMap::new).insert(key.trim().to_lowercase(), value.trim().to_string());
        }
    }
    values
}

#[cfg(test)]
#[path = "credentials/tests.rs"]
mod tests;
