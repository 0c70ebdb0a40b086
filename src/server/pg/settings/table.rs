//! What there is to be set: a row a setting.

/// What `version()` and the start-up parameters say; clients parse the number.
pub const SERVER_VERSION: &str = "16.6";

pub const READ_ONLY_DEFAULT: &str = "default_transaction_read_only";
pub const READ_ONLY_NOW: &str = "transaction_read_only";
pub const ISOLATION_DEFAULT: &str = "default_transaction_isolation";
pub const ISOLATION_NOW: &str = "transaction_isolation";
pub const TIME_ZONE: &str = "TimeZone";
pub const SEARCH_PATH: &str = "search_path";
pub const STATEMENT_TIMEOUT: &str = "statement_timeout";
pub const IDLE_TIMEOUT: &str = "idle_session_timeout";
pub const IDLE_IN_TRANSACTION_TIMEOUT: &str = "idle_in_transaction_session_timeout";
pub const MIN_MESSAGES: &str = "client_min_messages";
pub const USER: &str = "session_authorization";

/// `client_min_messages`, from all to least.
pub const MESSAGE_LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];
const ISOLATION_LEVELS: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];

/// A setting. Names are matched without case.
pub struct Setting {
    pub name: &'static str,
    /// Of a session that says nothing, as it is shown.
    pub default: &'static str,
    pub kind: Kind,
    /// Told to the client at the start and whenever it changes.
    pub reported: bool,
    pub about: &'static str,
}

/// Which values there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// None but the one it has.
    Shown,
    Text,
    /// Printable ASCII of at most 63 bytes, as PostgreSQL keeps it.
    Name,
    /// One of these words, of which the first so many are built.
    Words {
        all: &'static [&'static str],
        built: usize,
    },
    Whole {
        least: i64,
        most: i64,
    },
    /// Milliseconds.
    Time,
    Zone,
    Encoding,
    DateStyle,
    /// A switch that is off only where the server allows INSERT.
    ReadOnly,
}

const fn row(name: &'static str, default: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { name, default, kind, reported: false, about }
}

const fn told(setting: Setting) -> Setting {
    Setting { reported: true, ..setting }
}

const fn words(all: &'static [&'static str]) -> Kind {
    Kind::Words { all, built: all.len() }
}

/// All settings, by name.
pub const SETTINGS: &[Setting] = &[
    told(row(
        "application_name",
        "",
        Kind::Name,
        "Sets the application name to be reported in statistics and logs.",
    )),
    row(
        "bytea_output",
        "hex",
        Kind::Words { all: &["hex", "escape"], built: 1 },
        "Sets the output format for bytea.",
    ),
    told(row("client_encoding", "UTF8", Kind::Encoding, "Sets the client's character set encoding.")),
    row(MIN_MESSAGES, "notice", words(MESSAGE_LEVELS), "Sets the message levels that are sent to the client."),
    told(row("DateStyle", "ISO, MDY", Kind::DateStyle, "Sets the display format for date and time values.")),
    row("default_table_access_method", "heap", Kind::Shown, "Shows the access method that tables are listed with."),
    row(
        ISOLATION_DEFAULT,
        "read committed",
        words(ISOLATION_LEVELS),
        "Sets the transaction isolation level of each new transaction.",
    ),
    told(row(
        READ_ONLY_DEFAULT,
        "on",
        Kind::ReadOnly,
        "Whether statements only read, as they all do without --pg.enable-writes.",
    )),
    row(
        "extra_float_digits",
        "1",
        Kind::Whole { least: -15, most: 3 },
        "Accepted; floating-point values are always written so that they read back the same.",
    ),
    row(
        IDLE_IN_TRANSACTION_TIMEOUT,
        "0",
        Kind::Time,
        "Sets the maximum allowed idle time between queries, when in a transaction.",
    ),
    row(
        IDLE_TIMEOUT,
        "0",
        Kind::Time,
        "Sets the maximum allowed idle time between queries, when not in a transaction.",
    ),
    told(row("in_hot_standby", "off", Kind::Shown, "Shows whether hot standby is currently active.")),
    told(row("integer_datetimes", "on", Kind::Shown, "Shows whether datetimes are integer based.")),
    told(row(
        "IntervalStyle",
        "postgres",
        Kind::Words { all: &["postgres", "postgres_verbose", "sql_standard", "iso_8601"], built: 1 },
        "Sets the display format for interval values.",
    )),
    told(row("is_superuser", "off", Kind::Shown, "Shows whether the current user is a superuser.")),
    row("jit", "off", words(&["on", "off"]), "Accepted; plans are not compiled."),
    row("lc_collate", "C", Kind::Shown, "Shows the collation order locale."),
    row("lc_ctype", "C.UTF-8", Kind::Shown, "Shows the character classification and case conversion locale."),
    row("lock_timeout", "0", Kind::Time, "Accepted; there are no locks here."),
    row("max_identifier_length", "63", Kind::Shown, "Shows the maximum identifier length."),
    row("max_index_keys", "32", Kind::Shown, "Shows the maximum number of index keys."),
    row(
        SEARCH_PATH,
        "\"$user\", public",
        Kind::Text,
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    told(row("server_encoding", "UTF8", Kind::Shown, "Shows the server (database) character set encoding.")),
    told(row("server_version", SERVER_VERSION, Kind::Shown, "Shows the server version.")),
    row("server_version_num", "160006", Kind::Shown, "Shows the server version as an integer."),
    // The user's name; the default is that of nobody.
    told(row(USER, "", Kind::Shown, "Shows the session user name.")),
    told(row(
        "standard_conforming_strings",
        "on",
        Kind::Words { all: &["on", "off"], built: 1 },
        "Causes '...' strings to treat backslashes literally.",
    )),
    row(STATEMENT_TIMEOUT, "0", Kind::Time, "Sets the maximum allowed duration of any statement."),
    told(row(TIME_ZONE, "UTC", Kind::Zone, "Sets the time zone for displaying and interpreting time stamps.")),
    row(
        ISOLATION_NOW,
        "read committed",
        words(ISOLATION_LEVELS),
        "Sets the current transaction's isolation level.",
    ),
    row(READ_ONLY_NOW, "on", Kind::ReadOnly, "Sets the current transaction's read-only status."),
];

/// The setting of a name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

impl Kind {
    /// `pg_settings.vartype`.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::ReadOnly => "bool",
            Kind::Whole { .. } | Kind::Time => "integer",
            Kind::Words { .. } => "enum",
            Kind::Shown | Kind::Text | Kind::Name | Kind::Zone | Kind::Encoding | Kind::DateStyle => "string",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_differ() {
        let names: Vec<String> = SETTINGS.iter().map(|s| s.name.to_ascii_lowercase()).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
