//! Lists, and parts of names: what catalog statements compute with.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::{DataFusionError, Result};
use datafusion::scalar::ScalarValue;

use super::body::{Function, Returns, failed, number, row, string, texts};

pub const FUNCTIONS: &[Function] = &[
    row("array_lower", "anyarray, int4", "int4", |_, a| bound(a, |_| 1)),
    row("array_upper", "anyarray, int4", "int4", |_, a| bound(a, |len| len)),
    row("array_subscripts", "anyarray, int4", "_int4", |_, a| subscripts(a)),
    Function {
        name: "_pg_expandarray",
        arguments: "anyarray",
        returns: Returns::Of(expanded),
        body: |_, a| expand(a),
    },
    Function {
        name: "array_or_empty",
        arguments: "anyarray",
        returns: Returns::Of(as_given),
        body: |_, a| or_empty(a),
    },
    row("parse_ident", "text, bool", "_text", |_, a| parse_ident(a)),
];

/// The elements of a list; `None` for NULL.
fn elements(argument: Option<&ScalarValue>) -> Option<ArrayRef> {
    match argument? {
        ScalarValue::List(list) if list.len() == 1 && list.is_valid(0) => Some(list.value(0)),
        ScalarValue::LargeList(list) if list.len() == 1 && list.is_valid(0) => Some(list.value(0)),
        ScalarValue::FixedSizeList(list) if list.len() == 1 && list.is_valid(0) => Some(list.value(0)),
        _ => None,
    }
}

/// Of the first dimension, if it has any element.
fn bound(arguments: &[ScalarValue], of: fn(i32) -> i32) -> Result<ScalarValue> {
    let len = elements(arguments.first()).map(|list| list.len()).filter(|len| *len > 0);
    let first = number(arguments, 1) == Some(1);
    Ok(ScalarValue::Int32(len.filter(|_| first).map(|len| of(len as i32))))
}

/// `generate_subscripts` is the rows of it.
fn subscripts(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let first = number(arguments, 1).is_none_or(|dimension| dimension == 1);
    let len = elements(arguments.first()).filter(|_| first).map_or(0, |list| list.len());
    let numbers: Vec<ScalarValue> = (1..=len).map(|at| ScalarValue::Int32(Some(at as i32))).collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&numbers, &DataType::Int32)))
}

fn pair(element: &DataType) -> Fields {
    Fields::from(vec![Field::new("x", element.clone(), true), Field::new("n", DataType::Int32, true)])
}

fn element_type(arguments: &[DataType]) -> Result<DataType> {
    match arguments.first() {
        Some(DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _)) => {
            Ok(f.data_type().clone())
        }
        _ => Err(DataFusionError::Plan("_pg_expandarray() takes an array".into())),
    }
}

fn expanded(arguments: &[DataType]) -> Result<DataType> {
    let pair = DataType::Struct(pair(&element_type(arguments)?));
    Ok(DataType::List(Arc::new(Field::new_list_field(pair, true))))
}

/// Elements with their numbers from 1.
fn expand(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let types: Vec<DataType> = arguments.iter().map(ScalarValue::data_type).collect();
    let fields = pair(&element_type(&types)?);
    let data_type = DataType::Struct(fields.clone());
    let mut pairs = vec![];
    if let Some(list) = elements(arguments.first()) {
        for at in 0..list.len() {
            let number: ArrayRef = Arc::new(datafusion::arrow::array::Int32Array::from(vec![at as i32 + 1]));
            let columns = vec![list.slice(at, 1), number];
            pairs.push(ScalarValue::Struct(Arc::new(StructArray::try_new(fields.clone(), columns, None)?)));
        }
    }
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&pairs, &data_type)))
}

fn as_given(arguments: &[DataType]) -> Result<DataType> {
    arguments.first().cloned().ok_or_else(|| DataFusionError::Plan("array_or_empty() takes an array".into()))
}

/// What `ARRAY(SELECT …)` is without rows.
fn or_empty(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(given) = arguments.first() else { return Ok(ScalarValue::Null) };
    match given.data_type() {
        DataType::List(field) if given.is_null() => {
            let empty = ListArray::new(
                field.clone(),
                datafusion::arrow::buffer::OffsetBuffer::from_lengths([0]),
                datafusion::arrow::array::new_empty_array(field.data_type()),
                None,
            );
            Ok(ScalarValue::List(Arc::new(empty)))
        }
        _ => Ok(given.clone()),
    }
}

fn parse_ident(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(name) = string(arguments, 0) else {
        return ScalarValue::try_from(&crate::server::pg::catalog::spec::arrow_type("_text"));
    };
    match super::naming::parts(&name) {
        Some(parts) => texts(parts.into_iter()),
        None => Err(failed("22023", format!("string is not a valid identifier: \"{name}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_expand_with_numbers() {
        let list = ScalarValue::List(ScalarValue::new_list_nullable(
            &[ScalarValue::Int16(Some(7)), ScalarValue::Int16(Some(9))],
            &DataType::Int16,
        ));
        let ScalarValue::List(pairs) = expand(std::slice::from_ref(&list)).unwrap() else { panic!("a list") };
        assert_eq!(pairs.value(0).len(), 2);
        assert_eq!(pairs.data_type(), &expanded(&[list.data_type()]).unwrap());
        assert_eq!(
            bound(&[list.clone(), ScalarValue::from(1i64)], |len| len).unwrap(),
            ScalarValue::Int32(Some(2))
        );
        assert_eq!(bound(&[list, ScalarValue::from(2i64)], |len| len).unwrap(), ScalarValue::Int32(None));
    }
}
