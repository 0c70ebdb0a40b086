//! Walks over a syntax tree, of which there is one for all visitors: sqlparser compiles its own for each type of visitor,
//! which is hundreds of functions each time.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

/// Shows all parts of a statement to a visitor.
pub fn walk(statement: &Statement, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
    statement.visit(&mut Each(visitor))
}

/// The same of a part of one.
pub fn walk_part(part: &impl Visit, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
    part.visit(&mut Each(visitor))
}

/// The same for a visitor that changes them.
pub fn walk_mut(statement: &mut Statement, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()> {
    statement.visit(&mut EachMut(visitor))
}

/// The same for a part of a statement.
pub fn walk_expr_mut(expr: &mut Expr, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()> {
    expr.visit(&mut EachMut(visitor))
}

/// Shows the parts of an expression to what may change them, innermost first, but none of its subqueries'.
pub fn own_parts_mut(expr: &mut Expr, change: &mut dyn FnMut(&mut Expr) -> ControlFlow<()>) -> ControlFlow<()> {
    walk_expr_mut(expr, &mut OwnParts { change, depth: 0 })
}

struct OwnParts<'a> {
    change: &'a mut dyn FnMut(&mut Expr) -> ControlFlow<()>,
    /// How many subqueries it is in.
    depth: usize,
}

impl VisitorMut for OwnParts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 { (self.change)(expr) } else { ControlFlow::Continue(()) }
    }
}

struct Each<'a>(&'a mut dyn Visitor<Break = ()>);

struct EachMut<'a>(&'a mut dyn VisitorMut<Break = ()>);

macro_rules! hand_on {
    ($($method:ident($part:ty)),* $(,)?) => {
        $(fn $method(&mut self, part: $part) -> ControlFlow<()> {
            self.0.$method(part)
        })*
    };
}

impl Visitor for Each<'_> {
    type Break = ();

    hand_on!(
        pre_visit_query(&Query),
        post_visit_query(&Query),
        pre_visit_select(&Select),
        post_visit_select(&Select),
        pre_visit_relation(&ObjectName),
        post_visit_relation(&ObjectName),
        pre_visit_table_factor(&TableFactor),
        post_visit_table_factor(&TableFactor),
        pre_visit_expr(&Expr),
        post_visit_expr(&Expr),
        pre_visit_statement(&Statement),
        post_visit_statement(&Statement),
        pre_visit_value(&ValueWithSpan),
        post_visit_value(&ValueWithSpan),
    );
}

impl VisitorMut for EachMut<'_> {
    type Break = ();

    hand_on!(
        pre_visit_query(&mut Query),
        post_visit_query(&mut Query),
        pre_visit_select(&mut Select),
        post_visit_select(&mut Select),
        pre_visit_relation(&mut ObjectName),
        post_visit_relation(&mut ObjectName),
        pre_visit_table_factor(&mut TableFactor),
        post_visit_table_factor(&mut TableFactor),
        pre_visit_expr(&mut Expr),
        post_visit_expr(&mut Expr),
        pre_visit_statement(&mut Statement),
        post_visit_statement(&mut Statement),
        pre_visit_value(&mut ValueWithSpan),
        post_visit_value(&mut ValueWithSpan),
    );
}
