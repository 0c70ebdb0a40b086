//! Relabelling: rules that change the labels of a target, a series or an alert, or drop it.
//!
//! The rules are those of Prometheus' `model/relabel`: all expressions are anchored, `.` matches a newline, and a label
//! that becomes empty is gone.

use md5::{Digest, Md5};
use regex::Regex;

use crate::error::{Error, Result};
use crate::model::labels::{LabelsBuilder, is_legacy_label_name};
use crate::model::pattern;
use crate::model::re2;

pub const DEFAULT_SEPARATOR: &str = ";";
pub const DEFAULT_REGEX: &str = "(.*)";
pub const DEFAULT_REPLACEMENT: &str = "$1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// The names, in any case.
const ACTIONS: &[(&str, Action)] = &[
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    pub fn parse(name: &str) -> Result<Self> {
        let known = ACTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, action)| *action).ok_or_else(|| Error::bad_input(format!("unknown relabel action {name:?}")))
    }

    pub fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    /// Whether it writes to a label that has to be named.
    pub fn has_target(self) -> bool {
        use Action::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(self, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual)
    }
}

/// A rule, checked.
#[derive(Clone, Debug)]
pub struct Rule {
    pub parts: Parts,
    compiled: Regex,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

/// What a rule is made of; see [`Rule::new`].
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    pub source_labels: Vec<String>,
    pub separator: String,
    /// As it is written.
    pub regex: String,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: Action,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            source_labels: vec![],
            separator: DEFAULT_SEPARATOR.to_string(),
            regex: DEFAULT_REGEX.to_string(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_string(),
            action: Action::Replace,
        }
    }
}

impl Rule {
    /// Checks what goes together, in Prometheus' words. `is_label_name` is that of the scheme in force.
    pub fn new(parts: Parts, is_label_name: impl Fn(&str) -> bool) -> Result<Self> {
        check(&parts, is_label_name)?;
        let compiled = pattern::anchored(&parts.regex)?;
        Ok(Self { parts, compiled })
    }

    /// Changes the labels; whether they are kept.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match self.parts.action {
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name| !self.compiled.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.compiled.is_match(name)),
            _ => return self.apply_value(labels),
        }
        true
    }

    fn apply_value(&self, labels: &mut LabelsBuilder) -> bool {
        let value = self.source(labels);
        let target = || labels.get(&self.parts.target_label).unwrap_or("");
        match self.parts.action {
            Action::Keep => return self.compiled.is_match(&value),
            Action::Drop => return !self.compiled.is_match(&value),
            Action::KeepEqual => return target() == value,
            Action::DropEqual => return target() != value,
            Action::HashMod => {
                labels.set(&self.parts.target_label, &hash_mod(&value, self.parts.modulus).to_string());
            }
            Action::Lowercase => {
                labels.set(&self.parts.target_label, &value.to_lowercase());
            }
            Action::Uppercase => {
                labels.set(&self.parts.target_label, &value.to_uppercase());
            }
            _ => self.replace(&value, labels),
        }
        true
    }

    fn source(&self, labels: &LabelsBuilder) -> String {
        let values: Vec<&str> =
            self.parts.source_labels.iter().map(|name| labels.get(name).unwrap_or("")).collect();
        values.join(&self.parts.separator)
    }

    fn replace(&self, value: &str, labels: &mut LabelsBuilder) {
        let Some(captures) = self.compiled.captures(value) else { return };
        let (mut target, mut text) = (String::new(), String::new());
        re2::expand(&self.parts.target_label, &captures, &mut target);
        if target.is_empty() {
            return;
        }
        re2::expand(&self.parts.replacement, &captures, &mut text);
        labels.set(&target, &text);
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let mapped = labels.iter().filter_map(|(name, value)| {
            let captures = self.compiled.captures(name)?;
            let mut new = String::new();
            re2::expand(&self.parts.replacement, &captures, &mut new);
            Some((new, value.to_string()))
        });
        for (name, value) in mapped.collect::<Vec<_>>() {
            labels.set(&name, &value);
        }
    }
}

/// Applies rules one after the other; `false` as soon as one drops the labels.
pub fn apply(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// The last eight bytes of the MD5 sum, as Prometheus counts shards.
fn hash_mod(value: &str, modulus: u64) -> u64 {
    let sum: [u8; 16] = Md5::digest(value.as_bytes()).into();
    let (_, last) = sum.split_last_chunk::<8>().expect("sixteen bytes");
    u64::from_be_bytes(*last) % modulus.max(1)
}

fn check(parts: &Parts, is_label_name: impl Fn(&str) -> bool) -> Result<()> {
    let Parts { action, target_label, replacement, regex, separator, .. } = parts;
    let refuse = |message: String| Err(Error::bad_input(message));
    let name = action.as_str();
    if parts.modulus == 0 && *action == Action::HashMod {
        return refuse("relabel configuration for hashmod requires non-zero modulus".into());
    }
    if action.has_target() && target_label.is_empty() {
        return refuse(format!("relabel configuration for {name} action requires 'target_label' value"));
    }
    if *action == Action::Replace && !is_template(target_label, &is_label_name)
        || matches!(
            action,
            Action::HashMod | Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
        ) && !is_label_name(target_label)
    {
        return refuse(format!("{target_label:?} is invalid 'target_label' for {name} action"));
    }
    let plain = replacement == DEFAULT_REPLACEMENT;
    if matches!(action, Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual) && !plain {
        return refuse(format!("'replacement' can not be set for {name} action"));
    }
    if *action == Action::LabelMap && !is_template(replacement, &is_label_name) {
        return refuse(format!("{replacement:?} is invalid 'replacement' for {name} action"));
    }
    let others = regex != DEFAULT_REGEX || parts.modulus != 0 || separator != DEFAULT_SEPARATOR || !plain;
    if matches!(action, Action::KeepEqual | Action::DropEqual) && others {
        return refuse(format!(
            "{name} action requires only 'source_labels' and `target_label`, and no other fields"
        ));
    }
    let fields = !parts.source_labels.is_empty()
        || !target_label.is_empty()
        || parts.modulus != 0
        || separator != DEFAULT_SEPARATOR
        || !plain;
    if matches!(action, Action::LabelDrop | Action::LabelKeep) && fields {
        return refuse(format!("{name} action requires only 'regex', and no other fields"));
    }
    Ok(())
}

/// Whether it is a label's name once its `$1` and `${1}` are filled in.
fn is_template(text: &str, is_label_name: impl Fn(&str) -> bool) -> bool {
    if is_label_name(text) {
        return true;
    }
    // What a group brings is taken for a letter.
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let (group, behind) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(found) => found,
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        if group.is_empty() {
            return false;
        }
        filled.push('x');
        rest = behind;
    }
    filled.push_str(rest);
    is_legacy_label_name(&filled)
}

#[cfg(test)]
mod tests;
