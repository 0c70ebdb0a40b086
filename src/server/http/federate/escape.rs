//! Names that older readers would not take, made such that they do (`docs/instrumenting/escaping_schemes.md`).

use std::borrow::Cow;
use std::fmt::Write;

use crate::model::labels::is_legacy_metric_name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Names stay as they are, in quotes.
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl Escaping {
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "allow-utf-8" => Escaping::AllowUtf8,
            "underscores" => Escaping::Underscores,
            "dots" => Escaping::Dots,
            "values" => Escaping::Values,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// A name of a metric or a label. One that every reader takes is left alone.
    pub fn name(self, name: &str) -> Cow<'_, str> {
        if self == Escaping::AllowUtf8 || is_legacy_metric_name(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (position, c) in name.char_indices() {
            let plain = c.is_ascii_alphabetic() || c == ':' || (c.is_ascii_digit() && position > 0);
            match self {
                _ if plain => out.push(c),
                Escaping::AllowUtf8 | Escaping::Underscores => out.push('_'),
                Escaping::Dots if c == '.' => out.push_str("_dot_"),
                Escaping::Dots => out.push_str("__"),
                Escaping::Values if c == '_' => out.push_str("__"),
                Escaping::Values => {
                    // Writing to a string does not fail.
                    let _ = write!(out, "_{:x}_", c as u32);
                }
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name: &str, underscores: &str, dots: &str, values: &str| {
            assert_eq!(Escaping::AllowUtf8.name(name), name);
            assert_eq!(Escaping::Underscores.name(name), underscores);
            assert_eq!(Escaping::Dots.name(name), dots);
            assert_eq!(Escaping::Values.name(name), values);
        };
        check("plain_name:x1", "plain_name:x1", "plain_name:x1", "plain_name:x1");
        check("http.status", "http_status", "http_dot_status", "U__http_2e_status");
        check("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2e_b__c");
        check("0a", "_a", "__a", "U___30_a");
        check("größe", "gr__e", "gr____e", "U__gr_f6__df_e");
        check("a 🦀", "a__", "a____", "U__a_20__1f980_");
    }
}
