//! Binary operators between two vectors: rows find each other by their matching labels, samples meet per
//! step. After `VectorBinop`, `VectorAnd`, `VectorOr` and `VectorUnless` of Prometheus' `promql/engine.go`.
//!
//! Arithmetic and comparison speak of a "many" and a "one" side; `group_right` swaps them, one-to-one
//! matching has the left side as "many".

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::{DataFusionError, Result};

use super::series::{KeyIds, column, gather, is_label, label_columns, members, print_labels};
use super::unique::{SAME_LABELSET, execution, merge_rows};
use crate::engine::promql::plan::layout::{DROP_NAME, HISTOGRAMS, Points, PointsBuilder, Sample, VALUES, missing};
use crate::engine::promql::plan::samples::{self, Comparison, Sink};
use crate::engine::promql::plan::work::Work;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{Cardinality, Matching};
use crate::promql::operators::BinaryOp;

const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const AMBIGUOUS_GROUPING: &str = "multiple matches for labels: grouping labels must ensure unique matches";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorMatch {
    pub op: BinaryOp,
    pub return_bool: bool,
    pub cardinality: Cardinality,
    pub on: bool,
    pub labels: Vec<String>,
    pub include: Vec<String>,
    /// Bits of the floats, so that the operator can be compared and hashed.
    pub fill_left: Option<u64>,
    pub fill_right: Option<u64>,
    pub steps: usize,
    pub sink: Sink,
}

impl fmt::Display for VectorMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op.as_str())?;
        if self.return_bool {
            f.write_str(" bool")?;
        }
        let word = if self.on { "on" } else { "ignoring" };
        write!(f, " {word}({})", self.labels.join(", "))?;
        match self.cardinality {
            Cardinality::ManyToOne => write!(f, " group_left({})", self.include.join(", "))?,
            Cardinality::OneToMany => write!(f, " group_right({})", self.include.join(", "))?,
            Cardinality::OneToOne | Cardinality::ManyToMany => {}
        }
        for (name, fill) in [("fill_left", self.fill_left), ("fill_right", self.fill_right)] {
            if let Some(bits) = fill {
                write!(f, " {name}({})", f64::from_bits(bits))?;
            }
        }
        Ok(())
    }
}

/// Where the labels of a result row come from.
#[derive(Clone, Copy)]
struct Origin {
    many: Option<usize>,
    one: Option<usize>,
    group: usize,
}

impl VectorMatch {
    pub fn new(op: BinaryOp, return_bool: bool, matching: &Matching, steps: usize, sink: Sink) -> Self {
        Self {
            op,
            return_bool,
            cardinality: matching.cardinality,
            on: matching.on,
            labels: matching.labels.clone(),
            include: matching.include.clone(),
            fill_left: matching.fill_left.map(f64::to_bits),
            fill_right: matching.fill_right.map(f64::to_bits),
            steps,
            sink,
        }
    }

    /// Whether rows are matched by this label.
    fn matches_by(&self, label: &str) -> bool {
        let listed = self.labels.iter().any(|l| l == label);
        if self.on { listed } else { !listed && label != METRIC_NAME }
    }

    pub fn evaluate(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        schema: &SchemaRef,
        work: &Work,
    ) -> Result<RecordBatch> {
        let mut names = label_columns(left.schema_ref());
        for name in label_columns(right.schema_ref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.retain(|n| self.matches_by(n));
        let keys = KeyIds::new(&[left, right], &names, work)?;
        match self.op {
            BinaryOp::And | BinaryOp::Unless => self.filter(left, right, &keys, schema, work),
            BinaryOp::Or => self.union(left, right, &keys, schema, work),
            _ => Arithmetic::new(self, left, right, &keys, work)?.run(schema),
        }
    }

    /// `and`, `unless`: left rows, masked by the presence of their group on the right.
    fn filter(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        keys: &KeyIds,
        schema: &SchemaRef,
        work: &Work,
    ) -> Result<RecordBatch> {
        let wanted = self.op == BinaryOp::And;
        let present = presence(&Points::of(right)?, &keys.ids[1], keys.count, self.steps, work)?;
        let points = Points::of(left)?;
        let histograms = schema.index_of(HISTOGRAMS).is_ok();
        let mut out = PointsBuilder::within(work, left.num_rows(), self.steps, histograms)?;
        for (row, group) in keys.ids[0].iter().enumerate() {
            work.spend(self.steps)?;
            out.account(work)?;
            for step in 0..self.steps {
                let keep = present[group * self.steps + step] == wanted;
                out.push(if keep { points.get(row, step) } else { None });
            }
        }
        let rows: Vec<(usize, usize)> = (0..left.num_rows()).map(|r| (0, r)).collect();
        build(&[left], &rows, out, schema)
    }

    /// `or`: all of the left, and what of the right has no partner on the left.
    fn union(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        keys: &KeyIds,
        schema: &SchemaRef,
        work: &Work,
    ) -> Result<RecordBatch> {
        let (l, r) = (Points::of(left)?, Points::of(right)?);
        let present = presence(&l, &keys.ids[0], keys.count, self.steps, work)?;
        let total = left.num_rows() + right.num_rows();
        let mut out = PointsBuilder::within(work, total, self.steps, schema.index_of(HISTOGRAMS).is_ok())?;
        work.reserve_items::<(usize, usize)>(total)?;
        let mut rows = Vec::with_capacity(total);
        for row in 0..left.num_rows() {
            work.spend(self.steps)?;
            out.account(work)?;
            (0..self.steps).for_each(|step| out.push(l.get(row, step)));
            rows.push((0, row));
        }
        for (row, group) in keys.ids[1].iter().enumerate() {
            work.spend(self.steps)?;
            out.account(work)?;
            let free = |step: &usize| !present[group * self.steps + step] && r.present(row, *step);
            if !(0..self.steps).any(|step| free(&step)) {
                continue;
            }
            for step in 0..self.steps {
                out.push(if free(&step) { r.get(row, step) } else { None });
            }
            rows.push((1, row));
        }
        let batch = build(&[left, right], &rows, out, schema)?;
        merge_rows(&batch, schema, self.steps, work, |_, _| execution(SAME_LABELSET))
    }
}

/// Which groups have a sample at which step: `group * steps + step`.
fn presence(points: &Points<'_>, groups: &[usize], count: usize, steps: usize, work: &Work) -> Result<Vec<bool>> {
    work.reserve(count.saturating_mul(steps))?;
    let mut present = vec![false; count * steps];
    for (row, group) in groups.iter().enumerate() {
        work.spend(steps)?;
        for step in 0..steps {
            if points.present(row, step) {
                present[group * steps + step] = true;
            }
        }
    }
    Ok(present)
}

/// The result from rows `(side, row)` and their points.
fn build(
    sides: &[&RecordBatch],
    rows: &[(usize, usize)],
    out: PointsBuilder,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let (values, histograms) = out.finish()?;
    let mut columns: Vec<ArrayRef> = vec![];
    for field in schema.fields() {
        columns.push(match field.name().as_str() {
            VALUES => Arc::clone(&values),
            HISTOGRAMS => histograms.clone().expect("the builder follows the schema"),
            DROP_NAME => {
                let sources: Vec<ArrayRef> =
                    sides.iter().filter_map(|s| s.column_by_name(DROP_NAME).cloned()).collect();
                gather(&sources, &DataType::Boolean, rows)?
            }
            name => {
                let sources: Vec<ArrayRef> = sides.iter().map(|s| column(s, name)).collect();
                gather(&sources, &DataType::Utf8View, rows)?
            }
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Arithmetic, comparison and trim operators.
struct Arithmetic<'a> {
    op: &'a VectorMatch,
    many: &'a RecordBatch,
    one: &'a RecordBatch,
    many_points: Points<'a>,
    one_points: Points<'a>,
    many_groups: &'a [usize],
    one_rows: Vec<Vec<usize>>,
    /// The left operand is on the "one" side.
    swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    work: &'a Work,
}

impl<'a> Arithmetic<'a> {
    fn new(
        op: &'a VectorMatch,
        left: &'a RecordBatch,
        right: &'a RecordBatch,
        keys: &'a KeyIds,
        work: &'a Work,
    ) -> Result<Self> {
        let swapped = op.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (many_side, one_side) = if swapped { (1, 0) } else { (0, 1) };
        // Prometheus swaps the sides of `group_right` but not their fills, so `fill_left` is always for "many".
        let (fill_many, fill_one) = (op.fill_left.map(f64::from_bits), op.fill_right.map(f64::from_bits));
        let one_rows = members(&keys.ids[one_side], keys.count, work)?;
        Ok(Self {
            op,
            many,
            one,
            many_points: Points::of(many)?,
            one_points: Points::of(one)?,
            many_groups: &keys.ids[many_side],
            one_rows,
            swapped,
            fill_many,
            fill_one,
            work,
        })
    }

    fn run(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        let steps = self.op.steps;
        self.check_one_side()?;
        let one_to_one = self.op.cardinality == Cardinality::OneToOne;
        let (groups, work) = (self.one_rows.len(), self.work);
        work.reserve_items::<usize>(groups)?;
        work.reserve(groups.saturating_mul(steps))?;
        let mut many_rows = vec![0usize; groups];
        self.many_groups.iter().for_each(|group| many_rows[*group] += 1);
        // Which steps of a group found a partner already.
        let mut matched = vec![false; groups * steps];
        let histograms = schema.index_of(HISTOGRAMS).is_ok();
        let mut out = PointsBuilder::within(work, self.many.num_rows(), steps, histograms)?;
        let mut origins = vec![];
        for (row, group) in self.many_groups.iter().enumerate() {
            let partners = &self.one_rows[*group];
            // A row that is alone in its group cannot meet a partner twice.
            let checked = if many_rows[*group] > 1 || self.fill_many.is_some() { steps } else { 0 };
            for step in 0..checked {
                work.spend(partners.len())?;
                let found = partners.iter().any(|o| self.one_points.present(*o, step)) || self.fill_one.is_some();
                if self.many_points.present(row, step) && found {
                    let slot = &mut matched[group * steps + step];
                    if one_to_one && *slot {
                        return Err(execution(MANY_TO_ONE));
                    }
                    *slot = true;
                }
            }
            for partner in partners {
                work.spend(steps)?;
                self.pair(row, *partner, &mut out)?;
                origins.push(Origin { many: Some(row), one: Some(*partner), group: *group });
                self.account(&mut out)?;
            }
            if let Some(fill) = self.fill_one {
                self.fill_pair(row, partners, fill, &mut out)?;
                origins.push(Origin { many: Some(row), one: None, group: *group });
                self.account(&mut out)?;
            }
        }
        if let Some(fill) = self.fill_many {
            self.fill_many_side(fill, &matched, &mut out, &mut origins)?;
        }
        let batch = self.label(&origins, out, schema)?;
        merge_rows(&batch, schema, steps, work, |a, b| {
            let same_group = origins[a].group == origins[b].group;
            execution(if same_group && !one_to_one { AMBIGUOUS_GROUPING } else { SAME_LABELSET })
        })
    }

    /// Accounts for another row of the result: its points, where it comes from, and its labels.
    fn account(&self, out: &mut PointsBuilder) -> Result<()> {
        self.work.reserve(size_of::<Origin>() + 16 * self.many.num_columns())?;
        out.account(self.work)
    }

    fn combine(&self, many: Sample<'_>, one: Sample<'_>, out: &mut PointsBuilder) -> Result<()> {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let how = Comparison { return_bool: self.op.return_bool, keep_right: false };
        samples::apply(self.op.op, how, left, right, &self.op.sink, out)
    }

    fn pair(&self, row: usize, partner: usize, out: &mut PointsBuilder) -> Result<()> {
        let (many, one) = (&self.many_points, &self.one_points);
        if self.op.op.is_arithmetic() && many.histograms.is_none() && one.histograms.is_none() {
            let (left, right) = if self.swapped { (one, many) } else { (many, one) };
            let (l, r) = if self.swapped { (partner, row) } else { (row, partner) };
            let masks = (left.floats.mask(l), right.floats.mask(r));
            let (left, right) = (left.floats.row(l), right.floats.row(r));
            samples::float_ops(self.op.op, |k| left[k], |k| right[k], masks, self.op.steps, out);
            return Ok(());
        }
        for step in 0..self.op.steps {
            match (self.many_points.get(row, step), self.one_points.get(partner, step)) {
                (Some(many), Some(one)) => self.combine(many, one, out)?,
                _ => out.push_none(),
            }
        }
        Ok(())
    }

    /// The steps of a "many" row at which its group has nothing on the "one" side.
    fn fill_pair(&self, row: usize, partners: &[usize], fill: f64, out: &mut PointsBuilder) -> Result<()> {
        for step in 0..self.op.steps {
            self.work.spend(partners.len())?;
            let alone = !partners.iter().any(|o| self.one_points.present(*o, step));
            match self.many_points.get(row, step).filter(|_| alone) {
                Some(many) => self.combine(many, Sample::Float(fill), out)?,
                None => out.push_none(),
            }
        }
        Ok(())
    }

    /// The steps at which a group has a sample on the "one" side and nothing on the "many" side.
    fn fill_many_side(
        &self,
        fill: f64,
        matched: &[bool],
        out: &mut PointsBuilder,
        origins: &mut Vec<Origin>,
    ) -> Result<()> {
        let steps = self.op.steps;
        for (group, rows) in self.one_rows.iter().enumerate() {
            for row in rows {
                self.work.spend(steps)?;
                for step in 0..steps {
                    match self.one_points.get(*row, step).filter(|_| !matched[group * steps + step]) {
                        Some(one) => self.combine(Sample::Float(fill), one, out)?,
                        None => out.push_none(),
                    }
                }
                origins.push(Origin { many: None, one: Some(*row), group });
                self.account(out)?;
            }
        }
        Ok(())
    }

    /// A group has one sample a step on the "one" side; more are an error where the "many" side is not empty.
    fn check_one_side(&self) -> Result<()> {
        let crowded: Vec<&Vec<usize>> = self.one_rows.iter().filter(|rows| rows.len() > 1).collect();
        if crowded.is_empty() {
            return Ok(());
        }
        for step in 0..self.op.steps {
            let many_present = (0..self.many.num_rows()).any(|r| self.many_points.present(r, step));
            if !many_present && self.fill_many.is_none() {
                continue;
            }
            self.work.spend(self.many.num_rows())?;
            for rows in &crowded {
                self.work.spend(rows.len())?;
                let mut holders = rows.iter().filter(|r| self.one_points.present(**r, step));
                if let (Some(first), Some(second)) = (holders.next(), holders.next()) {
                    return Err(self.duplicate(*first, *second)?);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, first: usize, second: usize) -> Result<DataFusionError> {
        let group = print_labels(self.one, second, |l| self.op.matches_by(l))?;
        let side = if self.swapped { "left" } else { "right" };
        let (a, b) = (print_labels(self.one, second, |_| true)?, print_labels(self.one, first, |_| true)?);
        Ok(execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
        )))
    }

    /// Gives the result rows their labels, after `resultMetric`.
    fn label(&self, origins: &[Origin], out: PointsBuilder, schema: &SchemaRef) -> Result<RecordBatch> {
        let (values, histograms) = out.finish()?;
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            let name = field.name().as_str();
            columns.push(match name {
                VALUES => Arc::clone(&values),
                HISTOGRAMS => histograms.clone().expect("the builder follows the schema"),
                _ => self.label_column(name, origins)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    fn label_column(&self, name: &str, origins: &[Origin]) -> Result<ArrayRef> {
        const NULL: (usize, usize) = (2, 0);
        if name == DROP_NAME {
            // A row made up for a missing "many" side has no name to drop.
            let source = self.many.column_by_name(DROP_NAME).cloned().ok_or_else(|| missing(DROP_NAME))?;
            let rows: Vec<_> = origins.iter().map(|o| o.many.map_or((1, 0), |r| (0, r))).collect();
            return gather(&[source], &DataType::Boolean, &rows);
        }
        debug_assert!(is_label(name));
        let included = self.op.include.iter().any(|l| l == name);
        let by = self.op.matches_by(name);
        let pick = |origin: &Origin| match (origin.many, origin.one) {
            (Some(_), Some(one)) if included => (1, one),
            (Some(_), None) if included && !by => NULL,
            (Some(many), _) => (0, many),
            (None, Some(one)) if included || by => (1, one),
            _ => NULL,
        };
        let rows: Vec<_> = origins.iter().map(pick).collect();
        gather(&[column(self.many, name), column(self.one, name)], &DataType::Utf8View, &rows)
    }
}
