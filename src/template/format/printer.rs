//! Values by their type: what each verb makes of them, and how those are shown that consist of others.

use std::rc::Rc;

use crate::model::histogram::FloatHistogram;

use super::super::time::{SECONDS_TO_EPOCH, Time, duration_text};
use super::super::value::{Bytes, IntType, Sample, UintType, Value};
use super::flags::Base;
use super::flags::Flags;
use super::float;
use crate::model::calendar::{MONTHS, WEEKDAYS};

/// Stands for every address. Go's depend on what was allocated before.
const ADDRESS: i128 = 0xc0_0000_0000;

/// Text as it is written.
pub(super) struct Printer {
    pub flags: Flags,
    out: Vec<u8>,
    limit: usize,
    is_full: bool,
    /// Within the message for a verb that does not fit, where methods are not asked.
    in_message: bool,
}

/// What an interface holds.
pub(super) fn bare(value: &Value) -> &Value {
    match value {
        Value::Any(Some(value)) => value,
        value => value,
    }
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Invalid | Value::Any(None))
}

impl Printer {
    pub(super) fn new(limit: usize) -> Self {
        Self { flags: Flags::default(), out: vec![], limit, is_full: false, in_message: false }
    }

    /// Whether there is more than may be, so that the rest need not be made.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.is_full).then_some(self.out)
    }

    pub(super) fn write(&mut self, text: &[u8]) {
        self.is_full |= self.out.len() + text.len() > self.limit;
        if !self.is_full {
            self.out.extend_from_slice(text);
        }
    }

    fn write_char(&mut self, c: char) {
        self.write(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// An argument by its verb.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        let value = bare(value);
        match verb {
            'v' | 'T' if is_nothing(value) => self.write(&self.flags.pad(b"<nil>")),
            _ if is_nothing(value) => self.bad_verb(value, verb),
            'T' => self.write(&self.flags.text(value.type_name().as_bytes())),
            'p' => self.pointer(value, verb),
            _ => self.value(value, verb, 0),
        }
    }

    /// `%!d(string=x)`
    fn bad_verb(&mut self, value: &Value, verb: char) {
        self.write(b"%!");
        self.write_char(verb);
        self.write(b"(");
        if is_nothing(value) {
            self.write(b"<nil>");
        } else {
            self.in_message = true;
            self.write(value.type_name().as_bytes());
            self.write(b"=");
            self.value(value, 'v', 0);
            self.in_message = false;
        }
        self.write(b")");
    }

    /// A value at a depth of others that it is in.
    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if self.is_full {
            return;
        }
        // The verb of errors, which are no values here.
        if verb == 'w' && !is_nothing(value) {
            return self.bad_verb(value, verb);
        }
        if self.method(value, verb) {
            return;
        }
        match value {
            Value::Invalid | Value::Any(None) if verb == 'v' => self.write(b"<nil>"),
            Value::Invalid | Value::Any(None) => self.bad_verb(value, verb),
            Value::Any(Some(value)) => self.value(value, verb, depth + 1),
            Value::Bool(is_true) if matches!(verb, 't' | 'v') => {
                self.write(&self.flags.pad(is_true.to_string().as_bytes()));
            }
            Value::Int(_, number) => self.integer(value, (*number).into(), true, verb),
            Value::Uint(_, number) => self.integer(value, (*number).into(), false, verb),
            Value::Float(number) if is_float_verb(verb) => self.write(&float::format(&self.flags, *number, verb)),
            Value::Complex(real, imaginary) if is_float_verb(verb) => self.complex(*real, *imaginary, verb),
            Value::String(text) | Value::Html(text) => self.text(value, text, verb),
            Value::Bool(_) | Value::Float(_) | Value::Complex(..) => self.bad_verb(value, verb),
            Value::Labels(labels) => {
                let entries = labels.iter().map(|(name, value)| (name, Value::String(value.clone())));
                self.map(value, entries, verb, depth);
            }
            Value::Map(map) => {
                let entries = map.values.iter().map(|(name, value)| (name, value.clone()));
                self.map(value, entries, verb, depth);
            }
            Value::Samples(samples) => {
                let values = samples.to_vec().into_iter().map(|sample| Value::Sample(Some(sample)));
                self.list(value, samples.array.is_none(), values, verb, depth);
            }
            Value::SampleStruct(_) | Value::Data(_) | Value::Time(_) => self.fields(value, verb, depth),
            Value::Sample(Some(sample)) if depth == 0 => {
                self.write(b"&");
                self.value(&Value::SampleStruct(Rc::<Sample>::clone(sample)), verb, depth + 1);
            }
            Value::TimePointer(time) if depth == 0 => {
                self.write(b"&");
                self.fields(&Value::Time(**time), verb, depth + 1);
            }
            Value::Histogram(_) if depth == 0 => {
                self.write(b"&");
                self.fields(value, verb, depth + 1);
            }
            Value::Sample(_)
            | Value::TimePointer(_)
            | Value::DurationPointer(_)
            | Value::Histogram(_)
            | Value::Utc => self.pointer(value, verb),
        }
    }

    /// What a type says of itself, for the verbs that want a text.
    fn method(&mut self, value: &Value, verb: char) -> bool {
        let own = match value {
            Value::Int(IntType::Int | IntType::Int32 | IntType::Int64, _) => None,
            Value::Int(IntType::Duration, number) => Some(duration_text(*number)),
            Value::Int(IntType::Month, number) => Some(name(&MONTHS, *number, 1)),
            Value::Int(IntType::Weekday, number) => Some(name(&WEEKDAYS, *number, 0)),
            Value::DurationPointer(number) => Some(duration_text(**number)),
            Value::Time(time) => Some(self.time(time)),
            Value::TimePointer(time) => Some(self.time(time)),
            Value::Histogram(histogram) => Some(histogram.to_string()),
            _ => None,
        };
        let Some(own) = own.filter(|_| !self.in_message) else { return false };
        match verb {
            _ if self.flags.sharp_v => {
                let has_go_syntax = matches!(value, Value::Time(_) | Value::TimePointer(_));
                if has_go_syntax {
                    self.write(&self.flags.text(own.as_bytes()));
                }
                has_go_syntax
            }
            'v' | 's' | 'x' | 'X' | 'q' => {
                self.text(value, own.as_bytes(), verb);
                true
            }
            _ => false,
        }
    }

    fn time(&self, time: &Time) -> String {
        if self.flags.sharp_v { time.to_go() } else { time.to_text() }
    }

    fn text(&mut self, value: &Value, text: &[u8], verb: char) {
        let printed = match verb {
            'v' if self.flags.sharp_v => self.flags.quoted(text),
            'v' | 's' => self.flags.text(text),
            'x' => self.flags.hex(text, false),
            'X' => self.flags.hex(text, true),
            'q' => self.flags.quoted(text),
            _ => return self.bad_verb(value, verb),
        };
        self.write(&printed);
    }

    fn integer(&mut self, value: &Value, number: i128, is_signed: bool, verb: char) {
        let bits = if is_signed { number as i64 as u64 } else { number as u64 };
        let flags = self.flags;
        let printed = match verb {
            'v' if flags.sharp_v && !is_signed => Flags { sharp: true, ..flags }.integer(number, Base::Hex),
            'v' | 'd' => flags.integer(number, Base::Decimal),
            'b' => flags.integer(number, Base::Binary),
            'o' => flags.integer(number, Base::Octal),
            'O' => flags.integer(number, Base::MarkedOctal),
            'x' => flags.integer(number, Base::Hex),
            'X' => flags.integer(number, Base::UpperHex),
            'c' => flags.char(bits),
            'q' => flags.quoted_char(bits),
            'U' => flags.code_point(bits),
            _ => return self.bad_verb(value, verb),
        };
        self.write(&printed);
    }

    /// `(1+2i)`
    fn complex(&mut self, real: f64, imaginary: f64, verb: char) {
        self.write(b"(");
        self.write(&float::format(&self.flags, real, verb));
        self.write(&float::format(&Flags { plus: true, ..self.flags }, imaginary, verb));
        self.write(b"i)");
    }

    fn pointer(&mut self, value: &Value, verb: char) {
        let address = match value {
            Value::Sample(None) | Value::Utc => 0,
            Value::Samples(samples) if samples.array.is_none() => 0,
            Value::Sample(_) | Value::TimePointer(_) | Value::DurationPointer(_) | Value::Histogram(_) => ADDRESS,
            Value::Labels(_) | Value::Map(_) | Value::Samples(_) => ADDRESS,
            _ => return self.bad_verb(value, verb),
        };
        let flags = self.flags;
        match verb {
            'v' if flags.sharp_v => {
                self.write(b"(");
                self.write(value.type_name().as_bytes());
                self.write(b")(");
                match address {
                    0 => self.write(b"nil"),
                    _ => self.write(&Flags { sharp: true, ..flags }.integer(address, Base::Hex)),
                }
                self.write(b")");
            }
            'v' if address == 0 => self.write(&flags.pad(b"<nil>")),
            'v' | 'p' => self.write(&Flags { sharp: !flags.sharp, ..flags }.integer(address, Base::Hex)),
            'b' | 'o' | 'd' | 'x' | 'X' => self.integer(value, address, false, verb),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `map[a:1 b:2]`, by key.
    fn map<'k>(
        &mut self,
        map: &Value,
        entries: impl Iterator<Item = (&'k Bytes, Value)>,
        verb: char,
        depth: usize,
    ) {
        let is_go = self.flags.sharp_v;
        if is_go {
            self.write(map.type_name().as_bytes());
        }
        self.write(if is_go { b"{" } else { b"map[" });
        for (nth, (key, value)) in entries.enumerate() {
            self.separator(nth);
            self.value(&Value::String(key.clone()), verb, depth + 1);
            self.write(b":");
            self.element(&value, verb, depth);
        }
        self.write(if is_go { b"}" } else { b"]" });
    }

    fn list(&mut self, list: &Value, is_nil: bool, values: impl Iterator<Item = Value>, verb: char, depth: usize) {
        let is_go = self.flags.sharp_v;
        if is_go {
            self.write(list.type_name().as_bytes());
            if is_nil {
                return self.write(b"(nil)");
            }
        }
        self.write(if is_go { b"{" } else { b"[" });
        for (nth, value) in values.enumerate() {
            self.separator(nth);
            self.value(&value, verb, depth + 1);
        }
        self.write(if is_go { b"}" } else { b"]" });
    }

    /// `{1 2}`, with names where they are asked for.
    fn fields(&mut self, value: &Value, verb: char, depth: usize) {
        if self.flags.sharp_v {
            self.write(value.type_name().trim_start_matches('*').as_bytes());
        }
        self.write(b"{");
        for (nth, (name, field)) in fields(value).into_iter().enumerate() {
            self.separator(nth);
            if self.flags.plus_v || self.flags.sharp_v {
                self.write(name.as_bytes());
                self.write(b":");
            }
            self.element(&field, verb, depth);
        }
        self.write(b"}");
    }

    /// Within a map or a struct, where an interface that holds nothing has a form of its own.
    fn element(&mut self, value: &Value, verb: char, depth: usize) {
        match value {
            Value::Any(None) if self.flags.sharp_v => self.write(b"interface {}(nil)"),
            Value::Any(None) => self.write(b"<nil>"),
            value => self.value(value, verb, depth + 1),
        }
    }

    fn separator(&mut self, nth: usize) {
        if nth > 0 {
            self.write(if self.flags.sharp_v { b", " } else { b" " });
        }
    }
}

fn is_float_verb(verb: char) -> bool {
    matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E')
}

/// The name of a month or a day of the week, or what Go writes for a number that is none.
pub(in super::super) fn name(names: &[&str], number: i64, first: i64) -> String {
    let known = number.checked_sub(first).and_then(|at| usize::try_from(at).ok()).and_then(|at| names.get(at));
    let kind = if first == 1 { "Month" } else { "Weekday" };
    known.map_or_else(|| format!("%!{kind}({number})"), |name| name.to_string())
}

/// Of those that are structs in Go.
fn fields(value: &Value) -> Vec<(&'static str, Value)> {
    match value {
        Value::SampleStruct(sample) => {
            vec![("Labels", Value::Labels(sample.labels.clone())), ("Value", sample.value.clone())]
        }
        Value::Data(data) => vec![
            ("Labels", Value::Labels(data.labels.clone())),
            ("ExternalLabels", Value::Labels(data.external_labels.clone())),
            ("ExternalURL", Value::String(data.external_url.clone())),
            ("Value", data.value.clone()),
        ],
        Value::Time(time) => {
            let seconds = i64::try_from(time.unix() + SECONDS_TO_EPOCH).unwrap_or(i64::MAX);
            vec![
                ("wall", Value::Uint(UintType::Uint64, time.nanosecond().unsigned_abs())),
                ("ext", Value::Int(IntType::Int64, seconds)),
                ("loc", Value::Utc),
            ]
        }
        Value::Histogram(histogram) => histogram_fields(histogram),
        _ => vec![],
    }
}

/// Those that are numbers.
fn histogram_fields(histogram: &FloatHistogram) -> Vec<(&'static str, Value)> {
    vec![
        ("CounterResetHint", Value::Uint(UintType::Uint8, histogram.counter_reset_hint as u64)),
        ("Schema", Value::Int(IntType::Int32, histogram.schema.into())),
        ("ZeroThreshold", Value::Float(histogram.zero_threshold)),
        ("ZeroCount", Value::Float(histogram.zero_count)),
        ("Count", Value::Float(histogram.count)),
        ("Sum", Value::Float(histogram.sum)),
    ]
}

/// A field by its name, as templates can ask for it.
pub(in super::super) fn field(value: &Value, name: &str) -> Option<Value> {
    fields(value).into_iter().find(|(known, _)| *known == name).map(|(_, field)| field)
}
