//! Calls of functions and methods: their arguments by number and type.

use super::evaluate::Given;
use super::execute::{Done, Halt, Run};
use super::host::{Body, Fault, Function, Outcome, Param};
use super::limits::BYTES_PER_STEP;
use super::methods::Method;
use super::tree::{Operand, Place, Term};
use super::value::{IntType, Samples, Value};

impl<'t> Run<'t, '_> {
    /// `place` is where its errors are.
    pub(super) fn call_function(
        &mut self,
        dot: &Value,
        function: &Function,
        place: Place<'t>,
        given: Given<'t, '_>,
    ) -> Done<Value> {
        self.check_count(function.name, function.fixed, function.rest, given)?;
        let decides = match function.body {
            Body::And => false,
            Body::Or => true,
            Body::Call => {
                let outcome = self.arguments(dot, function.fixed, function.rest, given)?;
                let name = match (given.operands.first(), given.last) {
                    (Some(operand), _) => operand.to_string(),
                    (None, Some(Value::String(text) | Value::Html(text))) => super::characters::to_text(text),
                    (None, value) => format!("<{} Value>", value.map_or("invalid", Value::type_name)),
                };
                let outcome = call(&name, outcome.into_iter().next().unwrap_or(Value::Invalid));
                return self.outcome(function.name, outcome, place);
            }
            Body::Of(body) => {
                let arguments = self.arguments(dot, function.fixed, function.rest, given)?;
                let outcome = body(&mut self.host, &arguments);
                return self.outcome(function.name, outcome, place);
            }
        };
        // The first argument that decides is the result, or else the last one.
        let mut value = Value::Invalid;
        for operand in given.operands {
            value = self.argument(dot, operand, Param::Reflected)?;
            if value.is_true() == decides {
                return Ok(value);
            }
        }
        Ok(given.last.cloned().unwrap_or(value))
    }

    pub(super) fn call_method(
        &mut self,
        dot: &Value,
        receiver: &Value,
        method: &Method,
        given: Given<'t, '_>,
    ) -> Done<Value> {
        self.check_count(method.name, method.fixed, None, given)?;
        let arguments = self.arguments(dot, method.fixed, None, given)?;
        match (method.body)(receiver, &arguments) {
            Ok(value) => Ok(value),
            Err(message) => Err(self.error(message)),
        }
    }

    fn outcome(&mut self, name: &str, outcome: Outcome, place: Place<'t>) -> Done<Value> {
        let message = match outcome {
            Ok(value) => return Ok(value),
            Err(Fault::Query(text)) => return Err(Halt::Query(text)),
            Err(Fault::Limit(message)) => message,
            Err(Fault::Error(message)) => format!("error calling {name}: {message}"),
        };
        self.place = place;
        Err(self.error(message))
    }

    fn check_count(&self, name: &str, fixed: &[Param], rest: Option<Param>, given: Given<'_, '_>) -> Done<()> {
        let (count, wanted) = (given.count(), fixed.len());
        match rest {
            Some(_) if count < wanted => {
                let got = given.operands.len();
                Err(self.error(format!("wrong number of args for {name}: want at least {wanted} got {got}")))
            }
            None if count != wanted => {
                Err(self.error(format!("wrong number of args for {name}: want {wanted} got {count}")))
            }
            _ => Ok(()),
        }
    }

    fn arguments(
        &mut self,
        dot: &Value,
        fixed: &[Param],
        rest: Option<Param>,
        given: Given<'t, '_>,
    ) -> Done<Vec<Value>> {
        let mut params = fixed.iter().copied().chain(std::iter::repeat(rest.unwrap_or(Param::Any)));
        let mut values = Vec::with_capacity(given.count());
        for (operand, param) in given.operands.iter().zip(&mut params) {
            values.push(self.argument(dot, operand, param)?);
        }
        if let (Some(value), Some(param)) = (given.last, params.next()) {
            values.push(self.convert(value.clone(), param)?);
        }
        // What is done with them takes time by their length, whoever does it.
        let bytes = values.iter().map(|value| match value {
            Value::String(text) | Value::Html(text) => text.len(),
            _ => 0,
        });
        let steps = bytes.map(|bytes| bytes / BYTES_PER_STEP).sum();
        self.host.budget.take_steps(steps).map_err(|message| self.error(message))?;
        Ok(values)
    }

    /// A value as one of the wanted type, if it is one or a pointer to one.
    pub(super) fn convert(&self, value: Value, wanted: Param) -> Done<Value> {
        match (&value, wanted) {
            (Value::Invalid, _) => {
                return zero(wanted)
                    .ok_or_else(|| self.error(format!("invalid value; expected {}", wanted.name())));
            }
            (_, Param::Reflected) => return Ok(value),
            (_, Param::Any) => {
                return Ok(match value.out_of_interface() {
                    Value::Invalid => Value::Any(None),
                    value => value,
                });
            }
            _ => {}
        }
        let value = match value {
            Value::Any(Some(inner)) => Value::clone(&inner),
            value => value,
        };
        let pointee = match &value {
            Value::TimePointer(_) | Value::DurationPointer(_) => value.clone().indirect(),
            _ => None,
        };
        [Some(value.clone()), pointee].into_iter().flatten().find(|value| is_of(value, wanted)).ok_or_else(|| {
            let (wanted, got) = (wanted.name(), value.type_name());
            self.error(format!("wrong type for value; expected {wanted}; got {got}"))
        })
    }

    /// Literals have no type before one is wanted.
    pub(super) fn literal_argument(&mut self, dot: &Value, operand: &'t Operand, wanted: Param) -> Done<Value> {
        self.place = Place::Operand(operand);
        if let Term::Nil = operand.term {
            let nil = zero(wanted);
            return nil.ok_or_else(|| self.error(format!("cannot assign nil to {}", wanted.name())));
        }
        let expected = match (wanted, &operand.term) {
            (Param::Any | Param::Reflected, _) => return self.literal(dot, operand),
            (Param::String, Term::String { text, .. }) => return Ok(Value::text(text)),
            (Param::String, _) => "string",
            (Param::Int | Param::Duration, Term::Number(number)) if number.int.is_some() => {
                let of = if wanted == Param::Int { IntType::Int } else { IntType::Duration };
                return Ok(Value::Int(of, number.int.unwrap_or_default()));
            }
            (Param::Int | Param::Duration, _) => "integer",
            (Param::Time | Param::Samples | Param::Sample, _) => {
                return Err(self.error(format!("can't handle {operand} for arg of type {}", wanted.name())));
            }
        };
        Err(self.error(format!("expected {expected}; found {operand}")))
    }
}

/// What `nil` is as a value of a type, where it can be one.
fn zero(of: Param) -> Option<Value> {
    match of {
        Param::Any => Some(Value::Any(None)),
        Param::Reflected => Some(Value::Invalid),
        Param::Samples => Some(Value::Samples(Samples::NIL)),
        Param::Sample => Some(Value::Sample(None)),
        Param::String | Param::Int | Param::Duration | Param::Time => None,
    }
}

fn is_of(value: &Value, wanted: Param) -> bool {
    match wanted {
        Param::Any | Param::Reflected => true,
        Param::String => matches!(value, Value::String(_)),
        Param::Int => matches!(value, Value::Int(IntType::Int, _)),
        Param::Duration => matches!(value, Value::Int(IntType::Duration, _)),
        Param::Time => matches!(value, Value::Time(_)),
        Param::Samples => matches!(value, Value::Samples(_)),
        Param::Sample => matches!(value, Value::Sample(_)),
    }
}

/// The function `call`, for values none of which is a function.
fn call(name: &str, function: Value) -> Outcome {
    match function.out_of_interface() {
        Value::Invalid => Err("call of nil".into()),
        value => Err(format!("non-function {name} of type {}", value.type_name()).into()),
    }
}
