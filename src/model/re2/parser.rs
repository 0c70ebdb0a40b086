//! Text to tree, in one pass and without recursion: what is open waits on a stack.

use std::collections::HashMap;
use std::mem;

use regex_syntax::hir::{Dot, Hir, Look};

use super::escape::escape;
use super::node::{MAX_REPEAT, Node, Repeat};
use super::template::group_name;
use super::{Error, Flags, Mistake, before};

/// Ranges that all classes of a pattern may have together, 8 MiB of them. Go allows 16 times as many, but the regex
/// crate would refuse what they compile to.
const MAX_RANGES: usize = 1 << 20;
/// Nodes that a pattern may have, each of some hundred bytes: its choices, and what is no literal. Go counts their
/// instructions alone, and allows ten times as many.
const MAX_NODES: usize = 1 << 18;
/// Groups that may be open at once, of about a hundred bytes each. In Go only those that capture are limited.
const MAX_OPEN: usize = 1 << 16;
/// Characters that may be looked up for their other cases, a tenth of a second's.
const MAX_FOLDED: usize = 1 << 24;

pub(super) fn parse(pattern: &str, flags: Flags) -> Result<Hir, Error> {
    Parser::new(pattern, flags).run()
}

/// The flags in force, by what they do.
#[derive(Clone, Copy, Default)]
pub(super) struct Modes {
    /// `i`
    pub(super) fold: bool,
    /// `s`
    dot_matches_newline: bool,
    /// `m`
    lines: bool,
    /// `U`
    lazy: bool,
}

impl Modes {
    fn flag(&mut self, letter: char) -> Option<&mut bool> {
        match letter {
            'i' => Some(&mut self.fold),
            's' => Some(&mut self.dot_matches_newline),
            'm' => Some(&mut self.lines),
            'U' => Some(&mut self.lazy),
            _ => None,
        }
    }
}

pub(super) struct Parser<'p> {
    pattern: &'p str,
    /// What was not read yet.
    pub(super) rest: &'p str,
    pub(super) modes: Modes,
    /// The innermost open group, the whole pattern at first.
    group: Group,
    /// Those around it.
    around: Vec<Group>,
    captures: u32,
    /// How many groups have a name.
    names: HashMap<&'p str, usize>,
    /// Whether `:]` may still come, so that it is not looked for again and again.
    pub(super) has_posix_end: bool,
    nodes: usize,
    ranges: usize,
    folded: usize,
}

/// An open group.
#[derive(Default)]
struct Group {
    /// What was in force before it, and is again behind it.
    modes: Modes,
    capture: Option<(u32, Option<Box<str>>)>,
    /// What was read of it, without its last choice.
    choices: Vec<Node>,
    parts: Vec<Node>,
    /// The literal that the last choice ends with, which is not yet one of its parts.
    literal: String,
}

impl Group {
    fn push(&mut self, node: Node) {
        self.end_literal();
        self.parts.push(node);
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push(Node::literal(&mem::take(&mut self.literal)));
        }
    }

    /// What a repetition operator repeats: of a literal, the last character.
    fn pop(&mut self) -> Option<Node> {
        match self.literal.pop() {
            Some(last) => {
                self.end_literal();
                Some(Node::literal(last.encode_utf8(&mut [0; 4])))
            }
            None => self.parts.pop(),
        }
    }

    fn end_choice(&mut self) -> Result<(), Mistake> {
        self.end_literal();
        self.choices.push(Node::concat(mem::take(&mut self.parts))?);
        Ok(())
    }

    fn close(mut self) -> Result<Node, Mistake> {
        self.end_choice()?;
        let node = Node::alternation(self.choices)?;
        match self.capture {
            Some((index, name)) => node.capture(index, name),
            None => Ok(node),
        }
    }
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str, flags: Flags) -> Self {
        Self {
            pattern,
            rest: pattern,
            modes: Modes { dot_matches_newline: flags.dot_matches_newline, ..Modes::default() },
            group: Group::default(),
            around: vec![],
            captures: 0,
            names: HashMap::new(),
            has_posix_end: true,
            nodes: 0,
            ranges: 0,
            folded: 0,
        }
    }

    fn run(mut self) -> Result<Hir, Error> {
        let mut operator = None;
        while let Some(c) = self.rest.chars().next() {
            operator = self.step(c, operator)?;
        }
        if !self.around.is_empty() {
            return Err(self.whole(Mistake::MissingParen));
        }
        let group = mem::take(&mut self.group);
        Ok(group.close().map_err(|mistake| self.whole(mistake))?.into_tree())
    }

    /// Reads what begins with `c`. The result is the text from there on if that was a repetition operator, and
    /// `operator` is the same of what was just before: two in a row are a mistake.
    fn step(&mut self, c: char, operator: Option<&'p str>) -> Result<Option<&'p str>, Error> {
        match c {
            '*' | '+' | '?' => return self.repeat(simple_repeat(c), &self.rest[1..], operator).map(Some),
            '{' => match counts(self.rest) {
                Some((counts, after)) => return self.repeat(counts, after, operator).map(Some),
                // What is no repetition is a brace.
                None => self.literal(c)?,
            },
            '(' if self.rest.starts_with("(?") => self.special_group()?,
            '(' => {
                self.rest = &self.rest[1..];
                self.open_capture(None)?;
            }
            ')' => self.close_group()?,
            '|' => {
                self.rest = &self.rest[1..];
                self.take_node()?;
                self.group.end_choice().map_err(|mistake| self.whole(mistake))?;
            }
            '[' => self.class()?,
            '\\' => self.backslash()?,
            '.' => {
                let dot = if self.modes.dot_matches_newline { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                self.push(1, Hir::dot(dot))?;
            }
            '^' => self.push(1, Hir::look(if self.modes.lines { Look::StartLF } else { Look::Start }))?,
            '$' => self.push(1, Hir::look(if self.modes.lines { Look::EndLF } else { Look::End }))?,
            _ => self.literal(c)?,
        }
        Ok(None)
    }

    pub(super) fn whole(&self, mistake: Mistake) -> Error {
        Error::new(mistake, self.pattern)
    }

    pub(super) fn take_ranges(&mut self, count: usize) -> Result<(), Error> {
        self.ranges += count;
        if self.ranges > MAX_RANGES { Err(self.whole(Mistake::TooLarge)) } else { Ok(()) }
    }

    pub(super) fn take_folded(&mut self, count: usize) -> Result<(), Error> {
        self.folded += count;
        if self.folded > MAX_FOLDED { Err(self.whole(Mistake::TooLarge)) } else { Ok(()) }
    }

    /// What `bytes` bytes of the pattern say.
    fn push(&mut self, bytes: usize, tree: Hir) -> Result<(), Error> {
        self.rest = &self.rest[bytes..];
        self.push_node(Node::of(tree))
    }

    pub(super) fn push_node(&mut self, node: Node) -> Result<(), Error> {
        self.take_node()?;
        self.group.push(node);
        Ok(())
    }

    fn take_node(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(self.whole(Mistake::TooLarge)) } else { Ok(()) }
    }

    /// A character that stands for itself.
    fn literal(&mut self, c: char) -> Result<(), Error> {
        self.rest = &self.rest[c.len_utf8()..];
        self.char(c)
    }

    fn char(&mut self, c: char) -> Result<(), Error> {
        if let Some(class) = self.cases(c) {
            return self.push_node(Node::class(class));
        }
        self.group.literal.push(c);
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), Error> {
        let mut ahead = self.rest.chars();
        ahead.next();
        match ahead.next() {
            Some('A') => self.push(2, Hir::look(Look::Start)),
            Some('z') => self.push(2, Hir::look(Look::End)),
            Some('b') => self.push(2, Hir::look(Look::WordAscii)),
            Some('B') => self.push(2, Hir::look(Look::WordAsciiNegate)),
            Some('Q') => self.quoted(),
            _ if let Some(class) = self.class_escape()? => self.push_node(Node::class(class)),
            _ => {
                let (code, after) = escape(self.rest)?;
                self.rest = after;
                match char::from_u32(code) {
                    Some(c) => self.char(c),
                    // Half a surrogate pair is in no text.
                    None => self.push_node(Node::of(Hir::fail())),
                }
            }
        }
    }

    /// `\Q…\E`, or to the end.
    fn quoted(&mut self) -> Result<(), Error> {
        let text = &self.rest[2..];
        let (text, after) = text.split_once("\\E").unwrap_or((text, ""));
        self.rest = after;
        text.chars().try_for_each(|c| self.char(c))
    }

    /// Repeats what is before the operator that `self.rest` begins with; `after` is what is behind its counts.
    fn repeat(&mut self, counts: Counts, after: &'p str, last: Option<&'p str>) -> Result<&'p str, Error> {
        let operator = self.rest;
        if !counts.is_valid() {
            return Err(Error::new(Mistake::RepeatCount, before(operator, after)));
        }
        let (after, swapped) = after.strip_prefix('?').map_or((after, false), |after| (after, true));
        if let Some(last) = last {
            return Err(Error::new(Mistake::NestedRepetition, before(last, after)));
        }
        let told = |mistake| Error::new(mistake, before(operator, after));
        let node = self.group.pop().ok_or_else(|| told(Mistake::MissingArgument))?;
        let greedy = self.modes.lazy == swapped;
        let Counts { min, max, counted } = counts;
        let node = node.repeat(Repeat { min, max, greedy, counted }).map_err(|mistake| match mistake {
            Mistake::RepeatCount => told(mistake),
            _ => self.whole(mistake),
        })?;
        self.push_node(node)?;
        self.rest = after;
        Ok(operator)
    }

    fn open_capture(&mut self, name: Option<Box<str>>) -> Result<(), Error> {
        self.captures += 1;
        self.open(Some((self.captures, name)))
    }

    fn open(&mut self, capture: Option<(u32, Option<Box<str>>)>) -> Result<(), Error> {
        if self.around.len() >= MAX_OPEN {
            return Err(self.whole(Mistake::TooDeep));
        }
        let group = Group { modes: self.modes, capture, ..Group::default() };
        self.around.push(mem::replace(&mut self.group, group));
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), Error> {
        let Some(around) = self.around.pop() else { return Err(self.whole(Mistake::UnexpectedParen)) };
        let group = mem::replace(&mut self.group, around);
        self.modes = group.modes;
        let node = group.close().map_err(|mistake| self.whole(mistake))?;
        self.rest = &self.rest[1..];
        self.push_node(node)
    }

    /// A group, or a setting, that begins with `(?`.
    fn special_group(&mut self) -> Result<(), Error> {
        let named = self.rest.strip_prefix("(?P<").or_else(|| self.rest.strip_prefix("(?<"));
        match named {
            // At the end of the pattern it does not begin a name.
            None | Some("") => self.flags(),
            Some(name) => self.named_group(name),
        }
    }

    fn named_group(&mut self, text: &'p str) -> Result<(), Error> {
        let Some((name, after)) = text.split_once('>') else {
            return Err(Error::new(Mistake::NamedCapture, self.rest));
        };
        if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
            return Err(Error::new(Mistake::NamedCapture, before(self.rest, after)));
        }
        let nth = self.names.entry(name).or_default();
        let written = group_name(name, *nth);
        *nth += 1;
        self.rest = after;
        self.open_capture(written.map(String::into_boxed_str))
    }

    /// `(?i)`, `(?i-s)`, and `(?i:` which opens a group. There may be no flags at all, but not after a minus.
    fn flags(&mut self) -> Result<(), Error> {
        let mut ahead = self.rest[2..].chars();
        let (mut modes, mut on, mut seen) = (self.modes, true, false);
        while let Some(c) = ahead.next() {
            match c {
                ':' | ')' if on || seen => {
                    if c == ':' {
                        self.open(None)?;
                    }
                    self.modes = modes;
                    self.rest = ahead.as_str();
                    return Ok(());
                }
                '-' if on => (on, seen) = (false, false),
                _ => match modes.flag(c) {
                    Some(flag) => (*flag, seen) = (on, true),
                    None => break,
                },
            }
        }
        Err(Error::new(Mistake::PerlSyntax, before(self.rest, ahead.as_str())))
    }
}

/// How often, before it is known whether that is allowed. What is larger than any limit is [`u32::MAX`].
#[derive(Clone, Copy)]
struct Counts {
    min: u32,
    max: Option<u32>,
    counted: bool,
}

impl Counts {
    fn is_valid(self) -> bool {
        self.min <= MAX_REPEAT && self.max.is_none_or(|max| max <= MAX_REPEAT && self.min <= max)
    }
}

fn simple_repeat(operator: char) -> Counts {
    let (min, max) = match operator {
        '*' => (0, None),
        '+' => (1, None),
        _ => (0, Some(1)),
    };
    Counts { min, max, counted: false }
}

/// `{2}`, `{2,}` or `{2,3}`, and what is behind it.
fn counts(text: &str) -> Option<(Counts, &str)> {
    let (min, rest) = number(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    Some((Counts { min, max, counted: true }, rest.strip_prefix('}')?))
}

/// A number without leading zeros.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    // It is digits alone, so that what does not parse is too large.
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
