//! Queries, and what is done with their results.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::characters::to_text;
use super::super::host::{Fault, Host, Outcome, text};
use super::super::limits::MAX_MAP_DEPTH;
use super::super::subject::to_map;
use super::super::value::{Map, Sample, Samples, Value};

/// What Go says where a pointer is nil.
const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

pub(super) fn query(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let text = to_text(text(arguments, 0));
    let answers = host.answers;
    let answer = answers.get(&text).ok_or(Fault::Query(text))?;
    let samples = answer.as_ref().map_err(String::clone)?;
    host.take_steps(samples.iter().map(|sample| 1 + sample.labels.as_bytes().len() / 16).sum())?;
    let samples = samples.iter().map(|sample| {
        Rc::new(Sample { labels: Rc::new(to_map(&sample.labels)), value: sample.value.to_template() })
    });
    Ok(Value::Samples(Samples::new(samples.collect())))
}

pub(super) fn first(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let first = arguments.first().and_then(|samples| match samples {
        Value::Samples(samples) => samples.get(0),
        _ => None,
    });
    let first = first.ok_or("first() called on vector with no elements")?;
    Ok(Value::Sample(Some(first)))
}

pub(super) fn label(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    label_of(sample(arguments, 1)?, text(arguments, 0))
}

/// The value under a name that consoles gave it once.
pub(super) fn strvalue(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    label_of(sample(arguments, 0)?, b"__value__")
}

pub(super) fn value(_: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    Ok(sample(arguments, 0)?.value.clone().into_any())
}

fn label_of(sample: &Sample, name: &[u8]) -> Outcome {
    Ok(sample.labels.get(name).map_or_else(|| Value::text(""), |value| Value::String(value.clone())))
}

fn sample(arguments: &[Value], nth: usize) -> Result<&Sample, Fault> {
    match arguments.get(nth) {
        Some(Value::Sample(Some(sample))) => Ok(sample),
        _ => Err(NIL_POINTER.into()),
    }
}

/// Sorts them where they are: whoever holds the same result has it sorted too.
pub(super) fn sort_by_label(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    let [name, value @ Value::Samples(samples)] = arguments else { return Ok(Value::Samples(Samples::NIL)) };
    host.take_steps(samples.length * samples.length.checked_ilog2().unwrap_or(0) as usize)?;
    if let (Some(array), Value::String(name)) = (&samples.array, name) {
        let range = samples.start..samples.start + samples.length;
        if let Some(part) = array.borrow_mut().get_mut(range) {
            part.sort_by(|a, b| a.labels.get(name).cmp(&b.labels.get(name)));
        }
    }
    Ok(value.clone())
}

/// `arg0`, `arg1` and so on, for a template that takes one value.
pub(super) fn args(host: &mut Host<'_>, arguments: &[Value]) -> Outcome {
    host.take_steps(arguments.len())?;
    let depth = 1 + arguments.iter().map(depth).max().unwrap_or(0);
    if depth > MAX_MAP_DEPTH {
        return Err(Fault::Limit(format!("more than {MAX_MAP_DEPTH} maps within each other")));
    }
    let named = |(nth, value): (usize, &Value)| (format!("arg{nth}").into_bytes().into(), value.clone().into_any());
    let values: BTreeMap<_, _> = arguments.iter().enumerate().map(named).collect();
    Ok(Value::Map(Rc::new(Map { values, depth })))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Map(map) => map.depth,
        Value::Any(Some(value)) => depth(value),
        _ => 0,
    }
}
