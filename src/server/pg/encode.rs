//! Record batches to data rows. Each column is downcast once per batch, not once per value.

use std::fmt::Write;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::error::PgWireResult;

use super::settings::zone::Zone;
use super::{errors, numeric};
use crate::engine::sql::datetime::write as datetime;
use crate::engine::sql::float_text::{float_text, float32_text};

/// What a row of an answer begins with.
const DATA_ROW: u8 = b'D';

/// The rows of a batch, ready to be written.
pub struct Rows {
    columns: Vec<Column>,
    /// Scratch space.
    text: String,
}

impl Rows {
    /// In the formats its fields ask for.
    pub fn new(batch: &RecordBatch, fields: &[FieldInfo], zone: Zone) -> PgWireResult<Self> {
        let columns = batch
            .columns()
            .iter()
            .zip(fields)
            .map(|(array, field)| Column::new(array, field.format(), zone))
            .collect::<PgWireResult<Vec<_>>>()?;
        Ok(Self { columns, text: String::new() })
    }

    /// Appends a row as a whole message.
    ///
    /// # Errors
    /// 54000 for a row that is longer than messages can be.
    pub fn put_message(&mut self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        let at = out.len();
        out.put_u8(DATA_ROW);
        out.put_i32(0);
        self.put_fields(row, out)?;
        close(out, at + 1, at + 1)
    }

    /// Appends the number of fields, and each with its length.
    pub fn put_fields(&mut self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        // There are no more than messages have room for; descriptions are checked for that.
        out.put_i16(self.columns.len() as i16);
        for column in &self.columns {
            column.put(row, out, &mut self.text)?;
        }
        Ok(())
    }
}

impl Rows {
    /// The texts of a row, `None` for NULL.
    pub fn texts(&self, row: usize, texts: &mut Vec<Option<String>>) {
        texts.resize_with(self.columns.len(), || None);
        for (column, text) in self.columns.iter().zip(texts) {
            if column.is_null(row) {
                *text = None;
                continue;
            }
            let text = text.get_or_insert_default();
            text.clear();
            column.write_text(row, text);
        }
    }
}

/// Writes the length of what was appended since `from` to its place.
pub fn close(out: &mut BytesMut, place: usize, from: usize) -> PgWireResult<()> {
    let length = i32::try_from(out.len() - from);
    let length = length.map_err(|_| errors::error("54000", "a row is longer than messages can be"))?;
    out[place..place + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// One column, downcast.
struct Column {
    array: ArrayRef,
    values: Values,
    binary: bool,
    zone: Zone,
}

enum Values {
    Bool(BooleanArray),
    Int(Vec<i64>, IntWidth),
    Float64(Float64Array),
    Float32(Float32Array),
    Utf8(StringArray),
    Utf8View(StringViewArray),
    LargeUtf8(LargeStringArray),
    Binary(BinaryArray),
    /// Microseconds since the Unix epoch.
    Timestamp(Vec<i64>),
    TimestampTz(Vec<i64>),
    Date(Date32Array),
    /// Microseconds since midnight.
    Time(Vec<i64>),
    /// Months, days, microseconds.
    Interval(Vec<(i32, i32, i64)>),
    List(Vec<Option<Arc<Column>>>, Type),
    /// In plain digits.
    Numeric(Vec<String>),
    /// JSON or whatever Arrow prints.
    Text(Vec<String>, bool),
}

#[derive(Clone, Copy)]
enum IntWidth {
    Two,
    Four,
    Eight,
    Oid,
}

fn cast<T: Array + Clone + 'static>(array: &ArrayRef) -> T {
    array.as_any().downcast_ref::<T>().expect("the data type names the array type").clone()
}

fn convert(array: &ArrayRef, to: &DataType) -> PgWireResult<ArrayRef> {
    datafusion::arrow::compute::cast(array, to).map_err(|e| errors::datafusion(e.into()))
}

fn longs(array: &ArrayRef) -> PgWireResult<Vec<i64>> {
    let array = convert(array, &DataType::Int64)?;
    Ok(cast::<Int64Array>(&array).values().to_vec())
}

impl Column {
    fn new(array: &ArrayRef, format: FieldFormat, zone: Zone) -> PgWireResult<Self> {
        let binary = format == FieldFormat::Binary;
        let values = match array.data_type() {
            DataType::Dictionary(_, value) => return Self::new(&convert(array, value)?, format, zone),
            DataType::Boolean => Values::Bool(cast(array)),
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Values::Int(longs(array)?, IntWidth::Two),
            DataType::Int32 | DataType::UInt16 => Values::Int(longs(array)?, IntWidth::Four),
            DataType::UInt32 => Values::Int(longs(array)?, IntWidth::Oid),
            DataType::Int64 => Values::Int(longs(array)?, IntWidth::Eight),
            DataType::Float64 => Values::Float64(cast(array)),
            DataType::Float32 => Values::Float32(cast(array)),
            DataType::Float16 => Values::Float32(cast(&convert(array, &DataType::Float32)?)),
            DataType::Utf8 => Values::Utf8(cast(array)),
            DataType::Utf8View => Values::Utf8View(cast(array)),
            DataType::LargeUtf8 => Values::LargeUtf8(cast(array)),
            DataType::Binary => Values::Binary(cast(array)),
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Values::Binary(cast(&convert(array, &DataType::Binary)?))
            }
            DataType::Timestamp(_, zone) => {
                let micros = convert(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
                let micros = cast::<TimestampMicrosecondArray>(&micros).values().to_vec();
                if zone.is_some() { Values::TimestampTz(micros) } else { Values::Timestamp(micros) }
            }
            DataType::Date32 => Values::Date(cast(array)),
            DataType::Date64 => Values::Date(cast(&convert(array, &DataType::Date32)?)),
            DataType::Time32(_) | DataType::Time64(_) => {
                let micros = convert(array, &DataType::Time64(TimeUnit::Microsecond))?;
                Values::Time(cast::<Time64MicrosecondArray>(&micros).values().to_vec())
            }
            DataType::Interval(_) => {
                let parts = convert(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
                let parts = cast::<IntervalMonthDayNanoArray>(&parts);
                Values::Interval(parts.values().iter().map(|p| (p.months, p.days, p.nanoseconds / 1_000)).collect())
            }
            DataType::Duration(_) => {
                let micros = convert(array, &DataType::Duration(TimeUnit::Microsecond))?;
                let micros = cast::<DurationMicrosecondArray>(&micros);
                Values::Interval(micros.values().iter().map(|m| (0, 0, *m)).collect())
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
                Self::list(array, format, zone)?
            }
            DataType::Map(..) | DataType::Struct(_) => Values::Text(json(array)?, true),
            DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                Values::Numeric(display(array)?)
            }
            _ => Values::Text(display(array)?, false),
        };
        Ok(Self { array: array.clone(), values, binary, zone })
    }

    fn list(array: &ArrayRef, format: FieldFormat, zone: Zone) -> PgWireResult<Values> {
        let field = match array.data_type() {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => f.clone(),
            _ => unreachable!("called for lists"),
        };
        let list = cast::<ListArray>(&convert(array, &DataType::List(field.clone()))?);
        let element = super::types::pg_type(field.data_type());
        let rows = (0..list.len()).map(|row| {
            if list.is_null(row) {
                return Ok(None);
            }
            Column::new(&list.value(row), format, zone).map(|c| Some(Arc::new(c)))
        });
        Ok(Values::List(rows.collect::<PgWireResult<_>>()?, element))
    }

    fn is_null(&self, row: usize) -> bool {
        // A column of nothing but NULL has no buffer that says so.
        self.array.is_null(row) || *self.array.data_type() == DataType::Null
    }

    /// Appends the length-prefixed field; -1 for NULL. `text` is scratch space.
    fn put(&self, row: usize, out: &mut BytesMut, text: &mut String) -> PgWireResult<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let at = out.len();
        out.put_i32(0);
        if self.binary {
            self.put_binary(row, out)?
        } else {
            self.put_text(row, out, text)
        }
        close(out, at, at + 4)
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        match &self.values {
            Values::Bool(a) => out.put_u8(a.value(row).into()),
            Values::Int(a, IntWidth::Two) => out.put_i16(a[row] as i16),
            Values::Int(a, IntWidth::Four) => out.put_i32(a[row] as i32),
            Values::Int(a, IntWidth::Oid) => out.put_u32(a[row] as u32),
            Values::Int(a, IntWidth::Eight) => out.put_i64(a[row]),
            Values::Float64(a) => out.put_f64(a.value(row)),
            Values::Float32(a) => out.put_f32(a.value(row)),
            Values::Utf8(a) => out.put_slice(a.value(row).as_bytes()),
            Values::Utf8View(a) => out.put_slice(a.value(row).as_bytes()),
            Values::LargeUtf8(a) => out.put_slice(a.value(row).as_bytes()),
            Values::Binary(a) => out.put_slice(a.value(row)),
            Values::Timestamp(a) | Values::TimestampTz(a) => out.put_i64(match a[row] {
                infinite @ (i64::MIN | i64::MAX) => infinite,
                micros => micros.saturating_sub(datetime::PG_EPOCH_MICROS),
            }),
            Values::Date(a) => out.put_i32(a.value(row).saturating_sub(datetime::PG_EPOCH_DAYS)),
            Values::Time(a) => out.put_i64(a[row]),
            Values::Interval(a) => {
                let (months, days, micros) = a[row];
                out.put_i64(micros);
                out.put_i32(days);
                out.put_i32(months);
            }
            Values::List(a, element) => {
                let Some(items) = &a[row] else { return Ok(()) };
                put_array(items, element, out)?;
            }
            Values::Numeric(a) => numeric::put(&a[row], out),
            Values::Text(a, json) => {
                if *json {
                    // The version byte of jsonb.
                    out.put_u8(1);
                }
                out.put_slice(a[row].as_bytes());
            }
        }
        Ok(())
    }

    fn put_text(&self, row: usize, out: &mut BytesMut, text: &mut String) {
        match &self.values {
            Values::Utf8(a) => return out.put_slice(a.value(row).as_bytes()),
            Values::Utf8View(a) => return out.put_slice(a.value(row).as_bytes()),
            Values::LargeUtf8(a) => return out.put_slice(a.value(row).as_bytes()),
            _ => {}
        }
        text.clear();
        self.write_text(row, text);
        out.put_slice(text.as_bytes());
    }

    fn write_text(&self, row: usize, out: &mut String) {
        match &self.values {
            Values::Bool(a) => out.push(if a.value(row) { 't' } else { 'f' }),
            Values::Int(a, _) => {
                let _ = write!(out, "{}", a[row]);
            }
            Values::Float64(a) => float_text(out, a.value(row)),
            Values::Float32(a) => float32_text(out, a.value(row)),
            Values::Utf8(a) => out.push_str(a.value(row)),
            Values::Utf8View(a) => out.push_str(a.value(row)),
            Values::LargeUtf8(a) => out.push_str(a.value(row)),
            Values::Binary(a) => {
                out.push_str("\\x");
                for byte in a.value(row) {
                    let _ = write!(out, "{byte:02x}");
                }
            }
            Values::Timestamp(a) => datetime::timestamp(out, a[row]),
            Values::TimestampTz(a) => datetime::timestamptz(out, a[row], self.zone),
            Values::Date(a) => datetime::date(out, a.value(row)),
            Values::Time(a) => datetime::time(out, a[row]),
            Values::Interval(a) => datetime::interval(out, a[row].0, a[row].1, a[row].2),
            Values::List(a, _) => list_text(out, a[row].as_deref()),
            Values::Numeric(a) | Values::Text(a, _) => out.push_str(&a[row]),
        }
    }
}

/// Dimensions, whether there are NULLs, the type of the elements, a length and a lower bound for each dimension, and elements.
fn put_array(items: &Column, element: &Type, out: &mut BytesMut) -> PgWireResult<()> {
    let mut lengths = vec![];
    let mut level = vec![items];
    // An array of arrays is one of more dimensions, all of whose parts are as long.
    loop {
        let length = level.first().map_or(0, |part| part.array.len());
        if level.iter().any(|part| part.array.len() != length) {
            let text = "multidimensional arrays must have array expressions with matching dimensions";
            return Err(errors::error("2202E", text));
        }
        lengths.push(length);
        let is_nested = level.iter().any(|part| matches!(part.values, Values::List(..)));
        if !is_nested || length == 0 {
            break;
        }
        let parts = level.iter().flat_map(|part| match &part.values {
            Values::List(parts, _) => parts.as_slice(),
            _ => &[],
        });
        level = parts.map(|part| part.as_deref()).collect::<Option<_>>().unwrap_or_default();
    }
    let is_empty = lengths.contains(&0);
    let nulls: usize = level.iter().map(|part| part.array.null_count()).sum();
    out.put_i32(if is_empty { 0 } else { lengths.len() as i32 });
    out.put_i32((nulls > 0).into());
    out.put_u32(super::types::element(element).unwrap_or_else(|| element.clone()).oid());
    if is_empty {
        return Ok(());
    }
    for length in lengths {
        out.put_i32(length as i32);
        out.put_i32(1);
    }
    let mut text = String::new();
    level.iter().try_for_each(|part| (0..part.array.len()).try_for_each(|at| part.put(at, out, &mut text)))
}

/// `{1,2,NULL,"a b"}`
fn list_text(out: &mut String, items: Option<&Column>) {
    out.push('{');
    let mut item = String::new();
    for i in 0..items.map_or(0, |c| c.array.len()) {
        let column = items.expect("the length is above zero");
        if i > 0 {
            out.push(',');
        }
        if column.is_null(i) {
            out.push_str("NULL");
            continue;
        }
        item.clear();
        column.write_text(i, &mut item);
        // An array within an array is no text of one.
        let is_array = matches!(column.values, Values::List(..));
        let quote = item.is_empty()
            || item.eq_ignore_ascii_case("null")
            || item.contains([',', '{', '}', '"', '\\', ' ', '\t', '\n']);
        if quote && !is_array {
            out.push('"');
            out.push_str(&item.replace('\\', "\\\\").replace('"', "\\\""));
            out.push('"');
        } else {
            out.push_str(&item);
        }
    }
    out.push('}');
}

/// Maps (labels) and structs as JSON objects, one text per row.
fn json(array: &ArrayRef) -> PgWireResult<Vec<String>> {
    (0..array.len()).map(|row| json_value(array, row).map(|v| v.to_string())).collect()
}

fn json_value(array: &ArrayRef, row: usize) -> PgWireResult<serde_json::Value> {
    use serde_json::Value;
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Map(..) => {
            let map = cast::<MapArray>(array);
            let entries = map.value(row);
            let (keys, values) = (convert(entries.column(0), &DataType::Utf8)?, entries.column(1).clone());
            let keys = cast::<StringArray>(&keys);
            let mut object = serde_json::Map::new();
            for i in 0..keys.len() {
                object.insert(keys.value(i).to_string(), json_value(&values, i)?);
            }
            Value::Object(object)
        }
        DataType::Struct(fields) => {
            let columns = cast::<StructArray>(array);
            let mut object = serde_json::Map::new();
            for (i, field) in fields.iter().enumerate() {
                object.insert(field.name().clone(), json_value(columns.column(i), row)?);
            }
            Value::Object(object)
        }
        DataType::List(_) => {
            let items = cast::<ListArray>(array).value(row);
            Value::Array((0..items.len()).map(|i| json_value(&items, i)).collect::<PgWireResult<_>>()?)
        }
        DataType::Boolean => Value::Bool(cast::<BooleanArray>(array).value(row)),
        t if t.is_integer() => Value::from(longs(&array.slice(row, 1))?[0]),
        t if t.is_floating() => {
            let value = cast::<Float64Array>(&convert(array, &DataType::Float64)?).value(row);
            serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
        }
        _ => Value::String(display(&array.slice(row, 1))?.remove(0)),
    })
}

fn display(array: &ArrayRef) -> PgWireResult<Vec<String>> {
    let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())
        .map_err(|e| errors::datafusion(e.into()))?;
    Ok((0..array.len()).map(|row| formatter.value(row).to_string()).collect())
}
