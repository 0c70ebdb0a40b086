//! Arrays, as text and binary. They have one dimension, which may begin at any number.

use bytes::{Buf, Bytes};
use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use crate::server::pg::{errors, types};

/// Elements of an array. One of four bytes takes a hundred until all are there.
const MOST_ELEMENTS: usize = 500_000;

/// `{a,"b c",NULL}`
///
/// # Errors
/// 22P02 for what is no array, 0A000 for one of more dimensions, those of its elements.
pub fn from_text(
    written: &str,
    element: &Type,
    wire: &Type,
    read: &dyn Fn(&str) -> PgWireResult<ScalarValue>,
) -> PgWireResult<ScalarValue> {
    let malformed = || errors::error("22P02", format!("malformed array literal: \"{written}\""));
    let mut inner = written.trim();
    if inner.starts_with('[') {
        inner = inner.split_once('=').ok_or_else(malformed)?.1.trim_start();
    }
    let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).ok_or_else(malformed)?;
    if inner.trim_start().starts_with('{') {
        return Err(errors::unsupported(format!(
            "a parameter of type {} with more dimensions than one",
            wire.name()
        )));
    }
    // There is one more than there are commas, at most.
    if memchr::memchr_iter(b',', inner.as_bytes()).count() >= MOST_ELEMENTS {
        return Err(too_many());
    }
    let elements = elements(inner).ok_or_else(malformed)?;
    let value = |text: Option<String>| match text {
        Some(text) => as_element(read(&text)?, element),
        None => null(element),
    };
    Ok(list(&elements.into_iter().map(value).collect::<PgWireResult<Vec<_>>>()?, element))
}

/// The texts between the braces, `None` for NULL. What is quoted is as it is but for its backslashes.
fn elements(inner: &str) -> Option<Vec<Option<String>>> {
    let mut found = vec![];
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(found);
    }
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let (mut text, mut is_quoted) = (String::new(), false);
        if chars.next_if_eq(&'"').is_some() {
            is_quoted = true;
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => text.push(chars.next()?),
                    c => text.push(c),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '\\' => text.push(chars.next()?),
                    '"' | '{' | '}' => return None,
                    c => text.push(c),
                }
            }
            text.truncate(text.trim_end().len());
            if text.is_empty() {
                return None;
            }
        }
        let is_null = !is_quoted && text.eq_ignore_ascii_case("null");
        found.push((!is_null).then_some(text));
        match chars.next() {
            None => return Some(found),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// Dimensions, whether there are NULLs, the type of the elements, a length and a lower bound for each dimension, elements with
/// their lengths.
///
/// # Errors
/// 22P03 for bytes that are none, 42804 for elements of another type, 0A000 for more dimensions, those of the elements.
pub fn from_binary(
    index: usize,
    bytes: &Bytes,
    element: &Type,
    read: &dyn Fn(&Bytes) -> PgWireResult<ScalarValue>,
) -> PgWireResult<ScalarValue> {
    let malformed = || malformed(index);
    let mut data = bytes.clone();
    if data.len() < 12 {
        return Err(malformed());
    }
    let (dimensions, has_nulls, of) = (data.get_i32(), data.get_i32(), data.get_u32());
    if !(0..=6).contains(&dimensions) || !matches!(has_nulls, 0 | 1) {
        return Err(malformed());
    }
    if of != element.oid() {
        let text = format!(
            "binary data has array element type {of} ({}) instead of expected {} ({})",
            types::type_name(of),
            element.oid(),
            types::type_name(element.oid())
        );
        return Err(errors::error("42804", text));
    }
    let count = match dimensions {
        0 => 0,
        1 if data.len() >= 8 => {
            let count = data.get_i32();
            data.advance(4);
            usize::try_from(count).map_err(|_| malformed())?
        }
        1 => return Err(malformed()),
        _ => return Err(errors::unsupported("a binary array of more dimensions than one")),
    };
    // Each element has a length at least.
    if count > data.len() / 4 {
        return Err(malformed());
    }
    if count > MOST_ELEMENTS {
        return Err(too_many());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        if data.len() < 4 {
            return Err(malformed());
        }
        let value = match data.get_i32() {
            -1 => null(element)?,
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= data.len());
                let taken = data.split_to(length.ok_or_else(malformed)?);
                as_element(read(&taken)?, element)?
            }
        };
        values.push(value);
    }
    if data.has_remaining() {
        return Err(malformed());
    }
    Ok(list(&values, element))
}

/// What is said of bytes that are no value.
pub fn malformed(index: usize) -> PgWireError {
    errors::error("22P03", format!("incorrect binary data format in bind parameter {}", index + 1))
}

fn too_many() -> PgWireError {
    errors::error("54000", format!("an array of a parameter has at most {MOST_ELEMENTS} elements"))
}

fn list(values: &[ScalarValue], element: &Type) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list(values, &types::arrow_type(element), true))
}

fn null(element: &Type) -> PgWireResult<ScalarValue> {
    ScalarValue::try_from(&types::arrow_type(element)).map_err(errors::datafusion)
}

/// All elements of a list have its type.
fn as_element(value: ScalarValue, element: &Type) -> PgWireResult<ScalarValue> {
    let of: DataType = types::arrow_type(element);
    if value.data_type() == of { Ok(value) } else { value.cast_to(&of).map_err(errors::datafusion) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_as_text() {
        let check = |written: &str, want: Option<&[Option<&str>]>| {
            let read = |text: &str| Ok(ScalarValue::from(text));
            let got = from_text(written, &Type::TEXT, &Type::TEXT_ARRAY, &read).ok();
            let want = want.map(|texts| {
                let texts: Vec<ScalarValue> =
                    texts.iter().map(|text| ScalarValue::Utf8(text.map(String::from))).collect();
                list(&texts, &Type::TEXT)
            });
            assert_eq!(got, want, "{written}");
        };
        check("{}", Some(&[]));
        check("{a,\"b\"}", Some(&[Some("a"), Some("b")]));
        check(
            " { a b , \"x,\\\"y\\\\\" , NULL , \"NULL\" } ",
            Some(&[Some("a b"), Some("x,\"y\\"), None, Some("NULL")]),
        );
        check("[2:3]={a,b}", Some(&[Some("a"), Some("b")]));
        for wrong in ["a", "{a", "{a,}", "{\"a\"b}", "{a}b", "{{a}}", "", "{\"a}"] {
            check(wrong, None);
        }
    }

    #[test]
    fn arrays_as_bytes() {
        let array = |head: &[i32], rest: &[u8]| {
            let mut bytes: Vec<u8> = head.iter().flat_map(|n| n.to_be_bytes()).collect();
            bytes.extend(rest);
            from_binary(0, &Bytes::from(bytes), &Type::INT4, &|bytes: &Bytes| match bytes.len() {
                4 => Ok(ScalarValue::Int32(Some(bytes.clone().get_i32()))),
                _ => Err(malformed(0)),
            })
            .map_err(|e| e.code().to_string())
        };
        let of = |values: &[Option<i32>]| {
            let values: Vec<ScalarValue> = values.iter().map(|value| ScalarValue::Int32(*value)).collect();
            Ok(list(&values, &Type::INT4))
        };
        assert_eq!(array(&[0, 0, 23], &[]), of(&[]));
        assert_eq!(array(&[1, 1, 23, 2, 1, 4, 7, -1], &[]), of(&[Some(7), None]));
        assert_eq!(array(&[1, 0, 25, 1, 1, 4, 7], &[]), Err("42804".into()));
        assert_eq!(array(&[2, 0, 23, 1, 1, 1, 1, 4, 7], &[]), Err("0A000".into()));
        for head in [
            &[1, 0][..],
            &[7, 0, 23],
            &[1, 0, 23, i32::MAX, 1],
            &[1, 0, 23, 1, 1, 5, 7],
            &[1, 0, 23, 1, 1, 4, 7, 7],
        ] {
            assert_eq!(array(head, &[]), Err("22P03".into()), "{head:?}");
        }
        let nulls = MOST_ELEMENTS + 1;
        assert_eq!(array(&[1, 1, 23, nulls as i32, 1], &[0xff].repeat(4 * nulls)), Err("54000".into()));
    }
}
