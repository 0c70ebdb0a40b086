//! Comparisons by the rules of Go's `text/template`: numbers of different kinds are not compared, except that a byte is
//! an integer, too.

use std::rc::Rc;

use super::super::format;
use super::super::host::{Fault, Host, Outcome};
use super::super::limits::MAX_OUTPUT_BYTES;
use super::super::value::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Bool,
    Complex,
    Int,
    Uint,
    Float,
    String,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(..) => Kind::Int,
        Value::Uint(..) => Kind::Uint,
        Value::Float(_) => Kind::Float,
        Value::Complex(..) => Kind::Complex,
        Value::String(_) | Value::Html(_) => Kind::String,
        _ => Kind::None,
    }
}

/// Whether the first is equal to one of the others.
pub(super) fn eq(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let Some((first, others)) = arguments.split_first() else { return Ok(Value::Bool(false)) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    let first = first.clone().out_of_interface();
    for other in others {
        host.take_steps(size(other) / 64)?;
        if is_equal(&first, &other.clone().out_of_interface())? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    eq(host, arguments).map(negated)
}

pub(super) fn lt(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let [first, second] = arguments else { return Ok(Value::Bool(false)) };
    host.take_steps(size(second) / 64)?;
    is_less(&first.clone().out_of_interface(), &second.clone().out_of_interface()).map(Value::Bool)
}

pub(super) fn le(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    match lt(host, arguments)? {
        less if less.is_true() => Ok(less),
        _ => eq(host, arguments),
    }
}

pub(super) fn gt(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    le(host, arguments).map(negated)
}

pub(super) fn ge(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    lt(host, arguments).map(negated)
}

fn negated(value: Value) -> Value {
    Value::Bool(!value.is_true())
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) | Value::Html(text) => text.len(),
        _ => 0,
    }
}

fn is_equal(first: &Value, second: &Value) -> Result<bool, Fault> {
    Ok(match (first, second) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(_, a), Value::Int(_, b)) => a == b,
        (Value::Uint(_, a), Value::Uint(_, b)) => a == b,
        (Value::Int(_, int), Value::Uint(_, uint)) | (Value::Uint(_, uint), Value::Int(_, int)) => {
            i128::from(*int) == i128::from(*uint)
        }
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => (a, b) == (c, d),
        (Value::String(a) | Value::Html(a), Value::String(b) | Value::Html(b)) => a == b,
        _ if kind(first) == kind(second) => return is_same(first, second),
        (Value::Invalid, _) | (_, Value::Invalid) => false,
        _ => return Err(incompatible(first, second)),
    })
}

/// Of values that are neither numbers nor texts.
fn is_same(first: &Value, second: &Value) -> Result<bool, Fault> {
    let comparable = matches!((first, second), (Value::Invalid, _) | (_, Value::Invalid))
        || std::mem::discriminant(&shape(first)) == std::mem::discriminant(&shape(second));
    if !comparable {
        let (a, b) = (shown(first, b's'), shown(second, b'v'));
        let (first, second) = (first.type_name(), second.type_name());
        return Err(format!("non-comparable types {a}: {first}, {second}: {b}").into());
    }
    if is_nil(first) || is_nil(second) {
        return Ok(is_nil(first) == is_nil(second));
    }
    Ok(match (first, second) {
        (Value::Sample(Some(a)), Value::Sample(Some(b))) => Rc::ptr_eq(a, b),
        (Value::TimePointer(a), Value::TimePointer(b)) => Rc::ptr_eq(a, b),
        (Value::DurationPointer(a), Value::DurationPointer(b)) => Rc::ptr_eq(a, b),
        (Value::Histogram(a), Value::Histogram(b)) => Rc::ptr_eq(a, b),
        (Value::Time(a), Value::Time(b)) => a == b,
        (_, Value::Samples(_) | Value::Labels(_) | Value::Map(_) | Value::Data(_) | Value::SampleStruct(_)) => {
            return Err(format!("non-comparable type {}: {}", shown(second, b's'), second.type_name()).into());
        }
        _ => false,
    })
}

enum Shape {
    Map,
    Slice,
    Pointer,
    Struct,
    Other,
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Labels(_) | Value::Map(_) => Shape::Map,
        Value::Samples(_) => Shape::Slice,
        Value::Sample(_) | Value::TimePointer(_) | Value::DurationPointer(_) | Value::Histogram(_) => {
            Shape::Pointer
        }
        Value::SampleStruct(_) | Value::Data(_) | Value::Time(_) => Shape::Struct,
        _ => Shape::Other,
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Invalid | Value::Sample(None) => true,
        Value::Samples(samples) => samples.array.is_none(),
        _ => false,
    }
}

fn is_less(first: &Value, second: &Value) -> Result<bool, Fault> {
    for value in [first, second] {
        if kind(value) == Kind::None {
            return Err("invalid type for comparison".into());
        }
    }
    Ok(match (first, second) {
        (Value::Int(_, a), Value::Int(_, b)) => a < b,
        (Value::Uint(_, a), Value::Uint(_, b)) => a < b,
        (Value::Int(_, a), Value::Uint(_, b)) => i128::from(*a) < i128::from(*b),
        (Value::Uint(_, a), Value::Int(_, b)) => i128::from(*a) < i128::from(*b),
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::String(a) | Value::Html(a), Value::String(b) | Value::Html(b)) => a < b,
        _ if kind(first) == kind(second) => return Err("invalid type for comparison".into()),
        _ => return Err(incompatible(first, second)),
    })
}

fn incompatible(first: &Value, second: &Value) -> Fault {
    format!("incompatible types for comparison: {} and {}", first.type_name(), second.type_name()).into()
}

fn shown(value: &Value, verb: u8) -> String {
    format::reflected(value, char::from(verb), MAX_OUTPUT_BYTES)
}
