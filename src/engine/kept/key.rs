//! What queries of one plan have in common, as bytes: their trees with the places of all parts, without what their selectors
//! look for; and which columns were found for each.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::promql::kernel::functions::{Compute, compute};
use crate::engine::promql::lower::resolve::{Leaf, Times};
use crate::engine::scan::{has_histograms, has_start_timestamps};
use crate::promql::ast::{Call, Duration, Expr, Matching, VectorSelector};
use crate::promql::span::Span;
use crate::promql::value_type::ValueType;

/// Selectors of a plan that is kept, and their labels together: it is to stay small.
const MAX_LEAVES: usize = 8;
const MAX_LABELS: usize = 200;

/// Equal for queries of one plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Key {
    /// Of a query whose plan can be moved in time as a whole. That of others cannot: a subquery has its own steps, `@` its
    /// own time, `time()` is a number in the plan, and samples as they are have no functions that could be told.
    pub fn of(
        expr: &Expr,
        times: &Times,
        leaves: &HashMap<Span, Leaf>,
        use_start_timestamps: bool,
    ) -> Option<Self> {
        let columns: usize = leaves.values().map(|leaf| leaf.labels.len()).sum();
        if expr.value_type() == ValueType::Matrix || leaves.len() > MAX_LEAVES || columns > MAX_LABELS {
            return None;
        }
        let mut spelling = Spelling { bytes: Vec::with_capacity(256), leaves: Some(leaves), with_matchers: false };
        spelling.number(times.query.step as u64);
        spelling.number(times.query.steps as u64);
        spelling.number(times.lookback_ms as u64);
        spelling.flag(use_start_timestamps);
        spelling.expr(expr)?;
        Some(Self(spelling.bytes.into()))
    }
}

/// A tree by itself, of which the plan can be kept whichever columns are found for its selectors.
pub fn spelled(expr: &Expr) -> Option<Vec<u8>> {
    let mut spelling = Spelling { bytes: Vec::with_capacity(256), leaves: None, with_matchers: false };
    spelling.expr(expr)?;
    Some(spelling.bytes)
}

/// Each part begins with a letter of its kind, and lists with their length, so that no two trees are spelled alike.
struct Spelling<'a> {
    bytes: Vec<u8>,
    /// `None` for the tree by itself.
    leaves: Option<&'a HashMap<Span, Leaf>>,
    /// What selectors look for is in the plan as well.
    with_matchers: bool,
}

/// Whether a call makes labels of what its selector looks for.
fn is_absence(call: &Call) -> bool {
    matches!(compute(call.function), Compute::Absent | Compute::AbsentOf(_))
}

impl Spelling<'_> {
    fn number(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(u8::from(flag));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn part(&mut self, kind: u8, span: Span) {
        self.bytes.push(kind);
        self.number(span.start as u64);
        self.number(span.end as u64);
    }

    fn fill(&mut self, value: Option<f64>) {
        self.flag(value.is_some());
        self.number(value.unwrap_or_default().to_bits());
    }

    fn duration(&mut self, duration: &Duration) -> Option<()> {
        self.number(duration.literal()? as u64);
        Some(())
    }

    fn expr(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Number { value, duration, span } => {
                self.part(b'n', *span);
                self.number(value.to_bits());
                self.flag(*duration);
            }
            Expr::String { value, span } => {
                self.part(b's', *span);
                self.text(value);
            }
            Expr::Paren { inner, span } => {
                self.part(b'p', *span);
                self.expr(inner)?;
            }
            Expr::Unary { negative, inner, span } => {
                self.part(b'u', *span);
                self.flag(*negative);
                self.expr(inner)?;
            }
            Expr::Binary(binary) => {
                self.part(b'b', binary.span);
                self.part(binary.op as u8, binary.op_span);
                self.flag(binary.return_bool);
                self.matching(binary.matching.as_ref());
                self.expr(&binary.left)?;
                self.expr(&binary.right)?;
            }
            Expr::Aggregate(aggregate) => {
                self.part(b'a', aggregate.span);
                self.bytes.push(aggregate.op as u8);
                self.flag(aggregate.without);
                self.texts(&aggregate.labels);
                self.flag(aggregate.param.is_some());
                aggregate.param.as_ref().map_or(Some(()), |param| self.expr(param))?;
                self.expr(&aggregate.inner)?;
            }
            Expr::Call(call) => {
                if compute(call.function).depends_on_time() || call.function.selects_labels {
                    return None;
                }
                self.part(b'c', call.span);
                self.number(call.function.id as u64);
                self.number(call.args.len() as u64);
                let outside = std::mem::replace(&mut self.with_matchers, is_absence(call));
                let spelled = call.args.iter().try_for_each(|arg| self.expr(arg));
                self.with_matchers = outside;
                spelled?;
            }
            Expr::Vector(selector) => {
                self.part(b'v', selector.span);
                self.selector(selector)?;
                self.leaf(selector.span)?;
            }
            Expr::Matrix(matrix) => {
                self.part(b'm', matrix.span);
                self.duration(&matrix.range)?;
                self.selector(&matrix.selector)?;
                self.leaf(matrix.span)?;
            }
            Expr::Subquery(_) => return None,
        }
        Some(())
    }

    fn matching(&mut self, matching: Option<&Matching>) {
        self.flag(matching.is_some());
        if let Some(matching) = matching {
            self.bytes.push(matching.cardinality as u8);
            self.flag(matching.on);
            self.texts(&matching.labels);
            self.texts(&matching.include);
            self.fill(matching.fill_left);
            self.fill(matching.fill_right);
        }
    }

    fn selector(&mut self, selector: &VectorSelector) -> Option<()> {
        if selector.at.is_some() {
            return None;
        }
        self.duration(&selector.offset)?;
        self.flag(selector.anchored);
        self.flag(selector.smoothed);
        if self.with_matchers {
            self.number(selector.matchers.len() as u64);
            for matcher in &selector.matchers {
                self.text(&matcher.name);
                self.bytes.push(matcher.op as u8);
                self.text(&matcher.value);
            }
        }
        Some(())
    }

    fn leaf(&mut self, span: Span) -> Option<()> {
        let Some(leaves) = self.leaves else { return Some(()) };
        let leaf = leaves.get(&span)?;
        self.texts(&leaf.labels);
        self.flag(has_histograms(&leaf.snapshot));
        self.flag(has_start_timestamps(&leaf.snapshot));
        self.flag(leaf.unique_unnamed);
        Some(())
    }
}
