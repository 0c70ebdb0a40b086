//! Functions of a date: the value is a Unix time in seconds, read in UTC.

use super::math::map_floats;
use super::types::{VectorIn, VectorOut};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateFunction {
    DaysInMonth,
    DayOfMonth,
    /// Sunday is 0.
    DayOfWeek,
    /// The first of January is 1.
    DayOfYear,
    Hour,
    Minute,
    Month,
    Year,
}

impl DateFunction {
    /// The function of a PromQL name.
    pub fn from_name(name: &str) -> Option<Self> {
        use DateFunction::*;
        Some(match name {
            "days_in_month" => DaysInMonth,
            "day_of_month" => DayOfMonth,
            "day_of_week" => DayOfWeek,
            "day_of_year" => DayOfYear,
            "hour" => Hour,
            "minute" => Minute,
            "month" => Month,
            "year" => Year,
            _ => return None,
        })
    }

    pub fn apply(self, seconds: f64) -> f64 {
        use DateFunction::*;
        let seconds = whole_seconds(seconds);
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let result = match self {
            Hour => second / 3600,
            Minute => second / 60 % 60,
            // 1970-01-01 was a Thursday.
            DayOfWeek => (day + 4).rem_euclid(7),
            DaysInMonth | DayOfMonth | DayOfYear | Month | Year => {
                let (year, month, day_of_month) = civil_from_days(day);
                match self {
                    Year => year,
                    Month => month,
                    DayOfMonth => day_of_month,
                    DaysInMonth => days_in_month(year, month),
                    _ => (1..month).map(|m| days_in_month(year, m)).sum::<i64>() + day_of_month,
                }
            }
        };
        result as f64
    }

    pub fn evaluate(self, input: &VectorIn<'_>, out: &mut VectorOut<'_>) {
        map_floats(input, out, |_, v| Some(self.apply(v)));
    }
}

/// Seconds beyond an int64, infinities and NaN become what Go's conversion makes of them on amd64: the smallest int64,
/// whose date wraps around to that of the largest.
fn whole_seconds(seconds: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&seconds) { seconds as i64 } else { i64::MAX }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a day since the epoch, by counting from the first of March of eras of 400 years
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}
