//! YAML text → a tree that knows where each part stands and how it was written.
//!
//! `serde_yaml` judges the text: it is libyaml, as Prometheus' parser is, so that both refuse the same files in the same
//! words. A second pass over libyaml's events makes the tree, since values alone have lost what Prometheus goes by: a
//! key's line, and the text of a scalar (`regex: On` is a text, `shard: 0x1F` too). Anchors and merge keys are resolved
//! here, and bounded: a text of a few hundred bytes can name a billion nodes. A merge key counts where it stands, as in
//! `yaml.v2`: what is behind it wins, also over a key of its own mapping, and mappings within are merged.

/// A tree as text.
pub mod print;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;

use libyaml_safer::{EventData, Parser, ScalarStyle};
use serde::de::{EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest text; the largest of 169 files in public repositories has 60 KB.
pub const MAX_BYTES: usize = 16 << 20;
/// Mappings and lists within each other.
const MAX_DEPTH: usize = 64;
/// Parts of a tree that aliases repeat; a text counts for each so many bytes of it.
const MAX_REPEATED: usize = 100_000;
const TEXT_BYTES: usize = 64;
/// Each is looked for from the beginning of the text.
const MAX_ESCAPES: usize = 256;

type Events<'a> = Parser<&'a mut &'a [u8]>;

/// A part of a document. Equal to one that says the same elsewhere.
#[derive(Clone, Debug)]
pub struct Node {
    /// From 1.
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the text, each key once.
    Map(Vec<(Key, Node)>),
}

/// As it was written, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    pub text: String,
    /// Without quotes, so that it may be a number or a boolean.
    pub plain: bool,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub line: usize,
    pub text: String,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: Option<usize>,
    pub message: String,
}

/// The first document of a text, null where there is none, as Prometheus reads it; and the keys that are given twice.
pub fn parse(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault { line: None, message: format!("the file has more than {} MiB", MAX_BYTES >> 20) });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let judged = judge(text)?;
    let text = judged.as_ref();
    // The events' reader wants a line feed behind all lines.
    let whole = if text.ends_with('\n') { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}\n")) };
    let cut = (!text.ends_with('\n')).then_some(text);
    let mut builder = Builder { repeats: MAX_REPEATED, cut, ..Builder::default() };
    let mut bytes = whole.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    // What libyaml takes may still be more than its translation knows, as a tag with a comma behind it.
    let read = std::panic::catch_unwind(AssertUnwindSafe(|| builder.document(&mut parser)));
    let unread = |_| Fault {
        line: None,
        message: "the file has YAML that is not understood; tags (!) with a comma behind them are known to be"
            .to_string(),
    };
    let root = read.map_err(unread)??;
    Ok((root.unwrap_or(Node { line: 1, value: Value::Null }), builder.twice))
}

/// Fails where libyaml does, but for `\'` in double quotes, which Go's YAML knows (`scannerc.go`) and this one does not: the text
/// has it by its number then.
fn judge(text: &str) -> Result<Cow<'_, str>, Fault> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_ESCAPES {
        let Some(document) = serde_yaml::Deserializer::from_str(&text).next() else { return Ok(text) };
        let Err(error) = IgnoredAny::deserialize(document) else { return Ok(text) };
        match with_quote_by_number(&text, &error) {
            Some(mended) => text = Cow::Owned(mended),
            None => return Err(Fault::from(&error)),
        }
    }
    Err(Fault {
        line: None,
        message: format!("more than {MAX_ESCAPES} times \\' in double quotes; it is ' without the \\"),
    })
}

/// The text with `\x27` for the `\'` that an error is about.
fn with_quote_by_number(text: &str, error: &serde_yaml::Error) -> Option<String> {
    let place = error.location().filter(|_| error.to_string().contains("unknown escape character"))?;
    let line = text.split_inclusive('\n').nth(place.line().checked_sub(1)?)?;
    let (column, _) = line.char_indices().nth(place.column().checked_sub(1)?)?;
    let at = text.split_inclusive('\n').take(place.line() - 1).map(str::len).sum::<usize>() + column;
    text[at..].starts_with("\\'").then(|| format!("{}\\x27{}", &text[..at], &text[at + 2..]))
}

impl From<&serde_yaml::Error> for Fault {
    fn from(error: &serde_yaml::Error) -> Self {
        let line = error.location().map(|at| at.line());
        let message = error.to_string();
        // The place is told apart from it.
        let message = message.split(" at line ").next().unwrap_or(&message).to_string();
        Fault { line, message }
    }
}

/// The last text of a document; `None` where it has none.
struct LastText(Option<String>);

impl<'de> Deserialize<'de> for LastText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LastTextVisitor)
    }
}

struct LastTextVisitor;

impl<'de> Visitor<'de> for LastTextVisitor {
    type Value = LastText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<LastText, E> {
        Ok(LastText(Some(text.to_string())))
    }

    fn visit_unit<E>(self) -> Result<LastText, E> {
        Ok(LastText(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<LastText, E> {
        Ok(LastText(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<LastText, E> {
        Ok(LastText(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<LastText, E> {
        Ok(LastText(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<LastText, E> {
        Ok(LastText(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LastText, A::Error> {
        let mut last = None;
        while let Some(LastText(text)) = items.next_element()? {
            last = text.or(last);
        }
        Ok(LastText(last))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<LastText, A::Error> {
        let mut last = None;
        while let Some((LastText(key), LastText(value))) = entries.next_entry()? {
            last = value.or(key).or(last);
        }
        Ok(LastText(last))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<LastText, A::Error> {
        let (IgnoredAny, content) = tagged.variant()?;
        content.newtype_variant()
    }
}

/// What `serde_yaml` finds last in a text.
fn last_text(text: &str) -> Option<String> {
    let document = serde_yaml::Deserializer::from_str(text).next()?;
    LastText::deserialize(document).ok()?.0
}

#[derive(Default)]
struct Builder<'a> {
    anchors: HashMap<String, Node>,
    depth: usize,
    /// Nodes that may still be repeated.
    repeats: usize,
    /// A text that has no line feed at its end.
    cut: Option<&'a str>,
    twice: Vec<Fault>,
}

impl Builder<'_> {
    fn document(&mut self, parser: &mut Events<'_>) -> Result<Option<Node>, Fault> {
        loop {
            match next(parser)? {
                (EventData::StreamEnd | EventData::DocumentEnd { .. }, _) => return Ok(None),
                (EventData::StreamStart { .. } | EventData::DocumentStart { .. }, _) => {}
                (event, place) => return self.node(event, place, parser).map(Some),
            }
        }
    }

    /// The node that begins with an event.
    fn node(&mut self, event: EventData, place: Place, parser: &mut Events<'_>) -> Result<Node, Fault> {
        let line = place.line;
        let (value, anchor) = match event {
            EventData::Alias { anchor } => return self.alias(&anchor, line),
            EventData::Scalar { mut value, style, anchor, tag, .. } => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // A block at the end may have the line feed that the text lacks. What repeats before it is bounded by now.
                if let Some(text) = self.cut.filter(|text| is_block && place.end >= text.len())
                    && let Some(last) = last_text(text)
                {
                    value = last;
                }
                (scalar(value, style, tag.as_deref()), anchor)
            }
            EventData::SequenceStart { anchor, .. } => {
                self.forget(anchor.as_deref());
                (self.within(line, |b| b.list(parser))?, anchor)
            }
            EventData::MappingStart { anchor, .. } => {
                self.forget(anchor.as_deref());
                (self.within(line, |b| b.map(parser))?, anchor)
            }
            other => return Err(fault(line, format!("unexpected {other:?}"))),
        };
        let node = Node { line, value };
        if let Some(anchor) = anchor {
            // An anchor is a repetition that may yet come.
            self.repeat(&node, line)?;
            match node.value {
                // A name that was given anew within it is that of the inner node, which began later.
                Value::List(_) | Value::Map(_) => self.anchors.entry(anchor).or_insert_with(|| node.clone()),
                _ => self.anchors.entry(anchor).insert_entry(node.clone()).into_mut(),
            };
        }
        Ok(node)
    }

    /// A name is given anew: until its node is there, nothing has it.
    fn forget(&mut self, anchor: Option<&str>) {
        if let Some(anchor) = anchor {
            self.anchors.remove(anchor);
        }
    }

    fn repeat(&mut self, node: &Node, line: usize) -> Result<(), Fault> {
        let left = self.repeats.checked_sub(node.size());
        self.repeats = left.ok_or_else(|| fault(line, "document contains excessive aliasing"))?;
        Ok(())
    }

    fn within<T>(&mut self, line: usize, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault(line, format!("more than {MAX_DEPTH} lists and mappings within each other")));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A copy of what the anchor names; one within itself is not there yet.
    fn alias(&mut self, anchor: &str, line: usize) -> Result<Node, Fault> {
        let Some(named) = self.anchors.remove(anchor) else {
            return Err(fault(line, "an anchor contains itself, or there is none of this name"));
        };
        // Before it is copied.
        self.repeat(&named, line)?;
        let mut node = named.clone();
        self.anchors.insert(anchor.to_string(), named);
        // What is wrong with the copy is wrong here.
        if !matches!(node.value, Value::List(_) | Value::Map(_)) {
            node.line = line;
        }
        Ok(node)
    }

    fn list(&mut self, parser: &mut Events<'_>) -> Result<Value, Fault> {
        let mut items = vec![];
        loop {
            match next(parser)? {
                (EventData::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, place) => items.push(self.node(event, place, parser)?),
            }
        }
    }

    fn map(&mut self, parser: &mut Events<'_>) -> Result<Value, Fault> {
        let mut map = Mapping::default();
        loop {
            let (event, place) = next(parser)?;
            if event == EventData::MappingEnd {
                return Ok(Value::Map(map.entries));
            }
            let key = self.node(event, place, parser)?;
            let (event, place) = next(parser)?;
            let value = self.node(event, place, parser)?;
            let line = key.line;
            let text = match key.value {
                Value::Scalar(Scalar { text, plain: true }) if text == "<<" => {
                    map.merge(value)?;
                    continue;
                }
                Value::Scalar(Scalar { text, .. }) => text,
                Value::Null => "null".to_string(),
                Value::List(_) | Value::Map(_) => {
                    let message = "a key is a list or a mapping: is this a template that was not filled in?";
                    return Err(fault(line, message));
                }
            };
            self.twice.extend(map.add(Key { line, text }, value));
        }
    }
}

/// A mapping that is being read.
#[derive(Default)]
struct Mapping {
    entries: Vec<(Key, Node)>,
    /// By key its place, and whether it is the mapping's own.
    known: HashMap<String, (usize, bool)>,
}

impl Mapping {
    /// A key of its own. Of one that is given twice the first value stays, which is a fault.
    fn add(&mut self, key: Key, value: Node) -> Option<Fault> {
        match self.known.get_mut(&key.text) {
            Some((place, true)) => {
                let first = self.entries[*place].0.line;
                let message = format!("{:?} is already set in this mapping, on line {first}", key.text);
                Some(fault(key.line, message))
            }
            Some((place, own)) => {
                *own = true;
                let entry = &mut self.entries[*place];
                entry.0.line = key.line;
                lay_over(&mut entry.1, value);
                None
            }
            None => {
                self.known.insert(key.text.clone(), (self.entries.len(), true));
                self.entries.push((key, value));
                None
            }
        }
    }

    /// The entries of a mapping, or of a list of them, the first of which wins.
    fn merge(&mut self, node: Node) -> Result<(), Fault> {
        match node.value {
            Value::Map(merged) => {
                for (key, value) in merged {
                    match self.known.get(&key.text) {
                        Some((place, _)) => {
                            let entry = &mut self.entries[*place];
                            entry.0.line = key.line;
                            lay_over(&mut entry.1, value);
                        }
                        None => {
                            self.known.insert(key.text.clone(), (self.entries.len(), false));
                            self.entries.push((key, value));
                        }
                    }
                }
                Ok(())
            }
            Value::List(nodes) if nodes.iter().all(|node| matches!(node.value, Value::Map(_))) => {
                nodes.into_iter().rev().try_for_each(|node| self.merge(node))
            }
            _ => Err(fault(node.line, "map merge requires map or sequence of maps as the value")),
        }
    }
}

/// What is given later takes the place of what was there; mappings become one.
fn lay_over(before: &mut Node, later: Node) {
    match (&mut before.value, later.value) {
        (Value::Map(entries), Value::Map(later)) => {
            for (key, value) in later {
                match entries.iter_mut().find(|(known, _)| known.text == key.text) {
                    Some((_, node)) => lay_over(node, value),
                    None => entries.push((key, value)),
                }
            }
        }
        (_, value) => *before = Node { line: later.line, value },
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&str>) -> Value {
    let plain = match tag.map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag)) {
        Some("int" | "bool" | "float" | "null") => true,
        Some("str" | "!") => false,
        _ => style == ScalarStyle::Plain,
    };
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Scalar(Scalar { text, plain }),
    }
}

/// Where an event is: its line, from 1, and its end, in bytes.
#[derive(Clone, Copy)]
struct Place {
    line: usize,
    end: usize,
}

fn next(parser: &mut Events<'_>) -> Result<(EventData, Place), Fault> {
    match parser.parse() {
        Ok(event) => {
            let (line, end) = (event.start_mark.line as usize + 1, event.end_mark.index as usize);
            Ok((event.data, Place { line, end }))
        }
        Err(error) => {
            let line = error.problem_mark().map_or(1, |mark| mark.line as usize + 1);
            Err(fault(line, error.problem()))
        }
    }
}

fn fault(line: usize, message: impl Into<String>) -> Fault {
    Fault { line: Some(line), message: message.into() }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Node {
    /// A section that is not there.
    pub fn nothing() -> Self {
        Self { line: 0, value: Value::Null }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// A mapping but for some keys.
    pub fn without(&self, is_left_out: impl Fn(&str) -> bool) -> Self {
        match &self.value {
            Value::Map(entries) => {
                let kept = entries.iter().filter(|(key, _)| !is_left_out(&key.text)).cloned();
                Self { line: self.line, value: Value::Map(kept.collect()) }
            }
            _ => self.clone(),
        }
    }

    /// Of a list; nothing of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Of a mapping.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Of a scalar, as it was written.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// In the words of errors: `text`, a list, a mapping, nothing.
    pub fn shown(&self) -> String {
        const LONGEST: usize = 40;
        match &self.value {
            Value::Null => "nothing".to_string(),
            Value::List(_) => "a list".to_string(),
            Value::Map(_) => "a mapping".to_string(),
            Value::Scalar(scalar) if scalar.text.chars().count() > LONGEST => {
                format!("`{}…`", scalar.text.chars().take(LONGEST).collect::<String>())
            }
            Value::Scalar(scalar) => format!("`{}`", scalar.text),
        }
    }

    /// Nodes, itself among them.
    fn size(&self) -> usize {
        match &self.value {
            Value::Null => 1,
            Value::Scalar(scalar) => 1 + scalar.text.len() / TEXT_BYTES,
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => {
                1 + entries.iter().map(|(key, node)| key.text.len() / TEXT_BYTES + node.size()).sum::<usize>()
            }
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }
}

impl Scalar {
    /// As YAML 1.1 has it, which is Prometheus': also `yes`, `on` and the like, and never in quotes.
    pub fn bool(&self) -> Option<bool> {
        match self.text.as_str() {
            _ if !self.plain => None,
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
            _ => None,
        }
    }

    /// A whole number: decimal, `0x`, `0o`, `0b` or octal with a leading 0, and `_` between digits. One with a point or an
    /// exponent is cut off, as Go does.
    pub fn integer(&self) -> Option<i64> {
        const END: f64 = 9_223_372_036_854_775_808.0;
        let cut = || self.text_float().filter(|float| (-END..END).contains(float)).map(|float| float as i64);
        if self.plain { self.digits().or_else(cut) } else { None }
    }

    fn digits(&self) -> Option<i64> {
        let text = self.text.replace('_', "");
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(&text)),
        };
        let radixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0b", 2), ("0", 8), ("", 10)];
        let (digits, radix) = radixes.iter().find_map(|(prefix, radix)| {
            let rest = digits.strip_prefix(prefix)?;
            (!rest.is_empty() && rest.bytes().all(|b| char::from(b).is_digit(*radix))).then_some((rest, *radix))
        })?;
        let number = i128::from_str_radix(digits, radix).ok()?;
        i64::try_from(if negative { -number } else { number }).ok()
    }

    pub fn float(&self) -> Option<f64> {
        if self.plain { self.digits().map(|n| n as f64).or_else(|| self.text_float()) } else { None }
    }

    fn text_float(&self) -> Option<f64> {
        let text = self.text.replace('_', "");
        match text.as_str() {
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            text if text.bytes().any(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
