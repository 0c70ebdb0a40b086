//! YAML text → a tree that knows where each part stands and how it was written.
//!
//! `serde_yaml` judges the text: it is libyaml, as Prometheus' parser is, so that both refuse the same files in the same
//! words. A second pass over the text's events makes the tree, since values alone have lost what Prometheus goes by: a
//! key's line, and the text of a scalar (`regex: On` is a text, `shard: 0x1F` too). Anchors and merge keys are resolved
//! here, and bounded: a text of a few hundred bytes can name a billion nodes.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The largest text; the largest of 169 files in public repositories has 60 KB.
pub const MAX_BYTES: usize = 16 << 20;
/// Mappings and lists within each other.
const MAX_DEPTH: usize = 64;
/// Parts of a tree that aliases repeat.
const MAX_REPEATED: usize = 100_000;

type Events<'a> = Parser<'a, StrInput<'a>>;

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
    // To the second reader the text would end there.
    if let Some(at) = text.find("\n\u{feff}") {
        let line = text[..=at].lines().count() + 1;
        return Err(fault(line, "a byte order mark (U+FEFF) at the beginning of the line, remove it"));
    }
    judge(text)?;
    // The readers do not agree about blocks whose last line has no line feed.
    let whole = if text.ends_with('\n') { Cow::Borrowed(text) } else { Cow::Owned(format!("{text}\n")) };
    let last_line = text.rsplit(['\n', '\r']).next().unwrap_or("");
    let cut = (!last_line.is_empty()).then(|| Cut { at: text.chars().count(), blank: last_line.trim().is_empty() });
    let mut builder = Builder { repeats: MAX_REPEATED, cut, ..Builder::default() };
    let root = builder.document(&mut Parser::new_from_str(&whole))?;
    Ok((root.unwrap_or(Node { line: 1, value: Value::Null }), builder.twice))
}

/// Fails where libyaml does.
fn judge(text: &str) -> Result<(), Fault> {
    let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { return Ok(()) };
    let judged = IgnoredAny::deserialize(document);
    judged.map(|_| ()).map_err(|error| {
        let line = error.location().map(|at| at.line());
        let message = error.to_string();
        // The place is told apart from it.
        let message = message.split(" at line ").next().unwrap_or(&message).to_string();
        Fault { line, message }
    })
}

/// The end of a text whose last line has no line feed.
struct Cut {
    /// In characters.
    at: usize,
    /// Whether that line has nothing but blanks, which belong to a block only where they are more than its indentation.
    blank: bool,
}

impl Cut {
    /// Whether a block has a line feed more than the text has.
    fn shortens(&self, block: &str, span: &Span) -> bool {
        let Some(lines) = block.strip_suffix('\n').filter(|_| span.end.index() >= self.at) else { return false };
        let last = lines.rsplit('\n').next().unwrap_or("");
        !self.blank || !last.is_empty() && last.trim().is_empty()
    }
}

#[derive(Default)]
struct Builder {
    anchors: HashMap<usize, Node>,
    depth: usize,
    /// Nodes that may still be repeated.
    repeats: usize,
    cut: Option<Cut>,
    twice: Vec<Fault>,
}

impl Builder {
    fn document<'a>(&mut self, parser: &mut Events<'a>) -> Result<Option<Node>, Fault> {
        loop {
            let (event, span) = next(parser)?;
            match event {
                Event::StreamEnd | Event::DocumentEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                event => return self.node(event, span, parser).map(Some),
            }
        }
    }

    /// The node that begins with an event.
    fn node<'a>(&mut self, event: Event<'a>, span: Span, parser: &mut Events<'a>) -> Result<Node, Fault> {
        let line = span.start.line();
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Scalar(mut text, style, anchor, tag) => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block && self.cut.as_ref().is_some_and(|cut| cut.shortens(&text, &span)) {
                    text.to_mut().pop();
                }
                (scalar(&text, style, tag.as_deref()), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.within(line, |b| b.list(parser))?, anchor),
            Event::MappingStart(anchor, _) => (self.within(line, |b| b.map(parser))?, anchor),
            other => return Err(fault(line, format!("unexpected {other:?}"))),
        };
        let node = Node { line, value };
        if anchor > 0 {
            // An anchor is a repetition that may yet come.
            self.repeat(&node, line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
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
    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, Fault> {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            return Err(fault(line, "an anchor contains itself, or there is none of this name"));
        };
        self.repeat(&node, line)?;
        // What is wrong with the copy is wrong here.
        if !matches!(node.value, Value::List(_) | Value::Map(_)) {
            node.line = line;
        }
        Ok(node)
    }

    fn list<'a>(&mut self, parser: &mut Events<'a>) -> Result<Value, Fault> {
        let mut items = vec![];
        loop {
            match next(parser)? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, parser)?),
            }
        }
    }

    fn map<'a>(&mut self, parser: &mut Events<'a>) -> Result<Value, Fault> {
        let (mut entries, mut merged, mut known) = (vec![], vec![], HashMap::new());
        loop {
            let (event, span) = next(parser)?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, parser)?;
            let (event, span) = next(parser)?;
            let value = self.node(event, span, parser)?;
            let line = key.line;
            match key.value {
                Value::Scalar(Scalar { text, plain: true }) if text == "<<" => merged.push(value),
                Value::Scalar(Scalar { text, .. }) => self.add(Key { line, text }, value, &mut entries, &mut known),
                Value::Null => self.add(Key { line, text: "null".into() }, value, &mut entries, &mut known),
                Value::List(_) | Value::Map(_) => {
                    return Err(fault(
                        line,
                        "a key is a list or a mapping: is this a template that was not filled in?",
                    ));
                }
            }
        }
        for node in merged {
            merge(node, &mut entries, &mut known)?;
        }
        Ok(Value::Map(entries))
    }

    /// Of a key that is given twice the first value stays.
    fn add(&mut self, key: Key, value: Node, entries: &mut Vec<(Key, Node)>, known: &mut HashMap<String, usize>) {
        if let Some(first) = known.get(&key.text) {
            let message = format!("{:?} is already set in this mapping, on line {first}", key.text);
            self.twice.push(fault(key.line, message));
            return;
        }
        known.insert(key.text.clone(), key.line);
        entries.push((key, value));
    }
}

/// Adds the entries of a merged mapping, or of a list of them, that are not there yet.
fn merge(node: Node, entries: &mut Vec<(Key, Node)>, known: &mut HashMap<String, usize>) -> Result<(), Fault> {
    match node.value {
        Value::Map(merged) => {
            for (key, value) in merged {
                if !known.contains_key(&key.text) {
                    known.insert(key.text.clone(), key.line);
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(nodes) if nodes.iter().all(|node| matches!(node.value, Value::Map(_))) => {
            nodes.into_iter().try_for_each(|node| merge(node, entries, known))
        }
        _ => Err(fault(node.line, "map merge requires map or sequence of maps as the value")),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    let plain = style == ScalarStyle::Plain && !is_string;
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Scalar(Scalar { text: text.to_string(), plain }),
    }
}

fn next<'a>(parser: &mut Events<'a>) -> Result<(Event<'a>, Span), Fault> {
    match parser.next_event() {
        None => Ok((Event::StreamEnd, Span::default())),
        Some(Ok(event)) => Ok(event),
        Some(Err(error)) => Err(fault(error.marker().line(), error.info())),
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
            Value::Null | Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|(_, node)| node.size()).sum::<usize>(),
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

    /// A whole number: decimal, `0x`, `0o`, `0b` or octal with a leading 0, and `_` between digits.
    pub fn integer(&self) -> Option<i64> {
        if !self.plain {
            return None;
        }
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
        let text = if self.plain { self.text.replace('_', "") } else { return None };
        match text.as_str() {
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            text if text.bytes().any(|b| b.is_ascii_digit()) => {
                self.integer().map(|n| n as f64).or_else(|| text.parse().ok())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
