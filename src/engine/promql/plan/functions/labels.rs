//! `label_replace` and `label_join` as functions of label columns. An empty result is NULL: no label.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StringViewArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use regex::{Captures, Regex};

use super::args::{Args, any_signature, call};
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::plan::layout::{label, strings};
use crate::error::{Error, ErrorKind};
use crate::model::re2;

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
    cancel: Cancel,
}

/// The new column of the destination label from the source label and the destination as it is.
pub fn replace(pattern: Regex, replacement: String, source: Expr, destination: Expr, cancel: &Cancel) -> Expr {
    let (signature, cancel) = (any_signature(), cancel.clone());
    let udf = LabelReplace { pattern: Pattern(pattern), replacement, signature, cancel };
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
        let mut budget = Budget(MAX_BATCH_BYTES);
        let replacement: Vec<re2::Part<'_>> = re2::parts(&self.replacement).collect();
        for row in 0..source.len() {
            self.cancel.check()?;
            let Some(captures) = self.pattern.0.captures(label(source, row)) else {
                append_label(&mut out, label(destination, row));
                continue;
            };
            text.clear();
            expand(&captures, &replacement, &mut text)?;
            budget.take(&text)?;
            append_label(&mut out, &text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

/// A label that a function makes may have at most so many bytes. Functions within each other double it each time, so that
/// a short query asks for more than any memory.
const MAX_LABEL_BYTES: usize = 1 << 20;
/// And so many those of a batch of series together.
const MAX_BATCH_BYTES: usize = 64 << 20;

fn too_large() -> DataFusionError {
    let message = format!("a label value of more than {MAX_LABEL_BYTES} bytes, or too many large ones");
    DataFusionError::External(Box::new(Error::new(ErrorKind::Limit, message)))
}

/// What is left for the labels of a batch.
struct Budget(usize);

impl Budget {
    fn take(&mut self, text: &str) -> Result<()> {
        self.0 = self.0.checked_sub(text.len()).ok_or_else(too_large)?;
        Ok(())
    }
}

fn push_bounded(text: &mut String, part: &str) -> Result<()> {
    if text.len() + part.len() > MAX_LABEL_BYTES {
        return Err(too_large());
    }
    text.push_str(part);
    Ok(())
}

/// The replacement with its references filled in, part by part, so that it is known before there is too much.
fn expand<'t>(captures: &Captures<'t>, replacement: &[re2::Part<'t>], text: &mut String) -> Result<()> {
    replacement.iter().try_for_each(|part| push_bounded(text, part.value(captures)))
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
    cancel: Cancel,
}

/// The values of the sources, joined; absent labels are empty.
pub fn join(separator: String, sources: Vec<Expr>, cancel: &Cancel) -> Expr {
    call(LabelJoin { separator, signature: any_signature(), cancel: cancel.clone() }, sources)
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
        let mut budget = Budget(MAX_BATCH_BYTES);
        for row in 0..args.rows {
            self.cancel.check()?;
            text.clear();
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    push_bounded(&mut text, &self.separator)?;
                }
                push_bounded(&mut text, label(column, row))?;
            }
            budget.take(&text)?;
            append_label(&mut out, &text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replacement_becomes_is_bounded() {
        let source = "x".repeat(1000);
        let pattern = Regex::new("^(?<all>.*)$").unwrap();
        let captures = pattern.captures(&source).unwrap();
        for replacement in ["$1", "a${all}b$$$1", "$nothing$", "${all", &"$none ".repeat(2_000)] {
            let (mut expected, mut text) = (String::new(), String::new());
            re2::expand(replacement, &captures, &mut expected);
            expand(&captures, &re2::parts(replacement).collect::<Vec<_>>(), &mut text).unwrap();
            assert_eq!(text, expected, "{replacement}");
        }
        let (many, mut text) = ("$1".repeat(2_000), String::new());
        expand(&captures, &re2::parts(&many).collect::<Vec<_>>(), &mut text).unwrap_err();
        assert!(text.len() <= MAX_LABEL_BYTES);
    }
}
