//! Doubles as text, as PostgreSQL 12 and later write them.

use std::fmt::Write;

/// Shortest text that reads back the same, in Postgres' notation (`99`, `1e+20`, `NaN`, `Infinity`).
pub fn float_text(out: &mut String, value: f64) {
    if let Some(word) = not_finite(value) {
        return out.push_str(word);
    }
    shortest(out, &format!("{value:e}"), value == 0.0 && value.is_sign_negative(), 15);
}

/// The same of a `real`.
pub fn float32_text(out: &mut String, value: f32) {
    if let Some(word) = not_finite(f64::from(value)) {
        return out.push_str(word);
    }
    shortest(out, &format!("{value:e}"), value == 0.0 && value.is_sign_negative(), 6);
}

fn not_finite(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        None
    }
}

/// From Rust's `d.ddde<exp>`: plain digits for exponents in -4..limit, else Postgres' `d.ddde+XX`.
fn shortest(out: &mut String, scientific: &str, negative_zero: bool, limit: i32) {
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the format writes an integer exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => (if negative_zero { "-" } else { "" }, mantissa),
    };
    out.push_str(sign);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < -4 || exponent >= limit {
        out.push_str(mantissa);
        let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(&digits);
    } else if digits.len() as i32 <= exponent + 1 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', exponent as usize + 1 - digits.len()));
    } else {
        let (whole, rest) = digits.split_at(exponent as usize + 1);
        out.push_str(whole);
        out.push('.');
        out.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_postgres_prints_them() {
        for (value, want) in [
            (99.0, "99"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e20, "1e+20"),
            (123456789012345.0, "123456789012345"),
            (1e15, "1e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (12345.678, "12345.678"),
        ] {
            let mut out = String::new();
            float_text(&mut out, value);
            assert_eq!(out, want);
        }
    }
}
