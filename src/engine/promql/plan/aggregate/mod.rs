//! Aggregate UDFs over step vectors. A group has one [`Group`] state for all its steps; partial states travel
//! between partitions as bytes.

/// Classic and native histograms of one group.
mod buckets;
/// What a group has gathered.
mod groups;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};

use self::buckets::Buckets;
use self::groups::{Gathered, Presence};
use super::functions::args::{ScalarReader, StepScalar};
use super::functions::windows::push_row;
use super::layout::{Grid, Points, PointsBuilder, VectorRows, label, points_bytes, points_type, strings};
use super::samples::Sink;
use crate::engine::promql::kernel::types::{VectorIn, VectorOut};
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// sum, avg, count, min, max, group, stddev, stdvar; quantile with one parameter.
    Operator(AggregateOp),
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
    fn name(self) -> String {
        match self {
            Aggregation::Operator(op) => format!("prom_{}", op.as_str()),
            Aggregation::Absent => "prom_absent".into(),
            Aggregation::Scalar => "prom_scalar".into(),
            Aggregation::HistogramQuantile => "prom_histogram_quantile".into(),
            Aggregation::HistogramFraction => "prom_histogram_fraction".into(),
        }
    }

    /// How many scalar parameters follow the value columns.
    fn parameters(self) -> usize {
        match self {
            Aggregation::Operator(AggregateOp::Quantile) | Aggregation::HistogramQuantile => 1,
            Aggregation::HistogramFraction => 2,
            _ => 0,
        }
    }

    fn takes_bucket_labels(self) -> bool {
        matches!(self, Aggregation::HistogramQuantile | Aggregation::HistogramFraction)
    }

    /// Whether a result can be a histogram.
    pub fn keeps_histograms(self) -> bool {
        matches!(self, Aggregation::Operator(AggregateOp::Sum | AggregateOp::Avg))
    }
}

/// What every group of an aggregate shares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub aggregation: Aggregation,
    pub grid: Grid,
    /// The input has a histogram column.
    pub histograms: bool,
    /// Where the first parameter stands in the query.
    pub parameter_span: Span,
    pub sink: Sink,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorAggregate {
    settings: Settings,
    name: String,
    signature: Signature,
}

/// `arguments`: values, histograms if any, parameters, bucket labels.
pub fn call(settings: Settings, arguments: Vec<Expr>) -> Expr {
    let signature = Signature::variadic_any(Volatility::Immutable);
    let name = settings.aggregation.name();
    AggregateUDF::new_from_impl(VectorAggregate { settings, name, signature }).call(arguments)
}

impl VectorAggregate {
    fn groups<G: Group>(&self) -> Groups<G> {
        Groups::new(self.settings.clone())
    }
}

impl AggregateUDFImpl for VectorAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        let histograms = self.settings.histograms && self.settings.aggregation.keeps_histograms();
        Ok(points_type(self.settings.grid.steps, histograms))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match self.settings.aggregation {
            Aggregation::Operator(_) => Box::new(SingleGroup(self.groups::<Gathered>())),
            Aggregation::Absent | Aggregation::Scalar => Box::new(SingleGroup(self.groups::<Presence>())),
            _ => Box::new(SingleGroup(self.groups::<Buckets>())),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match self.settings.aggregation {
            Aggregation::Operator(_) => Box::new(self.groups::<Gathered>()),
            Aggregation::Absent | Aggregation::Scalar => Box::new(self.groups::<Presence>()),
            _ => Box::new(self.groups::<Buckets>()),
        })
    }
}

/// A scalar parameter at all steps, or one value for all of them.
pub type ParameterValues = Vec<f64>;

/// One row of the input.
struct Row<'a> {
    vector: VectorIn<'a>,
    parameters: &'a [ParameterValues],
    le: &'a str,
    metric: &'a str,
}

/// What a group has gathered. A new one is empty.
trait Group: Send + Sync + Sized + 'static {
    fn new(settings: &Settings) -> Self;
    fn update(&mut self, row: &Row<'_>, settings: &Settings) -> Result<()>;
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8], settings: &Settings) -> Result<Self>;
    fn merge(&mut self, other: Self, settings: &Settings) -> Result<()>;
    fn finish(self, settings: &Settings, out: &mut VectorOut<'_>) -> Result<()>;
    /// Asked for before and after each row, so it must not go through what was gathered.
    fn size_bytes(&self) -> usize;
}

struct Groups<G> {
    settings: Settings,
    groups: Vec<G>,
    /// The sum of their sizes.
    bytes: usize,
}

impl<G: Group> Groups<G> {
    fn new(settings: Settings) -> Self {
        Self { settings, groups: vec![], bytes: 0 }
    }

    fn grow(&mut self, total: usize) {
        let (settings, bytes) = (&self.settings, &mut self.bytes);
        self.groups.resize_with(total.max(self.groups.len()), || {
            let group = G::new(settings);
            *bytes += group.size_bytes();
            group
        });
    }

    /// Changes one group, and keeps count of what it takes.
    fn change(&mut self, group: usize, change: impl FnOnce(&mut G, &Settings) -> Result<()>) -> Result<()> {
        self.settings.sink.cancel.check()?;
        let group = &mut self.groups[group];
        let before = group.size_bytes();
        let changed = change(group, &self.settings);
        self.bytes = (self.bytes + group.size_bytes()).saturating_sub(before);
        changed
    }

    fn update(&mut self, columns: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let mut rest = columns.iter();
        let mut next = || rest.next().ok_or_else(|| DataFusionError::Internal("an argument is missing".into()));
        let values = next()?;
        let histograms = if self.settings.histograms { Some(next()?.as_ref()) } else { None };
        let scalars: Vec<StepScalar> = (0..self.settings.aggregation.parameters())
            .map(|_| StepScalar::from_array(next()?))
            .collect::<Result<_>>()?;
        let readers: Vec<ScalarReader<'_>> = scalars.iter().map(StepScalar::reader).collect::<Result<_>>()?;
        let labels: Option<(&StringViewArray, &StringViewArray)> =
            if self.settings.aggregation.takes_bucket_labels() {
                Some((strings(next()?)?, strings(next()?)?))
            } else {
                None
            };
        // Parameters are the same in all rows: they are constants, or come from a one-row plan.
        let parameters: Vec<ParameterValues> = readers
            .iter()
            .map(|reader| match reader {
                _ if values.is_empty() => vec![],
                ScalarReader::Constant(value) => vec![*value],
                ScalarReader::Steps(..) => (0..self.settings.grid.steps).map(|k| reader.at(0, k)).collect(),
            })
            .collect();
        let mut rows = VectorRows::new(Points::new(values, histograms)?);
        for row in 0..values.len() {
            let (le, metric) = labels.map_or(("", ""), |(l, m)| (label(l, row), label(m, row)));
            let row_in = Row { vector: rows.row(row)?, parameters: &parameters, le, metric };
            self.change(group(row), |group, settings| group.update(&row_in, settings))?;
        }
        Ok(())
    }

    fn merge(&mut self, columns: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let states = columns[0]
            .as_any()
            .downcast_ref::<BinaryArray>()
            .ok_or_else(|| DataFusionError::Internal("states of aggregates are bytes".into()))?;
        for row in 0..states.len() {
            let other = G::decode(states.value(row), &self.settings)?;
            self.change(group(row), |group, settings| group.merge(other, settings))?;
        }
        Ok(())
    }

    fn take(&mut self, emit: EmitTo) -> Vec<G> {
        let taken = emit.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(Group::size_bytes).sum();
        taken
    }

    fn finish(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let steps = self.settings.grid.steps;
        let groups = self.take(emit);
        let keep = self.settings.histograms && self.settings.aggregation.keeps_histograms();
        let mut out = PointsBuilder::new(groups.len(), steps, keep);
        let mut values = vec![0.0; steps];
        let mut present = vec![false; steps];
        let mut histograms = vec![None; if keep { steps } else { 0 }];
        for group in groups {
            let mut target = VectorOut {
                values: &mut values,
                present: &mut present,
                histograms: keep.then_some(&mut histograms[..]),
            };
            self.settings.sink.cancel.check()?;
            target.clear();
            group.finish(&self.settings, &mut target)?;
            push_row(&mut out, &values, &present, &histograms);
        }
        out.finish_points()
    }

    fn states(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit);
        let size: usize = groups.iter().map(Group::size_bytes).sum();
        let mut out = BinaryBuilder::with_capacity(groups.len(), size.min(i32::MAX as usize));
        let mut bytes = vec![];
        for group in groups {
            bytes.clear();
            self.settings.sink.cancel.check()?;
            group.encode(&mut bytes);
            // The builder itself would panic.
            if out.values_slice().len() + bytes.len() > i32::MAX as usize {
                return Err(DataFusionError::ResourcesExhausted("states of groups are larger than 2 GiB".into()));
            }
            out.append_value(&bytes);
        }
        Ok(vec![Arc::new(out.finish())])
    }

    /// With the result, which is made while the groups are still there.
    fn size_bytes(&self) -> usize {
        let result = points_bytes(self.groups.len(), self.settings.grid.steps, false);
        self.bytes + result + (self.groups.capacity() - self.groups.len()) * size_of::<G>()
    }
}

impl<G: Group> GroupsAccumulator for Groups<G> {
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
        self.states(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.merge(values, |row| groups[row])
    }

    fn convert_to_state(&self, values: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Groups::<G>::new(self.settings.clone());
        rows.grow(values[0].len());
        rows.update(values, |row| row)?;
        rows.states(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.size_bytes()
    }
}

/// The one group of an aggregate without grouping labels.
struct SingleGroup<G>(Groups<G>);

impl<G> fmt::Debug for SingleGroup<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SingleGroup({:?})", self.0.settings.aggregation)
    }
}

impl<G: Group> Accumulator for SingleGroup<G> {
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
        self.0.states(EmitTo::All)?.iter().map(|a| ScalarValue::try_from_array(a, 0)).collect()
    }

    fn size(&self) -> usize {
        self.0.size_bytes()
    }
}
