//! Types that PostgreSQL does not put into one: labels and numbers in the columns of a UNION or the branches of a CASE,
//! which DataFusion would all make texts of. Texts that are written in a statement are of any type.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, ExprSchemable, Union};

use super::state::raised;

/// PostgreSQL's name of a type, if it is one that is looked at. Labels and what is cast to text are views; what is
/// written in a statement, and in the catalog, is not.
fn name(of: &DataType) -> Option<&'static str> {
    Some(match of {
        DataType::Utf8View => "text",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Boolean => "boolean",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        _ => return None,
    })
}

fn check(what: &str, first: &DataType, second: &DataType) -> Result<()> {
    let is_text = |of: &DataType| *of == DataType::Utf8View;
    match (name(first), name(second)) {
        (Some(one), Some(other)) if is_text(first) != is_text(second) => {
            Err(raised("42804", format!("{what} types {one} and {other} cannot be matched")))
        }
        _ => Ok(()),
    }
}

/// Columns of the parts of a UNION.
///
/// # Errors
/// 42804
pub fn check_union(union: &Union) -> Result<()> {
    let [first, others @ ..] = union.inputs.as_slice() else { return Ok(()) };
    for other in others {
        let pairs = first.schema().fields().iter().zip(other.schema().fields());
        for (first, other) in pairs {
            check("UNION", first.data_type(), other.data_type())?;
        }
    }
    Ok(())
}

/// Branches of a CASE.
///
/// # Errors
/// 42804
pub fn check_case(case: &Case, schema: &DFSchema) -> Result<()> {
    let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let mut first: Option<DataType> = None;
    for branch in branches {
        let Ok(of) = branch.get_type(schema) else { continue };
        if matches!(branch.as_ref(), Expr::Literal(..)) && of == DataType::Utf8View {
            continue;
        }
        match &first {
            Some(first) => check("CASE", first, &of)?,
            None => first = Some(of),
        }
    }
    Ok(())
}
