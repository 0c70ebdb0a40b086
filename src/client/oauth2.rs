//! Tokens: one for all requests of a client, fetched before the first of them and again before it expires. While it is
//! fetched the others wait; a failure is not kept, so each request tries anew.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::client::error::{Reason, SendError};
use crate::client::{Client, Clock, Options, Request, basic, header_value, jwt, secrets};
use crate::config::http::{Grant, HttpConfig, JWT_BEARER, OAuth2};
use crate::error::{Error, Result};

/// A token is not used in its last seconds, which it may spend on the way.
const MARGIN_MS: i64 = 10_000;

/// No answer with a token is longer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Of an answer that is an error, as much as people need to see.
const SHOWN_BYTES: usize = 1 << 10;

pub struct Tokens {
    settings: OAuth2,
    url: Url,
    client: Client,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// How this server wants to see the client's secret, once that is known.
    style: Option<Style>,
}

struct Token {
    /// As a request shows it: type and token.
    shown: String,
    /// Milliseconds since the epoch; `None` for one that never does.
    expires_ms: Option<i64>,
    /// The secret or key it was fetched with.
    secret: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Header,
    Body,
}

impl Tokens {
    /// Fails for a URL that is none and for parameters that would replace ours.
    pub fn new(settings: &OAuth2, clock: Clock) -> Result<Self> {
        let url = Url::parse(&settings.token_url)
            .map_err(|e| Error::bad_input(format!("oauth2 token_url {:?}: {e}", settings.token_url)))?;
        let config = HttpConfig {
            tls: settings.tls.clone(),
            proxy: settings.proxy.clone(),
            no_http2: true,
            ..HttpConfig::default()
        };
        let client = Client::new(&config, Options { compressed: true, clock: clock.clone() })?;
        Ok(Self { settings: settings.clone(), url, client, clock, state: Mutex::default() })
    }

    /// The value of `Authorization`.
    pub async fn shown(&self) -> Result<String, Reason> {
        let source = match &self.settings.grant {
            Grant::ClientCredentials { secret } => secret,
            Grant::JwtBearer(jwt) => &jwt.key,
        };
        let secret = secrets::read(source, "oauth2 client secret").await?;
        let mut state = self.state.lock().await;
        let now_ms = (self.clock)();
        if let Some(token) = &state.token
            && token.secret == secret
            && token.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms - MARGIN_MS)
        {
            return Ok(token.shown.clone());
        }
        state.token = None;
        let (shown, expires_in) = match &self.settings.grant {
            Grant::JwtBearer(jwt) => {
                let assertion = jwt::assertion(&self.settings, jwt, &secret, now_ms)?;
                let form = self.form(JWT_BEARER, &[("assertion", &assertion)])?;
                self.fetch(form, None, &[&assertion]).await?
            }
            Grant::ClientCredentials { .. } => self.fetch_with_secret(&mut state, &secret).await?,
        };
        let expires_ms = expires_in.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
        state.token = Some(Token { shown: shown.clone(), expires_ms, secret });
        Ok(shown)
    }

    /// Servers want the client's id and secret in a header, as the standard prefers, or in the body; which of them is found
    /// out by trying.
    async fn fetch_with_secret(&self, state: &mut State, secret: &str) -> Result<(String, Option<i64>), Reason> {
        let id = self.settings.client_id.as_str();
        let styles = state.style.map_or_else(|| vec![Style::Header, Style::Body], |style| vec![style]);
        let mut outcome = Err(Reason::other("oauth2: cannot fetch token"));
        for style in styles {
            let (form, header) = match style {
                Style::Header => {
                    let header = basic(&escaped(id), &escaped(secret));
                    (self.form("client_credentials", &[])?, Some(header))
                }
                Style::Body => {
                    let mut fields = vec![("client_id", id)];
                    fields.extend((!secret.is_empty()).then_some(("client_secret", secret)));
                    (self.form("client_credentials", &fields)?, None)
                }
            };
            outcome = self.fetch(form, header.as_deref(), &[secret]).await;
            if outcome.is_ok() {
                state.style = Some(style);
                break;
            }
        }
        outcome
    }

    /// A body of ours with the configured parameters, of which only the grant's name may replace one.
    fn form(&self, grant: &str, fields: &[(&str, &str)]) -> Result<Bytes, Reason> {
        let scopes = self.settings.scopes.join(" ");
        let mut all = vec![("grant_type", grant)];
        all.extend(fields);
        all.extend((!scopes.is_empty()).then_some(("scope", scopes.as_str())));
        for (name, value) in &self.settings.endpoint_params {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some(known) if name == "grant_type" => known.1 = value,
                Some(_) => return Err(Reason::other(format!("oauth2: cannot overwrite parameter {name:?}"))),
                None => all.push((name, value)),
            }
        }
        Ok(Serializer::new(String::new()).extend_pairs(all).finish().into())
    }

    /// Type and token, and for how many seconds it holds. `hidden` is in no error.
    async fn fetch(
        &self,
        form: Bytes,
        authorization: Option<&str>,
        hidden: &[&str],
    ) -> Result<(String, Option<i64>), Reason> {
        let mut request = Request::post(self.url.clone(), form);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(CONTENT_TYPE, form);
        if let Some(value) = authorization {
            request.headers.insert(AUTHORIZATION, header_value(value, "Authorization")?);
        }
        let failed = |e: SendError| Reason::other(format!("oauth2: cannot fetch token: {e}"));
        // By another way than through a type that would have to know its own size.
        let response = Box::pin(self.client.send(request)).await.map_err(failed)?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        // Some servers are older than the standard, which wants JSON; none that takes assertions is.
        let is_form = matches!(kind.split(';').next(), Some("application/x-www-form-urlencoded" | "text/plain"))
            && matches!(self.settings.grant, Grant::ClientCredentials { .. });
        let body = response.bytes(MAX_ANSWER_BYTES).await.map_err(failed)?;
        let fields = if is_form { of_form(&body) } else { serde_json::from_slice(&body) };
        if !status.is_success() {
            return Err(refused(status, &body, fields.ok().as_ref(), hidden));
        }
        // Neither the text nor what serde says of it, which may repeat a token.
        let fields = fields.map_err(|e| {
            let place = format!("line {}, column {}", e.line(), e.column());
            Reason::other(format!("oauth2: cannot fetch token: the answer is not JSON ({place})"))
        })?;
        of_answer(&fields)
    }
}

fn of_answer(fields: &Json) -> Result<(String, Option<i64>), Reason> {
    let wrong = |why: &str| Reason::other(format!("oauth2: cannot fetch token: {why}"));
    if !fields.is_object() {
        return Err(wrong("the answer is not a JSON object"));
    }
    let token = match fields.get("access_token") {
        Some(Json::String(token)) if !token.is_empty() => token,
        None | Some(Json::Null | Json::String(_)) => {
            return Err(Reason::other("oauth2: server response missing access_token"));
        }
        Some(_) => return Err(wrong("access_token is not a text")),
    };
    let kind = match fields.get("token_type") {
        None | Some(Json::Null) => "",
        Some(Json::String(kind)) => kind,
        Some(_) => return Err(wrong("token_type is not a text")),
    };
    let expires_in = match fields.get("expires_in") {
        None | Some(Json::Null) => None,
        Some(Json::Number(number)) => number.as_f64(),
        Some(Json::String(text)) if text.is_empty() => None,
        Some(Json::String(text)) => Some(text.parse().map_err(|_| wrong("expires_in is not a number"))?),
        Some(_) => return Err(wrong("expires_in is not a number")),
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => kind,
    };
    Ok((format!("{kind} {token}"), expires_in.filter(|seconds| *seconds > 0.0).map(|seconds| seconds as i64)))
}

/// What a server says in the standard's words, or else its answer, without anything secret.
fn refused(status: StatusCode, body: &[u8], fields: Option<&Json>, hidden: &[&str]) -> Reason {
    let hide = |text: &str| {
        let secrets = hidden.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_string(), |text, secret| {
            text.replace(*secret, "<secret>").replace(&escaped(secret), "<secret>")
        })
    };
    let field =
        |name: &str| fields.and_then(|fields| fields.get(name)).and_then(Json::as_str).filter(|s| !s.is_empty());
    if let Some(code) = field("error") {
        let details = [field("error_description"), field("error_uri")].into_iter().flatten();
        let text = details.fold(format!("oauth2: {code:?}"), |text, detail| format!("{text} {detail:?}"));
        return Reason::other(cut(&hide(&text)));
    }
    let tells_token =
        fields.and_then(Json::as_object).is_some_and(|fields| fields.keys().any(|key| key.ends_with("token")));
    let shown = match tells_token {
        true => "<secret>".to_string(),
        false => cut(&hide(&String::from_utf8_lossy(body))),
    };
    Reason::other(format!("oauth2: cannot fetch token: {status}\nResponse: {shown}"))
}

fn cut(text: &str) -> String {
    let end = (0..=text.len().min(SHOWN_BYTES)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    if end < text.len() { format!("{}…", &text[..end]) } else { text.to_string() }
}

fn of_form(body: &[u8]) -> serde_json::Result<Json> {
    let pairs = url::form_urlencoded::parse(body);
    Ok(Json::Object(pairs.map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect()))
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests;
