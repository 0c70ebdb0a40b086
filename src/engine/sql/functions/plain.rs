//! Scalar functions as rows of tables: a name, what arguments become, what comes of them, and how. All but those that say
//! otherwise are NULL where an argument is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{kernels::boolean, nullif};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::on_arrays;
use crate::engine::sql::datetime::read::Now;
use crate::engine::sql::state::raised;

/// A function.
pub struct Row {
    pub name: &'static str,
    /// What the arguments are cast to; `None` where there is no such function.
    pub takes: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// Of what was taken.
    pub returns: fn(&[DataType]) -> DataType,
    pub compute: fn(&[ArrayRef], Now) -> Result<ArrayRef>,
    /// Whether `compute` is asked where an argument is NULL, and what it then says counts.
    pub of_null: bool,
    /// Whether it depends on the zone or the time of the statement.
    pub of_session: bool,
}

impl Row {
    /// One that knows nothing but its arguments, of which none is NULL.
    pub const fn new(
        name: &'static str,
        takes: fn(&[DataType]) -> Option<Vec<DataType>>,
        returns: fn(&[DataType]) -> DataType,
        compute: fn(&[ArrayRef], Now) -> Result<ArrayRef>,
    ) -> Self {
        Self { name, takes, returns, compute, of_null: false, of_session: false }
    }

    pub fn function(&'static self) -> ScalarUDF {
        let volatility = if self.of_session { Volatility::Stable } else { Volatility::Immutable };
        ScalarUDF::new_from_impl(Plain { row: self, signature: Signature::user_defined(volatility) })
    }
}

/// What is not known yet, such as a parameter, is a text too.
pub fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

/// Only texts, and so many.
pub fn texts(types: &[DataType], counts: std::ops::RangeInclusive<usize>) -> Option<Vec<DataType>> {
    (counts.contains(&types.len()) && types.iter().all(is_text)).then(|| vec![DataType::Utf8; types.len()])
}

/// Only numbers, and so many.
pub fn numbers(types: &[DataType], count: usize) -> Option<Vec<DataType>> {
    let is_number = |of: &DataType| of.is_numeric() || of.is_null();
    (types.len() == count && types.iter().all(is_number)).then(|| vec![DataType::Float64; count])
}

/// Rows of an argument that is a text.
pub fn text(array: &ArrayRef) -> &StringArray {
    array.as_string::<i32>()
}

pub fn of_text(_: &[DataType]) -> DataType {
    DataType::Utf8
}

/// A name of a type, as PostgreSQL has it.
pub fn type_name(of: &DataType) -> String {
    match of {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 | DataType::Decimal32(..) | DataType::Decimal64(..) => "numeric",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Dictionary(_, of) => return type_name(of),
        // Of arrays in arrays the type is that of the innermost.
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            let of = type_name(of.data_type());
            return if of.ends_with("[]") { of } else { format!("{of}[]") };
        }
        DataType::Map(..) | DataType::Struct(_) => "jsonb",
        _ => "record",
    }
    .to_string()
}

#[derive(Clone)]
struct Plain {
    row: &'static Row,
    signature: Signature,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row.name)
    }
}

impl PartialEq for Plain {
    fn eq(&self, other: &Self) -> bool {
        self.row.name == other.row.name
    }
}

impl Eq for Plain {}

impl std::hash::Hash for Plain {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.row.name.hash(state);
    }
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &str {
        self.row.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.row.takes)(types).ok_or_else(|| {
            let types: Vec<String> = types.iter().map(type_name).collect();
            raised("42883", format!("function {}({}) does not exist", self.row.name, types.join(", ")))
        })
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok((self.row.returns)(types))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.row.name, self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = Now::of_options(&args.config_options);
        on_arrays::computed(&args, |arrays| {
            let made = (self.row.compute)(arrays, now)?;
            if self.row.of_null { Ok(made) } else { without_nulls(arrays, made) }
        })
    }
}

fn without_nulls(arguments: &[ArrayRef], made: ArrayRef) -> Result<ArrayRef> {
    let mut unknown: Option<BooleanArray> = None;
    for argument in arguments.iter().filter(|argument| argument.is_nullable()) {
        let nulls = boolean::is_null(argument)?;
        unknown = Some(match unknown {
            Some(known) => boolean::or(&known, &nulls)?,
            None => nulls,
        });
    }
    Ok(match unknown {
        Some(unknown) if unknown.true_count() > 0 => nullif(&made, &unknown)?,
        _ => made,
    })
}
