//! Time zones as PostgreSQL spells them: a name of the time zone database, hours east of Greenwich, or a zone as POSIX
//! writes it, whose hours count west.

pub use crate::engine::sql::zone::Zone;

/// No zone is further away, as in PostgreSQL.
const MOST_SECONDS: i32 = 167 * 3600 + 59 * 60 + 59;

impl Zone {
    /// Reads a value of `TimeZone`, and says how it is shown.
    pub fn read(text: &str) -> Option<(Zone, String)> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "utc" | "gmt" | "z" | "zulu" | "default" | "local" | "etc/utc" => {
                return Some((Zone::UTC, "UTC".into()));
            }
            lower => {
                if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(lower)) {
                    return Some((Zone::Named(*zone), zone.name().to_string()));
                }
            }
        }
        if let Ok(hours) = text.parse::<f64>() {
            let seconds = (hours * 3600.0).round();
            let fits = seconds.abs() <= f64::from(MOST_SECONDS);
            return fits.then(|| Zone::shown(seconds as i32));
        }
        // Names of POSIX are written in capitals, as PostgreSQL does.
        Some((Zone::Fixed(posix(text)?), text.to_ascii_uppercase()))
    }

    /// So many seconds east of Greenwich: `<+02>-02`.
    pub fn shown(seconds: i32) -> (Zone, String) {
        let clock = |out: &mut String, sign: char| {
            let size = seconds.unsigned_abs();
            out.push(sign);
            out.push_str(&format!("{:02}", size / 3600));
            if !size.is_multiple_of(3600) {
                out.push_str(&format!(":{:02}", size / 60 % 60));
            }
            if !size.is_multiple_of(60) {
                out.push_str(&format!(":{:02}", size % 60));
            }
        };
        let (east, west) = if seconds < 0 { ('-', '+') } else { ('+', '-') };
        let mut text = String::from("<");
        clock(&mut text, east);
        text.push('>');
        clock(&mut text, west);
        (Zone::Fixed(seconds), text)
    }
}

/// `ABC-02:30` or `<+0230>-02:30`, without rules for summer, as seconds east.
fn posix(text: &str) -> Option<i32> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => {
            let (name, rest) = quoted.split_once('>')?;
            (!name.is_empty() && name.chars().all(|c| c.is_ascii_graphic())).then_some(rest)?
        }
        None => {
            let letters = text.find(|c: char| !c.is_ascii_alphabetic())?;
            (letters >= 3).then(|| text.split_at(letters).1)?
        }
    };
    let (sign, clock) = match rest.split_at_checked(1)? {
        ("-", clock) => (1, clock),
        ("+", clock) => (-1, clock),
        _ => (-1, rest),
    };
    let mut parts = clock.split(':');
    let mut part = |most: i32| -> Option<i32> {
        let Some(digits) = parts.next() else { return Some(0) };
        let fits = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|n| fits && *n <= most)
    };
    let seconds = part(167)? * 3600 + part(59)? * 60 + part(59)?;
    parts.next().is_none().then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    #[test]
    fn zones_are_read_as_postgres_reads_them() {
        let check = |text: &str, want: Option<(Zone, &str)>| {
            let want = want.map(|(zone, shown)| (zone, shown.to_string()));
            assert_eq!(Zone::read(text), want, "{text:?}");
        };
        check("europe/berlin", Some((Zone::Named(Tz::Europe__Berlin), "Europe/Berlin")));
        check("utc", Some((Zone::UTC, "UTC")));
        check("-7", Some((Zone::Fixed(-7 * 3600), "<-07>+07")));
        check("5.5", Some((Zone::Fixed(19_800), "<+05:30>-05:30")));
        // Hours of POSIX count west.
        check("<x>-02", Some((Zone::Fixed(7200), "<X>-02")));
        check("<+05:30>-05:30", Some((Zone::Fixed(19_800), "<+05:30>-05:30")));
        check("ABC+3:30", Some((Zone::Fixed(-12_600), "ABC+3:30")));
        check("FOO3", Some((Zone::Fixed(-10_800), "FOO3")));
        for text in ["Mars", "", "<x>", "AB1", "1000", "<>-02", "ABC-1:99", "ABC-1DEF", "NaN", "inf"] {
            check(text, None);
        }
    }

    #[test]
    fn arrow_knows_most() {
        assert_eq!(Zone::Fixed(-12_600).arrow_name().as_deref(), Some("-03:30"));
        assert_eq!(Zone::UTC.arrow_name().as_deref(), Some("UTC"));
        assert_eq!(Zone::Fixed(1).arrow_name(), None);
        assert_eq!(Zone::Fixed(100 * 3600).arrow_name(), None);
    }
}
