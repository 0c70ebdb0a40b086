//! Floats by verb, precision and flags: `strconv.AppendFloat` and what `fmt` makes of it.

use crate::model::float;

use super::flags::Flags;

/// No float has more digits behind the point than this; what is asked for beyond is zeros.
const MOST_DIGITS: usize = 1100;

/// `%e`, `%f`, `%g`, `%b`, `%x` and the ones with capitals. Without a precision, as many digits as the number needs;
/// `%e` and `%f` have six.
pub(super) fn format(flags: &Flags, number: f64, verb: char) -> Vec<u8> {
    let (verb, usual) = match verb {
        'v' => ('g', None),
        'F' => ('f', Some(6)),
        'f' | 'e' | 'E' => (verb, Some(6)),
        _ => (verb, None),
    };
    let precision = flags.precision.or(usual);
    let digits = unsigned(number.abs(), verb, precision);
    let sign = if number.is_sign_negative() && !number.is_nan() { '-' } else { '+' };
    if !number.is_finite() {
        return not_finite(flags, sign, &digits);
    }
    let digits = if flags.sharp && verb != 'b' { with_point(&digits, verb, precision) } else { digits };
    let sign = match sign {
        '+' if flags.plus => "+",
        '+' if flags.space => " ",
        '+' => "",
        _ => "-",
    };
    // Zeros come behind the sign.
    let width = flags.width.unwrap_or(0);
    if !sign.is_empty() && flags.zero && !flags.minus && width > digits.len() + 1 {
        return [sign.as_bytes(), &Flags { width: Some(width - 1), ..*flags }.pad(digits.as_bytes())].concat();
    }
    flags.pad(format!("{sign}{digits}").as_bytes())
}

/// `NaN` and the infinities are never padded with zeros, and an infinity always has its sign.
fn not_finite(flags: &Flags, sign: char, text: &str) -> Vec<u8> {
    let sign = match sign {
        '+' if flags.plus => "+",
        '+' if flags.space => " ",
        '+' if text == "NaN" => "",
        '+' => "+",
        _ => "-",
    };
    flags.pad_with_spaces(format!("{sign}{text}").as_bytes())
}

/// The digits of a number that is not negative.
fn unsigned(number: f64, verb: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".to_string();
    }
    if number.is_infinite() {
        return "Inf".to_string();
    }
    match verb {
        'e' | 'E' => cased(exponential(number, precision), verb),
        'f' => fixed(number, precision),
        'g' | 'G' => cased(general(number, precision), verb),
        'b' => binary(number),
        _ => cased(hex(number, precision), verb),
    }
}

fn cased(text: String, verb: char) -> String {
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

fn fixed(number: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return float::format_plain(number) };
    let shown = precision.min(MOST_DIGITS);
    format!("{number:.shown$}{}", "0".repeat(precision - shown))
}

fn exponential(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.*e}", precision.min(MOST_DIGITS)),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let zeros = "0".repeat(precision.unwrap_or(0).saturating_sub(MOST_DIGITS));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{mantissa}{zeros}e{sign}{exponent:0>2}")
}

fn general(number: f64, precision: Option<usize>) -> String {
    match precision {
        Some(precision) => float::format_general_digits(number, precision.min(MOST_DIGITS)),
        None => float::format_general(number),
    }
}

const MANTISSA_BITS: u32 = 52;

/// The mantissa as an integer, and the exponent that goes with it; the mantissa has its leading one.
fn parts(number: f64) -> (u64, i64) {
    let bits = number.to_bits();
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    match (bits >> MANTISSA_BITS) as i64 & 0x7ff {
        0 => (mantissa, -1074),
        exponent => (mantissa | 1 << MANTISSA_BITS, exponent - 1075),
    }
}

fn binary(number: f64) -> String {
    let (mantissa, exponent) = parts(number);
    format!("{mantissa}p{exponent:+}")
}

/// `0x1.8p+01`, rounded to even where digits are left out.
fn hex(number: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One digit before the point, and 60 bits behind it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision @ ..15) = precision {
        let dropped = 60 - 4 * precision as u32;
        let (kept, rest) = (mantissa >> dropped, mantissa & ((1 << dropped) - 1));
        let half = 1 << (dropped - 1);
        let is_up = rest > half || rest == half && kept & 1 == 1;
        mantissa = (kept + u64::from(is_up)) << dropped;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_string(),
        Some(precision) => {
            let shown = &fraction[..precision.min(15)];
            format!("{shown}{}", "0".repeat(precision - shown.len()))
        }
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{fraction}p{sign}{:02}", mantissa >> 60, exponent.abs())
}

/// With `#`: there is a point, and zeros stay that `%g` leaves out.
fn with_point(text: &str, verb: char, precision: Option<usize>) -> String {
    let mut wanted = match verb {
        'g' | 'G' | 'x' => precision.unwrap_or(6) as i64,
        _ => 0,
    };
    let is_hex = matches!(verb, 'x' | 'X');
    let tail_at = text.find(|c| matches!(c, 'p' | 'P') || !is_hex && matches!(c, 'e' | 'E'));
    let (digits, tail) = text.split_at(tail_at.unwrap_or(text.len()));
    let significant = digits.trim_start_matches(['0', '.']).chars().filter(|c| *c != '.').count();
    wanted -= significant as i64;
    let mut out = digits.to_string();
    if !digits.contains('.') {
        wanted -= i64::from(digits == "0");
        out.push('.');
    }
    format!("{out}{}{tail}", "0".repeat(wanted.max(0) as usize))
}
