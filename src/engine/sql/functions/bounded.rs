//! Functions whose result can be far larger than their arguments: a number says how long it gets, or each part of a text
//! is replaced by another text. DataFusion takes what they need without asking, and where there is no such memory the
//! process ends. So what a call would make of a batch of rows is counted first.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{exec_err, utils::take_function_args};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// What a call may make of a batch of rows, in bytes.
const MAX_CALL_BYTES: u128 = 32 << 20;
/// Where it only joins what is there.
const MAX_JOINED_BYTES: u128 = 64 << 20;

/// The functions, and what tells the size of their result.
const FUNCTIONS: &[(&str, Growth)] = &[
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace),
    ("regexp_replace", Growth::RegexpReplace),
    ("array_repeat", Growth::ArrayRepeat),
    ("array_resize", Growth::ArrayResize),
    ("array_concat", Growth::Sum),
    ("make_array", Growth::Sum),
    ("range", Growth::Range),
    ("concat", Growth::Texts),
    ("concat_ws", Growth::Texts),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// `(text, times)`
    Repeat,
    /// `(text, length …)`
    Pad,
    /// `(text, from, to)`
    Replace,
    /// `(text, pattern, replacement …)`
    RegexpReplace,
    /// `(element, times)`
    ArrayRepeat,
    /// `(array, length …)`
    ArrayResize,
    /// All arguments side by side.
    Sum,
    /// All texts one behind the other.
    Texts,
    /// `([start,] stop [, step])`
    Range,
}

/// Puts a limit on the functions of a session.
pub fn register(context: &SessionContext) {
    let bounded = |(name, growth): &(&str, Growth)| {
        let function = context.state_ref().read().scalar_functions().get(*name).cloned()?;
        let inner = Arc::clone(function.inner());
        Some(ScalarUDF::new_from_impl(Bounded { inner, growth: *growth }))
    };
    for function in FUNCTIONS.iter().filter_map(bounded) {
        context.register_udf(function);
    }
}

/// A function that joins texts, with a limit.
pub fn texts(inner: Arc<dyn ScalarUDFImpl>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Bounded { inner, growth: Growth::Texts })
}

/// A function that joins arrays, with a limit.
pub fn arrays(inner: Arc<dyn ScalarUDFImpl>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Bounded { inner, growth: Growth::Sum })
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<dyn ScalarUDFImpl>,
    growth: Growth,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.name() == other.inner.name() && self.growth == other.growth
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Constants make one row of all there are.
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let bytes = self.growth.bytes(&arrays)?;
        let limit = if self.growth == Growth::Texts { MAX_JOINED_BYTES } else { MAX_CALL_BYTES };
        if bytes > limit {
            let (name, limit) = (self.name(), limit >> 20);
            return exec_err!("{name}() would make {bytes} bytes of a batch of rows, more than {limit} MiB");
        }
        self.inner.invoke_with_args(args)
    }
}

impl Growth {
    /// About as many bytes as the result has.
    fn bytes(self, args: &[ArrayRef]) -> Result<u128> {
        Ok(match self {
            Self::Repeat => {
                let [text, times] = take_function_args("repeat", args)?;
                let (text, times) = (Texts::of(text)?, numbers(times)?);
                sum(text.len(), |row| times(row) * text.get(row).len() as u128)
            }
            Self::Pad => match args {
                // A character has up to four bytes.
                [_, length, ..] => per_number(length, 4)?,
                _ => 0,
            },
            Self::ArrayResize => match args {
                [_, length, ..] => per_number(length, 16)?,
                _ => 0,
            },
            Self::ArrayRepeat => {
                let [element, times] = take_function_args("array_repeat", args)?;
                let times = numbers(times)?;
                let size = element.to_data().get_slice_memory_size()? as u128 / element.len().max(1) as u128 + 8;
                sum(element.len(), |row| times(row) * size)
            }
            Self::Replace => {
                let [text, from, to] = take_function_args("replace", args)?;
                let (text, from, to) = (Texts::of(text)?, Texts::of(from)?, Texts::of(to)?);
                sum(text.len(), |row| {
                    let places = match from.get(row) {
                        "" => text.get(row).len() + 1,
                        from => text.get(row).matches(from).count(),
                    };
                    places as u128 * to.get(row).len() as u128
                })
            }
            Self::RegexpReplace => match args {
                [text, _, to, ..] => {
                    let (text, to) = (Texts::of(text)?, Texts::of(to)?);
                    // A match may be empty, and what replaces it may repeat it. Not all of it is likely.
                    sum(text.len(), |row| (text.get(row).len() as u128 + 1) * to.get(row).len() as u128) / 8
                }
                _ => 0,
            },
            Self::Sum => {
                let size = |array: &ArrayRef| Ok(array.to_data().get_slice_memory_size()? as u128);
                args.iter().map(size).sum::<Result<u128>>()?
            }
            Self::Texts => args.iter().map(text_bytes).sum(),
            Self::Range => range_bytes(args)?,
        })
    }
}

/// Of the texts themselves; what becomes text is short.
fn text_bytes(array: &ArrayRef) -> u128 {
    let rows = array.len() as u128;
    match array.data_type() {
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[array.len()] - offsets[0]).unsigned_abs().into()
        }
        DataType::LargeUtf8 => {
            let offsets = array.as_string::<i64>().value_offsets();
            (offsets[array.len()] - offsets[0]).unsigned_abs().into()
        }
        // The length is the first part of a view.
        DataType::Utf8View => array.as_string_view().views().iter().map(|view| *view as u32 as u128).sum(),
        _ => rows * 32,
    }
}

fn sum(rows: usize, bytes: impl Fn(usize) -> u128) -> u128 {
    (0..rows).map(bytes).fold(0, u128::saturating_add)
}

fn per_number(numbers_of: &ArrayRef, bytes: u128) -> Result<u128> {
    let number = numbers(numbers_of)?;
    Ok(sum(numbers_of.len(), |row| number(row) * bytes))
}

/// Whole numbers; 0 for what is negative or NULL.
fn numbers(array: &ArrayRef) -> Result<impl Fn(usize) -> u128> {
    let array = cast(array, &DataType::Int64)?;
    Ok(move |row| {
        let numbers = array.as_primitive::<Int64Type>();
        if numbers.is_null(row) { 0 } else { u128::try_from(numbers.value(row)).unwrap_or(0) }
    })
}

/// Texts of any kind; `""` for NULL.
struct Texts(StringArray);

impl Texts {
    fn of(array: &ArrayRef) -> Result<Self> {
        Ok(Self(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, row: usize) -> &str {
        if self.0.is_null(row) { "" } else { self.0.value(row) }
    }
}

/// Eight bytes for each step from start to stop; of times they are counted in nanoseconds.
fn range_bytes(args: &[ArrayRef]) -> Result<u128> {
    let (start, stop, step) = match args {
        [stop] => (None, stop, None),
        [start, stop] => (Some(start), stop, None),
        [start, stop, step, ..] => (Some(start), stop, Some(step)),
        [] => return Ok(0),
    };
    let start = start.map(points).transpose()?;
    let (stop, step) = (points(stop)?, step.map(points).transpose()?);
    Ok(sum(stop.len(), |row| {
        let from = start.as_ref().map_or(0, |start| start[row]);
        let step = step.as_ref().map_or(1, |step| step[row].unsigned_abs());
        // A step of 0 is an error of the function.
        stop[row].abs_diff(from).checked_div(step).map_or(0, |steps| 8 * (steps + 1))
    }))
}

/// Numbers as they are, times and the shortest that intervals can be in nanoseconds.
fn points(array: &ArrayRef) -> Result<Vec<i128>> {
    let whole = |array: &ArrayRef, factor: i128| -> Result<Vec<i128>> {
        let array = cast(array, &DataType::Int64)?;
        let numbers = array.as_primitive::<Int64Type>();
        Ok((0..numbers.len())
            .map(|i| if numbers.is_null(i) { 0 } else { i128::from(numbers.value(i)) * factor })
            .collect())
    };
    match array.data_type() {
        DataType::Null => Ok(vec![0; array.len()]),
        DataType::Date32 | DataType::Date64 => {
            whole(&cast(&cast(array, &DataType::Date32)?, &DataType::Int32)?, 86_400_000_000_000)
        }
        DataType::Timestamp(unit, _) => whole(
            array,
            match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            },
        ),
        DataType::Interval(_) => {
            let array = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
            let day = 86_400_000_000_000;
            let nanoseconds = |i: usize| {
                let interval = intervals.value(i);
                let days = i128::from(interval.months) * 28 + i128::from(interval.days);
                days * day + i128::from(interval.nanoseconds)
            };
            Ok((0..intervals.len()).map(|i| if intervals.is_null(i) { 0 } else { nanoseconds(i) }).collect())
        }
        _ => whole(array, 1),
    }
}
