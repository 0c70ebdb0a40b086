//! `index`, `slice`, `len`, `not`, and the functions that print.

use super::super::format;
use super::super::host::{Fault, Host, Outcome};
use super::super::limits::MAX_OUTPUT_BYTES;
use super::super::value::{Samples, UintType, Value};

pub(super) fn not(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(!arguments.iter().any(Value::is_true)))
}

pub(super) fn print(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(format::print(arguments, MAX_OUTPUT_BYTES))
}

pub(super) fn println(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.made(format::println(arguments, MAX_OUTPUT_BYTES))
}

pub(super) fn printf(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let Some((Value::String(layout), arguments)) = arguments.split_first() else { return Ok(Value::text("")) };
    host.take_steps(layout.len() / 16)?;
    host.made(format::printf(layout, arguments, MAX_OUTPUT_BYTES))
}

/// `index x 1 2` is `x[1][2]`. What a map does not have is the zero value of its elements.
pub(super) fn index(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let Some((item, indexes)) = arguments.split_first() else { return Ok(Value::Invalid) };
    let mut item = item.clone().out_of_interface();
    if let Value::Invalid = item {
        return Err("index of untyped nil".into());
    }
    for at in indexes {
        let at = at.clone().out_of_interface();
        let indirect = item.indirect().ok_or("index of nil pointer")?;
        item = match &indirect {
            Value::Samples(samples) => {
                let at = position(&at, samples.length)?;
                let sample = samples.get(at).ok_or("reflect: slice index out of range")?;
                Value::Sample(Some(sample))
            }
            Value::String(text) | Value::Html(text) => {
                let at = position(&at, text.len())?;
                Value::Uint(UintType::Uint8, (*text.get(at).ok_or("reflect: string index out of range")?).into())
            }
            Value::Labels(labels) => {
                let found = labels.get(key(&at)?);
                found.map_or_else(|| Value::text(""), |value| Value::String(value.clone()))
            }
            Value::Map(map) => map.values.get(key(&at)?).cloned().unwrap_or(Value::Any(None)).into_any(),
            item => return Err(format!("can't index item of type {}", target_type(item)).into()),
        };
    }
    Ok(item)
}

/// `slice x 1 2` is `x[1:2]`.
pub(super) fn slice(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let Some((item, indexes)) = arguments.split_first() else { return Ok(Value::Invalid) };
    let item = item.clone().out_of_interface();
    if let Value::Invalid = item {
        return Err("slice of untyped nil".into());
    }
    let item = item.indirect().ok_or("slice of nil pointer")?;
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let (length, capacity) = match &item {
        Value::String(_) | Value::Html(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Value::String(text) | Value::Html(text) => (text.len(), text.len()),
        Value::Samples(samples) => (samples.length, samples.capacity),
        item => return Err(format!("can't slice item of type {}", target_type(item)).into()),
    };
    let mut bounds = [0, length, capacity];
    for (bound, at) in bounds.iter_mut().zip(indexes) {
        *bound = position(at, capacity)?;
    }
    let [start, end, capacity] = bounds;
    for (from, to) in [(start, end), (end, capacity)] {
        if from > to {
            return Err(format!("invalid slice index: {from} > {to}").into());
        }
    }
    match item {
        Value::String(text) => host.made(text.get(start..end).map(<[u8]>::to_vec)),
        Value::Html(text) => Ok(Value::Html(text.get(start..end).unwrap_or_default().into())),
        Value::Samples(samples) => Ok(Value::Samples(Samples {
            start: samples.start + start,
            length: end - start,
            capacity: capacity - start,
            ..samples
        })),
        item => Ok(item),
    }
}

pub(super) fn len(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let item = arguments.first().cloned().unwrap_or(Value::Invalid).indirect().ok_or("len of nil pointer")?;
    let length = match &item {
        Value::Labels(labels) => labels.len(),
        Value::Map(map) => map.values.len(),
        Value::Samples(samples) => samples.length,
        Value::String(text) | Value::Html(text) => text.len(),
        // The message of Go's reflection, where it has nothing to ask for its type.
        Value::Invalid => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        item => return Err(format!("len of type {}", target_type(item)).into()),
    };
    Ok(Value::int(length as i64))
}

/// The type of what is behind a pointer.
fn target_type(item: &Value) -> &'static str {
    item.type_name().trim_start_matches('*')
}

fn position(at: &Value, most: usize) -> Result<usize, Fault> {
    let number = match at {
        Value::Int(_, number) => *number,
        Value::Uint(_, number) => *number as i64,
        Value::Invalid => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
    };
    let position = usize::try_from(number).ok().filter(|position| *position <= most);
    position.ok_or_else(|| format!("index out of range: {number}").into())
}

fn key(at: &Value) -> Result<&[u8], Fault> {
    match at {
        Value::String(key) => Ok(key),
        Value::Invalid => Err("value is nil; should be of type string".into()),
        other => Err(format!("value has type {}; should be string", other.type_name()).into()),
    }
}
