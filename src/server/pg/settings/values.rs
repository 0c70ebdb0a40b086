//! What holds now, what holds after the transaction, and what RESET goes back to.
//!
//! Values are immutable and shared: what a savepoint goes back to costs a pointer until something is set after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgwire::error::{PgWireError, PgWireResult};

use super::check::{checked, fits, milliseconds};
use super::table::{self, Kind, SETTINGS, Setting};
use super::zone::Zone;
use crate::server::pg::errors;

/// Settings a client may make up, and the bytes of their names and values together.
const MAX_OWN: usize = 100;
const MAX_OWN_BYTES: usize = 64 << 10;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 96;

/// How long a value is to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scope {
    Session,
    /// `SET LOCAL`
    Transaction,
}

/// What differs from the table, by name; for settings that mean nothing here all of them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    known: BTreeMap<&'static str, Arc<str>>,
    own: BTreeMap<Arc<str>, Arc<str>>,
}

impl Values {
    fn own_bytes(&self) -> usize {
        self.own.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn bytes(&self) -> usize {
        let known: usize = self.known.values().map(|value| value.len() + ENTRY_BYTES).sum();
        known + self.own_bytes() + self.own.len() * ENTRY_BYTES
    }
}

/// Both values at a time, to go back to.
#[derive(Clone, Debug)]
pub struct Point {
    now: Arc<Values>,
    after: Arc<Values>,
}

impl Point {
    /// What keeping it costs at most, once everything is set again.
    pub fn bytes(&self) -> usize {
        self.now.bytes() + self.after.bytes()
    }
}

/// The settings of a session.
pub struct Settings {
    user: Arc<str>,
    may_write: bool,
    /// What RESET goes back to: what the client said at the start.
    begun: Arc<Values>,
    now: Arc<Values>,
    /// What COMMIT leaves: without what is LOCAL.
    after: Arc<Values>,
    /// What ROLLBACK leaves, within a transaction.
    before: Option<Arc<Values>>,
    /// What the client was told.
    told: BTreeMap<&'static str, String>,
}

impl Settings {
    /// `may_write` where the server allows INSERT.
    pub fn new(user: &str, may_write: bool) -> Self {
        let values: Arc<Values> = Arc::default();
        Self {
            user: user.into(),
            may_write,
            begun: values.clone(),
            now: values.clone(),
            after: values,
            before: None,
            told: BTreeMap::new(),
        }
    }

    /// What was set so far is what RESET goes back to.
    pub fn begin_session(&mut self) {
        self.begun = self.now.clone();
    }

    /// The value of a setting of the table.
    pub fn value(&self, setting: &'static Setting) -> String {
        self.value_in(&self.now, setting)
    }

    /// What RESET makes of a setting of the table.
    pub fn reset_value(&self, setting: &'static Setting) -> String {
        self.value_in(&self.begun, setting)
    }

    fn value_in(&self, values: &Values, setting: &'static Setting) -> String {
        if let Some(value) = values.known.get(setting.name) {
            return value.to_string();
        }
        match setting.name {
            table::USER => self.user.to_string(),
            // Of a transaction that says nothing, and of statements outside of any.
            table::READ_ONLY_NOW => self.named_in(values, table::READ_ONLY_DEFAULT),
            table::ISOLATION_NOW => self.named_in(values, table::ISOLATION_DEFAULT),
            table::READ_ONLY_DEFAULT if self.may_write => "off".into(),
            _ => setting.default.into(),
        }
    }

    fn named_in(&self, values: &Values, name: &str) -> String {
        table::find(name).map_or_else(String::new, |setting| self.value_in(values, setting))
    }

    fn named(&self, name: &str) -> String {
        self.named_in(&self.now, name)
    }

    /// The value of any setting.
    ///
    /// # Errors
    /// 42704 for one that there is not.
    pub fn show(&self, name: &str) -> PgWireResult<String> {
        if let Some(setting) = table::find(name) {
            return Ok(self.value(setting));
        }
        let own = self.now.own.get(name.to_ascii_lowercase().as_str());
        own.map(|value| value.to_string()).ok_or_else(|| unknown(name))
    }

    /// Sets a setting after checking its value; `None` resets it.
    ///
    /// # Errors
    /// 42704 for a name that nobody knows, unless it is dotted, which PostgreSQL reserves for extensions and clients;
    /// 54000 beyond what a client may make up; those of the value.
    pub fn set(&mut self, name: &str, value: Option<&str>, scope: Scope) -> PgWireResult<()> {
        fits(name)?;
        let Some(setting) = table::find(name) else {
            if name.contains('.') && !name.to_ascii_lowercase().starts_with("datafusion.") {
                return self.set_own(&name.to_ascii_lowercase(), value, scope);
            }
            return Err(unknown(name));
        };
        if setting.kind == Kind::Shown {
            checked(setting, "", self.may_write)?;
        }
        let value: Option<Arc<str>> = match value {
            Some(value) => Some(checked(setting, value, self.may_write)?.into()),
            None => self.begun.known.get(setting.name).cloned(),
        };
        // They are of a transaction, and of no other.
        let scope = match setting.name {
            table::READ_ONLY_NOW | table::ISOLATION_NOW => Scope::Transaction,
            _ => scope,
        };
        self.change(scope, |values| match &value {
            Some(value) => drop(values.known.insert(setting.name, value.clone())),
            None => drop(values.known.remove(setting.name)),
        });
        Ok(())
    }

    /// Sets a setting that means nothing here, for the client to read again. Resetting leaves it empty.
    fn set_own(&mut self, name: &str, value: Option<&str>, scope: Scope) -> PgWireResult<()> {
        let begun = self.begun.own.get(name).map(|value| value.to_string());
        let value = value.or(begun.as_deref()).unwrap_or_default();
        fits(value)?;
        for values in [&self.now, &self.after] {
            let others = values.own.keys().filter(|other| &***other != name).count();
            let known = values.own.get(name).map_or(0, |old| name.len() + old.len());
            let bytes = values.own_bytes() - known + name.len() + value.len();
            if others >= MAX_OWN || bytes > MAX_OWN_BYTES {
                let text =
                    format!("settings of your own are at most {MAX_OWN}, and have at most {MAX_OWN_BYTES} bytes");
                return Err(errors::error("54000", text));
            }
        }
        let (name, value): (Arc<str>, Arc<str>) = (name.into(), value.into());
        self.change(scope, |values| drop(values.own.insert(name.clone(), value.clone())));
        Ok(())
    }

    /// Outside of a transaction what is LOCAL is gone with its statement, so it never is there.
    fn change(&mut self, scope: Scope, change: impl Fn(&mut Values)) {
        match scope {
            Scope::Session => {
                change(Arc::make_mut(&mut self.now));
                change(Arc::make_mut(&mut self.after));
            }
            Scope::Transaction if self.before.is_some() => change(Arc::make_mut(&mut self.now)),
            Scope::Transaction => {}
        }
    }

    /// `RESET ALL`
    pub fn reset_all(&mut self) {
        let own: BTreeMap<Arc<str>, Arc<str>> = self
            .now
            .own
            .keys()
            .map(|name| (name.clone(), self.begun.own.get(name).cloned().unwrap_or_default()))
            .collect();
        let mut values = Values { known: self.begun.known.clone(), own };
        self.after = Arc::new(values.clone());
        // Those of the transaction stay.
        for name in [table::READ_ONLY_NOW, table::ISOLATION_NOW] {
            values.known.extend(self.now.known.get(name).map(|value| (name, value.clone())));
        }
        self.now = Arc::new(values);
    }

    /// A transaction begins.
    pub fn begin(&mut self) {
        self.before.get_or_insert_with(|| self.after.clone());
    }

    pub fn commit(&mut self) {
        self.before = None;
        self.after = with_names(&self.after, &self.now);
        self.now = self.after.clone();
    }

    pub fn roll_back(&mut self) {
        let set = self.now.clone();
        if let Some(before) = self.before.take() {
            self.after = before;
        }
        self.after = with_names(&self.after, &set);
        self.now = self.after.clone();
    }

    /// What a savepoint goes back to.
    pub fn point(&self) -> Point {
        Point { now: self.now.clone(), after: self.after.clone() }
    }

    pub fn go_back(&mut self, point: &Point) {
        let set = self.now.clone();
        self.now = with_names(&point.now, &set);
        self.after = with_names(&point.after, &set);
    }

    /// What the client is to be told: settings that are reported, and are others than it knows.
    pub fn untold(&mut self) -> Vec<(&'static str, String)> {
        let mut untold = vec![];
        for setting in SETTINGS.iter().filter(|setting| setting.reported) {
            let value = self.value(setting);
            if self.told.get(setting.name) != Some(&value) {
                self.told.insert(setting.name, value.clone());
                untold.push((setting.name, value));
            }
        }
        untold
    }

    pub fn zone(&self) -> Zone {
        Zone::read(&self.named(table::TIME_ZONE)).map_or(Zone::UTC, |(zone, _)| zone)
    }

    /// A time that is none where it is zero.
    pub fn time(&self, name: &str) -> Option<Duration> {
        milliseconds(&self.named(name)).filter(|time| !time.is_zero())
    }

    /// Whether INSERT is allowed, by the server and by what holds now.
    pub fn writes(&self) -> bool {
        self.may_write && self.named(table::READ_ONLY_NOW) == "off"
    }

    /// Whether the server allows INSERT at all.
    pub fn may_write(&self) -> bool {
        self.may_write
    }

    /// Whether the client wants messages of this level.
    pub fn wants(&self, level: &str) -> bool {
        let rank = |name: &str| table::MESSAGE_LEVELS.iter().position(|l| *l == name);
        rank(level) >= rank(&self.named(table::MIN_MESSAGES))
    }
}

/// Values, and names of a client's own that are set in others: in PostgreSQL these are known from then on, and empty.
fn with_names(values: &Arc<Values>, set: &Values) -> Arc<Values> {
    let missing: Vec<&Arc<str>> = set.own.keys().filter(|name| !values.own.contains_key(*name)).collect();
    if missing.is_empty() {
        return values.clone();
    }
    let mut with = Values::clone(values);
    with.own.extend(missing.into_iter().map(|name| (name.clone(), "".into())));
    Arc::new(with)
}

fn unknown(name: &str) -> PgWireError {
    errors::error("42704", format!("unrecognized configuration parameter \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, name: &str, value: &str) {
        settings.set(name, Some(value), Scope::Session).unwrap();
    }

    fn set_local(settings: &mut Settings, name: &str, value: &str) {
        settings.set(name, Some(value), Scope::Transaction).unwrap();
    }

    #[test]
    fn transactions_take_settings_back() {
        let mut settings = Settings::new("x", false);
        let zone = |settings: &Settings| settings.show("timezone").unwrap();
        set(&mut settings, "TimeZone", "Asia/Tokyo");
        settings.begin();
        set(&mut settings, "TimeZone", "Europe/Berlin");
        settings.roll_back();
        assert_eq!(zone(&settings), "Asia/Tokyo");
        settings.begin();
        set(&mut settings, "TimeZone", "Europe/Berlin");
        set_local(&mut settings, "TimeZone", "Europe/Paris");
        let point = settings.point();
        set(&mut settings, "TimeZone", "Europe/Rome");
        settings.go_back(&point);
        assert_eq!(zone(&settings), "Europe/Paris");
        settings.commit();
        assert_eq!(zone(&settings), "Europe/Berlin");
        // Outside of a transaction nothing is local.
        set_local(&mut settings, "TimeZone", "Europe/Rome");
        assert_eq!(zone(&settings), "Europe/Berlin");
    }

    #[test]
    fn names_of_a_client_stay_known() {
        let mut settings = Settings::new("x", false);
        settings.begin();
        set(&mut settings, "my.a", "1");
        settings.roll_back();
        // Once, it was not known any more.
        assert_eq!(settings.show("my.a").unwrap(), "");
        settings.begin();
        set_local(&mut settings, "my.b", "1");
        let point = settings.point();
        set(&mut settings, "my.c", "1");
        settings.go_back(&point);
        assert_eq!((settings.show("my.b").unwrap(), settings.show("my.c").unwrap()), ("1".into(), String::new()));
        settings.commit();
        assert_eq!(
            (settings.show("my.b").unwrap(), settings.show("my.c").unwrap()),
            (String::new(), String::new())
        );
    }

    #[test]
    fn what_the_start_said_is_what_reset_goes_back_to() {
        let mut settings = Settings::new("x", false);
        set(&mut settings, "TimeZone", "Asia/Tokyo");
        set(&mut settings, "my.a", "1");
        settings.begin_session();
        set(&mut settings, "TimeZone", "Europe/Rome");
        set(&mut settings, "my.a", "2");
        set(&mut settings, "my.b", "2");
        settings.set("TimeZone", None, Scope::Session).unwrap();
        assert_eq!(settings.show("TimeZone").unwrap(), "Asia/Tokyo");
        settings.reset_all();
        assert_eq!(settings.show("my.a").unwrap(), "1");
        assert_eq!(settings.show("my.b").unwrap(), "");
        assert_eq!(settings.show("my.c").unwrap_err().code(), "42704");
        assert_eq!(settings.set("nope", Some("1"), Scope::Session).unwrap_err().code(), "42704");
        assert_eq!(settings.set("server_version", None, Scope::Session).unwrap_err().code(), "55P02");
    }

    /// Once, each pair of these left a value behind.
    #[test]
    fn settings_of_the_client_are_bounded() {
        let mut settings = Settings::new("x", false);
        settings.begin();
        for _ in 0..1_000 {
            set(&mut settings, "own.x", "1");
            settings.set("own.x", None, Scope::Transaction).unwrap();
        }
        assert!(settings.point().bytes() < 1_000);
        for i in 0..MAX_OWN - 1 {
            set(&mut settings, &format!("my.s{i}"), "1");
        }
        set(&mut settings, "my.s0", "2");
        let error = settings.set("my.more", Some("1"), Scope::Session).unwrap_err();
        assert_eq!(error.code(), "54000");
        let long = "x".repeat(7_000);
        for i in 0..9 {
            set(&mut settings, &format!("my.s{i}"), &long);
        }
        assert_eq!(settings.set("my.s9", Some(&long), Scope::Session).unwrap_err().code(), "54000");
        set(&mut settings, "TimeZone", "Asia/Tokyo");
    }

    #[test]
    fn a_client_is_told_what_changes() {
        let mut settings = Settings::new("me", true);
        let told = settings.untold();
        assert!(told.contains(&("session_authorization", "me".to_string())), "{told:?}");
        assert!(told.contains(&("default_transaction_read_only", "off".to_string())), "{told:?}");
        assert_eq!(settings.untold(), []);
        settings.begin();
        set(&mut settings, "TimeZone", "Asia/Tokyo");
        set(&mut settings, "statement_timeout", "1s");
        assert_eq!(settings.untold(), [("TimeZone", "Asia/Tokyo".to_string())]);
        settings.roll_back();
        assert_eq!(settings.untold(), [("TimeZone", "UTC".to_string())]);
    }

    #[test]
    fn writes_are_the_servers_and_the_transactions() {
        let mut settings = Settings::new("me", true);
        assert!(settings.writes());
        settings.begin();
        set(&mut settings, "transaction_read_only", "on");
        assert!(!settings.writes());
        settings.commit();
        assert!(settings.writes());
        set(&mut settings, "default_transaction_read_only", "on");
        assert!(!settings.writes());
        assert!(!Settings::new("me", false).writes());
    }
}
