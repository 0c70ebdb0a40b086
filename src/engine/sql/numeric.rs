//! Numbers of digits, PostgreSQL's `numeric`, as far as they have 38 of them: what is written with a point is one.

/// So many digits, and how many of them are behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numeric {
    digits: i128,
    scale: u32,
}

const MAX_SCALE: u32 = 38;
/// Digits that a quotient has at least, in PostgreSQL's groups of four.
const QUOTIENT_DIGITS: i32 = 16;
const GROUP: i32 = 4;

fn power(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// Half away from zero.
fn divided(of: i128, by: i128) -> i128 {
    let (quotient, rest) = (of / by, of % by);
    let away = rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs();
    let sign = if (of < 0) == (by < 0) { 1 } else { -1 };
    if away && rest != 0 { quotient + sign } else { quotient }
}

impl Numeric {
    /// Of `12`, `1.50`, `.5`, `1e-3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{part}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = all.parse::<i128>().ok()?;
        let scale = i32::try_from(part.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(scale) {
            Ok(scale) => (scale <= MAX_SCALE).then_some(Self { digits, scale }),
            Err(_) => Some(Self { digits: digits.checked_mul(power(scale.unsigned_abs())?)?, scale: 0 }),
        }
    }

    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    pub fn scale(self) -> u32 {
        self.scale
    }

    /// The same with so many digits behind the point, which are no fewer.
    fn with_scale(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(power(scale.checked_sub(self.scale)?)?)
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        Some((self.with_scale(scale)?, other.with_scale(scale)?, scale))
    }

    pub fn negated(self) -> Self {
        Self { digits: -self.digits, ..self }
    }

    pub fn plus(self, other: Self) -> Option<Self> {
        let (one, other, scale) = self.aligned(other)?;
        Some(Self { digits: one.checked_add(other)?, scale })
    }

    pub fn times(self, other: Self) -> Option<Self> {
        let scale = self.scale + other.scale;
        (scale <= MAX_SCALE).then_some(Self { digits: self.digits.checked_mul(other.digits)?, scale })
    }

    /// What is left of a division by what is not zero.
    pub fn rest(self, by: Self) -> Option<Self> {
        let (one, by, scale) = self.aligned(by)?;
        Some(Self { digits: one.checked_rem(by)?, scale })
    }

    /// The group of four digits it begins with, and its place.
    fn first_group(self) -> Option<(i32, i128)> {
        let digits = self.digits.unsigned_abs();
        let Some(places) = digits.checked_ilog10() else { return Some((0, 0)) };
        let place = (places as i32 - self.scale as i32).div_euclid(GROUP);
        let shift = GROUP * place + self.scale as i32;
        let digits = i128::try_from(digits).ok()?;
        let group = match u32::try_from(shift) {
            Ok(shift) => digits / power(shift)?,
            Err(_) => digits.checked_mul(power(shift.unsigned_abs())?)?,
        };
        Some((place, group))
    }

    /// By what is not zero, with as many digits as PostgreSQL's `select_div_scale` has.
    pub fn over(self, by: Self) -> Option<Self> {
        let ((place, group), (by_place, by_group)) = (self.first_group()?, by.first_group()?);
        let places = place - by_place - i32::from(group <= by_group);
        let scale = (QUOTIENT_DIGITS - places * GROUP).max(0).unsigned_abs().max(self.scale).max(by.scale);
        if scale > MAX_SCALE {
            return None;
        }
        let numerator = self.digits.checked_mul(power(scale + by.scale - self.scale)?)?;
        Some(Self { digits: divided(numerator, by.digits), scale })
    }

    /// With so many digits behind the point, or zeros before it.
    pub fn rounded(self, places: i32) -> Option<Self> {
        self.cut(places, divided)
    }

    pub fn truncated(self, places: i32) -> Option<Self> {
        self.cut(places, |of, by| of / by)
    }

    fn cut(self, places: i32, divided: fn(i128, i128) -> i128) -> Option<Self> {
        let scale = u32::try_from(places).unwrap_or(0);
        if scale > MAX_SCALE {
            return None;
        }
        if scale >= self.scale {
            return Some(Self { digits: self.with_scale(scale)?, scale });
        }
        let dropped = u32::try_from(i64::from(self.scale) - i64::from(places)).ok()?;
        let Some(by) = power(dropped) else { return Some(Self { digits: 0, scale }) };
        let kept = divided(self.digits, by);
        Some(Self { digits: kept.checked_mul(power(scale + dropped - self.scale)?)?, scale })
    }

    /// The next whole number, up or down.
    pub fn whole(self, up: bool) -> Option<Self> {
        let by = power(self.scale)?;
        let floor = self.digits.div_euclid(by);
        let above = up && self.digits.rem_euclid(by) != 0;
        Some(Self { digits: floor.checked_add(above.into())?, scale: 0 })
    }

    pub fn absolute(self) -> Self {
        Self { digits: self.digits.abs(), ..self }
    }

    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// Without a sign.
    pub fn text(self) -> String {
        let digits = self.digits.unsigned_abs().to_string();
        let scale = self.scale as usize;
        if scale == 0 {
            return digits;
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, part) = padded.split_at(padded.len() - scale);
        format!("{whole}.{part}")
    }

    /// Digits that a type for it has at least.
    pub fn precision(self) -> u32 {
        let digits = self.digits.unsigned_abs().checked_ilog10().map_or(1, |places| places + 1);
        digits.max(self.scale + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Numeric {
        match text.strip_prefix('-') {
            Some(text) => Numeric::parse(text).unwrap().negated(),
            None => Numeric::parse(text).unwrap(),
        }
    }

    fn text(of: Option<Numeric>) -> String {
        let of = of.unwrap();
        format!("{}{}", if of.is_negative() { "-" } else { "" }, of.text())
    }

    /// All of it is PostgreSQL 15's own answer.
    #[test]
    fn arithmetic() {
        assert_eq!(text(Some(of("1e3"))), "1000");
        assert_eq!(text(Some(of("1.5e-3"))), "0.0015");
        assert_eq!(text(of("0.1").plus(of("0.2"))), "0.3");
        assert_eq!(text(of("1.10").plus(of("1"))), "2.10");
        assert_eq!(text(of("1.50").times(of("2"))), "3.00");
        assert_eq!(text(of("5").rest(of("3.2"))), "1.8");
        for (one, other, expected) in [
            ("7", "2.0", "3.5000000000000000"),
            ("100.0", "3", "33.3333333333333333"),
            ("1.0", "3", "0.33333333333333333333"),
            ("0.001", "7", "0.00014285714285714286"),
            ("-7.5", "2", "-3.7500000000000000"),
            ("10.0", "2.50", "4.0000000000000000"),
            ("0.0", "3", "0.00000000000000000000"),
        ] {
            assert_eq!(text(of(one).over(of(other))), expected, "{one} / {other}");
        }
    }

    #[test]
    fn rounding() {
        assert_eq!(text(of("1.005").rounded(2)), "1.01");
        assert_eq!(text(of("-2.5").rounded(0)), "-3");
        assert_eq!(text(of("1234.567").rounded(-2)), "1200");
        assert_eq!(text(of("1234.567").rounded(-9)), "0");
        assert_eq!(text(of("1000").rounded(2)), "1000.00");
        assert_eq!(text(of("-1.29").truncated(1)), "-1.2");
        assert_eq!(text(of("1.2").whole(true)), "2");
        assert_eq!(text(of("-1.2").whole(false)), "-2");
        assert_eq!(text(of("0.05").rounded(1)), "0.1");
    }

    #[test]
    fn what_has_too_many_digits() {
        let most = of("99999999999999999999999999999999999999");
        assert!(most.plus(of("1")).is_some() && most.plus(most).is_none() && most.times(most).is_none());
        assert!(Numeric::parse("1e300").is_none() && Numeric::parse("1e-300").is_none());
        assert!(Numeric::parse("1e99999999999").is_none() && Numeric::parse(".").is_none());
    }
}
