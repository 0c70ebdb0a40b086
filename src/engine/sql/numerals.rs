//! Numbers that are written with a point are `numeric` among themselves: what is computed of nothing else, `0.1 + 0.2`,
//! `round(1.005, 2)`, is computed here, digit by digit. What meets a column is a double, as to PostgreSQL; an answer that
//! is such a number, and nothing but one, is sent as `numeric`.

use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
    SelectItem, SetExpr, Statement, UnaryOperator, Value, ValueWithSpan,
};

use super::numeric::Numeric;
use super::state::raised;

/// Digits of a type.
const MAX_PRECISION: u32 = 38;

/// A number that is written, and whether with a point.
fn written(expr: &Expr) -> Option<(Numeric, bool)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            Some((Numeric::parse(text)?, text.contains(['.', 'e', 'E'])))
        }
        Expr::Nested(inner) => written(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => written(expr).map(|(of, point)| (of.negated(), point)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => written(expr),
        _ => None,
    }
}

fn literal(of: Numeric) -> Expr {
    // Without a point it would be an integer.
    let text = if of.scale() == 0 { format!("{}.", of.text()) } else { of.text() };
    let number = Expr::Value(Value::Number(text, false).into());
    match of.is_negative() {
        true => Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) })),
        false => number,
    }
}

/// What an expression of numbers comes to, if one of them is written with a point. Its parts are what they come to.
///
/// # Errors
/// 22012
pub fn computed(expr: &Expr) -> Result<Option<Expr>> {
    let value = match expr {
        Expr::BinaryOp { left, op, right } => {
            let (Some((left, a)), Some((right, b))) = (written(left), written(right)) else { return Ok(None) };
            if !(a || b) {
                return Ok(None);
            }
            let divides = matches!(op, BinaryOperator::Divide | BinaryOperator::Modulo);
            if divides && right.is_zero() {
                return Err(raised("22012", "division by zero"));
            }
            match op {
                BinaryOperator::Plus => left.plus(right),
                BinaryOperator::Minus => left.plus(right.negated()),
                BinaryOperator::Multiply => left.times(right),
                BinaryOperator::Divide => left.over(right),
                BinaryOperator::Modulo => left.rest(right),
                _ => None,
            }
        }
        Expr::Ceil { expr, .. } => whole(expr, true),
        Expr::Floor { expr, .. } => whole(expr, false),
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return Ok(None) };
            let numbers: Option<Vec<(Numeric, bool)>> = list.args.iter().map(argument).collect();
            let name = function.name.to_string().to_ascii_lowercase();
            match (name.as_str(), numbers.as_deref()) {
                ("round", Some([(of, true)])) => of.rounded(0),
                ("round", Some([(of, true), (places, false)])) => places_of(*places).and_then(|n| of.rounded(n)),
                ("trunc", Some([(of, true)])) => of.truncated(0),
                ("trunc", Some([(of, true), (places, false)])) => places_of(*places).and_then(|n| of.truncated(n)),
                ("abs", Some([(of, true)])) => Some(of.absolute()),
                ("ceil" | "ceiling", Some([(of, true)])) => of.whole(true),
                ("floor", Some([(of, true)])) => of.whole(false),
                _ => None,
            }
        }
        _ => None,
    };
    Ok(value.map(literal))
}

fn whole(expr: &Expr, up: bool) -> Option<Numeric> {
    match written(expr) {
        Some((of, true)) => of.whole(up),
        _ => None,
    }
}

fn argument(arg: &FunctionArg) -> Option<(Numeric, bool)> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => written(expr),
        _ => None,
    }
}

fn places_of(number: Numeric) -> Option<i32> {
    let places: i32 = number.text().parse().ok()?;
    Some(if number.is_negative() { -places } else { places })
}

/// Columns of an answer that are numbers written with a point, as `numeric`.
pub fn typed(statement: &mut Statement) {
    let Statement::Query(query) = statement else { return };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let Some((of, true)) = written(expr) else { continue };
        if of.precision() > MAX_PRECISION {
            continue;
        }
        let sign = if of.is_negative() { "-" } else { "" };
        let text = Expr::Value(Value::SingleQuotedString(format!("{sign}{}", of.text())).into());
        *expr = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(text),
            data_type: DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
                of.precision().into(),
                of.scale().into(),
            )),
            format: None,
            array: false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn of_numbers() {
        let check = |text: &str, expected: Option<&str>| {
            let expr = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
            assert_eq!(computed(&expr).unwrap().map(|of| of.to_string()).as_deref(), expected, "{text}");
        };
        check("0.1 + 0.2", Some("0.3"));
        check("1 + 2", None);
        check("0.1 + x", None);
        check("0.1 - 0.3", Some("(-0.2)"));
        check("round(1.005, 2)", Some("1.01"));
        check("round(-2.5)", Some("(-3.)"));
        check("trunc(2.567, 1)", Some("2.5"));
        check("(-1.5) * 2", Some("(-3.0)"));
        check("1e300 * 10", None);
        check("0.5 < 1", None);
        let by_zero = Parser::new(&PostgreSqlDialect {}).try_with_sql("1.0 / 0").unwrap().parse_expr().unwrap();
        assert!(computed(&by_zero).unwrap_err().to_string().ends_with("division by zero"));
    }
}
