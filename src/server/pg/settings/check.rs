//! What of a value is written down, and what is refused.

use std::time::Duration;

use pgwire::error::PgWireResult;

use super::table::{Kind, Setting};
use super::zone::Zone;
use crate::server::pg::errors;

/// How long a value may be.
const MAX_BYTES: usize = 8 << 10;
/// `application_name` is cut to so many bytes.
const NAME_BYTES: usize = 63;
/// Encodings PostgreSQL converts to, and this server does not.
const ENCODINGS: &[&str] = &[
    "big5",
    "euccn",
    "eucjp",
    "eucjis2004",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "johab",
    "koi8r",
    "koi8",
    "koi8u",
    "latin1",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "latin10",
    "iso88591",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88599",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "muleinternal",
    "shiftjis2004",
    "shiftjis",
    "sjis",
    "uhc",
    "win866",
    "win874",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
];

/// A value as it is kept and shown.
///
/// # Errors
/// 22023 for what is no value, 0A000 for one that is not built, 25006 for writes that the server does not allow, 54000 for
/// one that is too long.
pub fn checked(setting: &Setting, value: &str, may_write: bool) -> PgWireResult<String> {
    let name = setting.name;
    let bad = || errors::error("22023", format!("invalid value for parameter \"{name}\": \"{value}\""));
    let unbuilt = || errors::error("0A000", format!("{name} \"{value}\" is not supported"));
    fits(value)?;
    match setting.kind {
        Kind::Shown => Err(errors::error("55P02", format!("parameter \"{name}\" cannot be changed"))),
        Kind::Text => Ok(value.to_string()),
        Kind::Name => {
            let printable = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
            Ok(value.chars().map(printable).take(NAME_BYTES).collect())
        }
        Kind::ReadOnly => match switch(value).ok_or_else(bad)? {
            true => Ok("on".into()),
            false if may_write => Ok("off".into()),
            false => Err(errors::error(
                "25006",
                "samples are written by scrape and remote write; SQL sessions only read without --pg.enable-writes",
            )),
        },
        Kind::Words { all, built } => {
            let lower = value.trim().to_ascii_lowercase();
            // A switch that is written as one in another way.
            let lower = if all == ["on", "off"] { switch(&lower).map(on_off).unwrap_or(lower) } else { lower };
            match all.iter().position(|word| *word == lower) {
                Some(at) if at < built => Ok(lower),
                Some(_) => Err(unbuilt()),
                None => Err(bad()),
            }
        }
        Kind::Whole { least, most } => {
            let number: i64 = value.trim().parse().map_err(|_| bad())?;
            match (least..=most).contains(&number) {
                true => Ok(number.to_string()),
                false => Err(errors::error(
                    "22023",
                    format!("{number} is outside the valid range for parameter \"{name}\" ({least} .. {most})"),
                )),
            }
        }
        Kind::Time => milliseconds(value).map(shown_time).ok_or_else(bad),
        Kind::Zone => Zone::read(value).map(|(_, shown)| shown).ok_or_else(bad),
        // As PostgreSQL compares them: asyncpg says `'utf-8'`, quotes and all.
        Kind::Encoding => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            match plain.to_ascii_lowercase().as_str() {
                "utf8" | "unicode" => Ok("UTF8".into()),
                "sqlascii" => Ok("SQL_ASCII".into()),
                known if ENCODINGS.contains(&known) => Err(unbuilt()),
                _ => Err(bad()),
            }
        }
        Kind::DateStyle => date_style(value).ok_or_else(bad)?.ok_or_else(unbuilt),
    }
}

/// Whether a value, or a name, is as short as it has to be.
///
/// # Errors
/// 54000 where it is not.
pub fn fits(value: &str) -> PgWireResult<()> {
    if value.len() > MAX_BYTES {
        return Err(errors::error("54000", format!("a setting and its value have at most {MAX_BYTES} bytes")));
    }
    Ok(())
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.into()
}

fn switch(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "1" | "yes" | "y" => Some(true),
        "off" | "false" | "f" | "0" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// `ISO` with an order of day, month and year. `None` for what is no style, `Some(None)` for one that is not built.
fn date_style(value: &str) -> Option<Option<String>> {
    let (mut order, mut built) = ("MDY", true);
    for word in value.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "iso" | "default" => {}
            "sql" | "postgres" | "german" => built = false,
            "mdy" | "us" | "noneuro" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return None,
        }
    }
    Some(built.then(|| format!("ISO, {order}")))
}

/// PostgreSQL's time settings: a bare number is milliseconds; units `us ms s min h d`.
pub fn milliseconds(text: &str) -> Option<Duration> {
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
    let ms = (number * factor).round();
    (ms.is_finite() && ms <= f64::from(i32::MAX)).then(|| Duration::from_millis(ms as u64))
}

/// In the largest unit that it is a whole number of.
fn shown_time(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000u128, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    match units.iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None if ms == 0 => "0".into(),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::find;
    use super::*;

    #[test]
    fn values_are_written_as_postgres_writes_them() {
        let check = |name: &str, value: &str, want: Result<&str, &str>| {
            let got = checked(find(name).expect("it is in the table"), value, false);
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{name} {value:?}"),
                (Err(error), Err(code)) => assert_eq!(error.code(), code, "{name} {value:?}: {error}"),
                (got, want) => panic!("{name} {value:?}: {got:?}, not {want:?}"),
            }
        };
        check("client_encoding", "'utf-8'", Ok("UTF8"));
        check("client_encoding", "Unicode", Ok("UTF8"));
        check("client_encoding", "sql_ascii", Ok("SQL_ASCII"));
        check("client_encoding", "LATIN1", Err("0A000"));
        check("client_encoding", "klingon", Err("22023"));
        check("statement_timeout", "0", Ok("0"));
        check("statement_timeout", "1500", Ok("1500ms"));
        check("statement_timeout", "120000", Ok("2min"));
        check("statement_timeout", "soon", Err("22023"));
        check("DateStyle", "iso", Ok("ISO, MDY"));
        check("DateStyle", "ISO, DMY", Ok("ISO, DMY"));
        check("DateStyle", "German", Err("0A000"));
        check("DateStyle", "roman", Err("22023"));
        check("IntervalStyle", "ISO_8601", Err("0A000"));
        check("extra_float_digits", "3", Ok("3"));
        check("extra_float_digits", "4", Err("22023"));
        check("standard_conforming_strings", "true", Ok("on"));
        check("standard_conforming_strings", "off", Err("0A000"));
        check("server_version", "9", Err("55P02"));
        check("default_transaction_read_only", "no", Err("25006"));
        check("application_name", "ü\tx", Ok("??x"));
        check("search_path", &"x".repeat(MAX_BYTES + 1), Err("54000"));
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
