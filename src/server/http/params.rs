//! Parameters of a request: its query string and, for a form, its body. The rules are those of Go's
//! `Request.FormValue` and of `parseTime`/`parseDuration` in Prometheus' `web/api/v1/api.go`.

use std::borrow::Cow;
use std::num::IntErrorKind;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;

use crate::error::{Error, Result};
use crate::model::sample::TimeRange;
use crate::model::{duration, float};
use crate::promql::strings::quote;
use crate::server::http::bodies::{Held, Unread, retry_later};
use crate::server::http::errors::{ApiError, invalid_parameter};
use crate::server::http::server::Server;
use crate::server::http::{envelope, form, multipart};

/// The largest form body, as Go's `ParseForm` has it.
const MAX_FORM_BYTES: usize = 10 << 20;

/// The most parameters of a request, as Go's `net/url` has it: each takes more memory than its text.
const MAX_PARAMS: usize = 10_000;

/// Names and values in order; those of the body come first.
#[derive(Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
    /// What was wrong first with a pair, which is left out.
    fault: Option<String>,
    /// The body's share of the budget, as its values are here.
    _held: Option<Held>,
}

impl Params {
    /// At most [`MAX_PARAMS`] of them, and what is more is left out; see [`count`].
    pub fn parse(body: &[u8], query: &str) -> Self {
        let parts = body.split(|byte| *byte == b'&').chain(query.as_bytes().split(|byte| *byte == b'&'));
        let mut params = Self::default();
        for part in parts.filter(|part| !part.is_empty()).take(MAX_PARAMS) {
            match form::pair(part) {
                Ok(pair) => params.pairs.push(pair),
                Err(fault) => params.fault = params.fault.or(Some(fault)),
            }
        }
        params
    }

    /// For the few routes on which Prometheus does not go on without a pair that is wrong.
    ///
    /// # Errors
    /// `BadInput` with the first fault in Go's words.
    pub fn checked(&self) -> Result<&Self> {
        match &self.fault {
            None => Ok(self),
            Some(fault) => Err(Error::bad_input(format!("error parsing form values: {fault}"))),
        }
    }

    /// The first value of a name, `""` where it is absent.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// A timestamp in milliseconds that must be given.
    pub fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|e| invalid_parameter(name, e))
    }

    pub fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        self.optional_time(name, default).map_err(|e| invalid_parameter(name, e))
    }

    /// The same, with an error that names the parameter less loudly.
    pub fn optional_time(&self, name: &str, default: i64) -> Result<i64> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text)
                .map_err(|e| Error::bad_input(format!("invalid time value for '{name}': {}", e.message))),
        }
    }

    /// `start` and `end`, each open where it is not given.
    pub fn time_range(&self) -> Result<TimeRange, ApiError> {
        let start = self.time_or("start", TimeRange::ALL.start_inclusive)?;
        let end = self.time_or("end", TimeRange::ALL.end_inclusive)?;
        Ok(TimeRange::new(start, end))
    }

    /// A duration in milliseconds that must be given.
    pub fn duration(&self, name: &str) -> Result<i64, ApiError> {
        parse_duration(self.get(name)).map_err(|e| invalid_parameter(name, e))
    }

    pub fn optional_duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        if self.get(name).is_empty() { Ok(None) } else { self.duration(name).map(Some) }
    }

    /// A count where 0 or nothing means "no limit".
    pub fn limit(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        let number = parse_int(text).map_err(|e| invalid_parameter(name, e))?;
        match usize::try_from(number) {
            Ok(0) => Ok(None),
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(invalid_parameter(name, Error::bad_input("limit must be non-negative"))),
        }
    }
}

impl FromRequest<Arc<Server>> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or("");
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        let has_form = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
        let is = |form: &str| has_form && media_type.eq_ignore_ascii_case(form);
        let (is_plain, is_multipart) = (is("application/x-www-form-urlencoded"), is("multipart/form-data"));
        let (body, held) = match is_plain || is_multipart {
            true => server.bodies.read(body, MAX_FORM_BYTES).await.map(|whole| (whole.bytes, Some(whole.held))),
            false => Ok((bytes::Bytes::new(), None)),
        }
        .map_err(unread)?;
        let most = MAX_PARAMS.saturating_sub(count(query.as_bytes()));
        let parsed = match is_multipart {
            true => multipart::fields(&body, content_type, most + 1).and_then(|fields| {
                if fields.len() > most {
                    return Err(too_many());
                }
                // Those of the query come first here, in Go as well.
                let Self { pairs, fault, .. } = Self::parse(b"", query);
                Ok(Self { pairs: pairs.into_iter().chain(fields).collect(), fault, _held: None })
            }),
            false if count(&body) > most => Err(too_many()),
            false => Ok(Self::parse(&body, query)),
        };
        match parsed {
            Ok(params) => Ok(Self { _held: held, ..params }),
            Err(error) => Err(ApiError(error).into_response()),
        }
    }
}

/// What is said of more than [`MAX_PARAMS`].
fn too_many() -> Error {
    Error::bad_input(format!("too many parameters: the limit is {MAX_PARAMS}"))
}

/// How many parameters a text has at most.
fn count(text: &[u8]) -> usize {
    if text.is_empty() { 0 } else { 1 + memchr::memchr_iter(b'&', text).count() }
}

fn unread(error: Unread) -> Response {
    let error_type = if error.status == StatusCode::SERVICE_UNAVAILABLE { "unavailable" } else { "bad_data" };
    retry_later(envelope::error(error.status, error_type, &error.message))
}

/// A whole number, with Go's words for what is none.
pub fn parse_int(text: &str) -> Result<i64> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Error::bad_input(format!("strconv.Atoi: parsing {}: {why}", quote(text)))
    })
}

/// A truth value as Go writes it, with Go's words for what is none.
pub fn parse_bool(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Error::bad_input(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text)))),
    }
}

/// Milliseconds of float Unix seconds or an RFC 3339 time. The two strings Go prints for its earliest and
/// latest times stand for "everything".
pub fn parse_time(text: &str) -> Result<i64> {
    match text {
        "-292273086-05-16T16:47:06Z" => return Ok(TimeRange::ALL.start_inclusive),
        "292277025-08-18T07:12:54.999999999Z" => return Ok(TimeRange::ALL.end_inclusive),
        _ => {}
    }
    if let Some(seconds) = parse_float(text) {
        // Rounded to milliseconds as Prometheus does. Its sentinels (`-9223372036854775.808`) are the ends of our range,
        // give or take what a float cannot tell apart; Go would make an arbitrary time of what is beyond.
        let millis = seconds.trunc() * 1000.0 + (seconds.fract() * 1000.0).round();
        if millis.abs() > i64::MAX as f64 {
            return Err(Error::bad_input(format!(
                "cannot parse {text:?} to a valid timestamp. It overflows int64"
            )));
        }
        return Ok(millis as i64);
    }
    // Neither lower case nor a leap second is Go's.
    let is_gos = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z') && text.get(17..19) != Some("60");
    // To Go a comma is a point, before a fraction.
    let text_with_point = match text.split_once(',') {
        Some((seconds, fraction)) if seconds.len() == 19 => Cow::Owned(format!("{seconds}.{fraction}")),
        _ => Cow::Borrowed(text),
    };
    let parsed = DateTime::parse_from_rfc3339(if is_gos { &text_with_point } else { "" });
    parsed
        .map(|time| time.timestamp_millis())
        .map_err(|_| Error::bad_input(format!("cannot parse {text:?} to a valid timestamp")))
}

/// Milliseconds of float seconds or a Prometheus duration. Floats are cut to nanoseconds first, as in Prometheus: 1.025 s are
/// 1024 ms.
pub fn parse_duration(text: &str) -> Result<i64> {
    let nanoseconds = parse_nanoseconds(text)?;
    Ok(nanoseconds / 1_000_000)
}

/// The same in nanoseconds.
pub fn parse_nanoseconds(text: &str) -> Result<i64> {
    if let Some(nanoseconds) = float::parse(text).map(|seconds| seconds * 1e9) {
        // Prometheus counts in nanoseconds of 64 bits.
        if nanoseconds.abs() > i64::MAX as f64 {
            return Err(Error::bad_input(format!("cannot parse {text:?} to a valid duration. It overflows int64")));
        }
        // What is no number becomes the least of all in Go.
        return Ok(if nanoseconds.is_nan() { i64::MIN } else { nanoseconds as i64 });
    }
    let wrong = |_| Error::bad_input(format!("cannot parse {text:?} to a valid duration"));
    duration::parse(text).map(|ms| ms.saturating_mul(1_000_000)).map_err(wrong)
}

/// A finite float. Go would also read `NaN` and `Inf` here, and then make an arbitrary time of them.
fn parse_float(text: &str) -> Option<f64> {
    float::parse(text).filter(|f| f.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_time(text).ok(), expected, "{text}");
        check("0", Some(0));
        check("1434000000", Some(1_434_000_000_000));
        check("1434000000.0105", Some(1_434_000_000_010));
        check("123.123", Some(123_123));
        check("-1.5", Some(-1_500));
        check("1e3", Some(1_000_000));
        check("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555));
        check("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555));
        check("2015-06-03t13:21:58Z", None);
        check("2015-06-03 13:21:58Z", None);
        check("2015-06-03T13:21:58z", None);
        check("2015-06-03T13:21:60Z", None);
        check("-9223372036854775.808", Some(i64::MIN));
        check("9223372036854775.807", Some(i64::MAX));
        check("-292273086-05-16T16:47:06Z", Some(i64::MIN));
        check("292277025-08-18T07:12:54.999999999Z", Some(i64::MAX));
        check("", None);
        check("abc", None);
        check("NaN", None);
        check("0x1p4", Some(16_000));
        check("1_000", Some(1_000_000));
        check("1__0", None);
        check("2015-06-03T13:21:58,5Z", Some(1_433_337_718_500));
        check("2015-06-03T13:21,58Z", None);
        check("30s", None);
        check("1e308", None);
        check("-1e308", None);
        check("Inf", None);
        check("-9223372036854778", None);
        check("9223372036854778", None);
        assert_eq!(parse_time("foo").unwrap_err().message, r#"cannot parse "foo" to a valid timestamp"#);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_duration(text).ok(), expected, "{text}");
        check("123", Some(123_000));
        check("123.333", Some(123_333));
        check("1.025", Some(1_024));
        check("0.0009", Some(0));
        check("15s", Some(15_000));
        check("5m", Some(300_000));
        check("0", Some(0));
        check("-1", Some(-1_000));
        check("", None);
        check("abc", None);
        check("148966367200372", None);
        check("1e308", None);
        check("-1e308", None);
        check("0x1p4", Some(16_000));
        assert!(parse_duration("NaN").unwrap() < 0);
        assert_eq!(parse_duration("x").unwrap_err().message, r#"cannot parse "x" to a valid duration"#);
        let overflows = r#"cannot parse "Inf" to a valid duration. It overflows int64"#;
        assert_eq!(parse_duration("Inf").unwrap_err().message, overflows);
    }

    #[test]
    fn body_before_query() {
        let params = Params::parse(b"query=a%2Bb&match[]=x", "query=c&match[]=y&start=1");
        assert_eq!(params.get("query"), "a+b");
        assert_eq!(params.all("match[]"), ["x", "y"]);
        assert_eq!(params.get("start"), "1");
        assert_eq!(params.get("end"), "");
    }

    /// Pairs that Go does not take are left out.
    #[test]
    fn wrong_pairs() {
        let params = Params::parse(b"a=1&limit=%zz&b=2;c=3", "d=%&e=5");
        assert_eq!((params.get("a"), params.get("limit"), params.get("b"), params.get("d")), ("1", "", "", ""));
        assert_eq!(params.get("e"), "5");
        let message = params.checked().unwrap_err().message;
        assert_eq!(message, r#"error parsing form values: invalid URL escape "%zz""#);
        assert!(Params::parse(b"", "a=1&&b").checked().is_ok());
    }

    #[test]
    fn too_many() {
        assert_eq!(count(b""), 0);
        assert_eq!(count(b"a"), 1);
        assert_eq!(count(b"a=1&b=2&"), 3);
        assert_eq!(Params::parse("a&".repeat(20_000).as_bytes(), "").pairs.len(), MAX_PARAMS);
    }

    #[test]
    fn limits() {
        let check = |query: &str, expected: Result<Option<usize>, &str>| {
            let got = Params::parse(b"", query).limit("limit").map_err(|e| e.0.message);
            assert_eq!(got.as_ref().map_err(|e| e.as_str()).copied(), expected);
        };
        check("", Ok(None));
        check("limit=0", Ok(None));
        check("limit=7", Ok(Some(7)));
        check("limit=-1", Err(r#"invalid parameter "limit": limit must be non-negative"#));
        check("limit=1e9", Err(r#"invalid parameter "limit": strconv.Atoi: parsing "1e9": invalid syntax"#));
        check(
            "limit=99999999999999999999",
            Err(r#"invalid parameter "limit": strconv.Atoi: parsing "99999999999999999999": value out of range"#),
        );
        check("limit=x", Err(r#"invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax"#));
    }
}
