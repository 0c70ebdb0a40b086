//! Two lists of alerts as one text in which what is missing is red, what is surplus green and what differs yellow: as promtool
//! prints it, which has it from `nsf/jsondiff`.

use std::collections::BTreeMap;

use crate::cli::test::shown::ShownAlert;
use crate::promql::series::Pairs;
use crate::promql::strings::quote;

const INDENTATION: &str = "    ";

/// What an alert is made of.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Map(BTreeMap<&'a str, Value<'a>>),
    List(Vec<Value<'a>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Normal,
    Missing,
    Surplus,
    Changed,
}

impl Tag {
    fn begin(self) -> &'static str {
        match self {
            Tag::Normal => "",
            Tag::Missing => "\x1b[0;31m",
            Tag::Surplus => "\x1b[0;32m",
            Tag::Changed => "\x1b[0;33m",
        }
    }

    fn end(self) -> &'static str {
        if self == Tag::Normal { "" } else { "\x1b[0m" }
    }
}

/// What was expected, and what there is. A list without alerts is shown with an empty one.
pub fn text(expected: &[ShownAlert], got: &[ShownAlert]) -> String {
    let nothing = [ShownAlert::default()];
    let shown = |alerts: &[ShownAlert]| if alerts.is_empty() { nothing.to_vec() } else { alerts.to_vec() };
    let (expected, got) = (shown(expected), shown(got));
    let mut printer = Printer::default();
    printer.difference(&list(&expected), &list(&got));
    printer.out
}

fn list(alerts: &[ShownAlert]) -> Value<'_> {
    Value::List(alerts.iter().map(alert).collect())
}

fn alert(alert: &ShownAlert) -> Value<'_> {
    Value::Map(BTreeMap::from([("Annotations", map(&alert.annotations)), ("Labels", map(&alert.labels))]))
}

fn map(pairs: &Pairs) -> Value<'_> {
    Value::Map(pairs.iter().map(|(name, value)| (name.as_str(), Value::Text(value))).collect())
}

#[derive(Default)]
struct Printer {
    out: String,
    level: usize,
    tag: Option<Tag>,
}

impl Printer {
    fn begin(&mut self, tag: Tag) {
        if self.tag != Some(tag) {
            self.end();
            self.out += tag.begin();
            self.tag = Some(tag);
        }
    }

    fn end(&mut self) {
        self.out += self.tag.take().map_or("", Tag::end);
    }

    /// Colours do not go over line ends.
    fn line_end(&mut self, before: &str) {
        self.out += before;
        self.out += self.tag.map_or("", Tag::end);
        self.out.push('\n');
        self.out += &INDENTATION.repeat(self.level);
        self.out += self.tag.map_or("", Tag::begin);
    }

    fn difference(&mut self, expected: &Value<'_>, got: &Value<'_>) {
        match (expected, got) {
            (Value::List(expected), Value::List(got)) => {
                let places = 0..expected.len().max(got.len());
                let items = places.map(|place| (None, expected.get(place), got.get(place))).collect();
                self.collection(["[", "]"], items);
            }
            (Value::Map(expected), Value::Map(got)) => {
                let mut keys: Vec<&str> = expected.keys().chain(got.keys()).copied().collect();
                keys.sort_unstable();
                keys.dedup();
                let items = keys.into_iter().map(|key| (Some(key), expected.get(key), got.get(key))).collect();
                self.collection(["{", "}"], items);
            }
            (Value::Text(expected), Value::Text(got)) if expected == got => {
                self.begin(Tag::Normal);
                self.out += &quote(expected);
            }
            (Value::Text(expected), Value::Text(got)) => {
                self.begin(Tag::Changed);
                self.out += &format!("{} => {}", quote(expected), quote(got));
            }
            // An alert has the same parts in the same places.
            _ => {}
        }
        self.end();
    }

    fn collection(
        &mut self,
        [open, close]: [&str; 2],
        items: Vec<(Option<&str>, Option<&Value<'_>>, Option<&Value<'_>>)>,
    ) {
        self.begin(Tag::Normal);
        self.out += open;
        let last = items.len().saturating_sub(1);
        for (place, (key, expected, got)) in items.iter().enumerate() {
            if place == 0 {
                self.level += 1;
                self.line_end("");
            }
            let only = match (expected, got) {
                (Some(expected), None) => Some((Tag::Missing, expected)),
                (None, Some(got)) => Some((Tag::Surplus, got)),
                _ => None,
            };
            if let Some((tag, _)) = only {
                self.begin(tag);
            }
            if let Some(key) = key {
                self.out += &format!("{}: ", quote(key));
            }
            match (only, expected, got) {
                (Some((_, value)), ..) => self.whole(value),
                (None, Some(expected), Some(got)) => self.difference(expected, got),
                _ => {}
            }
            let more = place < last;
            self.level -= usize::from(!more);
            self.begin(Tag::Normal);
            self.line_end(if more { "," } else { "" });
        }
        self.out += close;
    }

    /// In the colour of now.
    fn whole(&mut self, value: &Value<'_>) {
        let (brackets, items): ([&str; 2], Vec<(Option<&str>, &Value<'_>)>) = match value {
            Value::Text(text) => {
                self.out += &quote(text);
                return;
            }
            Value::List(items) => (["[", "]"], items.iter().map(|item| (None, item)).collect()),
            Value::Map(entries) => (["{", "}"], entries.iter().map(|(key, item)| (Some(*key), item)).collect()),
        };
        self.out += brackets[0];
        let last = items.len().saturating_sub(1);
        for (place, (key, item)) in items.into_iter().enumerate() {
            if place == 0 {
                self.level += 1;
                self.line_end("");
            }
            if let Some(key) = key {
                self.out += &format!("{}: ", quote(key));
            }
            self.whole(item);
            let more = place < last;
            self.level -= usize::from(!more);
            self.line_end(if more { "," } else { "" });
        }
        self.out += brackets[1];
    }
}
