//! How wide integers are. One that is written is an `int4` to PostgreSQL where it fits, and so is what is computed of such
//! ones; DataFusion takes it for an `int8`. Where the type of a result depends on it, this makes it one in the finished plan,
//! whose types are then found anew; what is compared, or says how often, stays as it is. Numbers of rows in windows are
//! `int8`, and of `ntile` `int4`; sums of `int8` are `numeric`, save where gaps are filled.
//!
//! Columns of a recursive query stay as wide as they were planned, and so does all of PromQL.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    AggregateFunction, Exists, InSubquery, ScalarFunction, SetComparison, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Subquery, Union, Values, Window,
};
use datafusion::scalar::ScalarValue;

use super::matching_types;
use crate::engine::scan::table::{TIMESTAMPS, VALUES};

/// Functions whose results are as wide as what they are given.
const ALIKE: &[&str] = &[
    "abs",
    "array_append",
    "array_cat",
    "array_concat",
    "array_prepend",
    "coalesce",
    "greatest",
    "least",
    "make_array",
    "mod",
    "named_struct",
    "nullif",
    "nvl",
    "struct",
];
/// Aggregates, and functions of windows, whose results are as wide as their first argument, or twice that.
const AGGREGATES: &[&str] =
    &["array_agg", "first_value", "lag", "last_value", "lead", "max", "min", "mode", "nth_value", "sum"];
/// A sum of integers of eight bytes is one of these.
const WIDE: DataType = DataType::Decimal128(20, 0);
/// The operator that fills gaps.
const GAPS: &str = "GapFill";
const SERIES: &str = "generate_series";
/// What counts, where DataFusion counts by other integers.
const COUNTS: &[&str] = &["cardinality"];

/// Changes all of a plan, its subqueries as well.
///
/// # Errors
/// Of building a plan.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(Widths::default().plan(plan)?.data)
}

/// Changes an expression that refers to nothing.
///
/// # Errors
/// Of building a plan.
pub fn expression(expr: Expr) -> Result<Expr> {
    Ok(Widths::default().value(expr, &DFSchema::empty())?.data)
}

fn is_narrow(of: &DataType) -> bool {
    matches!(of, DataType::Int16 | DataType::Int32)
}

fn written(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => i32::try_from(*number).ok(),
        _ => None,
    }
}

#[derive(Default)]
struct Widths {
    /// What subqueries may refer to, the innermost last.
    around: Vec<Arc<DFSchema>>,
    /// Below what fills gaps, which knows integers and doubles.
    in_gaps: bool,
}

impl Widths {
    fn plan(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if is_foreign(&plan) {
            return Ok(Transformed::no(plan));
        }
        let below = match plan {
            LogicalPlan::Join(join) => self.sides(join)?,
            plan => {
                let outer = self.in_gaps;
                self.in_gaps |= matches!(&plan, LogicalPlan::Extension(of) if of.node.name() == GAPS);
                let below = plan.map_children(|child| self.plan(child))?;
                self.in_gaps = outer;
                below
            }
        };
        let changed = below.transform_data(|plan| self.expressions(plan))?;
        let is_other = match &changed.data {
            LogicalPlan::Window(window) => !counts(window).is_empty(),
            LogicalPlan::Union(_) => true,
            _ => false,
        };
        match changed.transformed || is_other {
            true => finished(changed.data).map(Transformed::yes),
            false => Ok(changed),
        }
    }

    /// What is on the right of a join may refer to what is on its left.
    fn sides(&mut self, mut join: Join) -> Result<Transformed<LogicalPlan>> {
        let left = self.plan(Arc::unwrap_or_clone(join.left))?;
        self.around.push(Arc::clone(left.data.schema()));
        let right = self.plan(Arc::unwrap_or_clone(join.right));
        self.around.pop();
        let right = right?;
        let changed = left.transformed || right.transformed;
        (join.left, join.right) = (Arc::new(left.data), Arc::new(right.data));
        Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
    }

    fn expressions(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::Extension(_)) {
            return Ok(Transformed::no(plan));
        }
        let (schema, names) = (merge_schema(&plan.inputs()), NamePreserver::new(&plan));
        let is_condition = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
        if let LogicalPlan::Values(_) = plan {
            return plan.map_expressions(|expr| self.value(expr, &schema));
        }
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = if is_condition { self.kept(expr, &schema) } else { self.value(expr, &schema) };
            Ok(changed?.update_data(|expr| name.restore(expr)))
        })
    }

    /// An expression whose type is seen.
    fn value(&mut self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match written(&expr) {
            Some(number) => Ok(Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(number)), None))),
            None => self.parts(expr, schema),
        }
    }

    /// An expression that may be as wide as it likes.
    fn kept(&mut self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            literal @ Expr::Literal(..) => Ok(Transformed::no(literal)),
            expr => self.parts(expr, schema),
        }
    }

    fn parts(&mut self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarSubquery(of) => Ok(self.subquery(of, schema)?.update_data(Expr::ScalarSubquery)),
            Expr::Exists(Exists { subquery, negated }) => {
                let changed = self.subquery(subquery, schema)?;
                Ok(changed.update_data(|subquery| Expr::Exists(Exists { subquery, negated })))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let of = self.kept(*expr, schema)?;
                let changed = self.subquery(subquery, schema)?;
                let expr = Box::new(of.data);
                let all = Expr::InSubquery(InSubquery { expr, subquery: changed.data, negated });
                Ok(Transformed::new_transformed(all, of.transformed || changed.transformed))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let of = self.kept(*expr, schema)?;
                let changed = self.subquery(subquery, schema)?;
                let all = SetComparison::new(Box::new(of.data), changed.data, op, quantifier);
                Ok(Transformed::new_transformed(Expr::SetComparison(all), of.transformed || changed.transformed))
            }
            Expr::OuterReferenceColumn(field, column) => {
                let found = |schema: &Arc<DFSchema>| {
                    schema.qualified_field_from_column(&column).ok().map(|(_, field)| Arc::clone(field))
                };
                let of = self.around.iter().rev().find_map(found);
                let of = of.filter(|of| of.data_type() != field.data_type());
                Ok(match of {
                    Some(of) => Transformed::yes(Expr::OuterReferenceColumn(of, column)),
                    None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                })
            }
            grouping @ Expr::GroupingSet(_) => Ok(Transformed::no(grouping)),
            // What is cast has a type, whatever it was.
            Expr::Cast(_) | Expr::TryCast(_) | Expr::InList(_) | Expr::Between(_) | Expr::Like(_) => {
                expr.map_children(|part| self.kept(part, schema))
            }
            Expr::BinaryExpr(BinaryExpr { op, .. }) if !op.is_numerical_operators() => {
                expr.map_children(|part| self.kept(part, schema))
            }
            Expr::ScalarFunction(ScalarFunction { ref func, .. }) if func.name() == SERIES => {
                self.series(expr, schema)
            }
            Expr::ScalarFunction(ScalarFunction { ref func, .. }) if COUNTS.contains(&func.name()) => {
                let changed = expr.map_children(|part| self.kept(part, schema))?;
                Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(changed.data), DataType::Int32))))
            }
            Expr::ScalarFunction(ScalarFunction { ref func, .. }) if !ALIKE.contains(&func.name()) => {
                expr.map_children(|part| self.kept(part, schema))
            }
            Expr::AggregateFunction(AggregateFunction { ref func, .. }) => {
                let name = func.name().to_string();
                self.first_of(expr, &name, schema)
            }
            Expr::WindowFunction(ref call) => {
                let WindowFunction { fun, .. } = call.as_ref();
                let name = fun.name().to_string();
                self.first_of(expr, &name, schema)
            }
            expr => expr.map_children(|part| self.value(part, schema)),
        }
    }

    /// A call whose first argument may be seen in its type.
    fn first_of(&mut self, call: Expr, name: &str, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let mut is_first = AGGREGATES.contains(&name);
        call.map_children(|part| {
            if !std::mem::take(&mut is_first) {
                return self.kept(part, schema);
            }
            let of = self.value(part, schema)?;
            let is_wide = || matches!(of.data.get_type(schema), Ok(DataType::Int64));
            Ok(match name == "sum" && !self.in_gaps && is_wide() {
                true => Transformed::yes(Expr::Cast(Cast::new(Box::new(of.data), WIDE))),
                false => of,
            })
        })
    }

    /// The steps between integers of four bytes are such integers.
    fn series(&mut self, call: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(of) = &call else { return Ok(Transformed::no(call)) };
        let mut narrow = !of.args.is_empty();
        for arg in &of.args {
            let of = self.value(arg.clone(), schema)?.data.get_type(schema);
            narrow = narrow && of.is_ok_and(|of| is_narrow(&of));
        }
        let changed = call.map_children(|part| self.kept(part, schema))?;
        Ok(match narrow {
            true => {
                let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
                Transformed::yes(Expr::Cast(Cast::new(Box::new(changed.data), list)))
            }
            false => changed,
        })
    }

    fn subquery(&mut self, of: Subquery, schema: &DFSchema) -> Result<Transformed<Subquery>> {
        self.around.push(Arc::new(schema.clone()));
        let changed = self.within(of);
        self.around.pop();
        changed
    }

    fn within(&mut self, mut of: Subquery) -> Result<Transformed<Subquery>> {
        let plan = self.plan(Arc::unwrap_or_clone(of.subquery))?;
        of.subquery = Arc::new(plan.data);
        let mut changed = plan.transformed;
        for column in &mut of.outer_ref_columns {
            let new = self.parts(column.clone(), &DFSchema::empty())?;
            changed |= new.transformed;
            *column = new.data;
        }
        Ok(Transformed::new_transformed(of, changed))
    }
}

/// What has types of its own: vectors of PromQL, and what refers to itself.
fn is_foreign(plan: &LogicalPlan) -> bool {
    let is_vector = |field: &Arc<Field>| matches!(field.name().as_str(), VALUES | TIMESTAMPS);
    matches!(plan, LogicalPlan::RecursiveQuery(_)) || plan.schema().fields().iter().any(is_vector)
}

/// The columns of a window that count rows, and what PostgreSQL counts them by.
fn counts(window: &Window) -> Vec<(usize, DataType)> {
    let before = window.input.schema().fields().len();
    let fields = window.schema.fields().iter().enumerate().skip(before);
    let counts = fields.zip(&window.window_expr).filter(|((_, field), _)| *field.data_type() == DataType::UInt64);
    let of = |expr: &Expr| match expr.clone().unalias() {
        Expr::WindowFunction(call) if call.fun.name() == "ntile" => DataType::Int32,
        _ => DataType::Int64,
    };
    counts.map(|((at, _), expr)| (at, of(expr))).collect()
}

/// A plan with the types of its parts.
fn finished(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Values(Values { values, .. }) => LogicalPlanBuilder::values(values)?.build(),
        LogicalPlan::Union(union) => united(union),
        LogicalPlan::Window(window) => {
            let window = Window::try_new(window.window_expr, window.input)?;
            let counts = counts(&window);
            let to = |at: usize| counts.iter().find(|(of, _)| *of == at).map(|(_, to)| to.clone());
            converted(LogicalPlan::Window(window), to)
        }
        plan => plan.recompute_schema(),
    }
}

/// The columns of a plan under their names, some as other types.
fn converted(plan: LogicalPlan, to: impl Fn(usize) -> Option<DataType>) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().enumerate();
    if !columns.clone().any(|(at, _)| to(at).is_some()) {
        return Ok(plan);
    }
    let columns = columns.map(|(at, column)| match to(at) {
        Some(to) => {
            let (relation, name) = (column.relation.clone(), column.name.clone());
            Expr::Cast(Cast::new(Box::new(Expr::Column(column)), to)).alias_qualified(relation, name)
        }
        None => Expr::Column(column),
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Of numbers that differ in width the columns are as wide as the widest.
fn united(union: Union) -> Result<LogicalPlan> {
    matching_types::check_union(&union)?;
    let inputs = union.inputs;
    let of_all = |at: usize| -> Vec<DataType> {
        inputs.iter().filter_map(|input| input.schema().fields().get(at)).map(|of| of.data_type().clone()).collect()
    };
    let width = union.schema.fields().len();
    let wanted: Vec<Option<DataType>> = (0..width)
        .map(|at| {
            let types = of_all(at);
            let are_numbers = types.iter().all(|of| of.is_numeric() || of.is_null());
            if are_numbers { type_union_resolution(&types) } else { None }
        })
        .collect();
    let converted = inputs.into_iter().map(|input| {
        let types: Vec<DataType> = input.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let to = |at: usize| wanted.get(at).cloned().flatten().filter(|to| types.get(at) != Some(to));
        converted(Arc::unwrap_or_clone(input), to).map(Arc::new)
    });
    let inputs = converted.collect::<Result<Vec<_>>>()?;
    Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union)
}
