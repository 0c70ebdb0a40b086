//! Names of metrics and labels, and units, after `prometheus/otlptranslator`.

use crate::config::otlp::{OtlpConfig, Strategy};

/// What of a metric decides on its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    /// A sum that may fall, a histogram, a summary.
    Other,
}

/// Units in the short forms of UCUM, and Prometheus' words for them.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Units behind a slash.
const PER_UNITS: &[(&str, &str)] =
    &[("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The name of a metric's series.
///
/// # Errors
/// A name of which nothing is left, in Prometheus' words.
pub fn metric(strategy: Strategy, name: &str, unit: &str, kind: Kind) -> Result<String, String> {
    if !strategy.escape {
        return Ok(if strategy.suffixes { with_suffixes(name, unit, kind) } else { name.to_string() });
    }
    let built = match strategy.suffixes {
        true => from_tokens(name, unit, kind),
        false => not_starting_with_digit(fields(name, |c| is_plain(c) || c == '_').join("_")),
    };
    if built.is_empty() {
        return Err(format!("normalization for metric {name:?} resulted in empty name"));
    }
    if built != name && only_underscores(&built) {
        return Err(format!("normalization for metric {name:?} resulted in invalid name {built:?}"));
    }
    Ok(built)
}

/// The unit of a metric's metadata.
pub fn unit(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(main), clean(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let text = joined.strip_prefix('_').unwrap_or(&joined);
    text.strip_suffix('_').unwrap_or(text).to_string()
}

/// The name of the label of an attribute.
///
/// # Errors
/// A name that is empty or has nothing but underscores, in Prometheus' words.
pub fn label(config: &OtlpConfig, name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Err("label name is empty".into());
    }
    if !config.strategy.escape {
        return match only_underscores(name) {
            true => Err(format!("label name {name:?} contains only underscores")),
            false => Ok(name.to_string()),
        };
    }
    let mut built = match config.keep_multiple_underscores {
        true => name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect(),
        false => single_underscores(name),
    };
    if built.starts_with(|c: char| c.is_ascii_digit()) {
        built.insert_str(0, "key_");
    } else if config.sanitize_underscores && built.starts_with('_') && !built.starts_with("__") {
        built.insert_str(0, "key");
    }
    match only_underscores(&built) {
        true => Err(format!("normalization for label name {name:?} resulted in invalid name {built:?}")),
        false => Ok(built),
    }
}

/// Other characters become one underscore for each run of them; those around a reserved name stay.
fn single_underscores(name: &str) -> String {
    let inner = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let mut out = String::with_capacity(name.len());
    if inner.is_some() {
        out.push_str("__");
    }
    let mut behind_underscore = false;
    for c in inner.unwrap_or(name).chars() {
        let is_plain = c.is_ascii_alphanumeric();
        if is_plain || !behind_underscore {
            out.push(if is_plain { c } else { '_' });
        }
        behind_underscore = !is_plain;
    }
    if inner.is_some() {
        out.push_str("__");
    }
    out
}

/// A name of the words of the given one, with its unit and `_total` or `_ratio` behind them.
fn from_tokens(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(main), clean(&per));
    let mut tokens = fields(name, is_plain);
    let (mut main, mut per) = (main.as_str(), per.as_str());
    if tokens.contains(&main) {
        main = "";
    }
    per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(per) };
    if tokens.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].iter().filter(|word| !word.is_empty()));
    let last = match kind {
        Kind::Counter => Some("total"),
        // Many count objects with unit 1, and a counter is no ratio.
        Kind::Gauge if unit == "1" => Some("ratio"),
        Kind::Gauge | Kind::Other => None,
    };
    if let Some(last) = last {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    not_starting_with_digit(tokens.join("_"))
}

/// The name as it is, with its unit and `_total` or `_ratio` at its end.
fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_words(unit);
    let last = match kind {
        Kind::Counter => "total",
        Kind::Gauge if unit == "1" => "ratio",
        Kind::Gauge | Kind::Other => "",
    };
    let name = without_suffix(without_suffix(name, last), &per);
    let mut out = name.to_string();
    if !main.is_empty() && !name.ends_with(main) {
        out = format!("{out}_{main}");
    }
    for suffix in [per.as_str(), last].iter().filter(|suffix| !suffix.is_empty()) {
        out = format!("{out}_{suffix}");
    }
    out
}

/// Without a suffix and the delimiter in front of it, whatever that is.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    if suffix.is_empty() || name.len() <= suffix.len() + 1 {
        return name;
    }
    let Some(rest) = name.strip_suffix(suffix) else { return name };
    let mut chars = rest.chars();
    chars.next_back();
    chars.as_str()
}

/// The words of a unit, and of what is behind its slash with `per_` in front. Annotations in braces are no units.
fn unit_words(unit: &str) -> (&str, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |words: &[(&'static str, &'static str)], short: &'_ str| {
        words.iter().find(|(unit, _)| *unit == short).map(|(_, word)| *word)
    };
    let is_unit = |text: &&str| !text.is_empty() && !text.contains(['{', '}']);
    let main = Some(main.trim()).filter(is_unit).map_or("", |main| word(UNITS, main).unwrap_or(main));
    let per = Some(per.trim()).filter(is_unit).map_or("", |per| word(PER_UNITS, per).unwrap_or(per));
    (main, if per.is_empty() { String::new() } else { format!("per_{per}") })
}

/// Characters that are no name become underscores, no two beside each other and none in front.
fn clean(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        match is_plain(c) {
            true => out.push(c),
            false if out.is_empty() || out.ends_with('_') => {}
            false => out.push('_'),
        }
    }
    out
}

fn fields(text: &str, keep: impl Fn(char) -> bool) -> Vec<&str> {
    text.split(|c| !keep(c)).filter(|token| !token.is_empty()).collect()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn only_underscores(name: &str) -> bool {
    name.chars().all(|c| c == '_')
}

fn not_starting_with_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Strategy = Strategy { escape: true, suffixes: true };
    const UTF8: Strategy = Strategy { escape: false, suffixes: true };

    #[test]
    fn metrics_with_suffixes() {
        let check = |name: &str, unit: &str, kind: Kind, plain: &str, utf8: &str| {
            assert_eq!(metric(PLAIN, name, unit, kind).unwrap(), plain, "{name:?} {unit:?}");
            assert_eq!(metric(UTF8, name, unit, kind).unwrap(), utf8, "{name:?} {unit:?} as it is");
        };
        use Kind::{Counter, Gauge, Other};
        check("http.server.duration", "s", Other, "http_server_duration_seconds", "http.server.duration_seconds");
        check("requests", "1", Counter, "requests_total", "requests_total");
        check("requests.total", "", Counter, "requests_total", "requests_total");
        check("total.requests", "", Counter, "requests_total", "total.requests_total");
        check("system.io", "foo/bar", Counter, "system_io_foo_per_bar_total", "system.io_foo_per_bar_total");
        check("system.io", "__test $/°C", Counter, "system_io_test_per_C_total", "system.io___test $_per_°C_total");
        check("system.io", "By/s", Gauge, "system_io_bytes_per_second", "system.io_bytes_per_second");
        check("network.bytes", "By", Counter, "network_bytes_total", "network.bytes_total");
        check("network.bytes.in", "By", Gauge, "network_bytes_in", "network.bytes.in_bytes");
        check("hertz.reached", "Hz", Gauge, "hertz_reached", "hertz.reached_hertz");
        check("load", "1", Gauge, "load_ratio", "load_ratio");
        check("load.ratio", "1", Gauge, "load_ratio", "load_ratio");
        check("ratio.load", "1", Gauge, "load_ratio", "ratio.load_ratio");
        check("load", "1", Other, "load", "load");
        check("cpu", "%", Gauge, "cpu_percent", "cpu_percent");
        check("jobs", "{job}", Gauge, "jobs", "jobs");
        check("jobs", "{job}/s", Gauge, "jobs_per_second", "jobs_per_second");
        check("jobs", "s/{job}", Gauge, "jobs_seconds", "jobs_seconds");
        check("jobs", "/", Gauge, "jobs", "jobs");
        check("jobs", "1/m", Gauge, "jobs_per_minute", "jobs_per_minute");
        check("3xx.rate", "", Gauge, "_3xx_rate", "3xx.rate");
        check("a__b..c", "", Gauge, "a_b_c", "a__b..c");
        check("a:b", "", Gauge, "a:b", "a:b");
        check("größe", "", Gauge, "gr_e", "größe");
        check("_leading", "", Gauge, "leading", "_leading");
    }

    #[test]
    fn metrics_without_suffixes() {
        let check = |name: &str, expected: &str| {
            let strategy = Strategy { escape: true, suffixes: false };
            assert_eq!(metric(strategy, name, "s", Kind::Counter).unwrap(), expected, "{name:?}");
            let strategy = Strategy { escape: false, suffixes: false };
            assert_eq!(metric(strategy, name, "s", Kind::Counter).unwrap(), name);
        };
        check("http.server.duration", "http_server_duration");
        check("a__b..c", "a__b_c");
        check("_a_", "_a_");
        check("3xx", "_3xx");
        check("_", "_");
    }

    #[test]
    fn metrics_of_which_nothing_is_left() {
        let check = |suffixes: bool, name: &str, expected: &str| {
            let strategy = Strategy { escape: true, suffixes };
            assert_eq!(metric(strategy, name, "", Kind::Gauge).unwrap_err(), expected);
        };
        check(true, "", r#"normalization for metric "" resulted in empty name"#);
        check(true, "___", r#"normalization for metric "___" resulted in empty name"#);
        check(true, "é", r#"normalization for metric "é" resulted in empty name"#);
        check(false, "._.", r#"normalization for metric "._." resulted in invalid name "_""#);
    }

    #[test]
    fn units() {
        let check = |given: &str, expected: &str| assert_eq!(unit(given), expected, "{given:?}");
        check("s", "seconds");
        check("By/s", "bytes_per_second");
        check("1", "");
        check("1/s", "per_second");
        check("{request}", "");
        check("m/s^2", "meters_per_s_2");
        check(" s ", "seconds");
        check("$/°C", "per_C");
        check("%", "percent");
    }

    #[test]
    fn labels() {
        let check = |sanitize: bool, keep: bool, name: &str, expected: &str| {
            let config = OtlpConfig {
                sanitize_underscores: sanitize,
                keep_multiple_underscores: keep,
                ..OtlpConfig::default()
            };
            assert_eq!(label(&config, name).unwrap(), expected, "{sanitize} {keep} {name:?}");
        };
        for (sanitize, keep) in [(true, true), (true, false), (false, true), (false, false)] {
            check(sanitize, keep, "http.method", "http_method");
            check(sanitize, keep, "plain_name", "plain_name");
            check(sanitize, keep, "0digit", "key_0digit");
            check(sanitize, keep, "__reserved__", "__reserved__");
            check(sanitize, keep, "é1", if sanitize { "key_1" } else { "_1" });
        }
        check(true, true, "_private", "key_private");
        check(false, true, "_private", "_private");
        check(true, true, "__two", "__two");
        check(true, false, "__two", "key_two");
        check(true, true, "a..b__c", "a__b__c");
        check(true, false, "a..b__c", "a_b_c");
        check(true, false, "__a..b__", "__a_b__");
        check(true, true, "a:b", "a_b");
    }

    #[test]
    fn labels_that_are_none() {
        let check = |escape: bool, name: &str, expected: &str| {
            let strategy = Strategy { escape, suffixes: true };
            let config = OtlpConfig { strategy, ..OtlpConfig::default() };
            assert_eq!(label(&config, name).unwrap_err(), expected);
        };
        check(true, "", "label name is empty");
        check(false, "", "label name is empty");
        check(false, "__", r#"label name "__" contains only underscores"#);
        check(true, "__", r#"normalization for label name "__" resulted in invalid name "__""#);
        let utf8 = OtlpConfig { strategy: UTF8, ..OtlpConfig::default() };
        assert_eq!(label(&utf8, "http.größe").unwrap(), "http.größe");
    }
}
