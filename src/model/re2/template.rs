//! Replacements that refer to the groups of a pattern: `$1`, `${1}`, `$name`, `${name}`, and `$$` for a dollar sign.
//!
//! A name is as long as it can be, so that `$1x` is the group `1x`. What no group is called, and a group that took no
//! part, is empty; a dollar sign with anything else behind it is itself.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Groups of the same name that are told apart: in Go, the name means the first of all that took part in the match. Each
/// is one more look-up where a name leads to nothing, for every reference of every row.
const MAX_SAME_NAME: usize = 8;

/// Digits of a number. Go goes on while it is below 10^8.
const MAX_DIGITS: usize = 9;

/// What a name consists of.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{Nd}_]+").expect("the expression is as it stands"));

/// A piece of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'t> {
    Text(&'t str),
    Group(usize),
    Name(&'t str),
}

impl<'t> Part<'t> {
    /// What it stands for in a match.
    pub fn value(self, captures: &Captures<'t>) -> &'t str {
        let found = match self {
            Part::Text(text) => return text,
            Part::Group(index) => captures.get(index),
            // Mostly it is the group of just that name.
            Part::Name(name) => captures
                .name(name)
                .or_else(|| (0..MAX_SAME_NAME).find_map(|nth| captures.name(group_name(name, nth)?.as_str()))),
        };
        found.map_or("", |group| group.as_str())
    }
}

/// Appends `template` with its references filled in.
pub fn expand(template: &str, captures: &Captures<'_>, out: &mut String) {
    for part in parts(template) {
        out.push_str(part.value(captures));
    }
}

/// Whether nothing in `template` can be a reference.
pub fn is_plain(template: &str) -> bool {
    !template.contains('$')
}

/// The texts and references of a replacement, in order.
pub fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let (part, after) = next_part(rest)?;
        rest = after;
        Some(part)
    })
}

fn next_part(text: &str) -> Option<(Part<'_>, &str)> {
    match text.find('$') {
        None if text.is_empty() => None,
        None => Some((Part::Text(text), "")),
        Some(0) => Some(reference(text).unwrap_or_else(|| {
            let end = if text.starts_with("$$") { 2 } else { 1 };
            (Part::Text(&text[..1]), &text[end..])
        })),
        Some(start) => Some((Part::Text(&text[..start]), &text[start..])),
    }
}

/// The reference that `text` begins with.
fn reference(text: &str) -> Option<(Part<'_>, &str)> {
    let text = text.strip_prefix('$')?;
    let inside = text.strip_prefix('{');
    let name = NAME.find(inside.unwrap_or(text))?.as_str();
    let after = match inside {
        Some(inside) => inside[name.len()..].strip_prefix('}')?,
        None => &text[name.len()..],
    };
    Some((number(name).map_or(Part::Name(name), Part::Group), after))
}

/// A number without leading zeros; anything else is a name.
fn number(name: &str) -> Option<usize> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = name.len() == 1 || name.len() <= MAX_DIGITS && !name.starts_with('0');
    if is_number && is_short { name.parse().ok() } else { None }
}

/// The name by which the regex crate knows the `nth` group that is called `name`. There a name has no digit at the
/// beginning and is there once, but may have dots, which no name of Go's has.
pub(super) fn group_name(name: &str, nth: usize) -> Option<String> {
    let mark = if name.starts_with(|c: char| c.is_ascii_digit()) { "_." } else { "" };
    match nth {
        0 => Some(format!("{mark}{name}")),
        1..MAX_SAME_NAME => Some(format!("{mark}{name}.{nth}")),
        _ => None,
    }
}
