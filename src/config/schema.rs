//! What a section of a file may hold, as data: one row a key, with its kind and default. One walk checks a document
//! against it and tells all that is wrong, another prints it with every default filled in and no secret shown. Nothing
//! else needs to know which keys there are.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_yaml::value::{Tag, TaggedValue};
use serde_yaml::{Mapping, Value as Yaml};

use crate::config::mistake::Found;
use crate::config::size;
use crate::config::yaml::print::IN_ONE_LINE;
use crate::config::yaml::{Key, Node, Scalar, Value};
use crate::model::{duration, pattern};

/// Shown in place of a secret.
pub const HIDDEN: &str = "<secret>";

/// A section: groups of rows, some of which others have as well. The first row of a key counts.
pub struct Schema {
    /// In errors, as Prometheus' documentation calls it.
    pub name: &'static str,
    pub fields: &'static [&'static [Field]],
}

/// A key.
pub struct Field {
    pub key: &'static str,
    pub kind: Kind,
    /// As it is written; empty for none.
    pub default: &'static str,
    pub printed: Printed,
}

/// How a value is printed, by the tag that its field has in Prometheus' source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// Unless it is nothing, false, 0 or empty.
    WhereSet,
    Always,
    /// As the first, a list in one line.
    InOneLine,
}

/// What a value may be.
pub enum Kind {
    Text,
    /// A text that is never shown.
    Secret,
    /// Of a file; a relative one is relative to the file that names it.
    Path,
    Bool,
    /// A whole number of at least 0.
    Count,
    Integer,
    Float,
    Duration,
    Size,
    /// Of a request; may lack its scheme, as Prometheus has it.
    Url,
    /// An expression of RE2.
    Regex,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// As it is.
    Any,
    List(&'static Kind),
    /// Names to values.
    Map(&'static Kind),
    Section(&'static Schema),
}

/// A row without a default.
pub const fn field(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, default: "", printed: Printed::WhereSet }
}

/// A row with one. Booleans of this kind are always printed.
pub const fn with(key: &'static str, kind: Kind, default: &'static str) -> Field {
    let printed = if matches!(kind, Kind::Bool) { Printed::Always } else { Printed::WhereSet };
    Field { key, kind, default, printed }
}

impl Field {
    pub const fn printed(self, printed: Printed) -> Field {
        Field { printed, ..self }
    }

    /// The value as it is printed; null where it is not.
    fn shown(&self, node: Option<&Node>, given: Option<&Yaml>) -> Yaml {
        let value = match (given, node) {
            (Some(value), _) => value.clone(),
            // A text with nothing behind its key is empty, whatever the default.
            (None, Some(node)) if node.is_null() && matches!(self.kind, Kind::Text) => "".into(),
            (None, Some(node)) if !node.is_null() => self.kind.show(node),
            (None, _) => self.kind.shown_default(self.default),
        };
        match self.printed {
            Printed::Always => value,
            _ if is_zero(&value) => Yaml::Null,
            Printed::InOneLine => Yaml::Tagged(Box::new(TaggedValue { tag: Tag::new(IN_ONE_LINE), value })),
            Printed::WhereSet => value,
        }
    }
}

/// What Go leaves out where it may: an empty text, list or mapping, false, 0 and a duration of none.
fn is_zero(value: &Yaml) -> bool {
    match value {
        Yaml::Null => true,
        Yaml::Bool(value) => !value,
        Yaml::Number(number) => number.as_f64() == Some(0.0),
        Yaml::String(text) => matches!(text.as_str(), "" | "0s" | "0B"),
        Yaml::Sequence(items) => items.is_empty(),
        Yaml::Mapping(entries) => entries.is_empty(),
        Yaml::Tagged(tagged) => is_zero(&tagged.value),
    }
}

impl Schema {
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.rows().find(|field| field.key == key)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.fields.iter().flat_map(|group| group.iter())
    }

    /// Puts all that is wrong with a section into `found`.
    pub(super) fn check(&self, node: &Node, path: &str, found: &Found) {
        let entries = match &node.value {
            Value::Null => return,
            Value::Map(entries) => entries,
            _ => return found.add(node.line, path, format!("expected a mapping, got {}", node.shown())),
        };
        for (key, value) in entries {
            let path = below(path, &key.text);
            match self.field(&key.text) {
                Some(field) => field.kind.check(value, key.line, &path, found),
                None => self.unknown(key, &path, found),
            }
        }
    }

    /// Without keys that it does not know, in all sections within.
    pub(super) fn drop_unknown(&self, node: &mut Node) {
        let Value::Map(entries) = &mut node.value else { return };
        entries.retain(|(key, _)| self.field(&key.text).is_some());
        for (key, value) in entries {
            if let Some(field) = self.field(&key.text) {
                field.kind.drop_unknown(value);
            }
        }
    }

    /// Makes relative paths those from `directory`. What is no value of its kind stays as it is.
    pub(super) fn join_paths(&self, node: &mut Node, directory: &Path) {
        let Value::Map(entries) = &mut node.value else { return };
        for (key, value) in entries {
            if let Some(field) = self.field(&key.text) {
                field.kind.join_paths(value, directory);
            }
        }
    }

    fn unknown(&self, key: &Key, path: &str, found: &Found) {
        let near = self.rows().map(|field| field.key).filter(|known| is_near(known, &key.text));
        let hint = near.min_by_key(|known| known.len().abs_diff(key.text.len()));
        let hint = hint.map_or_else(String::new, |near| format!(", is {near} meant?"));
        found.add(key.line, path, format!("field {} not found in {}{hint}", key.text, self.name));
    }

    /// With all defaults, in the order of the rows. `given` replaces what is written.
    pub fn show(&self, node: &Node, given: &[(&str, Yaml)]) -> Yaml {
        let mut out = Mapping::new();
        for field in self.rows() {
            if out.contains_key(field.key) {
                continue;
            }
            let given = given.iter().find(|(key, _)| *key == field.key).map(|(_, value)| value);
            let value = field.shown(node.get(field.key), given);
            if !value.is_null() {
                out.insert(field.key.into(), value);
            }
        }
        Yaml::Mapping(out)
    }
}

/// Whether one is the other with a letter more, less or another, or two that changed places.
fn is_near(known: &str, word: &str) -> bool {
    let (a, b) = (known.as_bytes(), word.as_bytes());
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (a.len() - tail, b.len() - tail);
    a <= 2 && b <= 2 && known.len() > 3
}

/// The path of a key.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

impl Kind {
    fn check(&self, node: &Node, line: usize, path: &str, found: &Found) {
        if node.is_null() {
            return;
        }
        // A value on lines of its own is told where it is.
        let line = node.line.max(line);
        let wrong = |expected: &str| match self.hides() {
            true => found.add(line, path, format!("expected {expected}")),
            false => found.add(line, path, format!("expected {expected}, got {}", node.shown())),
        };
        match (self, &node.value) {
            (Kind::Any, _) => {}
            (Kind::Section(schema), _) => schema.check(node, path, found),
            (Kind::List(kind), Value::List(items)) => check_items(kind, items, path, found),
            (Kind::List(_), _) => wrong("a list"),
            (Kind::Map(kind), Value::Map(entries)) => {
                for (key, value) in entries {
                    kind.check(value, key.line, &below(path, &key.text), found);
                }
            }
            (Kind::Map(_), _) => wrong("a mapping"),
            (_, Value::Scalar(scalar)) => self.check_scalar(scalar, line, path, found),
            _ => wrong(self.expected()),
        }
    }

    /// Whether what is given instead may be a secret, too.
    fn hides(&self) -> bool {
        match self {
            Kind::Secret => true,
            Kind::List(kind) | Kind::Map(kind) => kind.hides(),
            _ => false,
        }
    }

    fn check_scalar(&self, scalar: &Scalar, line: usize, path: &str, found: &Found) {
        let text = &scalar.text;
        let reason = match self {
            Kind::Text | Kind::Secret | Kind::Path => None,
            Kind::Bool => scalar.bool().is_none().then(|| self.instead_of(text)),
            Kind::Count => scalar.integer().is_none_or(|n| n < 0).then(|| self.instead_of(text)),
            Kind::Integer => scalar.integer().is_none().then(|| self.instead_of(text)),
            Kind::Float => scalar.float().is_none().then(|| self.instead_of(text)),
            Kind::Duration => duration::parse(text).err().map(|e| e.message),
            Kind::Size => size::of_file(text).err().map(|e| e.message),
            Kind::Url => check_url(text).err(),
            Kind::Regex => pattern::anchored(text).err().map(|e| e.message),
            Kind::OneOf(words) => {
                (!words.contains(&text.as_str())).then(|| format!("expected {}, got `{text}`", words.join(", ")))
            }
            Kind::Any | Kind::List(_) | Kind::Map(_) | Kind::Section(_) => None,
        };
        if let Some(reason) = reason {
            found.add(line, path, reason);
        }
    }

    fn drop_unknown(&self, node: &mut Node) {
        match (self, &mut node.value) {
            (Kind::Section(schema), _) => schema.drop_unknown(node),
            (Kind::List(kind), Value::List(items)) => items.iter_mut().for_each(|item| kind.drop_unknown(item)),
            _ => {}
        }
    }

    fn join_paths(&self, node: &mut Node, directory: &Path) {
        match (self, &mut node.value) {
            (Kind::Section(schema), _) => schema.join_paths(node, directory),
            (Kind::List(kind), Value::List(items)) => {
                items.iter_mut().for_each(|item| kind.join_paths(item, directory));
            }
            (Kind::Map(kind), Value::Map(entries)) => {
                entries.iter_mut().for_each(|(_, value)| kind.join_paths(value, directory));
            }
            (Kind::Path, Value::Scalar(scalar)) if !scalar.text.is_empty() => {
                scalar.text = cleaned(&directory.join(&scalar.text)).to_string_lossy().into_owned();
            }
            _ => {}
        }
    }

    fn instead_of(&self, text: &str) -> String {
        format!("expected {}, got `{text}`", self.expected())
    }

    fn expected(&self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Count => "a whole number of at least 0",
            Kind::Integer => "a whole number",
            Kind::Float => "a number",
            Kind::Duration => "a duration",
            Kind::Size => "a size",
            Kind::Url => "a URL",
            Kind::Regex => "a regular expression",
            Kind::List(_) => "a list",
            Kind::Map(_) | Kind::Section(_) => "a mapping",
            Kind::Text | Kind::Secret | Kind::Path | Kind::OneOf(_) | Kind::Any => "a text",
        }
    }

    fn show(&self, node: &Node) -> Yaml {
        match (self, &node.value) {
            (_, Value::Null) => Yaml::Null,
            (Kind::Secret, Value::Scalar(scalar)) if scalar.text.is_empty() => Yaml::Null,
            (Kind::Secret, _) => HIDDEN.into(),
            (Kind::Section(schema), _) => schema.show(node, &[]),
            (Kind::List(kind), Value::List(items)) => {
                items.iter().map(|item| kind.show(item)).collect::<Vec<_>>().into()
            }
            (Kind::Map(kind), Value::Map(entries)) => {
                // As Go prints a map.
                let sorted: BTreeMap<_, _> = entries.iter().map(|(key, node)| (key.text.as_str(), node)).collect();
                let shown = sorted.into_iter().map(|(key, node)| (key.into(), kind.show(node)));
                Yaml::Mapping(shown.collect())
            }
            (_, Value::Scalar(scalar)) => self.shown_text(scalar),
            (_, Value::List(items)) => items.iter().map(|item| Kind::Any.show(item)).collect::<Vec<_>>().into(),
            (_, Value::Map(entries)) => {
                let shown = entries.iter().map(|(key, node)| (key.text.as_str().into(), Kind::Any.show(node)));
                Yaml::Mapping(shown.collect())
            }
        }
    }

    fn shown_default(&self, default: &str) -> Yaml {
        match self {
            _ if default.is_empty() => Yaml::Null,
            Kind::Section(schema) => schema.show(&Node::nothing(), &[]),
            _ => self.shown_text(&Scalar { text: default.to_string(), plain: true }),
        }
    }

    fn shown_text(&self, scalar: &Scalar) -> Yaml {
        let text = || Yaml::from(scalar.text.as_str());
        match self {
            Kind::Bool => scalar.bool().map_or_else(text, Yaml::from),
            Kind::Count | Kind::Integer => scalar.integer().map_or_else(text, Yaml::from),
            Kind::Float => scalar.float().map_or_else(text, Yaml::from),
            Kind::Duration => {
                duration::parse(&scalar.text).map_or_else(|_| text(), |ms| duration::format(ms).into())
            }
            Kind::Size => size::parse(&scalar.text).map_or_else(|_| text(), |bytes| size::format(bytes).into()),
            Kind::Url => without_password(&scalar.text).into(),
            Kind::Any => match scalar.bool() {
                Some(value) => value.into(),
                None => {
                    scalar.integer().map(Yaml::from).or_else(|| scalar.float().map(Yaml::from)).unwrap_or_else(text)
                }
            },
            _ => text(),
        }
    }
}

fn check_items(kind: &Kind, items: &[Node], path: &str, found: &Found) {
    for (position, item) in items.iter().enumerate() {
        let path = format!("{path}[{position}]");
        match kind {
            Kind::Section(schema) if item.is_null() => {
                found.add(item.line, &path, format!("empty or null {} section", schema.name));
            }
            kind => kind.check(item, item.line, &path, found),
        }
    }
}

/// A URL as Go takes it: it may be without a scheme or a host, but what is there has to be one.
fn check_url(text: &str) -> Result<(), String> {
    use url::ParseError;
    // What begins with an address and a port, and no scheme, would be taken for a relative one.
    let is_scheme = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    let wrong = |reason: &str| Err(format!("parse {:?}: {reason}", without_password(text)));
    match text.split(['/', '?', '#']).next().and_then(|segment| segment.split_once(':')) {
        Some(("", _)) => return wrong("missing protocol scheme"),
        Some((scheme, _)) if !is_scheme(scheme) => return wrong("first path segment in URL cannot contain colon"),
        _ => {}
    }
    match url::Url::parse(text) {
        Ok(_) | Err(ParseError::RelativeUrlWithoutBase | ParseError::EmptyHost) => Ok(()),
        Err(error) => wrong(&error.to_string()),
    }
}

/// Without `.` and `..`, by the text alone, as Go's `filepath.Join` does it.
fn cleaned(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => drop(out.pop()),
                Some(Component::RootDir) => {}
                _ => out.push(part),
            },
            part => out.push(part),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}

/// A URL whose password is hidden.
pub fn without_password(text: &str) -> String {
    // By its text, as it may be no URL. A password with a letter that ends the host is looked for behind that too.
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_string() };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..host_end];
    let at = host.rfind('@').or_else(|| {
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        rest.rfind('@').filter(|_| !port.bytes().all(|b| b.is_ascii_digit()))
    });
    let Some(at) = at else { return text.to_string() };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}{}", &rest[at..]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_whole() {
        let check = |text: &str, expected: &str| assert_eq!(without_password(text), expected);
        check("http://h:1/x@y?a:b@c", "http://h:1/x@y?a:b@c");
        check("http://u@h/", "http://u@h/");
        check("http://u:p@h/x", "http://u:<secret>@h/x");
        check("http://u:p@q@h:1/x", "http://u:<secret>@h:1/x");
        check("http://u:p:q@h/", "http://u:<secret>@h/");
        // These are no URLs.
        check("http://u:p@h:99999/w", "http://u:<secret>@h:99999/w");
        check("http://u:p#q@h/w", "http://u:<secret>@h/w");
        check("http://u:p/q@h", "http://u:<secret>@h");
        check("h:9090/a@b", "h:9090/a@b");
    }

    #[test]
    fn paths_are_cleaned_as_go_does_it() {
        let check = |path: &str, expected: &str| assert_eq!(cleaned(Path::new(path)), PathBuf::from(expected));
        check("/etc/p/./sd/*.yml", "/etc/p/sd/*.yml");
        check("/etc/p/../x/y.yml", "/etc/x/y.yml");
        check("/../x", "/x");
        check("a/../../b", "../b");
        check("a//b/", "a/b");
        check("./", ".");
    }
}
