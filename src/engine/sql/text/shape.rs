//! What a statement may be to be planned: how deep its expressions are, and about how long planning takes.
//!
//! DataFusion's planning goes down expressions and plans without counting, and looks at no flag. Several of its rules
//! print, hash or copy whole subtrees at each node, so that a chain of n costs n². The weight of a statement is the
//! sum over its nodes of how deep they are, which grows as that does, and a relation counts as many. A common table
//! is planned wherever it is named, so that ten of them that each name the one before twice are a thousand.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
};

use super::{Result, TooComplex};

/// Expressions on top of each other, after long chains of `AND` and `OR` were made shallow.
pub const MAX_DEPTH: usize = 600;
/// See the module.
pub const MAX_WEIGHT: usize = 1_000_000;
/// What a relation weighs.
const RELATION: usize = 2_000;

/// Refuses a statement that would take too much stack or time to plan.
pub fn check(statement: &Statement) -> Result<()> {
    let mut shape = Shape { weights: vec![0], ..Shape::default() };
    match statement.visit(&mut shape) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refused) => Err(refused),
    }
}

#[derive(Default)]
struct Shape {
    depth: usize,
    /// Of the queries that are visited, the outermost first.
    weights: Vec<usize>,
    /// What naming a common table costs.
    tables: HashMap<String, usize>,
    /// Queries of common tables that are yet to be visited, by address.
    named: HashMap<usize, String>,
}

impl Shape {
    fn add(&mut self, weight: usize) -> ControlFlow<TooComplex> {
        let Some(top) = self.weights.last_mut() else { return ControlFlow::Continue(()) };
        *top = top.saturating_add(weight);
        if *top > MAX_WEIGHT {
            return ControlFlow::Break(TooComplex::new("it has too many expressions and relations to be planned"));
        }
        ControlFlow::Continue(())
    }

    fn deeper(&mut self) -> ControlFlow<TooComplex> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("an expression in it has more than {MAX_DEPTH} operators on top of each other");
            return ControlFlow::Break(TooComplex::new(message));
        }
        self.add(self.depth)
    }
}

impl Visitor for Shape {
    type Break = TooComplex;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooComplex> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(address(&cte.query), folded(&cte.alias.name));
        }
        self.weights.push(0);
        self.depth += 1;
        // A union of n is planned as one of two of n - 1.
        let branches = branches(&query.body);
        self.add(branches.saturating_mul(branches) * RELATION / 100)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooComplex> {
        self.depth -= 1;
        let weight = self.weights.pop().unwrap_or_default();
        if let Some(name) = self.named.remove(&address(query)) {
            let known = self.tables.entry(name).or_default();
            *known = weight.max(*known);
        }
        self.add(weight)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<TooComplex> {
        // Joins of n are a tree of that depth.
        let relations: usize = select.from.iter().map(|from| 1 + from.joins.len()).sum();
        self.add(relations.saturating_mul(relations) * RELATION / 100)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<TooComplex> {
        let named = match factor {
            TableFactor::Table { name, .. } => single(name).and_then(|ident| self.tables.get(&folded(ident))),
            _ => None,
        };
        let weight = named.copied().unwrap_or_default();
        self.add(RELATION.saturating_add(weight))
    }

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<TooComplex> {
        self.deeper()
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<TooComplex> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
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
