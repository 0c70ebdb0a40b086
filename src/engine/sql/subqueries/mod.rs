//! Subqueries that DataFusion has no plan for, or a wrong one: in a SELECT list, an ORDER BY, an aggregate; those that refer
//! to the rows around them by more than equality, or are limited; `NOT IN` of such; and LATERAL. They become joins
//! before anything else looks at the plan.

/// A subquery for all rows around it at once.
mod domain;
/// Where subqueries stand, and what stands for them.
mod flatten;

pub use flatten::flatten;
