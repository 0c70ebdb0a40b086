use datafusion::arrow::datatypes::Schema;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;

use super::*;

/// A scan of columns `a`, `b` and `v`.
fn scan() -> LogicalPlan {
    let fields: Vec<Field> = ["a", "b", "v"].map(|name| Field::new(name, DataType::Float64, true)).into();
    let source = Arc::new(LogicalTableSource::new(Arc::new(Schema::new(fields))));
    LogicalPlanBuilder::scan("series", source, None).unwrap().build().unwrap()
}

fn more(name: &str) -> Expr {
    (column(name) + lit(1.0)).alias(name)
}

fn check(projections: &[Vec<Expr>], expected: &str) {
    let plan = projections.iter().cloned().try_fold(scan(), project).unwrap();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let printed = plan.display_indent().to_string();
    assert_eq!(printed.lines().map(str::trim).collect::<Vec<_>>(), expected, "{projections:?}");
}

#[test]
fn projections_are_one_where_nothing_is_computed_twice() {
    let picked = || vec![column("v")];
    // What is not asked for is not read, also if it was asked for before.
    check(&[picked()], "Projection: v\nTableScan: series projection=[v]");
    check(
        &[vec![column("a"), more("v")], picked()],
        "Projection: v + Float64(1) AS v\nTableScan: series projection=[v]",
    );
    // Computed from what is computed.
    let twice = "Projection: v + Float64(1) + Float64(2) AS v\nTableScan: series projection=[v]";
    check(&[vec![more("v")], vec![(column("v") + lit(2.0)).alias("v")]], twice);
    // Read twice.
    check(
        &[vec![column("a"), more("v")], vec![column("v"), column("v").alias("w")]],
        "Projection: v, v AS w
         Projection: a, v + Float64(1) AS v
         TableScan: series projection=[a, v]",
    );
    check(
        &[vec![column("a"), column("v")], vec![column("v"), column("v").alias("w")]],
        "Projection: v, v AS w\nTableScan: series projection=[v]",
    );
    // Equal ones, which the optimizer would drop.
    check(
        &[vec![more("v")], vec![more("v")]],
        "Projection: v + Float64(1) + Float64(1) AS v\nTableScan: series projection=[v]",
    );
}

#[test]
fn a_projection_of_all_columns_is_none() {
    check(&[vec![column("a"), column("b").alias("b"), column("v")]], "TableScan: series");
    let aggregated = vec![column("a"), more("v")];
    let one = "Projection: a, v + Float64(1) AS v\nTableScan: series projection=[a, v]";
    check(&[aggregated.clone(), vec![column("a"), column("v")]], one);
    // Another order or another name is another projection.
    check(
        &[aggregated, vec![column("v"), column("a").alias("b")]],
        "Projection: v + Float64(1) AS v, a AS b\nTableScan: series projection=[a, v]",
    );
}

#[test]
fn long_chains_stay_shallow() {
    let mut plan = scan();
    for i in 0..400 {
        plan = project(plan, vec![(column("v") + lit(f64::from(i))).alias("v")]).unwrap();
    }
    let mut operators = 0;
    while let LogicalPlan::Projection(projection) = plan {
        let mut nodes = 0;
        projection.expr[0]
            .apply(|_| {
                nodes += 1;
                Ok(TreeNodeRecursion::Continue)
            })
            .unwrap();
        assert!(nodes <= 2 * MERGED_NODES, "{nodes}");
        operators += (nodes - 2) / 2;
        plan = Arc::unwrap_or_clone(projection.input);
    }
    assert_eq!(operators, 400);
}
