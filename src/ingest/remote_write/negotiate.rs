//! Which message a request says it has, and whether it is taken. Names and tokens may be written in any case, and values
//! in quotes (RFC 9110); what is refused is refused in Prometheus' words.

use std::fmt;
use std::str::FromStr;

use crate::ingest::remote_write::outcome::WriteError;

/// The messages of the two versions of Remote Write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of version 1.0.
    WriteRequest,
    /// Of version 2.0.
    Request,
}

impl Message {
    pub const ALL: [Message; 2] = [Message::WriteRequest, Message::Request];

    pub fn as_str(self) -> &'static str {
        match self {
            Message::WriteRequest => "prometheus.WriteRequest",
            Message::Request => "io.prometheus.write.v2.Request",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Message {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Message::ALL.into_iter().find(|message| message.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            format!("unknown type for remote write protobuf message {text}, supported: {}", listed(&Message::ALL))
        })
    }
}

/// The headers that matter, `None` where absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteHeaders<'a> {
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
}

impl WriteHeaders<'_> {
    /// The message by the content type, which without one is that of 1.0. Errors: 415.
    pub fn message(self) -> Result<Message, WriteError> {
        message_of(self.content_type.unwrap_or_default().trim()).map_err(|text| WriteError::new(415, text))
    }

    /// Whether the body is what senders send: a snappy block, also where nothing is said. Errors: 415.
    pub fn check_encoding(self) -> Result<(), WriteError> {
        let encoding = self.content_encoding.unwrap_or_default().trim();
        if encoding.is_empty() || encoding.eq_ignore_ascii_case("snappy") {
            return Ok(());
        }
        let message =
            format!("{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable");
        Err(WriteError::new(415, message))
    }
}

/// Errors: 415 for a message that `accepted` has not.
pub fn check_accepted(message: Message, accepted: &[Message]) -> Result<(), WriteError> {
    if accepted.contains(&message) {
        return Ok(());
    }
    let accepted = listed(accepted);
    let text = format!("{message} protobuf message is not accepted by this server; only accepts {accepted}");
    Err(WriteError::new(415, text))
}

fn message_of(content_type: &str) -> Result<Message, String> {
    let mut parts = split(content_type);
    let media_type = parts.next().unwrap_or_default().trim();
    if !content_type.is_empty() && !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ));
    }
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, \
                 got {part} in {content_type} content-type"
            ));
        };
        if name.trim().eq_ignore_ascii_case("proto") {
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            return match value {
                "" => Ok(Message::WriteRequest),
                value => value.parse().map_err(|why| format!("got {content_type} content type; {why}")),
            };
        }
    }
    Ok(Message::WriteRequest)
}

/// Parts between semicolons, those within quotes left alone.
fn split(content_type: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    content_type.split(move |c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

fn listed(messages: &[Message]) -> String {
    messages.iter().map(|message| message.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check = |content_type: Option<&str>, want: Result<Message, &str>| {
            let headers = WriteHeaders { content_type, content_encoding: None };
            let found = headers.message().map_err(|error| (error.status, error.message));
            assert_eq!(found, want.map_err(|text| (415, text.to_string())), "{content_type:?}");
        };
        for content_type in [
            "",
            "application/x-protobuf",
            " Application/X-Protobuf ",
            "application/x-protobuf;",
            "application/x-protobuf;proto=prometheus.WriteRequest",
            "application/x-protobuf; charset=utf-8",
            "application/x-protobuf;proto=",
            r#"application/x-protobuf; note="a;proto=b"; proto=prometheus.WriteRequest"#,
        ] {
            check(Some(content_type), Ok(Message::WriteRequest));
        }
        check(None, Ok(Message::WriteRequest));
        for content_type in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; Proto=\"io.prometheus.write.v2.Request\"",
            "APPLICATION/X-PROTOBUF ;charset=utf-8; PROTO = IO.Prometheus.Write.V2.Request",
        ] {
            check(Some(content_type), Ok(Message::Request));
        }
        check(
            Some("text/plain"),
            Err("expected application/x-protobuf as the first (media) part, got text/plain content-type"),
        );
        check(
            Some("application/x-protobuf;proto=foo"),
            Err("got application/x-protobuf;proto=foo content type; unknown type for remote write protobuf \
                 message foo, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"),
        );
        check(
            Some("application/x-protobuf;proto"),
            Err("as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, \
                 got proto in application/x-protobuf;proto content-type"),
        );
    }

    #[test]
    fn encodings() {
        for (encoding, want) in
            [("", true), ("snappy", true), ("Snappy", true), ("gzip", false), ("identity", false)]
        {
            let headers = WriteHeaders { content_type: None, content_encoding: Some(encoding) };
            assert_eq!(headers.check_encoding().map_err(|error| error.status), want.then_some(()).ok_or(415));
        }
        assert_eq!(WriteHeaders::default().check_encoding(), Ok(()));
    }

    #[test]
    fn what_is_not_accepted() {
        assert_eq!(check_accepted(Message::Request, &Message::ALL), Ok(()));
        let error = check_accepted(Message::Request, &[Message::WriteRequest]).unwrap_err();
        let want = "io.prometheus.write.v2.Request protobuf message is not accepted by this server; \
                    only accepts prometheus.WriteRequest";
        assert_eq!((error.status, error.message.as_str()), (415, want));
    }
}
