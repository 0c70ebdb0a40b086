//! Types of parameters that are known before anything is planned: what the client declares, and casts in the text. They are put
//! where the engine would take a parameter for what it stands beside, `timestamp - $1` for two times.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, TimezoneInfo,
    UnaryOperator, Value, Visitor, VisitorMut,
};
use pgwire::api::Type;

use super::number;
use crate::engine::sql::text::walk::{walk, walk_mut};
use crate::server::pg::type_names;

/// What is known of each parameter: what the client says of it, or else the first cast of it.
pub fn types(statement: &Statement, declared: &[Option<Type>]) -> Vec<Option<Type>> {
    let mut casts = Casts(declared.to_vec());
    for known in &mut casts.0 {
        *known = known.take().filter(|known| *known != Type::UNKNOWN);
    }
    let _ = walk(statement, &mut casts);
    casts.0
}

struct Casts(Vec<Option<Type>>);

impl Visitor for Casts {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Some(number) = parameter(expr)
            && let Some(named) = type_names::named(data_type)
        {
            if self.0.len() < number {
                self.0.resize(number, None);
            }
            self.0[number - 1].get_or_insert(named);
        }
        ControlFlow::Continue(())
    }
}

/// The number of a parameter, whatever parentheses are around it.
pub fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => parameter(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => number(name),
            _ => None,
        },
        _ => None,
    }
}

/// Puts casts around parameters whose type is known, where the engine has to know it to plan the statement.
pub fn apply(statement: &mut Statement, known: &[Option<Type>]) {
    let _ = walk_mut(statement, &mut Wrap(known));
}

struct Wrap<'a>(&'a [Option<Type>]);

impl VisitorMut for Wrap<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op, right } if is_arithmetic(op) => {
                let scales = matches!(op, BinaryOperator::Multiply | BinaryOperator::Divide);
                let (left_is, right_is) = (is_interval(left), is_interval(right));
                self.wrap(left, scales && right_is);
                self.wrap(right, scales && left_is);
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.wrap(expr, false),
            Expr::Function(function) => {
                if let FunctionArguments::List(list) = &mut function.args {
                    for argument in &mut list.args {
                        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument {
                            self.wrap(argument, false);
                        }
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Wrap<'_> {
    /// `scales` where PostgreSQL takes a parameter that nothing else is known of for a number.
    fn wrap(&self, expr: &mut Expr, scales: bool) {
        let Some(number) = parameter(expr) else { return };
        let known = self.0.get(number - 1).and_then(Option::as_ref);
        let number_type = scales.then_some(&Type::FLOAT8);
        let Some(data_type) = known.or(number_type).and_then(written) else { return };
        let inner = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = cast(inner, data_type);
    }
}

/// A cast of an expression.
pub fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, format: None, array: false }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo)
}

fn is_interval(expr: &Expr) -> bool {
    match expr {
        Expr::Interval(_) => true,
        Expr::Nested(inner) => is_interval(inner),
        Expr::Cast { data_type, .. } => type_names::named(data_type) == Some(Type::INTERVAL),
        _ => false,
    }
}

/// A type as SQL writes it, where the engine has one that is as good.
pub fn written(known: &Type) -> Option<ast::DataType> {
    use ast::DataType;
    Some(match *known {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::SmallInt(None),
        Type::INT4 => DataType::Int(None),
        Type::INT8 => DataType::BigInt(None),
        Type::FLOAT4 => DataType::Real,
        Type::FLOAT8 | Type::NUMERIC => DataType::DoublePrecision,
        Type::DATE => DataType::Date,
        Type::TIMESTAMP => DataType::Timestamp(None, TimezoneInfo::None),
        Type::TIMESTAMPTZ => DataType::Timestamp(None, TimezoneInfo::WithTimeZone),
        Type::INTERVAL => DataType::Interval { fields: None, precision: None },
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DataType::Text,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn casts_and_declared_types() {
        let check = |sql: &str, declared: &[Option<Type>], want: &[Option<Type>], changed: &str| {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let known = types(&statement, declared);
            assert_eq!(known, want, "{sql}");
            apply(&mut statement, &known);
            assert_eq!(statement.to_string(), changed);
        };
        check("SELECT $1 + 1", &[], &[], "SELECT $1 + 1");
        check("SELECT $1 + 1", &[Some(Type::INT4)], &[Some(Type::INT4)], "SELECT CAST($1 AS INT) + 1");
        check("SELECT $1 + 1", &[Some(Type::UNKNOWN)], &[None], "SELECT $1 + 1");
        check(
            "SELECT t - $2, $2::interval",
            &[],
            &[None, Some(Type::INTERVAL)],
            "SELECT t - CAST($2 AS INTERVAL), $2::INTERVAL",
        );
        check("SELECT $1 * INTERVAL '1 s'", &[], &[], "SELECT CAST($1 AS DOUBLE PRECISION) * INTERVAL '1 s'");
        check("SELECT $1 FROM t LIMIT $1", &[Some(Type::INT8)], &[Some(Type::INT8)], "SELECT $1 FROM t LIMIT $1");
        check("SELECT sum(($1))", &[Some(Type::INT8)], &[Some(Type::INT8)], "SELECT sum(CAST(($1) AS BIGINT))");
    }
}
