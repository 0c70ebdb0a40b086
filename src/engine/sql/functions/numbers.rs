//! Arithmetic and casts of numbers that PostgreSQL checks, rounds or writes otherwise, under the names that its functions
//! have. Sessions do not know them: plans are given them.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Datum, Float64Array, Int64Array, StringBuilder};
use arrow::compute::cast;
use arrow::compute::kernels::numeric::{add, mul, sub};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::on_arrays;
use crate::engine::sql::float_text::float_text;
use crate::engine::sql::state::raised;

/// Positive, whatever the processor makes of 0/0.
pub const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A double as text.
    Write,
    /// A double as an integer, half to even; of two, four or eight bytes.
    Int2,
    Int4,
    Int8,
    /// A double of which equal ones are the same bits: one zero, and one NaN, which is above all others.
    Canonical,
    /// An integer that is ordered as doubles are, and the double that it stands for.
    Key,
    OfKey,
    /// Of integers of eight bytes, with an error where the result is none.
    Plus,
    Minus,
    Times,
    /// The same of four bytes.
    Plus4,
    Minus4,
    Times4,
    /// A double without its fraction, half to even.
    Round,
}

const OPERATIONS: [(&str, Operation); 14] = [
    ("float8_out", Operation::Write),
    ("int2", Operation::Int2),
    ("int4", Operation::Int4),
    ("int8", Operation::Int8),
    ("float8_canonical", Operation::Canonical),
    ("float8_key", Operation::Key),
    ("float8_of_key", Operation::OfKey),
    ("int8pl", Operation::Plus),
    ("int8mi", Operation::Minus),
    ("int8mul", Operation::Times),
    ("int4pl", Operation::Plus4),
    ("int4mi", Operation::Minus4),
    ("int4mul", Operation::Times4),
    ("dround", Operation::Round),
];

impl Operation {
    pub fn function(self) -> &'static ScalarUDF {
        static FUNCTIONS: LazyLock<Vec<ScalarUDF>> = LazyLock::new(|| {
            let udf = |(name, operation): (&'static str, Operation)| {
                let signature = Signature::user_defined(Volatility::Immutable);
                ScalarUDF::new_from_impl(Number { name, operation, signature })
            };
            OPERATIONS.map(udf).into()
        });
        &FUNCTIONS[self as usize]
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Number {
    name: &'static str,
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Number {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.operation, types) {
            (Operation::OfKey, [_]) => Ok(vec![DataType::Int64]),
            (Operation::Plus | Operation::Minus | Operation::Times, [_, _]) => Ok(vec![DataType::Int64; 2]),
            (Operation::Plus4 | Operation::Minus4 | Operation::Times4, [_, _]) => Ok(vec![DataType::Int32; 2]),
            (_, [_]) => Ok(vec![DataType::Float64]),
            _ => plan_err!("{}() takes one number", self.name),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.operation {
            Operation::Write => DataType::Utf8,
            Operation::Int2 => DataType::Int16,
            Operation::Int4 | Operation::Plus4 | Operation::Minus4 | Operation::Times4 => DataType::Int32,
            Operation::Int8 | Operation::Key => DataType::Int64,
            Operation::Plus | Operation::Minus | Operation::Times => DataType::Int64,
            Operation::Canonical | Operation::OfKey | Operation::Round => DataType::Float64,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, self.return_type(&[])?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays::computed(&args, |arrays| match arrays {
            [of] => self.of(of),
            [left, right] => self.checked(left, right),
            _ => internal_err!("{}() takes one number or two", self.name),
        })
    }
}

impl Number {
    fn checked(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
        let (computed, name) = match self.operation {
            Operation::Plus => (add(left, right), "bigint"),
            Operation::Minus => (sub(left, right), "bigint"),
            Operation::Times => (mul(left, right), "bigint"),
            Operation::Plus4 => (add(left, right), "integer"),
            Operation::Minus4 => (sub(left, right), "integer"),
            Operation::Times4 => (mul(left, right), "integer"),
            _ => return internal_err!("{}() takes one number", self.name),
        };
        // Nothing else can be wrong with two integers.
        computed.map_err(|_| raised("22003", format!("{name} out of range")))
    }

    fn of(&self, array: &ArrayRef) -> Result<ArrayRef> {
        if self.operation == Operation::OfKey {
            let keys = array.as_primitive::<Int64Type>();
            return Ok(Arc::new(keys.unary::<_, Float64Type>(of_key)));
        }
        let doubles = array.as_primitive::<Float64Type>();
        let whole = |low: f64, high: f64, name: &str| -> Result<ArrayRef> {
            let round = |double: f64| {
                let rounded = double.round_ties_even();
                // Neither NaN is between.
                match rounded >= low && rounded < high {
                    true => Ok(rounded as i64),
                    false => Err(raised("22003", format!("{name} out of range"))),
                }
            };
            let rounded: Int64Array = doubles.try_unary(round)?;
            Ok(cast(&rounded, &self.return_type(&[])?)?)
        };
        match self.operation {
            Operation::Int2 => whole(-32_768.0, 32_768.0, "smallint"),
            Operation::Int4 => whole(-2_147_483_648.0, 2_147_483_648.0, "integer"),
            Operation::Int8 => whole(-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0, "bigint"),
            Operation::Canonical => {
                let canonical: Float64Array = doubles.unary(canonical);
                Ok(Arc::new(canonical))
            }
            Operation::Round => {
                let rounded: Float64Array = doubles.unary(f64::round_ties_even);
                Ok(Arc::new(rounded))
            }
            Operation::Key => {
                let keys: Int64Array = doubles.unary(key);
                Ok(Arc::new(keys))
            }
            Operation::Write => {
                let (mut out, mut text) = (StringBuilder::new(), String::new());
                for double in doubles {
                    text.clear();
                    double.iter().for_each(|double| float_text(&mut text, *double));
                    out.append_option(double.map(|_| &text));
                }
                Ok(Arc::new(out.finish()))
            }
            _ => internal_err!("{}() takes two numbers", self.name),
        }
    }
}

fn canonical(double: f64) -> f64 {
    if double.is_nan() { NAN } else { double + 0.0 }
}

/// Ordered as `total_cmp` orders, for canonical doubles as PostgreSQL does.
fn key(double: f64) -> i64 {
    let bits = canonical(double).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn of_key(key: i64) -> f64 {
    f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_and_lose_nothing() {
        let doubles = [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY, NAN];
        let keys: Vec<i64> = doubles.iter().map(|double| key(*double)).collect();
        assert!(keys.is_sorted());
        for (double, key) in doubles.iter().zip(&keys) {
            assert_eq!(of_key(*key).to_bits(), double.to_bits(), "{double}");
        }
        assert_eq!(key(-0.0), key(0.0));
        assert_eq!(key(-NAN), key(NAN));
        assert_eq!(canonical(-0.0).to_bits(), 0);
    }
}
