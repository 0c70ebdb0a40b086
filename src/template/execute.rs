//! Trees executed: what each action writes, after Go's `text/template/exec.go`.

use super::format;
use super::host::{Host, printable};
use super::limits::{MAX_DEPTH, MAX_OUTPUT_BYTES};
use super::quote::quote;
use super::source::Template;
use super::tree::{Branch, Call, List, Node, Place, Tree};
use super::value::Value;

/// Why an execution does not go on.
#[derive(Debug)]
pub(super) enum Halt {
    /// With its place.
    Error(String),
    /// The result of a query has to be known.
    Query(String),
    Break,
    Continue,
}

pub(super) type Done<T> = Result<T, Halt>;

/// One execution of a template.
pub(super) struct Run<'t, 'r> {
    template: &'t Template,
    pub host: Host<'r>,
    /// The template that is executed, which may be one within the other.
    tree: Option<&'t Tree>,
    /// What was looked at last.
    pub place: Place<'t>,
    /// Of that template, the youngest last.
    variables: Vec<(&'t str, Value)>,
    depth: usize,
    out: Vec<u8>,
}

impl<'t, 'r> Run<'t, 'r> {
    pub(super) fn new(template: &'t Template, host: Host<'r>) -> Self {
        let tree = template.trees.get(&template.name);
        Self { template, host, tree, place: Place::Nowhere, variables: vec![], depth: 0, out: vec![] }
    }

    /// The text for some data.
    pub(super) fn run(mut self, data: Value) -> Done<Vec<u8>> {
        self.variables.push(("$", data.clone()));
        if let Some(tree) = self.tree {
            self.list(&data, &tree.root)?;
        }
        Ok(self.out)
    }

    fn list(&mut self, dot: &Value, list: &'t List) -> Done<()> {
        self.enter()?;
        let done = list.0.iter().try_for_each(|node| self.node(dot, node));
        self.leave();
        done
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Done<()> {
        self.step()?;
        match node {
            Node::Text(text) => {
                self.place = Place::Text(text);
                self.write(text.text.as_bytes())
            }
            Node::Action(action) => {
                self.place = Place::Action(action);
                let value = self.pipeline(dot, &action.pipe)?;
                if !action.pipe.variables.is_empty() {
                    return Ok(());
                }
                self.place = Place::Action(action);
                let printed = format::print(&[printable(&value)], MAX_OUTPUT_BYTES);
                self.write(&printed.ok_or_else(|| self.too_long())?)
            }
            Node::If(branch) => self.branch(dot, branch, false),
            Node::With(branch) => self.branch(dot, branch, true),
            Node::Range(branch) => {
                let variables = self.variables.len();
                let done = self.range(dot, branch);
                self.variables.truncate(variables);
                match done {
                    Err(Halt::Break) => Ok(()),
                    done => done,
                }
            }
            Node::Template(call) => self.template(dot, call),
            Node::Break => Err(Halt::Break),
            Node::Continue => Err(Halt::Continue),
        }
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch, is_with: bool) -> Done<()> {
        let variables = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let done = match (value.is_true(), &branch.otherwise) {
            (true, _) => self.list(if is_with { &value } else { dot }, &branch.list),
            (false, Some(otherwise)) => self.list(dot, otherwise),
            (false, None) => Ok(()),
        };
        self.variables.truncate(variables);
        done
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Done<()> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let mut is_empty = true;
        match value.clone().indirect() {
            Some(Value::Int(of, most)) => {
                self.check_one_variable(branch, &value)?;
                for number in 0..most {
                    is_empty = false;
                    self.iteration(branch, Value::Invalid, Value::Int(of, number))?;
                }
            }
            Some(Value::Uint(of, most)) => {
                self.check_one_variable(branch, &value)?;
                for number in 0..most {
                    is_empty = false;
                    self.iteration(branch, Value::Invalid, Value::Uint(of, number))?;
                }
            }
            Some(Value::Samples(samples)) => {
                for index in 0..samples.length {
                    is_empty = false;
                    self.iteration(branch, Value::int(index as i64), Value::Sample(samples.get(index)))?;
                }
            }
            Some(Value::Labels(labels)) => {
                for (name, value) in labels.iter() {
                    is_empty = false;
                    self.iteration(branch, Value::String(name.clone()), Value::String(value.clone()))?;
                }
            }
            Some(Value::Map(map)) => {
                for (name, value) in &map.values {
                    is_empty = false;
                    self.iteration(branch, Value::String(name.clone()), value.clone().into_any())?;
                }
            }
            Some(Value::Invalid) => {}
            other => {
                let shown = format::reflected(&other.unwrap_or(value), 'v', MAX_OUTPUT_BYTES);
                return Err(self.error(format!("range can't iterate over {shown}")));
            }
        }
        match &branch.otherwise {
            Some(otherwise) if is_empty => self.list(dot, otherwise),
            _ => Ok(()),
        }
    }

    fn check_one_variable(&self, branch: &Branch, value: &Value) -> Done<()> {
        if branch.pipe.variables.len() > 1 {
            let value = format::reflected(value, 'v', MAX_OUTPUT_BYTES);
            return Err(self.error(format!("can't use {value} to iterate over more than one variable")));
        }
        Ok(())
    }

    fn iteration(&mut self, branch: &'t Branch, index: Value, element: Value) -> Done<()> {
        self.step()?;
        let variables = self.variables.len();
        let values = match branch.pipe.variables.len() {
            0 => vec![],
            1 => vec![element.clone()],
            _ => vec![index, element.clone()],
        };
        let first = variables.saturating_sub(values.len());
        for (nth, (name, value)) in branch.pipe.variables.iter().zip(values).enumerate() {
            if branch.pipe.is_assignment {
                self.assign(name, value)?;
            } else if let Some(variable) = self.variables.get_mut(first + nth) {
                variable.1 = value;
            }
        }
        let done = self.list(&element, &branch.list);
        self.variables.truncate(variables);
        match done {
            Err(Halt::Continue) => Ok(()),
            done => done,
        }
    }

    fn template(&mut self, dot: &Value, call: &'t Call) -> Done<()> {
        self.place = Place::Call(call);
        let Some(tree) = self.template.trees.get(&call.name) else {
            return Err(self.error(format!("template {} not defined", quote(call.name.as_bytes()))));
        };
        if self.depth >= MAX_DEPTH {
            return Err(self.error(format!("exceeded maximum template depth ({MAX_DEPTH})")));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Invalid,
        };
        let outer = (self.tree.replace(tree), self.place);
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.list(&dot, &tree.root)?;
        self.variables = variables;
        (self.tree, self.place) = outer;
        Ok(())
    }

    pub(super) fn declare(&mut self, name: &'t str, value: Value) {
        self.variables.push((name, value));
    }

    /// Gives the youngest variable of a name another value.
    pub(super) fn assign(&mut self, name: &str, value: Value) -> Done<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => return Err(self.error(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    pub(super) fn variable(&self, name: &str) -> Done<Value> {
        let variable = self.variables.iter().rev().find(|(known, _)| *known == name);
        variable.map(|(_, value)| value.clone()).ok_or_else(|| self.error(format!("undefined variable: {name}")))
    }

    pub(super) fn enter(&mut self) -> Done<()> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(self.error(format!("exceeded maximum template depth ({MAX_DEPTH})"))),
            false => Ok(()),
        }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn step(&mut self) -> Done<()> {
        self.host.budget.take_step().map_err(|message| self.error(message))
    }

    fn write(&mut self, text: &[u8]) -> Done<()> {
        if self.out.len() + text.len() > MAX_OUTPUT_BYTES {
            return Err(self.too_long());
        }
        self.host.budget.take_bytes(text.len()).map_err(|message| self.error(message))?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn too_long(&self) -> Halt {
        self.error(format!("a text of more than {MAX_OUTPUT_BYTES} bytes"))
    }

    /// A message with the place where the execution is.
    pub(super) fn error(&self, message: impl AsRef<str>) -> Halt {
        let at = self.place.at().min(self.template.text.len());
        let before = self.template.text.get(..at).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let tree = self.tree.map_or("", |tree| &tree.name);
        let (name, place, message) = (&self.template.name, self.place, message.as_ref());
        let tree = quote(tree.as_bytes());
        Halt::Error(format!("template: {name}:{line}:{column}: executing {tree} at <{place}>: {message}"))
    }
}
