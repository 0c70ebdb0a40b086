//! What a statement may be to be planned: how deep its expressions are, and about how long planning takes.
//!
//! DataFusion's planning goes down expressions and plans without counting, and looks at no flag. Several of its rules
//! print, hash or copy whole subtrees at each node, so that a chain of n costs n². The weight of a statement is the
//! sum over its nodes of how deep they are, which grows as that does, and a relation counts as many. A common table
//! is planned wherever it is named, so that ten of them that each name the one before twice are a thousand.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visitor,
};

use super::walk::walk;
use super::{Result, TooComplex};

/// Expressions on top of each other, after long chains of `AND` and `OR` were made shallow.
pub const MAX_DEPTH: usize = 600;
/// See the module. A chain of 600 weighs a third of it and takes a second.
const MAX_WEIGHT: usize = 600_000;

// What is planned in more than linear time, by the largest numbers that take a few seconds.
const RELATION: usize = 1_000;
const PAIR_OF_JOINED: usize = 20;
const PAIR_OF_UNITED: usize = 2;
const PAIR_OF_SUBQUERIES: usize = 40;
/// Of grouping expressions with columns.
const PAIR_OF_GROUPED: usize = 1;
const PAIRS_OF_COLUMNS: usize = 16;

/// Refuses a statement that would take too much stack or time to plan.
pub fn check(statement: &Statement) -> Result<()> {
    let mut shape = Shape { queries: vec![Weight::default()], ..Shape::default() };
    match walk(statement, &mut shape) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(shape.refused.expect("it is why the walk ended")),
    }
}

#[derive(Default)]
struct Shape {
    depth: usize,
    /// Of the queries that are visited, the outermost first.
    queries: Vec<Weight>,
    /// What naming a common table costs.
    tables: HashMap<String, usize>,
    /// Queries of common tables that are yet to be visited, by address.
    named: HashMap<usize, String>,
    /// Queries within expressions.
    subqueries: usize,
    refused: Option<TooComplex>,
}

#[derive(Clone, Copy, Default)]
struct Weight {
    /// As it is written.
    own: usize,
    /// With common tables in place of their names.
    expanded: usize,
}

impl Shape {
    /// Ends the walk.
    fn refuse(&mut self, why: impl Into<Box<str>>) -> ControlFlow<()> {
        self.refused = Some(TooComplex::new(why));
        ControlFlow::Break(())
    }

    fn add(&mut self, weight: usize) -> ControlFlow<()> {
        self.add_both(Weight { own: weight, expanded: weight })
    }

    fn add_both(&mut self, weight: Weight) -> ControlFlow<()> {
        let Some(top) = self.queries.last_mut() else { return ControlFlow::Continue(()) };
        top.own = top.own.saturating_add(weight.own);
        top.expanded = top.expanded.saturating_add(weight.expanded);
        if top.expanded > MAX_WEIGHT {
            return self.refuse("it has too many expressions and relations to be planned");
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Shape {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(address(&cte.query), folded(&cte.alias.name));
        }
        self.queries.push(Weight::default());
        // A union of n is planned as one of two, of which one is a union of n - 1.
        self.add(square(branches(&query.body)).saturating_mul(PAIR_OF_UNITED))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut weight = self.queries.pop().unwrap_or_default();
        if let Some(name) = self.named.remove(&address(query)) {
            let known = self.tables.entry(name).or_default();
            *known = weight.expanded.max(*known);
            // The rest counts where it is named.
            weight.expanded = weight.own;
        }
        self.add_both(weight)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        // Joins of n are a tree of that depth.
        let joined: usize = select.from.iter().map(|from| 1 + from.joins.len()).sum();
        let columns = select.projection.len();
        let grouped = match &select.group_by {
            GroupByExpr::Expressions(grouped, _) => grouped.len(),
            GroupByExpr::All(_) => columns,
        };
        let pairs = [
            square(joined).saturating_mul(PAIR_OF_JOINED),
            grouped.saturating_mul(grouped + columns).saturating_mul(PAIR_OF_GROUPED) / 2,
            grouping_sets(&select.group_by),
            square(columns) / PAIRS_OF_COLUMNS,
        ];
        self.add(pairs.into_iter().fold(0, usize::saturating_add))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let named = match factor {
            TableFactor::Table { name, .. } => single(name).and_then(|ident| self.tables.get(&folded(ident))),
            _ => None,
        };
        let expanded = RELATION.saturating_add(named.copied().unwrap_or_default());
        self.add_both(Weight { own: RELATION, expanded })
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self
                .refuse(format!("an expression in it has more than {MAX_DEPTH} operators on top of each other"));
        }
        if matches!(expr, Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. }) {
            // Each becomes a join with all that the ones before it became.
            self.add((2 * self.subqueries + 1).saturating_mul(PAIR_OF_SUBQUERIES))?;
            self.subqueries += 1;
        }
        self.add(self.depth)
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Expressions in all grouping sets of a query: each `CUBE` has two to the power of its own, and several multiply.
fn grouping_sets(group_by: &GroupByExpr) -> usize {
    let GroupByExpr::Expressions(grouped, _) = group_by else { return 0 };
    let sets = |expr: &Expr| match expr {
        Expr::Cube(of) => 1usize.checked_shl(of.len().min(64) as u32).unwrap_or(usize::MAX),
        Expr::Rollup(of) => of.len() + 1,
        Expr::GroupingSets(of) => of.len(),
        _ => 1,
    };
    let width = |expr: &Expr| match expr {
        Expr::Cube(of) | Expr::Rollup(of) | Expr::GroupingSets(of) => of.iter().map(Vec::len).sum(),
        _ => 1,
    };
    match grouped.iter().map(sets).fold(1, usize::saturating_mul) {
        1 => 0,
        sets => sets.saturating_mul(grouped.iter().map(width).sum::<usize>().max(1)),
    }
}

fn square(n: usize) -> usize {
    n.saturating_mul(n)
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    ident.value.to_lowercase()
}

/// How many queries a set operation combines.
fn branches(body: &SetExpr) -> usize {
    let (mut open, mut count) = (vec![body], 0);
    while let Some(next) = open.pop() {
        match next {
            SetExpr::SetOperation { left, right, .. } => open.extend([&**left, &**right]),
            _ => count += 1,
        }
    }
    count
}
