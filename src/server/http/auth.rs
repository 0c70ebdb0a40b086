//! Whether a request is heard at all, as the web configuration file has it: the rate, then user and password (RFC 7617),
//! for every path. The answers are those of Prometheus' exporter-toolkit.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::engine::sql::system::NOT_BY_MATCHERS;
use crate::server::access::door::{Access, Challenged, Grant, Method, Password, Role, Rules, Way};
use crate::server::http::bodies::retry_later;
use crate::server::http::envelope::text_response;
use crate::server::http::via::Via;

/// What whoever asks was given, an extension of the request; nothing where there are no roles.
#[derive(Clone, Debug)]
pub struct Granted {
    pub user: Arc<str>,
    pub grant: Arc<Grant>,
}

/// What the file says where the request may go on, and what whoever asks was given; or the answer where it may not.
/// `via` is how it came, if that is known.
pub async fn admit(
    access: &Access,
    via: Option<&Via>,
    headers: &HeaderMap,
) -> Result<(Option<Arc<Rules>>, Option<Granted>), Response> {
    let closed = |_| text_response(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n");
    let Some(rules) = access.rules().await.map_err(closed)? else { return Ok((None, None)) };
    if !rules.allows_request() {
        return Err(text_response(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n"));
    }
    if rules.is_open() {
        return Ok((Some(rules), None));
    }
    let told = credentials(headers);
    let client = via.and_then(|via| via.client).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    match without_password(&rules, via, client, told.as_ref().map(|(user, _)| user.as_slice())) {
        Known::Asked => {}
        Known::Is(granted) => return Ok((Some(rules), granted)),
        Known::Refused => {
            let mut refusal = text_response(StatusCode::FORBIDDEN, "Forbidden: no rule of access lets this in\n");
            decorate(&mut refusal, &rules);
            return Err(refusal);
        }
    }
    let verdict = match &told {
        Some((user, password)) => access.check_password(&rules, client, user, password).await,
        None => Password::Wrong,
    };
    let mut refusal = match verdict {
        Password::Right => {
            let user = told.map(|(user, _)| user).unwrap_or_default();
            let granted = granted(&rules, &user);
            return Ok((Some(rules), granted));
        }
        Password::Busy => {
            let text = "too many passwords are being checked, try again\n";
            retry_later(text_response(StatusCode::SERVICE_UNAVAILABLE, text))
        }
        Password::Wrong => {
            let mut refusal = text_response(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
            refusal
        }
    };
    decorate(&mut refusal, &rules);
    Err(refusal)
}

/// What is known of a client before a password is looked at.
enum Known {
    /// It has to tell its password.
    Asked,
    Is(Option<Granted>),
    Refused,
}

/// By the rules of access, where there are some.
fn without_password(rules: &Rules, via: Option<&Via>, client: IpAddr, user: Option<&[u8]>) -> Known {
    let shown = via.and_then(|via| via.shown.as_deref());
    let names = shown.map_or(&[][..], |shown| &shown.names[..]);
    let (way, user) = match user {
        Some(user) => (rules.way(client, shown.is_some(), user), user.to_vec()),
        None => match rules.way_of_nobody(client, shown.is_some(), names) {
            Some((way, name)) => (Some(way), name.unwrap_or_default().into_bytes()),
            None => (None, vec![]),
        },
    };
    match way {
        None => Known::Asked,
        Some(Way::By(Method::Password)) => Known::Asked,
        // HTTP has nothing but the password itself; of one without a verifier none is right.
        Some(Way::By(Method::Scram)) => match rules.ask(&user) {
            Challenged::Password if !user.is_empty() => Known::Refused,
            _ => Known::Asked,
        },
        Some(Way::By(Method::Trust)) if user.is_empty() && rules.has_roles() => Known::Asked,
        Some(Way::By(Method::Trust)) if user.is_empty() || rules.knows(&user) => Known::Is(granted(rules, &user)),
        Some(Way::By(Method::Cert)) if names.iter().any(|name| name.as_bytes() == user) && rules.knows(&user) => {
            Known::Is(granted(rules, &user))
        }
        Some(Way::By(Method::Trust | Method::Cert | Method::Reject) | Way::NoRule) => Known::Refused,
    }
}

fn granted(rules: &Rules, user: &[u8]) -> Option<Granted> {
    let grant = Arc::new(rules.grant(user)?);
    Some(Granted { user: String::from_utf8_lossy(user).into(), grant })
}

/// The answer to a request of one whose role is too low for it.
pub fn refuse_role(granted: Option<&Granted>, needed: Role) -> Option<Response> {
    let Granted { grant, .. } = granted.filter(|granted| granted.grant.role < needed)?;
    let text =
        format!("permission denied: this takes the role {needed}, and the user has the role {}\n", grant.role);
    Some(text_response(StatusCode::FORBIDDEN, text))
}

/// The answer to a request of one who may see some series only, where it would be about other things as well.
pub fn refuse_limits(granted: Option<&Granted>, within_limits: bool) -> Option<Response> {
    granted.filter(|granted| granted.grant.allowed.metrics.is_some() && !within_limits)?;
    let text = format!("permission denied: {NOT_BY_MATCHERS}\n");
    Some(text_response(StatusCode::FORBIDDEN, text))
}

/// Gives an answer the headers that every one has.
pub fn decorate(response: &mut Response, rules: &Rules) {
    for (name, value) in &rules.headers {
        // The file's check has let nothing else pass.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// User and password of `Authorization: Basic`, whatever bytes they have. Of several headers the first counts, as in Go.
fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = STANDARD.decode(encoded).ok()?;
    let colon = memchr::memchr(b':', &user)?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some((user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks() {
        let check = |value: &[u8], expected: Option<(&[u8], &[u8])>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            let expected = expected.map(|(user, password)| (user.to_vec(), password.to_vec()));
            assert_eq!(credentials(&headers), expected, "{value:?}");
        };
        check(b"Basic YWRhOm9uZQ==", Some((b"ada", b"one")));
        check(b"bASIC YWRhOm9uZQ==", Some((b"ada", b"one")));
        // Only the first colon divides.
        check(b"Basic YTpiOmM=", Some((b"a", b"b:c")));
        check(b"Basic Og==", Some((b"", b"")));
        check(b"Basic YTr/AA==", Some((b"a", b"\xff\0")));
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic YWRh",
            "Basic YWRhOm9uZQ",
            "Basic !!!!",
            "Bearer YWRhOm9uZQ==",
            "YWRhOm9uZQ==",
        ] {
            check(wrong.as_bytes(), None);
        }
        check("Bäsic é".as_bytes(), None);
        assert_eq!(credentials(&HeaderMap::new()), None);
    }
}
