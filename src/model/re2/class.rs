//! What is in brackets, and the classes that have names.
//!
//! Inside brackets only `]`, `^` at the beginning, `-` between two characters, a backslash and `[:name:]` are special.
//! Where cases do not count, a class first gets all cases of what is in it, and is negated after that.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::escape::escape;
use super::node::Node;
use super::parser::Parser;
use super::{Error, Mistake, before, unicode};

/// The first and the last character that have other cases, roughly.
const FOLDED: (char, char) = ('A', '\u{1e943}');

type Ranges = [(char, char)];

const DIGITS: &Ranges = &[('0', '9')];
const WORD: &Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `\d` and so on; the capital letter is the negation.
const PERL: &[(char, &Ranges)] = &[('d', DIGITS), ('s', &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]), ('w', WORD)];

/// `[:name:]`, and `[:^name:]` for the negation.
const POSIX: &[(&str, &Ranges)] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGITS),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

fn class_of(ranges: &Ranges) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(start, end)| ClassUnicodeRange::new(*start, *end)))
}

/// The characters from one code point to another, without surrogates.
fn range(start: u32, end: u32) -> Option<ClassUnicodeRange> {
    let start = char::from_u32(start).unwrap_or('\u{e000}');
    let end = char::from_u32(end).unwrap_or('\u{d7ff}');
    (start <= end).then(|| ClassUnicodeRange::new(start, end))
}

/// A class while it is read. Ranges are put in order once, at its end.
#[derive(Default)]
struct Parts {
    /// Characters and ranges as they were written.
    written: Vec<ClassUnicodeRange>,
    /// What came from classes with names, which have all cases already.
    named: Vec<ClassUnicodeRange>,
}

impl<'p> Parser<'p> {
    /// Reads `[…]`.
    pub(super) fn class(&mut self) -> Result<(), Error> {
        let class = self.rest;
        self.rest = &class[1..];
        let negated = self.skip('^');
        let mut parts = Parts::default();
        let mut is_first = true;
        // A bracket at the beginning is a character of the class.
        while is_first || !self.skip(']') {
            is_first = false;
            self.class_part(class, &mut parts)?;
        }
        let written = self.folded(ClassUnicode::new(parts.written))?;
        let mut all = ClassUnicode::new(parts.named);
        all.union(&written);
        if negated {
            all.negate();
        }
        self.push_node(Node::class(all))
    }

    fn skip(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).inspect(|rest| self.rest = rest).is_some()
    }

    /// One character, range, or class with a name.
    fn class_part(&mut self, class: &'p str, parts: &mut Parts) -> Result<(), Error> {
        let named = match self.posix_class()? {
            None => self.class_escape()?,
            found => found,
        };
        if let Some(named) = named {
            parts.named.extend_from_slice(named.ranges());
            return Ok(());
        }
        let text = self.rest;
        let start = self.class_char(class)?;
        let mut end = start;
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
            self.rest = &self.rest[1..];
            end = self.class_char(class)?;
        }
        if end < start {
            return Err(Error::new(Mistake::ClassRange, before(text, self.rest)));
        }
        self.take_ranges(1)?;
        parts.written.extend(range(start, end));
        Ok(())
    }

    fn class_char(&mut self, class: &'p str) -> Result<u32, Error> {
        let (code, rest) = match self.rest.chars().next() {
            None => return Err(Error::new(Mistake::MissingBracket, class)),
            Some('\\') => escape(self.rest)?,
            Some(c) => (u32::from(c), &self.rest[c.len_utf8()..]),
        };
        self.rest = rest;
        Ok(code)
    }

    /// `[:name:]`, if that is what comes. Without its end it is characters.
    fn posix_class(&mut self) -> Result<Option<ClassUnicode>, Error> {
        let Some(text) = self.rest.strip_prefix("[:").filter(|_| self.has_posix_end) else { return Ok(None) };
        let Some((name, after)) = text.split_once(":]") else {
            self.has_posix_end = false;
            return Ok(None);
        };
        let (negated, bare) = name.strip_prefix('^').map_or((false, name), |bare| (true, bare));
        let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == bare) else {
            return Err(Error::new(Mistake::ClassRange, before(self.rest, after)));
        };
        self.rest = after;
        self.named_class(class_of(ranges), negated).map(Some)
    }

    /// `\d`, `\pL` or `\p{Greek}`, if that is what comes.
    pub(super) fn class_escape(&mut self) -> Result<Option<ClassUnicode>, Error> {
        let Some(text) = self.rest.strip_prefix('\\') else { return Ok(None) };
        let Some(letter) = text.chars().next().filter(char::is_ascii) else { return Ok(None) };
        let after = &text[1..];
        if matches!(letter, 'p' | 'P') {
            return self.unicode_class(after, letter == 'P').map(Some);
        }
        let Some((_, ranges)) = PERL.iter().find(|(known, _)| *known == letter.to_ascii_lowercase()) else {
            return Ok(None);
        };
        self.rest = after;
        self.named_class(class_of(ranges), letter.is_ascii_uppercase()).map(Some)
    }

    /// What follows `\p`: a letter, or a name in braces.
    fn unicode_class(&mut self, text: &'p str, mut negated: bool) -> Result<ClassUnicode, Error> {
        let (name, after) = match text.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or_else(|| Error::new(Mistake::ClassRange, self.rest))?,
            None => text.split_at(text.chars().next().map_or(0, char::len_utf8)),
        };
        let bare = name.strip_prefix('^').inspect(|_| negated = !negated).unwrap_or(name);
        let Some(class) = unicode::class(bare) else {
            return Err(Error::new(Mistake::ClassRange, before(self.rest, after)));
        };
        self.rest = after;
        self.named_class(class, negated)
    }

    fn named_class(&mut self, class: ClassUnicode, negated: bool) -> Result<ClassUnicode, Error> {
        let mut class = self.folded(class)?;
        if negated {
            class.negate();
        }
        self.take_ranges(class.ranges().len().max(1))?;
        Ok(class)
    }

    /// With all cases of what is in it, where cases do not count.
    fn folded(&mut self, mut class: ClassUnicode) -> Result<ClassUnicode, Error> {
        if !self.modes.fold {
            return Ok(class);
        }
        let mut cased = class_of(&[FOLDED]);
        let most = cased.ranges()[0].len();
        cased.intersect(&class);
        let count = cased.iter().map(|range| range.len()).sum();
        if count < most {
            self.take_folded(count)?;
            cased.case_fold_simple();
            class.union(&cased);
        }
        Ok(class)
    }

    /// All cases of a character, if there are several and cases do not count.
    pub(super) fn cases(&self, c: char) -> Option<ClassUnicode> {
        if !self.modes.fold {
            return None;
        }
        let mut class = class_of(&[(c, c)]);
        class.case_fold_simple();
        (class.iter().map(|range| range.len()).sum::<usize>() > 1).then_some(class)
    }
}
