//! Functions of a date: the value is a Unix time in seconds, read in UTC.

pub fn year(seconds: f64) -> f64 {
    date(seconds).year as f64
}

pub fn month(seconds: f64) -> f64 {
    date(seconds).month as f64
}

pub fn day_of_month(seconds: f64) -> f64 {
    date(seconds).day as f64
}

/// The first of January is 1.
pub fn day_of_year(seconds: f64) -> f64 {
    let Date { year, month, day } = date(seconds);
    ((1..month).map(|m| length_of_month(year, m)).sum::<i64>() + day) as f64
}

pub fn days_in_month(seconds: f64) -> f64 {
    let Date { year, month, .. } = date(seconds);
    length_of_month(year, month) as f64
}

/// Sunday is 0. 1970-01-01 was a Thursday.
pub fn day_of_week(seconds: f64) -> f64 {
    (day_since_epoch(seconds) + 4).rem_euclid(7) as f64
}

pub fn hour(seconds: f64) -> f64 {
    (second_of_day(seconds) / 3600) as f64
}

pub fn minute(seconds: f64) -> f64 {
    (second_of_day(seconds) / 60 % 60) as f64
}

/// Months and days begin with 1.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

fn date(seconds: f64) -> Date {
    civil_from_days(day_since_epoch(seconds))
}

fn day_since_epoch(seconds: f64) -> i64 {
    whole_seconds(seconds).div_euclid(86_400)
}

fn second_of_day(seconds: f64) -> i64 {
    whole_seconds(seconds).rem_euclid(86_400)
}

/// Seconds beyond an int64, infinities and NaN become what Go's conversion makes of them on amd64: the smallest int64,
/// whose date wraps around to that of the largest.
fn whole_seconds(seconds: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&seconds) { seconds as i64 } else { i64::MAX }
}

fn length_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The date of a day since the epoch, by counting from the first of March of eras of 400 years
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(day: i64) -> Date {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Date { year: era * 400 + year_of_era + i64::from(month <= 2), month, day: day_of_month }
}
