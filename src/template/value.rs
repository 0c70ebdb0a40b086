//! Values with the types that Go's reflection finds: what a template can hold, and no more.
//!
//! Of Go's kinds there are those of Prometheus' data and functions. A value of an interface type is one of its own
//! ([`Value::Any`]) since messages tell the difference; functions are no values.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::model::histogram::FloatHistogram;

use super::time::Time;

/// A text, which need not be UTF-8.
pub(super) type Bytes = Rc<[u8]>;

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `reflect.Value{}`: nothing, not even a nil.
    Invalid,
    /// What an `interface {}` holds; never another one.
    Any(Option<Rc<Value>>),
    Bool(bool),
    Int(IntType, i64),
    Uint(UintType, u64),
    Float(f64),
    Complex(f64, f64),
    String(Bytes),
    /// What `safeHtml` makes.
    Html(Bytes),
    /// `map[string]string`
    Labels(Rc<BTreeMap<Bytes, Bytes>>),
    /// `map[string]interface {}`
    Map(Rc<Map>),
    Samples(Samples),
    /// A pointer.
    Sample(Option<Rc<Sample>>),
    /// What such a pointer points to.
    SampleStruct(Rc<Sample>),
    Data(Rc<Data>),
    Time(Time),
    /// A pointer, as `toTime` gives it.
    TimePointer(Rc<Time>),
    /// A pointer, as `toDuration` gives it.
    DurationPointer(Rc<i64>),
    /// A pointer.
    Histogram(Rc<FloatHistogram>),
    /// The time zone of a time in UTC: a pointer that is nil.
    Utc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntType {
    Int,
    Int32,
    Int64,
    Duration,
    Month,
    Weekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UintType {
    /// A byte of a text.
    Uint8,
    Uint64,
}

/// What `args` gives, and how many maps are within each other in it.
#[derive(Debug)]
pub(super) struct Map {
    pub values: BTreeMap<Bytes, Value>,
    pub depth: usize,
}

/// A part of a slice, which shares its elements with others.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    /// `None` for nil.
    pub array: Option<Rc<RefCell<Vec<Rc<Sample>>>>>,
    pub start: usize,
    pub length: usize,
    pub capacity: usize,
}

/// An element of a query's result.
#[derive(Debug)]
pub(super) struct Sample {
    pub labels: Rc<BTreeMap<Bytes, Bytes>>,
    /// A float or a histogram.
    pub value: Value,
}

/// What the dot is at first.
#[derive(Debug)]
pub(super) struct Data {
    pub labels: Rc<BTreeMap<Bytes, Bytes>>,
    pub external_labels: Rc<BTreeMap<Bytes, Bytes>>,
    pub external_url: Bytes,
    /// A float or a histogram.
    pub value: Value,
}

impl Sample {
    pub(super) const FIELDS: [&str; 2] = ["Labels", "Value"];
}

impl Samples {
    pub(super) const NIL: Samples = Samples { array: None, start: 0, length: 0, capacity: 0 };

    pub(super) fn new(samples: Vec<Rc<Sample>>) -> Self {
        let length = samples.len();
        Self { array: Some(Rc::new(RefCell::new(samples))), start: 0, length, capacity: length }
    }

    pub(super) fn get(&self, index: usize) -> Option<Rc<Sample>> {
        let array = self.array.as_ref()?.borrow();
        array.get(self.start..self.start + self.length)?.get(index).cloned()
    }

    pub(super) fn to_vec(&self) -> Vec<Rc<Sample>> {
        (0..self.length).filter_map(|index| self.get(index)).collect()
    }
}

impl Value {
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Value::String(text.as_ref().into())
    }

    pub(super) fn int(number: i64) -> Self {
        Value::Int(IntType::Int, number)
    }

    /// As a value of an interface type.
    pub(super) fn into_any(self) -> Self {
        match self {
            Value::Any(_) => self,
            Value::Invalid => Value::Any(None),
            value => Value::Any(Some(Rc::new(value))),
        }
    }

    /// What an interface holds; other values are themselves.
    pub(super) fn out_of_interface(self) -> Self {
        match self {
            Value::Any(Some(value)) => Value::clone(&value),
            Value::Any(None) => Value::Invalid,
            value => value,
        }
    }

    /// Behind interfaces and pointers; `None` where one of them is nil.
    pub(super) fn indirect(self) -> Option<Self> {
        Some(match self {
            Value::Any(None) | Value::Sample(None) => return None,
            Value::Any(Some(value)) => return Value::clone(&value).indirect(),
            Value::Sample(Some(sample)) => Value::SampleStruct(sample),
            Value::TimePointer(time) => Value::Time(*time),
            Value::DurationPointer(duration) => Value::Int(IntType::Duration, *duration),
            value => value,
        })
    }

    /// Go's name of the type. There is none of what is invalid.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Invalid => "<nil>",
            Value::Any(_) => "interface {}",
            Value::Bool(_) => "bool",
            Value::Int(of, _) => of.name(),
            Value::Uint(of, _) => of.name(),
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::String(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Labels(_) => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Samples(_) => "template.queryResult",
            Value::Sample(_) => "*template.sample",
            Value::SampleStruct(_) => "template.sample",
            Value::Data(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; \
                 Value interface {} }"
            }
            Value::Time(_) => "time.Time",
            Value::TimePointer(_) => "*time.Time",
            Value::DurationPointer(_) => "*time.Duration",
            Value::Histogram(_) => "*histogram.FloatHistogram",
            Value::Utc => "*time.Location",
        }
    }

    /// What `if` and its like make of it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Invalid | Value::Any(None) | Value::Sample(None) | Value::Utc => false,
            Value::Any(Some(value)) => value.is_true(),
            Value::Bool(value) => *value,
            Value::Int(_, number) => *number != 0,
            Value::Uint(_, number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::String(text) | Value::Html(text) => !text.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Map(map) => !map.values.is_empty(),
            Value::Samples(samples) => samples.length > 0,
            Value::Sample(Some(_)) | Value::SampleStruct(_) | Value::Data(_) | Value::Time(_) => true,
            Value::TimePointer(_) | Value::DurationPointer(_) | Value::Histogram(_) => true,
        }
    }
}

impl IntType {
    pub(super) fn name(self) -> &'static str {
        match self {
            IntType::Int => "int",
            IntType::Int32 => "int32",
            IntType::Int64 => "int64",
            IntType::Duration => "time.Duration",
            IntType::Month => "time.Month",
            IntType::Weekday => "time.Weekday",
        }
    }
}

impl UintType {
    pub(super) fn name(self) -> &'static str {
        match self {
            UintType::Uint8 => "uint8",
            UintType::Uint64 => "uint64",
        }
    }
}
