//! The vector layout in Arrow: column names, types, and readers and builders of step vectors.
//!
//! A row is a series; `__values__` is a `FixedSizeList<Float64, steps>` with NULL where the series has no
//! float at a step, `__histograms__` the same of Binary. At one step at most one of the two is set.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanBufferBuilder, FixedSizeListArray, Float64Array,
    RecordBatch, StringViewArray, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::{DataFusionError, Result};

use super::samples::decode;
use super::work::Work;
use crate::engine::columns::SCALAR_PREFIX;
use crate::engine::promql::kernel::types::{Mask, VectorIn};
use crate::model::histogram::FloatHistogram;

pub use crate::engine::columns::{DROP_NAME, HISTOGRAMS, START_TIMESTAMPS, TIMESTAMPS, VALUES};

/// The column of a scalar, named by its place in the query, so that lowering needs no counter.
pub fn scalar_column(at: usize) -> String {
    format!("{SCALAR_PREFIX}{at}__")
}

/// The evaluation times of a vector: `start + k * step` for `k < steps`, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    pub start: i64,
    /// At least 1, also where there is one step.
    pub step: i64,
    pub steps: usize,
}

impl Grid {
    pub fn new(start: i64, step: i64, steps: usize) -> Self {
        Self { start, step: step.max(1), steps }
    }

    pub fn at(&self, k: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(k as i64))
    }

    /// The last evaluation time.
    pub fn end(&self) -> i64 {
        self.at(self.steps.saturating_sub(1))
    }

    /// The grid of step-invariant parts.
    pub fn first(&self) -> Self {
        Self { steps: 1, ..*self }
    }
}

pub fn float_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, true))
}

pub fn binary_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Binary, true))
}

/// The type of `__values__`.
pub fn values_type(steps: usize) -> DataType {
    DataType::FixedSizeList(float_item(), steps as i32)
}

/// The type of `__histograms__`.
pub fn histograms_type(steps: usize) -> DataType {
    DataType::FixedSizeList(binary_item(), steps as i32)
}

fn points_fields(steps: usize) -> Fields {
    Fields::from(vec![
        Field::new(VALUES, values_type(steps), true),
        Field::new(HISTOGRAMS, histograms_type(steps), true),
    ])
}

/// What a function returns: the values alone, or a struct of values and histograms that a projection splits.
pub fn points_type(steps: usize, histograms: bool) -> DataType {
    if histograms { DataType::Struct(points_fields(steps)) } else { values_type(steps) }
}

fn mismatch(what: &str, array: &dyn Array) -> DataFusionError {
    DataFusionError::Internal(format!("expected {what}, found {}", array.data_type()))
}

pub fn fixed_list(array: &dyn Array) -> Result<&FixedSizeListArray> {
    array.as_any().downcast_ref().ok_or_else(|| mismatch("a step vector", array))
}

pub fn strings(array: &dyn Array) -> Result<&StringViewArray> {
    array.as_any().downcast_ref().ok_or_else(|| mismatch("a label column", array))
}

/// The value of a label, `""` where absent.
pub fn label(column: &StringViewArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}

/// The presence of a row that is NULL as a whole, which no operator here makes but a join may.
static NOTHING: &[u8] = &[0; MAX_STEPS / 8 + 1];
/// More steps than any grid has.
pub const MAX_STEPS: usize = 1 << 20;

/// A batch of step vectors holds about this many values, so that it is a few MiB whatever the number of steps.
const VALUES_PER_BATCH: usize = 256 << 10;

/// Rows of a batch of vectors with so many steps. What a function makes of a batch is not accounted for, so that this
/// is what bounds it.
pub fn rows_per_batch(steps: usize) -> usize {
    (VALUES_PER_BATCH / steps.max(1)).clamp(1, 8192)
}

/// Reads a column of float step vectors.
pub struct Floats<'a> {
    values: &'a [f64],
    items: &'a Float64Array,
    rows: Option<&'a NullBuffer>,
    pub steps: usize,
    base: usize,
}

impl<'a> Floats<'a> {
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        let list = fixed_list(array)?;
        let items = list
            .values()
            .as_any()
            .downcast_ref::<Float64Array>()
            .ok_or_else(|| mismatch("floats", list.values()))?;
        let base = if list.is_empty() { 0 } else { list.value_offset(0) as usize };
        Ok(Self { values: items.values(), items, rows: list.nulls(), steps: list.value_length() as usize, base })
    }

    /// The raw values of a row; those of absent steps are arbitrary.
    pub fn row(&self, row: usize) -> &'a [f64] {
        let from = self.base + row * self.steps;
        &self.values[from..from + self.steps]
    }

    pub fn present(&self, row: usize, step: usize) -> bool {
        self.items.is_valid(self.base + row * self.steps + step) && self.rows.is_none_or(|n| n.is_valid(row))
    }

    pub fn get(&self, row: usize, step: usize) -> Option<f64> {
        self.present(row, step).then(|| self.values[self.base + row * self.steps + step])
    }

    /// The presence of a row's steps.
    pub fn mask(&self, row: usize) -> Mask<'a> {
        if self.rows.is_some_and(|n| n.is_null(row)) {
            return Mask::Bits { bits: NOTHING, offset: 0 };
        }
        match self.items.nulls() {
            None => Mask::All,
            Some(nulls) => {
                let bits = nulls.inner();
                Mask::Bits { bits: bits.values(), offset: bits.offset() + self.base + row * self.steps }
            }
        }
    }
}

/// Reads a column of histogram step vectors.
pub struct Histograms<'a> {
    items: &'a BinaryArray,
    rows: Option<&'a NullBuffer>,
    steps: usize,
    base: usize,
}

impl<'a> Histograms<'a> {
    pub fn new(array: &'a dyn Array) -> Result<Self> {
        let list = fixed_list(array)?;
        let items = list
            .values()
            .as_any()
            .downcast_ref::<BinaryArray>()
            .ok_or_else(|| mismatch("histograms", list.values()))?;
        let base = if list.is_empty() { 0 } else { list.value_offset(0) as usize };
        Ok(Self { items, rows: list.nulls(), steps: list.value_length() as usize, base })
    }

    pub fn get(&self, row: usize, step: usize) -> Option<&'a [u8]> {
        let at = self.base + row * self.steps + step;
        (self.items.is_valid(at) && self.rows.is_none_or(|n| n.is_valid(row))).then(|| self.items.value(at))
    }
}

/// Gives rows to kernels; histograms of a row are decoded into memory that is reused.
pub struct VectorRows<'a> {
    points: Points<'a>,
    decoded: Vec<Option<Arc<FloatHistogram>>>,
}

impl<'a> VectorRows<'a> {
    pub fn new(points: Points<'a>) -> Self {
        Self { points, decoded: vec![] }
    }

    pub fn row(&mut self, row: usize) -> Result<VectorIn<'_>> {
        self.decoded.clear();
        let steps = self.points.steps();
        if let Some(histograms) = &self.points.histograms
            && (0..steps).any(|step| histograms.get(row, step).is_some())
        {
            for step in 0..steps {
                let histogram = histograms.get(row, step).map(decode).transpose()?;
                self.decoded.push(histogram.map(Arc::new));
            }
        }
        let floats = &self.points.floats;
        Ok(VectorIn { values: floats.row(row), present: floats.mask(row), histograms: &self.decoded })
    }
}

/// What a series has at a step; histograms in their encoded form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample<'a> {
    Float(f64),
    Histogram(&'a [u8]),
}

/// Reads the value columns of vectors.
pub struct Points<'a> {
    pub floats: Floats<'a>,
    pub histograms: Option<Histograms<'a>>,
}

impl<'a> Points<'a> {
    pub fn new(values: &'a dyn Array, histograms: Option<&'a dyn Array>) -> Result<Self> {
        Ok(Self { floats: Floats::new(values)?, histograms: histograms.map(Histograms::new).transpose()? })
    }

    pub fn of(batch: &'a RecordBatch) -> Result<Self> {
        let values = batch.column_by_name(VALUES).ok_or_else(|| missing(VALUES))?;
        Self::new(values, batch.column_by_name(HISTOGRAMS).map(|a| a.as_ref()))
    }

    pub fn steps(&self) -> usize {
        self.floats.steps
    }

    pub fn get(&self, row: usize, step: usize) -> Option<Sample<'a>> {
        if let Some(value) = self.floats.get(row, step) {
            return Some(Sample::Float(value));
        }
        self.histograms.as_ref()?.get(row, step).map(Sample::Histogram)
    }

    pub fn present(&self, row: usize, step: usize) -> bool {
        self.floats.present(row, step) || self.histograms.as_ref().is_some_and(|h| h.get(row, step).is_some())
    }
}

/// Bytes of a vector's points, histograms without their buckets.
pub fn points_bytes(rows: usize, steps: usize, histograms: bool) -> usize {
    let points = rows.saturating_mul(steps);
    points.saturating_mul(if histograms { 12 } else { 8 }).saturating_add(points / 4)
}

pub fn missing(column: &str) -> DataFusionError {
    DataFusionError::Internal(format!("no column {column:?} in a vector"))
}

/// Builds value columns step after step, row after row.
pub struct PointsBuilder {
    steps: usize,
    values: Vec<f64>,
    valid: BooleanBufferBuilder,
    histograms: Option<BinaryBuilder>,
    /// Bytes that an operator has accounted for.
    accounted: usize,
    /// Histograms are more than an array of bytes may have.
    is_too_large: bool,
}

impl PointsBuilder {
    /// For a function of a batch, whose rows are bounded.
    pub fn new(rows: usize, steps: usize, histograms: bool) -> Self {
        let points = rows * steps;
        Self {
            steps,
            values: Vec::with_capacity(points),
            valid: BooleanBufferBuilder::new(points),
            histograms: histograms.then(|| BinaryBuilder::with_capacity(points, 0)),
            accounted: 0,
            is_too_large: false,
        }
    }

    /// For an operator, whose rows are as many as there are series.
    pub fn within(work: &Work, rows: usize, steps: usize, histograms: bool) -> Result<Self> {
        let bytes = points_bytes(rows, steps, histograms);
        work.reserve(bytes)?;
        Ok(Self { accounted: bytes, ..Self::new(rows, steps, histograms) })
    }

    /// Points that are computed already: row after row, with their presence.
    pub fn of(values: Vec<f64>, valid: BooleanBufferBuilder, steps: usize) -> Self {
        Self { steps, values, valid, histograms: None, accounted: 0, is_too_large: false }
    }

    /// Accounts for what was pushed beyond what was foreseen: for operators, after a row or a few.
    pub fn account(&mut self, work: &Work) -> Result<()> {
        let histograms = self.histograms.as_ref();
        let bytes = self.values.capacity() * 8
            + self.valid.len() / 8
            + histograms.map_or(0, |h| h.values_capacity() + h.offsets_slice().len() * 4);
        if bytes > self.accounted {
            work.reserve(bytes - self.accounted)?;
            self.accounted = bytes;
        }
        Ok(())
    }

    pub fn push_float(&mut self, value: f64) {
        self.values.push(value);
        self.valid.append(true);
        if let Some(h) = &mut self.histograms {
            h.append_null();
        }
    }

    /// A histogram where the column has none is left out; lowering gives every node that can produce
    /// histograms the column.
    pub fn push_histogram(&mut self, bytes: &[u8]) {
        self.values.push(0.0);
        self.valid.append(false);
        if let Some(h) = &mut self.histograms {
            // The builder itself would panic.
            if h.values_slice().len() + bytes.len() > i32::MAX as usize {
                self.is_too_large = true;
                return h.append_null();
            }
            h.append_value(bytes);
        }
    }

    pub fn push_none(&mut self) {
        self.values.push(0.0);
        self.valid.append(false);
        if let Some(h) = &mut self.histograms {
            h.append_null();
        }
    }

    pub fn push(&mut self, sample: Option<Sample<'_>>) {
        match sample {
            Some(Sample::Float(v)) => self.push_float(v),
            Some(Sample::Histogram(h)) => self.push_histogram(h),
            None => self.push_none(),
        }
    }

    /// One row from a float slice and its presence.
    pub fn push_floats(&mut self, values: &[f64], present: &[bool]) {
        self.values.extend_from_slice(values);
        match present.contains(&false) {
            true => self.valid.append_slice(present),
            false => self.valid.append_n(present.len(), true),
        }
        if let Some(h) = &mut self.histograms {
            h.append_nulls(values.len());
        }
    }

    /// One row from floats that are meant where both masks have the step.
    pub fn push_masked(&mut self, values: impl Iterator<Item = f64>, left: Mask<'_>, right: Mask<'_>) {
        let from = self.values.len();
        self.values.extend(values);
        let steps = self.values.len() - from;
        match (left, right) {
            (Mask::All, Mask::All) => self.valid.append_n(steps, true),
            (Mask::All, Mask::Bits { bits, offset }) | (Mask::Bits { bits, offset }, Mask::All) => {
                self.valid.append_packed_range(offset..offset + steps, bits);
            }
            (left, right) => (0..steps).for_each(|k| self.valid.append(left.get(k) && right.get(k))),
        }
        if let Some(h) = &mut self.histograms {
            h.append_nulls(steps);
        }
    }

    /// Whether no step pushed since `from` is present.
    pub fn steps_pushed(&self) -> usize {
        self.values.len()
    }

    /// `(values, histograms)`.
    pub fn finish(mut self) -> Result<(ArrayRef, Option<ArrayRef>)> {
        if self.is_too_large {
            return Err(DataFusionError::ResourcesExhausted("a batch has more than 2 GiB of histograms".into()));
        }
        let nulls = NullBuffer::new(self.valid.finish());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let values = Float64Array::new(self.values.into(), nulls);
        let values = FixedSizeListArray::try_new(float_item(), self.steps as i32, Arc::new(values), None)?;
        let histograms = match self.histograms.as_mut().map(|h| h.finish()) {
            Some(items) => {
                Some(
                    Arc::new(FixedSizeListArray::try_new(binary_item(), self.steps as i32, Arc::new(items), None)?)
                        as ArrayRef,
                )
            }
            None => None,
        };
        Ok((Arc::new(values), histograms))
    }

    /// The array a function of [`points_type`] returns.
    pub fn finish_points(self) -> Result<ArrayRef> {
        let steps = self.steps;
        Ok(match self.finish()? {
            (values, None) => values,
            (values, Some(histograms)) => {
                Arc::new(StructArray::try_new(points_fields(steps), vec![values, histograms], None)?)
            }
        })
    }
}
