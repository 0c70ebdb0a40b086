//! Every operator accounts for what it makes, and ends when nobody waits.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result;

use super::count_values::CountValues;
use super::info::InfoJoin;
use super::matching::VectorMatch;
use super::quantile_label::QuantileLabel;
use super::select::{Grouping, Parameter, VectorSelect};
use super::unique::UniqueSeries;
use crate::engine::promql::annotations::Annotations;
use crate::engine::promql::cancel::Cancel;
use crate::engine::promql::moment::Moment;
use crate::engine::promql::plan::layout::{PointsBuilder, VALUES, values_type};
use crate::engine::promql::plan::samples::Sink;
use crate::engine::promql::plan::work::{Work, rows_bytes};
use crate::promql::ast::Cardinality;
use crate::promql::operators::{AggregateOp, BinaryOp};
use crate::promql::span::Span;

const ROWS: usize = 500;
const STEPS: usize = 300;

fn field(name: &str) -> Field {
    Field::new(name, DataType::Utf8View, true)
}

fn schema(labels: &[&str]) -> SchemaRef {
    let mut fields: Vec<Field> = labels.iter().map(|label| field(label)).collect();
    fields.push(Field::new(VALUES, values_type(STEPS), true));
    Arc::new(Schema::new(fields))
}

fn values(of: impl Fn(usize, usize) -> f64) -> ArrayRef {
    let mut points = PointsBuilder::new(ROWS, STEPS, false);
    (0..ROWS).for_each(|row| (0..STEPS).for_each(|step| points.push_float(of(row, step))));
    points.finish().unwrap().0
}

fn texts(of: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values((0..ROWS).map(of)))
}

/// Series `i` of one job and instance.
fn input() -> RecordBatch {
    let schema = schema(&["i", "instance", "job"]);
    let columns = [texts(|row| row.to_string()), texts(|_| "i".into()), texts(|_| "j".into())];
    let columns = columns.into_iter().chain([values(|row, step| (row * STEPS + step % 7) as f64)]);
    RecordBatch::try_new(schema, columns.collect()).unwrap()
}

/// The same with the quantiles of steps beside it.
fn with_quantiles() -> RecordBatch {
    let schema = schema(&["i"]);
    let quantiles = Field::new("q", values_type(STEPS), true);
    let fields = schema.fields().iter().cloned().chain([Arc::new(quantiles)]);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = vec![texts(|row| row.to_string()), values(|_, _| 1.0), values(|_, step| (step % 10) as f64)];
    RecordBatch::try_new(schema, columns).unwrap()
}

type Operator = (&'static str, fn(&Work) -> Result<RecordBatch>);

fn select(op: AggregateOp, work: &Work) -> Result<RecordBatch> {
    let grouping = Grouping { without: false, labels: vec![] };
    let (parameter, parameter_span) = (Parameter::Constant(100f64.to_bits()), Span::new(0, 0));
    let op = VectorSelect { op, parameter, parameter_span, grouping, steps: STEPS, sink: sink() };
    op.evaluate(&input(), &input().schema(), work)
}

fn sink() -> Sink {
    let span = Span::new(0, 0);
    Sink {
        annotations: Annotations::new(),
        cancel: Cancel::default(),
        moment: Moment::default(),
        span,
        arg_span: span,
    }
}

fn matching(op: BinaryOp, work: &Work) -> Result<RecordBatch> {
    let operator = VectorMatch {
        op,
        return_bool: false,
        cardinality: if op.is_set() { Cardinality::ManyToMany } else { Cardinality::OneToOne },
        on: true,
        labels: vec!["i".into()],
        include: vec![],
        fill_left: None,
        fill_right: None,
        steps: STEPS,
        sink: sink(),
    };
    let out = if op.is_set() { input().schema() } else { schema(&["i"]) };
    operator.evaluate(&input(), &input(), &out, work)
}

const OPERATORS: &[Operator] = &[
    ("+", |work| matching(BinaryOp::Add, work)),
    ("and", |work| matching(BinaryOp::And, work)),
    ("or", |work| matching(BinaryOp::Or, work)),
    ("topk", |work| select(AggregateOp::TopK, work)),
    ("limitk", |work| select(AggregateOp::LimitK, work)),
    ("count_values", |work| {
        let grouping = Grouping { without: false, labels: vec![] };
        CountValues { label: "v".into(), grouping, steps: STEPS }.evaluate(&input(), &schema(&["v"]), work)
    }),
    ("histogram_quantiles", |work| {
        let op = QuantileLabel { label: "q".into(), quantiles: "q".into(), steps: STEPS };
        op.evaluate(&with_quantiles(), &schema(&["i", "q"]), work)
    }),
    ("info", |work| {
        let op = InfoJoin { steps: STEPS, names: vec![], wanted: vec![], optional: true };
        // Without info series every series stays as it is.
        op.evaluate(&input(), &input().slice(0, 0), &input().schema(), work)
    }),
    ("unique", |work| {
        let batch = input();
        let mut absent = PointsBuilder::new(ROWS, STEPS, false);
        (0..ROWS * STEPS).for_each(|_| absent.push_none());
        let columns = batch.columns()[..3].iter().cloned().chain([absent.finish()?.0]);
        let others = RecordBatch::try_new(batch.schema(), columns.collect())?;
        let twice = concat_batches(&batch.schema(), [&batch, &others])?;
        UniqueSeries { steps: STEPS }.evaluate(&twice, &batch.schema(), work)
    }),
];

#[test]
fn what_operators_make_is_accounted_for() {
    for (name, operator) in OPERATORS {
        operator(&Work::with_limit(0)).map(drop).expect_err(name);
        let work = Work::with_limit(1 << 30);
        let made = rows_bytes(&operator(&work).unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap();
        let reserved = work.reserved();
        assert!(reserved >= made, "{name}: {reserved} reserved, {made} made");
        // It fails wherever the memory ends.
        operator(&Work::with_limit(made / 2)).map(drop).expect_err(name);
    }
}

#[test]
fn operators_end_when_nobody_waits() {
    for (name, operator) in OPERATORS {
        let work = Work::with_limit(1 << 30);
        work.cancel.raise();
        let Err(ended) = operator(&work) else { panic!("{name} goes on") };
        assert!(ended.to_string().contains("canceled"), "{name}: {ended}");
    }
}
