//! A part of the tree with what Go limits: its size once compiled, its height, and how often its innermost part is
//! repeated. None of them is asked of the tree itself, which would be a walk for every node.

use regex_syntax::hir::{Capture, Class, ClassUnicode, Hir, HirKind, Repetition};

use super::Mistake;

/// Go's limit of instructions, 128 MiB of 40 bytes each.
const MAX_SIZE: u64 = (128 << 20) / 40;
/// Nodes within each other; groups that do not capture are none. Go's limit is 1000, but the regex crate compiles a
/// tree by recursion, and 1000 take more than the 2 MiB of a thread's stack. These take a quarter of it.
const MAX_HEIGHT: u32 = 250;
/// Go's limit of a count, and of the product of counts within each other.
pub(super) const MAX_REPEAT: u32 = 1000;

/// How many trees may be moved from a list to the one around it, or sixteen bytes of a literal. Nested groups would
/// move their innermost parts again and again.
const MAX_MOVED: u64 = 1 << 22;

pub(super) struct Node {
    tree: Hir,
    size: u64,
    height: u32,
    copies: u32,
    moved: u64,
}

/// A repetition operator.
#[derive(Clone, Copy)]
pub(super) struct Repeat {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) greedy: bool,
    /// Whether it was written in braces: those counts multiply.
    pub(super) counted: bool,
}

impl Repeat {
    fn size(self, once: u64) -> u64 {
        match (u64::from(self.min), self.max.map(u64::from)) {
            (0, None) => 2 + once,
            (1, None) if !self.counted => 1 + once,
            (min, None) => 1 + min * once,
            (min, Some(max)) => (max * once + (max - min)).max(1),
        }
    }

    fn copies(self, of_sub: u32) -> u32 {
        match self.max.unwrap_or(self.min) {
            _ if !self.counted => of_sub,
            // Nothing is left of what is repeated no times; of `{0,}` everything is.
            0 if self.max.is_some() => 1,
            0 => of_sub,
            count => count.saturating_mul(of_sub),
        }
    }

    fn is_limited(self) -> bool {
        self.counted && self.max.unwrap_or(self.min) >= 2
    }
}

impl Node {
    pub(super) fn literal(text: &str) -> Self {
        Self::leaf(Hir::literal(text.as_bytes()), text.chars().count() as u64)
    }

    pub(super) fn class(class: ClassUnicode) -> Self {
        Self::leaf(Hir::class(Class::Unicode(class)), 1)
    }

    /// One instruction.
    pub(super) fn of(tree: Hir) -> Self {
        Self::leaf(tree, 1)
    }

    fn leaf(tree: Hir, size: u64) -> Self {
        Self { tree, size, height: 1, copies: 1, moved: 0 }
    }

    pub(super) fn capture(self, index: u32, name: Option<Box<str>>) -> Result<Self, Mistake> {
        let tree = Hir::capture(Capture { index, name, sub: Box::new(self.tree) });
        Self { tree, size: self.size + 2, height: self.height + 1, ..self }.checked()
    }

    pub(super) fn concat(parts: Vec<Node>) -> Result<Self, Mistake> {
        Self::list(parts, 0, Hir::concat, |tree| matches!(tree.kind(), HirKind::Concat(_)))
    }

    pub(super) fn alternation(choices: Vec<Node>) -> Result<Self, Mistake> {
        Self::list(choices, 1, Hir::alternation, |tree| matches!(tree.kind(), HirKind::Alternation(_)))
    }

    /// A list within a list of the same kind becomes a part of it, which adds no height.
    fn list(
        mut parts: Vec<Node>,
        separator: u64,
        join: fn(Vec<Hir>) -> Hir,
        is_same: fn(&Hir) -> bool,
    ) -> Result<Self, Mistake> {
        let Some(last) = parts.pop() else { return Ok(Self::of(join(vec![]))) };
        if parts.is_empty() {
            return Ok(last);
        }
        let mut list = Self::leaf(Hir::empty(), separator * parts.len() as u64);
        parts.push(last);
        let mut trees = Vec::with_capacity(parts.len());
        for part in parts {
            list.size += part.size;
            list.height = list.height.max(part.height + u32::from(!is_same(&part.tree)));
            list.copies = list.copies.max(part.copies);
            list.moved += part.moved + moves(&part.tree);
            trees.push(part.tree);
        }
        // What would take too long is not begun.
        if list.moved > MAX_MOVED {
            return Err(Mistake::TooLarge);
        }
        list.tree = join(trees);
        // Literals have become one.
        if list.tree.kind().subs().is_empty() {
            list.height = 1;
        }
        list.checked()
    }

    pub(super) fn repeat(self, repeat: Repeat) -> Result<Self, Mistake> {
        let (size, copies) = (repeat.size(self.size), repeat.copies(self.copies));
        let tree = repeated(self.tree, repeat);
        let node = Self { tree, size, height: self.height + 1, copies, moved: self.moved }.checked()?;
        if repeat.is_limited() && copies > MAX_REPEAT { Err(Mistake::RepeatCount) } else { Ok(node) }
    }

    fn checked(self) -> Result<Self, Mistake> {
        if self.size > MAX_SIZE {
            Err(Mistake::TooLarge)
        } else if self.height > MAX_HEIGHT {
            Err(Mistake::TooDeep)
        } else {
            Ok(self)
        }
    }

    pub(super) fn into_tree(self) -> Hir {
        self.tree
    }
}

fn moves(tree: &Hir) -> u64 {
    match tree.kind() {
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.len() as u64,
        HirKind::Literal(literal) => 1 + literal.0.len() as u64 / 16,
        _ => 1,
    }
}

fn repeated(tree: Hir, repeat: Repeat) -> Hir {
    let Repeat { min, max, .. } = repeat;
    // Just so many are neither as many nor as few as possible.
    let greedy = repeat.greedy || max == Some(min);
    let of = |min, max, sub| Hir::repetition(Repetition { min, max, greedy, sub: Box::new(sub) });
    if max == Some(0) && tree.properties().explicit_captures_len() > 0 {
        // The tree would forget the groups in it, and those behind them had other numbers.
        return of(0, Some(1), Hir::concat(vec![tree, Hir::fail()]));
    }
    of(min, max, tree)
}
