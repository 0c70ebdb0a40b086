//! Arrays that are written as text, `'{1,2}'::int[]` and `x = ANY ('{a,b}')`, as the arrays they are.

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{Array, ArrayElemTypeDef, CastKind, DataType, Expr, Value, ValueWithSpan};

use super::state::raised;

/// Elements of a text at most, and how deep arrays are within arrays.
const MAX_ELEMENTS: usize = 10_000;
const MAX_DEPTH: usize = 6;

/// A part of such a text.
#[derive(Debug, PartialEq)]
pub enum Element {
    Null,
    Text(String),
    Array(Vec<Element>),
}

/// What is written between the braces.
///
/// # Errors
/// 22P02 for what is no array, 54000 for one with too many elements.
pub fn read(text: &str) -> Result<Vec<Element>> {
    let mut reader = Reader { text, rest: text.trim(), elements: 0 };
    let elements = reader.array(0)?;
    if reader.rest.trim().is_empty() { Ok(elements) } else { Err(reader.malformed()) }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    elements: usize,
}

impl Reader<'_> {
    fn malformed(&self) -> DataFusionError {
        raised("22P02", format!("malformed array literal: \"{}\"", self.text))
    }

    fn take(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Element>> {
        if !self.take('{') || depth >= MAX_DEPTH {
            return Err(self.malformed());
        }
        let mut elements = vec![];
        if self.take('}') {
            return Ok(elements);
        }
        loop {
            self.elements += 1;
            if self.elements > MAX_ELEMENTS {
                return Err(raised(
                    "54000",
                    format!("an array that is written has at most {MAX_ELEMENTS} elements"),
                ));
            }
            elements.push(self.element(depth)?);
            if self.take('}') {
                return Ok(elements);
            }
            if !self.take(',') {
                return Err(self.malformed());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('{') {
            return self.array(depth + 1).map(Element::Array);
        }
        let quoted = self.take('"');
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if std::mem::take(&mut escaped) => text.push(c),
                '\\' => escaped = true,
                '"' if quoted => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Element::Text(text));
                }
                ',' | '}' if !quoted => {
                    let plain = self.rest[..at].trim();
                    self.rest = &self.rest[at..];
                    return match text.trim() {
                        "" => Err(self.malformed()),
                        _ if plain.eq_ignore_ascii_case("null") => Ok(Element::Null),
                        text => Ok(Element::Text(text.to_string())),
                    };
                }
                '{' | '"' if !quoted => return Err(self.malformed()),
                c => text.push(c),
            }
        }
        Err(self.malformed())
    }
}

/// The text that is written.
pub fn written(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

pub fn literal(element: &Element) -> Expr {
    match element {
        Element::Text(text) => Expr::Value(Value::SingleQuotedString(text.clone()).into()),
        Element::Null | Element::Array(_) => Expr::Value(Value::Null.into()),
    }
}

/// An array of so many casts, if the type is that of an array and a text is cast to it.
///
/// # Errors
/// See [`read`].
pub fn array_of(inner: &Expr, to: &DataType) -> Result<Option<Expr>> {
    let (Some(text), Some(of)) = (written(inner), element_type(to)) else { return Ok(None) };
    let elements = read(text)?;
    let array = array(&elements, of);
    // There is nothing in it that has the type.
    Ok(Some(match elements.is_empty() {
        false => array,
        true => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(array),
            data_type: to.clone(),
            format: None,
            array: false,
        },
    }))
}

fn element_type(of: &DataType) -> Option<&DataType> {
    match of {
        DataType::Array(ArrayElemTypeDef::SquareBracket(of, _) | ArrayElemTypeDef::AngleBracket(of)) => {
            // Of arrays in arrays the type is that of the innermost.
            Some(element_type(of).unwrap_or(of))
        }
        _ => None,
    }
}

fn array(elements: &[Element], of: &DataType) -> Expr {
    let element = |element: &Element| match element {
        Element::Array(elements) => array(elements, of),
        other => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(literal(other)),
            data_type: of.clone(),
            format: None,
            array: false,
        },
    };
    Expr::Array(Array { elem: elements.iter().map(element).collect(), named: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let text = |text: &str| Element::Text(text.to_string());
        assert_eq!(read("{a, b }").unwrap(), [text("a"), text("b")]);
        assert_eq!(read("{}").unwrap(), []);
        assert_eq!(
            read(r#"{"a b","c\"d",NULL,"NULL", x\,y}"#).unwrap(),
            [text("a b"), text("c\"d"), Element::Null, text("NULL"), text("x,y")]
        );
        assert_eq!(read("{{1,2},{3}}").unwrap().len(), 2);
        for wrong in ["{a", "a", "{a}b", "{,}", "{a,}", "{\"a}", "{a{b}}", "", "{{{{{{{{1}}}}}}}}"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.ends_with(&format!("malformed array literal: \"{wrong}\"")), "{wrong}: {error}");
        }
        assert!(read(&format!("{{1{}}}", ",1".repeat(MAX_ELEMENTS))).is_err());
    }
}
