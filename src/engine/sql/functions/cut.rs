//! `varchar(text, n)` and `bpchar(text, n)`, under the names that PostgreSQL's functions have: casts to `varchar(n)` and
//! `char(n)`. What comes of them is a text whose field says which type it is to clients.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::on_arrays;
use crate::engine::sql::state::raised;

/// As long as PostgreSQL's may be.
const MAX_LENGTH: i64 = 10_485_760;
/// What blanks a call adds to a batch of rows at most.
const MAX_BYTES: usize = 32 << 20;

pub fn functions() -> [ScalarUDF; 2] {
    ["varchar", "bpchar"].map(|name| {
        let signature = Signature::exact(vec![DataType::Utf8, DataType::Int64], Volatility::Immutable);
        ScalarUDF::new_from_impl(Cut { name, signature })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cut {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Cut {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let told = HashMap::from([("pg_type".to_string(), self.name.to_string())]);
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, nullable).with_metadata(told)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays::computed(&args, |arrays| match arrays {
            [texts, lengths] => self.cut(texts, lengths),
            _ => internal_err!("{}() takes a text and a length", self.name),
        })
    }
}

impl Cut {
    fn cut(&self, texts: &ArrayRef, lengths: &ArrayRef) -> Result<ArrayRef> {
        let mut blanks = 0;
        let pairs = texts.as_string::<i32>().iter().zip(lengths.as_primitive::<Int64Type>().iter());
        let made = pairs.map(|pair| {
            let (Some(text), Some(length)) = pair else { return Ok(None) };
            let Some(length) = usize::try_from(length).ok().filter(|_| (1..=MAX_LENGTH).contains(&length)) else {
                return Err(raised(
                    "22023",
                    format!("length for type {} must be between 1 and {MAX_LENGTH}", self.name),
                ));
            };
            let end = text.char_indices().nth(length).map_or(text.len(), |(end, _)| end);
            let mut cut = text[..end].to_string();
            if self.name == "bpchar" && end == text.len() {
                let lacks = length - text.chars().count();
                blanks += lacks;
                if blanks > MAX_BYTES {
                    return Err(raised("54000", "character(n) would be too long for a batch of rows"));
                }
                cut.extend(std::iter::repeat_n(' ', lacks));
            }
            Ok(Some(cut))
        });
        Ok(Arc::new(made.collect::<Result<StringArray>>()?))
    }
}
