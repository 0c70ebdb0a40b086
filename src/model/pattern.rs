//! Regular expressions that label values are matched with, anchored as Prometheus anchors them.
//!
//! Most say no more than "one of these" or "begins with": dashboards put `a|b|c` and `.*` into their selectors. To compile
//! a regular expression takes longer than many a query, so those are found in its syntax tree and matched by hand.

use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::error::{Error, Result};
use crate::model::re2;

/// Memory that may be taken to find the texts of a pattern, for each byte of it and besides, and the characters of a class or
/// repetitions in it: what goes beyond is left to the regular expression, which has a limit of its own. A list of texts
/// takes less for each byte, however long it is.
const BYTES_PER_BYTE: usize = 32;
const MORE_BYTES: usize = 16 << 10;
const MAX_CLASS: usize = 16;

/// Groups and operators within each other in a pattern as it is compiled. The tree that it is printed from has fewer,
/// and its own limit.
const MAX_NESTED: u32 = 1000;

/// Of a regular expression as it is compiled, about: many of them may be asked for at a time.
const MAX_COMPILED_BYTES: usize = 4 << 20;

/// A compiled pattern. `.` matches a newline, and the whole value has to match, `^(?s:…)$`.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// One of these, sorted.
    OneOf(Vec<String>),
    /// A text at the beginning, and others behind it, in order, the last at the end: each after at least so many
    /// characters (none or one) of any kind.
    Pieces {
        first: String,
        others: Vec<(usize, String)>,
    },
    Regex(Regex),
}

impl Pattern {
    /// Fails where `pattern` is no regular expression.
    pub fn new(pattern: &str) -> Result<Self> {
        let tree = parse(pattern)?;
        if let Some(mut texts) = texts(&tree, &mut Room::of(pattern)) {
            texts.sort_unstable();
            texts.dedup();
            return Ok(Pattern::OneOf(texts));
        }
        match pieces(&tree, Room::of(pattern)) {
            Some((first, others)) => Ok(Pattern::Pieces { first, others }),
            None => compile(pattern, &tree).map(Pattern::Regex),
        }
    }

    pub fn is_match(&self, value: &str) -> bool {
        match self {
            Pattern::OneOf(texts) => texts.binary_search_by(|text| text.as_str().cmp(value)).is_ok(),
            Pattern::Pieces { first, others } => {
                value.strip_prefix(first.as_str()).is_some_and(|rest| has_pieces(rest, others))
            }
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Compiles a regular expression the way Prometheus does: anchored at both ends, `.` matches a newline.
pub fn anchored(pattern: &str) -> Result<Regex> {
    // The inner expression is looked at alone first, so that `a)(b` is refused as it stands.
    compile(pattern, &parse(pattern)?)
}

fn parse(pattern: &str) -> Result<Hir> {
    re2::parse(pattern, re2::Flags { dot_matches_newline: true }).map_err(|e| bad(pattern, &e))
}

/// The regular expression of `tree`, which `pattern` was parsed to.
fn compile(pattern: &str, tree: &Hir) -> Result<Regex> {
    // What Rust's grammar reads the same keeps its text, which is compared and shown.
    let theirs = ParserBuilder::new().dot_matches_new_line(true).build().parse(pattern);
    let is_same = theirs.is_ok_and(|theirs| theirs == *tree);
    let text = if is_same { format!("^(?s:{pattern})$") } else { format!("^(?:{})$", re2::to_rust(tree)) };
    RegexBuilder::new(&text)
        .nest_limit(MAX_NESTED)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|e| bad(pattern, &e))
}

fn bad(pattern: &str, error: &dyn std::error::Error) -> Error {
    Error::bad_input(format!("invalid regular expression {pattern:?}: {error}"))
}

/// Whether the pieces are in `rest` as [`Pattern::Pieces`] wants them. The first place of a piece is as good as any.
fn has_pieces(mut rest: &str, pieces: &[(usize, String)]) -> bool {
    let Some(((least, last), between)) = pieces.split_last() else { return rest.is_empty() };
    for (least, piece) in between {
        let mut skipped = rest.chars();
        if *least > 0 && skipped.next().is_none() {
            return false;
        }
        let Some((_, behind)) = skipped.as_str().split_once(piece.as_str()) else { return false };
        rest = behind;
    }
    rest.strip_suffix(last.as_str()).is_some_and(|before| before.len() >= *least)
}

/// What is left of the memory for texts.
struct Room(usize);

impl Room {
    fn of(pattern: &str) -> Self {
        Self(BYTES_PER_BYTE * pattern.len() + MORE_BYTES)
    }

    fn take(&mut self, count: usize, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(count.checked_mul(size_of::<String>())?.checked_add(bytes)?)?;
        Some(())
    }
}

/// All texts that match, if there is room for them.
fn texts(tree: &Hir, room: &mut Room) -> Option<Vec<String>> {
    match tree.kind() {
        HirKind::Empty => {
            room.take(1, 0)?;
            Some(vec![String::new()])
        }
        HirKind::Literal(literal) => {
            room.take(1, literal.0.len())?;
            Some(vec![String::from_utf8(literal.0.to_vec()).ok()?])
        }
        HirKind::Class(Class::Unicode(class)) => {
            let size: usize = class.iter().map(|range| range.len()).sum();
            room.take(size, size * char::MAX_LEN_UTF8).filter(|()| size <= MAX_CLASS)?;
            Some(class.iter().flat_map(|r| r.start()..=r.end()).map(String::from).collect())
        }
        HirKind::Capture(group) => texts(&group.sub, room),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![String::new()], |before, part| {
            let next = texts(part, room)?;
            products(&before, &next, room)
        }),
        HirKind::Alternation(choices) => {
            let mut all = vec![];
            for choice in choices {
                all.extend(texts(choice, room)?);
            }
            Some(all)
        }
        HirKind::Repetition(repeated) => {
            let most = repeated.max.filter(|most| *most <= MAX_CLASS as u32)?;
            let once = texts(&repeated.sub, room)?;
            let (mut all, mut times) = (vec![], vec![String::new()]);
            for count in 0..=most {
                if count > 0 {
                    times = products(&times, &once, room)?;
                }
                if count >= repeated.min {
                    room.take(times.len(), bytes(&times))?;
                    all.extend_from_slice(&times);
                }
            }
            Some(all)
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
    }
}

/// Every text of the first followed by every one of the second.
fn products(first: &[String], second: &[String], room: &mut Room) -> Option<Vec<String>> {
    let count = first.len().checked_mul(second.len())?;
    let of_first = bytes(first).checked_mul(second.len())?;
    room.take(count, of_first.checked_add(bytes(second).checked_mul(first.len())?)?)?;
    Some(first.iter().flat_map(|a| second.iter().map(move |b| format!("{a}{b}"))).collect())
}

fn bytes(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

/// The parts of [`Pattern::Pieces`].
fn pieces(tree: &Hir, mut room: Room) -> Option<(String, Vec<(usize, String)>)> {
    let parts = match tree.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        HirKind::Capture(group) => return pieces(&group.sub, room),
        _ => std::slice::from_ref(tree),
    };
    let mut first = String::new();
    let mut others: Vec<(usize, String)> = vec![];
    for part in parts {
        match gap(part) {
            Some(least) => match others.last_mut() {
                // Two in a row are one.
                Some((before, text)) if text.is_empty() => {
                    *before += least;
                    if *before > 1 {
                        return None;
                    }
                }
                _ => others.push((least, String::new())),
            },
            None => {
                let [text] = texts(part, &mut room)?.try_into().ok()?;
                others.last_mut().map_or(&mut first, |(_, last)| last).push_str(&text);
            }
        }
    }
    Some((first, others))
}

/// At least how many characters `.*` and `.+` stand for.
fn gap(tree: &Hir) -> Option<usize> {
    match tree.kind() {
        HirKind::Capture(group) => gap(&group.sub),
        HirKind::Repetition(repeated) if repeated.max.is_none() && repeated.min <= 1 && is_any(&repeated.sub) => {
            Some(repeated.min as usize)
        }
        _ => None,
    }
}

fn is_any(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        HirKind::Capture(group) => is_any(&group.sub),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
