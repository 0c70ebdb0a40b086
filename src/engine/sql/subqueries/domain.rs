//! A subquery that refers to columns around it, computed at once for all values that these have, after Neumann and Kemper,
//! "Unnesting Arbitrary Queries" (BTW 2015): its leaves are joined with the distinct values, the domain, and every operator
//! above keeps the columns of it. The optimizer makes hash joins of it where a filter compares the two.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, EmptyRelation, Expr, ExprFunctionExt, FetchType, Join, JoinConstraint, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, SkipType, SortExpr, lit,
};
use datafusion::prelude::coalesce;

const ROW: &str = "?row?";

/// The columns around a plan that it refers to.
pub fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = vec![];
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr
                    && !found.contains(column)
                {
                    found.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The columns of a plan, as expressions.
pub fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// The distinct values of some columns.
pub struct Domain {
    rows: LogicalPlan,
    /// Columns around the subquery, and those of the domain.
    pairs: Vec<(Column, Column)>,
}

impl Domain {
    /// Of those that a plan around a subquery has; others are of what is further around, and left to it. Two domains of one
    /// statement have two numbers.
    ///
    /// # Errors
    /// Of building a plan.
    pub fn of(around: &LogicalPlan, mut outer: Vec<Column>, number: usize) -> Result<Self> {
        outer.retain(|column| around.schema().has_column(column));
        if outer.is_empty() {
            return Ok(Self { rows: LogicalPlanBuilder::empty(true).build()?, pairs: vec![] });
        }
        let name = |i: usize| Column::from_name(format!("?outer {number}.{i}?"));
        let pairs: Vec<_> = outer.into_iter().enumerate().map(|(i, column)| (column, name(i))).collect();
        let values = pairs.iter().map(|(outer, inner)| Expr::Column(outer.clone()).alias(&inner.name));
        let rows = LogicalPlanBuilder::from(around.clone()).project(values.collect::<Vec<_>>())?.distinct()?;
        Ok(Self { rows: rows.build()?, pairs })
    }

    /// Whether a plan refers to columns of it.
    fn is_in(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(outer_columns(plan)?.iter().any(|column| self.pairs.iter().any(|(outer, _)| outer == column)))
    }

    /// Its columns.
    pub fn columns(&self) -> impl Iterator<Item = Expr> {
        self.pairs.iter().map(|(_, inner)| Expr::Column(inner.clone()))
    }

    /// Rows of a plan, each beside those of the subquery that were computed for it.
    ///
    /// # Errors
    /// Of building a plan.
    pub fn join(
        &self,
        around: LogicalPlan,
        rows: LogicalPlan,
        kind: JoinType,
        on: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let pairs = self.pairs.iter().map(|(outer, inner)| (outer.clone(), inner.clone()));
        joined(around, rows, kind, pairs, on)
    }

    /// An expression of the subquery among the columns of the domain.
    fn within(&self, expr: Expr) -> Result<Expr> {
        let put = |expr: Expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => {
                let pair = self.pairs.iter().find(|(outer, _)| outer == column);
                Ok(pair.map_or_else(
                    || Transformed::no(expr.clone()),
                    |(_, inner)| Transformed::yes(inner.clone().into()),
                ))
            }
            _ => Ok(Transformed::no(expr)),
        };
        Ok(expr.transform_up(put)?.data)
    }

    /// The same of an expression that has a name.
    fn named(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        exprs.iter().map(|expr| Ok(names.save(expr).restore(self.within(expr.clone())?))).collect()
    }

    /// The rows of a subquery for each row of the domain, beside that row; `None` where there is no way.
    ///
    /// # Errors
    /// Of building a plan.
    pub fn rows_of(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if let LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }) = plan {
            return Ok(Some(self.rows.clone()));
        }
        if !self.is_in(plan)? {
            let rows = LogicalPlanBuilder::from(plan.clone());
            return Ok(Some(
                if self.pairs.is_empty() { rows } else { rows.cross_join(self.rows.clone())? }.build()?,
            ));
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let Some(input) = self.rows_of(&filter.input)? else { return Ok(None) };
                let predicate = self.within(filter.predicate.clone())?;
                Ok(Some(LogicalPlanBuilder::from(input).filter(predicate)?.build()?))
            }
            LogicalPlan::Projection(projection) => {
                let Some(input) = self.rows_of(&projection.input)? else { return Ok(None) };
                let mut exprs = self.named(&projection.expr)?;
                exprs.extend(self.columns());
                Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Some(input) = self.rows_of(&alias.input)? else { return Ok(None) };
                let of_alias = alias.input.schema().columns().into_iter().map(|column| {
                    let name = column.name.clone();
                    Expr::Column(column).alias_qualified(Some(alias.alias.clone()), name)
                });
                let exprs = of_alias.chain(self.columns()).collect();
                Ok(Some(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(input) = self.rows_of(input)? else { return Ok(None) };
                Ok(Some(LogicalPlanBuilder::from(input).distinct()?.build()?))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Sort(sort) => match sort.fetch {
                // Rows of a join have no order.
                None => self.rows_of(&sort.input),
                fetch => self.first(&sort.input, &sort.expr, 0, fetch),
            },
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => {
                let Some(input) = self.rows_of(&window.input)? else { return Ok(None) };
                let mut exprs = self.named(&window.window_expr)?;
                exprs.iter_mut().for_each(|expr| self.partition(expr));
                Ok(Some(LogicalPlanBuilder::from(input).window(exprs)?.build()?))
            }
            LogicalPlan::Join(join) => self.of_join(join),
            _ => Ok(None),
        }
    }

    fn partition(&self, expr: &mut Expr) {
        match expr {
            Expr::Alias(alias) => self.partition(&mut alias.expr),
            Expr::WindowFunction(call) => call.params.partition_by.extend(self.columns()),
            _ => {}
        }
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Ok(None);
        }
        let Some(input) = self.rows_of(&aggregate.input)? else { return Ok(None) };
        let mut groups = self.named(&aggregate.group_expr)?;
        groups.extend(self.columns());
        let found = Aggregate::try_new(Arc::new(input), groups, self.named(&aggregate.aggr_expr)?)?;
        let found = LogicalPlan::Aggregate(found);
        if !aggregate.group_expr.is_empty() || self.pairs.is_empty() {
            return Ok(Some(found));
        }
        // Without groups there is a row of nothing as well.
        let name = |inner: &Column| Column::from_name(format!("{}?", inner.name));
        let mut exprs: Vec<Expr> = aggregate.schema.columns().into_iter().map(Expr::Column).collect();
        exprs.extend(self.pairs.iter().map(|(_, inner)| Expr::Column(inner.clone()).alias(name(inner).name)));
        let found = LogicalPlanBuilder::from(found).project(exprs)?.build()?;
        let pairs = self.pairs.iter().map(|(_, inner)| (inner.clone(), name(inner)));
        let all = joined(self.rows.clone(), found, JoinType::Left, pairs, None)?;
        let results = aggregate.schema.columns().into_iter().zip(&aggregate.aggr_expr).map(|(column, expr)| {
            let (relation, name) = (column.relation.clone(), column.name.clone());
            match is_count(expr) {
                true => coalesce(vec![Expr::Column(column), lit(0_i64)]).alias_qualified(relation, name),
                false => Expr::Column(column),
            }
        });
        let results: Vec<Expr> = results.chain(self.columns()).collect();
        Ok(Some(LogicalPlanBuilder::from(all).project(results)?.build()?))
    }

    fn limit(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(None);
        };
        match limit.input.as_ref() {
            // Which rows there are is not up to these.
            above @ (LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_)) => {
                let [input] = above.inputs()[..] else { return Ok(None) };
                let below = Limit { input: Arc::new(input.clone()), ..limit.clone() };
                self.rows_of(&above.with_new_exprs(above.expressions(), vec![LogicalPlan::Limit(below)])?)
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.first(&sort.input, &sort.expr, skip, fetch),
            input => self.first(input, &[], skip, fetch),
        }
    }

    /// The first rows of each.
    fn first(
        &self,
        input: &LogicalPlan,
        by: &[SortExpr],
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<Option<LogicalPlan>> {
        let Some(rows) = self.rows_of(input)? else { return Ok(None) };
        let kept = columns(&rows);
        let by = by.iter().map(|key| {
            Ok(SortExpr { expr: self.within(key.expr.clone())?, asc: key.asc, nulls_first: key.nulls_first })
        });
        let by = by.collect::<Result<Vec<_>>>()?;
        let number = row_number().partition_by(self.columns().collect());
        // An order by nothing would be one by a range of it.
        let number = if by.is_empty() { number.build()? } else { number.order_by(by).build()? };
        let number = number.alias(ROW);
        let number_of = || Expr::Column(Column::from_name(ROW));
        let mut wanted = number_of().gt(lit(skip as u64));
        if let Some(fetch) = fetch {
            wanted = wanted.and(number_of().lt_eq(lit(skip.saturating_add(fetch) as u64)));
        }
        let rows = LogicalPlanBuilder::from(rows).window(vec![number])?.filter(wanted)?.project(kept)?;
        Ok(Some(rows.build()?))
    }

    /// Whichever side refers to columns around it has the domain; where both have to, they meet in it.
    fn of_join(&self, join: &Join) -> Result<Option<LogicalPlan>> {
        let (left, right) = (self.is_in(&join.left)?, self.is_in(&join.right)?);
        let both = if left { right } else { join.join_type == JoinType::Left };
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
            return Ok(None);
        }
        let has_domain = |side: &Arc<LogicalPlan>, has: bool| match has {
            true => self.rows_of(side),
            false => Ok(Some(side.as_ref().clone())),
        };
        let Some(left) = has_domain(&join.left, left || both || !right)? else { return Ok(None) };
        let Some(right) = has_domain(&join.right, right || both)? else { return Ok(None) };
        let mut on = vec![];
        for (one, other) in &join.on {
            on.push(self.within(one.clone())?.eq(self.within(other.clone())?));
        }
        if let Some(filter) = &join.filter {
            on.push(self.within(filter.clone())?);
        }
        if !both {
            let rows = LogicalPlanBuilder::from(left).join_on(right, join.join_type, on)?;
            return Ok(Some(rows.build()?));
        }
        let name = |inner: &Column| Column::from_name(format!("{} of the right side?", inner.name));
        let mut exprs: Vec<Expr> = columns(&join.right);
        exprs.extend(self.pairs.iter().map(|(_, inner)| Expr::Column(inner.clone()).alias(name(inner).name)));
        let right = LogicalPlanBuilder::from(right).project(exprs)?.build()?;
        let pairs = self.pairs.iter().map(|(_, inner)| (inner.clone(), name(inner)));
        let on = on.into_iter().reduce(Expr::and);
        let rows = joined(left, right, join.join_type, pairs, on)?;
        let kept: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).chain(self.columns()).collect();
        Ok(Some(LogicalPlanBuilder::from(rows).project(kept)?.build()?))
    }
}

fn joined(
    left: LogicalPlan,
    right: LogicalPlan,
    kind: JoinType,
    pairs: impl Iterator<Item = (Column, Column)>,
    on: Option<Expr>,
) -> Result<LogicalPlan> {
    let pairs = pairs.map(|(left, right)| (left.into(), right.into())).collect();
    let (constraint, nulls) = (JoinConstraint::On, NullEquality::NullEqualsNull);
    let join = Join::try_new(Arc::new(left), Arc::new(right), pairs, on, kind, constraint, nulls, false)?;
    Ok(LogicalPlan::Join(join))
}

/// Whether it is 0 of nothing, and not NULL.
fn is_count(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_count(&alias.expr),
        Expr::AggregateFunction(call) => matches!(call.func.name(), "count" | "regr_count" | "approx_distinct"),
        _ => false,
    }
}
