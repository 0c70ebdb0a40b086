//! Requests to Amazon's APIs: in which region, as whom, and signed.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use url::form_urlencoded;

use crate::client::Request;
use crate::config::discovery::settings::Settings;
use crate::config::http::HttpConfig;
use crate::discovery::api::{Answer, Api};
use crate::discovery::kinds::aws::credentials::{Chain, Credentials, Found};
use crate::discovery::kinds::aws::sign::{Scope, sign};
use crate::discovery::way::Context;
use crate::discovery::xml::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::store::Clock;

/// Who asks: keys, and where they come from.
mod credentials;
/// Signature Version 4.
mod sign;

const STS_VERSION: &str = "2011-06-15";
/// How long before they expire new credentials are fetched.
const EARLY_MS: i64 = 5 * 60 * 1000;

/// An account, in a region.
pub(super) struct Account {
    http: HttpConfig,
    timeout: Duration,
    clock: Clock,
    chain: Chain,
    region: String,
    endpoint: String,
    role_arn: String,
    external_id: String,
    kept: Option<Found>,
    /// By base URL: that of the service, and of the one that gives roles.
    apis: HashMap<String, Api>,
}

impl Account {
    pub(super) fn new(settings: &Settings<'_>, context: &Context, timeout: Duration) -> Self {
        let text = |key| settings.text(key).to_string();
        Self {
            http: settings.http(),
            timeout,
            clock: context.clock.clone(),
            chain: Chain::new([&text("access_key"), &text("secret_key"), &text("profile")], context),
            region: text("region"),
            endpoint: text("endpoint"),
            role_arn: text("role_arn"),
            external_id: text("external_id"),
            kept: None,
            apis: HashMap::new(),
        }
    }

    /// The configured one, or that of the environment, the profile or the machine.
    pub(super) async fn region(&mut self) -> Result<String> {
        if self.region.is_empty() {
            let found = self.chain.region().await;
            self.region = found.map_err(|error| {
                Error::new(ErrorKind::Unavailable, "could not determine AWS region").with_source(error)
            })?;
        }
        Ok(self.region.clone())
    }

    /// Asks a service for something; the root of its answer.
    pub(super) async fn ask(&mut self, service: &str, form: &[(String, String)]) -> Result<Element> {
        let region = self.region().await?;
        let base = match self.endpoint.as_str() {
            "" => endpoint(service, &region),
            configured => configured.to_string(),
        };
        let credentials = self.credentials(&region).await?;
        let answer = self.post(&base, service, &region, Some(&credentials), form).await?;
        let result = checked(&answer);
        if result.is_err() && matches!(answer.status.as_u16(), 401 | 403) {
            self.kept = None;
        }
        result
    }

    /// Those of the role, if there is one.
    async fn credentials(&mut self, region: &str) -> Result<Credentials> {
        let now = (self.clock)();
        if let Some(kept) = &self.kept
            && kept.expires_ms.is_none_or(|expires| expires - EARLY_MS > now)
        {
            return Ok(kept.credentials.clone());
        }
        let found = match self.chain.find().await? {
            credentials::Source::Keys(found) => found,
            credentials::Source::WebIdentity { role_arn, session, token } => {
                let form = form(&[
                    ("Action", "AssumeRoleWithWebIdentity"),
                    ("Version", STS_VERSION),
                    ("RoleArn", &role_arn),
                    ("RoleSessionName", &session),
                    ("WebIdentityToken", &token),
                ]);
                self.assume(region, None, &form).await?
            }
        };
        let found =
            if self.role_arn.is_empty() { found } else { self.assume_role(region, &found.credentials).await? };
        let credentials = found.credentials.clone();
        self.kept = Some(found);
        Ok(credentials)
    }

    async fn assume_role(&mut self, region: &str, as_whom: &Credentials) -> Result<Found> {
        let session = format!("promlake-{}", (self.clock)());
        let mut pairs = vec![
            ("Action", "AssumeRole"),
            ("Version", STS_VERSION),
            ("RoleArn", self.role_arn.as_str()),
            ("RoleSessionName", session.as_str()),
        ];
        if !self.external_id.is_empty() {
            pairs.push(("ExternalId", &self.external_id));
        }
        self.assume(region, Some(as_whom), &form(&pairs)).await
    }

    async fn assume(
        &mut self,
        region: &str,
        as_whom: Option<&Credentials>,
        form: &[(String, String)],
    ) -> Result<Found> {
        let base = match self.chain.sts_endpoint() {
            Some(configured) => configured,
            None => endpoint("sts", region),
        };
        let answer = self.post(&base, "sts", region, as_whom, form).await?;
        let root = checked(&answer)
            .map_err(|error| Error::new(ErrorKind::Unavailable, "could not assume the role").with_source(error))?;
        credentials::of_sts(&root)
    }

    async fn post(
        &mut self,
        base: &str,
        service: &str,
        region: &str,
        as_whom: Option<&Credentials>,
        form: &[(String, String)],
    ) -> Result<Answer> {
        if !self.apis.contains_key(base) {
            let api = Api::new(&self.http, base, self.timeout, &self.clock)?;
            self.apis.insert(base.to_string(), api);
        }
        let api = &self.apis[base];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(api.url("", &[]), Bytes::from(body));
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        request.headers.insert(CONTENT_TYPE, form_type);
        if let Some(credentials) = as_whom {
            sign(&mut request, credentials, &Scope { region, service, time_ms: (self.clock)() })?;
        }
        api.exchange(request, self.timeout).await
    }
}

pub(super) fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn endpoint(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{suffix}/")
}

/// The root of a good answer, or what a bad one says: `CODE: MESSAGE`.
fn checked(answer: &Answer) -> Result<Element> {
    if answer.status.is_success() {
        return Element::parse(&answer.body);
    }
    let status = answer.status;
    let told = Element::parse(&answer.body).ok().and_then(|root| {
        let error = root.items("Errors").next().or_else(|| root.child("Error"))?;
        Some(format!("{}: {}", error.text_of("Code")?, error.text_of("Message").unwrap_or_default()))
    });
    let told =
        told.map_or_else(|| format!("server returned HTTP status {status}"), |told| format!("{told} ({status})"));
    Err(Error::new(ErrorKind::Unavailable, told))
}
