//! Templates as trees, and how messages show a part of one: written again, in Go's spelling.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::host::Function;
use super::number::Number;
use super::quote::quote;

/// The templates that one text defines, by name.
pub(super) type Trees = BTreeMap<String, Tree>;

#[derive(Debug)]
pub(super) struct Tree {
    pub name: String,
    pub root: List,
}

#[derive(Debug, Default)]
pub(super) struct List(pub Vec<Node>);

#[derive(Debug)]
pub(super) enum Node {
    Text(Text),
    Action(Action),
    Break,
    Continue,
    If(Branch),
    Range(Branch),
    With(Branch),
    Template(Call),
}

#[derive(Debug)]
pub(super) struct Text {
    pub at: usize,
    pub text: String,
}

/// `{{pipeline}}`
#[derive(Debug)]
pub(super) struct Action {
    pub at: usize,
    pub pipe: Pipe,
}

/// `{{if}}`, `{{range}}` and `{{with}}`.
#[derive(Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub list: List,
    pub otherwise: Option<List>,
}

/// `{{template "name" pipeline}}`, which `{{block}}` is as well.
#[derive(Debug)]
pub(super) struct Call {
    pub at: usize,
    pub name: String,
    pub pipe: Option<Pipe>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub at: usize,
    /// Variables that get the value.
    pub variables: Vec<String>,
    /// They are there already.
    pub is_assignment: bool,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub at: usize,
    /// The first may be a function, the others are its arguments. There is at least one.
    pub operands: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub at: usize,
    pub term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    String {
        literal: String,
        text: Vec<u8>,
    },
    Function(&'static Function),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`, where the name has its dollar sign.
    Variable(String, Vec<String>),
    /// `(pipeline).a.b` or `function.a.b`
    Chain(Box<Operand>, Vec<String>),
    Pipe(Pipe),
}

impl List {
    /// Whether there is nothing but space in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|node| matches!(node, Node::Text(text) if text.text.trim().is_empty()))
    }
}

/// Where an execution is, for its messages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'t> {
    Nowhere,
    Text(&'t Text),
    Action(&'t Action),
    Call(&'t Call),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl Place<'_> {
    /// In bytes of the text.
    pub(super) fn at(&self) -> usize {
        match self {
            Place::Nowhere => 0,
            Place::Text(text) => text.at,
            Place::Action(action) => action.at,
            Place::Call(call) => call.at,
            Place::Pipe(pipe) => pipe.at,
            Place::Command(command) => command.at,
            Place::Operand(operand) => operand.at,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Nowhere => Ok(()),
            Place::Text(text) => f.write_str(&text.text),
            Place::Action(action) => write!(f, "{{{{{}}}}}", action.pipe),
            Place::Call(call) => {
                write!(f, "{{{{template {}", quote(call.name.as_bytes()))?;
                if let Some(pipe) = &call.pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Place::Pipe(pipe) => pipe.fmt(f),
            Place::Command(command) => command.fmt(f),
            Place::Operand(operand) => operand.fmt(f),
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.is_assignment { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (nth, command) in self.commands.iter().enumerate() {
            if nth > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, operand) in self.operands.iter().enumerate() {
            if nth > 0 {
                f.write_char(' ')?;
            }
            operand.fmt_within(f)?;
        }
        Ok(())
    }
}

impl Operand {
    /// With parentheses where it needs them.
    fn fmt_within(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.term {
            Term::Pipe(_) => write!(f, "({self})"),
            _ => self.fmt(f),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match &self.term {
            Term::Dot => return f.write_char('.'),
            Term::Nil => return f.write_str("nil"),
            Term::Bool(value) => return value.fmt(f),
            Term::Number(number) => return f.write_str(&number.text),
            Term::String { literal, .. } => return f.write_str(literal),
            Term::Function(function) => return f.write_str(function.name),
            Term::Pipe(pipe) => return pipe.fmt(f),
            Term::Field(fields) => fields,
            Term::Variable(name, fields) => {
                f.write_str(name)?;
                fields
            }
            Term::Chain(operand, fields) => {
                operand.fmt_within(f)?;
                fields
            }
        };
        fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}
