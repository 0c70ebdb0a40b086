//! Aggregate UDFs over step vectors. A group holds one [`Cell`] per step; partial states travel between
//! partitions as step vectors of numbers, and bytes where a cell needs them.

/// What one group has gathered at one step.
pub mod cells;
/// Classic and native histograms of one group.
pub mod buckets;

use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use self::buckets::{Fraction, Quantile as BucketQuantile};
use self::cells::{Avg, Cell, Count, Extreme, Owned, Present, Quantile, Single, Sum, Variance};
use super::layout::{Floats, Histograms, Points, PointsBuilder, label, points_type, strings};
use super::samples::Sink;

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    /// One parameter: the quantile.
    Quantile,
    /// 1 where nothing is present.
    Absent,
    /// The one value of `scalar()`, NaN where there is not exactly one.
    Scalar,
    /// One parameter: the quantile; and the labels `le` and `__name__`.
    HistogramQuantile,
    /// Two parameters: the bounds; and the labels `le` and `__name__`.
    HistogramFraction,
}

impl Aggregation {
    fn name(self) -> &'static str {
        match self {
            Aggregation::Sum => "prom_sum",
            Aggregation::Avg => "prom_avg",
            Aggregation::Count => "prom_count",
            Aggregation::Min => "prom_min",
            Aggregation::Max => "prom_max",
            Aggregation::Group => "prom_group",
            Aggregation::Stddev => "prom_stddev",
            Aggregation::Stdvar => "prom_stdvar",
            Aggregation::Quantile => "prom_quantile",
            Aggregation::Absent => "prom_absent",
            Aggregation::Scalar => "prom_scalar",
            Aggregation::HistogramQuantile => "prom_histogram_quantile",
            Aggregation::HistogramFraction => "prom_histogram_fraction",
        }
    }

    /// How many scalar parameters follow the value columns.
    fn parameters(self) -> usize {
        match self {
            Aggregation::Quantile | Aggregation::HistogramQuantile => 1,
            Aggregation::HistogramFraction => 2,
            _ => 0,
        }
    }

    fn takes_bucket_labels(self) -> bool {
        matches!(self, Aggregation::HistogramQuantile | Aggregation::HistogramFraction)
    }

    /// Whether a result can be a histogram.
    pub fn keeps_histograms(self) -> bool {
        matches!(self, Aggregation::Sum | Aggregation::Avg)
    }
}

/// The parameters every cell of a query's aggregate shares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub aggregation: Aggregation,
    pub steps: usize,
    /// The input has a histogram column.
    pub histograms: bool,
    pub sink: Sink,
}

/// The UDAF.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct VectorAggregate {
    settings: Settings,
    signature: Signature,
}

/// `arguments`: values, histograms if any, parameters, bucket labels.
pub fn call(settings: Settings, arguments: Vec<Expr>) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    AggregateUDF::new_from_impl(VectorAggregate { settings, signature }).call(arguments)
}

impl VectorAggregate {
    fn groups<C: Cell>(&self) -> Groups<C> {
        Groups { settings: self.settings.clone(), cells: vec![] }
    }

    /// Runs `f` with the cell type of the aggregation.
    fn with_cell<R>(&self, f: impl WithCell<R>) -> R {
        match self.settings.aggregation {
            Aggregation::Sum => f.run::<Sum>(self),
            Aggregation::Avg => f.run::<Avg>(self),
            Aggregation::Count | Aggregation::Group => f.run::<Count>(self),
            Aggregation::Min | Aggregation::Max => f.run::<Extreme>(self),
            Aggregation::Stddev | Aggregation::Stdvar => f.run::<Variance>(self),
            Aggregation::Quantile => f.run::<Quantile>(self),
            Aggregation::Absent => f.run::<Present>(self),
            Aggregation::Scalar => f.run::<Single>(self),
            Aggregation::HistogramQuantile => f.run::<BucketQuantile>(self),
            Aggregation::HistogramFraction => f.run::<Fraction>(self),
        }
    }
}

/// A computation that is generic over the cell type.
trait WithCell<R> {
    fn run<C: Cell>(self, udaf: &VectorAggregate) -> R;
}

struct MakeGroups;

impl WithCell<Box<dyn GroupsAccumulator>> for MakeGroups {
    fn run<C: Cell>(self, udaf: &VectorAggregate) -> Box<dyn GroupsAccumulator> {
        Box::new(udaf.groups::<C>())
    }
}

struct MakeSingle;

impl WithCell<Box<dyn Accumulator>> for MakeSingle {
    fn run<C: Cell>(self, udaf: &VectorAggregate) -> Box<dyn Accumulator> {
        Box::new(SingleGroup(udaf.groups::<C>()))
    }
}

struct StateTypes(PhantomData<()>);

impl WithCell<Vec<DataType>> for StateTypes {
    fn run<C: Cell>(self, udaf: &VectorAggregate) -> Vec<DataType> {
        let steps = udaf.settings.steps;
        let mut types = vec![super::layout::values_type(steps); C::NUMBERS];
        if C::BYTES {
            types.push(super::layout::histograms_type(steps));
        }
        types
    }
}

impl AggregateUDFImpl for VectorAggregate {
    fn name(&self) -> &str {
        self.settings.aggregation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        let histograms = self.settings.histograms && self.settings.aggregation.keeps_histograms();
        Ok(points_type(self.settings.steps, histograms))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(self.with_cell(MakeSingle))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types = self.with_cell(StateTypes(PhantomData));
        let field = |(i, t)| Arc::new(Field::new(format!("{}[{i}]", args.name), t, true));
        Ok(types.into_iter().enumerate().map(field).collect())
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.with_cell(MakeGroups))
    }
}

/// What a cell may need of the row it is given a sample of.
pub struct RowArguments<'a> {
    pub parameters: [f64; 2],
    pub le: &'a str,
    pub metric: &'a str,
}

/// The cells of all groups: `group * steps + step`.
struct Groups<C> {
    settings: Settings,
    cells: Vec<C>,
}

/// A scalar parameter as it arrives: one Float64 per row, or one value per step and row.
enum Parameter<'a> {
    Constant(&'a Float64Array),
    Steps(Floats<'a>),
}

impl<'a> Parameter<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.as_any().downcast_ref::<Float64Array>() {
            Some(constant) => Parameter::Constant(constant),
            None => Parameter::Steps(Floats::new(array)?),
        })
    }

    fn at(&self, row: usize, step: usize) -> f64 {
        match self {
            Parameter::Constant(array) => array.value(row),
            Parameter::Steps(floats) => floats.get(row, step).unwrap_or(f64::NAN),
        }
    }
}

impl<C: Cell> Groups<C> {
    fn grow(&mut self, groups: usize) {
        self.cells.resize_with(groups * self.settings.steps, C::default);
    }

    fn update(&mut self, columns: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let steps = self.settings.steps;
        let mut rest = columns.iter();
        let mut next = || rest.next().ok_or_else(|| DataFusionError::Internal("an argument is missing".into()));
        let values = next()?;
        let histograms = if self.settings.histograms { Some(next()?) } else { None };
        let points = Points::new(values, histograms.map(|h| h.as_ref()))?;
        let mut parameters = vec![];
        for _ in 0..self.settings.aggregation.parameters() {
            parameters.push(Parameter::new(next()?)?);
        }
        let bucket_labels: Option<(&StringViewArray, &StringViewArray)> =
            if self.settings.aggregation.takes_bucket_labels() {
                Some((strings(next()?)?, strings(next()?)?))
            } else {
                None
            };
        for row in 0..values.len() {
            let cells = &mut self.cells[group(row) * steps..(group(row) + 1) * steps];
            let (le, metric) = bucket_labels.map_or(("", ""), |(l, m)| (label(l, row), label(m, row)));
            for (step, cell) in cells.iter_mut().enumerate() {
                let Some(sample) = points.get(row, step) else { continue };
                let mut arguments = RowArguments { parameters: [0.0; 2], le, metric };
                for (slot, parameter) in arguments.parameters.iter_mut().zip(&parameters) {
                    *slot = parameter.at(row, step);
                }
                cell.add(sample, &arguments, &self.settings)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, columns: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let steps = self.settings.steps;
        let numbers: Vec<Floats<'_>> =
            columns[..C::NUMBERS].iter().map(|c| Floats::new(c)).collect::<Result<_>>()?;
        let bytes = if C::BYTES { Some(Histograms::new(&columns[C::NUMBERS])?) } else { None };
        let mut state = vec![0.0; C::NUMBERS];
        for row in 0..columns[0].len() {
            for step in 0..steps {
                if !numbers[0].present(row, step) {
                    continue;
                }
                for (slot, column) in state.iter_mut().zip(&numbers) {
                    *slot = column.get(row, step).unwrap_or(0.0);
                }
                let bytes = bytes.as_ref().and_then(|b| b.get(row, step));
                let other = C::from_state(&state, bytes)?;
                let cell = &mut self.cells[group(row) * steps + step];
                if cell.is_empty() {
                    *cell = other;
                } else {
                    cell.merge(other, &self.settings)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the cells of the groups to emit.
    fn take(&mut self, emit: EmitTo) -> Vec<C> {
        match emit {
            EmitTo::All => std::mem::take(&mut self.cells),
            EmitTo::First(groups) => {
                let rest = self.cells.split_off(groups * self.settings.steps);
                std::mem::replace(&mut self.cells, rest)
            }
        }
    }

    fn finish(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let steps = self.settings.steps;
        let cells = self.take(emit);
        let histograms = self.settings.histograms && self.settings.aggregation.keeps_histograms();
        let mut out = PointsBuilder::new(cells.len() / steps, steps, histograms);
        for cell in cells {
            match cell.finish(&self.settings)? {
                Some(Owned::Float(value)) => out.push_float(value),
                Some(Owned::Histogram(bytes)) => out.push_histogram(&bytes),
                None => out.push_none(),
            }
        }
        out.finish_points()
    }

    fn partial(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let steps = self.settings.steps;
        let cells = self.take(emit);
        let rows = cells.len() / steps;
        let mut numbers: Vec<PointsBuilder> =
            (0..C::NUMBERS).map(|_| PointsBuilder::new(rows, steps, false)).collect();
        let mut bytes = C::BYTES.then(|| PointsBuilder::new(rows, steps, true));
        for cell in &cells {
            if cell.is_empty() {
                numbers.iter_mut().chain(&mut bytes).for_each(|b| b.push_none());
                continue;
            }
            let state = cell.numbers();
            for (builder, number) in numbers.iter_mut().zip(state.as_ref()) {
                builder.push_float(*number);
            }
            if let Some(builder) = &mut bytes {
                match cell.bytes() {
                    Some(bytes) => builder.push_histogram(&bytes),
                    None => builder.push_none(),
                }
            }
        }
        let mut columns = vec![];
        for builder in numbers {
            columns.push(builder.finish()?.0);
        }
        if let Some(builder) = bytes {
            columns.extend(builder.finish()?.1);
        }
        Ok(columns)
    }

    fn memory(&self) -> usize {
        self.cells.capacity() * size_of::<C>() + self.cells.iter().map(Cell::heap_bytes).sum::<usize>()
    }
}

impl<C: Cell> GroupsAccumulator for Groups<C> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        debug_assert!(filter.is_none(), "PromQL aggregates have no FILTER");
        self.grow(total);
        self.update(values, |row| groups[row])
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.finish(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.partial(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.merge(values, |row| groups[row])
    }

    fn convert_to_state(&self, values: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Groups::<C> { settings: self.settings.clone(), cells: vec![] };
        rows.grow(values[0].len());
        rows.update(values, |row| row)?;
        rows.partial(EmitTo::All)
    }

    fn supports_convert_to_state(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.memory()
    }
}

/// The one group of an aggregate without grouping labels.
struct SingleGroup<C>(Groups<C>);

impl<C> std::fmt::Debug for SingleGroup<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SingleGroup({:?})", self.0.settings.aggregation)
    }
}

impl<C: Cell> Accumulator for SingleGroup<C> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.grow(1);
        self.0.update(values, |_| 0)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.grow(1);
        self.0.merge(states, |_| 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.finish(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        self.0.partial(EmitTo::All)?.iter().map(|a| ScalarValue::try_from_array(a, 0)).collect()
    }

    fn size(&self) -> usize {
        self.0.memory()
    }
}
