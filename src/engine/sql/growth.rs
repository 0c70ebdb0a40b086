//! What rules write more often than it is written in a statement, and how deep it becomes: both are counted before it is
//! done, so that no statement grows without end below rules that each double what is in their hands.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{Expr, Visit, Visitor};

use super::state::raised;
use super::text::MAX_DEPTH;
use super::text::walk::walk_part;

/// Expressions that all rules together may write once more.
const MAX_COPIED: usize = 100_000;

/// How much a statement grew.
#[derive(Default)]
pub struct Growth {
    made: usize,
}

impl Growth {
    /// Counts a part that is to be written so many times more.
    ///
    /// # Errors
    /// 54001
    pub fn add(&mut self, part: &impl Visit, times: usize) -> Result<()> {
        let mut size = Size { nodes: 0, depth: 0, most: MAX_COPIED };
        let counted = walk_part(part, &mut size);
        self.made = self.made.saturating_add(size.nodes.saturating_mul(times));
        if self.made > MAX_COPIED || counted.is_break() {
            return Err(too_complex("what stands for its comparisons, windows and joins is too long"));
        }
        Ok(())
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.made > 0
    }

    /// Looks at what was written.
    ///
    /// # Errors
    /// 54001 where it is too deep to be looked at again.
    pub fn check(part: &impl Visit) -> Result<()> {
        match walk_part(part, &mut Size { nodes: 0, depth: 0, most: usize::MAX }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(too_complex("what stands for its comparisons of rows is too deep")),
        }
    }
}

fn too_complex(reason: &str) -> DataFusionError {
    raised("54001", format!("statement too complex: {reason}"))
}

struct Size {
    nodes: usize,
    depth: usize,
    most: usize,
}

impl Visitor for Size {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.nodes += 1;
        self.depth += 1;
        match self.nodes > self.most || self.depth > MAX_DEPTH {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn growth_ends() {
        let expr = Parser::new(&PostgreSqlDialect {}).try_with_sql("a + b").unwrap().parse_expr().unwrap();
        let mut growth = Growth::default();
        growth.add(&expr, MAX_COPIED / 3).unwrap();
        assert!(growth.add(&expr, 1).unwrap_err().to_string().contains("too complex"));
        assert!(Growth::default().add(&expr, usize::MAX).is_err());
    }
}
