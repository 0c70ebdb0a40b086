//! `label_replace` and `label_join` as functions of label columns. An empty result is NULL: no label.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use regex::Regex;

use super::args::{Args, any_signature, call};
use crate::engine::promql::plan::layout::{label, strings};

/// A compiled expression that compares by its text.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LabelReplace {
    pattern: Pattern,
    replacement: String,
    signature: Signature,
}

/// The new column of the destination label from the source label and the destination as it is.
pub fn replace(pattern: Regex, replacement: String, source: Expr, destination: Expr) -> Expr {
    let udf = LabelReplace { pattern: Pattern(pattern), replacement, signature: any_signature() };
    call(udf, vec![source, destination])
}

impl ScalarUDFImpl for LabelReplace {
    fn name(&self) -> &str {
        "prom_label_replace"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let (source, destination) = (args.array(0)?, args.array(1)?);
        let (source, destination) = (strings(&source)?, strings(&destination)?);
        let mut out = StringViewBuilder::with_capacity(args.rows);
        let mut text = String::new();
        for row in 0..source.len() {
            let Some(captures) = self.pattern.0.captures(label(source, row)) else {
                append_label(&mut out, label(destination, row));
                continue;
            };
            text.clear();
            captures.expand(&self.replacement, &mut text);
            append_label(&mut out, &text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

fn append_label(out: &mut StringViewBuilder, text: &str) {
    if text.is_empty() { out.append_null() } else { out.append_value(text) }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LabelMatches {
    pattern: Pattern,
    signature: Signature,
}

/// Whether `label_replace` changes a row.
pub fn matches(pattern: Regex, source: Expr) -> Expr {
    call(LabelMatches { pattern: Pattern(pattern), signature: any_signature() }, vec![source])
}

impl ScalarUDFImpl for LabelMatches {
    fn name(&self) -> &str {
        "prom_label_matches"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let args = Args::new(args);
        let source = args.array(0)?;
        let source = strings(&source)?;
        let matched = (0..source.len()).map(|row| Some(self.pattern.0.is_match(label(source, row))));
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from_iter(matched))))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LabelJoin {
    separator: String,
    signature: Signature,
}

/// The values of the sources, joined; absent labels are empty.
pub fn join(separator: String, sources: Vec<Expr>) -> Expr {
    call(LabelJoin { separator, signature: any_signature() }, sources)
}

impl ScalarUDFImpl for LabelJoin {
    fn name(&self) -> &str {
        "prom_label_join"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let count = args.args.len();
        let args = Args::new(args);
        let arrays: Vec<ArrayRef> = (0..count).map(|i| args.array(i)).collect::<Result<_>>()?;
        let columns: Vec<&StringViewArray> = arrays.iter().map(|a| strings(a)).collect::<Result<_>>()?;
        let mut out = StringViewBuilder::with_capacity(args.rows);
        let mut text = String::new();
        for row in 0..args.rows {
            text.clear();
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    text.push_str(&self.separator);
                }
                text.push_str(label(column, row));
            }
            append_label(&mut out, &text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
