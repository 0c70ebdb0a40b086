//! Pipelines to values: commands, fields, variables and literals.

use super::execute::{Done, Run};
use super::format;
use super::host::Param;
use super::methods;
use super::tree::{Command, Operand, Pipe, Place, Term};
use super::value::{Sample, Value};

/// What a call is made with: operands, and the value of the command before, if there is one.
#[derive(Clone, Copy)]
pub(super) struct Given<'t, 'v> {
    pub operands: &'t [Operand],
    pub last: Option<&'v Value>,
}

impl Given<'_, '_> {
    pub(super) const NOTHING: Given<'static, 'static> = Given { operands: &[], last: None };

    pub(super) fn count(&self) -> usize {
        self.operands.len() + usize::from(self.last.is_some())
    }
}

impl<'t> Run<'t, '_> {
    /// The value of the last command, which the variables get that stand before.
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Done<Value> {
        self.place = Place::Pipe(pipe);
        self.enter()?;
        let mut last = None;
        for command in &pipe.commands {
            let value = self.command(dot, command, last.as_ref())?;
            last = Some(value.out_of_interface());
        }
        let value = last.unwrap_or(Value::Invalid);
        for name in &pipe.variables {
            match pipe.is_assignment {
                true => self.assign(name, value.clone())?,
                false => self.declare(name, value.clone()),
            }
        }
        self.leave();
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<&Value>) -> Done<Value> {
        self.step()?;
        let Some((first, operands)) = command.operands.split_first() else { return Ok(Value::Invalid) };
        let given = Given { operands, last };
        match &first.term {
            Term::Field(fields) => {
                self.place = Place::Operand(first);
                self.fields(dot, dot.clone(), fields, given)
            }
            Term::Chain(inner, fields) => self.chain(dot, first, inner, fields, given),
            Term::Function(function) => {
                self.place = Place::Operand(first);
                self.call_function(dot, function, Place::Command(command), given)
            }
            Term::Pipe(pipe) => {
                self.check_nothing_given(first, given)?;
                self.pipeline(dot, pipe)
            }
            Term::Variable(name, fields) => self.variable_with_fields(dot, first, name, fields, given),
            _ => {
                self.place = Place::Operand(first);
                self.check_nothing_given(first, given)?;
                self.literal(dot, first)
            }
        }
    }

    /// A literal, or the dot.
    pub(super) fn literal(&mut self, dot: &Value, operand: &'t Operand) -> Done<Value> {
        self.place = Place::Operand(operand);
        match &operand.term {
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Dot => Ok(dot.clone()),
            Term::String { text, .. } => Ok(Value::text(text)),
            Term::Number(number) => match (number.complex, number.float, number.int) {
                (Some((real, imaginary)), ..) => Ok(Value::Complex(real, imaginary)),
                (None, Some(float), _) if number.looks_like_float() => Ok(Value::Float(float)),
                (.., Some(int)) => Ok(Value::int(int)),
                _ => Err(self.error(format!("{} overflows int", number.text))),
            },
            _ => Err(self.error("nil is not a command")),
        }
    }

    fn check_nothing_given(&self, operand: &Operand, given: Given<'_, '_>) -> Done<()> {
        match given.count() {
            0 => Ok(()),
            _ => Err(self.error(format!("can't give argument to non-function {operand}"))),
        }
    }

    pub(super) fn variable_with_fields(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        name: &'t str,
        fields: &'t [String],
        given: Given<'t, '_>,
    ) -> Done<Value> {
        self.place = Place::Operand(operand);
        let value = self.variable(name)?;
        if fields.is_empty() {
            self.check_nothing_given(operand, given)?;
            return Ok(value);
        }
        self.fields(dot, value, fields, given)
    }

    /// `(pipeline).a.b`
    pub(super) fn chain(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        inner: &'t Operand,
        fields: &'t [String],
        given: Given<'t, '_>,
    ) -> Done<Value> {
        self.place = Place::Operand(operand);
        let value = match &inner.term {
            Term::Pipe(pipe) => {
                self.place = Place::Operand(inner);
                self.pipeline(dot, pipe)?
            }
            Term::Function(function) => {
                self.place = Place::Operand(inner);
                self.call_function(dot, function, Place::Operand(inner), Given::NOTHING)?
            }
            _ => self.literal(dot, inner)?,
        };
        self.fields(dot, value, fields, given)
    }

    /// `.a.b.c`, of which only the last can be a method with arguments.
    pub(super) fn fields(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        fields: &'t [String],
        given: Given<'t, '_>,
    ) -> Done<Value> {
        let Some((last, fields)) = fields.split_last() else { return Ok(receiver) };
        for field in fields {
            receiver = self.field(dot, receiver, field, Given::NOTHING)?;
        }
        self.field(dot, receiver, last, given)
    }

    fn field(&mut self, dot: &Value, receiver: Value, name: &'t str, given: Given<'t, '_>) -> Done<Value> {
        self.step()?;
        let of = receiver.type_name();
        let target = match receiver {
            Value::Invalid => return Ok(Value::Invalid),
            Value::Any(None) => return Err(self.error(format!("nil pointer evaluating {of}.{name}"))),
            Value::Sample(None) if Sample::FIELDS.contains(&name) => {
                return Err(self.error(format!("nil pointer evaluating {of}.{name}")));
            }
            receiver => receiver.indirect().unwrap_or(Value::Invalid),
        };
        if let Some(method) = methods::find(&target, name) {
            return self.call_method(dot, &target, method, given);
        }
        let is_given = given.count() > 0;
        match &target {
            Value::Labels(_) | Value::Map(_) if is_given => {
                Err(self.error(format!("{name} is not a method but has arguments")))
            }
            // Labels and maps have zero values for what they don't have.
            Value::Labels(labels) => {
                let value = labels.get(name.as_bytes());
                Ok(value.map_or_else(|| Value::text(""), |value| Value::String(value.clone())))
            }
            Value::Map(map) => Ok(map.values.get(name.as_bytes()).cloned().unwrap_or(Value::Any(None)).into_any()),
            target => match format::field(target, name) {
                Some(_) if name.starts_with(|c: char| c.is_lowercase()) => {
                    Err(self.error(format!("{name} is an unexported field of struct type {of}")))
                }
                Some(_) if is_given => {
                    Err(self.error(format!("{name} has arguments but cannot be invoked as function")))
                }
                Some(value) if name == "Value" => Ok(value.into_any()),
                Some(value) => Ok(value),
                None => Err(self.error(format!("can't evaluate field {name} in type {of}"))),
            },
        }
    }

    /// The value of an operand as an argument, with the type that is wanted.
    pub(super) fn argument(&mut self, dot: &Value, operand: &'t Operand, wanted: Param) -> Done<Value> {
        self.step()?;
        self.place = Place::Operand(operand);
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Field(fields) => self.fields(dot, dot.clone(), fields, Given::NOTHING)?,
            Term::Variable(name, fields) => {
                self.variable_with_fields(dot, operand, name, fields, Given::NOTHING)?
            }
            Term::Pipe(pipe) => self.pipeline(dot, pipe)?,
            Term::Function(function) => {
                self.call_function(dot, function, Place::Operand(operand), Given::NOTHING)?
            }
            Term::Chain(inner, fields) => self.chain(dot, operand, inner, fields, Given::NOTHING)?,
            Term::Nil | Term::Bool(_) | Term::Number(_) | Term::String { .. } => {
                return self.literal_argument(dot, operand, wanted);
            }
        };
        self.convert(value, wanted)
    }
}
