//! The shape of an expression, as far as it decides what Prometheus holds at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Place;
use super::steps::BySteps;
use crate::engine::promql::kernel::functions::{Compute, compute};
use crate::engine::promql::lower::is_step_invariant;
use crate::engine::promql::lower::resolve::Times;
use crate::engine::promql::plan::layout::Grid;
use crate::promql::ast::{Call, Expr, Subquery};
use crate::promql::operators::AggregateOp;
use crate::promql::span::Span;
use crate::promql::value_type::ValueType;

#[derive(Debug)]
pub(super) enum Node {
    /// A text, which is no sample.
    Nothing,
    /// An instant selector, or a range vector that is the result.
    Selector(Arc<Place>),
    /// A function of a range vector: one window at a time, beside what a subquery made and the parameters.
    Windows { place: Arc<Place>, subquery: Option<Box<Shifted>>, parameters: Vec<Node> },
    /// Evaluated step by step from all of its operands.
    Steps { steps: usize, operands: Vec<Node>, points: Points },
    /// Holds no more than its operands while it runs, and then its result, which is not counted.
    Aggregate(Vec<Node>),
    /// A subquery that is the result.
    Whole(Box<Shifted>),
    /// Evaluated once, and repeated for every step.
    Once { steps: usize, inner: Box<Node> },
}

/// How many points a node has that is evaluated step by step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Points {
    /// As many as the operand of this number.
    Of(usize),
    /// One for each step.
    EachStep,
    Unknown,
}

/// The inner expression of a subquery, and the steps of the outer one that use its own.
#[derive(Debug)]
pub(super) struct Shifted {
    inner: Node,
    grid: Grid,
    outer: Grid,
    offset_ms: i64,
    range_ms: i64,
}

/// What a node adds to what is held: to the end, as its result, and the floats of it. A histogram counts by its
/// size, and what a function makes of it is not known, so what follows from operands is told by floats alone.
#[derive(Clone, Copy, Default)]
struct Held {
    kept: u64,
    points: u64,
    floats: u64,
}

impl Held {
    /// A result that stays.
    fn floats(count: u64) -> Self {
        Self { kept: count, points: count, floats: count }
    }

    fn and(self, other: Held) -> Self {
        let (kept, points) = (self.kept + other.kept, self.points + other.points);
        Self { kept, points, floats: self.floats + other.floats }
    }
}

pub(super) type Places = HashMap<Span, Arc<Place>>;

/// The node of an expression that is evaluated on `grid`; its places are added to `places`.
pub(super) fn build(times: &Times, grid: Grid, expr: &Expr, detailed: bool, places: &mut Places) -> Node {
    Builder { times, detailed, places }.node(grid, expr)
}

struct Builder<'a> {
    times: &'a Times,
    /// Samples are counted by step.
    detailed: bool,
    places: &'a mut Places,
}

impl Builder<'_> {
    fn place(&mut self, span: Span, steps: usize) -> Arc<Place> {
        let place = Arc::new(Place::new(if self.detailed { steps } else { 0 }));
        self.places.insert(span, Arc::clone(&place));
        place
    }

    fn node(&mut self, grid: Grid, expr: &Expr) -> Node {
        let steps = grid.steps;
        if steps > 1 && is_step_invariant(expr) && !expr.is_literal() {
            return Node::Once { steps, inner: Box::new(self.node(grid.first(), expr)) };
        }
        match expr {
            Expr::String { .. } => Node::Nothing,
            Expr::Number { .. } => Node::Steps { steps, operands: vec![], points: Points::EachStep },
            Expr::Paren { inner, .. } | Expr::Unary { inner, .. } => self.node(grid, inner),
            Expr::Binary(binary) => {
                let scalars = [&binary.left, &binary.right].map(|e| e.value_type() == ValueType::Scalar);
                let points = match scalars {
                    [true, true] => Points::EachStep,
                    [false, true] if !binary.op.is_comparison() => Points::Of(0),
                    [true, false] if !binary.op.is_comparison() => Points::Of(1),
                    _ => Points::Unknown,
                };
                let operands = vec![self.node(grid, &binary.left), self.node(grid, &binary.right)];
                Node::Steps { steps, operands, points }
            }
            Expr::Aggregate(aggregate) => {
                let parameter = aggregate.param.as_ref().map(|p| self.node(grid, p));
                let inner = self.node(grid, &aggregate.inner);
                match aggregate.op {
                    AggregateOp::CountValues => {
                        Node::Steps { steps, operands: vec![inner], points: Points::Unknown }
                    }
                    _ => Node::Aggregate(parameter.into_iter().chain([inner]).collect()),
                }
            }
            Expr::Call(call) => self.call(grid, call),
            Expr::Vector(selector) => Node::Selector(self.place(selector.span, steps)),
            Expr::Matrix(matrix) => Node::Selector(self.place(matrix.span, steps)),
            Expr::Subquery(subquery) => {
                // Its points are those of what is inside; nothing counts here.
                self.place(subquery.span, steps);
                Node::Whole(Box::new(self.shifted(grid, subquery)))
            }
        }
    }

    fn shifted(&mut self, outer: Grid, subquery: &Subquery) -> Shifted {
        let grid = self.times.inner_grid(outer, subquery);
        let evaluated = if grid.steps == 0 { grid.first() } else { grid };
        let inner = self.node(evaluated, &subquery.inner);
        let (offset_ms, range_ms) = (subquery.offset.millis(), subquery.range.millis());
        Shifted { inner, grid, outer, offset_ms, range_ms }
    }

    fn call(&mut self, grid: Grid, call: &Call) -> Node {
        let steps = grid.steps;
        if let Some(at) = call.args.iter().position(Expr::is_range) {
            let others = call.args.iter().enumerate().filter(|(i, _)| *i != at);
            let (span, subquery) = match call.args[at].without_parens() {
                Expr::Subquery(subquery) => (subquery.span, Some(Box::new(self.shifted(grid, subquery)))),
                other => (other.span(), None),
            };
            let parameters = others.map(|(_, arg)| self.node(grid, arg)).collect();
            return Node::Windows { place: self.place(span, steps), subquery, parameters };
        }
        // The time of a sample takes the place of the sample.
        if let (Compute::Timestamp | Compute::StartTimestamp, Some(Expr::Vector(selector))) =
            (compute(call.function), call.args.first().map(Expr::without_parens))
        {
            return Node::Selector(self.place(selector.span, steps));
        }
        let mut operands: Vec<Node> = call.args.iter().map(|arg| self.node(grid, arg)).collect();
        let vector = call.args.iter().position(|a| a.value_type() == ValueType::Vector);
        match compute(call.function) {
            // They work on whole series, not step by step.
            Compute::LabelReplace | Compute::LabelJoin => operands.swap_remove(0),
            Compute::Info => {
                operands.truncate(1);
                operands.push(Node::Selector(self.place(call.span, steps)));
                Node::Steps { steps, operands, points: Points::Unknown }
            }
            Compute::Absent
            | Compute::HistogramQuantile
            | Compute::HistogramQuantiles
            | Compute::HistogramFraction => Node::Steps { steps, operands, points: Points::Unknown },
            _ => {
                let points = match vector {
                    _ if call.function.returns == ValueType::Scalar => Points::EachStep,
                    Some(at) => Points::Of(at),
                    None => Points::EachStep,
                };
                Node::Steps { steps, operands, points }
            }
        }
    }
}

impl Node {
    /// The most samples held at a time so far.
    pub(super) fn peak(&self) -> u64 {
        let mut peak = 0;
        self.hold(0, &mut peak);
        peak
    }

    /// Evaluates the node while `before` samples are held.
    fn hold(&self, before: u64, peak: &mut u64) -> Held {
        match self {
            Node::Nothing => Held::default(),
            Node::Selector(place) => {
                let held = place.held();
                *peak = (*peak).max(before + held.points);
                held
            }
            Node::Windows { place, subquery, parameters } => {
                let inner = subquery.as_ref().map_or(0, |s| s.inner.hold(before, peak).kept);
                let parameters = hold_all(parameters, before + inner, peak).kept;
                let held = place.held();
                let here = place.peak.load(Ordering::Relaxed).max(held.points);
                *peak = (*peak).max(before + inner + parameters + here);
                // Prometheus lets go of the subquery's result but not of the parameters.
                Held { kept: parameters + held.points, ..held }
            }
            Node::Steps { steps, operands, points } => {
                let mut held = Held::default();
                let mut by_operand = Vec::with_capacity(operands.len());
                for operand in operands {
                    let added = operand.hold(before + held.kept, peak);
                    by_operand.push(added.floats);
                    held = held.and(added);
                }
                let points = match points {
                    Points::Of(operand) => by_operand[*operand],
                    Points::EachStep => *steps as u64,
                    Points::Unknown => 0,
                };
                // The vectors of the step at hand are held besides; how many there are is known if it is the only one.
                let gathered = if *steps == 1 { held.floats } else { 0 };
                *peak = (*peak).max(before + held.kept + gathered + points);
                Held::floats(points)
            }
            Node::Aggregate(operands) => {
                hold_all(operands, before, peak);
                Held::default()
            }
            Node::Whole(subquery) => subquery.inner.hold(before, peak),
            Node::Once { steps, inner } => {
                let once = inner.hold(before, peak);
                let steps = *steps as u64;
                let kept = once.kept + once.points * (steps - 1);
                *peak = (*peak).max(before + kept);
                Held { kept, points: once.points * steps, floats: once.floats * steps }
            }
        }
    }

    /// Samples by step of the grid the node is evaluated on.
    pub(super) fn by_step(&self) -> BySteps {
        match self {
            Node::Nothing => BySteps::default(),
            Node::Selector(place) => place.by_step.lock().expect("no panic while the lock is held").clone(),
            Node::Windows { place, subquery, parameters } => {
                let mut sum = place.by_step.lock().expect("no panic while the lock is held").clone();
                if let Some(subquery) = subquery {
                    // Its points were counted as the samples of windows; read was what they are made of.
                    sum.read = subquery.read(subquery.range_ms);
                }
                parameters.iter().for_each(|p| sum.add(&p.by_step()));
                sum
            }
            Node::Steps { steps, operands, .. } => {
                let mut sum = BySteps::new(*steps);
                operands.iter().for_each(|o| sum.add(&o.by_step()));
                sum
            }
            Node::Aggregate(operands) => {
                let all: Vec<BySteps> = operands.iter().map(Node::by_step).collect();
                let mut sum = BySteps::new(all.iter().map(|s| s.read.len()).max().unwrap_or(0));
                all.iter().for_each(|s| sum.add(s));
                sum
            }
            Node::Whole(subquery) => {
                let queryable = subquery.inner.by_step().queryable.iter().sum();
                BySteps { queryable: vec![queryable], read: subquery.read(0) }
            }
            Node::Once { steps, inner } => {
                let once = inner.by_step();
                let queryable = once.queryable.first().copied().unwrap_or(0);
                let mut sum = BySteps { queryable: vec![queryable; *steps], read: vec![0; *steps] };
                sum.read[0] = once.read.iter().sum();
                sum
            }
        }
    }
}

fn hold_all(nodes: &[Node], before: u64, peak: &mut u64) -> Held {
    nodes.iter().fold(Held::default(), |sum, node| sum.and(node.hold(before + sum.kept, peak)))
}

impl Place {
    fn held(&self) -> Held {
        let points = self.points.load(Ordering::Relaxed);
        Held { kept: points, points, floats: self.floats.load(Ordering::Relaxed) }
    }
}

impl Shifted {
    /// What the inner steps read, by the first outer step that has them in its window; those in a gap between two
    /// windows are left out where `range_ms` is not 0.
    fn read(&self, range_ms: i64) -> Vec<u64> {
        let inner = self.inner.by_step().read;
        let Grid { start, step, steps } = self.outer;
        if steps <= 1 {
            return vec![inner.iter().sum()];
        }
        let mut read = vec![0; steps];
        for (k, samples) in inner.iter().enumerate() {
            let time = self.grid.at(k).saturating_add(if range_ms > 0 { self.offset_ms } else { 0 });
            let late = time.saturating_sub(start).max(0);
            let outer = usize::try_from(late.div_euclid(step) + i64::from(late % step > 0)).unwrap_or(steps);
            let outer = outer.min(steps - 1);
            if range_ms == 0 || time > self.outer.at(outer).saturating_sub(range_ms) {
                read[outer] += samples;
            }
        }
        read
    }
}
