//! What a connection keeps: settings, its DataFusion context, and the statement that runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono_tz::Tz;
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use pgwire::error::PgWireResult;
use tokio_util::sync::CancellationToken;

use super::errors;
use super::notices::Notices;

/// What `version()` and the start-up parameters say; clients parse the number.
pub const SERVER_VERSION: &str = "16.6";

/// Settings of a new session: name, value, description. Names are matched without case.
pub const SETTINGS: &[(&str, &str, &str)] = &[
    ("application_name", "", "Sets the application name to be reported in statistics and logs."),
    ("bytea_output", "hex", "Sets the output format for bytea."),
    ("client_encoding", "UTF8", "Sets the client's character set encoding."),
    ("client_min_messages", "notice", "Sets the message levels that are sent to the client."),
    ("DateStyle", "ISO, MDY", "Sets the display format for date and time values."),
    ("default_transaction_isolation", "read committed", "Sets the transaction isolation level."),
    (READ_ONLY_DEFAULT, "on", "Whether statements only read, as they all do without --pg.enable-writes."),
    ("extra_float_digits", "1", "Sets the number of digits displayed for floating-point values."),
    ("idle_in_transaction_session_timeout", "0", "Accepted; transactions hold nothing here."),
    ("integer_datetimes", "on", "Datetimes are integer based."),
    ("IntervalStyle", "postgres", "Sets the display format for interval values."),
    ("lock_timeout", "0", "Accepted; there are no locks here."),
    ("max_identifier_length", "63", "Shows the maximum identifier length."),
    ("max_index_keys", "32", "Shows the maximum number of index keys."),
    ("search_path", "\"$user\", public", "Sets the schema search order for names that are not schema-qualified."),
    ("server_encoding", "UTF8", "Shows the server (database) character set encoding."),
    ("server_version", SERVER_VERSION, "Shows the server version."),
    ("server_version_num", "160006", "Shows the server version as an integer."),
    ("standard_conforming_strings", "on", "Backslashes in '...' strings are literal."),
    ("statement_timeout", "0", "Sets the maximum allowed duration of any statement; milliseconds, or with a unit."),
    ("TimeZone", "UTC", "Sets the time zone for displaying time stamps."),
    ("transaction_isolation", "read committed", "Shows the current transaction's isolation level."),
    (READ_ONLY_NOW, "on", "Shows whether the current transaction is read-only."),
];

/// Off where the server allows INSERT, unless the client says otherwise.
pub const READ_ONLY_DEFAULT: &str = "default_transaction_read_only";
const READ_ONLY_NOW: &str = "transaction_read_only";

/// Settings that only report something.
const READ_ONLY: &[&str] = &[
    "integer_datetimes",
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
];

/// The schemas there are.
const SCHEMAS: &[&str] = &["public", "promlake", "pg_catalog", "information_schema"];

/// `client_min_messages`, from all to least.
pub const MESSAGE_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Settings a client may make up, and how long the value of any may be.
const MAX_OWN_SETTINGS: usize = 100;
const MAX_SETTING_BYTES: usize = 8 << 10;

/// State of one connection.
pub struct Session {
    pub user: String,
    pub process_id: i32,
    pub context: SessionContext,
    /// What the statement that ended has to say besides its rows.
    pub notices: Notices,
    settings: Mutex<BTreeMap<String, String>>,
    /// Ends the message that is dealt with.
    message: Mutex<Option<CancellationToken>>,
    /// Whether the server allows INSERT.
    may_write: bool,
}

impl Session {
    pub fn new(user: String, process_id: i32, context: SessionContext) -> Self {
        Self {
            user,
            process_id,
            context,
            notices: Notices::default(),
            settings: Mutex::new(defaults(false)),
            message: Mutex::new(None),
            may_write: false,
        }
    }

    /// The same where the server allows INSERT.
    pub fn that_may_write(self, may_write: bool) -> Self {
        Self { settings: Mutex::new(defaults(may_write)), may_write, ..self }
    }

    /// Whether INSERT is allowed, by the server and by the settings of the client.
    pub fn writes(&self) -> bool {
        let settings = self.settings.lock();
        let is_off = |name: &str| settings.get(name).is_some_and(|value| value == "off");
        self.may_write && is_off(READ_ONLY_DEFAULT) && is_off(READ_ONLY_NOW)
    }

    /// Whether the server allows that at all.
    pub fn may_write(&self) -> bool {
        self.may_write
    }

    /// A message begins: a simple query, or in the extended protocol everything up to Sync. A cancel request ends
    /// all of it, whichever of its statements runs.
    pub fn open_message(&self) -> CancellationToken {
        self.message.lock().get_or_insert_with(CancellationToken::new).clone()
    }

    /// The message was answered; a cancel request that comes now is too late for it and too early for the next.
    pub fn close_message(&self) {
        *self.message.lock() = None;
    }

    /// The token of a statement about to run.
    pub fn begin(&self) -> CancellationToken {
        self.open_message()
    }

    /// Cancels the message that is dealt with, if any.
    pub fn cancel(&self) {
        if let Some(message) = &*self.message.lock() {
            message.cancel();
        }
    }

    pub fn show(&self, name: &str) -> PgWireResult<String> {
        let name = spelled(name)
            .ok_or_else(|| errors::error("42704", format!("unrecognized configuration parameter \"{name}\"")))?;
        Ok(self.settings.lock().get(name).cloned().unwrap_or_default())
    }

    pub fn show_all(&self) -> Vec<(String, String, &'static str)> {
        let settings = self.settings.lock();
        let row = |(name, _, about): &(&'static str, &str, &'static str)| {
            (name.to_string(), settings.get(*name).cloned().unwrap_or_default(), *about)
        };
        SETTINGS.iter().map(row).collect()
    }

    /// Sets a parameter after checking its value; `None` resets it. A parameter nobody knows is an error
    /// unless its name is dotted, which Postgres reserves for extensions and clients.
    pub fn set(&self, name: &str, value: Option<&str>) -> PgWireResult<()> {
        if value.map_or(0, str::len) > MAX_SETTING_BYTES || name.len() > MAX_SETTING_BYTES {
            let text = format!("a setting and its value have at most {MAX_SETTING_BYTES} bytes");
            return Err(errors::error("54000", text));
        }
        let Some(name) = spelled(name) else {
            if name.contains('.') && !name.to_ascii_lowercase().starts_with("datafusion.") {
                return self.set_own(name.to_ascii_lowercase(), value);
            }
            return Err(errors::error("42704", format!("unrecognized configuration parameter \"{name}\"")));
        };
        if READ_ONLY.contains(&name) {
            return Err(errors::error("55P02", format!("parameter \"{name}\" cannot be changed")));
        }
        let defaults = defaults(self.may_write);
        let default = defaults.get(name).map_or("", String::as_str);
        let value = checked(name, value.unwrap_or(default), self.may_write)?;
        if name == "TimeZone" {
            crate::engine::sql::zone::set(&self.context, zone(&value).unwrap_or(Tz::UTC));
        }
        self.settings.lock().insert(name.to_string(), value);
        Ok(())
    }

    /// Sets a parameter that means nothing here, for the client to read again.
    fn set_own(&self, name: String, value: Option<&str>) -> PgWireResult<()> {
        let mut settings = self.settings.lock();
        if !settings.contains_key(&name) && settings.len() >= SETTINGS.len() + MAX_OWN_SETTINGS {
            return Err(errors::error(
                "53400",
                format!("there are {MAX_OWN_SETTINGS} settings of your own already"),
            ));
        }
        settings.insert(name, value.unwrap_or_default().to_string());
        Ok(())
    }

    pub fn reset_all(&self) {
        let mut settings = self.settings.lock();
        let application_name = settings.get("application_name").cloned();
        *settings = defaults(self.may_write);
        crate::engine::sql::zone::set(&self.context, Tz::UTC);
        settings.extend(application_name.map(|v| ("application_name".to_string(), v)));
    }

    pub fn time_zone(&self) -> Tz {
        self.settings.lock().get("TimeZone").and_then(|z| zone(z)).unwrap_or(Tz::UTC)
    }

    /// The schemas a name without one is looked up in, in order. Names of schemas there are none of are passed
    /// over, as Postgres does.
    pub fn search_path(&self) -> Vec<&'static str> {
        let path = self.settings.lock().get("search_path").cloned().unwrap_or_default();
        let known = |name: &str| {
            let name = name.trim();
            let (name, folded) = match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
                Some(quoted) => (quoted, quoted.to_string()),
                None => (name, name.to_ascii_lowercase()),
            };
            let name = if name == "$user" { &self.user } else { &folded };
            SCHEMAS.iter().copied().find(|schema| schema == name)
        };
        let mut schemas: Vec<&'static str> = vec![];
        for schema in path.split(',').filter_map(known) {
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        schemas
    }

    /// Whether the client wants messages of this level.
    pub fn wants(&self, level: &str) -> bool {
        let rank = |name: &str| MESSAGE_LEVELS.iter().position(|l| *l == name);
        let settings = self.settings.lock();
        rank(level) >= settings.get("client_min_messages").and_then(|name| rank(name))
    }

    /// `None` for no timeout.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let settings = self.settings.lock();
        settings.get("statement_timeout").and_then(|t| milliseconds(t)).filter(|d| !d.is_zero())
    }
}

fn defaults(may_write: bool) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        SETTINGS.iter().map(|(name, value, _)| (name.to_string(), value.to_string())).collect();
    if may_write {
        all.extend([READ_ONLY_DEFAULT, READ_ONLY_NOW].map(|name| (name.to_string(), "off".to_string())));
    }
    all
}

/// The registered spelling of a setting.
fn spelled(name: &str) -> Option<&'static str> {
    SETTINGS.iter().map(|s| s.0).find(|s| s.eq_ignore_ascii_case(name))
}

fn checked(name: &str, value: &str, may_write: bool) -> PgWireResult<String> {
    let bad = || errors::error("22023", format!("invalid value for parameter \"{name}\": \"{value}\""));
    match name {
        "TimeZone" => zone(value).map(|z| z.name().to_string()).ok_or_else(bad),
        "statement_timeout" => milliseconds(value).map(|d| d.as_millis().to_string()).ok_or_else(bad),
        "client_encoding" => {
            let plain = value.replace(['-', '_'], "").to_ascii_lowercase();
            if plain == "utf8" || plain == "unicode" { Ok("UTF8".into()) } else { Err(bad()) }
        }
        "client_min_messages" => {
            let level = value.to_ascii_lowercase();
            if MESSAGE_LEVELS.contains(&level.as_str()) { Ok(level) } else { Err(bad()) }
        }
        READ_ONLY_NOW | READ_ONLY_DEFAULT => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "1" | "yes" => Ok("on".into()),
            "off" | "false" | "0" | "no" if may_write => Ok("off".into()),
            "off" | "false" | "0" | "no" => Err(errors::error(
                "25006",
                "samples are written by scrape and remote write; SQL sessions only read without --pg.enable-writes",
            )),
            _ => Err(bad()),
        },
        _ => Ok(value.to_string()),
    }
}

fn zone(name: &str) -> Option<Tz> {
    match name.to_ascii_lowercase().as_str() {
        "utc" | "gmt" | "z" | "default" | "local" | "etc/utc" => Some(Tz::UTC),
        lower => chrono_tz::TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(lower)).copied(),
    }
}

/// Postgres' time settings: a bare number is milliseconds; units `us ms s min h d`.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = number * factor;
    (ms.is_finite() && ms <= f64::from(i32::MAX)).then(|| Duration::from_millis(ms as u64))
}

/// A session and the secret a cancel request must show.
type Open = (Bytes, Arc<Session>);

/// The sessions of all connections, by process id.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<HashMap<i32, Open>>,
    last_process_id: AtomicI32,
}

impl Sessions {
    /// Ids are handed out in sequence over the life of the server.
    pub fn next_process_id(&self) -> i32 {
        self.last_process_id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// A session is known until what this returns is dropped.
    pub fn add(self: &Arc<Self>, process_id: i32, secret: Bytes, session: Arc<Session>) -> Registered {
        self.open.lock().insert(process_id, (secret, session));
        Registered { sessions: self.clone(), process_id }
    }

    /// The sessions there are, without keeping them.
    #[cfg(test)]
    pub fn all(&self) -> Vec<std::sync::Weak<Session>> {
        self.open.lock().values().map(|(_, session)| Arc::downgrade(session)).collect()
    }

    /// Cancels the session's message if the secret is right; says nothing otherwise, as Postgres does.
    pub fn cancel(&self, process_id: i32, secret: &[u8]) {
        if let Some((expected, session)) = self.open.lock().get(&process_id)
            && same_secret(expected, secret)
        {
            session.cancel();
        }
    }
}

/// A session's place among all; stops its message when the connection ends, however it does.
pub struct Registered {
    sessions: Arc<Sessions>,
    process_id: i32,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some((_, session)) = self.sessions.open.lock().remove(&self.process_id) {
            session.cancel();
        }
    }
}

/// Takes as long for a wrong secret as for a right one; the length is no secret.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let session = Session::new("x".into(), 1, SessionContext::new());
        session.set("timezone", Some("europe/berlin")).unwrap();
        assert_eq!(session.show("TIMEZONE").unwrap(), "Europe/Berlin");
        session.set("statement_timeout", Some("2min")).unwrap();
        assert_eq!(session.statement_timeout(), Some(Duration::from_secs(120)));
        session.set("my.option", Some("1")).unwrap();
        for (name, value) in
            [("timezone", "Mars"), ("statement_timeout", "soon"), ("nope", "1"), ("server_version", "9")]
        {
            assert!(session.set(name, Some(value)).is_err(), "{name}");
        }
        session.reset_all();
        assert_eq!(session.time_zone(), Tz::UTC);
    }

    #[test]
    fn settings_of_the_client_are_bounded() {
        let session = Session::new("x".into(), 1, SessionContext::new());
        for i in 0..MAX_OWN_SETTINGS {
            session.set(&format!("my.s{i}"), Some("1")).unwrap();
        }
        session.set("my.s0", Some("2")).unwrap();
        session.set("TimeZone", Some("Asia/Tokyo")).unwrap();
        assert_eq!(session.set("my.more", Some("1")).unwrap_err().code(), "53400");
        let long = "x".repeat(MAX_SETTING_BYTES + 1);
        assert_eq!(session.set("application_name", Some(&long)).unwrap_err().code(), "54000");
    }

    #[test]
    fn a_cancel_request_ends_the_message_and_no_other() {
        let sessions = Arc::new(Sessions::default());
        let session = Arc::new(Session::new("x".into(), 1, SessionContext::new()));
        let registered = sessions.add(1, Bytes::from_static(b"secret"), session.clone());
        sessions.cancel(1, b"secret");
        let message = session.open_message();
        // Every statement of the message has its token.
        assert!(!message.is_cancelled() && !session.begin().is_cancelled());
        for (id, secret) in [(1, &b"secre"[..]), (1, b"secret2"), (1, b"Secret"), (1, b""), (2, b"secret")] {
            sessions.cancel(id, secret);
            assert!(!message.is_cancelled(), "{id} {secret:?}");
        }
        sessions.cancel(1, b"secret");
        assert!(message.is_cancelled() && session.begin().is_cancelled());
        session.close_message();
        let next = session.open_message();
        assert!(!next.is_cancelled());
        drop(registered);
        assert!(next.is_cancelled());
        assert_eq!(Arc::strong_count(&session), 1);
    }

    #[test]
    fn search_paths() {
        let check = |path: &str, expected: &[&str]| {
            let session = Session::new("reader".into(), 1, SessionContext::new());
            session.set("search_path", Some(path)).unwrap();
            assert_eq!(session.search_path(), expected, "{path}");
        };
        check("\"$user\", public", &["public"]);
        check("Promlake, nope,\"public\", public", &["promlake", "public"]);
        check("\"Promlake\"", &[]);
        check("", &[]);
        let session = Session::new("promlake".into(), 1, SessionContext::new());
        assert_eq!(session.search_path(), ["promlake", "public"]);
    }

    #[test]
    fn time_units() {
        for (text, ms) in
            [("0", Some(0)), ("1500", Some(1500)), ("1 s", Some(1000)), ("5min", Some(300_000)), ("x", None)]
        {
            assert_eq!(milliseconds(text).map(|d| d.as_millis() as u64), ms, "{text}");
        }
    }
}
