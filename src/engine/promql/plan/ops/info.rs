//! `info`: adds data labels of info series to the series with the same `job` and `instance`. After Prometheus'
//! `promql/info.go`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use super::series::{KeyIds, column, gather, members, print_labels};
use super::unique::{SAME_LABELSET, execution, merge_rows};
use crate::engine::promql::plan::layout::{
    DROP_NAME, HISTOGRAMS, Points, PointsBuilder, Sample, VALUES, label, missing, strings,
};
use crate::engine::promql::plan::work::Work;
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::{MatchOp, Matcher};

/// What tells series and their info series apart from others.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// A matcher of names; compared and hashed by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Matcher);

impl NamePattern {
    pub fn new(matcher: &Matcher) -> Self {
        Self(matcher.clone())
    }
}

impl Hash for NamePattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_string().hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InfoJoin {
    pub steps: usize,
    /// The names of info metrics; series that have such a name are left as they are.
    pub names: Vec<NamePattern>,
    /// The data labels asked for; all where empty.
    pub wanted: Vec<String>,
    /// A series without info series stays, because the matchers accept missing labels.
    pub optional: bool,
}

impl fmt::Display for InfoJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names.iter().map(|n| n.0.to_string()).collect();
        write!(f, "{{{}}} labels [{}]", names.join(", "), self.wanted.join(", "))
    }
}

impl InfoJoin {
    /// Whether a label of an info series is one that may be added.
    pub fn is_data(&self, label: &str) -> bool {
        label != METRIC_NAME
            && !IDENTIFYING.contains(&label)
            && (self.wanted.is_empty() || self.wanted.iter().any(|w| w == label))
    }

    pub fn evaluate(
        &self,
        base: &RecordBatch,
        info: &RecordBatch,
        schema: &SchemaRef,
        work: &Work,
    ) -> Result<RecordBatch> {
        let keys = KeyIds::new(&[base, info], &IDENTIFYING.map(String::from), work)?;
        let by_group = members(&keys.ids[1], keys.count, work)?;
        let (points, present) = (Points::of(base)?, Points::of(info)?);
        let names = column(base, METRIC_NAME);
        let names = strings(&names)?;
        let info_names = column(info, METRIC_NAME);
        let info_names = strings(&info_names)?;
        let histograms = schema.index_of(HISTOGRAMS).is_ok();
        let mut out = PointsBuilder::within(work, base.num_rows(), self.steps, histograms)?;
        // Result rows: the base row, and the info rows whose labels it gets.
        let mut rows: Vec<(usize, Vec<usize>)> = vec![];
        let row_bytes = self.steps.saturating_mul(size_of::<Option<Sample<'_>>>());
        for (row, group) in keys.ids[0].iter().enumerate() {
            let is_info = self.is_info(label(names, row));
            let mut variants: HashMap<Vec<usize>, Vec<Option<Sample<'_>>>> = HashMap::new();
            for step in 0..self.steps {
                work.spend(1 + by_group[*group].len())?;
                let Some(sample) = points.get(row, step) else { continue };
                let mut partners = vec![];
                if !is_info {
                    partners = self.newest(info, info_names, &present, &by_group[*group], step)?;
                    if partners.is_empty() && !self.optional {
                        continue;
                    }
                }
                self.check(info, &partners, |name| base.column_by_name(name).is_some_and(|c| c.is_valid(row)))?;
                let samples = match variants.entry(partners) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        work.reserve(row_bytes)?;
                        work.reserve((new.key().len() + schema.fields().len()) * 16)?;
                        new.insert(vec![None; self.steps])
                    }
                };
                samples[step] = Some(sample);
            }
            for (partners, samples) in variants {
                samples.into_iter().for_each(|sample| out.push(sample));
                work.release(row_bytes);
                rows.push((row, partners));
                out.account(work)?;
            }
        }
        let batch = self.label(base, info, &rows, out, schema)?;
        merge_rows(&batch, schema, self.steps, work, |_, _| execution(SAME_LABELSET))
    }

    /// Whether a series is itself selected as an info series by name; excluding names selects none.
    fn is_info(&self, name: &str) -> bool {
        let selects = |n: &NamePattern| matches!(n.0.op, MatchOp::Equal | MatchOp::Regex);
        self.names.iter().any(selects) && self.names.iter().all(|n| n.0.matches(name))
    }

    /// Of the info series of a group that have a sample at a step, the one with the newest sample of each name.
    /// The values of info series are the times of their samples.
    fn newest(
        &self,
        info: &RecordBatch,
        names: &StringViewArray,
        times: &Points<'_>,
        group: &[usize],
        step: usize,
    ) -> Result<Vec<usize>> {
        let mut found: Vec<(usize, f64)> = vec![];
        for row in group {
            let time = match times.get(*row, step) {
                Some(Sample::Float(time)) => time,
                Some(Sample::Histogram(_)) => return Err(execution("info sample should be float")),
                None => continue,
            };
            let same_name = |(other, _): &&mut (usize, f64)| label(names, *other) == label(names, *row);
            match found.iter_mut().find(same_name) {
                None => found.push((*row, time)),
                Some(slot) if slot.1 < time => *slot = (*row, time),
                Some(slot) if slot.1 == time => {
                    let print = |row| print_labels(info, row, |_| true);
                    let (a, b, at) = (print(slot.0)?, print(*row)?, (time * 1000.0).round());
                    let message =
                        format!("found duplicate series for info metric: existing {a} @ {at}, new {b} @ {at}");
                    return Err(execution(message));
                }
                Some(_) => {}
            }
        }
        Ok(found.into_iter().map(|(row, _)| row).collect())
    }

    /// Two values for a label have no meaning, unless the series has the label itself.
    fn check(&self, info: &RecordBatch, partners: &[usize], has: impl Fn(&str) -> bool) -> Result<()> {
        if partners.len() < 2 {
            return Ok(());
        }
        for field in info.schema_ref().fields().iter().filter(|f| *f.data_type() == DataType::Utf8View) {
            if !self.is_data(field.name()) || has(field.name()) {
                continue;
            }
            let array = column(info, field.name());
            let values = strings(&array)?;
            let mut set = partners.iter().map(|p| label(values, *p)).filter(|v| !v.is_empty());
            if let Some(first) = set.next()
                && set.any(|other| other != first)
            {
                return Err(execution(format!("conflicting label: {}", field.name())));
            }
        }
        Ok(())
    }

    fn label(
        &self,
        base: &RecordBatch,
        info: &RecordBatch,
        rows: &[(usize, Vec<usize>)],
        out: PointsBuilder,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let (values, histograms) = out.finish()?;
        let base_rows: Vec<(usize, usize)> = rows.iter().map(|(row, _)| (0, *row)).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for field in schema.fields() {
            let name = field.name().as_str();
            columns.push(match name {
                VALUES => Arc::clone(&values),
                HISTOGRAMS => histograms.clone().ok_or_else(|| missing(HISTOGRAMS))?,
                DROP_NAME => {
                    let drop = base.column_by_name(DROP_NAME).ok_or_else(|| missing(DROP_NAME))?;
                    gather(&[Arc::clone(drop)], &DataType::Boolean, &base_rows)?
                }
                _ => self.label_column(name, base, info, rows)?,
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    /// A label of the series itself wins over one of its info series.
    fn label_column(
        &self,
        name: &str,
        base: &RecordBatch,
        info: &RecordBatch,
        rows: &[(usize, Vec<usize>)],
    ) -> Result<ArrayRef> {
        const NULL: (usize, usize) = (2, 0);
        let (own, added) = (column(base, name), column(info, name));
        let (own_values, added_values) = (strings(&own)?, strings(&added)?);
        let pick = |(row, partners): &(usize, Vec<usize>)| {
            if !label(own_values, *row).is_empty() || !self.is_data(name) {
                return (0, *row);
            }
            let partner = partners.iter().find(|p| !label(added_values, **p).is_empty());
            partner.map_or(NULL, |p| (1, *p))
        };
        let picked: Vec<(usize, usize)> = rows.iter().map(pick).collect();
        gather(&[Arc::clone(&own), Arc::clone(&added)], &DataType::Utf8View, &picked)
    }
}
